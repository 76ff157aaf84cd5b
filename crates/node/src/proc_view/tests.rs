//! The texts, made of cgroups that are directories of this test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use insula_container::cgroup::Location;
use serde_json::json;

use super::disk::diskstats;
use super::group::{CpuTime, DiskUse, Group, parse_list};
use super::load::{Load, Tasks, look, start_of};
use super::memory::MemoryView;
use super::processor::Processors;

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

/// A host of 8 GiB without anything in it.
const HOST_MEMINFO: &str = "MemTotal:        8388608 kB
MemFree:         1000000 kB
MemAvailable:    5000000 kB
Buffers:          100000 kB
Cached:          3000000 kB
SwapCached:            0 kB
Active:          2000000 kB
Inactive:        2000000 kB
SwapTotal:       2097152 kB
SwapFree:        2000000 kB
Dirty:               100 kB
Shmem:             10000 kB
SReclaimable:     300000 kB
Committed_AS:    4000000 kB
VmallocTotal:   34359738367 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
DirectMap4k:      100000 kB
";

struct Host {
    directory: tempfile::TempDir,
    hierarchies: Vec<serde_json::Value>,
}

impl Host {
    /// A cgroup `c` below `pod` in each of these hierarchies; `""` is version 2.
    fn new(mounts: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let hierarchies = mounts.iter().map(|mount| {
            fs::create_dir_all(directory.path().join(mount).join("pod/c")).unwrap();
            json!({"mount": mount, "unified": matches!(*mount, "" | "unified")})
        });
        Self {
            hierarchies: hierarchies.collect(),
            directory,
        }
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        fs::write(self.directory.path().join(path), text).unwrap();
        self
    }

    fn group(&self) -> Group {
        let location = json!({
            "manager": "cgroupfs",
            "root": self.directory.path(),
            "hierarchies": self.hierarchies,
            "path": "pod/c",
        });
        Group::new(serde_json::from_value::<Location>(location).unwrap())
    }
}

/// Of a line `Name:   number kB`.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}:")));
    let value = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

fn memory_host_v1() -> Host {
    let host = Host::new(&["memory"]);
    let usage = 100 * MIB;
    host.write("memory/pod/c/memory.limit_in_bytes", "268435456\n")
        .write("memory/pod/memory.limit_in_bytes", "9223372036854771712\n")
        .write("memory/pod/c/memory.usage_in_bytes", &format!("{usage}\n"))
        .write(
            "memory/pod/c/memory.stat",
            "cache 1\ntotal_cache 41943040\ntotal_rss 52428800\ntotal_inactive_file 20971520\n\
             total_active_file 10485760\ntotal_shmem 1048576\ntotal_inactive_anon 1048576\n\
             total_active_anon 52428800\n",
        );
    host
}

#[test]
fn memory_is_that_of_the_cgroup_in_version_1() {
    let host = memory_host_v1();
    let text = MemoryView::new(host.group().memory(), HOST_MEMINFO).meminfo();
    assert_eq!(kilobytes(&text, "MemTotal"), 256 * 1024);
    assert_eq!(kilobytes(&text, "MemFree"), 156 * 1024);
    assert_eq!(kilobytes(&text, "MemAvailable"), 186 * 1024);
    assert_eq!(kilobytes(&text, "Buffers"), 0);
    assert_eq!(kilobytes(&text, "Cached"), 40 * 1024);
    assert_eq!(kilobytes(&text, "Shmem"), 1024);
    assert_eq!(kilobytes(&text, "SwapTotal"), 0, "not accounted for");
    assert_eq!(kilobytes(&text, "Committed_AS"), 0);
    assert_eq!(kilobytes(&text, "Hugepagesize"), 2048);
    assert!(!text.contains("DirectMap"), "{text}");
    assert!(text.starts_with("MemTotal:         262144 kB\nMemFree:          159744 kB\n"));
    let lines = text.lines().count();
    assert_eq!(lines, HOST_MEMINFO.lines().count() - 1);
}

#[test]
fn memory_and_swap_are_those_of_the_cgroup_in_version_2() {
    let host = Host::new(&[""]);
    host.write("pod/c/memory.max", "max\n")
        .write("pod/memory.max", "536870912\n")
        .write("pod/c/memory.current", "104857600\n")
        .write("pod/c/memory.swap.max", "1073741824\n")
        .write("pod/c/memory.swap.current", "10485760\n")
        .write(
            "pod/c/memory.stat",
            "anon 52428800\nfile 41943040\ninactive_file 20971520\nactive_file 0\n\
             slab_reclaimable 2097152\nslab_unreclaimable 1048576\n",
        );
    let memory = host.group().memory();
    let view = MemoryView::new(memory, HOST_MEMINFO);
    let text = view.meminfo();
    assert_eq!(kilobytes(&text, "MemTotal"), 512 * 1024, "the pod's limit");
    assert_eq!(kilobytes(&text, "MemAvailable"), (412 + 22) * 1024);
    assert_eq!(kilobytes(&text, "SwapTotal"), 1024 * 1024);
    assert_eq!(kilobytes(&text, "SwapFree"), 1014 * 1024);
    assert_eq!(kilobytes(&text, "SReclaimable"), 2048);
    let swaps = view.swaps();
    assert_eq!(swaps.lines().count(), 2);
    let fields: Vec<_> = swaps
        .lines()
        .nth(1)
        .unwrap()
        .split_ascii_whitespace()
        .collect();
    assert_eq!(fields, ["none", "virtual", "1048576", "10240", "0"]);
}

#[test]
fn without_limits_the_amounts_are_the_hosts() {
    for mounts in [&["memory"][..], &[""], &[]] {
        let host = Host::new(mounts);
        let text = MemoryView::new(host.group().memory(), HOST_MEMINFO).meminfo();
        assert_eq!(kilobytes(&text, "MemTotal"), 8 * 1024 * 1024);
        assert_eq!(kilobytes(&text, "MemFree"), 8 * 1024 * 1024);
        let processors = Processors::of(&host.group(), "0-3\n");
        assert_eq!(processors.list(), "0-3\n");
    }
}

#[test]
fn hybrid_hosts_have_each_controller_where_it_is() {
    let host = Host::new(&["memory", "cpuset", "unified"]);
    host.write("memory/pod/c/memory.limit_in_bytes", "1048576\n")
        .write("unified/pod/c/memory.max", "2097152\n")
        .write("unified/pod/c/cpu.max", "150000 100000\n")
        .write("cpuset/pod/c/cpuset.cpus", "0-7\n");
    let group = host.group();
    assert_eq!(group.memory().limit, Some(MIB), "version 1 comes first");
    assert_eq!(group.quota_processors(), Some(2));
    assert_eq!(group.processors(), Some((0..8).collect()));
}

#[test]
fn processors_are_those_of_set_and_quota() {
    let case = |set: &str, quota: &str| {
        let host = Host::new(&["cpuset", "cpu"]);
        host.write("cpuset/pod/c/cpuset.cpus", set)
            .write("cpu/pod/c/cpu.cfs_quota_us", quota)
            .write("cpu/pod/c/cpu.cfs_period_us", "100000\n");
        Processors::of(&host.group(), "0-7\n").list()
    };
    assert_eq!(case("0-7\n", "-1\n"), "0-7\n");
    assert_eq!(case("2,4\n", "-1\n"), "0-1\n");
    assert_eq!(case("0-7\n", "150000\n"), "0-1\n");
    assert_eq!(case("0-7\n", "50000\n"), "0\n");
    assert_eq!(case("3\n", "400000\n"), "0\n");
    assert_eq!(case("\n", "-1\n"), "0-7\n");
    assert_eq!(case("90-100\n", "-1\n"), "0-7\n", "none of them is there");
    assert_eq!(parse_list("0-3,7,9-10\n"), Some(vec![0, 1, 2, 3, 7, 9, 10]));
    assert_eq!(parse_list("0-4294967295"), None);
    assert_eq!(parse_list("a"), None);
}

fn cpuinfo(processors: u32) -> String {
    let block = |n| format!("processor\t: {n}\nmodel name\t: of {n}\n\n");
    (0..processors).map(block).collect()
}

#[test]
fn all_texts_agree_on_the_number_of_processors() {
    let host = Host::new(&["cpuset", "cpu", "cpuacct"]);
    host.write("cpuset/pod/c/cpuset.cpus", "1,3\n").write(
        "cpuacct/pod/c/cpuacct.usage_all",
        "cpu user system\n0 0 0\n1 2000000000 500000000\n2 0 0\n3 10000000 0\n",
    );
    let group = host.group();
    let processors = Processors::of(&group, "0-3\n");
    let info = processors.cpuinfo(&cpuinfo(4));
    assert_eq!(
        info,
        "processor\t: 0\nmodel name\t: of 1\n\nprocessor\t: 1\nmodel name\t: of 3\n\n"
    );
    assert_eq!(processors.list(), "0-1\n");
    let tasks = Tasks {
        total: 3,
        running: 1,
        blocked: 0,
        last: 9,
    };
    let host_stat = "cpu  1 2 3\ncpu0 1 2 3\nbtime 1700000000\n";
    let stat = processors.stat(&group.cpu_time(), (host_stat, 10 * SECOND), &tasks);
    let lines: Vec<_> = stat.lines().collect();
    assert_eq!(lines[0], "cpu  201 0 50 1749 0 0 0 0 0 0");
    assert_eq!(lines[1], "cpu0 200 0 50 750 0 0 0 0 0 0");
    assert_eq!(lines[2], "cpu1 1 0 0 999 0 0 0 0 0 0");
    let names: Vec<_> = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        names[3..],
        [
            "intr",
            "ctxt",
            "btime",
            "processes",
            "procs_running",
            "procs_blocked",
            "softirq"
        ]
    );
    assert!(lines.contains(&"btime 1700000000"));
    let uptime = processors.uptime(&group.cpu_time(), 10 * SECOND);
    assert_eq!(uptime, "10.00 17.49\n");
}

#[test]
fn a_quota_spreads_time_over_the_processors_that_are_seen() {
    let host = Host::new(&[""]);
    host.write("pod/c/cpu.max", "150000 100000\n").write(
        "pod/c/cpu.stat",
        "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
    );
    let group = host.group();
    let processors = Processors::of(&group, "0-7\n");
    assert_eq!(
        processors.cpuinfo(&cpuinfo(8)).matches("processor").count(),
        2
    );
    let stat = processors.stat(&group.cpu_time(), ("", 5 * SECOND), &Tasks::default());
    assert!(stat.starts_with(
        "cpu  200 0 100 700 0 0 0 0 0 0\ncpu0 100 0 50 350 0 0 0 0 0 0\ncpu1 100 0 50 350 "
    ));
    // More time than there was: never negative.
    let time = CpuTime {
        user: 100 * SECOND,
        ..CpuTime::default()
    };
    let stat = processors.stat(&time, ("", SECOND), &Tasks::default());
    assert!(stat.starts_with("cpu  10000 0 0 0 0 "), "{stat}");
}

#[test]
fn disks_are_named_as_on_the_host() {
    let host_disks = "   8       0 sda 9 9 9 9\n   8       1 sda1 1 1\n 253       0 vda 5 5\n";
    let host = Host::new(&["blkio"]);
    host.write(
        "blkio/pod/c/blkio.throttle.io_serviced_recursive",
        "8:0 Read 3\n8:0 Write 4\n8:0 Total 7\nTotal 7\n",
    )
    .write(
        "blkio/pod/c/blkio.throttle.io_service_bytes_recursive",
        "8:0 Read 4096\n8:0 Write 8192\nTotal 12288\n",
    );
    let text = diskstats(&host.group().disk_use(), host_disks);
    assert_eq!(
        text,
        "   8       0 sda 3 0 8 0 4 0 16 0 0 0 0 0 0 0 0 0 0\n"
    );
    let host = Host::new(&[""]);
    host.write(
        "pod/c/io.stat",
        "253:0 rbytes=1024 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n7:7 rbytes=1\n",
    );
    let found = host.group().disk_use();
    assert_eq!(found[&(253, 0)].reads, 2);
    assert_eq!(diskstats(&found, host_disks).lines().count(), 1);
    let nothing: BTreeMap<(u32, u32), DiskUse> = BTreeMap::new();
    assert_eq!(diskstats(&nothing, host_disks), "");
}

fn running(tasks: u64) -> Tasks {
    Tasks {
        total: tasks,
        running: tasks,
        ..Tasks::default()
    }
}

#[test]
fn load_rises_and_falls_as_the_kernels_does() {
    let mut load = Load::new(0.0);
    let mut now = 0.0;
    for _ in 0..12 {
        now += 5.0;
        load.update(now, 0.0, &running(2));
    }
    // 2 × (1 − 1/e) after a minute.
    assert!(load.text(&running(2)).starts_with("1.26 0.36 0.13 2/2 "));
    for _ in 0..120 {
        now += 5.0;
        load.update(now, 0.0, &running(0));
    }
    let text = load.text(&running(0));
    assert!(text.starts_with("0.00 0.05 0.07 0/0 "), "{text}");
}

#[test]
fn the_time_that_nobody_looked_is_told_by_the_processor_time() {
    // One processor was busy all the time: ten minutes, seen in one look.
    let mut load = Load::new(100.0);
    load.update(700.0, 600.0, &running(1));
    assert!(load.text(&running(1)).starts_with("1.00 0.86 0.49 "));
    assert!(!load.is_due(700.5));
    assert!(load.is_due(701.0));
    // A clock that went back, a counter that was reset: nothing becomes negative.
    load.update(600.0, 0.0, &running(0));
    load.update(900.0, 0.0, &running(0));
    assert!(!load.text(&running(0)).contains('-'));
}

#[test]
fn tasks_below_are_looked_at_too() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    for (id, state) in [(5, "R"), (6, "S"), (7, "D"), (8, "R")] {
        fs::create_dir_all(path(&format!("proc/{id}"))).unwrap();
        let stat = format!("{id} (a) R (b) {state} 1 1 1 0 -1 4 1 1 1 1 9 9 9 9 20 0 1 0 4200 1");
        fs::write(path(&format!("proc/{id}/stat")), stat).unwrap();
    }
    fs::create_dir_all(path("group/below/deep")).unwrap();
    fs::write(path("group/tasks"), "5\n6\n").unwrap();
    fs::write(path("group/below/tasks"), "7\n").unwrap();
    fs::write(path("group/below/deep/tasks"), "8\n9\n").unwrap();
    let tasks = look(&path("group"), "tasks", &path("proc"));
    let expected = Tasks {
        total: 5,
        running: 2,
        blocked: 1,
        last: 9,
    };
    assert_eq!(tasks, expected);
    assert_eq!(start_of(&path("proc/5")), Some(42 * SECOND));
    assert_eq!(start_of(&path("proc/9")), None);
    assert_eq!(
        look(Path::new("/nowhere"), "tasks", Path::new("/proc")).total,
        0
    );
}
