//! What steps of builds made before, so that they need not be done again.
//!
//! ```text
//!  <root>/images/builds/sha256/<key>     a record (format.rs) for each step
//!                       contexts/<name>  digests of files, kept by who builds
//!                       mounts/<name>    directories of RUN --mount=type=cache
//! ```
//!
//! A record keeps its layer from being collected. It goes with `image prune` when nobody has
//! used it for a week, and with `image prune --all` at once; then its layer goes, too, unless an
//! image has it. Records are written beside their place and renamed; a torn one after a power
//! failure is no record.

mod format;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use insula_sys::rustix::fs::{FlockOperation, flock};

use crate::digest::Digest;
use crate::error::{Context, Result};

pub use format::{CachedLayer, CachedStep};

/// A record that was not used for so long goes with the next `image prune`.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Use is noted in the record's time, but not more often than this.
const TOUCH_AGE: Duration = Duration::from_secs(3600);

/// The records of steps below a store.
#[derive(Debug, Clone)]
pub struct BuildCache {
    directory: PathBuf,
}

impl BuildCache {
    /// The cache of the store whose images are in `images`.
    pub(crate) fn new(images: &Path) -> Self {
        Self {
            directory: images.join("builds"),
        }
    }

    /// Where a builder may keep digests of a context's files: they are removed as records are.
    #[must_use]
    pub fn context_path(&self, name: &Digest) -> PathBuf {
        self.directory.join("contexts").join(name.hex())
    }

    /// Where a builder keeps the directory of a cache mount: it is removed as records are.
    #[must_use]
    pub fn mount_path(&self, name: &Digest) -> PathBuf {
        self.directory.join("mounts").join(name.hex())
    }

    /// What the step with this key made.
    #[must_use]
    pub fn get(&self, key: &Digest) -> Option<CachedStep> {
        let path = self.record_path(key);
        let step = CachedStep::parse(&std::fs::read(&path).ok()?)?;
        touch(&path);
        Some(step)
    }

    /// Remembers what a step made. Its layer must be kept by a transaction meanwhile.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn put(&self, key: &Digest, step: &CachedStep) -> Result<()> {
        write(&self.record_path(key), &step.to_json())
    }

    /// Writes a file of [`BuildCache::context_path`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_context(&self, name: &Digest, content: &[u8]) -> Result<()> {
        write(&self.context_path(name), content)
    }

    fn record_path(&self, key: &Digest) -> PathBuf {
        self.directory.join("sha256").join(key.hex())
    }

    /// The layers that records name. The caller holds the store's lock.
    pub(crate) fn layers(&self) -> Vec<CachedLayer> {
        let records = entries(&self.directory.join("sha256"));
        let parsed = records.filter_map(|path| CachedStep::parse(&std::fs::read(path).ok()?));
        parsed.filter_map(|step| step.layer).collect()
    }

    /// Removes what was not used for `age`, and gives the number of records. The caller holds the
    /// store's exclusive lock.
    pub(crate) fn prune(&self, age: Duration) -> usize {
        let is_old = |path: &PathBuf| {
            let modified = path
                .symlink_metadata()
                .and_then(|metadata| metadata.modified());
            let since = modified
                .ok()
                .and_then(|at| SystemTime::now().duration_since(at).ok());
            // A time in the future is a clock that was put back.
            since.is_none_or(|since| since >= age)
        };
        // What cannot be removed stays for the next time.
        let remove = |path: &PathBuf| std::fs::remove_file(path).is_ok();
        for path in entries(&self.directory.join("contexts")).filter(is_old) {
            remove(&path);
        }
        for path in entries(&self.directory.join("mounts")).filter(is_old) {
            // Who uses one holds it locked.
            let opened = File::open(&path);
            if opened.is_ok_and(|it| flock(&it, FlockOperation::NonBlockingLockExclusive).is_ok()) {
                let _ = std::fs::remove_dir_all(path);
            }
        }
        let records = entries(&self.directory.join("sha256"));
        records.filter(is_old).filter(remove).count()
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

fn touch(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let now = SystemTime::now();
    let age = modified.ok().and_then(|at| now.duration_since(at).ok());
    if age.is_none_or(|age| age > TOUCH_AGE) {
        // Only the owner may: then somebody else's store is used, who prunes as they like.
        let _ = file.set_modified(now);
    }
}

/// Beside the place first: who reads sees all or nothing.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let step = || format!("write {}", path.display());
    let directory = path.parent().unwrap_or(path);
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let attempt = || {
        std::fs::write(&temporary, content)?;
        std::fs::rename(&temporary, path)
    };
    let written = match attempt() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            crate::store::make_directory(directory)?;
            attempt()
        }
        other => other,
    };
    written
        .inspect_err(|_| {
            // What is left of a full disk is not worth a second error.
            let _ = std::fs::remove_file(&temporary);
        })
        .step(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_until_they_are_old() {
        let directory = tempfile::tempdir().unwrap();
        let cache = BuildCache::new(directory.path());
        let key = Digest::of(b"key");
        assert_eq!(cache.get(&key), None);
        let step = CachedStep::new("2026-11-20T21:00:00Z".to_owned(), None);
        cache.put(&key, &step).unwrap();
        assert_eq!(cache.get(&key), Some(step.clone()));
        assert_eq!(cache.prune(AGE_MAX), 0);
        let path = cache.record_path(&key);
        let old = SystemTime::now() - AGE_MAX * 2;
        File::open(&path).unwrap().set_modified(old).unwrap();
        // Use makes it young again.
        assert_eq!(cache.get(&key), Some(step));
        assert_eq!(cache.prune(AGE_MAX), 0);
        File::open(&path).unwrap().set_modified(old).unwrap();
        assert_eq!(cache.prune(AGE_MAX), 1);
        assert_eq!(cache.get(&key), None);
    }
}
