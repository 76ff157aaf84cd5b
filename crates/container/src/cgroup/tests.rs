//! Tests of several files together: on a made-up tree of files, and, as root, on this machine's
//! hierarchies.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::location::{Hierarchy, Location, Manager};
use super::*;
use crate::spec::{self, Resources};

/// A directory that goes with the test.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("insula-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// A pure version 2 root with one cgroup `a/b` that has these files.
    fn unified(&self, files: &[(&str, &str)]) -> Location {
        self.file(
            "cgroup.controllers",
            "cpuset cpu io memory hugetlb pids rdma misc\n",
        );
        self.file(
            "cgroup.subtree_control",
            "cpuset cpu io memory hugetlb pids rdma misc\n",
        );
        self.file(
            "a/b/cgroup.controllers",
            "cpuset cpu io memory hugetlb pids rdma misc\n",
        );
        for (name, text) in files {
            self.file(&format!("a/b/{name}"), text);
        }
        let unified = Hierarchy {
            mount: String::new(),
            controllers: None,
            unified: true,
        };
        self.location(vec![unified])
    }

    fn location(&self, hierarchies: Vec<Hierarchy>) -> Location {
        Location {
            manager: Manager::Cgroupfs,
            root: Cow::Owned(self.root.to_str().unwrap().to_owned()),
            hierarchies,
            path: "a/b".to_owned(),
            unit: None,
            // Device rules need the kernel.
            rootless: true,
            path_given: true,
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn resources(json: &str) -> Resources {
    serde_json::from_str(json).unwrap()
}

#[test]
fn version_1_fields_become_those_of_version_2() {
    let tree = Tree::new("v2");
    let names = [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "pids.max",
        "cpu.weight",
        "cpu.max",
        "cpu.max.burst",
        "cpuset.cpus",
        "cpuset.mems",
        "io.bfq.weight",
        "io.max",
        "hugetlb.2MB.max",
        "hugetlb.2MB.rsvd.max",
        "rdma.max",
        "memory.high",
    ];
    let location = tree.unified(&names.map(|name| (name, "")));
    let asked = resources(
        r#"{"memory": {"limit": 1000, "swap": 1500, "reservation": 500},
            "pids": {"limit": -1},
            "cpu": {"shares": 1024, "quota": 5000, "period": 10000, "burst": 100,
                    "cpus": "0-1", "mems": "0"},
            "blockIO": {"weight": 100, "throttleReadBpsDevice":
                        [{"major": 8, "minor": 0, "rate": 600}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"memory.high": "900"}}"#,
    );
    location.open().unwrap().apply(&asked).unwrap();
    for (name, value) in [
        ("memory.max", "1000"),
        ("memory.swap.max", "500"),
        ("memory.low", "500"),
        ("pids.max", "max"),
        ("cpu.weight", "100"),
        ("cpu.max", "5000 10000"),
        ("cpu.max.burst", "100"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("io.bfq.weight", "100"),
        ("io.max", "8:0 rbps=600"),
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
        ("memory.high", "900"),
    ] {
        assert_eq!(tree.text(&format!("a/b/{name}")), value, "{name}");
    }
}

#[test]
fn version_2_refuses_what_it_cannot_hold() {
    let tree = Tree::new("v2-refuse");
    let location = tree.unified(&[("memory.max", "1000\n"), ("memory.current", "900\n")]);
    let cgroup = location.open().unwrap();
    for (json, word) in [
        (r#"{"memory": {"swappiness": 60}}"#, "swappiness"),
        (
            r#"{"memory": {"disableOOMKiller": true}}"#,
            "disableOOMKiller",
        ),
        (
            r#"{"memory": {"limit": 800, "checkBeforeUpdate": true}}"#,
            "usage",
        ),
        (
            r#"{"memory": {"limit": 800, "swap": 700}}"#,
            "below memory.limit",
        ),
        (r#"{"cpu": {"realtimeRuntime": 100}}"#, "realtime"),
        (r#"{"blockIO": {"leafWeight": 10}}"#, "leafWeight"),
        (r#"{"network": {"classID": 7}}"#, "net_cls"),
        (r#"{"unified": {"../x": "1"}}"#, "not the name"),
        (r#"{"unified": {"nodot": "1"}}"#, "<controller>.<parameter>"),
        (r#"{"unified": {"gone.max": "1"}}"#, "gone"),
        (
            r#"{"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}"#,
            "not the name",
        ),
    ] {
        let error = cgroup.apply(&resources(json)).unwrap_err();
        assert!(error.chain().contains(word), "{json}: {}", error.chain());
    }
}

#[test]
fn an_update_of_the_period_keeps_the_quota() {
    let tree = Tree::new("v2-period");
    let location = tree.unified(&[("cpu.max", "20000 100000\n")]);
    let cgroup = location.open().unwrap();
    cgroup
        .apply(&resources(r#"{"cpu": {"period": 50000}}"#))
        .unwrap();
    // A write to a plain file does not shorten it.
    assert!(tree.text("a/b/cpu.max").starts_with("20000 50000"));
    tree.file("a/b/cpu.max", "");
    cgroup
        .apply(&resources(r#"{"cpu": {"quota": -1}}"#))
        .unwrap();
    assert_eq!(tree.text("a/b/cpu.max"), "max");
}

#[test]
fn weights_are_converted_through_their_fixed_points() {
    for (shares, weight) in [
        (2, 1),
        (1024, 100),
        (262_144, 10_000),
        (512, 59),
        (2048, 174),
    ] {
        assert_eq!(limits_v2::weight_of_shares(shares), weight, "{shares}");
    }
    assert_eq!(limits_v2::weight_of_shares(0), 1);
    for (blkio, io) in [(10, 1), (100, 910), (500, 4950), (1000, 10_000)] {
        assert_eq!(limits_v2::io_weight(blkio), io, "{blkio}");
    }
    assert_eq!(limits_v2::swap_alone(1500, 1000).unwrap(), 500);
    assert_eq!(limits_v2::swap_alone(1500, -1).unwrap(), 1500);
    assert_eq!(limits_v2::swap_alone(-1, 1000).unwrap(), -1);
}

#[test]
fn paths_are_cleaned_and_do_not_climb() {
    assert_eq!(locate::clean("/a//b/./c/").unwrap(), "a/b/c");
    for wrong in ["/a/../../b", "..", "/", "", "a\nb"] {
        assert!(locate::clean(wrong).is_err(), "{wrong:?}");
    }
    let request = Request {
        id: "c1",
        ..Request::default()
    };
    let location = locate(&request).unwrap();
    assert_eq!(location.path().as_deref(), Some("/insula/c1"));
    let given = Request {
        cgroups_path: Some("/x/y"),
        ..request
    };
    assert_eq!(locate(&given).unwrap().path().as_deref(), Some("/x/y"));
    let relative = Request {
        cgroups_path: Some("x/y"),
        ..request
    };
    assert_eq!(
        locate(&relative).unwrap().path().as_deref(),
        Some("/insula/x/y")
    );
    let disabled = Request {
        manager: Manager::Disabled,
        ..request
    };
    let location = locate(&disabled).unwrap();
    assert_eq!(location.path(), None);
    let asked = resources(r#"{"memory": {"limit": 1000}, "devices": [{"allow": false}]}"#);
    let settings = Settings {
        resources: Some(&asked),
        ..Settings::default()
    };
    let cgroup = location.create(&settings).unwrap();
    assert!(cgroup.clone_into().is_none() && cgroup.join_files().is_empty());
    assert!(cgroup.apply(&asked).is_err());
    location.destroy().unwrap();
}

#[test]
fn the_record_of_a_location_is_read_back() {
    let location = locate(&Request {
        id: "c1",
        ..Request::default()
    })
    .unwrap();
    let json = serde_json::to_string(&location).unwrap();
    assert_eq!(serde_json::from_str::<Location>(&json).unwrap(), location);
}

#[test]
fn statistics_of_version_2_have_the_shape_of_version_1() {
    let tree = Tree::new("v2-stats");
    let location = tree.unified(&[
        (
            "cpu.stat",
            "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_periods 2\n",
        ),
        (
            "cpu.pressure",
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=5\n",
        ),
        ("memory.stat", "anon 1\nfile 4096\n"),
        ("memory.current", "5000\n"),
        ("memory.max", "max\n"),
        ("memory.swap.current", "100\n"),
        ("memory.swap.max", "50\n"),
        ("memory.events", "low 0\nmax 3\noom_kill 2\n"),
        ("pids.current", "4\n"),
        ("pids.max", "max\n"),
        (
            "io.stat",
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
        ),
    ]);
    let cgroup = location.open().unwrap();
    let json = serde_json::to_value(cgroup.stats().unwrap()).unwrap();
    let at = |pointer: &str| json.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/cpu/usage/total"), 10_000);
    assert_eq!(at("/cpu/throttling/periods"), 2);
    assert_eq!(at("/cpu/psi/some/avg10"), 1.5);
    assert_eq!(at("/memory/usage/limit"), u64::MAX);
    assert_eq!(at("/memory/usage/failcnt"), 3);
    assert_eq!(at("/memory/swap/usage"), 5100);
    assert_eq!(at("/memory/cache"), 4096);
    assert_eq!(at("/memory/raw/anon"), 1);
    assert_eq!(at("/pids/current"), 4);
    assert_eq!(json.pointer("/pids/limit"), None);
    assert_eq!(at("/blkio/ioServiceBytesRecursive/1/op"), "Write");
    assert_eq!(at("/blkio/ioServicedRecursive/0/value"), 3);
    assert_eq!(cgroup.oom_kills().unwrap(), 2);
}

/// A cgroup on this machine that goes with the test, and processes in it.
struct Real {
    location: Location,
    children: Vec<Child>,
}

impl Real {
    /// `None`, said aloud, without root or version 1.
    fn new(name: &str) -> Option<Self> {
        if !Path::new("/sys/fs/cgroup/cpu/tasks").exists() || !is_root() {
            println!("skipped: needs root and version 1 hierarchies");
            return None;
        }
        Some(Self::at(name))
    }

    fn at(name: &str) -> Self {
        let path = format!("/insula-test-{name}-{}/c", std::process::id());
        let location = locate(&Request {
            id: "c",
            cgroups_path: Some(&path),
            ..Request::default()
        });
        Self {
            location: location.unwrap(),
            children: Vec::new(),
        }
    }

    /// Version 2 alone; where it is beside version 1, as if it were alone.
    fn new_unified(name: &str) -> Option<Self> {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let found = |root: &&str| Path::new(root).join("cgroup.controllers").exists();
        let Some(root) = roots.into_iter().find(found).filter(|_| is_root()) else {
            println!("skipped: needs root and version 2");
            return None;
        };
        let mut real = Self::at(name);
        real.location.root = Cow::Borrowed(root);
        real.location.hierarchies = vec![Hierarchy {
            mount: String::new(),
            controllers: None,
            unified: true,
        }];
        Some(real)
    }

    /// Whether version 2 has all controllers, which it has only alone.
    fn has_all_controllers(&self) -> bool {
        let has = self.location.root == "/sys/fs/cgroup";
        if !has {
            println!("skipped: needs version 2 alone");
        }
        has
    }

    fn create(&self, json: &str) -> crate::error::Result<Cgroup> {
        self.location.create(&Settings {
            resources: Some(&resources(json)),
            ..Settings::default()
        })
    }

    /// Starts a shell that runs `script` once it is in the cgroup.
    fn run(&mut self, cgroup: &Cgroup, script: &str) -> i32 {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        cgroup.attach(pid).unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.children.push(child);
        pid
    }

    fn text(&self, controller: &str, name: &str) -> String {
        let directory = self.location.directory(controller).unwrap();
        fs::read_to_string(Path::new(&directory).join(name)).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.location.destroy();
        for directory in self.location.directories() {
            let _ = fs::remove_dir(Path::new(&directory).parent().unwrap());
        }
    }
}

fn is_root() -> bool {
    insula_sys::rustix::process::geteuid().is_root()
}

/// Whether every directory of the container is gone.
fn is_gone(location: &Location) -> bool {
    location
        .directories()
        .iter()
        .all(|path| !Path::new(path).exists())
}

#[test]
fn limits_hold_in_version_1() {
    let Some(real) = Real::new("limits") else {
        return;
    };
    let asked = r#"{"memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432,
                               "kernelTCP": 1048576, "swappiness": 10, "useHierarchy": true},
                    "pids": {"limit": 7},
                    "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0",
                            "mems": "0", "burst": 1000},
                    "devices": [{"allow": false, "access": "rwm"},
                                {"allow": true, "type": "b", "major": 8, "minor": 0,
                                 "access": "r"}]}"#;
    let cgroup = real.create(asked).unwrap();
    assert_eq!(real.text("memory", "memory.limit_in_bytes"), "67108864\n");
    assert_eq!(
        real.text("memory", "memory.memsw.limit_in_bytes"),
        "134217728\n"
    );
    assert_eq!(
        real.text("memory", "memory.soft_limit_in_bytes"),
        "33554432\n"
    );
    assert_eq!(real.text("pids", "pids.max"), "7\n");
    assert_eq!(real.text("cpu", "cpu.shares"), "512\n");
    assert_eq!(real.text("cpu", "cpu.cfs_quota_us"), "20000\n");
    assert_eq!(real.text("cpuset", "cpuset.cpus"), "0\n");
    let devices = real.text("devices", "devices.list");
    assert!(
        devices.starts_with("b 8:0 r\n") && devices.contains("c 1:3 rwm"),
        "{devices}"
    );

    // Up and down again: the kernel checks limit against swap, and quota against period.
    for (limit, swap) in [(268_435_456, 536_870_912), (33_554_432, 33_554_432)] {
        let update = format!(r#"{{"memory": {{"limit": {limit}, "swap": {swap}}}}}"#);
        cgroup.apply(&resources(&update)).unwrap();
        assert_eq!(
            real.text("memory", "memory.limit_in_bytes"),
            format!("{limit}\n")
        );
    }
    assert_eq!(real.text("pids", "pids.max"), "7\n");
    let update = r#"{"devices": [{"allow": false}, {"allow": true, "type": "c", "major": 10,
                                 "minor": 229, "access": "rw"}]}"#;
    cgroup.apply(&resources(update)).unwrap();
    let devices = real.text("devices", "devices.list");
    assert!(
        devices.contains("c 10:229 rw\n") && !devices.contains("b 8:0"),
        "{devices}"
    );
    let stats = cgroup.stats().unwrap();
    assert_eq!(stats.memory.usage.limit, 33_554_432);
    assert_eq!(stats.pids.limit, 7);
    assert_eq!(stats.cpuset.cpus, [0]);
}

#[test]
fn processes_are_listed_frozen_and_killed() {
    let Some(mut real) = Real::new("processes") else {
        return;
    };
    let cgroup = real.create("{}").unwrap();
    let pid = real.run(&cgroup, "while :; do :; done");
    assert_eq!(cgroup.processes().unwrap(), [pid]);
    for (_, directory) in cgroup.directories() {
        assert_eq!(directory.read("cgroup.procs").unwrap(), format!("{pid}\n"));
    }
    let again = real.create("{}").unwrap_err();
    assert!(again.chain().contains("is not empty"), "{}", again.chain());

    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    cgroup.freeze().unwrap();
    cgroup.kill(9).unwrap();
    assert!(!real.children[0].wait().unwrap().success());
    real.location.destroy().unwrap();
    assert!(!Path::new(&real.location.directory("pids").unwrap()).exists());
    real.location.destroy().unwrap();
}

#[test]
fn a_cgroup_is_removed_with_what_runs_below_it() {
    let Some(mut real) = Real::new("destroy") else {
        return;
    };
    let cgroup = real.create("{}").unwrap();
    real.run(&cgroup, "sleep 1000 & sleep 1000 & wait");
    let below = Path::new(&real.location.directory("memory").unwrap()).join("x/y");
    fs::create_dir_all(&below).unwrap();
    let pid = real.run(&cgroup, "sleep 1000");
    fs::write(below.join("cgroup.procs"), pid.to_string()).unwrap();
    // Children of ours are zombies until we wait, and hold no cgroup.
    real.location.destroy().unwrap();
    assert!(is_gone(&real.location));
}

#[test]
fn running_out_of_memory_is_seen() {
    let Some(mut real) = Real::new("oom") else {
        return;
    };
    let limit = r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#;
    let cgroup = real.create(limit).unwrap();
    let mut watch = cgroup.watch_oom().unwrap();
    real.run(&cgroup, "tail /dev/zero");
    assert_eq!(watch.take().unwrap(), OomEvent::Oom);
    real.children[0].wait().unwrap();
    assert!(cgroup.oom_kills().unwrap() >= 1);
}

#[test]
fn what_was_made_goes_when_a_limit_fails() {
    let Some(real) = Real::new("undo") else {
        return;
    };
    let error = real.create(r#"{"cpu": {"cpus": "9999"}}"#).unwrap_err();
    assert!(error.chain().contains("cpuset.cpus"), "{}", error.chain());
    assert!(is_gone(&real.location));
    let error = real
        .create(r#"{"rdma": {"mlx": {"hcaHandles": 1}}}"#)
        .unwrap_err();
    assert!(error.chain().contains("rdma"), "{}", error.chain());
}

#[test]
fn a_missing_root_needs_no_limits() {
    let tree = Tree::new("plain");
    // A plain directory where a hierarchy should be mounted.
    fs::create_dir_all(tree.root.join("memory")).unwrap();
    let memory = Hierarchy {
        mount: "memory".to_owned(),
        controllers: None,
        unified: false,
    };
    let location = tree.location(vec![memory]);
    let cgroup = location.create(&Settings::default()).unwrap();
    assert!(cgroup.join_files().is_empty());
    assert!(!tree.root.join("memory/a").exists());
    let asked = Resources {
        memory: Some(spec::Memory {
            limit: Some(1000),
            ..spec::Memory::default()
        }),
        ..Resources::default()
    };
    let settings = Settings {
        resources: Some(&asked),
        ..Settings::default()
    };
    let error = location.create(&settings).unwrap_err();
    assert!(error.chain().contains("memory"), "{}", error.chain());
}

#[test]
fn a_device_program_holds_in_version_2() {
    let Some(mut real) = Real::new_unified("devices") else {
        return;
    };
    let deny = r#"{"devices": [{"allow": false, "access": "rwm"}]}"#;
    let cgroup = real.create(deny).unwrap();
    assert!(cgroup.clone_into().is_some() && cgroup.join_files().is_empty());
    let script =
        "exec 2>/dev/null; head -c1 /dev/zero || exit 2; exec 3</dev/kmsg && exit 3; exit 0";
    let status = |real: &mut Real, cgroup: &Cgroup| {
        real.run(cgroup, script);
        real.children.pop().unwrap().wait().unwrap().code()
    };
    // A failed exec ends the shell.
    assert!(!matches!(status(&mut real, &cgroup), Some(0 | 3)));
    let allow = r#"{"devices": [{"allow": false}, {"allow": true, "type": "c", "major": 1,
                                "minor": 11, "access": "r"}]}"#;
    cgroup.apply(&resources(allow)).unwrap();
    assert_eq!(status(&mut real, &cgroup), Some(3));
    cgroup.apply(&resources(deny)).unwrap();
    assert!(!matches!(status(&mut real, &cgroup), Some(0 | 3)));
}

#[test]
fn version_2_freezes_kills_and_limits_huge_pages() {
    let Some(mut real) = Real::new_unified("freeze") else {
        return;
    };
    let asked = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#;
    let cgroup = real.create(asked).unwrap();
    assert_eq!(real.text("", "hugetlb.2MB.max"), "4194304\n");
    assert_eq!(real.text("", "hugetlb.2MB.rsvd.max"), "4194304\n");
    real.run(&cgroup, "while :; do :; done");
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    let stats = cgroup.stats().unwrap();
    assert!(stats.cpu.usage.total > 0 && stats.pids.current == 1);
    assert!(stats.hugetlb.contains_key("2MB"));
    cgroup.kill(9).unwrap();
    assert!(!real.children[0].wait().unwrap().success());
    let error = real
        .create(r#"{"memory": {"limit": 1000000}}"#)
        .unwrap_err();
    assert!(error.hint_text().is_some(), "{}", error.chain());
    real.location.destroy().unwrap();
    assert!(is_gone(&real.location));
}

#[test]
fn a_user_may_get_the_cgroup() {
    use std::os::unix::fs::MetadataExt;
    let Some(real) = Real::new_unified("owner") else {
        return;
    };
    let settings = Settings {
        owner: Some(65_534),
        ..Settings::default()
    };
    real.location.create(&settings).unwrap();
    let directory = real.location.directory("").unwrap();
    let owner = |name: &str| {
        fs::metadata(Path::new(&directory).join(name))
            .unwrap()
            .uid()
    };
    assert_eq!(
        (owner("."), owner("cgroup.procs"), owner("cgroup.freeze")),
        (65_534, 65_534, 0)
    );
}

const LIMITS_V2: &str = r#"{"memory": {"limit": 67108864, "swap": 67108864, "reservation": 33554432},
    "pids": {"limit": 7}, "blockIO": {"weight": 500},
    "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"}}"#;

fn assert_limits_v2(real: &Real) {
    for (name, value) in [
        ("memory.max", "67108864\n"),
        ("memory.low", "33554432\n"),
        ("pids.max", "7\n"),
        ("cpu.weight", "59\n"),
        ("cpu.max", "20000 50000\n"),
        ("cpuset.cpus", "0\n"),
    ] {
        assert_eq!(real.text("", name), value, "{name}");
    }
}

#[test]
fn limits_hold_in_version_2() {
    let Some(mut real) = Real::new_unified("limits2") else {
        return;
    };
    if !real.has_all_controllers() {
        return;
    }
    let cgroup = real.create(LIMITS_V2).unwrap();
    assert_limits_v2(&real);
    cgroup
        .apply(&resources(
            r#"{"cpu": {"period": 100000}, "pids": {"limit": -1}}"#,
        ))
        .unwrap();
    assert_eq!(real.text("", "cpu.max"), "20000 100000\n");
    assert_eq!(real.text("", "pids.max"), "max\n");
    let stats = cgroup.stats().unwrap();
    assert_eq!(stats.memory.usage.limit, 67_108_864);
    assert!(!stats.memory.raw.is_empty());

    let limit = r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#;
    cgroup.apply(&resources(limit)).unwrap();
    let mut watch = cgroup.watch_oom().unwrap();
    real.run(&cgroup, "tail /dev/zero");
    while watch.take().unwrap() == OomEvent::Nothing {}
    real.children[0].wait().unwrap();
    assert!(cgroup.oom_kills().unwrap() >= 1);
    let check = r#"{"memory": {"limit": 1, "checkBeforeUpdate": true}}"#;
    real.run(&cgroup, "sleep 1000");
    assert!(cgroup.apply(&resources(check)).is_err());
}

#[test]
fn systemd_makes_and_removes_a_scope() {
    if !Path::new("/run/systemd/private").exists() || !is_root() {
        println!("skipped: needs root and a running systemd");
        return;
    }
    let path = format!("insula-test.slice:insula-test:{}", std::process::id());
    let location = locate(&Request {
        id: "c",
        cgroups_path: Some(&path),
        manager: Manager::Systemd,
        ..Request::default()
    });
    let mut real = Real {
        location: location.unwrap(),
        children: Vec::new(),
    };
    assert!(real.location.needs_process() && real.create("{}").is_err());
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    real.children.push(child);
    let asked = resources(LIMITS_V2);
    let settings = Settings {
        resources: Some(&asked),
        ..Settings::default()
    };
    let property = (
        "org.systemd.property.TimeoutStopSec".to_owned(),
        "5".to_owned(),
    );
    let process = FirstProcess {
        pid,
        annotations: &BTreeMap::from([property]),
    };
    let cgroup = real.location.create_around(&settings, &process).unwrap();
    assert_limits_v2(&real);
    assert_eq!(cgroup.processes().unwrap(), [pid]);
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let scope = format!("insula-test.slice/insula-test-{}.scope", std::process::id());
    assert!(own.contains(&format!("/insula.slice/{scope}")), "{own}");

    let update = r#"{"memory": {"limit": 134217728}, "devices": [{"allow": false}]}"#;
    cgroup.apply(&resources(update)).unwrap();
    assert_eq!(real.text("", "memory.max"), "134217728\n");
    real.location.destroy().unwrap();
    assert!(is_gone(&real.location));
    assert!(!real.children[0].wait().unwrap().success());
    real.location.destroy().unwrap();
}
