//! The course that every contestant runs: bundles, names, turns.
//!
//! Start at [`interleave`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use insula_sys::rustix::event::{PollFd, PollFlags, poll};
use insula_sys::rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use crate::bundle;
use crate::launch::Program;
use crate::options::Options;
use crate::sample::{Cost, Sample, sum};

/// Rounds before anything counts.
const WARM_UP: usize = 5;

#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) insula: Program,
    pub(crate) runtime: Program,
    pub(crate) crun: Program,
    pub(crate) runc: Program,
    pub(crate) podman: Program,
    pub(crate) buildah: Program,
    pub(crate) floor: Program,
    pub(crate) profile: PathBuf,
    pub(crate) runs: usize,
    /// The bundle of `/bin/true`.
    pub(crate) plain: String,
    pub(crate) rootfs: String,
    /// Where more peers are, by name.
    pub(crate) peers: PathBuf,
    pub(crate) native: PathBuf,
    peak: PathBuf,
    directory: PathBuf,
    names: AtomicU64,
}

/// A container that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Sleeper<'a> {
    pub(crate) id: String,
    program: &'a Program,
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        // Nobody can be told here; a container that stays is seen by `soak`.
        let _ = self.program.run(&["delete", "--force", &self.id]);
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        // A directory below the temporary one may stay.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Course {
    /// # Errors
    /// A program of `target/peers` or `target/bench` is missing.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("insula-bench-{}", std::process::id()));
        let smallest = options.native.join("smallest");
        let rootfs = bundle::make_rootfs(&directory, &options.busybox, &smallest)
            .with_context(|| format!("make a root file system in {}", directory.display()))?;
        let plain = bundle::write(&directory.join("plain"), &rootfs, &["/bin/true"], |_| ())?;
        Ok(Self {
            insula: options.insula.clone(),
            runtime: options.runtime.clone(),
            crun: options.crun.clone(),
            runc: options.runc.clone(),
            podman: options.podman.clone(),
            buildah: options.buildah.clone(),
            floor: Program::new(&[options.native.join("floor").as_os_str()]),
            profile: options.profile.clone(),
            runs: options.runs,
            plain,
            rootfs: rootfs
                .to_str()
                .context("the temporary directory is not UTF-8")?
                .to_owned(),
            peers: options.peers.clone(),
            native: options.native.clone(),
            peak: options.native.join("peak"),
            directory,
            names: AtomicU64::new(0),
        })
    }

    pub(crate) fn fresh_id(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        format!("insula-bench-{}-{number}", std::process::id())
    }

    /// A bundle of its own, made anew at each call.
    pub(crate) fn bundle(
        &self,
        name: &str,
        command: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Result<String> {
        bundle::write(
            &self.directory.join(name),
            Path::new(&self.rootfs),
            command,
            change,
        )
    }

    /// The peak memory of one run of `program`.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn peak_mib(&self, program: &Program, arguments: &[&str]) -> Result<f64> {
        let said = program.after(&self.peak).output(arguments)?;
        let line = said.lines().find_map(|line| line.strip_prefix("peak-kib "));
        let kib = line.and_then(|line| line.split(' ').next());
        let kib: f64 = kib.context("no peak-kib line")?.parse()?;
        Ok(kib / 1024.0)
    }

    pub(crate) fn skopeo(&self) -> Program {
        Program::new(&[self.peers.join("skopeo").as_os_str()])
    }

    pub(crate) fn umoci(&self) -> Program {
        Program::new(&[self.peers.join("umoci").as_os_str()])
    }

    /// An empty directory. It goes with the course.
    pub(crate) fn fresh_directory(&self, name: &str) -> Result<PathBuf> {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{name}-{number}"));
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// The root file system as a tar archive.
    pub(crate) fn archive(&self) -> Result<PathBuf> {
        let path = self.directory.join("rootfs.tar");
        let made = Command::new("tar")
            .args(["-C", &self.rootfs, "-cf"])
            .arg(&path)
            .arg(".")
            .status();
        ensure!(made.context("start tar")?.success(), "tar failed");
        Ok(path)
    }

    /// # Errors
    /// The program cannot create or start it.
    pub(crate) fn start_sleeper<'a>(&self, program: &'a Program) -> Result<Sleeper<'a>> {
        let bundle = self.bundle("sleeper", &["/bin/sleep", "100000"], |_| ())?;
        let sleeper = Sleeper {
            id: self.fresh_id(),
            program,
        };
        program.run(&["create", "--bundle", &bundle, &sleeper.id])?;
        program.run(&["start", &sleeper.id])?;
        Ok(sleeper)
    }
}

/// Runs both in turn, the first of each round alternating, and leaves the first rounds out.
///
/// # Errors
/// Of the first run that fails.
pub(crate) fn interleave(
    runs: usize,
    mut ours: impl FnMut() -> Result<Cost>,
    mut peer: impl FnMut() -> Result<Cost>,
) -> Result<(Sample, Sample)> {
    let (mut first, mut second) = (Sample::default(), Sample::default());
    for round in 0..runs + WARM_UP {
        let (cost, peer_cost);
        if round % 2 == 0 {
            cost = ours()?;
            peer_cost = peer()?;
        } else {
            peer_cost = peer()?;
            cost = ours()?;
        }
        if round >= WARM_UP {
            first.add(cost);
            second.add(peer_cost);
        }
    }
    Ok((first, second))
}

/// One container by separate commands, as engines do it; waits for its end by pidfd.
///
/// # Errors
/// A command fails.
pub(crate) fn lifecycle(course: &Course, program: &Program) -> Result<Cost> {
    let id = course.fresh_id();
    let pid_file = course.directory.join(format!("{id}.pid"));
    let pid_path = pid_file
        .to_str()
        .context("the temporary directory is not UTF-8")?;
    let create = [
        "create",
        "--bundle",
        &course.plain,
        "--pid-file",
        pid_path,
        &id,
    ];
    let created = program.measure(&create)?;
    let pid: i32 = fs::read_to_string(&pid_file)
        .context("read the pid file")?
        .trim()
        .parse()?;
    let pid = Pid::from_raw(pid).context("the pid file holds no pid")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("open the container's pidfd")?;
    let started = program.measure(&["start", &id])?;
    let wait = Instant::now();
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).context("wait for the container")?;
    let waited = wait.elapsed();
    let deleted = program.measure(&["delete", &id])?;
    fs::remove_file(&pid_file).context("remove the pid file")?;
    Ok(sum(&[created, started, deleted], waited))
}
