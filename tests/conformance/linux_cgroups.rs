//! config-linux.md, "Control groups": on a host with hierarchies of version 1, which this asks for.
//! Those of version 2 are tested in the outer boot.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::bundle::{Bundle, eventually};

/// Version 1 with the controller; otherwise the test has nothing to look at here.
fn has(controller: &str) -> bool {
    Path::new("/sys/fs/cgroup")
        .join(controller)
        .join("cgroup.procs")
        .exists()
}

/// Created with these resources, to look at the files.
fn created(resources: serde_json::Value) -> crate::bundle::Container {
    Bundle::sh("sleep 100")
        .set("/linux/resources", resources)
        .create()
}

/// "an absolute path … relative to the cgroups mount point".
#[test]
fn an_absolute_path_is_taken_as_it_is() {
    let container = Bundle::sh("sleep 100").start();
    let seen = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let wanted = format!("/insula-test/{}", container.bundle.id);
    for line in seen
        .lines()
        .filter(|line| line.contains(":memory:") || line.contains(":pids:"))
    {
        assert!(line.ends_with(&wanted), "{line}");
    }
    container.kill_and_delete();
}

/// "the runtime MUST consistently attach to the same place …"; a relative path has some place.
#[test]
fn a_relative_path_is_taken() {
    let id = Bundle::sh("").id;
    let bundle =
        Bundle::sh("cat /proc/self/cgroup").set("/linux/cgroupsPath", json!(format!("rel-{id}")));
    let (first, second) = (bundle.run(), bundle.run());
    assert_eq!(first.text(), second.text());
    assert!(first.text().contains(&format!("rel-{id}")), "{first:?}");
}

#[test]
fn without_a_path_there_is_one_per_container() {
    let bundle = Bundle::sh("grep pids /proc/self/cgroup").remove("/linux/cgroupsPath");
    let id = bundle.id.clone();
    assert!(bundle.run().text().contains(&id));
}

/// `exec --cgroup`: one below the container's in all hierarchies, or for named controllers.
#[test]
fn exec_may_go_into_a_cgroup_below() {
    if !has("pids") || !has("memory") {
        return;
    }
    let container = Bundle::sh("sleep 100").start();
    let id = &container.bundle.id;
    let own = |controller: &str| format!("/sys/fs/cgroup/{controller}/insula-test/{id}");
    fs::create_dir(format!("{}/below", own("pids"))).unwrap();
    let seen = container.exec_with(&["--cgroup", "pids:below"], &["cat", "/proc/self/cgroup"]);
    let place = |controller: &str| {
        let mut lines = seen.text().lines();
        let mark = format!(":{controller}:");
        lines.find(|line| line.contains(&mark)).unwrap().to_owned()
    };
    assert!(place("pids").ends_with(&format!("{id}/below")), "{seen:?}");
    assert!(place("memory").ends_with(id.as_str()), "{seen:?}");
    // A path for all leads to where somebody made it.
    let seen = container.exec_with(&["--cgroup", "below"], &["cat", "/proc/self/cgroup"]);
    assert!(seen.text().contains(&format!("{id}/below")), "{seen:?}");
    for (wrong, part) in [
        ("nowhere", "No such file or directory"),
        ("..", "bad sub cgroup path"),
        ("memory:below", "No such file or directory"),
        ("nothing:/", "unknown controller nothing"),
    ] {
        let finished = container.exec_with(&["--cgroup", wrong], &["true"]);
        assert!(finished.fails().contains(part), "{wrong}: {finished:?}");
    }
    container.kill_and_delete();
}

/// A container at its limit of processes can still be entered.
#[test]
fn exec_in_a_container_at_its_limit_of_processes() {
    let container = Bundle::sh("sleep 100")
        .set("/linux/resources", json!({"pids": {"limit": 1}}))
        .start();
    assert_eq!(container.exec(&["echo", "in"]).text(), "in");
    container.kill_and_delete();
}

/// Parents that somebody made by hand may have no processors and no memory nodes (version 1).
#[test]
fn cpusets_above_are_filled() {
    if !has("cpuset") {
        return;
    }
    let bundle = Bundle::sh("echo in");
    let above = format!("/sys/fs/cgroup/cpuset/{}-above", bundle.id);
    fs::create_dir_all(format!("{above}/middle")).unwrap();
    let path = format!("/{}-above/middle/own", bundle.id);
    let finished = bundle.set("/linux/cgroupsPath", json!(path)).run();
    let others = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    for hierarchy in others.map(|entry| entry.path()) {
        let above = hierarchy.join(path.trim_start_matches('/').trim_end_matches("/middle/own"));
        let _ = fs::remove_dir(above.join("middle"));
        let _ = fs::remove_dir(above);
    }
    assert_eq!(finished.text(), "in");
}

/// "a non-empty cgroup" at create is an error.
#[test]
fn a_cgroup_in_use_is_an_error() {
    let container = Bundle::sh("sleep 100").start();
    let same = container.bundle.config["linux"]["cgroupsPath"].clone();
    let second = Bundle::sh("true").set("/linux/cgroupsPath", same);
    second.try_create(&[]).fails();
    assert_eq!(container.status(), "running");
    container.kill_and_delete();
}

#[test]
fn memory_limits() {
    if !has("memory") {
        return;
    }
    let container = created(
        json!({"memory": {"limit": 20_971_520, "reservation": 10_485_760, "swap": 41_943_040,
        "swappiness": 10, "disableOOMKiller": false}}),
    );
    let read = |file| container.bundle.cgroup("memory", file);
    assert_eq!(read("memory.limit_in_bytes"), "20971520");
    assert_eq!(read("memory.soft_limit_in_bytes"), "10485760");
    if Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists() {
        assert_eq!(read("memory.memsw.limit_in_bytes"), "41943040");
    }
    assert_eq!(read("memory.swappiness"), "10");
}

#[test]
fn a_memory_limit_is_enforced() {
    if !has("memory") {
        return;
    }
    let bundle = Bundle::sh("dd if=/dev/zero of=/dev/shm/x bs=1M count=60")
        .set("/linux/resources", json!({"memory": {"limit": 16_777_216}}));
    let finished = bundle.run();
    assert_ne!(finished.code, 0, "{finished:?}");
}

#[test]
fn cpu_shares_quota_period_and_set() {
    if !has("cpu") || !has("cpuset") {
        return;
    }
    let container = created(
        json!({"cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"}}),
    );
    assert_eq!(container.bundle.cgroup("cpu", "cpu.shares"), "512");
    assert_eq!(container.bundle.cgroup("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(
        container.bundle.cgroup("cpu", "cpu.cfs_period_us"),
        "100000"
    );
    assert_eq!(container.bundle.cgroup("cpuset", "cpuset.cpus"), "0");
    assert_eq!(container.bundle.cgroup("cpuset", "cpuset.mems"), "0");
}

#[test]
fn a_cpuset_is_seen_inside() {
    if !has("cpuset") {
        return;
    }
    let bundle = Bundle::sh("nproc").set("/linux/resources", json!({"cpu": {"cpus": "0"}}));
    assert_eq!(bundle.run().text(), "1");
}

#[test]
fn pids_limit_and_none() {
    if !has("pids") {
        return;
    }
    let container = created(json!({"pids": {"limit": 42}}));
    assert_eq!(container.bundle.cgroup("pids", "pids.max"), "42");
    let container = created(json!({"pids": {"limit": -1}}));
    assert_eq!(container.bundle.cgroup("pids", "pids.max"), "max");
}

/// One process is enough for the container and for its start.
#[test]
fn a_pids_limit_of_one() {
    let bundle =
        Bundle::of(&["echo", "alone"]).set("/linux/resources", json!({"pids": {"limit": 1}}));
    assert_eq!(bundle.run().text(), "alone");
}

#[test]
fn a_pids_limit_is_enforced() {
    if !has("pids") {
        return;
    }
    let bundle = Bundle::sh("for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")
        .set("/linux/resources", json!({"pids": {"limit": 4}}));
    let finished = bundle.run();
    assert!(finished.stderr.contains("can't fork"), "{finished:?}");
}

#[test]
fn block_io_weight_and_throttle() {
    if !has("blkio") {
        return;
    }
    use std::os::unix::fs::MetadataExt as _;
    let root = fs::metadata("/").unwrap().dev();
    let (major, minor) = ((root >> 8) & 0xfff, (root & 0xff) | ((root >> 12) & 0xff00));
    let rate = json!([{"major": major, "minor": minor, "rate": 1_048_576}]);
    let bundle = Bundle::sh("sleep 100").set(
        "/linux/resources",
        json!({"blockIO": {"throttleReadBpsDevice": rate}}),
    );
    let created = bundle.try_create(&[]);
    let container = crate::bundle::Container { bundle };
    // A partition or an unusual device has no queue to throttle: then the error names the setting.
    if created.code == 0 {
        let file = container
            .bundle
            .cgroup("blkio", "blkio.throttle.read_bps_device");
        assert_eq!(file, format!("{major}:{minor} 1048576"));
    } else {
        assert!(
            created.stderr.contains("blkio") || created.stderr.contains("blockIO"),
            "{created:?}"
        );
    }
}

#[test]
fn devices_are_denied_and_allowed() {
    if !has("devices") {
        return;
    }
    let rules = json!([{"allow": false, "access": "rwm"},
                       {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]);
    let nodes = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666},
                       {"path": "/dev/mem", "type": "c", "major": 1, "minor": 1, "fileMode": 0o666}]);
    let bundle = Bundle::sh(
        "(exec 3</dev/fuse) && echo fuse; cat /dev/mem >/dev/null 2>&1 || echo denied; head -c1 /dev/zero | wc -c",
    )
    .set("/linux/resources/devices", rules)
    .set("/linux/devices", nodes);
    assert_eq!(bundle.run().text(), "fuse\ndenied\n1");
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    if !has("devices") {
        return;
    }
    let rules = json!([{"allow": false, "access": "rwm"}]);
    let bundle = Bundle::sh("mknod /dev/x c 10 200; mknod /dev/m c 1 1 && exec 3</dev/m")
        .set("/linux/resources/devices", rules);
    assert!(bundle.run().stderr.contains("Operation not permitted"));
}

/// A controller or a value the host does not have is an error that names it.
#[test]
fn what_cannot_be_applied_is_an_error() {
    for (resources, names) in [
        (json!({"cpu": {"cpus": "500"}}), ["cpuset", "cpus"]),
        (
            json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}),
            ["huge", "3MB"],
        ),
    ] {
        let bundle = Bundle::sh("true").set("/linux/resources", resources);
        let finished = bundle.run();
        assert!(
            names.iter().any(|name| finished.fails().contains(name)),
            "{finished:?}"
        );
    }
}

#[test]
fn update_changes_a_running_container() {
    if !has("memory") || !has("pids") || !has("cpu") {
        return;
    }
    let container = created(json!({"memory": {"limit": 20_971_520}, "pids": {"limit": 10}}));
    container.start();
    let id = container.bundle.id.as_str();
    let options = [
        "--memory",
        "33554432",
        "--pids-limit",
        "20",
        "--cpu-share",
        "256",
    ];
    let updated = container
        .bundle
        .call(&[&["update"], &options[..], &[id]].concat());
    assert_eq!(updated.code, 0, "{updated:?}");
    assert_eq!(
        container.bundle.cgroup("memory", "memory.limit_in_bytes"),
        "33554432"
    );
    assert_eq!(container.bundle.cgroup("pids", "pids.max"), "20");
    assert_eq!(container.bundle.cgroup("cpu", "cpu.shares"), "256");
    let file = container.bundle.beside("resources.json");
    fs::write(&file, json!({"pids": {"limit": 30}}).to_string()).unwrap();
    let updated = container.bundle.call(&["update", "--resources", &file, id]);
    assert_eq!(updated.code, 0, "{updated:?}");
    assert_eq!(container.bundle.cgroup("pids", "pids.max"), "30");
    assert_eq!(
        container.bundle.cgroup("memory", "memory.limit_in_bytes"),
        "33554432"
    );
    container.kill_and_delete();
}

#[test]
fn events_gives_the_counters() {
    let container = Bundle::sh("sleep 100").start();
    let finished = container
        .bundle
        .call(&["events", "--stats", &container.bundle.id]);
    let event: serde_json::Value = serde_json::from_str(finished.text()).unwrap();
    assert_eq!(event["id"], container.bundle.id.as_str());
    assert_eq!(event["type"], "stats");
    if has("pids") {
        assert!(
            event["data"]["pids"]["current"]
                .as_u64()
                .is_some_and(|pids| pids >= 1),
            "{event}"
        );
    }
    container.kill_and_delete();
}

#[test]
fn a_frozen_container_can_be_killed() {
    if !has("freezer") {
        return;
    }
    let container = Bundle::sh("sleep 100").start();
    assert_eq!(container.call("pause", &[]).code, 0);
    assert_eq!(container.call("delete", &["--force"]).code, 0);
    assert!(eventually(|| container.bundle.cgroups().is_empty()));
}

/// A mount of type cgroup shows the container's own groups, and a read-only one cannot be changed.
#[test]
fn a_cgroup_mount() {
    if !has("pids") {
        return;
    }
    let bundle = Bundle::sh(
        "cat /sys/fs/cgroup/pids/pids.max; mkdir /sys/fs/cgroup/pids/x 2>&1 | grep -c 'Read-only'",
    )
    .mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "ro"],
    )
    .set("/linux/resources", json!({"pids": {"limit": 77}}));
    assert_eq!(bundle.run().text(), "77\n1");
}
