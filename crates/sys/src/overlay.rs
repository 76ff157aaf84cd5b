//! Overlay file systems that are only read, and how layers are told to the kernel.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::{Result, user_namespace};

/// A read-only mount of directories, from the uppermost to the lowest, that is attached nowhere.
/// The kernel wants two or more.
///
/// # Errors
/// The kernel's.
pub fn mount_read_only(lower: &[PathBuf], attributes: MountAttrFlags) -> Result<OwnedFd> {
    let open = || {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        // Root of a user namespace may not read `trusted.*`.
        if !user_namespace::is_initial() {
            fsconfig_set_flag(&context, "userxattr")?;
        }
        Ok(context)
    };
    let one_by_one = || {
        let context = open()?;
        for path in lower {
            fsconfig_set_string(&context, "lowerdir+", path)?;
        }
        fsconfig_create(&context).map(|()| context)
    };
    let joined = || {
        // Before Linux 6.8.
        let context = open()?;
        fsconfig_set_string(&context, "lowerdir", joined_layers(lower))?;
        fsconfig_create(&context).map(|()| context)
    };
    let context = one_by_one().or_else(|_| joined())?;
    let attributes = attributes | MountAttrFlags::MOUNT_ATTR_RDONLY;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The value of `lowerdir`: joined by colons, with colons and backslashes of names escaped.
#[must_use]
pub fn joined_layers(layers: &[PathBuf]) -> PathBuf {
    let mut joined = Vec::new();
    for layer in layers {
        if !joined.is_empty() {
            joined.push(b':');
        }
        for byte in layer.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\') {
                joined.push(b'\\');
            }
            joined.push(*byte);
        }
    }
    PathBuf::from(OsString::from_vec(joined))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn colons_and_backslashes_of_layers_are_escaped() {
        let layers = ["/a:b", "/c\\d"].map(PathBuf::from);
        assert_eq!(joined_layers(&layers), Path::new("/a\\:b:/c\\\\d"));
    }
}
