//! Directories of things in the making, each owned by the process that locked its `owner` file.
//!
//! ```text
//!  staging/<id>/owner           locked by who works here
//!               keeps/<what>-<digest>   blobs and layers in their place that nobody may remove
//!                                       yet: the image that needs them is not in the catalogue
//! ```
//!
//! The lock dies with the process, whatever killed it, and no process id can be taken for another.
//! A staging directory is made and adopted only under the store's exclusive lock, so that nobody
//! sees one between its making and its locking. What is kept is written under the shared lock at
//! least, so that who collects under the exclusive one sees either nothing or all of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::rand::{GetRandomFlags, getrandom};

use super::{Store, StoreLock, make_directory};
use crate::digest::Digest;
use crate::error::{Context, Result};

const KEEPS: &str = "keeps";

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    _owner: File,
}

/// What a staging directory keeps from being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// A document below `blobs/`.
    Document(Digest),
    /// The archive of a layer below `blobs/`.
    Archive(Digest),
    /// A layer below `layers/`, by its diff id.
    Layer(Digest),
}

impl Keep {
    pub(super) fn file_name(self) -> String {
        match self {
            Self::Document(digest) => format!("document-{}", digest.hex()),
            Self::Archive(digest) => format!("archive-{}", digest.hex()),
            Self::Layer(diff_id) => format!("layer-{}", diff_id.hex()),
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let (what, hex) = name.split_once('-')?;
        let digest = Digest::from_hex(hex)?;
        match what {
            "document" => Some(Self::Document(digest)),
            "archive" => Some(Self::Archive(digest)),
            "layer" => Some(Self::Layer(digest)),
            _ => None,
        }
    }
}

impl Staging {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves something of the store in here, to be deleted with this.
    pub(super) fn take(&self, victim: &Path) -> Result<()> {
        // Blobs and layers may have the same name.
        let parent = victim.parent().and_then(Path::parent);
        let kind = parent.and_then(Path::file_name).unwrap_or_default();
        let mut name = kind.to_owned();
        name.push("-");
        name.push(victim.file_name().unwrap_or_default());
        match std::fs::rename(victim, self.path.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.step(|| format!("remove {}", victim.display())),
        }
    }

    /// Keeps a blob or a layer in place as long as this directory is owned.
    pub(super) fn keep(&self, what: Keep, _lock: &StoreLock) -> Result<()> {
        let directory = self.path.join(KEEPS);
        let path = directory.join(what.file_name());
        let make = || File::create(&path);
        let made = match make() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_directory(&directory)?;
                make()
            }
            other => other,
        };
        made.map(drop).step(|| format!("make {}", path.display()))
    }

    /// Ends the keeping. What this leaves to nobody is for the caller to collect.
    pub(super) fn let_go(&self) {
        let _ = std::fs::remove_dir_all(self.path.join(KEEPS));
    }

    pub(super) fn keeps(&self) -> BTreeSet<Keep> {
        keeps(&self.path)
    }
}

/// A name that nobody else takes.
pub(super) fn random_name() -> Result<String> {
    let mut random = [0_u8; 8];
    getrandom(&mut random, GetRandomFlags::empty()).step(|| "read random bytes")?;
    Ok(format!("{:016x}", u64::from_ne_bytes(random)))
}

fn keeps(staging: &Path) -> BTreeSet<Keep> {
    let Ok(entries) = std::fs::read_dir(staging.join(KEEPS)) else {
        return BTreeSet::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| Keep::parse(name.to_str()?))
        .collect()
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A failure leaves a directory that the next change removes.
        let _ = super::release::remove_tree(&self.path);
    }
}

/// The staging directories of a store, by whether somebody works there.
#[derive(Debug, Default)]
pub(super) struct Stagings {
    /// Those that killed processes left, adopted: dropping them removes them.
    pub(super) abandoned: Vec<Staging>,
    /// What the living ones keep.
    pub(super) kept: BTreeSet<Keep>,
}

impl Store {
    /// A new staging directory of this process.
    pub(super) fn stage(&self, _exclusive: &StoreLock) -> Result<Staging> {
        let directory = self.directory.join("staging");
        make_directory(&directory)?;
        let path = directory.join(random_name()?);
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

    /// Looks at every staging directory.
    pub(super) fn stagings(&self, _exclusive: &StoreLock) -> Stagings {
        let mut found = Stagings::default();
        let Ok(entries) = std::fs::read_dir(self.directory.join("staging")) else {
            return found;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            match adopt(&path) {
                Some(staging) => found.abandoned.push(staging),
                None => found.kept.extend(keeps(&path)),
            }
        }
        found
    }
}

fn adopt(path: &Path) -> Option<Staging> {
    // Killed between making the directory and its `owner`: still nobody's.
    let owner = File::options()
        .create(true)
        .append(true)
        .open(path.join("owner"))
        .ok()?;
    flock(&owner, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(Staging {
        path: path.to_owned(),
        _owner: owner,
    })
}
