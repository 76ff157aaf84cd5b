//! The ground a storm goes over: bundles, a store, and the look at what is left.
//!
//! Words of a command in capitals are replaced: `ID`, `SHORT` and `LONG` (bundles), `STORE` and
//! `OTHER` (stores; only the first is looked at), `ARCHIVE` and `EXPORTED`, `CONTEXT` (of a build);
//! and inside of words `REGISTRY` (its address) and `ROUND` (a number). Every process of the
//! product and of its containers carries a mark in its environment, by which it is found. Start at
//! [`Ground::clean_up`].

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use insula_sys::rustix::event::{Timespec, poll};
use insula_sys::trace::kill_at_change;
use serde_json::json;
use tempfile::TempDir;

const MARK: &str = "INSULA_CRASH_MARK";

pub(crate) struct Ground {
    directory: TempDir,
    id: String,
    /// The files of the store that belong there.
    baseline: BTreeSet<PathBuf>,
    registry: Option<Registry>,
    round: Cell<u64>,
}

/// Ends with its owner.
struct Registry {
    process: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Three layers with what it is built from, and none but the first when that is made of something.
const CONTAINERFILE: &str = "\
ARG BASE=crash:1
FROM $BASE
COPY one /one
RUN echo two > /two
CMD [\"true\"]
";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn first_of(paths: [PathBuf; 2]) -> PathBuf {
    let [unpacked, installed] = paths;
    if unpacked.exists() {
        unpacked
    } else {
        installed
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new()
            .prefix("insula-crash")
            .tempdir()
            .unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("insula-crash-{}-{number}", std::process::id());
        let ground = Self {
            directory,
            id,
            baseline: BTreeSet::new(),
            registry: None,
            round: Cell::new(0),
        };
        let bin = ground.path("rootfs/bin");
        for name in [
            "rootfs/bin",
            "rootfs/proc",
            "rootfs/dev",
            "rootfs/sys",
            "rootfs/tmp",
            "rootfs/etc",
            "temporary",
            "context",
        ] {
            fs::create_dir_all(ground.path(name)).unwrap();
        }
        let busybox = first_of([
            here("target/peers/bin/busybox"),
            PathBuf::from("/bin/busybox"),
        ]);
        fs::copy(busybox, bin.join("busybox")).expect("no busybox: run scripts/peers");
        for name in ["sh", "true", "sleep", "cat"] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        fs::write(ground.path("context/one"), "one").unwrap();
        fs::write(ground.path("context/Containerfile"), CONTAINERFILE).unwrap();
        ground.write_bundle("short", &["/bin/true"]);
        ground.write_bundle("long", &["/bin/sleep", "1000"]);
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(ground.path("rootfs")).arg("-cf");
        let made = tar
            .arg(ground.path("rootfs.tar"))
            .arg(".")
            .status()
            .unwrap();
        assert!(made.success());
        ground
    }

    /// What the store holds now is what it shall hold after each round.
    pub(crate) fn with_baseline(mut self) -> Self {
        self.baseline = self.files_of_store();
        self
    }

    /// A store without images, which was used, is what shall be left after each round.
    pub(crate) fn with_empty_catalog(mut self) -> Self {
        self.baseline = BTreeSet::from([self.path("store/images/catalog.json")]);
        self
    }

    /// With a registry on loopback.
    pub(crate) fn with_registry(mut self) -> Self {
        let started = (0..5).find_map(|_| self.start_registry());
        self.registry = Some(started.expect("docker-registry does not start"));
        self
    }

    fn start_registry(&self) -> Option<Registry> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let document = json!({
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": true}},
            "storage": {"filesystem": {"rootdirectory": self.path("registry")}},
            "http": {"addr": address},
        });
        fs::write(self.path("registry.yml"), document.to_string()).unwrap();
        let program = here("target/peers/bin/docker-registry");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(self.path("registry.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("no docker-registry: run scripts/peers");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut known = lines.by_ref().map_while(Result::ok);
        if !known.any(|line| line.contains("listening on")) {
            process.wait().unwrap();
            return None;
        }
        // It must not be stopped by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Registry { process, address })
    }

    /// Another number for the names of this round.
    pub(crate) fn next_round(&self) {
        self.round.set(self.round.get() + 1);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write_bundle(&self, name: &str, command: &[&str]) {
        let directory = self.path(name);
        fs::create_dir_all(&directory).unwrap();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": command, "cwd": "/",
                        "env": ["PATH=/bin", format!("{MARK}={}", self.id)]},
            "root": {"path": self.path("rootfs")},
            "hostname": "crash",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
            ],
            "linux": {
                "resources": {"pids": {"limit": 100}, "devices": [{"allow": false, "access": "rwm"}]},
                "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
                "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
            },
        });
        fs::write(directory.join("config.json"), config.to_string()).unwrap();
    }

    /// The product with its arguments, below `starter` if that is not empty.
    fn command(&self, starter: &[String], words: &[&str]) -> Command {
        let binary = std::env::var("INSULA_BINARY")
            .map_or_else(|_unset| here("target/release/insula"), PathBuf::from);
        let mut all: Vec<String> = starter.to_vec();
        all.push(binary.display().to_string());
        all.extend(words.iter().map(|word| match *word {
            "ID" => self.id.clone(),
            "SHORT" => self.path("short").display().to_string(),
            "LONG" => self.path("long").display().to_string(),
            "STORE" => self.path("store").display().to_string(),
            "OTHER" => self.path("other").display().to_string(),
            "ARCHIVE" => self.path("rootfs.tar").display().to_string(),
            "EXPORTED" => self.path("exported.tar").display().to_string(),
            "CONTEXT" => self.path("context").display().to_string(),
            word => {
                let registry = self.registry.as_ref();
                let address = registry.map_or("", |registry| &registry.address);
                let word = word.replace("REGISTRY", address);
                word.replace("ROUND", &self.round.get().to_string())
            }
        }));
        let mut command = Command::new(&all[0]);
        command
            .args(&all[1..])
            .env(MARK, &self.id)
            .env("TMPDIR", self.path("temporary"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Standard error goes through a file: containers that live on would hold a pipe open.
    fn run(&self, mut command: Command) -> Output {
        let path = self.path("stderr");
        let status = command
            .stderr(fs::File::create(&path).unwrap())
            .status()
            .unwrap();
        Output {
            status,
            stdout: Vec::new(),
            stderr: fs::read(path).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn prepare(&self, commands: &[&[&str]]) {
        for words in commands {
            let output = self.run(self.command(&[], words));
            assert!(
                output.status.success(),
                "{words:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    /// The system calls of the process that makes the most of them.
    #[track_caller]
    pub(crate) fn count_steps(&self, is_followed: bool, words: &[&str]) -> u64 {
        let log = self.path("strace.log");
        let output =
            self.run(self.command(&strace(is_followed, &["-o", log.to_str().unwrap()]), words));
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut counts = std::collections::BTreeMap::<String, u64>::new();
        for line in fs::read_to_string(&log).unwrap().lines() {
            let pid = line.split(' ').next().unwrap_or_default();
            *counts.entry(pid.to_owned()).or_default() += 1;
        }
        fs::remove_file(log).unwrap();
        counts.into_values().max().unwrap_or(1)
    }

    /// Kills each process of the command at its `step`th system call; returns how to do it again.
    pub(crate) fn kill_at(&self, step: u64, is_followed: bool, words: &[&str]) -> String {
        let inject = format!("inject=all:signal=KILL:when={step}");
        let command = self.command(
            &strace(is_followed, &["-o", "/dev/null", "-e", &inject]),
            words,
        );
        let replay = format!("{command:?}");
        self.run(command);
        replay
    }

    /// The system calls by which the command may change something.
    #[track_caller]
    pub(crate) fn count_changes(&self, words: &[&str]) -> u64 {
        let mut command = self.command(&[], words);
        command.stderr(Stdio::null());
        let (status, steps) = kill_at_change(&mut command, None).unwrap();
        assert!(status.success(), "{words:?}: {status}");
        steps
    }

    /// Kills what makes the `step`th of these calls; returns the command.
    pub(crate) fn kill_at_change(&self, step: u64, words: &[&str]) -> String {
        let mut command = self.command(&[], words);
        command.stderr(Stdio::null());
        let told = format!("{command:?}");
        // It may end as it likes: there may be fewer steps this time.
        kill_at_change(&mut command, Some(step)).unwrap();
        told
    }

    /// Runs what a user runs next, and looks for what is left.
    #[track_caller]
    pub(crate) fn clean_up(&self, after: &[&[&str]], what: &str) {
        for words in after {
            let output = self.run(self.command(&[], words));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{what}\nthen {words:?} fails: {said}"
            );
        }
        let mut left = self.left();
        for _ in 0..200 {
            if left.is_empty() {
                return;
            }
            // What the kernel takes down by itself (a dying process, a namespace) takes a moment.
            let moment = Timespec::try_from(Duration::from_millis(20)).unwrap();
            poll(&mut [], Some(&moment)).unwrap();
            left = self.left();
        }
        panic!("{what}\nleft behind:\n{}", left.join("\n"));
    }

    fn left(&self) -> Vec<String> {
        let mut left = self.processes();
        let place = self.directory.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = |line: &&str| line.contains(&place) || line.contains(&self.id);
        left.extend(
            mounts
                .lines()
                .filter(own)
                .map(|line| format!("mount {line}")),
        );
        for root in [
            "/run/insula/oci",
            "/run/insula/containers",
            "/run/insula/guests",
        ] {
            left.extend(named(Path::new(root), &self.id, 1));
        }
        left.extend(self.records_of_steps());
        left.extend(named(Path::new("/sys/fs/cgroup"), &self.id, 3));
        let temporary = fs::read_dir(self.path("temporary"))
            .unwrap()
            .filter_map(Result::ok);
        left.extend(temporary.map(|entry| format!("temporary {}", entry.path().display())));
        let store = self.files_of_store();
        left.extend(
            store
                .difference(&self.baseline)
                .map(|file| format!("in the store: {}", file.display())),
        );
        left
    }

    /// Records of containers whose bundles are in our store: steps of builds have names of their own.
    fn records_of_steps(&self) -> Vec<String> {
        let store = self.path("store").display().to_string();
        let entries = fs::read_dir("/run/insula/containers").into_iter().flatten();
        let records = entries
            .flatten()
            .map(|entry| entry.path().join("state.json"));
        records
            .filter(|record| {
                let text = fs::read_to_string(record).unwrap_or_default();
                text.contains(&store)
            })
            .map(|record| format!("record {}", record.display()))
            .collect()
    }

    /// Processes that carry our mark. Threads of the kernel and the dead have no environment.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{MARK}={}", self.id);
        let store = self.path("store").display().to_string();
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes
            .filter(|entry| {
                let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
                // A monitor has no environment, and names its store.
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).into_owned();
                command.contains("__monitor") && command.contains(&store)
                    || environment
                        .split(|byte| *byte == 0)
                        .any(|variable| variable == mark.as_bytes())
            })
            .map(|entry| {
                let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                format!(
                    "process {} {}",
                    entry.file_name().display(),
                    command.replace('\0', " ")
                )
            })
            .collect()
    }

    /// Everything in the store but its empty directories and locks, which may stay.
    fn files_of_store(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut directories = vec![self.path("store")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory)
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
            {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    directories.push(path);
                } else if !path.ends_with("lock") && !path.ends_with("images/spare") {
                    files.insert(path);
                }
            }
        }
        files
    }
}

/// No output but what `options` say. With forks followed it ends with the last of them.
fn strace(is_followed: bool, options: &[&str]) -> Vec<String> {
    let program = first_of([here("target/peers/bin/strace"), PathBuf::from("strace")]);
    let program = program.display().to_string();
    let words = std::iter::once(program)
        .chain(["-qq".to_owned()])
        .chain(is_followed.then(|| "-f".to_owned()));
    words
        .chain(options.iter().map(|&option| option.to_owned()))
        .collect()
}

/// Directories below `root`, at most `depth` deep, whose name contains `part`.
fn named(root: &Path, part: &str, depth: u32) -> Vec<String> {
    let entries = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut found = Vec::new();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name().to_string_lossy().contains(part) {
            found.push(entry.path().display().to_string());
        } else if depth > 1 {
            found.extend(named(&entry.path(), part, depth - 1));
        }
    }
    found
}
