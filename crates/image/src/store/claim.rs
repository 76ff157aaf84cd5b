//! One layer of an image is brought once, whoever wants it.
//!
//! The file `partial/sha256/<digest>` is both the beginning of the archive and the lock: who brings
//! the layer holds a flock(2) on it, everybody else waits for that, in this process or another.
//! When the archive is whole the file moves to `blobs/`; who waited then sees that the name leads
//! elsewhere, looks again and finds the layer there. When its bringer is killed the lock falls to
//! the next, who goes on from where the file ends.
//!
//! Start reading at [`Transaction::claim_layer`].

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use insula_sys::rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use super::staging::Keep;
use super::transaction::{AddedLayer, Shared, Transaction, wrong_diff_id};
use super::{Store, make_directory};
use crate::config::{Descriptor, LAYER_GZIP_TYPE, LAYER_TYPE, LAYER_ZSTD_TYPE};
use crate::decompress::{Compression, Plain};
use crate::digest::Digest;
use crate::error::{Context, Kind, Result};
use crate::format::{FormName, LAYER_VERSION, LayerRecord};
use crate::layer::{self, Applied, Incoming, Received, parts};
use crate::stream::PieceWriter;
use crate::unpack::Unpacked;

/// What [`Transaction::claim_layer`] found.
#[derive(Debug)]
pub enum Claim {
    /// The layer is here.
    Present(AddedLayer),
    /// The caller must bring it, and nobody else does.
    Missing(PendingLayer),
}

/// A layer that its holder must bring. Dropping it leaves that to the next claimer.
#[derive(Debug)]
pub struct PendingLayer {
    shared: Arc<Shared>,
    descriptor: Descriptor,
    diff_id: Option<Digest>,
    /// The locked file.
    partial: Partial,
    /// The archive, whole or in part.
    archive: Arc<File>,
    here: u64,
    /// The archive is in its place already.
    has_blob: bool,
}

/// The locked beginning of an archive. An empty one goes when it is dropped.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    file: Arc<File>,
}

impl Transaction {
    /// Finds a layer, or gives the caller the task to bring it. Waits while somebody else brings
    /// the same one. Either way it is kept from removal as long as the transaction lasts.
    ///
    /// A thread must receive or drop what it has claimed before it claims more: two that each wait
    /// for the other's would wait for ever. `diff_id` is from the image's configuration; without it
    /// the content is taken as it comes.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn claim_layer(&self, layer: &Descriptor, diff_id: Option<&Digest>) -> Result<Claim> {
        self.shared
            .claim(layer, diff_id)
            .step(|| format!("claim layer {}", layer.digest))
            .inspect_err(|error| self.shared.note(error))
    }
}

impl Shared {
    fn claim(self: &Arc<Self>, layer: &Descriptor, diff_id: Option<&Digest>) -> Result<Claim> {
        if let Some(found) = self.look(layer, diff_id)?.present {
            return Ok(Claim::Present(self.add(found)));
        }
        let partial = Partial::lock(&self.store, &layer.digest)?;
        // Whoever held the lock before may have brought it.
        let looked = self.look(layer, diff_id)?;
        if let Some(found) = looked.present {
            return Ok(Claim::Present(self.add(found)));
        }
        let (archive, here) = match looked.blob {
            Some(blob) => (Arc::new(blob), layer.size),
            None => (Arc::clone(&partial.file), partial.length(layer.size)?),
        };
        Ok(Claim::Missing(PendingLayer {
            shared: Arc::clone(self),
            descriptor: layer.clone(),
            diff_id: diff_id.copied(),
            has_blob: !Arc::ptr_eq(&archive, &partial.file),
            partial,
            archive,
            here,
        }))
    }

    /// The layer, if it is here.
    pub(super) fn present(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<Option<AddedLayer>> {
        let looked = self.look(layer, Some(diff_id))?;
        Ok(looked.present.map(|layer| self.add(layer)))
    }

    /// Looks for a layer, and keeps from now on what there is of it.
    fn look(&self, layer: &Descriptor, diff_id: Option<&Digest>) -> Result<Looked> {
        let lock = self.store.lock_shared()?;
        self.staging.keep(Keep::Archive(layer.digest), &lock)?;
        let blob = File::open(self.store.blob_path(&layer.digest)).ok();
        let is_damaged = self.store.is_damaged(Keep::Archive(layer.digest));
        let blob = blob.filter(|_| !is_damaged).filter(|blob| {
            let length = blob.metadata().map(|metadata| metadata.len());
            length.is_ok_and(|length| length == layer.size)
        });
        let known = diff_id.copied().or_else(|| {
            let catalog = self.store.catalog().ok()?;
            catalog.diff_id_of(&layer.digest)
        });
        let mut present = None;
        if let Some(diff_id) = known {
            self.staging.keep(Keep::Layer(diff_id), &lock)?;
            if blob.is_some() {
                let unpacked = self.store.unpacked(&diff_id);
                present = unpacked.map(|unpacked| AddedLayer {
                    descriptor: layer.clone(),
                    diff_id,
                    unpacked,
                });
            }
        }
        Ok(Looked { blob, present })
    }

    /// Takes a layer of whose archive nothing is known beforehand.
    pub(super) fn add_stream(
        &self,
        stream: Box<dyn Read + Send>,
        diff_id: Option<&Digest>,
    ) -> Result<AddedLayer> {
        let added = self.take_stream(stream, diff_id);
        added.inspect_err(|error| self.note(error))
    }

    fn take_stream(
        &self,
        stream: Box<dyn Read + Send>,
        diff_id: Option<&Digest>,
    ) -> Result<AddedLayer> {
        let (compression, stream) = Compression::detect(stream)?;
        let limits = &self.options.unpack.limits;
        if compression == Compression::None {
            let copy = move |output: &mut PieceWriter| io::copy(&mut { stream }, output).map(drop);
            return self.take_archive(copy, diff_id);
        }
        if !compression.is_of_layers() {
            let ratio = limits.expansion_ratio;
            let mut plain = Plain::new(compression, stream)?;
            let copy = move |output: &mut PieceWriter| output.copy(&mut plain, ratio);
            return self.take_archive(copy, diff_id);
        }
        let (path, spool) = self.spool()?;
        let place = self.place()?;
        let incoming = Incoming {
            stream,
            spool: Arc::new(spool),
            here: 0,
            expected: None,
        };
        let received = layer::transfer(incoming, limits, &|_| {}, &mut |archive| {
            layer::apply(archive, &place, self.form, &self.options.unpack)
        })?;
        let media_type = match compression {
            Compression::Gzip => LAYER_GZIP_TYPE,
            Compression::Zstd => LAYER_ZSTD_TYPE,
            Compression::None | Compression::Xz | Compression::Bzip2 => LAYER_TYPE,
        };
        check_diff_id(received.archive.digest, diff_id)?;
        self.publish(&path, &place, media_type, &received)
    }

    /// Takes an uncompressed archive that `produce` writes.
    pub(super) fn take_archive(
        &self,
        produce: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
        diff_id: Option<&Digest>,
    ) -> Result<AddedLayer> {
        let (path, spool) = self.spool()?;
        let place = self.place()?;
        let limits = &self.options.unpack.limits;
        let received = layer::archive(produce, spool, limits, &mut |archive| {
            layer::apply(archive, &place, self.form, &self.options.unpack)
        })?;
        check_diff_id(received.archive.digest, diff_id)?;
        self.publish(&path, &place, LAYER_ZSTD_TYPE, &received)
    }

    fn spool(&self) -> Result<(PathBuf, File)> {
        let path = self.temporary();
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path);
        file.step(|| format!("make {}", path.display()))
            .map(|file| (path, file))
    }

    /// An empty directory in which a layer is made.
    fn place(&self) -> Result<PathBuf> {
        let path = self.temporary();
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .step(|| format!("make directory {}", path.display()))?;
        Ok(path)
    }

    fn publish(
        &self,
        archive: &Path,
        place: &Path,
        media_type: &str,
        received: &Received<Applied>,
    ) -> Result<AddedLayer> {
        write_record(place, received)?;
        let lock = self.store.lock_shared()?;
        self.staging
            .keep(Keep::Archive(received.blob.digest), &lock)?;
        self.staging
            .keep(Keep::Layer(received.archive.digest), &lock)?;
        self.store.put_layer(place, &received.archive.digest)?;
        self.store.put_blob(archive, &received.blob.digest)?;
        drop(lock);
        Ok(self.add(AddedLayer {
            descriptor: Descriptor::new(media_type, received.blob.digest, received.blob.bytes),
            diff_id: received.archive.digest,
            unpacked: received.made.unpacked,
        }))
    }
}

/// What there is of a layer.
struct Looked {
    blob: Option<File>,
    present: Option<AddedLayer>,
}

impl PendingLayer {
    /// Bytes of the compressed archive that are here already. When that is all of it, the stream
    /// given to [`PendingLayer::receive`] is not read.
    #[must_use]
    pub fn resume_from(&self) -> u64 {
        self.here
    }

    /// Takes the archive from `stream`, which starts at [`PendingLayer::resume_from`], and makes the
    /// layer of it while it comes. Its size and both digests are checked before anybody can see it.
    /// `progress` is told, by this thread, how many compressed bytes are here.
    ///
    /// # Errors
    /// [`Kind::Transfer`] when the stream fails or ends early: what came is kept, and the next claim
    /// resumes there. Otherwise the archive is not what the descriptor says, is malformed, hostile
    /// or over a limit, or the system refuses; nothing of it is left.
    pub fn receive(
        self,
        stream: Box<dyn Read + Send>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<AddedLayer> {
        let digest = self.descriptor.digest;
        self.take(stream, progress)
            .inspect_err(|error| {
                self.shared.note(error);
                let is_worth_keeping = error.kind() == Kind::Transfer && !error.is_storage_full();
                if !is_worth_keeping || !self.shared.options.resumable {
                    self.partial.discard();
                }
            })
            .step(|| format!("layer {digest}"))
    }

    fn take(
        &self,
        stream: Box<dyn Read + Send>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<AddedLayer> {
        let shared = &self.shared;
        let options = &shared.options.unpack;
        let incoming = Incoming {
            stream: match self.here == self.descriptor.size {
                true => Box::new(io::empty()),
                false => stream,
            },
            spool: Arc::clone(&self.archive),
            here: self.here,
            expected: Some((self.descriptor.digest, self.descriptor.size)),
        };
        let present = self.diff_id.and_then(|id| shared.store.unpacked(&id));
        let (unpacked, diff_id) = match present {
            // The same content came in another compression.
            Some(unpacked) => {
                let received = layer::transfer(incoming, &options.limits, progress, &mut drain)?;
                (
                    unpacked,
                    check_diff_id(received.archive.digest, self.diff_id.as_ref())?,
                )
            }
            None => {
                let place = shared.place()?;
                let received =
                    layer::transfer(incoming, &options.limits, progress, &mut |archive| {
                        layer::apply(archive, &place, shared.form, options)
                    })?;
                let diff_id = check_diff_id(received.archive.digest, self.diff_id.as_ref())?;
                write_record(&place, &received)?;
                let lock = shared.store.lock_shared()?;
                shared.staging.keep(Keep::Layer(diff_id), &lock)?;
                shared.store.put_layer(&place, &diff_id)?;
                (received.made.unpacked, diff_id)
            }
        };
        if !self.has_blob {
            let _lock = shared.store.lock_shared()?;
            let digest = &self.descriptor.digest;
            shared.store.put_blob(&self.partial.path, digest)?;
        }
        Ok(shared.add(AddedLayer {
            descriptor: self.descriptor.clone(),
            diff_id,
            unpacked,
        }))
    }
}

fn check_diff_id(found: Digest, wanted: Option<&Digest>) -> Result<Digest> {
    match wanted {
        Some(wanted) if *wanted != found => Err(wrong_diff_id(&found, wanted)),
        _ => Ok(found),
    }
}

fn drain(archive: &mut dyn io::BufRead) -> Result<()> {
    let drained = io::copy(archive, &mut io::sink());
    drained.map(drop).step(|| "read the layer")
}

fn write_record(place: &Path, received: &Received<Applied>) -> Result<()> {
    let record = LayerRecord {
        version: LAYER_VERSION,
        form: received.made.form,
        entries: received.made.unpacked.entries,
        content_bytes: received.made.unpacked.content_bytes,
        archive_bytes: received.archive.bytes,
        skipped: received.made.unpacked.skipped,
        image: received.made.image.clone(),
        check: None,
    };
    let path = place.join(parts::RECORD);
    std::fs::write(&path, record.to_json()).step(|| format!("write {}", path.display()))
}

impl Partial {
    fn lock(store: &Store, digest: &Digest) -> Result<Self> {
        let path = store.partial_path(digest);
        make_directory(path.parent().unwrap_or(&path))?;
        loop {
            let mut options = File::options();
            options.read(true).write(true).create(true).mode(0o600);
            let file = options.truncate(false).open(&path);
            let file = file.step(|| format!("open {}", path.display()))?;
            match flock(&file, FlockOperation::LockExclusive) {
                Err(insula_sys::Errno::INTR) => continue,
                other => other.step(|| format!("lock {}", path.display()))?,
            }
            if leads_to(&path, &file) {
                let file = Arc::new(file);
                return Ok(Self { path, file });
            }
        }
    }

    /// How much of an archive of `size` bytes is here. More than that cannot be its beginning.
    fn length(&self, size: u64) -> Result<u64> {
        let step = || format!("look at {}", self.path.display());
        let length = self.file.metadata().step(step)?.len();
        if length <= size {
            return Ok(length);
        }
        self.file.set_len(0).step(step)?;
        Ok(0)
    }

    fn discard(&self) {
        if leads_to(&self.path, &self.file) {
            // What cannot be removed now goes with the next change.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self
            .file
            .metadata()
            .is_ok_and(|metadata| metadata.len() == 0)
        {
            self.discard();
        }
        // A thread that is stuck in a read still has the file, and must not keep others waiting.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn leads_to(path: &Path, file: &File) -> bool {
    let (Ok(named), Ok(opened)) = (std::fs::symlink_metadata(path), file.metadata()) else {
        return false;
    };
    (named.dev(), named.ino()) == (opened.dev(), opened.ino())
}

impl Store {
    /// What is known of a layer that is in its place; `None` when it is not, or is damaged.
    pub(super) fn unpacked(&self, diff_id: &Digest) -> Option<Unpacked> {
        if self.is_damaged(Keep::Layer(*diff_id)) {
            return None;
        }
        let place = self.layer_path(diff_id);
        let Ok(json) = std::fs::read(place.join(parts::RECORD)) else {
            // Version 1 of the store kept no record.
            let is_old = place.join(parts::DIRECTORY).is_dir();
            return is_old.then(|| self.unpacked_before(diff_id));
        };
        let record = LayerRecord::parse(&json).ok()?;
        let part = match record.form {
            FormName::Directory => parts::DIRECTORY,
            FormName::Erofs => parts::EROFS,
        };
        place.join(part).exists().then_some(Unpacked {
            entries: record.entries,
            content_bytes: record.content_bytes,
            skipped: record.skipped,
        })
    }

    /// The length of a layer's archive without its compression, where it was noted.
    pub(crate) fn archive_bytes(&self, diff_id: &Digest) -> Option<u64> {
        let json = std::fs::read(self.layer_path(diff_id).join(parts::RECORD)).ok()?;
        let record = LayerRecord::parse(&json).ok()?;
        Some(record.archive_bytes)
    }

    /// Version 1 of the store had images of one layer only, and noted the size in the catalogue.
    fn unpacked_before(&self, diff_id: &Digest) -> Unpacked {
        let catalog = self.catalog().unwrap_or_default();
        let mut images = catalog.images.values();
        let image = images
            .find(|image| matches!(image.layers.as_slice(), [layer] if layer.diff_id == *diff_id));
        Unpacked {
            content_bytes: image.map_or(0, |image| image.size_bytes),
            ..Unpacked::default()
        }
    }

    /// Moves a finished layer into its place. The caller holds a lock and keeps the layer.
    fn put_layer(&self, from: &Path, diff_id: &Digest) -> Result<()> {
        let place = self.layer_path(diff_id);
        make_directory(place.parent().unwrap_or(&place))?;
        // Noted by a check, or without its record or its image.
        let is_damaged = self.unpacked(diff_id).is_none();
        let moved = match std::fs::rename(from, &place) {
            // The damaged one goes with the directory in which the new one was made.
            Err(_) if is_damaged && place.is_dir() => {
                renameat_with(CWD, from, CWD, &place, RenameFlags::EXCHANGE).map_err(Into::into)
            }
            // The same content came on another way: one copy serves both.
            Err(_) if place.is_dir() => Ok(()),
            other => other,
        };
        moved.step(|| format!("move the layer to {}", place.display()))?;
        if is_damaged {
            self.forget_damage(Keep::Layer(*diff_id));
        }
        Ok(())
    }

    /// Moves a finished blob into its place. The caller holds a lock and keeps the blob.
    fn put_blob(&self, from: &Path, digest: &Digest) -> Result<()> {
        let place = self.blob_path(digest);
        make_directory(place.parent().unwrap_or(&place))?;
        std::fs::rename(from, &place)
            .step(|| format!("move the archive to {}", place.display()))?;
        self.forget_damage(Keep::Archive(*digest));
        Ok(())
    }
}
