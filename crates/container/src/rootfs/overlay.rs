//! A layered root, mounted in the container's mount namespace only: no mount of the host's can be
//! left behind by a runtime that is killed.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::error::{Context, Result};

/// The layers of an overlay file system.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// From the uppermost to the lowest.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Never sync the upper layer: for containers that are thrown away.
    pub volatile: bool,
}

/// A detached overlay mount. Layers go in one by one, or, before kernel 6.8, as one escaped string.
/// Before 6.5 any option is taken as it comes and refused when all are there, so the whole is tried
/// again; a failure with another reason comes again, too.
pub(super) fn mount(overlay: &Overlay) -> Result<OwnedFd> {
    let context = create(overlay, Form::OneByOne).or_else(|_| create(overlay, Form::Joined))?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .step(|| "mount the layers of the root directory")
}

/// How the lower layers are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByOne,
    Joined,
}

/// A file system that is ready to be mounted.
fn create(overlay: &Overlay, form: Form) -> Result<OwnedFd> {
    let step = || "mount the layers of the root directory";
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step(step)?;
    let set = |key: &str, path: &Path| {
        fsconfig_set_string(&context, key, path)
            .step(|| format!("overlay option {key}={}", path.display()))
    };
    let mut lower = overlay.lower.iter();
    match form {
        Form::OneByOne => lower.try_for_each(|path| set("lowerdir+", path))?,
        Form::Joined => set("lowerdir", &joined_layers(&overlay.lower))?,
    }
    set("upperdir", &overlay.upper)?;
    set("workdir", &overlay.work)?;
    if overlay.volatile {
        fsconfig_set_flag(&context, "volatile").step(|| "overlay option volatile")?;
    }
    fsconfig_create(&context).step(step)?;
    Ok(context)
}

/// The value of `lowerdir`: joined by colons, with colons and backslashes of names escaped.
fn joined_layers(layers: &[PathBuf]) -> PathBuf {
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
    use super::*;

    #[test]
    fn colons_and_backslashes_of_layers_are_escaped() {
        let layers = ["/a:b", "/c\\d"].map(PathBuf::from);
        assert_eq!(joined_layers(&layers), Path::new("/a\\:b:/c\\\\d"));
    }
}
