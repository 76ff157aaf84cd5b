//! What `features` says of seccomp.

use insula_sys::seccomp::{FLAG_NEW_LISTENER, FLAG_TSYNC, is_action_available, is_flag_available};

use super::action::bare_action;
use super::kernel_flag;
use crate::spec::{SeccompAction, SeccompFlag};

/// All actions a profile may name, sorted.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// All operators a condition may name, sorted.
pub const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// All architectures a profile may name, sorted.
pub const ARCHITECTURES: [&str; 23] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

const FLAGS: [(&str, SeccompFlag); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", SeccompFlag::Tsync),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SeccompFlag::SpecAllow),
    ("SECCOMP_FILTER_FLAG_LOG", SeccompFlag::Log),
    (
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        SeccompFlag::WaitKillableRecv,
    ),
];

/// All flags a profile may name.
#[must_use]
pub fn known_flags() -> Vec<&'static str> {
    FLAGS.iter().map(|(name, _)| *name).collect()
}

/// The known flags that the running kernel takes.
#[must_use]
pub fn supported_flags() -> Vec<&'static str> {
    let is_supported = |flag: SeccompFlag| {
        let flags = match flag {
            SeccompFlag::WaitKillableRecv => kernel_flag(flag) | FLAG_NEW_LISTENER,
            SeccompFlag::Tsync | SeccompFlag::Log | SeccompFlag::SpecAllow => kernel_flag(flag),
        };
        is_flag_available(flags)
    };
    let supported = FLAGS.iter().filter(|(_, flag)| is_supported(*flag));
    supported.map(|(name, _)| *name).collect()
}

/// Whether the running kernel can filter system calls at all.
#[must_use]
pub fn is_enabled() -> bool {
    is_flag_available(FLAG_TSYNC)
}

/// Whether the running kernel knows an action.
#[must_use]
pub fn is_supported(action: SeccompAction) -> bool {
    is_action_available(bare_action(action))
}
