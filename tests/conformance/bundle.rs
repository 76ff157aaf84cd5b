//! A bundle, the container made of it, and what is left when it is gone.
//!
//! [`Bundle::sh`] makes a bundle of busybox with a small config; [`Bundle::run`] runs it to its end
//! and [`Bundle::create`] gives a [`Container`] for the single commands. Each bundle has a state
//! directory and cgroups of its own, so that what a test leaves behind is seen.
//!
//! `INSULA_OCI_RUNTIME` names another runtime (`runc`), to test the tests with.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAMS: &str = "sh cat ls echo true false sleep id env stat mount umount ip hostname ps kill \
    readlink grep test touch mkdir rm mknod dd head tail wc sort uname tty stty chown chmod ln cut tr \
    nproc chrt ionice setsid nice printf seq find awk sed od pwd basename expr ping ifconfig ipcs df sync";

/// A config.json in the making, with the directory that will hold it.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) id: String,
    pub(crate) config: Value,
    directory: TempDir,
}

/// A created container; deleted by force when dropped.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) bundle: Bundle,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The output of a command that succeeded, without the last line feed.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.code, 0, "the command failed: {self:#?}");
        self.stdout.trim_end()
    }

    /// Asserts a failure that says something.
    #[track_caller]
    pub(crate) fn fails(&self) -> &str {
        assert_ne!(self.code, 0, "the command succeeded: {self:#?}");
        assert!(!self.stderr.trim().is_empty(), "it fails without a word");
        self.stderr.trim()
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The runtime under test, without arguments.
pub(crate) fn runtime() -> Command {
    let words = std::env::var("INSULA_OCI_RUNTIME").unwrap_or_else(|_unset| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/insula");
        let binary = std::env::var("INSULA_BINARY");
        format!(
            "{} oci",
            binary.unwrap_or_else(|_unset| built.display().to_string())
        )
    });
    let mut words = words.split_ascii_whitespace();
    let mut command = Command::new(words.next().expect("INSULA_OCI_RUNTIME is empty"));
    command.args(words).stdin(Stdio::null());
    command
}

/// A static busybox of this machine or of the unpacked peers.
pub(crate) fn busybox() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/bin/busybox");
    [unpacked, PathBuf::from("/bin/busybox")]
        .into_iter()
        .find(|path| path.exists())
        .expect("no busybox: run scripts/peers")
}

impl Bundle {
    /// A container of `sh -c script`.
    pub(crate) fn sh(script: &str) -> Self {
        Self::of(&["sh", "-c", script])
    }

    pub(crate) fn of(command: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::Builder::new()
            .prefix("insula-test")
            .tempdir()
            .unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("insula-test-{}-{number}", std::process::id());
        make_rootfs(&directory.path().join("rootfs"));
        Self {
            config: config(command, &id),
            id,
            directory,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// A path beside the root file system, for what the host and the container share.
    pub(crate) fn beside(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// Sets the member at a JSON pointer, and objects on the way that are not there yet.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        set(&mut self.config, pointer, Some(value));
        self
    }

    pub(crate) fn remove(mut self, pointer: &str) -> Self {
        set(&mut self.config, pointer, None);
        self
    }

    /// Adds to the array at a JSON pointer.
    pub(crate) fn push(mut self, pointer: &str, value: Value) -> Self {
        if self.config.pointer(pointer).is_none() {
            set(&mut self.config, pointer, Some(json!([])));
        }
        let array = self
            .config
            .pointer_mut(pointer)
            .and_then(Value::as_array_mut);
        array.expect("not an array").push(value);
        self
    }

    pub(crate) fn mount(
        self,
        destination: &str,
        kind: &str,
        source: &str,
        options: &[&str],
    ) -> Self {
        let mount = json!({"destination": destination, "type": kind, "source": source,
                           "options": options});
        self.push("/mounts", mount)
    }

    /// Leaves out the namespaces of a type.
    pub(crate) fn without_namespace(mut self, kind: &str) -> Self {
        let all = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Writes config.json.
    pub(crate) fn write(&self) {
        fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    /// A command of the runtime with this bundle's state directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = runtime();
        command
            .arg("--root")
            .arg(self.path().join("state"))
            .args(arguments);
        command.current_dir("/");
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Finished {
        self.command(arguments)
            .output()
            .expect("start the runtime")
            .into()
    }

    /// Runs the container to its end; nothing of it may be left.
    #[track_caller]
    pub(crate) fn run(&self) -> Finished {
        let finished = self.run_with(&[]);
        self.assert_gone();
        finished
    }

    pub(crate) fn run_with(&self, options: &[&str]) -> Finished {
        self.write();
        let path = self.path().display().to_string();
        self.call(&[&["run", "--bundle", &path], options, &[&self.id]].concat())
    }

    /// `create`, with the container's output in files beside the bundle.
    pub(crate) fn try_create(&self, options: &[&str]) -> Finished {
        self.write();
        let path = self.path().display().to_string();
        let arguments = [&["create", "--bundle", &path], options, &[&self.id]].concat();
        self.call_detached(&arguments)
    }

    /// A call whose process outlives it and would hold a pipe open.
    pub(crate) fn call_detached(&self, arguments: &[&str]) -> Finished {
        let (out, err) = (self.path().join("stdout"), self.path().join("stderr"));
        let mut command = self.command(arguments);
        command
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap());
        let status = command.status().expect("start the runtime");
        Finished {
            code: status.code().unwrap_or(-1),
            stdout: fs::read_to_string(out).unwrap(),
            stderr: fs::read_to_string(err).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn create(self) -> Container {
        let finished = self.try_create(&[]);
        assert_eq!(finished.code, 0, "create failed: {finished:#?}");
        Container { bundle: self }
    }

    /// Created and started.
    #[track_caller]
    pub(crate) fn start(self) -> Container {
        let container = self.create();
        container.start();
        container
    }

    /// No state, no cgroup, no mount of this container is left.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        let state = self.path().join("state");
        let left: Vec<_> = fs::read_dir(state)
            .map(|entries| {
                entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.file_name())
                    .collect()
            })
            .unwrap_or_default();
        let left: Vec<_> = left
            .iter()
            .filter(|name| name.to_string_lossy().contains(&self.id))
            .collect();
        assert!(left.is_empty(), "state is left: {left:?}");
        let cgroups = self.cgroups();
        assert!(cgroups.is_empty(), "cgroups are left: {cgroups:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let path = self.path().display().to_string();
        let mounts: Vec<_> = mounts.lines().filter(|line| line.contains(&path)).collect();
        assert!(mounts.is_empty(), "mounts are left: {mounts:?}");
    }

    /// The cgroups of this container that exist, of all hierarchies.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup")
            .unwrap()
            .filter_map(Result::ok);
        let under = hierarchies
            .map(|entry| entry.path())
            .chain([PathBuf::from("/sys/fs/cgroup")]);
        let own = under.map(|path| path.join("insula-test").join(&self.id));
        own.filter(|path| path.exists()).collect()
    }

    /// A file of this container's cgroup: `cgroup("memory", "memory.limit_in_bytes")`.
    pub(crate) fn cgroup(&self, controller: &str, file: &str) -> String {
        let path = Path::new("/sys/fs/cgroup")
            .join(controller)
            .join("insula-test")
            .join(&self.id);
        let read = fs::read_to_string(path.join(file));
        read.unwrap_or_else(|error| panic!("{controller}/{file}: {error}"))
            .trim()
            .to_owned()
    }
}

impl Container {
    #[track_caller]
    pub(crate) fn start(&self) {
        let finished = self.call("start", &[]);
        assert_eq!(finished.code, 0, "start failed: {finished:#?}");
    }

    /// A command of the runtime for this container.
    pub(crate) fn call(&self, command: &str, more: &[&str]) -> Finished {
        self.bundle
            .call(&[&[command, self.bundle.id.as_str()], more].concat())
    }

    pub(crate) fn exec(&self, command: &[&str]) -> Finished {
        self.exec_with(&[], command)
    }

    pub(crate) fn exec_with(&self, options: &[&str], command: &[&str]) -> Finished {
        let id = [self.bundle.id.as_str()];
        self.bundle
            .call(&[&["exec"], options, &id, command].concat())
    }

    #[track_caller]
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(self.call("state", &[]).text()).expect("the state is not JSON")
    }

    #[track_caller]
    pub(crate) fn status(&self) -> String {
        self.state()["status"]
            .as_str()
            .expect("no status")
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.state()["pid"].as_i64().expect("no pid")).unwrap()
    }

    /// Waits until the container's process has ended, ten seconds at most.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let Some(pid) = self.state()["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
        else {
            return;
        };
        let Some(pid) = Pid::from_raw(pid) else {
            return;
        };
        if let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) {
            let limit = Timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).unwrap();
            assert_eq!(ended, 1, "the container still runs after ten seconds");
        }
        assert!(
            eventually(|| self.status() == "stopped"),
            "not stopped: {}",
            self.state()
        );
    }

    /// What the container wrote so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.bundle.path().join("stdout"))
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// Starts it, waits for its end, deletes it; returns what it wrote.
    #[track_caller]
    pub(crate) fn finish(&self) -> String {
        self.start();
        self.wait();
        self.delete();
        self.stdout()
    }

    /// Deletes it and asserts that nothing is left.
    #[track_caller]
    pub(crate) fn delete(&self) {
        let finished = self.call("delete", &[]);
        assert_eq!(finished.code, 0, "delete failed: {finished:#?}");
        self.bundle.assert_gone();
    }

    #[track_caller]
    pub(crate) fn kill_and_delete(&self) {
        let finished = self.call("kill", &["KILL"]);
        assert_eq!(finished.code, 0, "kill failed: {finished:#?}");
        self.wait();
        self.delete();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Also after a test that failed; for one that deleted its container this says so, unheard.
        drop(self.bundle.call(&["delete", "--force", &self.bundle.id]));
    }
}

/// Asks again every ten milliseconds, for five seconds.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| holds() || !pause(Duration::from_millis(10)))
}

/// Waits for nothing but time; always true.
pub(crate) fn pause(time: Duration) -> bool {
    let limit = Timespec::try_from(time).unwrap();
    poll(&mut [], Some(&limit)).is_ok()
}

/// Sets or removes the member at a JSON pointer.
pub(crate) fn set(config: &mut Value, pointer: &str, value: Option<Value>) {
    let (parent, name) = pointer
        .rsplit_once('/')
        .expect("a JSON pointer starts with /");
    let mut at = config;
    for step in parent.split('/').skip(1) {
        at = match at {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            other => &mut other[step],
        };
        if at.is_null() {
            *at = json!({});
        }
    }
    match (at, value) {
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Value::Object(members), None) => drop(members.remove(name)),
        (other, _) => panic!("{pointer}: {other} has no members"),
    }
}

fn make_rootfs(rootfs: &Path) {
    let bin = rootfs.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for name in ["proc", "sys", "dev", "tmp", "etc", "root"] {
        fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n",
    )
    .unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\n").unwrap();
    fs::copy(busybox(), bin.join("busybox")).unwrap();
    for name in PROGRAMS.split_ascii_whitespace() {
        symlink("busybox", bin.join(name)).unwrap();
    }
}

/// What a container needs to look at itself; every test adds what it is about.
fn config(command: &[&str], id: &str) -> Value {
    let capabilities = [
        "CAP_KILL",
        "CAP_CHOWN",
        "CAP_MKNOD",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_DAC_OVERRIDE",
    ];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "conformance",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "cgroupsPath": format!("/insula-test/{id}"),
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"},
            ],
        },
    })
}
