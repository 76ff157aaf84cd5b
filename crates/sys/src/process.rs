//! Making processes and waiting for them: clone3(2), pidfd, waitid(2), execve(2), signals.

use std::convert::Infallible;
use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::call::{check, last};
use crate::{Errno, Result};

pub const CLONE_NEWNS: u64 = 0x0002_0000;
pub const CLONE_PARENT: u64 = 0x0000_8000;
pub const CLONE_NEWCGROUP: u64 = 0x0200_0000;
pub const CLONE_NEWUTS: u64 = 0x0400_0000;
pub const CLONE_NEWIPC: u64 = 0x0800_0000;
pub const CLONE_NEWUSER: u64 = 0x1000_0000;
pub const CLONE_NEWPID: u64 = 0x2000_0000;
pub const CLONE_NEWNET: u64 = 0x4000_0000;
pub const CLONE_NEWTIME: u64 = 0x0000_0080;
const CLONE_PIDFD: u64 = 0x0000_1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child made by [`clone3`].
#[derive(Debug)]
pub struct Child {
    /// As the caller's PID namespace sees it.
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Runs `child` in a new process, a copy of this one with its own memory, made with the given
/// `CLONE_NEW*` flags and, where given, placed into the cgroup v2 directory `cgroup`. `child` never
/// returns: it replaces itself by a program or ends with [`exit_now`].
///
/// # Errors
/// `EBUSY` when this process has more than one thread: the child would inherit locks that nobody
/// can release. Otherwise what clone3(2) says.
pub fn clone3(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> Infallible,
) -> Result<Child> {
    if !is_single_threaded() {
        return Err(Errno::BUSY);
    }
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is the documented "nothing asked" value of clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | CLONE_PIDFD;
    arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
    if flags & CLONE_PARENT == 0 {
        arguments.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    }
    if let Some(directory) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(directory.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM the child gets its own copy of memory and stack and goes on from
    // here, as after fork(2). This process has one thread (checked above), so no lock of the
    // allocator can be held by somebody who does not exist in the child.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            ptr::from_mut(&mut arguments),
            size_of::<libc::clone_args>(),
        )
    };
    if check(result)? == 0 {
        child();
    }
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(result).map_err(|_too_large| Errno::RANGE)?;
    Ok(Child { pid, pidfd })
}

/// Whether glibc has seen a second thread in this process.
fn is_single_threaded() -> bool {
    unsafe extern "C" {
        static __libc_single_threaded: c_char;
    }
    // SAFETY: glibc (2.32 and newer) defines this variable; it is only ever written by glibc.
    unsafe { __libc_single_threaded != 0 }
}

/// Lets go of the pages of this program's own code and constants that are mapped here. They are the
/// page cache's and come back when they are used again; until then they do not count as this
/// process's memory.
pub fn release_program_pages() {
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    let start = &raw const __executable_start;
    let length = ((&raw const etext) as usize - start as usize) & !4095;
    // SAFETY: from the first byte of the executable to the end of its text lie only read-only
    // mappings of the file, so nothing that was written can be lost.
    unsafe { libc::madvise(start.cast_mut().cast(), length, libc::MADV_DONTNEED) };
}

/// Ends this process at once: no destructors, no buffers flushed.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

/// Replaces this process by a program. Returns only on failure.
pub fn execve(path: &CString, arguments: &[CString], environment: &[CString]) -> Errno {
    let argv = pointers(arguments);
    let envp = pointers(environment);
    // SAFETY: both arrays end in a null pointer and all strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// Sends a signal; 0 only asks whether the process is there.
///
/// # Errors
/// As pidfd_send_signal(2): `ESRCH` when the process is gone, `EINVAL` for a number that is no
/// signal.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: the null siginfo is allowed; no memory is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<u8>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Sends a signal by process id. Only for processes that this process knows to exist (members of
/// a cgroup it owns), because ids are reused.
///
/// # Errors
/// As kill(2).
pub fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Joins namespaces: `target` is a namespace file (then `flags` is one `CLONE_NEW*` or 0) or a
/// pidfd (then any set of them).
///
/// # Errors
/// As setns(2): `EINVAL` when the file is a namespace of another type.
pub fn setns(target: BorrowedFd<'_>, flags: u64) -> Result<()> {
    let flags = libc::c_int::try_from(flags).map_err(|_too_large| Errno::INVAL)?;
    // SAFETY: no memory is passed. Namespaces of this thread change; the callers are
    // single-threaded by the contract of `clone3`.
    check(libc::c_long::from(unsafe {
        libc::setns(target.as_raw_fd(), flags)
    }))
    .map(drop)
}

/// Moves this process into new namespaces.
///
/// # Errors
/// As unshare(2).
pub fn unshare(flags: u64) -> Result<()> {
    let flags = libc::c_int::try_from(flags).map_err(|_too_large| Errno::INVAL)?;
    // SAFETY: only namespace flags are passed by this crate's constants; descriptor tables and
    // memory stay shared as they are.
    check(libc::c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// The shell's convention: the code itself, or 128 + signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Waits for a child and reaps it.
///
/// # Errors
/// `ECHILD` when it is not a child of this process.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Exit> {
    wait_with(pidfd, 0)?.ok_or(Errno::CHILD)
}

/// Reaps a child if it has ended.
///
/// # Errors
/// As for [`wait`].
pub fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<Exit>> {
    wait_with(pidfd, libc::WNOHANG)
}

fn wait_with(pidfd: BorrowedFd<'_>, options: libc::c_int) -> Result<Option<Exit>> {
    // SAFETY: all-zero is a valid siginfo; the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `info` is a valid place for one siginfo.
        let result = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                pidfd.as_raw_fd().unsigned_abs(),
                &raw mut info,
                libc::WEXITED | options,
            )
        };
        match check(libc::c_long::from(result)) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    // SAFETY: waitid with WEXITED fills the SIGCHLD fields; with WNOHANG and no child ready the
    // structure stays zero, which reads as pid 0.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then_some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        _ => Exit::Signal(status),
    }))
}

/// Undoes what this program did to signals: Rust's start-up ignores SIGPIPE and [`block_signals`]
/// blocks all. What the caller had ignored stays ignored, as across any exec.
pub fn reset_signals() {
    // SAFETY: SIG_DFL needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    unblock_signals();
}

/// Undoes [`block_signals`] for the calling thread.
pub fn unblock_signals() {
    // SAFETY: an all-zero set is the empty set; both pointers are valid or null.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut());
    }
}

/// Blocks every signal and returns a descriptor on which they can be read one by one.
///
/// # Errors
/// As signalfd(2).
pub fn block_signals() -> Result<SignalFd> {
    // SAFETY: `sigfillset` initialises the set before it is used; pointers are valid.
    let fd = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
        libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    check(libc::c_long::from(fd))?;
    // SAFETY: signalfd returned a new descriptor that nobody else owns.
    Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The descriptor of [`block_signals`].
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl std::os::fd::AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl SignalFd {
    /// The next pending signal's number, or `None` when there is none.
    ///
    /// # Errors
    /// As read(2).
    pub fn read(&self) -> Result<Option<i32>> {
        let mut info = [0_u8; 128];
        match rustix::io::read(&self.0, &mut info) {
            Ok(128) => Ok(info[..4].try_into().ok().map(i32::from_ne_bytes)),
            Ok(_) | Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
