//! The last system calls before another program takes over a process.
//!
//! They are prepared as a list ([`LastMile`]) and then made by a few instructions copied to
//! anonymous memory, *after this program's own file has been unmapped* and `/proc/self/exe` points
//! elsewhere. So the program that follows has no way to the host's binary: not by `/proc/self/exe`
//! as interpreter of a script, not by `/proc/PID/exe` of a process that just joined its namespaces
//! (CVE-2019-5736), and no copy of the binary has to be made for it.
//!
//! ```text
//!  arena (mmap):  code | calls[] | arguments, environment, filter …
//!  code:          for call in calls { syscall; on error: write(report) ; exit }
//! ```
//!
//! Start reading at [`LastMile::run`]. Needs `CONFIG_CHECKPOINT_RESTORE` ([`is_available`]).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::call::check;
use crate::seccomp::Instruction;
use crate::{Errno, Result};

/// What a failed call is reported as: 24 bytes, [`REPORT_TAG`], the call's label, the errno.
pub const REPORT_SIZE: usize = 24;
/// The first eight bytes of a report, as a little-endian number.
pub const REPORT_TAG: u64 = b'X' as u64;

const ARGUMENTS: usize = 6;
const IGNORE_ERROR: u64 = 1;
const STORE_RESULT: u64 = 2;

/// One prepared call, as the copied code reads it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Call {
    number: u64,
    arguments: [u64; ARGUMENTS],
    flags: u64,
    store: u64,
    label: u64,
}

const CALL_SIZE: usize = size_of::<Call>();

/// A value that is either a number or a place in the arena.
#[derive(Debug, Clone, Copy)]
enum Value {
    Number(u64),
    Offset(usize),
}

/// A list of system calls that ends in execve(2).
#[derive(Debug, Default)]
pub struct LastMile {
    calls: Vec<(Call, [Option<usize>; ARGUMENTS], Option<usize>)>,
    bytes: Vec<u8>,
    /// Offsets in `bytes` of words that hold offsets and become addresses.
    pointers: Vec<usize>,
}

impl LastMile {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the capability sets of the thread (bit masks).
    pub fn set_capabilities(
        &mut self,
        label: u64,
        effective: u64,
        permitted: u64,
        inheritable: u64,
    ) {
        const VERSION_3: u32 = 0x2008_0522;
        let header = self.put(&[VERSION_3.to_ne_bytes(), 0_u32.to_ne_bytes()].concat());
        let halves = |sets: u64| {
            [
                sets.to_ne_bytes()[..4].to_vec(),
                sets.to_ne_bytes()[4..].to_vec(),
            ]
        };
        let (e, p, i) = (halves(effective), halves(permitted), halves(inheritable));
        let words = [&e[0], &p[0], &i[0], &e[1], &p[1], &i[1]]
            .map(Vec::as_slice)
            .concat();
        let sets = self.put(&words);
        self.push(
            label,
            libc::SYS_capset,
            &[Value::Offset(header), Value::Offset(sets)],
            0,
        );
    }

    /// Adds one capability to the ambient set. A refusal is not an error: the capability is then
    /// not in both the permitted and the inheritable set.
    pub fn raise_ambient(&mut self, label: u64, capability: u64) {
        let arguments = [
            Value::Number(libc::PR_CAP_AMBIENT.unsigned_abs().into()),
            Value::Number(libc::PR_CAP_AMBIENT_RAISE.unsigned_abs().into()),
            Value::Number(capability),
            Value::Number(0),
            Value::Number(0),
        ];
        self.push(label, libc::SYS_prctl, &arguments, IGNORE_ERROR);
    }

    /// Sets a resource limit (setrlimit(2), `resource` is the kernel's number).
    pub fn set_limit(&mut self, label: u64, resource: u32, soft: u64, hard: u64) {
        let limit = self.put(&[soft.to_ne_bytes(), hard.to_ne_bytes()].concat());
        let arguments = [0, u64::from(resource)]
            .map(Value::Number)
            .into_iter()
            .chain([Value::Offset(limit), Value::Number(0)]);
        let arguments: Vec<Value> = arguments.collect();
        self.push(label, libc::SYS_prlimit64, &arguments, 0);
    }

    /// Loads a seccomp filter.
    pub fn load_seccomp(&mut self, label: u64, program: &[Instruction], flags: u64) {
        let arguments = self.seccomp_arguments(program, flags);
        self.push(label, libc::SYS_seccomp, &arguments, 0);
    }

    /// Loads a seccomp filter with a listener, writes `tag` and the listener's number (two
    /// native-endian `u64`) to `channel` and waits until the other side has answered one byte.
    pub fn load_seccomp_with_listener(
        &mut self,
        label: u64,
        program: &[Instruction],
        flags: u64,
        channel: BorrowedFd<'_>,
        tag: u64,
    ) {
        let arguments = self.seccomp_arguments(program, flags);
        let message = self.put(&[tag.to_ne_bytes(), 0_u64.to_ne_bytes()].concat());
        let index = self.push(label, libc::SYS_seccomp, &arguments, STORE_RESULT);
        self.calls[index].2 = Some(message + 8);
        let fd = Value::Number(channel.as_raw_fd().unsigned_abs().into());
        let message = Value::Offset(message);
        self.push(label, libc::SYS_write, &[fd, message, Value::Number(16)], 0);
        self.push(label, libc::SYS_read, &[fd, message, Value::Number(1)], 0);
    }

    fn seccomp_arguments(&mut self, program: &[Instruction], flags: u64) -> [Value; 3] {
        const SET_MODE_FILTER: u64 = 1;
        let bytes: Vec<u8> = program.iter().flat_map(|line| line.to_bytes()).collect();
        let instructions = self.put(&bytes);
        let count = u16::try_from(program.len()).unwrap_or(u16::MAX);
        let header = self.put(&u64::from(count).to_ne_bytes());
        let pointer = self.put(&(instructions as u64).to_ne_bytes());
        self.pointers.push(pointer);
        [
            Value::Number(SET_MODE_FILTER),
            Value::Number(flags),
            Value::Offset(header),
        ]
    }

    /// The end of the list: the program that takes over.
    pub fn execve(&mut self, label: u64, path: &CStr, arguments: &[&CStr], environment: &[&CStr]) {
        let path = self.put(path.to_bytes_with_nul());
        let argv = self.string_array(arguments);
        let envp = self.string_array(environment);
        let values = [
            Value::Offset(path),
            Value::Offset(argv),
            Value::Offset(envp),
        ];
        self.push(label, libc::SYS_execve, &values, 0);
    }

    fn string_array(&mut self, strings: &[&CStr]) -> usize {
        let offsets: Vec<u64> = strings
            .iter()
            .map(|string| self.put(string.to_bytes_with_nul()) as u64)
            .collect();
        let start = self.put(&vec![0; (offsets.len() + 1) * 8]);
        for (index, offset) in offsets.iter().enumerate() {
            let place = start + index * 8;
            self.bytes[place..place + 8].copy_from_slice(&offset.to_ne_bytes());
            self.pointers.push(place);
        }
        start
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        offset
    }

    fn push(&mut self, label: u64, number: i64, values: &[Value], flags: u64) -> usize {
        let mut call = Call {
            number: number.unsigned_abs(),
            flags,
            label,
            ..Call::default()
        };
        let mut offsets = [None; ARGUMENTS];
        for (index, value) in values.iter().enumerate() {
            match *value {
                Value::Number(number) => call.arguments[index] = number,
                Value::Offset(offset) => offsets[index] = Some(offset),
            }
        }
        self.calls.push((call, offsets, None));
        self.calls.len() - 1
    }

    /// Unmaps this program, makes `/proc/self/exe` the file `executable` and makes the calls. When
    /// one fails, a report is written to `report` and the process exits with 1. Returns only when
    /// the list could not even be begun. Without `executable` the program stays: for a kernel that
    /// cannot change it, where the program must run from a sealed copy ([`crate::sealed`]).
    pub fn run(mut self, executable: Option<BorrowedFd<'_>>, report: BorrowedFd<'_>) -> Errno {
        if let Some(executable) = executable {
            self.hide_program(executable);
        }
        match self.load(report) {
            Ok(arena) => arena.enter(),
            Err(error) => error,
        }
    }

    /// Puts the two calls that make the program vanish in front of the list.
    fn hide_program(&mut self, executable: BorrowedFd<'_>) {
        const PR_SET_MM: u64 = 35;
        const PR_SET_MM_MAP: u64 = 14;
        let (start, end) = program_range();
        // The kernel wants plausible addresses; what they say of this dying image is of no use.
        // struct prctl_mm_map: eleven addresses, a pointer, then two u32: auxv_size and exe_fd.
        let mut map = [start as u64; 13];
        map[1] = end as u64;
        map[11] = 0;
        map[12] = u64::from(executable.as_raw_fd().unsigned_abs()) << 32;
        let bytes: Vec<u8> = map.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let size = bytes.len() as u64;
        let map = self.put(&bytes);
        let range = [
            Value::Number(start as u64),
            Value::Number((end - start) as u64),
        ];
        let unmap = self.push(LABEL_HIDE, libc::SYS_munmap, &range, 0);
        let arguments = [
            Value::Number(PR_SET_MM),
            Value::Number(PR_SET_MM_MAP),
            Value::Offset(map),
            Value::Number(size),
            Value::Number(0),
        ];
        self.push(LABEL_HIDE, libc::SYS_prctl, &arguments, 0);
        let count = self.calls.len() - unmap;
        self.calls.rotate_right(count);
    }

    fn load(self, report: BorrowedFd<'_>) -> Result<Arena> {
        let code = code();
        let calls_at = code.len().next_multiple_of(64);
        let report_at = calls_at + self.calls.len() * CALL_SIZE;
        let bytes_at = report_at + REPORT_SIZE;
        let size = (bytes_at + self.bytes.len()).next_multiple_of(4096);
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(crate::call::last());
        }
        let address = base as usize;
        // SAFETY: the mapping is `size` bytes, writable, and known to nobody else.
        let memory = unsafe { std::slice::from_raw_parts_mut(base.cast::<u8>(), size) };
        memory[..code.len()].copy_from_slice(code);
        memory[bytes_at..bytes_at + self.bytes.len()].copy_from_slice(&self.bytes);
        let absolute = |offset: usize| (address + bytes_at + offset) as u64;
        for place in &self.pointers {
            let place = bytes_at + place;
            let word: [u8; 8] = memory[place..place + 8].try_into().unwrap_or_default();
            let offset = usize::try_from(u64::from_ne_bytes(word)).unwrap_or_default();
            memory[place..place + 8].copy_from_slice(&absolute(offset).to_ne_bytes());
        }
        memory[report_at..report_at + 8].copy_from_slice(&REPORT_TAG.to_ne_bytes());
        for (index, (call, offsets, store)) in self.calls.into_iter().enumerate() {
            let mut call = call;
            for (argument, offset) in call.arguments.iter_mut().zip(offsets) {
                *argument = offset.map_or(*argument, absolute);
            }
            call.store = store.map_or(0, absolute);
            let at = calls_at + index * CALL_SIZE;
            for (word, value) in memory[at..at + CALL_SIZE].chunks_mut(8).zip(call.words()) {
                word.copy_from_slice(&value.to_ne_bytes());
            }
        }
        // SAFETY: the range is the mapping made above; from here on it is only read and executed,
        // save for `store` and the report, which the code itself writes: hence still writable.
        let result = unsafe {
            libc::mprotect(
                base,
                size,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
            )
        };
        check(result.into())?;
        Ok(Arena {
            code: address,
            calls: address + calls_at,
            end: address + report_at,
            report: address + report_at,
            report_fd: report.as_raw_fd(),
        })
    }
}

impl Call {
    fn words(&self) -> [u64; CALL_SIZE / 8] {
        let [a, b, c, d, e, f] = self.arguments;
        [
            self.number,
            a,
            b,
            c,
            d,
            e,
            f,
            self.flags,
            self.store,
            self.label,
        ]
    }
}

/// The label of the calls that hide the program; the caller's labels start above it.
pub const LABEL_HIDE: u64 = 0;

#[derive(Debug)]
struct Arena {
    code: usize,
    calls: usize,
    end: usize,
    report: usize,
    report_fd: i32,
}

/// Whether the kernel lets `/proc/self/exe` be changed.
#[must_use]
pub fn is_available() -> bool {
    const PR_SET_MM_MAP_SIZE: i32 = 15;
    let mut size = 0_u32;
    // SAFETY: the kernel writes one u32 to the given place.
    let result = unsafe { libc::prctl(35, PR_SET_MM_MAP_SIZE, &raw mut size, 0, 0) };
    result == 0 && size as usize == 13 * 8
}

/// First and last address (page borders) of this program's file mappings and its bss.
fn program_range() -> (usize, usize) {
    unsafe extern "C" {
        static __executable_start: u8;
        static _end: u8;
    }
    let start = (&raw const __executable_start) as usize & !4095;
    let end = ((&raw const _end) as usize).next_multiple_of(4096);
    (start, end)
}

#[cfg(target_arch = "x86_64")]
mod code {
    use super::Arena;

    // r12 call, r13 end of calls, r14 report, r15 descriptor of the report.
    std::arch::global_asm!(
        ".pushsection .text.insula_last_mile, \"ax\"",
        ".globl insula_last_mile_start",
        "insula_last_mile_start:",
        "2: cmp r12, r13",
        "jae 5f",
        "mov rax, [r12]",
        "mov rdi, [r12 + 8]",
        "mov rsi, [r12 + 16]",
        "mov rdx, [r12 + 24]",
        "mov r10, [r12 + 32]",
        "mov r8, [r12 + 40]",
        "mov r9, [r12 + 48]",
        "syscall",
        "mov rbx, [r12 + 56]",
        "cmp rax, -4095",
        "jae 4f",
        "test rbx, 2",
        "jz 3f",
        "mov rcx, [r12 + 64]",
        "mov [rcx], rax",
        "3: add r12, 80",
        "jmp 2b",
        "4: test rbx, 1",
        "jnz 3b",
        "neg rax",
        "mov [r14 + 16], rax",
        "mov rax, [r12 + 72]",
        "mov [r14 + 8], rax",
        "mov rax, 1",
        "mov rdi, r15",
        "mov rsi, r14",
        "mov rdx, 24",
        "syscall",
        "5: mov rax, 231",
        "mov rdi, 1",
        "syscall",
        "ud2",
        ".globl insula_last_mile_end",
        "insula_last_mile_end:",
        ".popsection",
    );

    pub(super) fn code() -> &'static [u8] {
        unsafe extern "C" {
            static insula_last_mile_start: u8;
            static insula_last_mile_end: u8;
        }
        let start = &raw const insula_last_mile_start;
        let length = (&raw const insula_last_mile_end) as usize - start as usize;
        // SAFETY: both labels stand in one section, in this order, and text is never written.
        unsafe { std::slice::from_raw_parts(start, length) }
    }

    impl Arena {
        /// Jumps into the copied code.
        pub(super) fn enter(self) -> ! {
            // SAFETY: the arena holds position-independent code that uses no stack and no memory
            // but the arena, ends in execve or exit_group, and never comes back; so it does not
            // matter that it unmaps the text this function stands in.
            unsafe {
                std::arch::asm!(
                    "jmp {code}",
                    code = in(reg) self.code,
                    in("r12") self.calls,
                    in("r13") self.end,
                    in("r14") self.report,
                    in("r15") i64::from(self.report_fd),
                    options(noreturn)
                )
            }
        }
    }
}

use code::code;
