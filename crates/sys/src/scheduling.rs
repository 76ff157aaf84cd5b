//! How the kernel runs a process: scheduler, I/O priority, NUMA memory policy, personality.

use crate::Result;
use crate::call::check;

/// The arguments of sched_setattr(2), version 1 of `struct sched_attr`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct SchedulerAttributes {
    /// Set by [`set_scheduler`].
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime_ns: u64,
    pub deadline_ns: u64,
    pub period_ns: u64,
    pub util_min: u32,
    pub util_max: u32,
}

/// Sets scheduling policy and parameters; `pid` 0 is the caller.
///
/// # Errors
/// As sched_setattr(2).
pub fn set_scheduler(pid: i32, attributes: &SchedulerAttributes) -> Result<()> {
    let mut attributes = *attributes;
    attributes.size = 56;
    // SAFETY: the structure is 56 bytes, as its size field says, and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0) })
        .map(drop)
}

/// Sets the I/O priority; `class` is 1 real time, 2 best effort, 3 idle; `pid` 0 is the caller.
///
/// # Errors
/// As ioprio_set(2).
pub fn set_io_priority(pid: i32, class: i32, priority: i32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    let value = (class << 13) | priority;
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value) }).map(drop)
}

/// Sets the caller's NUMA memory policy; `nodes` is a bit mask of nodes, empty for none.
///
/// # Errors
/// As set_mempolicy(2).
pub fn set_memory_policy(mode_and_flags: i32, nodes: &[u64]) -> Result<()> {
    let bits = nodes.len() * 64;
    let (pointer, max) = if nodes.is_empty() {
        (std::ptr::null(), 0)
    } else {
        (nodes.as_ptr(), bits + 1)
    };
    // SAFETY: the kernel reads `max - 1` bits, all inside `nodes`.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode_and_flags, pointer, max) }).map(drop)
}

/// Sets the execution domain (8 is `PER_LINUX32`).
///
/// # Errors
/// As personality(2).
pub fn set_personality(persona: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_personality, persona) }).map(drop)
}

/// Gives the caller a new session keyring with this name, so that it does not share its parent's.
///
/// # Errors
/// As keyctl(2); `ENOSYS` where the kernel has no keys, `EDQUOT` when the quota is used up.
pub fn join_session_keyring(name: &std::ffi::CStr) -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: the name is a C string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })
        .map(drop)
}
