//! An ordinary user of this host, made for one test: a number that nobody has, a home, a runtime
//! directory, and subordinate ids or none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use insula_sys::rustix::event::{Timespec, poll};
use serde_json::Value;
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn busybox() -> PathBuf {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let script = repository().join("scripts/busybox-rootfs");
        let made = Command::new(script).output();
        assert!(made.is_ok_and(|output| output.status.success()));
    });
    repository().join("target/images/busybox.tar")
}

fn binary() -> PathBuf {
    std::env::var_os("INSULA_BINARY")
        .map_or_else(|| repository().join("target/release/insula"), PathBuf::from)
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) struct World {
    pub(crate) uid: u32,
    directory: TempDir,
}

const MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
/// Ids of a user begin at this times the number: far from those of others.
const SPREAD: u32 = 65_536;
const GRANTED: u32 = 65_536;

/// How many ids a user has beside the own one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    One,
    Many,
}

impl World {
    /// A user with the image `bb`.
    pub(crate) fn new(uid: u32, ids: Ids) -> Self {
        let world = Self::bare(uid, ids);
        world.succeed(&["image", "import", "--tag", "bb", "busybox.tar"]);
        world
    }

    pub(crate) fn bare(uid: u32, ids: Ids) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("insula-rootless")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let world = Self { uid, directory };
        for (name, mode) in [("home", 0o755), ("run", 0o700)] {
            fs::create_dir(world.path(name)).unwrap();
            fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).unwrap();
            chown(world.path(name), Some(uid), Some(uid)).unwrap();
        }
        fs::copy(binary(), world.path("insula")).unwrap();
        fs::copy(busybox(), world.path("home/busybox.tar")).unwrap();
        // newuidmap wants to know who asks.
        let line = format!(
            "user{uid}:x:{uid}:{uid}::{}:/bin/sh\n",
            world.path("home").display()
        );
        fs::write(world.path("home/passwd"), line).unwrap();
        let granted = match ids {
            Ids::One => String::new(),
            Ids::Many => format!("{uid}:{}:{GRANTED}\n", uid * SPREAD),
        };
        fs::write(world.path("subid"), granted).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program, as this user; the host's ranges of ids are replaced in its view of the files.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        const SCRIPT: &str = "mount --bind \"$0\" /etc/subuid && mount --bind \"$0\" /etc/subgid && \
                              mount --bind \"$1/passwd\" /etc/passwd && \
                              cd \"$1\" && uid=$2 && shift 2 && shift && \
                              exec setpriv --reuid=$uid --regid=$uid --clear-groups \"$@\"";
        for file in ["/etc/subuid", "/etc/subgid"] {
            if !Path::new(file).exists() {
                fs::write(file, "").unwrap();
            }
        }
        let uid = self.uid.to_string();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]);
        command
            .arg(self.path("subid"))
            .arg(self.path("home"))
            .args([&uid, "--"]);
        command.arg(self.path("insula")).args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.command(words).output().unwrap().into()
    }

    /// What a command that works prints, without the last line's end.
    #[track_caller]
    pub(crate) fn succeed(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(0), "{words:?}: {}{}", said.out, said.err);
        said.out.trim_end().to_owned()
    }

    /// The error of a command that fails with this code.
    #[track_caller]
    pub(crate) fn fail(&self, code: i32, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(code), "{words:?}: {}{}", said.out, said.err);
        said.err
    }

    /// A guest as `ps` shows it to programs.
    #[track_caller]
    pub(crate) fn guest(&self, name: &str) -> Value {
        let list = self.succeed(&["ps", "-a", "-o", "json"]);
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        let found = list.into_iter().find(|guest| guest["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The processes of this user, those with subordinate ids among them, that have not ended.
    pub(crate) fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let states = entries
            .map(|entry| fs::read_to_string(entry.path().join("status")).unwrap_or_default());
        let is_own = |status: &String| {
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.split_ascii_whitespace().next())
            };
            let uid: Option<u32> = field("Uid:").and_then(|uid| uid.parse().ok());
            let granted = self.uid * SPREAD..self.uid * SPREAD + GRANTED;
            field("State:") != Some("Z")
                && uid.is_some_and(|uid| uid == self.uid || granted.contains(&uid))
        };
        states.filter(is_own).collect()
    }

    #[track_caller]
    pub(crate) fn settle(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "waited for: {what}"
            );
            poll(&mut [], Some(&MOMENT)).unwrap();
        }
    }
}
