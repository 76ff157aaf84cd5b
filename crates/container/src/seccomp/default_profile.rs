//! The profile of `insula run`: what a container may call when nobody says otherwise.
//!
//! A list of what is allowed; all else fails with `EPERM`, and what no kernel of today knows with
//! `ENOSYS`. Left out is what reaches beyond the container (clock, modules, keys, swap, reboot),
//! what has broken kernels often (`bpf`, `io_uring`, `userfaultfd`), and what makes namespaces. A
//! capability that guards such a call brings it back.
//!
//! Start at [`default_filter`].

use super::rules::Rules;
use super::{Filter, finish, full_action};
use crate::error::Result;
use crate::spec::{
    Seccomp, SeccompAction, SeccompArchitecture, SeccompArg, SeccompFlag, SeccompOperator,
    SeccompRule,
};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// All flags of clone(2) that make a namespace, but the time namespace, which clone cannot make.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Allowed without conditions.
const ALLOWED: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 \
    arm_sync_file_range bind breakpoint brk cacheflush cachestat capget capset chdir chmod chown \
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect \
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod \
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr \
    file_setattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs \
    fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait \
    futex_waitv futex_wake futimesat get_robust_list get_thread_area get_tls getcpu getcwd \
    getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups \
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom \
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname \
    getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch \
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents \
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr \
    link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr \
    lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir \
    mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect mq_getsetattr \
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 \
    mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap \
    name_to_handle_at nanosleep newfstatat nice oldfstat oldlstat oldolduname oldstat olduname \
    open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free \
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
    process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 \
    pwritev pwritev2 read readahead readdir readlink readlinkat readv recv recvfrom recvmmsg \
    recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 \
    restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq rseq_slice_yield rt_sigaction \
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_sigtimedwait_time64 rt_tgsigqueueinfo s390_pci_mmio_read s390_pci_mmio_write \
    s390_runtime_instr sched_get_priority_max sched_get_priority_min sched_getaffinity \
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list \
    set_thread_area set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid \
    setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid \
    setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid \
    setuid32 setxattr setxattrat sgetmask shmat shmctl shmdt shmget shutdown sigaction \
    sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend socketcall \
    socketpair splice ssetmask stat stat64 statfs statfs64 statmount statx swapcontext symlink \
    symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo tee tgkill time timer_create \
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 \
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times \
    tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat \
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed when the container has the capability. Some are guarded by more than one.
const ALLOWED_WITH: [(&str, &str); 15] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree open_tree_attr perf_event_open pivot_root quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    (
        "CAP_SYS_TIME",
        "clock_settime clock_settime64 settimeofday stime",
    ),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    (
        "CAP_SYS_NICE",
        "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    ),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_CHECKPOINT_RESTORE", "kcmp"),
];

/// Execution domains that change nothing for others: Linux, uname26 and their 32-bit forms, and
/// the value that asks for the present one.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `AF_ALG` and `AF_VSOCK` are denied: the kernel's crypto interface is seldom used and often
/// broken, and vsock has no namespace, so it reaches the host.
const SOCKETS: [(SeccompOperator, u64); 3] = [
    (SeccompOperator::Less, 38),
    (SeccompOperator::Equal, 39),
    (SeccompOperator::Greater, 40),
];

/// The default filter for a container with these capabilities in its bounding set.
///
/// # Errors
/// None in practice: the profile is known to fit.
pub fn default_filter(capabilities: &[impl AsRef<str>]) -> Result<Filter> {
    let default = full_action(SeccompAction::Errno, Some(EPERM), String::new)?;
    let mut rules = Rules::new(default);
    let mut failure = None;
    visit(capabilities, |rule| {
        match full_action(rule.action, rule.errno, String::new) {
            Ok(action) => rules.add(rule.names.split(' '), action, rule.arguments),
            Err(error) => failure = Some(error),
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let mut filter = finish(rules, SeccompAction::Errno, ARCHITECTURES)?;
    filter.flags = super::flags(Some(&[SeccompFlag::SpecAllow]), false);
    Ok(filter)
}

/// The same as a profile, to be written into a `config.json`.
#[must_use]
pub fn default_profile(capabilities: &[impl AsRef<str>]) -> Seccomp {
    let mut syscalls = Vec::with_capacity(32);
    visit(capabilities, |rule| {
        syscalls.push(SeccompRule {
            names: rule.names.split(' ').map(str::to_owned).collect(),
            action: rule.action,
            errno_ret: rule.errno,
            args: rule.arguments.to_vec(),
        });
    });
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(EPERM),
        architectures: ARCHITECTURES.to_vec(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

/// The native architecture and those whose programs its kernel runs too.
const ARCHITECTURES: &[SeccompArchitecture] = if cfg!(target_arch = "x86_64") {
    &[
        SeccompArchitecture::X86_64,
        SeccompArchitecture::X86,
        SeccompArchitecture::X32,
    ]
} else if cfg!(target_arch = "aarch64") {
    &[SeccompArchitecture::Aarch64, SeccompArchitecture::Arm]
} else {
    &[]
};

struct Entry<'a> {
    /// Separated by single spaces.
    names: &'a str,
    action: SeccompAction,
    errno: Option<u32>,
    arguments: &'a [SeccompArg],
}

fn visit(capabilities: &[impl AsRef<str>], mut add: impl FnMut(Entry<'_>)) {
    let mut allow = |names: &str, arguments: &[SeccompArg]| {
        let action = SeccompAction::Allow;
        add(Entry {
            names,
            action,
            errno: None,
            arguments,
        });
    };
    let has = |wanted: &str| capabilities.iter().any(|known| known.as_ref() == wanted);
    allow(ALLOWED, &[]);
    for (capability, names) in ALLOWED_WITH {
        if has(capability) {
            allow(names, &[]);
        }
    }
    for value in PERSONALITIES {
        allow(
            "personality",
            &[first_argument(SeccompOperator::Equal, value)],
        );
    }
    for (operator, family) in SOCKETS {
        allow("socket", &[first_argument(operator, family)]);
    }
    if !has("CAP_SYS_ADMIN") {
        let no_namespace = first_argument(SeccompOperator::MaskedEqual, NAMESPACE_FLAGS);
        allow("clone", &[no_namespace]);
        // The flags of clone3 lie in memory, out of the filter's sight: "no such call" makes
        // libraries fall back to clone.
        add(Entry {
            names: "clone3",
            action: SeccompAction::Errno,
            errno: Some(ENOSYS),
            arguments: &[],
        });
    }
}

fn first_argument(op: SeccompOperator, value: u64) -> SeccompArg {
    SeccompArg {
        index: 0,
        value,
        value_two: 0,
        op,
    }
}
