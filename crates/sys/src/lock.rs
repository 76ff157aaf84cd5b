//! Who holds a lock of fcntl(2): asked without taking it.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Result;
use crate::call::check;

/// The process that holds a lock on the file which keeps an exclusive one away; `None` when it is
/// free. The own locks of this process do not count.
///
/// # Errors
/// As fcntl(2) with `F_GETLK`.
pub fn holder(file: BorrowedFd<'_>) -> Result<Option<i32>> {
    // SAFETY: all-zero is a valid flock: it means the whole file, from its start.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = i16::try_from(libc::F_WRLCK).unwrap_or_default();
    // SAFETY: the descriptor is open and `lock` is a valid place for the answer.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    check(libc::c_long::from(result))?;
    let is_free = i32::from(lock.l_type) == libc::F_UNLCK;
    Ok((!is_free).then_some(lock.l_pid))
}
