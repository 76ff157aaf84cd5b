//! What a child process used: `wait4`, which rustix does not have.

use std::mem::MaybeUninit;
use std::process::ExitStatus;
use std::time::Duration;

use std::os::unix::process::ExitStatusExt as _;

use crate::{Errno, Result};

/// How a child ended and what it and the descendants that it waited for used.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub status: ExitStatus,
    /// User and system time together.
    pub cpu: Duration,
    /// Starts at what the forking process had resident: see `getrusage(2)`, `ru_maxrss`.
    pub peak_kib: u64,
}

/// Waits for the child `pid` and reaps it.
///
/// # Errors
/// `ECHILD` when `pid` is not a child of this process, or has been waited for already.
pub fn wait_with_usage(pid: u32) -> Result<Ended> {
    let pid = libc::pid_t::try_from(pid).or(Err(Errno::SRCH))?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to live variables of the types that wait4 writes.
        if unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } == pid {
            break;
        }
        let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
    // SAFETY: zeroed is a valid rusage, and wait4 has filled it in.
    let usage = unsafe { usage.assume_init() };
    Ok(Ended {
        status: ExitStatus::from_raw(status),
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "waiting for it is what is tested")]
    fn counts_what_a_child_used() {
        let child = Command::new("/bin/sh")
            .args(["-c", "exit 3"])
            .spawn()
            .unwrap();
        let ended = wait_with_usage(child.id()).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.peak_kib > 0);
    }

    #[test]
    fn another_process_is_no_child() {
        assert_eq!(wait_with_usage(1).unwrap_err(), Errno::CHILD);
    }
}
