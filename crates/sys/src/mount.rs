//! Mount calls that rustix lacks: mount(2) with plain flags, mount_setattr(2) and the user
//! namespace that an id-mapped mount takes its mapping from.
//!
//! rustix's `mount` covers fsopen, fsmount, open_tree and move_mount. Start at [`set_attributes`].

use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::path::Arg;

use crate::Result;
use crate::call::check;

/// `MS_*`: flags of mount(2), as the kernel numbers them.
pub mod flag {
    pub const READ_ONLY: u32 = 1;
    pub const NO_SUID: u32 = 1 << 1;
    pub const NO_DEV: u32 = 1 << 2;
    pub const NO_EXEC: u32 = 1 << 3;
    pub const SYNCHRONOUS: u32 = 1 << 4;
    pub const REMOUNT: u32 = 1 << 5;
    pub const MANDATORY_LOCK: u32 = 1 << 6;
    pub const DIRECTORY_SYNC: u32 = 1 << 7;
    pub const NO_SYMLINK_FOLLOW: u32 = 1 << 8;
    pub const NO_ACCESS_TIME: u32 = 1 << 10;
    pub const NO_DIRECTORY_ACCESS_TIME: u32 = 1 << 11;
    pub const BIND: u32 = 1 << 12;
    pub const MOVE: u32 = 1 << 13;
    pub const RECURSIVE: u32 = 1 << 14;
    pub const SILENT: u32 = 1 << 15;
    pub const UNBINDABLE: u32 = 1 << 17;
    pub const PRIVATE: u32 = 1 << 18;
    pub const SLAVE: u32 = 1 << 19;
    pub const SHARED: u32 = 1 << 20;
    pub const RELATIVE_ACCESS_TIME: u32 = 1 << 21;
    pub const INODE_VERSION: u32 = 1 << 23;
    pub const STRICT_ACCESS_TIME: u32 = 1 << 24;
    pub const LAZY_TIME: u32 = 1 << 25;
}

/// `MOUNT_ATTR_*`: attributes of one mount, for fsmount(2) and mount_setattr(2).
pub mod attribute {
    pub const READ_ONLY: u32 = 0x1;
    pub const NO_SUID: u32 = 0x2;
    pub const NO_DEV: u32 = 0x4;
    pub const NO_EXEC: u32 = 0x8;
    /// Mask of the access-time setting, of which relative access time is value 0.
    pub const ACCESS_TIME: u32 = 0x70;
    pub const RELATIVE_ACCESS_TIME: u32 = 0;
    pub const NO_ACCESS_TIME: u32 = 0x10;
    pub const STRICT_ACCESS_TIME: u32 = 0x20;
    pub const NO_DIRECTORY_ACCESS_TIME: u32 = 0x80;
    pub const NO_SYMLINK_FOLLOW: u32 = 0x20_0000;
    /// Kept out of [`super::Attributes`]: [`super::Attributes::id_map`] sets it.
    pub(super) const ID_MAP: u64 = 0x10_0000;
}

/// What [`set_attributes`] changes. The default changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'a> {
    /// Bits of [`attribute`] to set and to clear; clearing happens first.
    pub set: u32,
    pub clear: u32,
    /// One of `flag::{PRIVATE, SLAVE, SHARED, UNBINDABLE}`, or 0.
    pub propagation: u32,
    /// The user namespace whose mapping the mount gets (kernel 5.12, detached mounts only).
    pub id_map: Option<BorrowedFd<'a>>,
}

impl Attributes<'_> {
    /// Whether applying it would change anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0 && self.propagation == 0 && self.id_map.is_none()
    }
}

/// Whether a change reaches the mounts below, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    One,
    Recursive,
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// mount_setattr(2) on the mount that `mount` is the root of.
///
/// # Errors
/// The kernel's; `EINVAL` also where `mount` is not the root of a mount.
pub fn set_attributes(mount: impl AsFd, reach: Reach, change: &Attributes<'_>) -> Result<()> {
    let flags = match reach {
        Reach::One => libc::AT_EMPTY_PATH,
        Reach::Recursive => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    mount_setattr(mount.as_fd().as_raw_fd(), c"", flags, change)
}

/// The same by path, links followed, for the one mount at its end.
///
/// # Errors
/// As for [`set_attributes`], and those of looking up a path.
pub fn set_attributes_at(path: &CStr, change: &Attributes<'_>) -> Result<()> {
    mount_setattr(libc::AT_FDCWD, path, 0, change)
}

fn mount_setattr(
    directory: RawFd,
    path: &CStr,
    flags: libc::c_int,
    change: &Attributes<'_>,
) -> Result<()> {
    let mut attr = MountAttr {
        attr_set: u64::from(change.set),
        attr_clr: u64::from(change.clear),
        propagation: u64::from(change.propagation),
        userns_fd: 0,
    };
    if let Some(namespace) = change.id_map {
        attr.attr_set |= attribute::ID_MAP;
        attr.userns_fd = u64::from(namespace.as_raw_fd().unsigned_abs());
    }
    // SAFETY: the path is a C string, `attr` outlives the call and its size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// mount(2) with flags of [`flag`]; an absent string is a null pointer.
///
/// # Errors
/// The kernel's.
pub fn mount(
    source: Option<&CStr>,
    target: impl Arg,
    kind: Option<&CStr>,
    flags: u32,
    data: Option<&CStr>,
) -> Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    target.into_with_c_str(|target| {
        // SAFETY: every pointer is null or a C string that lives until the call returns, and no
        // file system takes binary data here.
        check(libc::c_long::from(unsafe {
            libc::mount(
                pointer(source),
                target.as_ptr(),
                pointer(kind),
                libc::c_ulong::from(flags),
                pointer(data).cast(),
            )
        }))
        .map(drop)
    })
}
