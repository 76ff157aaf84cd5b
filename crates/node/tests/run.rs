//! `insula run` as a process, on an image of busybox: what the program sees, how it ends, and what
//! is left of it.
//!
//! Needs root, and busybox-static on this host; without them the tests are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says when it is skipped"
)]

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use insula_image::{ImportOptions, PruneScope, Source, Store};
use insula_node::guest::{Place, Removal, STATE_ROOT, list, prune, remove, users_of_image};
use insula_sys::rustix::process::{Pid, Signal, geteuid, kill_process};
use insula_sys::rustix::termios::{Winsize, tcsetwinsize};

/// A store of its own with one image.
struct Host {
    directory: tempfile::TempDir,
}

fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("examples/run");
    assert!(program.exists(), "cargo build -p insula-node --example run");
    program
}

fn host() -> Option<Host> {
    let unpacked = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/peers/bin/busybox"
    );
    let busybox = [unpacked, "/bin/busybox", "/usr/bin/busybox"];
    let busybox = busybox.iter().find(|path| Path::new(path).exists());
    let (Some(busybox), true) = (busybox, geteuid().is_root()) else {
        println!("skipped: needs root and busybox-static");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("rootfs");
    for name in ["bin", "etc", "root", "tmp", "home/user"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let applets = Command::new(busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if applet != "busybox" {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n";
    std::fs::write(root.join("etc/passwd"), passwd).unwrap();
    let group = "root:x:0:\nuser:x:1001:\nextra:x:55:user\n";
    std::fs::write(root.join("etc/group"), group).unwrap();
    std::fs::write(root.join("etc/not-a-program"), "text").unwrap();
    let options = ImportOptions {
        tag: Some("busybox".parse().unwrap()),
        changes: ["ENV FROM=image", "CMD [\"echo\", \"default\"]"]
            .map(str::to_owned)
            .to_vec(),
        sync: false,
        ..ImportOptions::default()
    };
    let store = directory.path().join("store");
    Store::new(&store)
        .import(Source::Path(root), &options)
        .unwrap();
    Some(Host { directory })
}

impl Host {
    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn place(&self) -> Place {
        Place::new(self.store())
    }

    /// The command line of a run: keys in front of `--`, the program behind it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg(self.store()).arg("busybox").args(arguments);
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        self.assert_clean();
        output
    }

    #[track_caller]
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?} {error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    fn entries(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.store().join(directory)) else {
            return Vec::new();
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.flatten().map(name).collect()
    }

    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.entries("containers"), Vec::<String>::new());
        assert_eq!(self.entries("names"), Vec::<String>::new());
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited: {what}");
        std::thread::yield_now();
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn the_program_sees_what_was_asked_for() {
    let Some(host) = host() else { return };
    assert_eq!(host.text(&[]), "default\n");
    assert_eq!(host.text(&["--", "echo", "a", "b"]), "a b\n");
    let text = host.text(&["env=MINE=1", "env=FROM=user", "--", "env"]);
    for line in ["MINE=1", "FROM=user", "HOME=/root", "PATH=/usr/local/sbin:"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(
        host.text(&["user=user", "--", "id"]).trim(),
        "uid=1000(user) gid=1001(user) groups=55(extra),1001(user)"
    );
    let id = host.text(&["user=7:8", "--", "id"]);
    assert_eq!(id.trim(), "uid=7 gid=8 groups=8");
    let home = host.text(&["user=user", "--", "sh", "-c", "echo $HOME"]);
    assert_eq!(home, "/home/user\n");
    let directory = host.text(&["workdir=/made/here", "--", "pwd"]);
    assert_eq!(directory, "/made/here\n");
    let modes = host.text(&["--", "stat", "-c", "%a %u", "/etc/hosts", "/etc", "/"]);
    assert_eq!(modes, "644 0\n755 0\n755 0\n");
    let status = host.text(&["--", "cat", "/proc/self/status"]);
    assert!(status.contains("CapEff:\t00000000a80425fb"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

#[test]
fn networks_are_its_own_or_the_host_s() {
    let Some(host) = host() else { return };
    assert_eq!(host.text(&["--", "ls", "/sys/class/net"]), "lo\n");
    let script = "hostname; cat /etc/hostname; ping -c1 $(hostname) >/dev/null && echo up";
    let text = host.text(&["--", "sh", "-c", script]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0].len(), lines[0], lines[2]), (12, lines[1], "up"));
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let theirs = host.text(&["host", "--", "readlink", "/proc/self/ns/net"]);
    assert_eq!(theirs.trim(), own.to_str().unwrap());
}

#[test]
fn exit_codes_are_docker_s() {
    let Some(host) = host() else { return };
    let code = |arguments: &[&str]| host.run(arguments).status.code().unwrap();
    assert_eq!(code(&["--", "sh", "-c", "exit 42"]), 42);
    assert_eq!(code(&["--", "no-such-program"]), 127);
    assert_eq!(code(&["--", "/no/such/program"]), 127);
    assert_eq!(code(&["--", "/etc/not-a-program"]), 126);
    assert_eq!(code(&["--", "/etc"]), 126);
    assert_eq!(code(&["volume=/no/such/path:/x", "--", "true"]), 125);
    assert_eq!(code(&["user=nobody-here", "--", "true"]), 125);
    assert_eq!(code(&["name=-x", "--", "true"]), 125);
    assert_eq!(code(&["security=nonsense", "--", "true"]), 125);
    let mut command = Command::new(program());
    let output = command.arg(host.store()).arg("no-image").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no image `no-image`"), "{error}");
    assert!(error.contains("insula images"), "{error}");
}

#[test]
fn layers_are_writable_and_the_image_stays() {
    let Some(host) = host() else { return };
    let changes = "echo x >>/etc/passwd && rm /bin/ls && touch /new && cat /new";
    host.text(&["--", "sh", "-c", changes]);
    let text = host.text(&["--", "sh", "-c", "wc -l </etc/passwd; ls /"]);
    assert!(text.starts_with("2\n") && !text.contains("new"), "{text}");
    let refused = host.run(&["read-only", "--", "touch", "/new"]);
    assert!(!refused.status.success());
    let outside = host.directory.path().join("shared");
    std::fs::create_dir(&outside).unwrap();
    let volume = format!("volume={}:/data", outside.display());
    host.text(&[&volume, "--", "sh", "-c", "echo hi >/data/file"]);
    assert_eq!(std::fs::read(outside.join("file")).unwrap(), b"hi\n");
    let refused = host.run(&[&format!("{volume}:ro"), "--", "touch", "/data/other"]);
    assert!(!refused.status.success());
}

#[test]
fn a_container_without_remove_is_kept() {
    let Some(host) = host() else { return };
    let mut command = host.command(&["keep", "name=kept", "--"]);
    let output = command.args(["sh", "-c", "touch /mine; exit 3"]).output();
    assert_eq!(output.unwrap().status.code(), Some(3));
    let guests = list(&host.place()).unwrap();
    let record = &guests[0].record;
    assert_eq!(record.name, "kept");
    assert_eq!(guests[0].exit_code(), Some(3));
    let own = host.store().join("containers").join(&record.id);
    assert!(own.join("upper/mine").exists());
    let users = users_of_image(&host.place(), &record.manifest);
    assert_eq!(users, ["kept"]);
    let taken = host.command(&["name=kept", "--", "true"]).output().unwrap();
    assert_eq!(taken.status.code(), Some(125));
    let error = String::from_utf8(taken.stderr).unwrap();
    assert!(error.contains("`kept` is taken"), "{error}");
    let pruned = prune(&host.place(), PruneScope::Leftovers).unwrap();
    assert!(!pruned.guests.contains(&record.id));
    remove(&host.place(), &record.id[..8], Removal::default()).unwrap();
    host.assert_clean();
}

#[test]
fn input_goes_in_when_asked_for() {
    let Some(host) = host() else { return };
    let fed = |arguments: &[&str]| {
        let mut command = host.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that reads nothing may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(b"hello");
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(fed(&["interactive", "--", "cat"]), "hello");
    assert_eq!(fed(&["--", "cat"]), "");
}

#[test]
fn signals_go_on_to_the_program() {
    let Some(host) = host() else { return };
    let script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = host.command(&["--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    output.read_exact(&mut ready).unwrap();
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "got it\n");
    host.assert_clean();
}

fn window(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Starts a program in a terminal and gives the terminal's other end.
fn in_terminal(command: &mut Command) -> (Child, std::fs::File) {
    use insula_sys::rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(&ours, window(33, 101)).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let mut options = std::fs::File::options();
    let theirs = options.read(true).write(true);
    let theirs = theirs.open(name.to_str().unwrap()).unwrap();
    command.stdin(theirs.try_clone().unwrap());
    command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
    // A group of its own, so that nothing of the terminal reaches the test itself.
    let child = command.process_group(0).spawn().unwrap();
    (child, ours.into())
}

#[test]
fn a_terminal_is_relayed() {
    let Some(host) = host() else { return };
    let script = "tty; stty size; echo TERM=$TERM; read line; echo \"<$line>\"; \
                  read line; stty size; exit 5";
    let mut command = host.command(&["terminal", "interactive", "--", "sh", "-c", script]);
    let (mut child, mut terminal) = in_terminal(&mut command);
    // Its other end may stay open in `command`: then the end would not be seen.
    drop(command);
    let mut text = String::new();
    let mut read_until = |terminal: &mut std::fs::File, end: &str| {
        let mut buffer = [0; 1024];
        while !text.contains(end) {
            let length = terminal.read(&mut buffer).unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        text.clone()
    };
    let first = read_until(&mut terminal, "TERM=xterm");
    assert!(
        first.contains("/dev/pts/0") && first.contains("33 101"),
        "{first}"
    );
    terminal.write_all(b"typed\r").unwrap();
    read_until(&mut terminal, "<typed>");
    tcsetwinsize(&terminal, window(44, 55)).unwrap();
    // It is not the controlling terminal of the group: the kernel tells nobody.
    signal(&child, Signal::WINCH);
    terminal.write_all(b"more\r").unwrap();
    read_until(&mut terminal, "44 55");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    host.assert_clean();
}

#[test]
fn an_image_in_use_stays() {
    let Some(host) = host() else { return };
    let mut command = host.command(&["name=user", "interactive", "--", "cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_until("record", || !list(&host.place()).unwrap().is_empty());
    let place = host.place();
    let users = |manifest: &_| users_of_image(&place, manifest);
    let images = Store::new(&place.store);
    let error = images.remove("busybox", false, &users).unwrap_err();
    assert_eq!(error.kind(), insula_image::Kind::InUse);
    assert!(
        remove(&place, "user", Removal::default()).is_err(),
        "it runs"
    );
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    images.remove("busybox", false, &users).unwrap();
}

/// What names a container in the cgroup hierarchies and among the engine's records.
fn traces(id: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(top).unwrap().flatten();
    let hierarchies = hierarchies.map(|entry| entry.path());
    let mut places: Vec<PathBuf> = hierarchies
        .chain([top.to_owned()])
        .map(|hierarchy| hierarchy.join("insula").join(id))
        .collect();
    places.push(Path::new(STATE_ROOT).join("containers").join(id));
    places.push(Path::new(STATE_ROOT).join("guests").join(id));
    places.retain(|path| path.exists());
    places
}

#[test]
fn whatever_moment_it_is_killed_nothing_stays() {
    let Some(host) = host() else { return };
    let force = Removal {
        force: true,
        ..Removal::default()
    };
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut hits = 0;
    for round in 0..60 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let delay = Duration::from_micros(random % 9000);
        let keep: &[&str] = if round % 4 == 0 { &["keep"] } else { &[] };
        let mut command = host.command(&[keep, &["--", "sleep", "1000"]].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        while start.elapsed() < delay {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let ids = host.entries("containers");
        hits += usize::from(!ids.is_empty());
        prune(&host.place(), PruneScope::Leftovers).unwrap();
        for id in ids {
            // Without `--rm` it is the user's, and goes on.
            if round % 4 == 0 && host.entries("containers").contains(&id) {
                remove(&host.place(), &id, force).unwrap();
            }
            assert_eq!(traces(&id), Vec::<PathBuf>::new(), "round {round}");
        }
        host.assert_clean();
    }
    assert!(hits > 5, "the delays hit only {hits} times");
}

#[test]
fn many_at_a_time() {
    let Some(host) = host() else { return };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for index in 0..10 {
                    let number = index.to_string();
                    let mut command = host.command(&["--", "echo", &number]);
                    let output = command.output().unwrap();
                    let text = String::from_utf8(output.stdout).unwrap();
                    assert_eq!(text.trim(), number);
                }
            });
        }
    });
    host.assert_clean();
}
