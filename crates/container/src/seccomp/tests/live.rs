//! Loads filters into threads of their own and makes real system calls there. Needs no privilege.

use std::os::fd::AsFd as _;
use std::thread;

use insula_sys::rustix::io::Errno;
use insula_sys::rustix::{fs, net, process, thread as current};
use insula_sys::seccomp as kernel;

use super::super::default_profile::default_filter;
use super::super::names::name_of;
use super::super::table::ROWS;
use super::super::{compile, features};
use crate::spec::{
    Seccomp, SeccompAction, SeccompArchitecture as Architecture, SeccompArg, SeccompOperator,
    SeccompRule,
};

/// Runs `body` in a thread that the filter of this profile binds.
fn under<T: Send + 'static>(profile: &str, body: fn() -> T) -> T {
    let profile: Seccomp = serde_json::from_str(profile).unwrap();
    let filter = compile(&profile).unwrap();
    let bound = thread::spawn(move || {
        current::set_no_new_privs(true).unwrap();
        assert!(
            kernel::load(&filter.instructions, filter.flags)
                .unwrap()
                .is_none()
        );
        body()
    });
    bound.join().unwrap()
}

#[test]
fn an_error_number_reaches_the_caller() {
    let result = under(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":122}]}"#,
        || fs::mkdir("/no/such/place", fs::Mode::RWXU),
    );
    assert_eq!(result, Err(Errno::DQUOT));
}

#[test]
fn arguments_are_looked_at() {
    let (inet, unix) = under(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":97,"args":[
                {"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
        || {
            let open = |family| net::socket(family, net::SocketType::DGRAM, None).map(drop);
            (
                open(net::AddressFamily::INET),
                open(net::AddressFamily::UNIX),
            )
        },
    );
    assert_eq!(inet, Err(Errno::AFNOSUPPORT));
    assert_eq!(unix, Ok(()));
}

#[test]
fn the_default_filter_lets_a_thread_live_and_denies_mounts() {
    let capabilities: [&str; 0] = [];
    let filter = default_filter(&capabilities).unwrap();
    let bound = thread::spawn(move || {
        current::set_no_new_privs(true).unwrap();
        kernel::load(&filter.instructions, filter.flags).unwrap();
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let unmount = insula_sys::rustix::mount::unmount(
            "/proc/no/such/place",
            insula_sys::rustix::mount::UnmountFlags::empty(),
        );
        (text, unmount, process::getppid())
    });
    let (status, unmount, _) = bound.join().unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(unmount, Err(Errno::PERM));
}

#[test]
fn a_program_with_far_jumps_is_taken_by_the_kernel() {
    let mut profile: Seccomp = serde_json::from_str(r#"{"defaultAction":"SCMP_ACT_LOG"}"#).unwrap();
    profile.architectures = vec![Architecture::X86, Architecture::X32, Architecture::S390X];
    for (row, value) in (0..ROWS).step_by(2).zip(1..) {
        profile.syscalls.push(SeccompRule {
            names: vec![name_of(row).to_owned()],
            action: SeccompAction::Allow,
            errno_ret: None,
            args: vec![SeccompArg {
                index: 5,
                value,
                value_two: 0,
                op: SeccompOperator::LessOrEqual,
            }],
        });
    }
    let filter = compile(&profile).unwrap();
    assert!(
        filter.instructions.len() > 2000,
        "{}",
        filter.instructions.len()
    );
    let bound = thread::spawn(move || {
        current::set_no_new_privs(true).unwrap();
        kernel::load(&filter.instructions, filter.flags).map(drop)
    });
    assert_eq!(bound.join().unwrap(), Ok(()));
}

#[test]
fn a_listener_is_given_and_answers_for_the_call() {
    let profile: Seccomp = serde_json::from_str(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/unused","syscalls":[
            {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"}]}"#,
    )
    .unwrap();
    let filter = compile(&profile).unwrap();
    let bound = thread::spawn(move || {
        current::set_no_new_privs(true).unwrap();
        let listener = kernel::load(&filter.instructions, filter.flags)
            .unwrap()
            .unwrap();
        let flags = insula_sys::rustix::io::fcntl_getfd(listener.as_fd()).unwrap();
        drop(listener);
        // Without a listener the kernel answers itself.
        (flags, fs::mkdir("/no/such/place", fs::Mode::RWXU))
    });
    let (flags, made) = bound.join().unwrap();
    assert!(flags.contains(insula_sys::rustix::io::FdFlags::CLOEXEC));
    assert_eq!(made, Err(Errno::NOSYS));
}

#[test]
fn features_name_what_the_kernel_has() {
    assert!(features::is_enabled());
    assert!(features::is_supported(SeccompAction::Allow));
    let supported = features::supported_flags();
    let known = features::known_flags();
    assert!(supported.contains(&"SECCOMP_FILTER_FLAG_LOG"));
    assert!(supported.iter().all(|flag| known.contains(flag)));
    assert!(features::ACTIONS.is_sorted() && features::OPERATORS.is_sorted());
    for action in features::ACTIONS {
        assert!(serde_json::from_str::<SeccompAction>(&format!("\"{action}\"")).is_ok());
    }
    for name in features::ARCHITECTURES {
        let text = format!("\"{name}\"");
        assert!(serde_json::from_str::<crate::spec::SeccompArchitecture>(&text).is_ok());
    }
}
