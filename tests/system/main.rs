//! Whole systems in containers: Debian with systemd, sysvinit and OpenRC, as a user runs them.
//!
//! `scripts/system-rootfs` makes the images (once; they are cached). Needs root. Start at
//! [`Ground`]; what a system must do whatever its init is in [`live_a_life`].

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs for itself is there, or the test fails"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use tempfile::TempDir;

/// Rounds of waiting for what a system does by itself; each is a tenth of a second.
const ROUNDS: usize = 600;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn binary() -> PathBuf {
    std::env::var_os("INSULA_BINARY").map_or_else(|| here("target/release/insula"), PathBuf::from)
}

fn pause() {
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };
    poll(&mut [], Some(&moment)).unwrap();
}

/// A store with one guest. All of it goes at the end.
struct Ground {
    store: TempDir,
    name: String,
}

impl Ground {
    /// Runs the system of this kind in the background.
    fn run(kind: &str, options: &[&str]) -> Self {
        let ground = Self {
            store: tempfile::Builder::new()
                .prefix("insula-system")
                .tempdir()
                .unwrap(),
            name: format!("box-{kind}"),
        };
        ground.add(kind);
        let image = format!("system:{kind}");
        let mut words = vec!["run", "-d", "--name", &ground.name];
        words.extend(options);
        words.extend([image.as_str(), "/sbin/init"]);
        ground.insula(&words);
        ground
    }

    fn add(&self, kind: &str) {
        let made = Command::new(here("scripts/system-rootfs"))
            .arg(kind)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let archive = here(String::from_utf8(made.stdout).unwrap().trim());
        let image = format!("system:{kind}");
        self.insula(&[
            "image",
            "import",
            "-q",
            "-t",
            &image,
            archive.to_str().unwrap(),
        ]);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .arg("--store")
            .arg(self.store.path())
            .args(words)
            .stdin(Stdio::null());
        command
    }

    fn try_insula(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    #[track_caller]
    fn insula(&self, words: &[&str]) -> String {
        let output = self.try_insula(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "insula {words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn try_exec(&self, words: &[&str]) -> Output {
        let mut all = vec!["exec", &self.name];
        all.extend(words);
        self.try_insula(&all)
    }

    #[track_caller]
    fn exec(&self, words: &[&str]) -> String {
        let mut all = vec!["exec", &self.name];
        all.extend(words);
        self.insula(&all)
    }

    /// Waits until a command inside succeeds.
    #[track_caller]
    fn until(&self, words: &[&str]) {
        let is_done = (0..ROUNDS).any(|_| {
            let is_done = self.try_exec(words).status.success();
            if !is_done {
                pause();
            }
            is_done
        });
        assert!(is_done, "{words:?} never succeeded in {}", self.name);
    }

    /// The status column of the guest.
    fn status(&self) -> String {
        let table = self.insula(&["ps", "-a"]);
        let line = table
            .lines()
            .find(|line| line.starts_with(&self.name))
            .unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.try_insula(&["rm", "-f", &self.name]);
        self.try_insula(&["prune"]);
    }
}

/// A command on a terminal of its own.
struct Sitting {
    child: Child,
    terminal: File,
    seen: String,
}

impl Sitting {
    fn at(mut command: Command) -> Self {
        let controlling = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controlling).unwrap();
        unlockpt(&controlling).unwrap();
        let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let peer = File::from(ioctl_tiocgptpeer(&controlling, peer).unwrap());
        command
            .stdin(peer.try_clone().unwrap())
            .stdout(peer.try_clone().unwrap())
            .stderr(peer);
        Self {
            child: command.spawn().unwrap(),
            terminal: File::from(controlling),
            seen: String::new(),
        }
    }

    fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until this text appears, and forgets what came up to it.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let patience = Timespec::try_from(Duration::from_secs(60)).unwrap();
        while !self.seen.contains(text) {
            let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&patience)).unwrap();
            assert!(ready > 0, "no {text:?} in {:?}", self.seen);
            let mut buffer = [0; 4096];
            let count = self.terminal.read(&mut buffer).unwrap_or(0);
            assert!(count > 0, "no {text:?} in {:?}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        self.seen = self.seen.split_once(text).unwrap().1.to_owned();
    }

    fn leaves(mut self, keys: &str) -> Option<i32> {
        self.types(keys);
        self.child.wait().unwrap().code()
    }
}

/// Logs in at the console, looks around, and leaves.
#[track_caller]
fn use_the_console(ground: &Ground) {
    let mut console = Sitting::at(ground.command(&["console", &ground.name]));
    console.sees("ctrl-] leaves");
    // An empty line has getty ask again.
    console.types("\r");
    console.sees("login:");
    console.types("root\r");
    console.sees("# ");
    console.types("echo sum-$((40 + 2))\r");
    console.sees("sum-42");
    console.types("exit\r");
    console.sees("login:");
    assert_eq!(console.leaves("\x1d"), Some(0));
}

/// What every system does, once it is up: `is_up` is a command that succeeds then.
#[track_caller]
fn live_a_life(ground: &Ground, is_up: &[&str]) {
    ground.until(is_up);
    let own = ground.exec(&["cat", "/proc/self/cgroup"]);
    let is_hidden = own.lines().all(|line| !line.contains("insula"));
    assert!(is_hidden, "the host's cgroups show: {own}");
    let mut shell = Sitting::at(ground.command(&["shell", &ground.name]));
    shell.types("echo from-$((1 + 1)); exit\r");
    shell.sees("from-2");
    shell.leaves("");
    use_the_console(ground);

    // What is in memory is gone after a reboot; what is on disk stays.
    ground.exec(&["touch", "/run/before", "/var/before"]);
    ground.exec(&["reboot"]);
    ground.until(&["test", "!", "-e", "/run/before"]);
    ground.exec(&["test", "-e", "/var/before"]);
    ground.until(is_up);

    assert!(
        ground
            .insula(&["stop", "-t", "60", &ground.name])
            .contains("stopped")
    );
    assert_eq!(
        ground.status(),
        "exited(0)",
        "stopped by its init, not killed"
    );
    ground.insula(&["start", &ground.name]);
    ground.until(is_up);
    ground.exec(&["poweroff"]);
    assert_eq!(ground.try_insula(&["wait", &ground.name]).stdout, b"0\n");
    assert_eq!(ground.status(), "exited(0)");
}

/// Up, and no unit has failed.
const SYSTEMD_IS_UP: [&str; 3] = [
    "sh",
    "-c",
    "systemctl is-system-running --wait; test -z \"$(systemctl --failed -q)\" && systemctl -q is-active default.target",
];

/// The terminals are the last that an inittab starts.
const GETTY_IS_UP: [&str; 3] = ["sh", "-c", "pgrep -x getty || pgrep -x agetty"];

#[test]
fn debian_12_with_systemd_lives_a_life() {
    let ground = Ground::run("systemd", &["--restart", "always"]);
    live_a_life(&ground, &SYSTEMD_IS_UP);
}

#[test]
fn debian_13_with_systemd_lives_a_life() {
    live_a_life(&Ground::run("systemd-13", &[]), &SYSTEMD_IS_UP);
}

#[test]
fn debian_with_sysvinit_lives_a_life() {
    live_a_life(&Ground::run("sysvinit", &[]), &GETTY_IS_UP);
}

#[test]
fn debian_with_openrc_lives_a_life() {
    live_a_life(&Ground::run("openrc", &[]), &GETTY_IS_UP);
}

#[test]
fn a_system_knows_which_machine_it_is_and_keeps_a_journal() {
    let ground = Ground::run("systemd", &[]);
    ground.until(&SYSTEMD_IS_UP);
    let machine = ground.exec(&["cat", "/etc/machine-id"]);
    assert_eq!(
        ground.exec(&["systemd-detect-virt"]).trim(),
        "container-other"
    );
    ground.exec(&["logger", "a word for the journal"]);
    ground.until(&["sh", "-c", "journalctl | grep -q 'a word for the journal'"]);
    let stopped = ground.insula(&["restart", &ground.name]);
    assert!(stopped.contains(&ground.name));
    ground.until(&SYSTEMD_IS_UP);
    assert_eq!(ground.exec(&["cat", "/etc/machine-id"]), machine);
}

#[test]
fn a_system_that_does_not_stop_is_killed() {
    let ground = Ground::run("systemd", &[]);
    ground.until(&SYSTEMD_IS_UP);
    // No init ends at this one.
    ground.insula(&["stop", "-t", "1", "-s", "WINCH", &ground.name]);
    assert_eq!(ground.status(), "exited(137)");
}

#[test]
fn kinds_run_side_by_side_each_with_its_own_cgroups() {
    let [systemd, openrc] = ["systemd", "openrc"].map(|kind| Ground::run(kind, &["-m", "256m"]));
    systemd.until(&SYSTEMD_IS_UP);
    openrc.until(&GETTY_IS_UP);
    // Each sees its own limit at the top, and may divide what is below.
    let divide = "top=/sys/fs/cgroup; [ -e $top/cgroup.controllers ] || top=$top/memory; \
        cat $top/memory.max $top/memory.limit_in_bytes 2>/dev/null; \
        mkdir $top/mine && rmdir $top/mine";
    for ground in [&systemd, &openrc] {
        assert_eq!(ground.exec(&["sh", "-c", divide]), "268435456\n");
    }
    let services = systemd.exec(&["cat", "/proc/1/cgroup"]);
    assert!(
        services.lines().any(|line| line.ends_with(":/init.scope")),
        "{services}"
    );
}

#[test]
fn a_container_runs_in_a_system_that_may_make_one() {
    // An upper directory of an overlay cannot be on another one: the store is a volume.
    let store = tempfile::Builder::new()
        .prefix("insula-nested")
        .tempdir()
        .unwrap();
    let made = Command::new(here("scripts/busybox-rootfs"))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let binary = std::fs::canonicalize(binary()).unwrap();
    let archive = std::fs::canonicalize(here("target/images/busybox.tar")).unwrap();
    let mounts = [
        format!("{}:/var/lib/insula", store.path().display()),
        format!("{}:/usr/local/bin/insula:ro", binary.display()),
        format!("{}:/busybox.tar:ro", archive.display()),
    ];
    let mut options = vec!["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"];
    options.extend(mounts.iter().flat_map(|mount| ["-v", mount]));
    let ground = Ground::run("systemd", &options);
    ground.until(&SYSTEMD_IS_UP);
    ground.exec(&[
        "insula",
        "image",
        "import",
        "-q",
        "-t",
        "small",
        "/busybox.tar",
    ]);
    let words = [
        "insula", "run", "--rm", "-m", "64m", "small", "echo", "nested",
    ];
    assert_eq!(ground.exec(&words), "nested\n");
    ground.exec(&[
        "insula", "run", "-d", "--name", "inner", "small", "sleep", "1000",
    ]);
    assert_eq!(
        ground.exec(&["insula", "exec", "inner", "echo", "deep"]),
        "deep\n"
    );
    ground.exec(&["insula", "rm", "-f", "inner"]);
}
