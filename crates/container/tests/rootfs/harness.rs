//! Runs one case in a container: a root directory, a configuration, and checks made inside.
//!
//! The container is a clone3 child without a program of its own: after `finish` it runs the case's
//! checks as they are, and says over a pipe what was wrong. Needs root.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use insula_container::cgroup::Location;
use insula_container::rootfs::{Overlay, Prepared, RootfsOptions};
use insula_container::spec;
use insula_sys::process::{self, Child, clone3, exit_now, wait};
use insula_sys::rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};
use serde_json::{Value, json};

/// What a check or a case found wrong.
pub(crate) type Outcome = Result<(), String>;

/// A bundle in a directory of its own, removed in the end.
#[derive(Debug)]
pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    pub(crate) config: Value,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) no_pivot: bool,
}

/// How a container came out: whether it could be made, and its checks.
#[derive(Debug)]
pub(crate) enum Made {
    Refused(String),
    Ran(Outcome),
}

impl Bundle {
    /// A bundle with an almost empty root and the mounts and paths of `runc spec`.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("rootfs")).unwrap();
        let config = serde_json::from_str(include_str!("default.json")).unwrap();
        Self {
            directory,
            config,
            overlay: None,
            no_pivot: false,
        }
    }

    /// A path in the bundle.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path in the root directory, as the host sees it.
    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.path("rootfs").join(name)
    }

    pub(crate) fn mount(&mut self, entry: Value) -> &mut Self {
        self.config["mounts"].as_array_mut().unwrap().push(entry);
        self
    }

    /// Removes the entry of `mounts` with this destination.
    pub(crate) fn without_mount(&mut self, destination: &str) -> &mut Self {
        let mounts = self.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|entry| entry["destination"] != destination);
        self
    }

    /// Adds a user namespace: container 0.. is host 100000.., and the root directory is its.
    pub(crate) fn with_user_namespace(&mut self) -> &mut Self {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        self.config["linux"]["uidMappings"] = map.clone();
        self.config["linux"]["gidMappings"] = map;
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        give(&self.path("rootfs"), 100_000);
        fs::set_permissions(
            self.directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        self
    }

    /// Makes the container and runs `check` inside.
    pub(crate) fn run(&self, check: impl FnOnce() -> Outcome) -> Made {
        let json = serde_json::to_vec(&self.config).unwrap();
        let spec = match spec::parse(&json) {
            Ok(spec) => spec,
            Err(error) => return Made::Refused(error.to_string()),
        };
        let has = |kind: &str| {
            let namespaces = self.config["linux"]["namespaces"].as_array().unwrap();
            namespaces.iter().any(|entry| entry["type"] == kind)
        };
        let options = RootfsOptions {
            no_pivot: self.no_pivot,
            has_mount_namespace: has("mount"),
            has_user_namespace: has("user"),
            has_cgroup_namespace: has("cgroup"),
            has_network_namespace: has("network"),
            has_pid_namespace: has("pid"),
            cgroup: &Location::default(),
            overlay: self.overlay.clone(),
        };
        let prepared = match Prepared::new(&spec, self.directory.path(), &options) {
            Ok(prepared) => prepared,
            Err(error) => return Made::Refused(error.chain()),
        };
        enter(&prepared, flags(&has), has("user"), check)
    }

    /// Makes the container and demands that it can be made and every check holds.
    pub(crate) fn pass(&self, check: impl FnOnce() -> Outcome) -> Outcome {
        match self.run(check) {
            Made::Refused(reason) => Err(format!("refused: {reason}")),
            Made::Ran(outcome) => outcome,
        }
    }

    /// Demands that the container is refused with these words.
    pub(crate) fn refused(&self, words: &str) -> Outcome {
        match self.run(|| Ok(())) {
            Made::Refused(reason) if reason.contains(words) => Ok(()),
            Made::Refused(reason) => Err(format!("refused, but not for {words:?}: {reason}")),
            Made::Ran(_) => Err("was not refused".to_owned()),
        }
    }
}

fn flags(has: &impl Fn(&str) -> bool) -> u64 {
    let kinds = [
        ("mount", process::CLONE_NEWNS),
        ("pid", process::CLONE_NEWPID),
        ("network", process::CLONE_NEWNET),
        ("ipc", process::CLONE_NEWIPC),
        ("uts", process::CLONE_NEWUTS),
        ("cgroup", process::CLONE_NEWCGROUP),
        ("user", process::CLONE_NEWUSER),
    ];
    kinds
        .iter()
        .filter(|(kind, _)| has(kind))
        .fold(0, |all, (_, flag)| all | flag)
}

fn enter(
    prepared: &Prepared,
    flags: u64,
    is_mapped: bool,
    check: impl FnOnce() -> Outcome,
) -> Made {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let child: Child = clone3(flags, None, || {
        let mut go = [0];
        theirs.read_exact(&mut go).unwrap();
        if is_mapped {
            set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).unwrap();
            set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).unwrap();
        }
        let made = prepared
            .build()
            .and_then(|()| prepared.pivot())
            .and_then(|()| prepared.finish());
        let report = match made {
            Err(error) => format!("R{}", error.chain()),
            Ok(()) => match check() {
                Ok(()) => "O".to_owned(),
                Err(problem) => format!("F{problem}"),
            },
        };
        theirs.write_all(report.as_bytes()).unwrap();
        exit_now(0)
    })
    .unwrap();
    if is_mapped {
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{map}", child.pid), "0 100000 65536\n").unwrap();
        }
    }
    ours.write_all(b"g").unwrap();
    drop(theirs);
    let mut report = String::new();
    ours.read_to_string(&mut report).unwrap();
    wait(std::os::fd::AsFd::as_fd(&child.pidfd)).unwrap();
    match report.split_at_checked(1) {
        Some(("R", reason)) => Made::Refused(reason.to_owned()),
        Some(("O", _)) => Made::Ran(Ok(())),
        Some((_, problem)) => Made::Ran(Err(problem.to_owned())),
        None => Made::Ran(Err("the container died".to_owned())),
    }
}

/// Gives a tree to a user and the group of the same number.
pub(crate) fn give(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), id);
        }
    }
}

/// One line of the mount table of this process.
#[derive(Debug)]
pub(crate) struct MountLine {
    /// Options of the mount, then a space, then its propagation fields.
    pub(crate) options: String,
    pub(crate) propagation: String,
    pub(crate) kind: String,
    /// Options of the superblock.
    pub(crate) superblock: String,
}

impl MountLine {
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|present| present == option)
    }
}

/// The mounts on a mount point, lowest first.
pub(crate) fn mounts_on(mount_point: &str) -> Vec<MountLine> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let left = left.split(' ').collect::<Vec<_>>();
            let right = right.split(' ').collect::<Vec<_>>();
            (left[4] == mount_point).then(|| MountLine {
                options: left[5].to_owned(),
                propagation: left[6..].join(" "),
                kind: right[0].to_owned(),
                superblock: right[2].to_owned(),
            })
        })
        .collect()
}

/// The uppermost mount on a mount point.
pub(crate) fn mount_on(mount_point: &str) -> Result<MountLine, String> {
    mounts_on(mount_point)
        .pop()
        .ok_or_else(|| format!("nothing is mounted on {mount_point}"))
}

/// A check with a message.
pub(crate) fn ensure(holds: bool, what: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// Demands that writing a file fails because of a read-only mount.
pub(crate) fn ensure_read_only(path: &str) -> Outcome {
    let result = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let error = result.err().and_then(|error| error.raw_os_error());
    ensure(
        error == Some(30),
        format!("{path}: writing gave {error:?} instead of EROFS"),
    )
}

pub(crate) fn ensure_writable(path: &str) -> Outcome {
    fs::write(path, "x").map_err(|error| format!("{path}: {error}"))
}
