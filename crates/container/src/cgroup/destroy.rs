//! Removes the directories of a container.
//!
//! Usually one `rmdir` per hierarchy. Where the kernel says EBUSY there are processes or
//! directories left inside: the processes are killed, the directories removed from the deepest up,
//! until it works or time is over.

use insula_sys::Errno;
use insula_sys::rustix::process::Signal;

use super::freezer;
use super::location::{Cgroup, Hierarchy, Location};
use super::processes;
use super::systemd::{self, Bus};
use crate::error::{Context, Error, Result};

/// With the pause of [`freezer::pause`] between them, some five seconds.
const ATTEMPTS: usize = 500;

impl Location {
    /// Removes the cgroup with everything in it. What is gone already is fine.
    ///
    /// # Errors
    /// When a process in it cannot be killed, or a directory not be removed.
    pub fn destroy(&self) -> Result<()> {
        let cgroup = match self.open() {
            Ok(cgroup) => cgroup,
            Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Some(unit) = &self.unit {
            // Else systemd would wait long for processes that ignore SIGTERM.
            cgroup.kill(Signal::KILL.as_raw())?;
            systemd::stop(&mut Bus::connect(self.rootless)?, unit)?;
        }
        let mut left = Vec::new();
        for (hierarchy, directory) in cgroup.directories() {
            match directory.remove() {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::BUSY | Errno::NOTEMPTY) => left.push(hierarchy),
                // Rootless, or mounted read-only: then it is not ours.
                Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) if self.rootless => {}
                other => other.step(|| format!("remove cgroup {}", directory.path()))?,
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            cgroup.empty_and_remove(&left)
        }
    }
}

impl Cgroup {
    fn empty_and_remove(&self, left: &[&Hierarchy]) -> Result<()> {
        for attempt in 0..ATTEMPTS {
            self.kill(Signal::KILL.as_raw())?;
            let mut busy = false;
            for hierarchy in left {
                busy |= !self.remove_subtree(hierarchy)?;
            }
            if !busy {
                return Ok(());
            }
            // The first pass often finds processes that only have to be taken down.
            if attempt > 0 {
                freezer::pause(&mut []).step(|| "wait for processes to die")?;
            }
        }
        Err(
            Error::new(format!("cgroup /{} stays in use", self.location.path))
                .hint("a process in it cannot be killed, see state D in ps"),
        )
    }

    /// Whether the directory is gone.
    fn remove_subtree(&self, hierarchy: &Hierarchy) -> Result<bool> {
        let Some(directory) = self.directory_in(hierarchy) else {
            return Ok(true);
        };
        for directory in processes::subtree(&directory)?.iter().rev() {
            match directory.remove() {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::BUSY | Errno::NOTEMPTY) => return Ok(false),
                other => other.step(|| format!("remove cgroup {}", directory.path()))?,
            }
        }
        Ok(true)
    }
}
