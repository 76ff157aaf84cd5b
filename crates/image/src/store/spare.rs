//! Room on the disk that is kept for removing things.
//!
//! Who has filled the disk removes an image, and that writes: a new catalogue, a directory for what
//! goes. So a file that nobody reads takes the place of these writes, and is given up for them.

use std::fs::File;
use std::io::Write;

use super::{Store, StoreLock};
use crate::error::Result;

/// Beside as much as the catalogue has.
const SPARE_BYTES: usize = 64 << 10;

impl Store {
    fn spare(&self) -> std::path::PathBuf {
        self.directory.join("spare")
    }

    /// Takes the room, where there is some.
    pub(super) fn keep_spare(&self, _exclusive: &StoreLock) {
        let path = self.spare();
        if path.exists() {
            return;
        }
        let catalog = self.directory.join("catalog.json").metadata();
        let catalog_bytes = catalog.map_or(0, |catalog| catalog.len());
        let bytes = usize::try_from(catalog_bytes).unwrap_or(0) + SPARE_BYTES;
        let written = File::create(&path).and_then(|mut file| file.write_all(&vec![1; bytes]));
        if written.is_err() {
            // A full disk now is no reason to fail: what is to be done may need nothing.
            let _ = std::fs::remove_file(&path);
        }
    }

    /// Takes it again after something was removed.
    pub(super) fn restore_spare(&self) {
        if !self.spare().exists()
            && let Ok(exclusive) = self.lock_exclusive()
        {
            self.keep_spare(&exclusive);
        }
    }

    /// Makes a change that makes room, with the spare room if it needs that. It is tried a second
    /// time then.
    pub(super) fn with_spare<T>(&self, change: impl Fn() -> Result<T>) -> Result<T> {
        match change() {
            Err(error) if error.is_storage_full() && std::fs::remove_file(self.spare()).is_ok() => {
                change()
            }
            other => other,
        }
    }
}
