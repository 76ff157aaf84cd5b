//! The ids of this process's user namespace, and a user namespace nobody lives in: the mapping that
//! an id-mapped mount points at.
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

/// Ids that follow each other inside of a namespace and outside: a line of `uid_map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

fn ranges(map: &str) -> impl Iterator<Item = IdRange> {
    map.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        Some(IdRange {
            inside: numbers.next()?.ok()?,
            outside: numbers.next()?.ok()?,
            count: numbers.next()?.ok()?,
        })
    })
}

/// The number that the user `inside` has in the namespace above; its own when there is none.
#[must_use]
pub fn outer_user(inside: u32) -> u32 {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let outer = ranges(&map).find_map(|range| {
        let offset = inside.checked_sub(range.inside)?;
        (offset < range.count).then(|| range.outside + offset)
    });
    outer.unwrap_or(inside)
}

/// The ids that there are for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// The host's: all.
    Host,
    /// A namespace's: from 0 on, so many of them.
    Namespace { users: u32, groups: u32 },
}

impl Ids {
    #[must_use]
    pub fn of_this_process() -> Self {
        if is_initial() {
            return Self::Host;
        }
        let count = |path: &str| first_gap(&fs::read_to_string(path).unwrap_or_default());
        Self::Namespace {
            users: count("/proc/self/uid_map"),
            groups: count("/proc/self/gid_map"),
        }
    }

    /// Whether a user and a group are among them.
    #[must_use]
    pub fn contain(self, (uid, gid): (u32, u32)) -> bool {
        match self {
            Self::Host => true,
            Self::Namespace { users, groups } => uid < users && gid < groups,
        }
    }

    /// Who of these has what belongs to `uid` and `gid`: `own` takes the place of who is not there.
    #[must_use]
    pub fn owner(self, (uid, gid): (u32, u32), own: (u32, u32)) -> (u32, u32) {
        match self {
            Self::Host => (uid, gid),
            Self::Namespace { users, groups } => (
                if uid < users { uid } else { own.0 },
                if gid < groups { gid } else { own.1 },
            ),
        }
    }
}

/// The first id from 0 on that a map does not have.
fn first_gap(map: &str) -> u32 {
    ranges(map).fold(0, |next, range| match range.inside == next {
        true => next.saturating_add(range.count),
        false => next,
    })
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
    fn ids_are_counted_up_to_the_first_gap() {
        assert_eq!(first_gap("         0       1000          1\n"), 1);
        assert_eq!(first_gap("0 1000 1\n1 100000 65536\n"), 65_537);
        assert_eq!(first_gap("0 1000 1\n5 100000 10\n"), 1);
        assert_eq!(first_gap("0 0 4294967295\n"), u32::MAX);
        assert_eq!(first_gap(""), 0);
    }

    #[test]
    fn owners_without_a_number_are_replaced() {
        let one = Ids::Namespace {
            users: 1,
            groups: 9,
        };
        assert_eq!(one.owner((5, 5), (0, 0)), (0, 5));
        assert!(one.contain((0, 8)) && !one.contain((1, 0)) && !one.contain((0, 9)));
        assert_eq!(Ids::Host.owner((5, 6), (0, 0)), (5, 6));
    }

    #[test]
    fn a_mapping_the_kernel_refuses_is_named() {
        let error = create("0 0 0\n", "0 0 1\n").unwrap_err();
        assert!(error.to_string().contains("uid_map") || error.raw_os_error().is_some());
    }
}
