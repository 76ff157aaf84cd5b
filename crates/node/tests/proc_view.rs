//! Programs that know nothing of containers, in a cgroup with limits, with the view over `/proc`.
//! Needs root, FUSE and procps.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it is skipped"
)]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;

use insula_container::cgroup::Location;
use insula_node::proc_view::{ProcView, ViewOptions};
use insula_sys::process::{CLONE_NEWNS, unshare};
use insula_sys::rustix::fs::CWD;
use insula_sys::rustix::mount::{
    MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};
use insula_sys::rustix::time::{ClockId, clock_gettime};
use serde_json::json;

const ROOT: &str = "/sys/fs/cgroup";

/// A cgroup in every hierarchy that matters, removed in the end.
struct Group {
    hierarchies: Vec<&'static str>,
    path: String,
}

impl Group {
    /// `None` where this host cannot limit memory.
    fn new() -> Option<Self> {
        let old = ["memory", "cpu", "cpuacct", "cpuset", "blkio"];
        let is_old = Path::new(ROOT).join("memory").exists();
        let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers"));
        let is_new = ["memory", "cpu ", "cpuset"]
            .iter()
            .all(|name| format!("{} ", controllers.as_deref().unwrap_or("").trim()).contains(name));
        let group = Self {
            hierarchies: match (is_old, is_new) {
                (true, _) => old.to_vec(),
                (false, true) => vec![""],
                _ => return None,
            },
            path: format!("insula-proc-view-{}", std::process::id()),
        };
        for directory in group.directories() {
            fs::create_dir(directory).unwrap();
        }
        if group.is_unified() {
            let all = "+memory +cpu +cpuset";
            let _ = fs::write(format!("{ROOT}/cgroup.subtree_control"), all);
        } else {
            let nodes = fs::read_to_string(format!("{ROOT}/cpuset/cpuset.mems")).unwrap();
            let processors = fs::read_to_string(format!("{ROOT}/cpuset/cpuset.cpus")).unwrap();
            group.write("cpuset", "cpuset.mems", &nodes);
            group.write("cpuset", "cpuset.cpus", &processors);
        }
        Some(group)
    }

    fn is_unified(&self) -> bool {
        self.hierarchies == [""]
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies
            .iter()
            .map(|mount| Path::new(ROOT).join(mount).join(&self.path))
    }

    fn write(&self, controller: &str, file: &str, value: &str) {
        let controller = if self.is_unified() { "" } else { controller };
        let directory = Path::new(ROOT).join(controller).join(&self.path);
        fs::write(directory.join(file), value).unwrap();
    }

    fn limit(&self) {
        if self.is_unified() {
            self.write("", "memory.max", "268435456");
            self.write("", "cpu.max", "100000 100000");
        } else {
            self.write("memory", "memory.limit_in_bytes", "268435456");
            self.write("cpu", "cpu.cfs_period_us", "100000");
            self.write("cpu", "cpu.cfs_quota_us", "100000");
        }
    }

    fn location(&self) -> Location {
        let hierarchy = |mount: &&str| json!({"mount": mount, "unified": mount.is_empty()});
        let hierarchies: Vec<_> = self.hierarchies.iter().map(hierarchy).collect();
        let location = json!({
            "manager": "cgroupfs",
            "hierarchies": hierarchies,
            "path": self.path,
        });
        serde_json::from_value(location).unwrap()
    }

    /// A shell that joins the cgroup and goes on with this.
    fn shell(&self, script: &str) -> Command {
        let join: String = self
            .directories()
            .map(|directory| format!("echo 0 > {}/cgroup.procs\n", directory.display()))
            .collect();
        let mut command = Command::new("/bin/sh");
        command.arg("-ec").arg(join + script).env("LC_ALL", "C");
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in self.directories() {
            // A process that was killed may take a moment to leave.
            for _ in 0..1000 {
                if fs::remove_dir(&directory).is_ok() || !directory.exists() {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}

/// A view in a mount namespace of this thread, over whose `/proc` its files are bound.
struct Ground {
    group: Group,
    init: Child,
    server: Option<JoinHandle<()>>,
    place: tempfile::TempDir,
}

impl Ground {
    fn new() -> Option<Self> {
        if !insula_sys::rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: needs root and /dev/fuse");
            return None;
        }
        if !Path::new("/usr/bin/free").exists() {
            eprintln!("skipped: needs procps");
            return None;
        }
        let Some(group) = Group::new() else {
            eprintln!("skipped: this host does not limit memory by cgroups");
            return None;
        };
        group.limit();
        let mut init = group.shell("exec cat");
        let init = init.stdin(Stdio::piped()).spawn().unwrap();
        let view = ProcView::mount().unwrap();
        let ProcView { mount, connection } = view;
        let pid = Arc::new(AtomicI32::new(i32::try_from(init.id()).unwrap()));
        let location = group.location();
        let options = ViewOptions {
            cgroup: Box::new(move || Some(location.clone())),
            init: Box::new(move || Some(pid.load(Ordering::Relaxed))),
        };
        let serve = move || ProcView::serve(options, &connection).unwrap();
        let server = Some(std::thread::spawn(serve));
        let place = tempfile::tempdir().unwrap();
        bind(&mount, place.path());
        Some(Self {
            group,
            init,
            server,
            place,
        })
    }

    /// What a program in the cgroup prints.
    #[track_caller]
    fn output(&self, script: &str) -> String {
        let output = self.group.shell(script).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {error}");
        assert_eq!(error, "", "{script}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn bind(mount: &OwnedFd, place: &Path) {
    unshare(CLONE_NEWNS).unwrap();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).unwrap();
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, "", CWD, place, flags).unwrap();
    for bind in ProcView::binds() {
        let source = place.join(bind.file);
        insula_sys::rustix::mount::mount_bind(&source, bind.target).unwrap();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for bind in ProcView::binds() {
            let _ = unmount(bind.target, UnmountFlags::DETACH);
        }
        let _ = unmount(self.place.path(), UnmountFlags::DETACH);
        let _ = self.init.kill();
        let _ = self.init.wait();
        // The mount is gone: the server has ended, or the test hangs here and says so.
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

/// The number after a word.
#[track_caller]
fn number_after(text: &str, word: &str) -> f64 {
    let mut words = text.split([' ', '\n', ',']).filter(|word| !word.is_empty());
    words.find(|found| *found == word);
    let next = words.next();
    next.and_then(|next| next.parse().ok())
        .unwrap_or_else(|| panic!("no number after {word} in {text}"))
}

#[test]
fn programs_of_procps_see_the_limits() {
    let Some(ground) = Ground::new() else {
        return;
    };
    let free = ground.output("free -k");
    assert_eq!(number_after(&free, "Mem:"), 262_144.0, "{free}");
    assert_eq!(number_after(&free, "Swap:"), 0.0, "{free}");
    let online = ground.output("getconf _NPROCESSORS_ONLN");
    assert_eq!(online, "1\n", "the quota is one processor's time");
    let counts =
        ground.output("grep -c '^processor' /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat");
    assert_eq!(counts, "1\n1\n");
    let top = ground.output("TERM=dumb top -bn1 | head -5");
    assert!(top.contains("256.0 total"), "{top}");
    assert!(top.contains("load average: "), "{top}");
    let uptime = ground.output("cat /proc/uptime; uptime");
    let own: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let host = clock_gettime(ClockId::Boottime).tv_sec;
    let host = f64::from(i32::try_from(host).unwrap());
    assert!(own < host, "{own} of {host} seconds");
    assert!(uptime.contains("load average: "), "{uptime}");
    let vmstat = ground.output("vmstat -s; vmstat -d; vmstat");
    assert!(vmstat.contains("262144 K total memory"), "{vmstat}");
    ground.output("ps -ef; w; cat /proc/loadavg /proc/swaps /proc/diskstats");
}

#[test]
fn processors_follow_the_set_while_it_changes() {
    let Some(ground) = Ground::new() else {
        return;
    };
    ground.group.write("cpuset", "cpuset.cpus", "0");
    assert_eq!(ground.output("nproc"), "1\n");
    let all = "nproc; getconf _NPROCESSORS_ONLN; cat /sys/devices/system/cpu/online";
    assert_eq!(ground.output(all), "1\n1\n0\n");
    let quota = if ground.group.is_unified() {
        "max 100000"
    } else {
        "-1"
    };
    let file = if ground.group.is_unified() {
        "cpu.max"
    } else {
        "cpu.cfs_quota_us"
    };
    ground.group.write("cpu", file, quota);
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    ground.group.write("cpuset", "cpuset.cpus", "0-1");
    let count = ground.output("nproc");
    let online_count =
        ground.output("getconf _NPROCESSORS_ONLN; grep -c '^processor' /proc/cpuinfo");
    assert_eq!(online, "0\n");
    assert_eq!(online_count, format!("{count}{count}"));
}

#[test]
fn a_text_stays_the_same_while_it_is_read_in_parts() {
    let Some(ground) = Ground::new() else {
        return;
    };
    let parts = ground.output("dd if=/proc/meminfo bs=7 status=none");
    let whole = ground.output("cat /proc/meminfo");
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split(':').next().unwrap());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(names(&parts), names(&whole));
    let stat = ground.output("for i in 1 2 3 4 5; do cat /proc/stat; done");
    let totals = stat.lines().filter(|line| line.starts_with("cpu "));
    let busy: Vec<u64> = totals
        .map(|line| {
            line.split_ascii_whitespace()
                .nth(1)
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(busy.len(), 5);
    assert!(busy.is_sorted(), "{busy:?}");
}
