//! Questions to namespace files: ioctl_ns(2).

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Result;
use crate::call::check;

/// The `CLONE_NEW*` flag of the namespace behind an open file.
///
/// # Errors
/// `ENOTTY` when the file is no namespace.
pub fn kind_of(file: BorrowedFd<'_>) -> Result<u64> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: this request takes no argument.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    check(result.into()).map(i64::unsigned_abs)
}
