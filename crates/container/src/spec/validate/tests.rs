//! One row per rule: a field of a good document, a malformed value, and the path the error names.

use serde_json::{Value, json};

use super::super::{parse, parse_process, parse_resources};

/// A document that uses every part of the specification and is valid.
#[expect(clippy::too_many_lines, reason = "a table: one row per rule")]
fn complete() -> Value {
    json!({
        "ociVersion": "1.2.0-rc.1+build.7",
        "unknownProperty": {"is": "ignored"},
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "box",
        "domainname": "example.org",
        "process": {
            "terminal": true,
            "consoleSize": {"height": 25, "width": 80},
            "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4]},
            "args": ["sh", ""],
            "env": ["PATH=/bin", "EMPTY="],
            "cwd": "/",
            "capabilities": {"bounding": ["CAP_KILL", "CAP_OF_THE_FUTURE"]},
            "rlimits": [
                {"type": "RLIMIT_CORE", "soft": 1, "hard": 2},
                {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}
            ],
            "noNewPrivileges": true,
            "apparmorProfile": "profile",
            "selinuxLabel": "label",
            "oomScoreAdj": 100,
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "scheduler": {"policy": "SCHED_BATCH", "nice": 5},
            "execCPUAffinity": {"initial": "0-1,3", "final": ""}
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "relative", "source": "/srv", "options": ["rbind", "ro"]},
            {"destination": "/mapped", "source": "/srv", "options": ["bind", "idmap"],
             "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
             "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}]}
        ],
        "hooks": {
            "createRuntime": [{"path": "/bin/hook", "args": ["hook"], "env": ["A=b"], "timeout": 3}],
            "poststop": [{"path": "/bin/hook"}]
        },
        "annotations": {"com.example.key": ""},
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "mount"}, {"type": "ipc"},
                {"type": "uts"}, {"type": "user"}, {"type": "cgroup"},
                {"type": "time", "path": ""}
            ],
            "uidMappings": [
                {"containerID": 0, "hostID": 1000, "size": 100},
                {"containerID": 100, "hostID": 5000, "size": 1}
            ],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 100}],
            "timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 1}},
            "devices": [
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438,
                 "uid": 0, "gid": 0},
                {"path": "/run/pipe", "type": "p"}
            ],
            "netDevices": {"eth7": {"name": "inside%d"}},
            "sysctl": {
                "net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/rp_filter": "1",
                "kernel.shmmax": "4096", "fs.mqueue.msg_max": "5", "user.max_user_namespaces": "9"
            },
            "cgroupsPath": "/group/box",
            "resources": {
                "devices": [{"allow": false, "access": "rwm"},
                            {"allow": true, "type": "c", "major": -1, "minor": 3, "access": "rw"}],
                "memory": {"limit": 4096, "swap": -1, "swappiness": 60},
                "cpu": {"shares": 10, "quota": -1, "period": 100000, "cpus": "0-3, 7", "idle": 1},
                "pids": {"limit": 0},
                "blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 5}],
                            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 9}, {"pageSize": "64KB", "limit": 9}],
                "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 5}]},
                "rdma": {"mlx5_0": {"hcaHandles": 3}},
                "unified": {"memory.high": "max"}
            },
            "rootfsPropagation": "slave",
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "mountLabel": "label",
            "intelRdt": {"closID": "guaranteed", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20",
                         "schemata": ["L2:0=f"]},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
            "personality": {"domain": "LINUX32", "flags": []}
        }
    })
}

/// Puts `value` at a JSON pointer, making the last member where it is absent.
fn put(document: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
        return;
    }
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer starts with /");
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.insert(name.replace("~1", "/"), value)),
        Some(Value::Array(items)) => items.push(value),
        _ => panic!("no parent for {pointer}"),
    }
}

fn remove(document: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer starts with /");
    document
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .and_then(|members| members.remove(name))
        .unwrap_or_else(|| panic!("{pointer} is not there"));
}

fn refused(document: &Value, field: &str, what: &str) {
    let error = match parse(document.to_string().as_bytes()) {
        Ok(_) => panic!("accepted: {what}"),
        Err(error) => error.to_string(),
    };
    assert!(
        error.starts_with(&format!("{field}: ")),
        "{what}: expected `{field}: …`, got `{error}`"
    );
}

fn refuse_each(rows: &[(&str, Value, &str)]) {
    for (pointer, value, field) in rows {
        let mut document = complete();
        put(&mut document, pointer, value.clone());
        refused(&document, field, &format!("{pointer} = {value}"));
    }
}

#[test]
fn a_complete_document_is_accepted() {
    parse(complete().to_string().as_bytes()).unwrap();
}

#[test]
fn the_smallest_document_is_accepted() {
    parse(br#"{"ociVersion": "1.0.0", "root": {"path": "rootfs"}}"#).unwrap();
}

#[test]
fn versions_follow_semver_and_the_major_number() {
    for version in [
        "1.0.0",
        "1.0.2-dev",
        "1.3.0+dev",
        "1.0.0-rc.2",
        "1.10.0-0a.x-y",
    ] {
        let document = json!({"ociVersion": version, "root": {"path": "r"}});
        parse(document.to_string().as_bytes()).unwrap();
    }
    for version in [
        "", "1", "1.0", "01.0.0", "1.0.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", "1.0.x",
    ] {
        let document = json!({"ociVersion": version, "root": {"path": "r"}});
        refused(&document, "ociVersion", version);
    }
    refuse_each(&[
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/ociVersion", json!("0.9.0"), "ociVersion"),
        ("/ociVersion", json!(1), "ociVersion"),
    ]);
}

#[test]
fn missing_fields_are_named() {
    for (pointer, field) in [
        ("/root", "root"),
        ("/ociVersion", "ociVersion"),
        ("/root/path", "root.path"),
        ("/process/cwd", "process.cwd"),
        ("/process/user/uid", "process.user.uid"),
        ("/linux/uidMappings/0/size", "linux.uidMappings[0].size"),
        ("/process/args", "process.args"),
        ("/mounts/0/type", "mounts[0].type"),
        ("/mounts/1/source", "mounts[1].source"),
        ("/mounts/2/uidMappings", "mounts[2].uidMappings"),
        ("/mounts/2/gidMappings", "mounts[2].gidMappings"),
        ("/linux/memoryPolicy/nodes", "linux.memoryPolicy.nodes"),
    ] {
        let mut document = complete();
        remove(&mut document, pointer);
        refused(&document, field, &format!("without {pointer}"));
    }
}

#[test]
fn the_top_level_is_checked() {
    refuse_each(&[
        ("/root/path", json!(""), "root.path"),
        ("/root/path", json!("a\0b"), "root.path"),
        ("/root/readonly", json!("yes"), "root.readonly"),
        ("/hostname", json!("a\0b"), "hostname"),
        ("/hostname", json!("x".repeat(65)), "hostname"),
        ("/hostname", json!(5), "hostname"),
        ("/domainname", json!("x".repeat(65)), "domainname"),
        ("/annotations/", json!("value"), "annotations"),
        ("/annotations/key", json!(1), "annotations.key"),
        ("/mounts/0/destination", json!(""), "mounts[0].destination"),
        (
            "/mounts/0/destination",
            json!("/\0"),
            "mounts[0].destination",
        ),
        ("/mounts/0/source", json!("\0"), "mounts[0].source"),
        (
            "/mounts/0/options",
            json!(["ro", "x\0"]),
            "mounts[0].options[1]",
        ),
        ("/mounts/0/options", json!("ro"), "mounts[0].options"),
        (
            "/mounts/2/uidMappings/0/size",
            json!(0),
            "mounts[2].uidMappings[0].size",
        ),
        (
            "/hooks/poststop/0/path",
            json!("hook"),
            "hooks.poststop[0].path",
        ),
        (
            "/hooks/poststop/0/path",
            json!(""),
            "hooks.poststop[0].path",
        ),
        (
            "/hooks/poststop/0/timeout",
            json!(0),
            "hooks.poststop[0].timeout",
        ),
        (
            "/hooks/createRuntime/0/timeout",
            json!(-1),
            "hooks.createRuntime[0].timeout",
        ),
        (
            "/hooks/createRuntime/0/args",
            json!(["\0"]),
            "hooks.createRuntime[0].args[0]",
        ),
        (
            "/hooks/createRuntime/0/env",
            json!(["A"]),
            "hooks.createRuntime[0].env[0]",
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row per rule")]
fn the_process_is_checked() {
    refuse_each(&[
        ("/process/args", json!([]), "process.args"),
        ("/process/args/0", json!(""), "process.args[0]"),
        ("/process/args/1", json!("\0"), "process.args[1]"),
        ("/process/args/1", json!(7), "process.args[1]"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/cwd", json!("home"), "process.cwd"),
        ("/process/cwd", json!("/\0"), "process.cwd"),
        ("/process/env/0", json!("PATH"), "process.env[0]"),
        ("/process/env/0", json!("=x"), "process.env[0]"),
        ("/process/env/0", json!("A=\0"), "process.env[0]"),
        ("/process/user/uid", json!(-1), "process.user.uid"),
        (
            "/process/user/uid",
            json!(4_294_967_296_u64),
            "process.user.uid",
        ),
        ("/process/user/umask", json!(512), "process.user.umask"),
        (
            "/process/user/additionalGids/1",
            json!("x"),
            "process.user.additionalGids[1]",
        ),
        (
            "/process/consoleSize/height",
            json!(65_536),
            "process.consoleSize.height",
        ),
        (
            "/process/rlimits/1/type",
            json!("RLIMIT_CORE"),
            "process.rlimits[1].type",
        ),
        (
            "/process/rlimits/1/type",
            json!("RLIMIT_X"),
            "process.rlimits[1].type",
        ),
        (
            "/process/rlimits/1/type",
            json!("NOFILE"),
            "process.rlimits[1].type",
        ),
        (
            "/process/rlimits/1/soft",
            json!(1025),
            "process.rlimits[1].soft",
        ),
        (
            "/process/rlimits/1/hard",
            json!(-1),
            "process.rlimits[1].hard",
        ),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        ("/process/oomScoreAdj", json!(-1001), "process.oomScoreAdj"),
        (
            "/process/ioPriority/priority",
            json!(8),
            "process.ioPriority.priority",
        ),
        (
            "/process/ioPriority/priority",
            json!(-1),
            "process.ioPriority.priority",
        ),
        (
            "/process/ioPriority/class",
            json!("RT"),
            "process.ioPriority.class",
        ),
        (
            "/process/apparmorProfile",
            json!("\0"),
            "process.apparmorProfile",
        ),
        ("/process/selinuxLabel", json!("\0"), "process.selinuxLabel"),
        (
            "/process/execCPUAffinity/initial",
            json!("3-1"),
            "process.execCPUAffinity.initial",
        ),
        (
            "/process/execCPUAffinity/final",
            json!("x"),
            "process.execCPUAffinity.final",
        ),
        (
            "/process/scheduler/policy",
            json!("SCHED_X"),
            "process.scheduler.policy",
        ),
        (
            "/process/scheduler/nice",
            json!(20),
            "process.scheduler.nice",
        ),
        (
            "/process/scheduler/nice",
            json!(-21),
            "process.scheduler.nice",
        ),
        (
            "/process/scheduler/priority",
            json!(1),
            "process.scheduler.priority",
        ),
        (
            "/process/scheduler/runtime",
            json!(1),
            "process.scheduler.runtime",
        ),
        (
            "/process/scheduler/policy",
            json!("SCHED_FIFO"),
            "process.scheduler.priority",
        ),
        (
            "/process/scheduler/policy",
            json!("SCHED_DEADLINE"),
            "process.scheduler.runtime",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 4000}),
            "process.scheduler.deadline",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": 1}),
            "process.scheduler.period",
        ),
    ]);
}

#[test]
fn the_console_size_without_a_terminal_is_ignored() {
    let mut document = complete();
    put(&mut document, "/process/terminal", json!(false));
    put(&mut document, "/process/consoleSize/height", json!(70_000));
    parse(document.to_string().as_bytes()).unwrap();
}

#[test]
fn namespaces_and_what_needs_them_are_checked() {
    refuse_each(&[
        (
            "/linux/namespaces/1/type",
            json!("pid"),
            "linux.namespaces[1].type",
        ),
        (
            "/linux/namespaces/1/type",
            json!("net"),
            "linux.namespaces[1].type",
        ),
        (
            "/linux/namespaces/1/path",
            json!("ns"),
            "linux.namespaces[1].path",
        ),
        (
            "/linux/namespaces/7/path",
            json!("/proc/1/ns/time"),
            "linux.timeOffsets",
        ),
        (
            "/linux/uidMappings/0/size",
            json!(0),
            "linux.uidMappings[0].size",
        ),
        (
            "/linux/uidMappings/1/containerID",
            json!(99),
            "linux.uidMappings[1].containerID",
        ),
        (
            "/linux/uidMappings/1/hostID",
            json!(1099),
            "linux.uidMappings[1].hostID",
        ),
        (
            "/linux/uidMappings/1/hostID",
            json!(-1),
            "linux.uidMappings[1].hostID",
        ),
        (
            "/linux/gidMappings/0",
            json!({"containerID": 4_294_967_295_u32, "hostID": 0, "size": 2}),
            "linux.gidMappings[0].size",
        ),
        (
            "/linux/timeOffsets/realtime",
            json!({"secs": 1}),
            "linux.timeOffsets.realtime",
        ),
        (
            "/linux/timeOffsets/monotonic/nanosecs",
            json!(1_000_000_000),
            "linux.timeOffsets.monotonic.nanosecs",
        ),
    ]);
    for (index, kind, field) in [
        (1, "network", "linux.netDevices"),
        (2, "mount", "linux.maskedPaths"),
        (3, "ipc", "linux.sysctl.fs.mqueue.msg_max"),
        (4, "uts", "hostname"),
        (5, "user", "linux.uidMappings"),
        (7, "time", "linux.timeOffsets"),
    ] {
        let mut document = complete();
        let namespaces = document.pointer_mut("/linux/namespaces").unwrap();
        namespaces.as_array_mut().unwrap().remove(index);
        refused(&document, field, &format!("without the {kind} namespace"));
    }
}

#[test]
fn sysctls_of_the_host_are_refused() {
    refuse_each(&[
        (
            "/linux/sysctl/vm.swappiness",
            json!("1"),
            "linux.sysctl.vm.swappiness",
        ),
        (
            "/linux/sysctl/kernel.pid_max",
            json!("1"),
            "linux.sysctl.kernel.pid_max",
        ),
        (
            "/linux/sysctl/kernel.hostname",
            json!("x"),
            "linux.sysctl.kernel.hostname",
        ),
        (
            "/linux/sysctl/kernel.domainname",
            json!("x"),
            "linux.sysctl.kernel.domainname",
        ),
        ("/linux/sysctl/net..x", json!("1"), "linux.sysctl.net..x"),
        (
            "/linux/sysctl/net~1..~1kernel~1x",
            json!("1"),
            "linux.sysctl.net/../kernel/x",
        ),
        (
            "/linux/sysctl/kernel.sem",
            json!("\0"),
            "linux.sysctl.kernel.sem",
        ),
        (
            "/linux/namespaces/1/path",
            json!("/proc/self/ns/net"),
            "linux.sysctl.net.ipv4.ip_forward",
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row per rule")]
fn the_rest_of_linux_is_checked() {
    refuse_each(&[
        (
            "/linux/devices/0/path",
            json!("dev/fuse"),
            "linux.devices[0].path",
        ),
        ("/linux/devices/0/type", json!("x"), "linux.devices[0].type"),
        (
            "/linux/devices/0/major",
            json!(-1),
            "linux.devices[0].major",
        ),
        (
            "/linux/devices/0/major",
            json!(4096),
            "linux.devices[0].major",
        ),
        (
            "/linux/devices/0/minor",
            json!(1_048_576),
            "linux.devices[0].minor",
        ),
        (
            "/linux/devices/0/fileMode",
            json!(65_536),
            "linux.devices[0].fileMode",
        ),
        ("/linux/netDevices/a~1b", json!({}), "linux.netDevices.a/b"),
        (
            "/linux/netDevices/abcdefghijklmnop",
            json!({}),
            "linux.netDevices.abcdefghijklmnop",
        ),
        (
            "/linux/netDevices/eth7/name",
            json!(".."),
            "linux.netDevices.eth7.name",
        ),
        ("/linux/cgroupsPath", json!("/a/../b"), "linux.cgroupsPath"),
        ("/linux/cgroupsPath", json!("/a\0"), "linux.cgroupsPath"),
        (
            "/linux/rootfsPropagation",
            json!("public"),
            "linux.rootfsPropagation",
        ),
        (
            "/linux/maskedPaths/0",
            json!("proc/kcore"),
            "linux.maskedPaths[0]",
        ),
        (
            "/linux/readonlyPaths/0",
            json!(""),
            "linux.readonlyPaths[0]",
        ),
        ("/linux/mountLabel", json!("\0"), "linux.mountLabel"),
        (
            "/linux/intelRdt/closID",
            json!(".."),
            "linux.intelRdt.closID",
        ),
        (
            "/linux/intelRdt/closID",
            json!("a/b"),
            "linux.intelRdt.closID",
        ),
        (
            "/linux/intelRdt/l3CacheSchema",
            json!("L3:0=f\nx"),
            "linux.intelRdt.l3CacheSchema",
        ),
        (
            "/linux/intelRdt/memBwSchema",
            json!("L3:0=f"),
            "linux.intelRdt.memBwSchema",
        ),
        (
            "/linux/intelRdt/schemata/0",
            json!("a\nb"),
            "linux.intelRdt.schemata[0]",
        ),
        (
            "/linux/memoryPolicy/mode",
            json!("BIND"),
            "linux.memoryPolicy.mode",
        ),
        (
            "/linux/memoryPolicy/mode",
            json!("MPOL_DEFAULT"),
            "linux.memoryPolicy.nodes",
        ),
        (
            "/linux/memoryPolicy/nodes",
            json!("0-"),
            "linux.memoryPolicy.nodes",
        ),
        (
            "/linux/memoryPolicy/flags",
            json!(["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]),
            "linux.memoryPolicy.flags",
        ),
        (
            "/linux/personality/domain",
            json!("BSD"),
            "linux.personality.domain",
        ),
        (
            "/linux/personality/flags",
            json!(["X"]),
            "linux.personality.flags[0]",
        ),
    ]);
}

#[test]
fn resources_are_checked() {
    let at = |rest: &str| format!("/linux/resources/{rest}");
    for (pointer, value, field) in [
        ("devices/0/type", json!("u"), "devices[0].type"),
        ("devices/0/access", json!("rx"), "devices[0].access"),
        ("devices/1/major", json!(-2), "devices[1].major"),
        ("memory/limit", json!(-2), "memory.limit"),
        ("memory/limit", json!("1G"), "memory.limit"),
        ("memory/swappiness", json!(201), "memory.swappiness"),
        ("cpu/cpus", json!("a"), "cpu.cpus"),
        ("cpu/mems", json!("1-0"), "cpu.mems"),
        ("cpu/idle", json!(2), "cpu.idle"),
        ("cpu/shares", json!(-1), "cpu.shares"),
        ("pids/limit", json!(-2), "pids.limit"),
        ("blockIO/weight", json!(1001), "blockIO.weight"),
        (
            "blockIO/weightDevice/0/weight",
            json!(null),
            "blockIO.weightDevice[0]",
        ),
        (
            "blockIO/weightDevice/0/major",
            json!(-1),
            "blockIO.weightDevice[0].major",
        ),
        (
            "blockIO/throttleReadBpsDevice/0/minor",
            json!(-1),
            "blockIO.throttleReadBpsDevice[0].minor",
        ),
        (
            "hugepageLimits/0/pageSize",
            json!("2M"),
            "hugepageLimits[0].pageSize",
        ),
        (
            "hugepageLimits/0/pageSize",
            json!("02MB"),
            "hugepageLimits[0].pageSize",
        ),
        (
            "hugepageLimits/1/pageSize",
            json!("2MB"),
            "hugepageLimits[1].pageSize",
        ),
        (
            "network/priorities/0/name",
            json!(""),
            "network.priorities[0].name",
        ),
        ("rdma/mlx5_0", json!({}), "rdma.mlx5_0"),
        ("unified/..~1x.y", json!("1"), "unified.../x.y"),
    ] {
        let mut document = complete();
        put(&mut document, &at(pointer), value.clone());
        refused(
            &document,
            &format!("linux.resources.{field}"),
            &format!("{pointer} = {value}"),
        );
        let alone = document["linux"]["resources"].to_string();
        let error = parse_resources(alone.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn a_process_of_its_own_names_fields_without_a_prefix() {
    let error = parse_process(br#"{"args": ["a"], "cwd": "x", "user": {"uid": 0, "gid": 0}}"#);
    assert!(error.unwrap_err().to_string().starts_with("cwd: "));
}

#[test]
fn what_is_no_document_is_said_so() {
    for (text, start) in [
        ("", "not JSON: "),
        ("{", "not JSON: "),
        ("[]x", "the document: "),
    ] {
        let error = parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text}: {error}");
    }
}
