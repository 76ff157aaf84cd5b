//! A config.json that is not what the specification says: every member with a wrong type, out of
//! range, missing or unknown. The error names the member, in words, and nothing is left behind.
//!
//! One row is a JSON pointer and the value put there (`None`: the member is taken out). What the
//! error has to contain follows from the pointer: `/process/rlimits/0/type` is
//! `process.rlimits[0].type`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::bundle::{Bundle, set};

/// A container that has every member, so that each can be spoiled alone.
fn complete() -> Bundle {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    let hook = json!([{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]);
    let hooks: serde_json::Map<String, Value> = [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ]
    .into_iter()
    .map(|kind| (kind.to_owned(), hook.clone()))
    .collect();
    Bundle::sh("true")
        .push("/linux/namespaces", json!({"type": "user"}))
        .push("/linux/namespaces", json!({"type": "time"}))
        .set("/hooks", Value::Object(hooks))
        .set("/annotations", json!({"a": "b"}))
        .set("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]))
        .set("/process/consoleSize", json!({"height": 1, "width": 1}))
        .set("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 1}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 1}))
        .set("/process/execCPUAffinity", json!({"initial": "0", "final": "0"}))
        .set("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}]))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/resources", json!({
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": 100_000_000}, "cpu": {"shares": 1024}, "pids": {"limit": 10},
            "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
            "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
            "rdma": {"mlx": {"hcaHandles": 1}},
            "unified": {"memory.high": "1"},
        }))
        .set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                          "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}))
        .set("/linux/personality", json!({"domain": "LINUX"}))
        .set("/linux/memoryPolicy", json!({"mode": "MPOL_DEFAULT"}))
        .set("/linux/intelRdt", json!({"closID": "x", "l3CacheSchema": "L3:0=1"}))
        .set("/linux/netDevices", json!({"eth7": {"name": "x"}}))
        .set("/linux/timeOffsets", json!({"monotonic": {"secs": 1, "nanosecs": 1}}))
        .set("/linux/rootfsPropagation", json!("private"))
        .set("/linux/maskedPaths", json!(["/proc/kcore"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys"]))
        .set("/linux/mountLabel", json!(""))
        .set("/mounts/1/type", json!("bind"))
        .set("/mounts/1/source", json!("/dev"))
        .set("/mounts/1/options", json!(["bind", "idmap"]))
        .set("/mounts/1/uidMappings", json!([{"containerID": 0, "hostID": 1, "size": 1}]))
        .set("/mounts/1/gidMappings", json!([{"containerID": 0, "hostID": 1, "size": 1}]))
}

/// Members that are strings: a number, a list and an object are refused.
const STRINGS: &str = "/ociVersion /hostname /domainname /root/path /mounts/0/destination /mounts/0/type \
    /mounts/0/source /mounts/1/options/0 /process/cwd /process/args/0 /process/env/0 /process/rlimits/0/type \
    /process/capabilities/bounding/0 /process/apparmorProfile /process/selinuxLabel /process/scheduler/policy \
    /process/ioPriority/class /process/execCPUAffinity/initial /process/execCPUAffinity/final \
    /hooks/prestart/0/path /hooks/createRuntime/0/args/0 /hooks/poststop/0/env/0 /linux/cgroupsPath \
    /linux/namespaces/0/type /linux/namespaces/0/path /linux/devices/0/path /linux/devices/0/type \
    /linux/sysctl/net.ipv4.ip_forward /linux/rootfsPropagation /linux/maskedPaths/0 /linux/readonlyPaths/0 \
    /linux/mountLabel /linux/personality/domain /linux/memoryPolicy/mode /linux/memoryPolicy/nodes \
    /linux/seccomp/defaultAction /linux/seccomp/architectures/0 /linux/seccomp/flags \
    /linux/seccomp/listenerPath /linux/seccomp/listenerMetadata /linux/seccomp/syscalls/0/names/0 \
    /linux/seccomp/syscalls/0/action /linux/seccomp/syscalls/0/args/0/op /linux/resources/cpu/cpus \
    /linux/resources/cpu/mems /linux/resources/devices/0/access /linux/resources/devices/0/type \
    /linux/resources/hugepageLimits/0/pageSize /linux/resources/network/priorities/0/name \
    /linux/resources/unified/memory.high /linux/intelRdt/closID /linux/netDevices/eth7/name /annotations/a";

/// Members that are numbers: a string, a fraction and more than 64 bits are refused.
const NUMBERS: &str = "/process/user/uid /process/user/gid /process/user/umask /process/oomScoreAdj \
    /process/rlimits/0/soft /process/rlimits/0/hard /process/consoleSize/height /process/consoleSize/width \
    /process/scheduler/nice /process/scheduler/priority /process/scheduler/runtime /process/scheduler/deadline \
    /process/scheduler/period /process/ioPriority/priority /hooks/poststart/0/timeout /linux/devices/0/major \
    /linux/devices/0/minor /linux/devices/0/fileMode /linux/devices/0/uid /linux/devices/0/gid \
    /linux/uidMappings/0/containerID /linux/uidMappings/0/hostID /linux/gidMappings/0/size \
    /linux/timeOffsets/monotonic/secs /linux/timeOffsets/monotonic/nanosecs /linux/resources/memory/limit \
    /linux/resources/memory/reservation /linux/resources/memory/swap /linux/resources/memory/kernel \
    /linux/resources/memory/kernelTCP /linux/resources/memory/swappiness /linux/resources/cpu/shares \
    /linux/resources/cpu/quota /linux/resources/cpu/burst /linux/resources/cpu/period \
    /linux/resources/cpu/realtimeRuntime /linux/resources/cpu/realtimePeriod /linux/resources/cpu/idle \
    /linux/resources/pids/limit /linux/resources/blockIO/weight /linux/resources/blockIO/leafWeight \
    /linux/resources/blockIO/throttleReadBpsDevice/0/major /linux/resources/blockIO/throttleReadBpsDevice/0/rate \
    /linux/resources/hugepageLimits/0/limit /linux/resources/network/classID \
    /linux/resources/network/priorities/0/priority /linux/resources/rdma/mlx/hcaHandles \
    /linux/resources/devices/0/major /linux/resources/devices/0/minor /linux/seccomp/defaultErrnoRet \
    /linux/seccomp/syscalls/0/errnoRet /linux/seccomp/syscalls/0/args/0/index \
    /linux/seccomp/syscalls/0/args/0/value /linux/seccomp/syscalls/0/args/0/valueTwo \
    /mounts/1/uidMappings/0/hostID";

const BOOLEANS: &str = "/root/readonly /process/terminal /process/noNewPrivileges \
    /linux/resources/memory/disableOOMKiller /linux/resources/memory/useHierarchy \
    /linux/resources/memory/checkBeforeUpdate /linux/resources/devices/0/allow";

const LISTS: &str = "/mounts /mounts/0/options /process/args /process/env /process/rlimits \
    /process/capabilities/effective /process/capabilities/bounding /process/capabilities/inheritable \
    /process/capabilities/permitted /process/capabilities/ambient /process/user/additionalGids \
    /process/scheduler/flags /hooks/prestart /hooks/createRuntime /hooks/createContainer /hooks/startContainer \
    /hooks/poststart /hooks/poststop /linux/namespaces /linux/uidMappings /linux/gidMappings /linux/devices \
    /linux/maskedPaths /linux/readonlyPaths /linux/memoryPolicy/flags /linux/personality/flags \
    /linux/seccomp/architectures /linux/seccomp/syscalls /linux/seccomp/syscalls/0/names \
    /linux/seccomp/syscalls/0/args /linux/resources/devices /linux/resources/hugepageLimits \
    /linux/resources/network/priorities /linux/resources/blockIO/weightDevice \
    /linux/resources/blockIO/throttleReadBpsDevice /linux/resources/blockIO/throttleWriteBpsDevice \
    /linux/resources/blockIO/throttleReadIOPSDevice /linux/resources/blockIO/throttleWriteIOPSDevice \
    /mounts/1/uidMappings";

const OBJECTS: &str = "/root /process /process/user /process/capabilities /process/consoleSize \
    /process/scheduler /process/ioPriority /process/execCPUAffinity /hooks /hooks/prestart/0 /annotations /linux \
    /linux/namespaces/0 /linux/devices/0 /linux/sysctl /linux/resources /linux/resources/memory \
    /linux/resources/cpu /linux/resources/pids /linux/resources/blockIO /linux/resources/network \
    /linux/resources/rdma /linux/resources/unified /linux/seccomp /linux/seccomp/syscalls/0 /linux/personality \
    /linux/memoryPolicy /linux/intelRdt /linux/netDevices /linux/netDevices/eth7 /linux/timeOffsets \
    /linux/timeOffsets/monotonic /mounts/0";

const REQUIRED: &str = "/ociVersion /root /root/path /process/cwd /process/args /process/user/uid \
    /process/user/gid /process/rlimits/0/type /process/rlimits/0/soft /process/rlimits/0/hard \
    /process/consoleSize/height /process/consoleSize/width /process/scheduler/policy /process/ioPriority/class \
    /hooks/prestart/0/path /mounts/0/destination /linux/namespaces/0/type \
    /linux/devices/0/path /linux/devices/0/type /linux/devices/0/major /linux/uidMappings/0/containerID \
    /linux/uidMappings/0/hostID /linux/uidMappings/0/size /linux/seccomp/defaultAction \
    /linux/seccomp/syscalls/0/names /linux/seccomp/syscalls/0/action /linux/seccomp/syscalls/0/args/0/index \
    /linux/seccomp/syscalls/0/args/0/value /linux/seccomp/syscalls/0/args/0/op /linux/resources/devices/0/allow \
    /linux/resources/hugepageLimits/0/pageSize /linux/resources/hugepageLimits/0/limit \
    /linux/resources/network/priorities/0/name /linux/resources/network/priorities/0/priority \
    /linux/personality/domain /linux/memoryPolicy/mode";

/// Values of the right type that the specification does not allow.
fn unknown_values() -> Vec<(&'static str, Value)> {
    vec![
        ("/ociVersion", json!("next")),
        ("/ociVersion", json!("2.0.0")),
        ("/ociVersion", json!("")),
        ("/root/path", json!("")),
        ("/process/cwd", json!("relative")),
        ("/process/cwd", json!("")),
        ("/process/args", json!([])),
        ("/process/env/0", json!("A=\u{0}")),
        ("/process/args/0", json!("a\u{0}b")),
        ("/process/rlimits/0/type", json!("RLIMIT_NONE")),
        ("/process/scheduler/policy", json!("SCHED_NONE")),
        ("/process/scheduler/flags", json!(["SCHED_FLAG_NONE"])),
        ("/process/scheduler/nice", json!(20)),
        ("/process/scheduler/nice", json!(-21)),
        ("/process/ioPriority/class", json!("IOPRIO_CLASS_NO")),
        ("/process/ioPriority/priority", json!(8)),
        ("/process/ioPriority/priority", json!(-1)),
        ("/process/oomScoreAdj", json!(1001)),
        ("/process/oomScoreAdj", json!(-1001)),
        ("/process/execCPUAffinity/initial", json!("a-b")),
        ("/process/execCPUAffinity/final", json!("3-1")),
        ("/process/user/uid", json!(-1)),
        ("/process/user/uid", json!(4_294_967_296_u64)),
        ("/process/user/gid", json!(-1)),
        ("/process/user/umask", json!(-1)),
        ("/hooks/prestart/0/path", json!("relative/hook")),
        ("/hooks/prestart/0/timeout", json!(0)),
        ("/hooks/prestart/0/timeout", json!(-1)),
        ("/mounts/0/destination", json!("")),
        ("/linux/namespaces/0/type", json!("galaxy")),
        ("/linux/namespaces/0/path", json!("relative/path")),
        ("/linux/devices/0/type", json!("x")),
        ("/linux/devices/0/path", json!("relative")),
        ("/linux/devices/0/major", json!(-5)),
        ("/linux/devices/0/fileMode", json!(-1)),
        ("/linux/rootfsPropagation", json!("loud")),
        ("/linux/personality/domain", json!("AMIGA")),
        ("/linux/personality/flags", json!(["ANY"])),
        ("/linux/memoryPolicy/mode", json!("MPOL_NONE")),
        ("/linux/memoryPolicy/flags", json!(["MPOL_F_NONE"])),
        ("/linux/memoryPolicy/nodes", json!("x")),
        ("/linux/timeOffsets/realtime", json!({"secs": 1})),
        ("/linux/timeOffsets/monotonic/nanosecs", json!(-1)),
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_NONE")),
        ("/linux/seccomp/architectures/0", json!("SCMP_ARCH_NONE")),
        ("/linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_NONE"])),
        ("/linux/seccomp/syscalls/0/action", json!("SCMP_ACT_NONE")),
        ("/linux/seccomp/syscalls/0/names", json!([])),
        ("/linux/seccomp/syscalls/0/args/0/index", json!(6)),
        ("/linux/seccomp/syscalls/0/args/0/op", json!("SCMP_CMP_XX")),
        ("/linux/resources/devices/0/access", json!("rwx")),
        ("/linux/resources/devices/0/type", json!("z")),
        ("/linux/resources/blockIO/weight", json!(70_000)),
        ("/linux/resources/cpu/shares", json!(-1)),
        ("/linux/resources/memory/swappiness", json!(-1)),
        ("/linux/maskedPaths/0", json!("relative")),
    ]
}

/// `/a/0/b` as `a[0].b`.
fn named(pointer: &str) -> String {
    let mut name = String::new();
    for step in pointer.split('/').skip(1) {
        if step.parse::<usize>().is_ok() {
            write!(name, "[{step}]").unwrap();
        } else {
            write!(name, "{}{step}", if name.is_empty() { "" } else { "." }).unwrap();
        }
    }
    name
}

/// Runs every row and tells of all that are wrong at once.
#[track_caller]
fn check(rows: impl IntoIterator<Item = (String, Option<Value>)>) {
    let bundle = complete();
    let whole = bundle.config.clone();
    let mut bundle = bundle;
    let mut wrong = String::new();
    let mut count = 0;
    for (pointer, value) in rows {
        count += 1;
        bundle.config = whole.clone();
        set(&mut bundle.config, &pointer, value.clone());
        let finished = bundle.try_create(&[]);
        let said = finished.stderr.trim();
        let shown = value.map_or_else(|| "missing".to_owned(), |value| value.to_string());
        let field = named(&pointer);
        if finished.code == 0 {
            writeln!(wrong, "{pointer} = {shown}: accepted").unwrap();
            drop(bundle.call(&["delete", "--force", &bundle.id]));
        } else if !said.contains(&field) {
            writeln!(wrong, "{pointer} = {shown}: {field} is not named: {said}").unwrap();
        } else if said.contains("panicked") {
            writeln!(wrong, "{pointer} = {shown}: {said}").unwrap();
        }
        bundle.assert_gone();
    }
    assert!(wrong.is_empty(), "of {count} rows:\n{wrong}");
}

/// Each member of a list of pointers with each of the values.
fn each(pointers: &str, values: &[Value]) -> Vec<(String, Option<Value>)> {
    let pointers = pointers.split_ascii_whitespace();
    pointers
        .flat_map(|pointer| {
            values
                .iter()
                .map(move |value| (pointer.to_owned(), Some(value.clone())))
        })
        .collect()
}

#[test]
fn strings_of_another_type() {
    check(each(STRINGS, &[json!(7), json!([true]), json!({"a": 1})]));
}

#[test]
fn numbers_of_another_type() {
    check(each(
        NUMBERS,
        &[json!("7"), json!(1.5), json!(1e30), json!([])],
    ));
}

#[test]
fn booleans_of_another_type() {
    check(each(BOOLEANS, &[json!("true"), json!(1), json!({})]));
}

#[test]
fn lists_of_another_type() {
    check(each(LISTS, &[json!("x"), json!(7), json!({"a": "b"})]));
}

#[test]
fn objects_of_another_type() {
    check(each(OBJECTS, &[json!("x"), json!(7), json!(true)]));
}

#[test]
fn required_members_that_are_missing() {
    check(
        REQUIRED
            .split_ascii_whitespace()
            .map(|pointer| (pointer.to_owned(), None)),
    );
}

#[test]
fn values_that_are_not_known() {
    check(
        unknown_values()
            .into_iter()
            .map(|(pointer, value)| (pointer.to_owned(), Some(value))),
    );
}

/// Documents that are no JSON at all.
#[test]
fn documents_that_are_not_json() {
    let bundle = Bundle::sh("true");
    let path = bundle.path().to_str().unwrap();
    for text in [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{\"ociVersion\": \"1.0.0\",}",
        "\u{0}",
        "{\"a\":1}}",
    ] {
        std::fs::write(bundle.path().join("config.json"), text).unwrap();
        let finished = bundle.call(&["create", "--bundle", path, &bundle.id]);
        assert!(
            finished.fails().contains("config.json"),
            "{text:?}: {finished:?}"
        );
        bundle.assert_gone();
    }
    std::fs::remove_file(bundle.path().join("config.json")).unwrap();
    let finished = bundle.call(&["create", "--bundle", path, &bundle.id]);
    assert!(finished.fails().contains("config.json"), "{finished:?}");
    // Deep nesting must not exhaust the stack.
    std::fs::write(bundle.path().join("config.json"), "[".repeat(100_000)).unwrap();
    assert_eq!(
        bundle.call(&["create", "--bundle", path, &bundle.id]).code,
        1
    );
}
