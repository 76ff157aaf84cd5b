//! Directories of things in the making, each owned by the process that locked its `owner` file.
//!
//! The lock dies with the process, whatever killed it, and no process id can be taken for another.
//! A staging directory is made and adopted only under the store's exclusive lock, so that nobody
//! sees one between its making and its locking.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::rand::{GetRandomFlags, getrandom};

use super::{Store, StoreLock, make_directory};
use crate::error::{Context, Result};

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    _owner: File,
}

impl Staging {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves something of the store in here, to be deleted with this.
    pub(super) fn take(&self, victim: &Path) -> Result<()> {
        let name = victim.file_name().unwrap_or_default();
        match std::fs::rename(victim, self.path.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.step(|| format!("remove {}", victim.display())),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A failure leaves a directory that the next change removes.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Store {
    /// A new staging directory of this process.
    pub(super) fn stage(&self, _exclusive: &StoreLock) -> Result<Staging> {
        let mut random = [0_u8; 8];
        getrandom(&mut random, GetRandomFlags::empty()).step(|| "read random bytes")?;
        let directory = self.directory.join("staging");
        make_directory(&directory)?;
        let path = directory.join(format!("{:016x}", u64::from_ne_bytes(random)));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .step(|| format!("make directory {}", path.display()))?;
        let owner = path.join("owner");
        let file = File::create(&owner).step(|| format!("make {}", owner.display()))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .step(|| format!("lock {}", owner.display()))?;
        Ok(Staging { path, _owner: file })
    }

    /// The staging directories that killed processes left, adopted: dropping them removes them.
    pub(super) fn abandoned(&self, _exclusive: &StoreLock) -> Vec<Staging> {
        let Ok(entries) = std::fs::read_dir(self.directory.join("staging")) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter_map(adopt).collect()
    }
}

fn adopt(path: PathBuf) -> Option<Staging> {
    // Killed between making the directory and its `owner`: still nobody's.
    let owner = File::options()
        .create(true)
        .append(true)
        .open(path.join("owner"))
        .ok()?;
    flock(&owner, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(Staging {
        path,
        _owner: owner,
    })
}
