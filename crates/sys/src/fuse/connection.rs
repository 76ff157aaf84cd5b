//! A mount and the descriptor behind it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{read, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::{getegid, geteuid};

use super::protocol::{Agreement, Init, MAJOR, MINOR_MIN, Operation, Reply, Request, capability};
use crate::call::check;
use crate::{Errno, Result};

/// Where the device is on every Linux.
pub const DEVICE: &str = "/dev/fuse";

/// `_IOR(229, 0, uint32_t)` of linux/fuse.h.
const FUSE_DEV_IOC_CLONE: libc::c_ulong = 0x8004_e500;
/// The kernel takes nothing shorter (`FUSE_MIN_READ_BUFFER`); nothing longer comes, for nothing is
/// written.
pub(super) const REQUEST_BYTES: usize = 8192;
/// The longest read: 1 MiB, what any kernel takes.
pub(super) const READ_PAGES: u16 = 256;
const BACKGROUND_REQUESTS: u16 = 64;

/// How a file system is mounted. Always read-only, for everybody, with permissions checked by the
/// kernel.
#[derive(Debug, Clone, Copy)]
pub struct MountOptions<'a> {
    /// [`DEVICE`], or wherever it can be reached.
    pub device: &'a Path,
    /// The first column of /proc/mounts.
    pub source: &'a str,
    /// What follows `fuse.` there.
    pub subtype: &'a str,
    /// Of [`capability`], beside those that every read-only file system has.
    pub flags: u32,
}

/// A file system that is mounted and waits to be served.
#[derive(Debug)]
pub struct Mounted {
    /// The root of the mount, which is attached nowhere.
    pub mount: OwnedFd,
    pub connection: Connection,
}

/// The anchor of a connection. It can be handed to another process; as long as somebody holds it,
/// requests wait for a server.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// Mounts. Whoever is root of a user namespace may.
///
/// # Errors
/// The kernel's: `ENOENT` or `EACCES` without the device, `ENODEV` without FUSE, `EPERM` without
/// the privilege to mount; `EPROTO` before Linux 5.4.
pub fn mount(options: &MountOptions<'_>) -> Result<Mounted> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = open(options.device, flags, Mode::empty())?;
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [
        ("source", options.source.to_owned()),
        ("subtype", options.subtype.to_owned()),
        ("fd", device.as_raw_fd().to_string()),
        ("rootmode", "40000".to_owned()),
        ("user_id", geteuid().as_raw().to_string()),
        ("group_id", getegid().as_raw().to_string()),
    ] {
        fsconfig_set_string(&context, key, value)?;
    }
    for flag in ["ro", "allow_other", "default_permissions"] {
        fsconfig_set_flag(&context, flag)?;
    }
    fsconfig_create(&context)?;
    let connection = Connection(device);
    connection.agree(options.flags)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(Mounted { mount, connection })
}

impl From<OwnedFd> for Connection {
    /// The descriptor of a connection that another process mounted.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Connection {
    /// A descriptor of its own for a server. What it takes dies with it, not with this one.
    ///
    /// # Errors
    /// The kernel's; the device must be in reach through `/proc`.
    pub(super) fn clone_for_server(&self) -> Result<OwnedFd> {
        let device = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let clone = open(&device, flags, Mode::empty())?;
        let original = self.0.as_raw_fd().unsigned_abs();
        // SAFETY: the request reads one number, which lives until the call returns.
        let result =
            unsafe { libc::ioctl(clone.as_raw_fd(), FUSE_DEV_IOC_CLONE, &raw const original) };
        check(result.into())?;
        Ok(clone)
    }

    /// The first exchange. The kernel's message is there as soon as the file system is.
    fn agree(&self, wanted: u32) -> Result<()> {
        let mut buffer = [0; REQUEST_BYTES];
        loop {
            let length = read(&self.0, &mut buffer)?;
            let request = Request::parse(&buffer[..length]).ok_or(Errno::PROTO)?;
            let Operation::Init(init) = request.operation else {
                return Err(Errno::PROTO);
            };
            let agreement = agreement(&init, wanted)?;
            let mut reply = Reply::default();
            reply.begin();
            reply.init(&agreement);
            write(&self.0, reply.finish(request.unique, Ok(())))?;
            if init.major == MAJOR {
                return Ok(());
            }
            // A later major version asks again, in ours.
        }
    }
}

/// What we say to what the kernel offers.
fn agreement(init: &Init, wanted: u32) -> Result<Agreement> {
    if init.major < MAJOR || (init.major == MAJOR && init.minor < MINOR_MIN) {
        return Err(Errno::PROTO);
    }
    let always = capability::ASYNC_READ
        | capability::DO_READDIRPLUS
        | capability::PARALLEL_DIROPS
        | capability::MAX_PAGES;
    Ok(Agreement {
        flags: init.flags & (wanted | always),
        readahead_bytes: init.readahead_bytes,
        background: BACKGROUND_REQUESTS,
        pages: READ_PAGES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(major: u32, minor: u32) -> Init {
        Init {
            major,
            minor,
            readahead_bytes: 1 << 17,
            flags: !capability::POSIX_ACL,
        }
    }

    #[test]
    fn versions_before_linux_5_4_are_refused() {
        assert_eq!(agreement(&init(6, 99), 0).err(), Some(Errno::PROTO));
        assert_eq!(agreement(&init(7, 30), 0).err(), Some(Errno::PROTO));
        agreement(&init(7, 31), 0).unwrap();
        agreement(&init(8, 0), 0).unwrap();
    }

    #[test]
    fn nothing_is_agreed_on_that_one_side_does_not_know() {
        let wanted = capability::POSIX_ACL | capability::CACHE_SYMLINKS;
        let flags = agreement(&init(7, 45), wanted).unwrap().flags;
        assert_eq!(flags & capability::POSIX_ACL, 0);
        assert_ne!(flags & capability::CACHE_SYMLINKS, 0);
        assert_ne!(flags & capability::MAX_PAGES, 0);
        assert_eq!(flags & capability::NO_OPEN_SUPPORT, 0);
    }
}
