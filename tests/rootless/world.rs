//! An ordinary user of this host, made for one test: a number that nobody has, a home, a runtime
//! directory, and subordinate ids or none.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use insula_sys::rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::insula::{Insula, binary, busybox, settle};

pub(crate) struct World {
    pub(crate) uid: u32,
    insula: Insula,
    directory: TempDir,
}

impl Deref for World {
    type Target = Insula;

    fn deref(&self) -> &Insula {
        &self.insula
    }
}

impl Drop for World {
    /// Of a test that fails, too, nothing is left.
    fn drop(&mut self) {
        self.insula.clear();
        for status in self.processes() {
            let pid = field(&status, "Pid:").and_then(|pid| Pid::from_raw(pid.parse().ok()?));
            // It may have ended by itself.
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

/// The first word behind a name in `/proc/PID/status`.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()
}

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
        let path = directory.path().to_owned();
        let insula = Insula::new(move |words| command(&path, uid, words));
        for file in ["/etc/subuid", "/etc/subgid"] {
            if !Path::new(file).exists() {
                fs::write(file, "").unwrap();
            }
        }
        let world = Self {
            uid,
            insula,
            directory,
        };
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

    /// The processes of this user, those with subordinate ids among them, that have not ended.
    pub(crate) fn processes(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let states = entries
            .map(|entry| fs::read_to_string(entry.path().join("status")).unwrap_or_default());
        let is_own = |status: &String| {
            let uid: Option<u32> = field(status, "Uid:").and_then(|uid| uid.parse().ok());
            let granted = self.uid * SPREAD..self.uid * SPREAD + GRANTED;
            field(status, "State:") != Some("Z")
                && uid.is_some_and(|uid| uid == self.uid || granted.contains(&uid))
        };
        states.filter(is_own).collect()
    }

    #[track_caller]
    pub(crate) fn settle(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        settle(what, || is_so(self));
    }
}

/// The program, as this user; the host's ranges of ids are replaced in its view of the files.
fn command(directory: &Path, uid: u32, words: &[&str]) -> Command {
    const SCRIPT: &str = "mount --bind \"$0\" /etc/subuid && mount --bind \"$0\" /etc/subgid && \
                          mount --bind \"$1/passwd\" /etc/passwd && cd \"$1\" && uid=$2 && \
                          shift 2 && exec setpriv --reuid=$uid --regid=$uid --clear-groups \"$@\"";
    let home = directory.join("home");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT]);
    command
        .arg(directory.join("subid"))
        .arg(&home)
        .arg(uid.to_string());
    command.arg(directory.join("insula")).args(words);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", directory.join("run"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
