//! A user namespace nobody lives in: the mapping that an id-mapped mount points at.
//!
//! mount_setattr(2) takes a mapping only as the file descriptor of a user namespace, and a
//! namespace is made only together with a process. That process waits until its mapping is
//! written and the namespace is open, and is then killed. Start at [`create`].

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};

/// Whether this process lives in the user namespace of the host, whose number never changes
/// (`PROC_USER_INIT_INO` of the kernel).
#[must_use]
pub fn is_initial() -> bool {
    const INITIAL: u64 = 0xEFFF_FFFD;
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|found| found.st_ino == INITIAL)
}

/// A user namespace with these mappings, as lines of `/proc/PID/uid_map` and `gid_map`.
///
/// # Errors
/// A message for the step that failed: making the process, a mapping the kernel refuses, or
/// opening the namespace.
pub fn create(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let child = Waiting::start()?;
    let process = format!("/proc/{}", child.pid.as_raw_nonzero());
    let write = |file: &str, map: &str| {
        fs::write(format!("{process}/{file}"), map)
            .map_err(|error| io::Error::new(error.kind(), format!("write {file}: {error}")))
    };
    write("uid_map", uid_map)?;
    write("gid_map", gid_map)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(
        format!("{process}/ns/user"),
        flags,
        Mode::empty(),
    )?)
}

/// A child in a new user namespace that only waits to be killed; dropping it does that.
struct Waiting {
    pid: Pid,
}

impl Waiting {
    fn start() -> io::Result<Self> {
        // SAFETY: without CLONE_VM this is fork(2): the child has its own memory and makes only
        // system calls until it dies.
        let result = unsafe {
            libc::syscall(
                libc::SYS_clone,
                libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD),
                0,
                0,
                0,
                0,
            )
        };
        if result == 0 {
            wait_for_death();
        }
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let pid = i32::try_from(result).ok().and_then(Pid::from_raw);
        pid.map(|pid| Self { pid })
            .ok_or_else(|| io::Error::other("clone gave no process id"))
    }
}

fn wait_for_death() -> ! {
    // SAFETY: prctl and pause take no pointers. The signal covers a parent that is killed first.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        loop {
            libc::pause();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Both fail only if the child is gone already.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_the_kernel_refuses_is_named() {
        let error = create("0 0 0\n", "0 0 1\n").unwrap_err();
        assert!(error.to_string().contains("uid_map") || error.raw_os_error().is_some());
    }
}
