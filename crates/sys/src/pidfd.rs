//! What the kernel tells of a process by its pidfd, also to those who are not its parent.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::process::Exit;

/// `struct pidfd_info` as of Linux 6.15 (include/uapi/linux/pidfd.h).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const GET_INFO: u64 = (3 << 30) | ((size_of::<PidfdInfo>() as u64) << 16) | (0xff << 8) | 11;

/// How a process ended that need not be a child of this one; `None` when it has not been reaped yet
/// or the kernel is older than 6.15. The descriptor must have been opened before the end.
#[must_use]
pub fn exit_of(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    let mut info = PidfdInfo {
        mask: INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the kernel fills at most the size that is part of the request's number.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) };
    if result != 0 || info.mask & INFO_EXIT == 0 {
        return None;
    }
    // As wait(2) codes it: a signal in the low seven bits, or a code above eight.
    Some(match info.exit_code & 0x7f {
        0 => Exit::Code((info.exit_code >> 8) & 0xff),
        signal => Exit::Signal(signal),
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn an_end_is_known_after_somebody_else_has_reaped() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "exit 7"])
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        // The library reaps, and we only look on.
        child.wait().unwrap();
        let known = exit_of(pidfd.as_fd());
        assert!(matches!(known, None | Some(Exit::Code(7))), "{known:?}");
    }
}
