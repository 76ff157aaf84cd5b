//! What [`Store::verify`](super::Store::verify) found damaged is noted, so that whoever brings the
//! image the next time brings that part anew instead of taking it for present.
//!
//! A note is an empty file `damaged/<what>-<digest>`. It goes when the part is replaced, found
//! whole again, or removed. Containers that run keep the files they have open; a new layer takes
//! the place of the old one by an exchange of names.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use super::staging::Keep;
use super::{Store, make_directory};
use crate::digest::Digest;

const NOTES: &str = "damaged";

impl Store {
    fn note(&self, what: Keep) -> PathBuf {
        self.directory.join(NOTES).join(what.file_name())
    }

    /// From now on a part counts as missing for who brings it. Where the store cannot be written,
    /// the finding is still told.
    pub(super) fn note_damage(&self, what: Keep) {
        if make_directory(&self.directory.join(NOTES)).is_ok() {
            // Nobody depends on it: the next check finds the same.
            let _ = File::create(self.note(what));
        }
    }

    pub(super) fn forget_damage(&self, what: Keep) {
        // There is none nearly always.
        let _ = std::fs::remove_file(self.note(what));
    }

    pub(super) fn is_damaged(&self, what: Keep) -> bool {
        self.note(what).exists()
    }

    /// Takes away the notes of parts that nobody needs any more.
    pub(super) fn forget_removed(&self, layers: &BTreeSet<Digest>, blobs: &BTreeSet<Digest>) {
        let Ok(entries) = std::fs::read_dir(self.directory.join(NOTES)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_needed = match name.to_str().and_then(Keep::parse) {
                Some(Keep::Layer(digest)) => layers.contains(&digest),
                Some(Keep::Archive(digest) | Keep::Document(digest)) => blobs.contains(&digest),
                None => false,
            };
            if !is_needed {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}
