//! The one place where a raw result becomes `Result`.

use crate::{Errno, Result};

/// Turns libc's `-1 and errno` into `Result`.
pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long> {
    if result == -1 {
        Err(last())
    } else {
        Ok(result)
    }
}

/// The error of the last failed libc call of this thread.
pub(crate) fn last() -> Errno {
    // SAFETY: `__errno_location` returns this thread's errno, which is always valid to read.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
