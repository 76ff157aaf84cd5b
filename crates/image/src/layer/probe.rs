//! Whether this host can mount layers, which decides the form of new ones.
//!
//! A small EROFS image is written below the store, without a name, and mounted without a place: the
//! answer holds for this kernel, this user and this file system, and nothing is left behind.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use insula_sys::Errno;
use insula_sys::erofs::{mount_source, mount_through_loop};
use insula_sys::fuse::DEVICE;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::user_namespace::is_initial;

use crate::erofs::write_layer;
use crate::served::mount_empty;
use crate::unpack::UnpackOptions;

/// The form of new layers, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormChoice {
    /// EROFS, mounted from the file itself (Linux 6.12).
    ErofsFile,
    /// EROFS, mounted through a loop device.
    ErofsLoop,
    /// EROFS, served by this program through FUSE: the kernel does not mount it for this user.
    ErofsFuse,
    /// Unpacked directories: EROFS cannot be mounted, for this reason.
    Directory(&'static str),
}

impl FormChoice {
    /// `erofs` or `directory`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ErofsFile | Self::ErofsLoop | Self::ErofsFuse => "erofs",
            Self::Directory(_) => "directory",
        }
    }

    /// How layers are mounted, or why they are not.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::ErofsFile => "mounted from the file itself",
            Self::ErofsLoop => "mounted through a loop device",
            Self::ErofsFuse => "served through FUSE, for this user may not mount EROFS",
            Self::Directory(reason) => reason,
        }
    }
}

/// Tries it out. `store` need not exist: what it will be made below is tried then.
pub(crate) fn choose(store: &Path) -> FormChoice {
    let Some(image) = make_image(store) else {
        return FormChoice::Directory("the store's file system has no files without names");
    };
    let path = format!("/proc/self/fd/{}", image.as_raw_fd());
    match mount_source(Path::new(&path)) {
        Ok(_mount) => FormChoice::ErofsFile,
        Err(Errno::PERM) => choose_served(),
        Err(Errno::NODEV) if !is_initial() => choose_served(),
        Err(Errno::NODEV) => FormChoice::Directory("this kernel has no EROFS"),
        Err(Errno::NOSYS) => FormChoice::Directory("this kernel has no fsopen(2) (Linux 5.2)"),
        // Not a block device: Linux before 6.12, or a file system whose files cannot be mounted.
        Err(_) => match mount_through_loop(Path::new(&path)) {
            Ok(_mount) => FormChoice::ErofsLoop,
            Err(_) => FormChoice::Directory("EROFS needs Linux 6.12, or loop devices"),
        },
    }
}

/// For root of a user namespace. Root of the host reads faster from directories than through FUSE.
fn choose_served() -> FormChoice {
    match mount_empty(Path::new(DEVICE)) {
        Ok(_mount) => FormChoice::ErofsFuse,
        Err(Errno::PERM) => FormChoice::Directory("this user may not mount"),
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => {
            FormChoice::Directory("this user may not mount EROFS, and there is no FUSE")
        }
        Err(_) => FormChoice::Directory("this user may not mount EROFS, nor use /dev/fuse"),
    }
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
