//! `bpf(2)`, as far as the device filter of a cgroup v2 directory needs it.
//!
//! A filter is a program of [`Instruction`]s that the kernel runs on every open and mknod of a
//! device node. [`attach_device_filter`] gives it to a new cgroup, [`replace_device_filter`] puts
//! it in the place of whatever filters the cgroup has, without a moment in which none holds.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

const PROG_LOAD: u32 = 5;
const PROG_ATTACH: u32 = 8;
const PROG_DETACH: u32 = 9;
const PROG_GET_FD_BY_ID: u32 = 13;
const PROG_QUERY: u32 = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 1 << 1;
const F_REPLACE: u32 = 1 << 2;

/// The most filters one cgroup can hold (BPF_CGROUP_MAX_PROGS in kernel/bpf/cgroup.c).
const PROGRAMS_MAX: usize = 64;

/// How often a replacement is tried again when another writer changes the filters meanwhile.
const REPLACE_ATTEMPTS: usize = 20;

/// One instruction of eBPF, as the kernel lays it out (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

#[repr(C)]
#[derive(Default)]
struct LoadArguments {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct AttachArguments {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryArguments {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    program_count: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct ByIdArguments {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// A structure that `bpf(2)` may read and, within its size, write.
///
/// # Safety
/// Plain old data (`repr(C)`, every bit pattern valid) whose pointers, if any, are valid for what
/// the command does with them during the call.
unsafe trait Arguments {}

// SAFETY: integers only; the pointers are made from live slices in `load`.
unsafe impl Arguments for LoadArguments {}
// SAFETY: integers only, no pointer.
unsafe impl Arguments for AttachArguments {}
// SAFETY: integers only; the pointer is made from a live array in `device_filters`.
unsafe impl Arguments for QueryArguments {}
// SAFETY: integers only, no pointer.
unsafe impl Arguments for ByIdArguments {}

fn bpf<A: Arguments>(command: u32, arguments: &mut A) -> Result<i32> {
    // SAFETY: `arguments` is valid for reads and writes of its size, and its pointers are valid by
    // the contract of `Arguments`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(arguments),
            size_of::<A>(),
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    i32::try_from(result).or(Err(Errno::OVERFLOW))
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn descriptor(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Checks and loads a device filter; with `log`, the verifier's reasons are written there.
///
/// # Errors
/// `EPERM` without CAP_BPF (or CAP_SYS_ADMIN), `EINVAL` or `EACCES` when the verifier rejects the
/// program, `E2BIG` when it is too long.
pub fn load_device_filter(program: &[Instruction], log: Option<&mut [u8]>) -> Result<OwnedFd> {
    let mut arguments = LoadArguments {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).or(Err(Errno::TOOBIG))?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        name: *b"device_filter\0\0\0",
        ..LoadArguments::default()
    };
    if let Some(log) = log {
        arguments.log_level = 1;
        arguments.log_size = u32::try_from(log.len()).unwrap_or(u32::MAX);
        arguments.log = log.as_mut_ptr() as u64;
    }
    let fd = match bpf(PROG_LOAD, &mut arguments) {
        // Before kernel 5.11 programs count against RLIMIT_MEMLOCK, and EPERM says that too.
        Err(Errno::PERM) if raise_memory_lock_limit() => bpf(PROG_LOAD, &mut arguments)?,
        other => other?,
    };
    // SAFETY: the kernel has just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Raises the soft limit to the hard one; false when that changes nothing.
fn raise_memory_lock_limit() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Memlock);
    limit.current != limit.maximum
        && setrlimit(
            Resource::Memlock,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        )
        .is_ok()
}

/// Adds a filter to a cgroup v2 directory that has none of its own.
///
/// # Errors
/// `EPERM` without privilege or where an ancestor forbids filters of its own.
pub fn attach_device_filter(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    attach(cgroup, program, None)
}

fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let mut arguments = AttachArguments {
        target: descriptor(cgroup),
        program: descriptor(program),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        flags: F_ALLOW_MULTI,
        replaced: 0,
    };
    if let Some(replaced) = replaced {
        arguments.flags |= F_REPLACE;
        arguments.replaced = descriptor(replaced);
    }
    bpf(PROG_ATTACH, &mut arguments).map(drop)
}

fn detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut arguments = AttachArguments {
        target: descriptor(cgroup),
        program: descriptor(program),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        ..AttachArguments::default()
    };
    bpf(PROG_DETACH, &mut arguments).map(drop)
}

/// The numbers of the filters that the cgroup itself holds.
fn device_filters(cgroup: BorrowedFd<'_>) -> Result<([u32; PROGRAMS_MAX], usize)> {
    let mut programs = [0_u32; PROGRAMS_MAX];
    let mut arguments = QueryArguments {
        target: descriptor(cgroup),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        programs: programs.as_mut_ptr() as u64,
        program_count: u32::try_from(PROGRAMS_MAX).unwrap_or(u32::MAX),
        ..QueryArguments::default()
    };
    bpf(PROG_QUERY, &mut arguments)?;
    let count = usize::try_from(arguments.program_count).unwrap_or(0);
    Ok((programs, count.min(PROGRAMS_MAX)))
}

fn filter_by_id(id: u32) -> Result<OwnedFd> {
    let mut arguments = ByIdArguments {
        id,
        ..ByIdArguments::default()
    };
    let fd = bpf(PROG_GET_FD_BY_ID, &mut arguments)?;
    // SAFETY: the kernel has just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `program` the only filter of the cgroup. One that is there is exchanged atomically
/// (kernel 5.6); several, or an older kernel's, are removed after the new one holds.
///
/// # Errors
/// As [`attach_device_filter`]; `EBUSY` when other writers keep changing the filters.
pub fn replace_device_filter(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut exchange = true;
    for _ in 0..REPLACE_ATTEMPTS {
        let (programs, count) = device_filters(cgroup)?;
        let old = &programs[..count];
        if let (true, [only]) = (exchange, old) {
            let only = match filter_by_id(*only) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            match attach(cgroup, program, Some(only.as_fd())) {
                Err(Errno::NOENT) => {}
                Err(Errno::INVAL) => exchange = false,
                other => return other,
            }
            continue;
        }
        attach(cgroup, program, None)?;
        for id in old {
            let gone = filter_by_id(*id).and_then(|old| detach(cgroup, old.as_fd()));
            if !matches!(gone, Ok(()) | Err(Errno::NOENT)) {
                return gone;
            }
        }
        return Ok(());
    }
    Err(Errno::BUSY)
}
