//! Descriptors by number: what a program inherits and what it must not.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::Result;
use crate::call::check;

/// Marks every descriptor from `first` on to be closed by exec.
///
/// # Errors
/// As close_range(2); `EINVAL` before Linux 5.11.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: only a flag of the descriptors changes; all stay open and owned by whoever owns them.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) })
        .map(drop)
}

/// Closes every descriptor above standard error but those `kept`, in a process made by
/// [`crate::process::clone3`] whose descriptors' owners live in the parent. The process must end by
/// exec or `exit_now` and not use the closed ones again, so that no destructor closes a number a
/// second time.
///
/// # Errors
/// As close_range(2).
pub fn close_copies_but(kept: &mut [RawFd]) -> Result<()> {
    kept.sort_unstable();
    let mut first: u32 = 3;
    for number in kept.iter().filter_map(|number| u32::try_from(*number).ok()) {
        if number > first {
            close_range(first, number - 1)?;
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: by the contract of the only caller these are copies that nobody owns in this process.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Whether this number is an open descriptor.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no argument and changes nothing.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// A copy, here, of a descriptor of another process.
///
/// # Errors
/// As pidfd_getfd(2): `EBADF` when that process has no such descriptor, `EPERM` without the right
/// to trace it.
pub fn copy_from(pidfd: std::os::fd::BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    // SAFETY: no memory is passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).unwrap_or(-1)) })
}

/// Closes, in a process made by [`crate::process::clone3`], the copy of a descriptor whose owner
/// lives in the parent. The process must end by exec or `exit_now`, so that no destructor closes
/// the number a second time.
pub fn close_copy(fd: std::os::fd::BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    // SAFETY: after clone3 without CLONE_FILES this process has a descriptor table of its own; the
    // owner's destructor runs in the parent only, as the contract above demands.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Takes on a descriptor that this process was started with, by its number. It is closed on the
/// next exec.
///
/// # Errors
/// `EBADF` when there is no such descriptor.
pub fn inherit(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: no memory is passed; a number that is no descriptor gives EBADF.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    check(libc::c_long::from(copy))?;
    // SAFETY: fcntl made a new descriptor that nobody else owns. The number it was copied from came
    // with the process's start, so nothing in this program owns it either.
    unsafe {
        libc::close(number);
        Ok(OwnedFd::from_raw_fd(copy))
    }
}
