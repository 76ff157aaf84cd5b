//! What the compiler must know of each architecture: how the kernel reports it, where its numbers
//! are, how its arguments lie in memory, whether it multiplexes calls.
//!
//! Start at [`Architecture::of`].

use super::names::row_of;
use super::table;
use crate::spec::SeccompArchitecture as Name;

/// The bit that marks a call of the x32 kind; x32 reports itself as x86-64.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// Slots of 32-bit ARM from here on are its private calls, numbered from `0x000f_0000`.
const ARM_PRIVATE_SLOT: u16 = 0x3f0;
const ARM_PRIVATE_FIRST: u32 = 0x000f_0000;

/// How a filter compares an argument: 32-bit architectures have only the low half, and the order
/// of the halves is the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) is_64_bit: bool,
    pub(super) is_big_endian: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Architecture {
    /// `AUDIT_ARCH_*`, what `seccomp_data.arch` holds.
    pub(super) audit: u32,
    pub(super) width: Width,
    /// `socket` and its like also go through `socketcall`, `semget` and its like through `ipc`.
    pub(super) is_multiplexed: bool,
    /// A call number the kernel does not know arrives as 0 (`setup`) here.
    pub(super) unknown_becomes_zero: bool,
    column: &'static [u16; table::ROWS],
    base: u32,
}

const LITTLE_64: Width = width(true, false);
const BIG_64: Width = width(true, true);
const LITTLE_32: Width = width(false, false);
const BIG_32: Width = width(false, true);

const fn width(is_64_bit: bool, is_big_endian: bool) -> Width {
    Width {
        is_64_bit,
        is_big_endian,
    }
}

const fn plain(audit: u32, width: Width, column: &'static [u16; table::ROWS]) -> Architecture {
    Architecture {
        audit,
        width,
        is_multiplexed: false,
        unknown_becomes_zero: false,
        column,
        base: 0,
    }
}

impl Architecture {
    /// The architecture this program was built for.
    pub(super) const NATIVE: Name = if cfg!(target_arch = "x86_64") {
        Name::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Name::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Name::Riscv64
    } else {
        panic!("no system call table for this architecture")
    };

    pub(super) const fn of(name: Name) -> Self {
        match name {
            Name::X86_64 => plain(0xc000_003e, LITTLE_64, &table::X86_64),
            // x32 pointers are 32 bits wide: only the low half of an argument is compared.
            Name::X32 => plain(0xc000_003e, LITTLE_32, &table::X32).based(X32_BIT),
            Name::X86 => plain(0x4000_0003, LITTLE_32, &table::X86).multiplexed(),
            Name::Arm => plain(0x4000_0028, LITTLE_32, &table::ARM),
            Name::Aarch64 => plain(0xc000_00b7, LITTLE_64, &table::AARCH64),
            Name::Mips => plain(0x8, BIG_32, &table::MIPS).based(4000).multiplexed(),
            Name::Mipsel => plain(0x4000_0008, LITTLE_32, &table::MIPS)
                .based(4000)
                .multiplexed(),
            Name::Mips64 => plain(0x8000_0008, BIG_64, &table::MIPS64).based(5000),
            Name::Mipsel64 => plain(0xc000_0008, LITTLE_64, &table::MIPS64).based(5000),
            Name::Mips64N32 => plain(0xa000_0008, BIG_32, &table::MIPS64N32).based(6000),
            Name::Mipsel64N32 => plain(0xe000_0008, LITTLE_32, &table::MIPS64N32).based(6000),
            Name::Ppc => plain(0x14, BIG_32, &table::PPC).multiplexed(),
            Name::Ppc64 => plain(0x8000_0015, BIG_64, &table::PPC64).multiplexed(),
            Name::Ppc64Le => plain(0xc000_0015, LITTLE_64, &table::PPC64).multiplexed(),
            Name::S390 => plain(0x16, BIG_32, &table::S390).multiplexed().zeroing(),
            Name::S390X => plain(0x8000_0016, BIG_64, &table::S390X)
                .multiplexed()
                .zeroing(),
            Name::Parisc => plain(0xf, BIG_32, &table::PARISC),
            Name::Parisc64 => plain(0x8000_000f, BIG_64, &table::PARISC64),
            Name::Riscv64 => plain(0xc000_00f3, LITTLE_64, &table::RISCV64),
            Name::Loongarch64 => plain(0xc000_0102, LITTLE_64, &table::LOONGARCH64),
            Name::M68k => plain(0x4, BIG_32, &table::M68K).multiplexed(),
            Name::Sh => plain(0x4000_002a, LITTLE_32, &table::SH).multiplexed(),
            Name::Sheb => plain(0x2a, BIG_32, &table::SH).multiplexed(),
        }
    }

    const fn based(mut self, base: u32) -> Self {
        self.base = base;
        self
    }

    const fn multiplexed(mut self) -> Self {
        self.is_multiplexed = true;
        self
    }

    const fn zeroing(mut self) -> Self {
        self.unknown_becomes_zero = true;
        self
    }

    /// Where the call of a table row stands among the calls of this architecture, if it has it.
    pub(super) fn slot(&self, row: usize) -> Option<u16> {
        Some(self.column[row]).filter(|slot| *slot != table::ABSENT)
    }

    /// The call number of a slot; grows with the slot.
    pub(super) fn number(&self, slot: u16) -> u32 {
        if self.audit == Self::of(Name::Arm).audit && slot >= ARM_PRIVATE_SLOT {
            return ARM_PRIVATE_FIRST + u32::from(slot - ARM_PRIVATE_SLOT);
        }
        self.base + u32::from(slot)
    }
}

/// The row of `socketcall`, the rows of the calls that go through it, and their call argument.
pub(super) const SOCKETCALL: usize = required_row("socketcall");
pub(super) const IPC: usize = required_row("ipc");

/// Rows behind `socketcall`, with the first argument that selects them (linux/net.h).
pub(super) static SOCKET_CALLS: [(usize, u32); 20] = [
    (required_row("socket"), 1),
    (required_row("bind"), 2),
    (required_row("connect"), 3),
    (required_row("listen"), 4),
    (required_row("accept"), 5),
    (required_row("getsockname"), 6),
    (required_row("getpeername"), 7),
    (required_row("socketpair"), 8),
    (required_row("send"), 9),
    (required_row("recv"), 10),
    (required_row("sendto"), 11),
    (required_row("recvfrom"), 12),
    (required_row("shutdown"), 13),
    (required_row("setsockopt"), 14),
    (required_row("getsockopt"), 15),
    (required_row("sendmsg"), 16),
    (required_row("recvmsg"), 17),
    (required_row("accept4"), 18),
    (required_row("recvmmsg"), 19),
    (required_row("sendmmsg"), 20),
];

/// Rows behind `ipc`, with the first argument that selects them (linux/ipc.h).
pub(super) static IPC_CALLS: [(usize, u32); 12] = [
    (required_row("semop"), 1),
    (required_row("semget"), 2),
    (required_row("semctl"), 3),
    (required_row("semtimedop"), 4),
    (required_row("msgsnd"), 11),
    (required_row("msgrcv"), 12),
    (required_row("msgget"), 13),
    (required_row("msgctl"), 14),
    (required_row("shmat"), 21),
    (required_row("shmdt"), 22),
    (required_row("shmget"), 23),
    (required_row("shmctl"), 24),
];

const fn required_row(name: &str) -> usize {
    match row_of(name) {
        Some(row) => row,
        None => panic!("a multiplexed call is missing in the table"),
    }
}
