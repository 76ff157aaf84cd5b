//! What is refused, and what single properties of a profile do.

use super::super::default_profile::{default_filter, default_profile};
use super::super::{Filter, compile};
use super::interpreter::{Call, run};
use crate::error::Result;
use crate::spec::Seccomp;
use insula_sys::seccomp as kernel;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

fn profile(text: &str) -> Seccomp {
    serde_json::from_str(text).unwrap()
}

fn compiled(text: &str) -> Result<Filter> {
    compile(&profile(text))
}

fn refusal(text: &str) -> String {
    compiled(text).unwrap_err().chain()
}

fn answer(filter: &Filter, audit: u32, number: u32, first: u64) -> u32 {
    let arguments = [first, 0, 0, 0, 0, 0];
    let call = Call {
        number,
        audit,
        arguments,
        is_big_endian: false,
    };
    run(&filter.instructions, &call).0
}

#[test]
fn contradictions_are_refused_by_name() {
    let text = refusal(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":5},
            {"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":5}]}"#,
    );
    assert!(
        text.contains("linux.seccomp.syscalls[1].errnoRet"),
        "{text}"
    );
    let text = refusal(r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#);
    assert!(text.contains("linux.seccomp.defaultErrnoRet"), "{text}");
    let text = refusal(r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}"#);
    assert!(text.contains("4096"), "{text}");
    let text = refusal(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["read"],"action":"SCMP_ACT_LOG",
             "args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    assert!(text.contains("syscalls[0].args[0].index"), "{text}");
}

#[test]
fn a_listener_that_could_not_work_is_refused() {
    let rule = |name: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/agent","syscalls":[
                {{"names":["{name}"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
        )
    };
    assert!(refusal(&rule("write")).contains("write"));
    let filter = compiled(&rule("mkdir")).unwrap();
    assert!(filter.has_notify);
    assert_eq!(
        filter.flags,
        kernel::FLAG_NEW_LISTENER | kernel::FLAG_SPEC_ALLOW
    );
    let without_path = rule("mkdir").replace("listenerPath", "unknownProperty");
    assert!(refusal(&without_path).contains("listenerPath"));
    let text = refusal(r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/agent"}"#);
    assert!(text.contains("defaultAction"), "{text}");
    let text = refusal(r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}"#);
    assert!(text.contains("listenerMetadata"), "{text}");
}

#[test]
fn flags_are_passed_on() {
    let flags = |list: &str| {
        let text = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":[{list}]}}"#);
        compiled(&text).unwrap().flags
    };
    let unsaid = compiled(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).unwrap();
    assert_eq!(unsaid.flags, kernel::FLAG_SPEC_ALLOW);
    assert_eq!(flags(""), 0);
    assert_eq!(flags(r#""SECCOMP_FILTER_FLAG_LOG""#), kernel::FLAG_LOG);
    let both = r#""SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV""#;
    assert_eq!(flags(both), kernel::FLAG_TSYNC);
}

#[test]
fn unknown_names_are_told_and_left_out() {
    let filter = compiled(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["read","no_such_call","write"],"action":"SCMP_ACT_ALLOW"}]}"#,
    )
    .unwrap();
    assert_eq!(filter.unknown_names, ["no_such_call"]);
    assert_eq!(answer(&filter, X86_64, 1, 0), ALLOW);
}

#[test]
fn calls_behind_the_last_named_one_do_not_exist() {
    let tail = |default: &str| {
        compiled(&format!(
            r#"{{"defaultAction":"{default}","syscalls":[
                {{"names":["read","openat2"],"action":"SCMP_ACT_LOG"}}]}}"#
        ))
        .unwrap()
    };
    let filter = tail("SCMP_ACT_ERRNO");
    assert_eq!(answer(&filter, X86_64, 436, 0), ERRNO | 1);
    assert_eq!(answer(&filter, X86_64, 438, 0), ERRNO | 38);
    assert_eq!(answer(&filter, X86_64, u32::MAX, 0), ERRNO | 1);
    assert_eq!(
        answer(&filter, X86, 3, 0),
        0,
        "an architecture that is not listed"
    );
    assert_eq!(
        answer(&filter, X86_64, 0x4000_0000, 0),
        0,
        "x32 is not listed"
    );
    assert_eq!(
        answer(&tail("SCMP_ACT_KILL_PROCESS"), X86_64, 438, 0),
        ERRNO | 38
    );
    assert_eq!(answer(&tail("SCMP_ACT_ALLOW"), X86_64, 438, 0), ALLOW);
    assert_eq!(answer(&tail("SCMP_ACT_TRACE"), X86_64, 438, 0), 0x7ff0_0001);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives() {
    let filter = compiled(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
                {"index":0,"value":0,"op":"SCMP_CMP_EQ"},
                {"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#,
    )
    .unwrap();
    let answers = [0, 8, 4, 1 << 32].map(|first| answer(&filter, X86_64, 135, first));
    assert_eq!(answers, [ALLOW, ALLOW, ERRNO | 1, ERRNO | 1]);
}

#[test]
fn a_program_too_long_for_the_kernel_is_refused() {
    let mut text = String::from(r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":["#);
    for value in 0..3000_u64 {
        let comma = if value == 0 { "" } else { "," };
        text.push_str(&format!(
            r#"{comma}{{"names":["read"],"action":"SCMP_ACT_ALLOW",
                "args":[{{"index":0,"value":{},"op":"SCMP_CMP_EQ"}}]}}"#,
            value << 32 | 1
        ));
    }
    text.push_str("]}");
    assert!(refusal(&text).contains("4096"));
}

#[test]
fn the_default_profile_and_the_default_filter_are_the_same() {
    let without: [&str; 0] = [];
    let with = ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_CHOWN"];
    for capabilities in [&without[..], &with] {
        let filter = default_filter(capabilities).unwrap();
        let compiled = compile(&default_profile(capabilities)).unwrap();
        assert_eq!(filter.instructions, compiled.instructions);
        assert_eq!(filter.flags, compiled.flags);
        assert!(
            filter.unknown_names.is_empty(),
            "{:?}",
            filter.unknown_names
        );
        let is_admin = !capabilities.is_empty();
        let mount = answer(&filter, X86_64, 165, 0);
        assert_eq!(mount, if is_admin { ALLOW } else { ERRNO | 1 });
        let clone_newuser = answer(&filter, X86_64, 56, 0x1000_0000);
        assert_eq!(clone_newuser, if is_admin { ALLOW } else { ERRNO | 1 });
        let clone3 = answer(&filter, X86_64, 435, 0);
        assert_eq!(clone3, if is_admin { ALLOW } else { ERRNO | 38 });
        assert_eq!(answer(&filter, X86_64, 0, 0), ALLOW);
        assert_eq!(answer(&filter, X86, 3, 0), ALLOW);
        let sockets = [1, 38, 39, 40, 41].map(|family| answer(&filter, X86_64, 41, family));
        assert_eq!(sockets, [ALLOW, ERRNO | 1, ALLOW, ERRNO | 1, ALLOW]);
        assert_eq!(answer(&filter, X86_64, 425, 0), ERRNO | 1, "io_uring_setup");
        assert_eq!(answer(&filter, X86_64, 1000, 0), ERRNO | 38, "no such call");
    }
}
