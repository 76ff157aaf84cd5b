//! Mounts of EROFS images that are regular files.
//!
//! Linux 6.12 and newer mount the file itself. Before, a loop device stands between; it goes with
//! the mount by itself (`LO_FLAGS_AUTOCLEAR`), so nothing can be left behind.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::call::check;
use crate::{Errno, Result};

/// linux/loop.h.
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Another process may take the free device first.
const LOOP_ATTEMPTS: usize = 64;

/// `struct loop_config` with its `loop_info64`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// Device, inode, real device, offset, size limit.
    numbers: [u64; 5],
    number: u32,
    encryption: [u32; 2],
    flags: u32,
    names: [u8; 160],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// A read-only mount of `image` that is attached nowhere; it goes when the descriptor is closed and
/// nothing made from it is left.
///
/// # Errors
/// The kernel's: `EPERM` without the privilege to mount, `ENODEV` without EROFS, `EUCLEAN` or
/// `EINVAL` for a file that is no EROFS image.
pub fn mount_image(image: &Path) -> Result<OwnedFd> {
    match mount_source(image) {
        // Not a block device, says a kernel or a file system that cannot mount files.
        Err(Errno::NOTBLK | Errno::INVAL) => mount_through_loop(image),
        other => other,
    }
}

/// As [`mount_image`], by a loop device.
///
/// # Errors
/// As [`mount_image`]; also those of loop(4).
pub fn mount_through_loop(image: &Path) -> Result<OwnedFd> {
    let (device, path) = attach_loop_device(image)?;
    let mounted = mount_source(Path::new(&path));
    drop(device);
    mounted
}

/// As [`mount_image`], of the file itself, or of a block device.
///
/// # Errors
/// As [`mount_image`]; `ENOTBLK` or `EINVAL` where files cannot be mounted, `ENOSYS` before Linux
/// 5.2.
pub fn mount_source(source: &Path) -> Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", source)?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The open device, which a mount must take over before it is closed, and its path.
fn attach_loop_device(image: &Path) -> Result<(File, String)> {
    let image = open(image, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let control = open(
        "/dev/loop-control",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for _ in 0..LOOP_ATTEMPTS {
        // SAFETY: this request takes no argument.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let number = check(number.into())?;
        let path = format!("/dev/loop{number}");
        let device = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        match configure(&device, &image) {
            Err(Errno::BUSY) => {}
            other => return other.map(|()| (File::from(device), path)),
        }
    }
    Err(Errno::BUSY)
}

fn configure(device: &OwnedFd, image: &OwnedFd) -> Result<()> {
    let config = LoopConfig {
        fd: image.as_raw_fd().unsigned_abs(),
        block_size: 0,
        numbers: [0; 5],
        number: 0,
        encryption: [0; 2],
        flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
        names: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: the request reads a loop_config, which lives until the call returns.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    check(result.into()).map(drop)
}
