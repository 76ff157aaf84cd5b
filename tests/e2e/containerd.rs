//! containerd, with its runc shim between it and the runtime, driven by `ctr`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::engine::{Podman, eventually, group_name, peer, remove_groups, run, runtime, succeed};

const IMAGE: &str = "localhost/small:1";

/// A containerd of our own, with its state in a temporary directory and no network.
struct Containerd {
    directory: TempDir,
    daemon: Child,
}

impl Containerd {
    fn new() -> Self {
        let directory = TempDir::with_prefix("insula-e2e-").expect("make a directory");
        let daemon = Self::spawn(directory.path());
        let containerd = Self { directory, daemon };
        eventually("containerd", || {
            run(&mut containerd.ctr(&["version"])).code == Some(0)
        });
        // ctr reads archives of images; podman makes one of the same small image.
        let podman = Podman::new();
        let archive = podman
            .directory
            .path()
            .join("image.tar")
            .display()
            .to_string();
        podman.succeed(["save", "--quiet", "--output", &archive, IMAGE]);
        succeed(&mut containerd.ctr(&["image", "import", "--snapshotter", "native", &archive]));
        containerd
    }

    fn spawn(directory: &Path) -> Child {
        let place = directory.display();
        let configuration = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.devmapper\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
             \"io.containerd.snapshotter.v1.aufs\"]\n\
             [grpc]\naddress = \"{place}/socket\"\n[ttrpc]\naddress = \"{place}/socket.ttrpc\"\n"
        );
        let file = directory.join("config.toml");
        std::fs::write(&file, configuration).expect("write the configuration");
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new(peer("containerd"))
            .arg("--config")
            .arg(file)
            .env("PATH", format!("{}:{path}", peer("").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start containerd")
    }

    fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(peer("ctr"));
        command
            .arg("--address")
            .arg(self.directory.path().join("socket"));
        // The namespace names the control group above those of its containers.
        command
            .arg("--namespace")
            .arg(group_name(&self.directory))
            .args(arguments);
        command
    }

    /// `ctr run` with options; the name of the container, then its command.
    fn run(&self, options: &[&str], name: &str, words: &[&str]) -> Command {
        let mut command = self.ctr(&["run", "--snapshotter", "native", "--runc-binary"]);
        command
            .arg(runtime())
            .args(options)
            .args([IMAGE, name])
            .args(words);
        command
    }

    /// The line of a container's task in `ctr task list`: its name, process and status.
    fn task(&self, name: &str) -> Vec<String> {
        let tasks = succeed(&mut self.ctr(&["task", "list"]));
        let mut lines = tasks
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect());
        lines
            .find(|words: &Vec<String>| words.first().is_some_and(|word| word == name))
            .unwrap_or_default()
    }

    fn status(&self, name: &str) -> String {
        self.task(name).get(2).cloned().unwrap_or_default()
    }

    /// Ends the shims of this containerd, which would outlive it.
    fn end_shims(&self) {
        let place = self.directory.path().display().to_string();
        for entry in std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            if command.contains("containerd-shim") && command.contains(&place) {
                let pid = entry.file_name();
                let _ = Command::new("kill").arg("-KILL").arg(pid).status();
            }
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let names = run(&mut self.ctr(&["task", "list", "--quiet"])).stdout;
        for name in names.lines() {
            let _ = run(&mut self.ctr(&["task", "delete", "--force", name]));
        }
        self.end_shims();
        remove_groups(&self.directory);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn runs_a_command_and_passes_its_exit_code_on() {
    let containerd = Containerd::new();
    let said = run(&mut containerd.run(&["--rm"], "one", &["sh", "-c", "echo hello; exit 3"]));
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (Some(3), "hello"),
        "{}",
        said.stderr
    );
}

#[test]
fn life_of_a_task() {
    let containerd = Containerd::new();
    succeed(&mut containerd.run(&["--detach"], "long", &["sleep", "1000"]));
    assert_eq!(containerd.status("long"), "RUNNING");
    let output =
        succeed(&mut containerd.ctr(&["task", "exec", "--exec-id", "e", "long", "echo", "inside"]));
    assert_eq!(output, "inside");
    let said = run(&mut containerd.ctr(&[
        "task",
        "exec",
        "--exec-id",
        "f",
        "long",
        "sh",
        "-c",
        "exit 4",
    ]));
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    succeed(&mut containerd.ctr(&["task", "pause", "long"]));
    assert_eq!(containerd.status("long"), "PAUSED");
    succeed(&mut containerd.ctr(&["task", "resume", "long"]));
    assert_eq!(containerd.status("long"), "RUNNING");
    succeed(&mut containerd.ctr(&["task", "kill", "--signal", "SIGKILL", "long"]));
    eventually("its death", || containerd.status("long") == "STOPPED");
    let said = run(&mut containerd.ctr(&["task", "delete", "long"]));
    assert!(said.stderr.contains("137"), "{}", said.stderr);
    succeed(&mut containerd.ctr(&["container", "delete", "long"]));
}

#[test]
fn processes_and_metrics() {
    let containerd = Containerd::new();
    succeed(&mut containerd.run(&["--detach"], "long", &["sh", "-c", "sleep 1000 & wait"]));
    let processes = succeed(&mut containerd.ctr(&["task", "ps", "long"]));
    assert_eq!(processes.lines().count(), 3, "{processes}");
    let metrics = succeed(&mut containerd.ctr(&["task", "metrics", "long"]));
    assert!(metrics.contains("memory"), "{metrics}");
}

#[test]
fn environment_and_directory() {
    let containerd = Containerd::new();
    let options = ["--rm", "--env", "COLOUR=blue", "--cwd", "/etc"];
    let script = "echo $COLOUR; pwd";
    let output = succeed(&mut containerd.run(&options, "one", &["sh", "-c", script]));
    assert_eq!(output, "blue\n/etc");
}

#[test]
fn memory_limit() {
    let containerd = Containerd::new();
    let options = ["--detach", "--memory-limit", "67108864"];
    succeed(&mut containerd.run(&options, "limited", &["sleep", "1000"]));
    let pid = containerd
        .task("limited")
        .get(1)
        .cloned()
        .expect("a process");
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read the groups");
    let paths: Vec<String> = groups
        .lines()
        .filter_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
            [_, "memory", path] => {
                Some(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"))
            }
            ["0", "", path] => Some(format!("/sys/fs/cgroup{path}/memory.max")),
            _ => None,
        })
        .collect();
    let limit = paths
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    assert_eq!(limit.as_deref(), Some("67108864\n"), "{paths:?}");
}

#[test]
fn several_at_once() {
    let containerd = Containerd::new();
    let names: Vec<String> = (0..4).map(|number| format!("number-{number}")).collect();
    let running: Vec<Child> = names
        .iter()
        .map(|name| {
            let mut command = containerd.run(&["--rm"], name, &["sh", "-c", "exit 6"]);
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", peer("").display()));
            command
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("start ctr")
        })
        .collect();
    for mut child in running {
        assert_eq!(child.wait().expect("wait for ctr").code(), Some(6));
    }
    assert_eq!(
        succeed(&mut containerd.ctr(&["task", "list", "--quiet"])),
        ""
    );
}
