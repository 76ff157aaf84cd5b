//! Programs run one instruction at a time: `ptrace` with `PTRACE_SINGLESTEP`, which rustix lacks.
//!
//! [`Tracer::run`] starts a program and tells where each of its instructions stands, and those of
//! every process it forks, until they execute another program. For tools of the build: a step costs
//! some microseconds. [`peak_memory`] only stops a program where it ends.

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
    fn the_peak_is_the_child_s_own() {
        let ours = vec![1_u8; 64 << 20];
        let (status, peak_kib) = peak_memory(&mut Command::new("/bin/true")).unwrap();
        assert!(status.success());
        assert!((100..32 << 10).contains(&peak_kib), "{peak_kib}");
        drop(ours);
    }
}
