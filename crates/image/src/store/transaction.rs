//! An image comes in piece by piece and becomes visible at once.
//!
//! ```text
//!  begin ──▶ claim_layer ──▶ Present
//!                       └──▶ Missing(PendingLayer) ──▶ receive ─┐   claim.rs, by many threads
//!        ──▶ add_layer, add_blob ───────────────────────────────┴──▶ commit: in the catalogue
//! ```
//!
//! What a transaction added or found is kept from removal until it ends. One that ends without
//! [`Transaction::commit`] leaves nothing but finished archives in `partial/`.
//!
//! Start reading at [`Store::begin`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use insula_sys::rustix::fs::syncfs;

use super::collect::Partials;
use super::staging::{Keep, Staging};
use super::{Store, make_directory, write_atomically};
use crate::config::{Descriptor, ImageConfig, Manifest};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::format::{Catalog, CatalogImage, CatalogLayer, FormName};
use crate::layer::FormChoice;
use crate::reference::Reference;
use crate::tar::write_directory;
use crate::unpack::{UnpackOptions, Unpacked, Whiteouts};

/// More layers than the kernel can join are refused before anything is transferred.
pub const LAYERS_MAX: usize = 500;

/// How a transaction works.
#[derive(Debug, Clone)]
pub struct TransactionOptions {
    /// Limits for archives. Files named `.wh.*` always are whiteouts in the layers of images.
    pub unpack: UnpackOptions,
    /// Wait until the disk has everything. Without it a power failure may lose the image.
    pub sync: bool,
    /// Keep finished archives when the transaction fails, for the next attempt to find.
    pub resumable: bool,
    /// The form of new layers: the best that this host can mount when absent.
    pub form: Option<FormChoice>,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self {
            unpack: UnpackOptions::default(),
            sync: true,
            resumable: true,
            form: None,
        }
    }
}

/// An image on its way in. Its methods may be called from several threads at once.
#[derive(Debug)]
pub struct Transaction {
    pub(super) shared: Arc<Shared>,
}

/// A layer that is in its place.
#[derive(Debug, Clone)]
pub struct AddedLayer {
    /// For the manifest: the archive as it is kept.
    pub descriptor: Descriptor,
    /// For the configuration: the digest of the archive without its compression.
    pub diff_id: Digest,
    pub unpacked: Unpacked,
}

/// An image that is in the catalogue.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The digest of the image configuration: the identifier users see.
    pub id: Digest,
    pub manifest: Digest,
}

/// What all parts of a transaction share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) staging: Staging,
    pub(super) options: TransactionOptions,
    /// Of the layers that come in.
    pub(super) form: FormName,
    added: Mutex<Added>,
    next: AtomicU64,
    is_committed: AtomicBool,
    /// Finished archives go as well: the disk is full.
    discards: AtomicBool,
}

#[derive(Debug, Default)]
struct Added {
    /// By the digest of the archive.
    layers: BTreeMap<Digest, AddedLayer>,
    blobs: BTreeSet<Digest>,
}

impl Store {
    /// Begins to bring an image in, after removing what killed processes left.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn begin(&self) -> Result<Transaction> {
        self.begin_with(TransactionOptions::default())
    }

    /// As [`Store::begin`], with options.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn begin_with(&self, mut options: TransactionOptions) -> Result<Transaction> {
        options.unpack.whiteouts = Whiteouts::Overlay;
        let exclusive = self.lock_exclusive()?;
        let staging = self.stage(&exclusive)?;
        let leftovers = self.leftovers(&exclusive, &staging, Partials::Old)?;
        self.keep_spare(&exclusive);
        drop(exclusive);
        drop(leftovers);
        let choice = options.form.unwrap_or_else(|| self.form_choice());
        let shared = Shared {
            store: self.clone(),
            staging,
            form: match choice {
                FormChoice::ErofsFile | FormChoice::ErofsLoop | FormChoice::ErofsFuse => {
                    FormName::Erofs
                }
                FormChoice::Directory(_) => FormName::Directory,
            },
            options,
            added: Mutex::default(),
            next: AtomicU64::new(0),
            is_committed: AtomicBool::new(false),
            discards: AtomicBool::new(false),
        };
        Ok(Transaction {
            shared: Arc::new(shared),
        })
    }
}

impl Transaction {
    /// Adds a layer from an archive, of which nothing is known beforehand. One compressed with gzip
    /// or zstd is kept as it is; a plain one, or one of xz or bzip2, which layers cannot be, is kept
    /// compressed with zstd.
    ///
    /// # Errors
    /// The archive is malformed, hostile or over a limit, or the system refuses.
    pub fn add_layer(&self, stream: Box<dyn Read + Send>) -> Result<AddedLayer> {
        self.shared.add_stream(stream, None)
    }

    /// As [`Transaction::add_layer`], of an archive whose content is known.
    ///
    /// # Errors
    /// As there, or the content has another digest.
    pub fn add_layer_of(
        &self,
        stream: Box<dyn Read + Send>,
        diff_id: &Digest,
    ) -> Result<AddedLayer> {
        self.shared.add_stream(stream, Some(diff_id))
    }

    /// Finds a layer of some image by its content, and keeps it from removal as if it were claimed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find_layer(&self, diff_id: &Digest) -> Result<Option<AddedLayer>> {
        let store = &self.shared.store;
        let catalog = store.catalog()?;
        for (manifest, image) in &catalog.images {
            let mut layers = image.layers.iter();
            let Some(number) = layers.position(|layer| layer.diff_id == *diff_id) else {
                continue;
            };
            // What is damaged or was removed meanwhile is not found.
            let Ok(manifest) = store.manifest(manifest) else {
                continue;
            };
            let Some(descriptor) = manifest.layers.get(number) else {
                continue;
            };
            if image.layers[number].blob.is_none() {
                continue;
            }
            if let Some(layer) = self.shared.present(descriptor, diff_id)? {
                return Ok(Some(layer));
            }
        }
        Ok(None)
    }

    /// A file that goes with the transaction.
    pub(crate) fn scratch(&self) -> Result<std::fs::File> {
        let path = self.shared.temporary();
        let mut options = std::fs::File::options();
        let file = options.read(true).write(true).create_new(true).open(&path);
        file.step(|| format!("make {}", path.display()))
    }

    /// Adds a layer from a directory, as it is.
    ///
    /// # Errors
    /// The directory cannot be read, or the system refuses.
    pub fn add_directory(&self, directory: &Path) -> Result<AddedLayer> {
        let directory = directory.to_owned();
        let added = self.shared.take_archive(
            move |output| {
                let mut buffered = BufWriter::with_capacity(64 << 10, output);
                write_directory(&directory, &mut buffered)?;
                buffered.flush()
            },
            None,
        );
        added.inspect_err(|error| self.shared.note(error))
    }

    /// Adds a document: a configuration, a manifest, an attestation. The image that is committed
    /// owns it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add_blob(&self, json: &[u8]) -> Result<Digest> {
        let shared = &self.shared;
        let digest = Digest::of(json);
        let temporary = shared.temporary();
        std::fs::write(&temporary, json)
            .step(|| format!("write {}", temporary.display()))
            .inspect_err(|error| shared.note(error))?;
        let lock = shared.store.lock_shared()?;
        shared.staging.keep(Keep::Document(digest), &lock)?;
        let place = shared.store.blob_path(&digest);
        make_directory(place.parent().unwrap_or(&place))?;
        std::fs::rename(&temporary, &place).step(|| format!("write {}", place.display()))?;
        drop(lock);
        shared.added().blobs.insert(digest);
        Ok(digest)
    }

    /// Makes the image visible under its names, which it takes from the images that have them.
    /// Every layer of the manifest must have been claimed or added.
    ///
    /// # Errors
    /// The documents are malformed or contradict each other or the layers, or the disk is full.
    /// Nothing of the image is left then.
    pub fn commit(self, manifest: &[u8], config: &[u8], names: &[Reference]) -> Result<Committed> {
        let shared = &self.shared;
        let (committed, image) = shared.check(manifest, config)?;
        for document in [manifest, config] {
            self.add_blob(document)?;
        }
        if shared.options.sync {
            let file = std::fs::File::open(shared.staging.path());
            let file = file.step(|| "open the staging directory")?;
            syncfs(&file)
                .step(|| "write the image to disk")
                .inspect_err(|error| shared.note(error))?;
        }
        let exclusive = shared.store.lock_exclusive()?;
        let mut catalog = shared.store.catalog()?;
        enter(&mut catalog, &committed, image, names);
        let path = shared.store.directory.join("catalog.json");
        write_atomically(&path, &catalog.to_json()).inspect_err(|error| shared.note(error))?;
        shared.is_committed.store(true, Ordering::Release);
        drop(exclusive);
        Ok(committed)
    }
}

/// Puts an image into the catalogue, or its new names and documents when it is there.
fn enter(catalog: &mut Catalog, new: &Committed, mut image: CatalogImage, names: &[Reference]) {
    if let Some(old) = catalog.images.get(&new.manifest) {
        image.blobs.extend(&old.blobs);
        image.digests.extend(&old.digests);
    }
    for name in names {
        image.digests.extend(name.digest().copied());
        catalog.references.insert(name.kept(), new.manifest);
    }
    image.digests.remove(&new.manifest);
    catalog.images.insert(new.manifest, image);
}

impl Shared {
    fn added(&self) -> MutexGuard<'_, Added> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, layer: AddedLayer) -> AddedLayer {
        let mut added = self.added();
        added.layers.insert(layer.descriptor.digest, layer.clone());
        layer
    }

    /// A path in the staging directory that nobody else takes.
    pub(super) fn temporary(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.staging.path().join(format!("new-{number}"))
    }

    /// A full disk gets everything back, also what a next attempt could have used.
    pub(super) fn note(&self, error: &Error) {
        if error.is_storage_full() {
            self.discards.store(true, Ordering::Release);
        }
    }

    /// Holds the documents against each other and against the layers that were added.
    fn check(&self, manifest: &[u8], config: &[u8]) -> Result<(Committed, CatalogImage)> {
        let committed = Committed {
            id: Digest::of(config),
            manifest: Digest::of(manifest),
        };
        let manifest: Manifest = parse(manifest, "manifest")?;
        let config: ImageConfig = parse(config, "image configuration")?;
        let diff_ids = &config.rootfs.diff_ids;
        if manifest.config.digest != committed.id {
            return Err(Error::invalid(format!(
                "the manifest names the image configuration {}, but that has {}",
                manifest.config.digest, committed.id
            )));
        }
        check_layer_counts(&manifest, &config)?;
        let added = self.added();
        let mut layers = Vec::with_capacity(diff_ids.len());
        let mut size_bytes = 0_u64;
        for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let layer = added.layers.get(&descriptor.digest).ok_or_else(|| {
                Error::invalid(format!("layer {} was not brought", descriptor.digest))
            })?;
            if layer.diff_id != *diff_id {
                return Err(wrong_diff_id(&layer.diff_id, diff_id));
            }
            size_bytes = size_bytes.saturating_add(layer.unpacked.content_bytes);
            layers.push(CatalogLayer {
                diff_id: *diff_id,
                blob: Some(descriptor.digest),
            });
        }
        let image = CatalogImage {
            config: committed.id,
            layers,
            size_bytes,
            created: created(&config),
            blobs: added.blobs.clone(),
            digests: BTreeSet::new(),
        };
        Ok((committed, image))
    }
}

/// # Errors
/// The manifest and the configuration have different numbers of layers, or too many.
pub(crate) fn check_layer_counts(manifest: &Manifest, config: &ImageConfig) -> Result<()> {
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(Error::invalid(format!(
            "the manifest has {layers} layers and the image configuration {diff_ids}"
        )));
    }
    if layers > LAYERS_MAX {
        return Err(Error::invalid(format!(
            "the image has {layers} layers, the limit is {LAYERS_MAX}"
        )));
    }
    Ok(())
}

pub(super) fn wrong_diff_id(found: &Digest, wanted: &Digest) -> Error {
    Error::invalid(format!(
        "the layer's content is not what the image configuration says: {found} came instead of \
         {wanted}"
    ))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(json: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("the {what} is malformed: {error}")))
}

/// The time of the image. What is no time, or absent, is the beginning of 1970: it is shown to
/// people and must not steer their terminals.
fn created(config: &ImageConfig) -> String {
    let is_time = |text: &&str| {
        let is_of_time = |byte: u8| byte.is_ascii_digit() || b"-:.TZ+".contains(&byte);
        (20..=40).contains(&text.len()) && text.bytes().all(is_of_time)
    };
    let given = config.created.as_deref().filter(is_time);
    given.unwrap_or("1970-01-01T00:00:00Z").to_owned()
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.is_committed.load(Ordering::Acquire) {
            return;
        }
        let mut keeps = self.staging.keeps();
        if self.discards.load(Ordering::Acquire) || !self.options.resumable {
            keeps.retain(|keep| !matches!(keep, Keep::Archive(_)));
        }
        // Whatever fails here is found by the next change.
        let Ok(exclusive) = self.store.lock_exclusive() else {
            return;
        };
        self.staging.let_go();
        let leftovers = self.store.leftovers_of(&exclusive, &self.staging, &keeps);
        drop(exclusive);
        drop(leftovers);
    }
}
