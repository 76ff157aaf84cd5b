//! From changed bytes of a layer to the files they belong to.
//!
//! Checksums only say which MiB has changed. But a layer is made of its archive, and the same
//! archive gives the same bytes: so the layer is made once more, in a file without a name, and
//! compared. That names each changed byte's file, also where the metadata itself has changed.
//! Where the archive is damaged as well, or the layer was made by an insula that placed things
//! differently, everything in the changed MiB is named instead. Start at [`Store::trace`].

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use insula_sys::rustix::fs::{Mode, OFlags, open};

use super::Store;
use crate::decompress::Plain;
use crate::digest::Digest;
use crate::erofs::{Located, PIECE_BYTES, Reader, Written, write_layer};
use crate::error::{Context, Error, Result};
use crate::format::ImageRecord;
use crate::unpack::{UnpackOptions, Whiteouts};

/// Runs of changed bytes of one layer that are kept apart; what comes after them is one run.
const RUNS_MAX: usize = 4096;
const INPUT_BUFFER_BYTES: usize = 256 << 10;

/// What has changed in a layer.
pub(super) enum Traced {
    /// What each place is, and its first changed byte.
    Exact(Vec<(Located, u64)>),
    /// What is in the changed pieces, not all of which has changed.
    Among(Vec<(Located, u64)>),
    /// The bytes are what they were: the record has changed.
    Record,
}

/// A layer that is damaged.
pub(super) struct Suspect<'a> {
    pub(super) image: &'a File,
    pub(super) record: &'a ImageRecord,
    /// Pieces with another checksum than the record has, in order.
    pub(super) wrong: &'a [Range<u64>],
}

impl Store {
    /// Finds out what has changed. `archive` is the layer's, when it is whole.
    ///
    /// # Errors
    /// The damaged layer cannot be read at all, and could not be made again.
    pub(super) fn trace(&self, suspect: &Suspect<'_>, archive: Option<&Digest>) -> Result<Traced> {
        if let Some(archive) = archive
            && let Ok((original, written)) = self.make_again(archive)
            && is_comparable(&written, suspect)
        {
            let runs = changed_runs(&original, suspect)?;
            if runs.is_empty() {
                return Ok(Traced::Record);
            }
            return Ok(Traced::Exact(Reader::open(original)?.locate_all(&runs)));
        }
        let image = suspect.image.try_clone().step(|| "open the layer")?;
        let reader = Reader::open(image)?;
        Ok(Traced::Among(reader.locate_all(suspect.wrong)))
    }

    /// Makes a layer of its archive, in a file that goes when it is closed.
    fn make_again(&self, archive: &Digest) -> Result<(File, Written)> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = open(&self.directory, flags, Mode::RUSR | Mode::WUSR)
            .step(|| "make a file in the store")?;
        let file = File::from(file);
        let options = UnpackOptions {
            whiteouts: Whiteouts::Overlay,
            ..UnpackOptions::default()
        };
        let plain = Plain::detect(Box::new(self.open_blob(archive)?))?;
        let plain = BufReader::with_capacity(INPUT_BUFFER_BYTES, plain);
        let written = write_layer(plain, &file, &options)?;
        Ok((file, written))
    }
}

/// Whether two layers were written alike: where nothing has changed they agree.
fn is_comparable(written: &Written, suspect: &Suspect<'_>) -> bool {
    let record = suspect.record;
    if written.image_bytes != record.bytes || written.checksums.len() != record.checksums.len() {
        return false;
    }
    let pairs = written.checksums.iter().zip(&record.checksums);
    let mut pairs = (0_u64..).zip(pairs);
    pairs.all(|(number, (again, recorded))| {
        let is_wrong = |piece: &Range<u64>| piece.start == number * PIECE_BYTES;
        again == recorded || suspect.wrong.iter().any(is_wrong)
    })
}

/// Where the two differ, within the wrong pieces.
fn changed_runs(original: &File, suspect: &Suspect<'_>) -> Result<Vec<Range<u64>>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for piece in suspect.wrong {
        let length = usize::try_from(piece.end - piece.start).map_err(|_too_large| {
            Error::invalid("a piece of the layer is larger than the memory")
        })?;
        let (mut before, mut now) = (vec![0; length], vec![0; length]);
        original
            .read_exact_at(&mut before, piece.start)
            .step(|| "read the layer that was made again")?;
        if suspect.image.read_exact_at(&mut now, piece.start).is_err() {
            // A sector that cannot be read: all of the piece is lost.
            runs.push(piece.clone());
            continue;
        }
        for (offset, _) in (0_u64..)
            .zip(before.iter().zip(&now))
            .filter(|(_, (before, now))| before != now)
        {
            let at = piece.start + offset;
            let is_full = runs.len() == RUNS_MAX;
            match runs.last_mut() {
                Some(last) if last.end == at || is_full => last.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
    }
    Ok(runs)
}
