//! config-linux.md: "Namespaces", "User namespace mappings", "Offset for Time Namespace".

use std::fs;

use serde_json::json;

use crate::bundle::Bundle;

const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn own(file: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{file}"))
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn with_all() -> Bundle {
    let all: Vec<_> = KINDS
        .iter()
        .map(|(kind, _)| json!({"type": kind}))
        .collect();
    Bundle::sh("for n in pid net ipc uts mnt cgroup time; do readlink /proc/self/ns/$n; done")
        .set("/linux/namespaces", json!(all))
}

/// "If path is not specified, the runtime MUST create a new container namespace".
#[test]
fn each_namespace_is_new() {
    let finished = with_all().run();
    for ((kind, file), seen) in KINDS.iter().zip(finished.text().lines()) {
        assert_ne!(seen, own(file), "{kind}");
    }
}

/// "If a namespace type is not specified …, the container MUST inherit the runtime namespace".
#[test]
fn a_namespace_not_named_is_inherited() {
    for (kind, file) in KINDS {
        if kind == "mount" {
            continue;
        }
        let mut bundle = with_all().without_namespace(kind);
        bundle.config["process"]["args"] = json!(["readlink", format!("/proc/self/ns/{file}")]);
        match kind {
            "uts" => bundle = bundle.remove("/hostname"),
            // A sysfs of the host's network namespace needs no new one; a pid-less proc is the host's.
            "ipc" => bundle.config["mounts"]
                .as_array_mut()
                .unwrap()
                .retain(|m| m["type"] != "mqueue"),
            _ => {}
        }
        assert_eq!(bundle.run().text(), own(file), "{kind}");
    }
}

/// "The runtime MUST place the container process in the namespace associated with that path."
#[test]
fn namespaces_are_joined_by_path() {
    let first = with_all()
        .set("/process/args", json!(["sleep", "100"]))
        .start();
    let pid = first.pid();
    for (kind, file) in KINDS {
        if kind == "mount" || kind == "cgroup" {
            continue;
        }
        let path = format!("/proc/{pid}/ns/{file}");
        let wanted = fs::read_link(&path).unwrap();
        let mut bundle = with_all().without_namespace(kind);
        if kind == "uts" {
            bundle = bundle.remove("/hostname");
        }
        let bundle = bundle
            .set(
                "/process/args",
                json!(["readlink", format!("/proc/self/ns/{file}")]),
            )
            .push("/linux/namespaces", json!({"type": kind, "path": path}));
        assert_eq!(bundle.run().text(), wanted.to_str().unwrap(), "{kind}");
    }
    first.kill_and_delete();
}

/// "MUST generate an error if path is not associated with a namespace of type type."
#[test]
fn a_path_of_another_type_is_an_error() {
    for (kind, file) in [
        ("network", "uts"),
        ("pid", "net"),
        ("ipc", "mnt"),
        ("uts", "ipc"),
    ] {
        let path = format!("/proc/self/ns/{file}");
        let bundle = with_all()
            .without_namespace(kind)
            .push("/linux/namespaces", json!({"type": kind, "path": path}));
        let finished = bundle.run();
        assert!(finished.fails().contains(kind), "{kind}: {finished:?}");
    }
}

#[test]
fn a_path_that_is_no_namespace_is_an_error() {
    let namespace = json!({"type": "network", "path": "/etc/passwd"});
    let bundle = Bundle::sh("true")
        .without_namespace("network")
        .push("/linux/namespaces", namespace);
    bundle.run().fails();
    let namespace = json!({"type": "network", "path": "/nonexistent/net"});
    let bundle = Bundle::sh("true")
        .without_namespace("network")
        .push("/linux/namespaces", namespace);
    let finished = bundle.run();
    assert!(
        finished.fails().contains("/nonexistent/net"),
        "{finished:?}"
    );
}

/// "If a namespaces field contains duplicated namespaces with same type, … error".
#[test]
fn a_double_namespace_is_an_error() {
    let finished = Bundle::sh("true")
        .push("/linux/namespaces", json!({"type": "pid"}))
        .run();
    assert!(finished.fails().contains("namespaces"), "{finished:?}");
}

#[test]
fn the_first_process_is_number_one() {
    assert_eq!(Bundle::sh("echo $$").run().text(), "1");
}

/// A new network namespace has nothing but a loopback.
#[test]
fn a_new_network_is_empty() {
    let seen = Bundle::sh("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").run();
    assert!(
        seen.text().lines().any(|name| name == "lo") && !seen.text().contains("eth"),
        "{seen:?}"
    );
}

fn with_user_namespace(script: &str) -> Bundle {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let mut bundle = Bundle::sh(script)
        .push("/linux/namespaces", json!({"type": "user"}))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        let options = mount["options"].as_array_mut();
        if let Some(options) = options {
            options.retain(|option| !option.as_str().unwrap().starts_with("gid="));
        }
    }
    bundle
}

fn open_to_all(bundle: &Bundle) {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(bundle.rootfs(), Some(100_000), Some(100_000)).unwrap();
}

#[test]
fn user_namespace_mappings() {
    let bundle = with_user_namespace(
        "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; touch /made",
    );
    open_to_all(&bundle);
    let finished = bundle.run();
    assert_eq!(finished.text(), " 0 100000 65536\n 0 100000 65536\n0");
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(
        fs::metadata(bundle.rootfs().join("made")).unwrap().uid(),
        100_000
    );
}

/// "The runtime SHOULD NOT modify the ownership of referenced filesystems".
#[test]
fn user_namespace_leaves_owners_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let bundle = with_user_namespace("stat -c %u /etc/passwd");
    open_to_all(&bundle);
    assert_eq!(bundle.run().text(), "65534");
    assert_eq!(
        fs::metadata(bundle.rootfs().join("etc/passwd"))
            .unwrap()
            .uid(),
        0
    );
}

/// Of what an earlier mount of the container brought, too, the ids are mapped.
#[test]
fn an_idmapped_mount_of_an_earlier_mount() {
    let bundle = with_user_namespace("stat -c %u /first/file /second/file");
    open_to_all(&bundle);
    let (source, first) = (bundle.beside("source"), bundle.rootfs().join("first"));
    fs::create_dir(&source).unwrap();
    fs::write(format!("{source}/file"), "").unwrap();
    let first = first.display().to_string();
    let bundle = bundle.mount("/first", "bind", &source, &["bind"]).mount(
        "/second",
        "bind",
        &first,
        &["bind", "idmap"],
    );
    assert_eq!(bundle.run().text(), "65534\n0");
}

#[test]
fn exec_joins_the_user_namespace() {
    let bundle = with_user_namespace("sleep 100");
    open_to_all(&bundle);
    let container = bundle.start();
    let seen = container.exec(&["sh", "-c", "id -u; tr -s ' ' < /proc/self/uid_map"]);
    assert_eq!(seen.text(), "0\n 0 100000 65536");
    container.kill_and_delete();
}

/// `uidMappings` and `gidMappings` are optional: without them the creator is root inside.
#[test]
fn user_namespace_without_mappings() {
    let bundle = Bundle::sh("id -u").push("/linux/namespaces", json!({"type": "user"}));
    let finished = bundle.run();
    assert_eq!(finished.stdout.trim(), "0", "{finished:?}");
}

#[test]
fn time_namespace_offsets() {
    let offsets =
        json!({"monotonic": {"secs": 1_000_000}, "boottime": {"secs": 7_777_777, "nanosecs": 500}});
    let bundle = Bundle::sh("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets | tr -s ' '")
        .push("/linux/namespaces", json!({"type": "time"}))
        .set("/linux/timeOffsets", offsets);
    let finished = bundle.run();
    let uptime: u64 = finished.text().lines().next().unwrap().parse().unwrap();
    assert!(uptime >= 7_777_777, "{finished:?}");
    assert!(
        finished.text().contains("monotonic 1000000 0"),
        "{finished:?}"
    );
    assert!(
        finished.text().contains("boottime 7777777 500"),
        "{finished:?}"
    );
}

#[test]
fn time_offsets_need_a_time_namespace() {
    let bundle = Bundle::sh("true").set("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}));
    let finished = bundle.run();
    assert!(finished.fails().contains("time"), "{finished:?}");
}
