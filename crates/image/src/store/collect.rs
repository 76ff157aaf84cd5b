//! What belongs to nobody is found and deleted.
//!
//! A blob or layer belongs to the images of the catalogue that name it, to the records of the
//! build cache, and to the living staging directories that keep it. The archive of a layer that
//! a killed or failed transfer had finished goes back to `partial/`, so that the next attempt
//! need not transfer it again; what lies there unclaimed for a week goes as well.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use insula_sys::rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::staging::{Keep, Staging};
use super::{Store, StoreLock, make_directory};
use crate::digest::Digest;
use crate::error::Result;
use crate::format::Catalog;

/// How long the beginning of a transfer waits for its continuation.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Things on their way out: deleted when dropped, preferably without the lock.
#[derive(Debug)]
pub(super) struct Leftovers {
    pub(super) staged: Vec<Staging>,
    pub(super) orphans: usize,
    pub(super) partials: usize,
}

/// Which beginnings of transfers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partials {
    Old,
    All,
}

/// Digests that somebody needs.
#[derive(Debug, Default)]
struct Needed {
    layers: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
}

impl Needed {
    fn of(catalog: &Catalog, kept: &BTreeSet<Keep>) -> Self {
        let mut needed = Self::default();
        for (manifest, image) in &catalog.images {
            needed.blobs.extend([*manifest, image.config]);
            needed.blobs.extend(&image.blobs);
            for layer in &image.layers {
                needed.layers.insert(layer.diff_id);
                needed.blobs.extend(layer.blob);
            }
        }
        for keep in kept {
            match *keep {
                Keep::Document(digest) | Keep::Archive(digest) => needed.blobs.insert(digest),
                Keep::Layer(diff_id) => needed.layers.insert(diff_id),
            };
        }
        needed
    }
}

impl Store {
    /// Gathers what belongs to nobody: staging directories of killed processes, and layers and
    /// blobs that nobody needs, which move into `staging`.
    pub(super) fn leftovers(
        &self,
        exclusive: &StoreLock,
        staging: &Staging,
        partials: Partials,
    ) -> Result<Leftovers> {
        let mut leftovers = self.leftovers_of(exclusive, staging, &BTreeSet::new())?;
        leftovers.partials = self.old_partials(partials) + self.clear_mounts();
        Ok(leftovers)
    }

    /// As [`Store::leftovers`], after somebody gave up what they kept. Beginnings of transfers stay.
    pub(super) fn leftovers_of(
        &self,
        exclusive: &StoreLock,
        staging: &Staging,
        given_up: &BTreeSet<Keep>,
    ) -> Result<Leftovers> {
        let catalog = self.catalog()?;
        let stagings = self.stagings(exclusive);
        let mut needed = Needed::of(&catalog, &stagings.kept);
        for layer in self.build_cache().layers() {
            needed.layers.insert(layer.diff_id);
            needed.blobs.insert(layer.descriptor.digest);
        }
        self.rescue(given_up, &needed.blobs);
        for abandoned in &stagings.abandoned {
            self.rescue(&abandoned.keeps(), &needed.blobs);
        }
        self.forget_removed(&needed.layers, &needed.blobs);
        let mut orphans = self.orphans("layers/sha256", &needed.layers);
        orphans.extend(self.orphans("blobs/sha256", &needed.blobs));
        for orphan in &orphans {
            staging.take(orphan)?;
        }
        Ok(Leftovers {
            staged: stagings.abandoned,
            orphans: orphans.len(),
            partials: 0,
        })
    }

    /// Moves finished archives of an unfinished image to where the next attempt looks for them.
    fn rescue(&self, keeps: &BTreeSet<Keep>, needed: &BTreeSet<Digest>) {
        let archives = keeps.iter().filter_map(|keep| match keep {
            Keep::Archive(digest) if !needed.contains(digest) => Some(digest),
            _ => None,
        });
        for digest in archives {
            let partial = self.partial_path(digest);
            if make_directory(partial.parent().unwrap_or(&partial)).is_ok() {
                // There may be nothing yet, or a new beginning: both are as good.
                let _ = renameat_with(
                    CWD,
                    self.blob_path(digest),
                    CWD,
                    &partial,
                    RenameFlags::NOREPLACE,
                );
            }
        }
    }

    fn orphans(&self, directory: &str, needed: &BTreeSet<Digest>) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.directory.join(directory)) else {
            return Vec::new();
        };
        let is_needed = |name: &std::ffi::OsStr| {
            let digest = name.to_str().and_then(Digest::from_hex);
            digest.is_some_and(|digest| needed.contains(&digest))
        };
        let entries = entries.flatten();
        let orphans = entries.filter(|entry| !is_needed(&entry.file_name()));
        orphans.map(|entry| entry.path()).collect()
    }

    fn old_partials(&self, which: Partials) -> usize {
        let Ok(entries) = std::fs::read_dir(self.directory.join("partial/sha256")) else {
            return 0;
        };
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| remove_partial(path, which)).count()
    }
}

/// Removes the beginning of a transfer unless somebody goes on with it.
fn remove_partial(path: &Path, which: Partials) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let age = modified
        .ok()
        .and_then(|modified| SystemTime::now().duration_since(modified).ok());
    let is_old = which == Partials::All || age.is_some_and(|age| age > PARTIAL_AGE_MAX);
    // Its claimer holds the lock, and looks whether the name still leads to what it locked.
    is_old
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        && std::fs::remove_file(path).is_ok()
}
