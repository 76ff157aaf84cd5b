//! Programs run one instruction at a time: `ptrace` with `PTRACE_SINGLESTEP`, which rustix lacks.
//!
//! [`Tracer::run`] starts a program and tells where each of its instructions stands, and those of
//! every process it forks, until they execute another program. For tools of the build: a step costs
//! some microseconds. [`peak_memory`] only stops a program where it ends, [`kill_at_change`] where
//! it enters a system call, for tests of what a kill at that moment leaves.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::ptr;

use crate::call::check;
use crate::{Errno, Result};

/// Follow children from their first instruction, tell `execve` from a plain trap, and let nothing
/// outlive the tracer.
const OPTIONS: libc::c_int = libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL;

/// The processes being traced by this thread. Processes left behind by one program are stepped on
/// while the next one runs, and die with the tracer's process.
#[derive(Debug, Default)]
pub struct Tracer;

impl Tracer {
    /// Runs `command` to its end and calls `at` with the address of each instruction.
    ///
    /// Every child of this thread is waited for here: it must have no other.
    ///
    /// # Errors
    /// Of starting the program, and of `ptrace`.
    pub fn run(&mut self, command: &mut Command, mut at: impl FnMut(u64)) -> Result<ExitStatus> {
        let root = start(command)?;
        let mut is_followed = false;
        loop {
            let (pid, status) = wait()?;
            if !libc::WIFSTOPPED(status) {
                if pid == root {
                    return Ok(ExitStatus::from_raw(status));
                }
                continue;
            }
            // The stop after the program's own `execve` comes first, without an event.
            if pid == root && !is_followed {
                is_followed = true;
                request(libc::PTRACE_SETOPTIONS, pid, OPTIONS)?;
            } else if status >> 16 == libc::PTRACE_EVENT_EXEC {
                request(libc::PTRACE_DETACH, pid, 0)?;
                continue;
            }
            step(pid, status, &mut at)?;
        }
    }
}

/// Runs `command` to its end: how it ended, and how many KiB it had resident at most.
///
/// Unlike `ru_maxrss` this does not begin with what the starting process had; the peak is the
/// kernel's `VmHWM`, read while the process ends. Its children are not counted.
///
/// # Errors
/// Of starting the program, of `ptrace`, and of reading /proc.
pub fn peak_memory(command: &mut Command) -> Result<(ExitStatus, u64)> {
    let root = start(command)?;
    let mut peak_kib = 0;
    loop {
        let status = wait_for(root)?;
        if !libc::WIFSTOPPED(status) {
            return Ok((ExitStatus::from_raw(status), peak_kib));
        }
        let mut signal = libc::WSTOPSIG(status);
        if status >> 16 == libc::PTRACE_EVENT_EXIT {
            // The event comes before the memory is given back (exit_mm).
            peak_kib = high_water_mark(root).ok_or(Errno::NODATA)?;
            signal = 0;
        } else if signal == libc::SIGTRAP {
            request(libc::PTRACE_SETOPTIONS, root, libc::PTRACE_O_TRACEEXIT)?;
            signal = 0;
        }
        request(libc::PTRACE_CONT, root, signal)?;
    }
}

fn high_water_mark(pid: libc::pid_t) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Runs `command` and kills the process that makes the `last`th system call that may change
/// something, before it is made; without `last` it runs to its end. Says how it ended, and how many
/// such calls were made.
///
/// Calls of all threads and children count, until a child executes another program. The others go
/// on, untraced, when the command's own process has ended.
///
/// # Errors
/// Of starting the program, and of `ptrace`.
pub fn kill_at_change(command: &mut Command, last: Option<u64>) -> Result<(ExitStatus, u64)> {
    // The end of the tracing thread is the end of the tracing, whatever the others do then.
    let (outcome, traced) = std::thread::scope(|scope| {
        let follow = || (follow_changes(command, last), traced_by_this_thread());
        let tracer = scope.spawn(follow);
        tracer
            .join()
            .unwrap_or_else(|_panic| (Err(Errno::IO), Vec::new()))
    });
    // One that has just been made was to stop for its tracer, and would stop for ever.
    for pid in traced {
        // SAFETY: kill takes no pointer.
        unsafe { libc::kill(pid, libc::SIGCONT) };
    }
    outcome
}

fn traced_by_this_thread() -> Vec<libc::pid_t> {
    let tracer = format!("TracerPid:\t{}", rustix::thread::gettid().as_raw_nonzero());
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| status.lines().any(|line| line == tracer))
    })
    .collect()
}

fn follow_changes(command: &mut Command, last: Option<u64>) -> Result<(ExitStatus, u64)> {
    let options = (OPTIONS & !libc::PTRACE_O_EXITKILL) | libc::PTRACE_O_TRACESYSGOOD;
    let root = start(command)?;
    let mut is_followed = false;
    let mut calls = 0;
    loop {
        let (pid, status) = wait()?;
        if !libc::WIFSTOPPED(status) {
            if pid == root {
                return Ok((ExitStatus::from_raw(status), calls));
            }
            continue;
        }
        let mut signal = libc::WSTOPSIG(status);
        if pid == root && !is_followed {
            is_followed = true;
            request(libc::PTRACE_SETOPTIONS, pid, options)?;
            signal = 0;
        } else if status >> 16 == libc::PTRACE_EVENT_EXEC && pid != root {
            ignore_dead(request(libc::PTRACE_DETACH, pid, 0))?;
            continue;
        } else if signal == libc::SIGTRAP | 0x80 {
            signal = 0;
            if is_change(pid) {
                calls += 1;
                if Some(calls) == last {
                    kill_group_of(pid)?;
                }
            }
        } else if status >> 16 != 0 || matches!(signal, libc::SIGTRAP | libc::SIGSTOP) {
            signal = 0;
        }
        ignore_dead(request(libc::PTRACE_SYSCALL, pid, signal))?;
    }
}

/// What was killed meanwhile is still to be waited for.
fn ignore_dead(done: Result<()>) -> Result<()> {
    match done {
        Err(Errno::SRCH) => Ok(()),
        done => done,
    }
}

fn kill_group_of(thread: libc::pid_t) -> Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let group = status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(thread);
    // SAFETY: kill takes no pointer.
    check(unsafe { libc::kill(group, libc::SIGKILL) }.into()).map(drop)
}

/// Whether a thread that stopped at a system call enters one that may change a file, a mount, a
/// process or another host.
fn is_change(pid: libc::pid_t) -> bool {
    // SAFETY: ptrace_syscall_info is integers only, for which zero is a value.
    let mut entered: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: PTRACE_GET_SYSCALL_INFO writes at most `size` bytes to the pointer, which is to a live
    // variable of that size.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut entered) };
    if check(result).is_err() || entered.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return false;
    }
    // SAFETY: of an entry the kernel fills this member of the union.
    let entry = unsafe { entered.u.entry };
    let number = libc::c_long::try_from(entry.nr).unwrap_or(-1);
    match number {
        libc::SYS_openat => is_opened_to_write(entry.args[2]),
        libc::SYS_open => is_opened_to_write(entry.args[1]),
        number => CHANGES.contains(&number),
    }
}

fn is_opened_to_write(flags: u64) -> bool {
    let writing = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    flags & u64::try_from(writing).unwrap_or(0) != 0
}

const CHANGES: [libc::c_long; 48] = [
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_splice,
    libc::SYS_openat2,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_linkat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_mknodat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_syncfs,
    libc::SYS_flock,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_move_mount,
    libc::SYS_connect,
    libc::SYS_close,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_exit_group,
];

/// Starts `command`, which stops behind its `execve`.
fn start(command: &mut Command) -> Result<libc::pid_t> {
    let trace_me = || {
        // SAFETY: PTRACE_TRACEME takes no argument; it is a lone system call, as a forked child of a
        // threaded program may make.
        let traced = unsafe { libc::ptrace(libc::PTRACE_TRACEME) };
        check(traced).map(drop).map_err(std::io::Error::from)
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    let spawned = unsafe { command.pre_exec(trace_me) }.spawn();
    let child = spawned.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    libc::pid_t::try_from(child.id()).or(Err(Errno::SRCH))
}

/// Tells where `pid` stands and lets it do one instruction more.
fn step(pid: libc::pid_t, status: libc::c_int, at: &mut impl FnMut(u64)) -> Result<()> {
    match instruction(pid) {
        Ok(address) => at(address),
        // Killed meanwhile: its end is still to be waited for.
        Err(Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let signal = libc::WSTOPSIG(status);
    let is_ours = status >> 16 != 0 || matches!(signal, libc::SIGTRAP | libc::SIGSTOP);
    match request(
        libc::PTRACE_SINGLESTEP,
        pid,
        if is_ours { 0 } else { signal },
    ) {
        Err(Errno::SRCH) => Ok(()),
        done => done,
    }
}

fn wait() -> Result<(libc::pid_t, libc::c_int)> {
    let mut status = 0;
    // Other threads wait for children of their own.
    // SAFETY: the pointer is to a live variable of the type that waitpid writes.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
    check(pid.into())?;
    Ok((pid, status))
}

fn wait_for(pid: libc::pid_t) -> Result<libc::c_int> {
    let mut status = 0;
    // SAFETY: the pointer is to a live variable of the type that waitpid writes.
    check(unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) }.into())?;
    Ok(status)
}

fn instruction(pid: libc::pid_t) -> Result<u64> {
    // SAFETY: user_regs_struct is integers only, for which zero is a value.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: PTRACE_GETREGS ignores the address and writes a user_regs_struct to the pointer.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_GETREGS,
            pid,
            ptr::null_mut::<libc::c_void>(),
            &raw mut registers,
        )
    };
    check(result)?;
    Ok(registers.rip)
}

/// A request whose last argument is a number.
fn request(request: libc::c_uint, pid: libc::pid_t, number: libc::c_int) -> Result<()> {
    // SAFETY: used with requests that ignore the address and read the last argument as a number.
    let result = unsafe {
        libc::ptrace(
            request,
            pid,
            ptr::null_mut::<libc::c_void>(),
            libc::c_long::from(number),
        )
    };
    check(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_instructions_up_to_the_exit_code() {
        let mut steps = 0;
        let mut command = Command::new("/bin/false");
        let status = Tracer.run(&mut command, |_| steps += 1).unwrap();
        assert_eq!(status.code(), Some(1));
        assert!(steps > 1000, "{steps}");
    }

    #[test]
    fn a_program_is_killed_at_the_change_that_was_asked_for() {
        let directory = std::env::temp_dir().join(format!("insula-trace-{}", std::process::id()));
        let touch = || {
            let mut command = Command::new("/bin/mkdir");
            command.arg(&directory);
            command
        };
        let (status, calls) = kill_at_change(&mut touch(), None).unwrap();
        assert!(status.success());
        std::fs::remove_dir(&directory).unwrap();
        let mut made = 0;
        for last in 1..=calls {
            let (status, seen) = kill_at_change(&mut touch(), Some(last)).unwrap();
            assert_eq!((status.signal(), seen), (Some(libc::SIGKILL), last));
            made += u64::from(std::fs::remove_dir(&directory).is_ok());
        }
        // Before the call it is not there, after it it is.
        assert!((1..calls).contains(&made), "{made} of {calls}");
    }

    #[test]
    fn the_peak_is_the_child_s_own() {
        let ours = vec![1_u8; 64 << 20];
        let (status, peak_kib) = peak_memory(&mut Command::new("/bin/true")).unwrap();
        assert!(status.success());
        assert!((100..32 << 10).contains(&peak_kib), "{peak_kib}");
        drop(ours);
    }
}
