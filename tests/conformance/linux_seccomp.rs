//! config-linux.md, "Seccomp".

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;

use insula_sys::rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use crate::bundle::Bundle;

fn with(script: &str, syscalls: Value) -> Bundle {
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": syscalls});
    Bundle::sh(script).set("/linux/seccomp", seccomp)
}

fn rule(action: &str) -> Value {
    json!([{"names": ["mkdir", "mkdirat"], "action": action}])
}

#[test]
fn errno_with_and_without_a_number() {
    let finished = with("mkdir /x", rule("SCMP_ACT_ERRNO")).run();
    assert!(
        finished.stderr.contains("Operation not permitted"),
        "{finished:?}"
    );
    let own = json!([{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]);
    let finished = with("mkdir /x", own).run();
    assert!(finished.stderr.contains("No space left"), "{finished:?}");
}

#[test]
fn kill_and_trap() {
    for action in [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
    ] {
        let finished = with("mkdir /x; echo $?", rule(action)).run();
        assert_eq!(finished.text(), "159", "128 and SIGSYS: {action}");
    }
}

#[test]
fn allow_and_log_let_it_pass() {
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"] {
        assert_eq!(
            with("mkdir /x && echo made", rule(action)).run().text(),
            "made",
            "{action}"
        );
    }
}

/// Without a tracer the kernel answers ENOSYS.
#[test]
fn trace_without_a_tracer() {
    let finished = with("mkdir /x", rule("SCMP_ACT_TRACE")).run();
    assert!(finished.stderr.contains("not implemented"), "{finished:?}");
}

#[test]
fn the_default_action_rules_the_rest() {
    let seccomp = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 28, "syscalls": [
        {"names": ["read", "write", "open", "openat", "close", "execve", "brk", "mmap", "mprotect", "munmap",
            "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink", "readlinkat",
            "getrandom", "exit_group", "exit", "getuid", "geteuid", "getgid", "getegid", "prctl", "fstat",
            "newfstatat", "stat", "lstat", "getpid", "getppid", "rt_sigaction", "rt_sigprocmask", "getcwd",
            "wait4", "clone", "clone3", "fork", "vfork", "rt_sigreturn", "fcntl", "dup2", "umask", "ioctl",
            "poll", "lseek", "uname", "statx", "capget", "capset", "chdir", "setgroups", "setgid", "setuid",
            "setresuid", "setresgid", "close_range", "futex", "epoll_ctl", "epoll_pwait", "getdents64",
            "sigaltstack", "madvise", "nanosleep", "tgkill", "gettid", "sched_yield", "pread64", "fstatfs"],
         "action": "SCMP_ACT_ALLOW"}]});
    let finished = Bundle::sh("mkdir /x").set("/linux/seccomp", seccomp).run();
    assert!(finished.stderr.contains("No space left"), "{finished:?}");
}

/// The operators, on the mode that chmod is given.
#[test]
fn argument_operators() {
    for (operator, value, two, mode, hit) in [
        ("SCMP_CMP_EQ", 0o700, 0, "700", true),
        ("SCMP_CMP_EQ", 0o700, 0, "701", false),
        ("SCMP_CMP_NE", 0o700, 0, "701", true),
        ("SCMP_CMP_NE", 0o700, 0, "700", false),
        ("SCMP_CMP_LT", 0o700, 0, "677", true),
        ("SCMP_CMP_LT", 0o700, 0, "700", false),
        ("SCMP_CMP_LE", 0o700, 0, "700", true),
        ("SCMP_CMP_LE", 0o700, 0, "701", false),
        ("SCMP_CMP_GE", 0o700, 0, "700", true),
        ("SCMP_CMP_GE", 0o700, 0, "677", false),
        ("SCMP_CMP_GT", 0o700, 0, "701", true),
        ("SCMP_CMP_GT", 0o700, 0, "700", false),
        ("SCMP_CMP_MASKED_EQ", 0o070, 0o050, "750", true),
        ("SCMP_CMP_MASKED_EQ", 0o070, 0o050, "770", false),
    ] {
        let argument =
            |index| json!([{"index": index, "value": value, "valueTwo": two, "op": operator}]);
        let rules = json!([
            {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": argument(1)},
            {"names": ["fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": argument(2)},
        ]);
        let finished = with(&format!("touch /x; chmod {mode} /x"), rules).run();
        assert_eq!(
            finished.stderr.contains("No space left"),
            hit,
            "{operator} {mode}: {finished:?}"
        );
    }
}

/// Several conditions of one rule must all hold: here, a mode of a fifo and the device 0.
#[test]
fn conditions_of_a_rule_are_joined_by_and() {
    let arguments = |first| {
        json!([{"index": first, "value": 0o170_000, "valueTwo": 0o010_000, "op": "SCMP_CMP_MASKED_EQ"},
               {"index": first + 1, "value": 0, "op": "SCMP_CMP_EQ"}])
    };
    let rules = json!([
        {"names": ["mknod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": arguments(1)},
        {"names": ["mknodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": arguments(2)},
    ]);
    let finished = with("mknod /p p; echo $?; mknod /dev/n c 1 3; echo $?", rules).run();
    assert_eq!(finished.text(), "1\n0", "{finished:?}");
}

#[test]
fn unknown_calls_are_left_out() {
    let rules =
        json!([{"names": ["call_of_tomorrow", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]);
    let finished = with("mkdir /x", rules).run();
    assert!(
        finished.stderr.contains("Operation not permitted"),
        "{finished:?}"
    );
}

#[test]
fn flags_are_taken() {
    for flag in [
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_TSYNC",
    ] {
        let bundle =
            with("echo ok", rule("SCMP_ACT_ERRNO")).set("/linux/seccomp/flags", json!([flag]));
        assert_eq!(bundle.run().text(), "ok", "{flag}");
    }
}

/// "flags … list of flags to use": an empty list is no flag; only without a list it is left to the
/// runtime, which leaves speculation as it is.
#[test]
fn an_empty_list_of_flags_is_not_no_list() {
    let of = |flags: Option<Value>| {
        let bundle = with("true", rule("SCMP_ACT_ERRNO"));
        let bundle = match flags {
            Some(flags) => bundle.set("/linux/seccomp/flags", flags),
            None => bundle,
        };
        bundle.write();
        let path = bundle.path().display().to_string();
        let finished = bundle.call(&["--debug", "run", "--bundle", &path, &bundle.id]);
        assert_eq!(finished.code, 0, "{finished:?}");
        finished.stderr
    };
    let all = json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]);
    for (flags, number) in [(None, 4), (Some(json!([])), 0), (Some(all), 3)] {
        let seen = of(flags);
        let wanted = format!("level=debug msg=\"seccomp filter flags: {number}\"");
        assert!(seen.contains(&wanted), "{seen}");
    }
}

#[test]
fn the_filter_counts_with_and_without_no_new_privileges() {
    for value in [true, false] {
        let bundle = with(
            "grep Seccomp: /proc/self/status | cut -f2; mkdir /x 2>/dev/null || echo no",
            rule("SCMP_ACT_ERRNO"),
        );
        assert_eq!(
            bundle
                .set("/process/noNewPrivileges", json!(value))
                .run()
                .text(),
            "2\nno"
        );
    }
}

#[test]
fn exec_has_the_filter_too() {
    let container = with("sleep 100", rule("SCMP_ACT_ERRNO")).start();
    let finished = container.exec(&["mkdir", "/x"]);
    assert!(
        finished.fails().contains("Operation not permitted"),
        "{finished:?}"
    );
    container.kill_and_delete();
}

#[test]
fn what_does_not_fit_is_an_error() {
    for (pointer, value) in [
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_NONE")),
        ("/linux/seccomp/syscalls/0/action", json!("SCMP_ACT_NONE")),
        ("/linux/seccomp/architectures", json!(["SCMP_ARCH_NONE"])),
        ("/linux/seccomp/flags", json!(["NONE"])),
        ("/linux/seccomp/syscalls/0/errnoRet", json!(-1)),
        ("/linux/seccomp/syscalls/0/names", json!([])),
        (
            "/linux/seccomp/syscalls/0/args",
            json!([{"index": 7, "value": 1, "op": "SCMP_CMP_EQ"}]),
        ),
        (
            "/linux/seccomp/syscalls/0/args",
            json!([{"index": 0, "value": 1, "op": "SCMP_CMP_XX"}]),
        ),
        ("/linux/seccomp/listenerMetadata", json!("without a path")),
    ] {
        let finished = with("true", rule("SCMP_ACT_ERRNO"))
            .set(pointer, value)
            .run();
        assert!(
            finished.code != 0 && finished.stderr.contains("seccomp"),
            "{pointer}: {finished:?}"
        );
    }
}

/// "When the action doesn't support an errno, the runtime MUST print and error and fail."
#[test]
fn an_errno_for_an_action_without_one_is_an_error() {
    let rules = json!([{"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]);
    let finished = with("true", rules).run();
    assert!(finished.fails().contains("errno"), "{finished:?}");
}

/// "The Container Process State": the listener gets the state and the descriptor.
#[test]
fn notify_sends_the_descriptor_and_the_state() {
    let bundle = with("mkdir /x", rule("SCMP_ACT_NOTIFY")).set("/annotations", json!({"k": "v"}));
    let path = bundle.beside("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let bundle = bundle
        .set("/linux/seccomp/listenerPath", json!(path))
        .set("/linux/seccomp/listenerMetadata", json!("some data"));
    let container = bundle.create();
    let id = container.bundle.id.clone();
    let agent = std::thread::spawn(move || receive(&listener));
    container.start();
    let (state, descriptors) = agent.join().unwrap();
    assert_eq!(descriptors, 1);
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "some data");
    assert!(
        state["ociVersion"].is_string() && state["pid"].as_i64().is_some_and(|pid| pid > 1),
        "{state}"
    );
    assert_eq!(state["state"]["id"], id.as_str());
    assert_eq!(state["state"]["annotations"]["k"], "v");
    assert!(
        state["state"]["status"].is_string() && state["state"]["bundle"].is_string(),
        "{state}"
    );
    // The agent's descriptor is closed by now: the call is answered with ENOSYS.
    container.wait();
    container.delete();
}

fn receive(listener: &UnixListener) -> (Value, usize) {
    let (connection, _) = listener.accept().unwrap();
    let (mut text, mut descriptors) = (Vec::new(), 0);
    loop {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); 128];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &connection,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::empty(),
        )
        .unwrap();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                descriptors += files.count();
            }
        }
        if received.bytes == 0 {
            break;
        }
        text.extend_from_slice(&bytes[..received.bytes]);
    }
    (
        serde_json::from_slice(&text).expect("the state is not JSON"),
        descriptors,
    )
}

/// "If sending to this socket fails, the runtime MUST generate an error."
#[test]
fn a_listener_that_is_not_there_is_an_error() {
    let bundle = with("true", rule("SCMP_ACT_NOTIFY"))
        .set("/linux/seccomp/listenerPath", json!("/nonexistent/socket"));
    let finished = bundle.run();
    assert!(
        finished.fails().contains("/nonexistent/socket") || finished.stderr.contains("listener"),
        "{finished:?}"
    );
}
