//! The processes of a cgroup: listing, moving in, killing.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;

use insula_sys::Errno;
use insula_sys::rustix::fs::{FileType, OFlags, RawDir};
use insula_sys::rustix::process::Signal;

use super::directory::Directory;
use super::location::Cgroup;
use crate::error::{Context, Result};

/// How often the list is read again for processes that were forked while it was killed.
const KILL_ROUNDS: usize = 100;

impl Cgroup {
    /// The processes in the cgroup and everything below it.
    ///
    /// # Errors
    /// When a list cannot be read. A cgroup that is gone has no processes.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut found = BTreeSet::new();
        if let Some(directory) = self.any_directory() {
            for directory in subtree(&directory)? {
                processes_in(&directory, &mut found)?;
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Moves a process, with all its threads, into the cgroup.
    ///
    /// # Errors
    /// When the process or a directory is gone, or the kernel refuses (a realtime process, for
    /// example, in a cpu cgroup without realtime runtime).
    pub fn attach(&self, pid: i32) -> Result<()> {
        let pid = pid.to_string();
        self.directories()
            .try_for_each(|(_, directory)| directory.write("cgroup.procs", &pid))
    }

    /// Signals every process. `SIGKILL` reaches also those that fork meanwhile or are frozen.
    ///
    /// # Errors
    /// When the processes cannot be listed or may not be signalled.
    pub fn kill(&self, signal: i32) -> Result<()> {
        if signal != Signal::KILL.as_raw() {
            return self.signal_all(signal).map(drop);
        }
        if let Some(directory) = self.unified()
            // Kernel 5.14; it takes the whole subtree at once.
            && directory.try_write("cgroup.kill", "1").is_ok()
        {
            return self.thaw_v1();
        }
        for _ in 0..KILL_ROUNDS {
            if let Some(directory) = self.controller("freezer") {
                // Who is frozen does not fork; where it fails, more rounds do.
                let _ = directory.try_write("freezer.state", "FROZEN");
            }
            let hit = self.signal_all(signal)?;
            self.thaw_v1()?;
            if !hit {
                break;
            }
        }
        Ok(())
    }

    /// Whether there was a process that is not yet dead.
    fn signal_all(&self, signal: i32) -> Result<bool> {
        let mut hit = false;
        for pid in self.processes()? {
            // Zero stands for a process outside of our pid namespace.
            if pid <= 0 {
                continue;
            }
            match insula_sys::process::kill(pid, signal) {
                Ok(()) => hit = true,
                Err(Errno::SRCH) => {}
                other => other.step(|| format!("signal process {pid} of the container"))?,
            }
        }
        Ok(hit)
    }
}

fn processes_in(directory: &Directory<'_>, found: &mut BTreeSet<i32>) -> Result<()> {
    let text = match directory.try_read("cgroup.procs") {
        Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        // A threaded cgroup (version 2) lists its processes only at its top.
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other.step(|| format!("read cgroup.procs of cgroup {}", directory.path()))?,
    };
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    Ok(())
}

/// The directory and all below it, parents first. What vanishes meanwhile is left out.
pub(super) fn subtree<'a>(directory: &Directory<'a>) -> Result<Vec<Directory<'a>>> {
    let mut all = vec![directory.clone()];
    let mut next = 0;
    while let Some(directory) = all.get(next) {
        let names = match directories_in(directory) {
            Err(Errno::NOENT | Errno::NODEV) => Vec::new(),
            other => other.step(|| format!("list cgroup {}", directory.path()))?,
        };
        let children: Vec<_> = names.iter().map(|name| directory.child(name)).collect();
        all.extend(children);
        next += 1;
    }
    Ok(all)
}

fn directories_in(directory: &Directory<'_>) -> insula_sys::Result<Vec<String>> {
    let fd = directory.open_itself(OFlags::RDONLY)?;
    let mut names = Vec::new();
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 4096];
    let mut entries = RawDir::new(&fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if entry.file_type() == FileType::Directory
            && let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
