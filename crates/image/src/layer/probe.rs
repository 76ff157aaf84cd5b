//! Whether this host can mount layers, which decides the form of new ones.
//!
//! A small EROFS image is written below the store, without a name, and mounted without a place: the
//! answer holds for this kernel, this user and this file system, and nothing is left behind.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::erofs::write_layer;
use crate::unpack::UnpackOptions;

/// The form of new layers, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormChoice {
    /// EROFS, mounted from the file itself (Linux 6.12).
    ErofsFile,
    /// EROFS, mounted through a loop device.
    ErofsLoop,
    /// Unpacked directories: EROFS cannot be mounted, for this reason.
    Directory(&'static str),
}

impl FormChoice {
    /// `erofs` or `directory`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ErofsFile | Self::ErofsLoop => "erofs",
            Self::Directory(_) => "directory",
        }
    }

    /// How layers are mounted, or why they are not.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::ErofsFile => "mounted from the file itself",
            Self::ErofsLoop => "mounted through a loop device",
            Self::Directory(reason) => reason,
        }
    }
}

/// Tries it out. `store` need not exist: what it will be made below is tried then.
pub(crate) fn choose(store: &Path) -> FormChoice {
    let context = match fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(context) => context,
        Err(Errno::NODEV) => return FormChoice::Directory("this kernel has no EROFS"),
        Err(Errno::PERM) => return FormChoice::Directory("this user may not mount"),
        Err(_) => return FormChoice::Directory("this kernel has no fsopen(2) (Linux 5.2)"),
    };
    let Some(image) = make_image(store) else {
        return FormChoice::Directory("the store's file system has no files without names");
    };
    let path = format!("/proc/self/fd/{}", image.as_raw_fd());
    let mounted = fsconfig_set_string(&context, "source", &path)
        .and_then(|()| fsconfig_set_flag(&context, "ro"))
        .and_then(|()| fsconfig_create(&context))
        .and_then(|()| attach(&context));
    match mounted {
        Ok(()) => FormChoice::ErofsFile,
        Err(Errno::PERM) => FormChoice::Directory("this user may not mount"),
        // Not a block device: Linux before 6.12, or a file system whose files cannot be mounted.
        Err(_) if File::open("/dev/loop-control").is_ok() => FormChoice::ErofsLoop,
        Err(_) => FormChoice::Directory("EROFS needs Linux 6.12, or loop devices"),
    }
}

fn attach(context: &OwnedFd) -> Result<(), Errno> {
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map(drop)
}

/// An image of nothing.
fn make_image(store: &Path) -> Option<File> {
    let place = store.ancestors().find(|place| place.is_dir())?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = open(place, flags, Mode::RUSR | Mode::WUSR).ok()?;
    let file = File::from(file);
    let empty = [0_u8; 1024];
    write_layer(empty.as_slice(), &file, &UnpackOptions::default()).ok()?;
    Some(file)
}
