//! The images of this host, below one directory.
//!
//! ```text
//!  <root>/images/
//!    catalog.json               every image and every name (format.rs), replaced by rename
//!    lock                       flock: exclusive to remove, shared to keep anything from going
//!    blobs/sha256/<digest>      manifests, configurations and the layers' archives, as they came
//!    layers/sha256/<diff id>/   the layers, ready to be mounted, with a record (format.rs)
//!    damaged/                   notes of what `image verify` found damaged (damage.rs)
//!    partial/sha256/<digest>    beginnings of archives, locked by who brings the rest (claim.rs)
//!    spare                      room that removing may take when there is no other (spare.rs)
//!    builds/                    what steps of builds made before (build_cache/)
//!    staging/<id>/              what is being made or deleted; `owner` is locked by who does it
//! ```
//!
//! Who reads takes no lock: the catalogue is whole at any moment. Who changes something holds
//! `lock` only while names move, never while an archive is unpacked or a tree deleted. What a
//! killed process left is recognised by a staging directory whose `owner` nobody holds, and by
//! layers and blobs that no catalogue names and nobody alive keeps; the next change removes both.
//!
//! Start reading at [`Store::resolve`] and `transaction.rs`.

mod claim;
mod collect;
mod create;
mod damage;
mod import;
mod mount;
mod release;
mod remove;
mod spare;
mod staging;
mod trace;
mod transaction;
mod usage;
mod verify;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{FlockOperation, flock};

use crate::config::{ImageConfig, Manifest};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::format::{Catalog, CatalogImage};
use crate::layer::{FormChoice, Layer, LayerForm, choose, parts};
use crate::reference::Reference;

pub use claim::{Claim, PendingLayer};
pub use import::{ImportOptions, Imported, Source};
pub use mount::MountedImage;
pub use remove::{PruneScope, Pruned, Removed};
pub use transaction::{AddedLayer, Committed, LAYERS_MAX, Transaction, TransactionOptions};
pub(crate) use transaction::{check_layer_counts, parse};
pub use usage::{Usage, disk_bytes};
pub use verify::{Damage, DamagedPart, Verified};

/// Fewer digits of an identifier are a name, not a prefix.
const PREFIX_DIGITS_MIN: usize = 3;
/// A manifest or a configuration larger than this is refused.
pub const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// The images below one root directory.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// Held as long as the images found must not be removed.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

/// An image, ready to run.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the image configuration: the identifier users see.
    pub id: Digest,
    pub manifest: Digest,
    pub config: ImageConfig,
    /// The lowest first.
    pub layers: Vec<Layer>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub id: Digest,
    pub manifest: Digest,
    /// `name:tag`, sorted; empty for an image that lost its name.
    pub references: Vec<String>,
    /// RFC 3339.
    pub created: String,
    /// Bytes of file content in all layers.
    pub size_bytes: u64,
}

impl Store {
    /// The store below `root`. Touches nothing: a store that is not there yet is empty.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            directory: root.join("images"),
        }
    }

    /// Finds an image by name, by digest, or by the start of its identifier.
    ///
    /// # Errors
    /// No image or several answer to `name`, or the store is damaged.
    pub fn resolve(&self, name: &str) -> Result<Image> {
        let catalog = self.catalog()?;
        let (manifest, image) = find(&catalog, name)?;
        let json = self.read_blob(&image.config)?;
        let config = serde_json::from_slice(&json).map_err(|error| {
            Error::new(
                Kind::System,
                format!("the configuration of image `{name}` is damaged: {error}"),
            )
            .hint("remove the image and import it again")
        })?;
        let layers = image.layers.iter();
        let layers = layers.map(|layer| self.layer(&layer.diff_id));
        Ok(Image {
            id: image.config,
            manifest,
            config,
            layers: layers.collect(),
        })
    }

    /// The manifest of an image.
    ///
    /// # Errors
    /// As for [`Store::resolve`].
    pub fn manifest(&self, digest: &Digest) -> Result<Manifest> {
        serde_json::from_slice(&self.read_blob(digest)?).map_err(|error| {
            Error::new(
                Kind::System,
                format!("manifest {digest} is damaged: {error}"),
            )
        })
    }

    /// Whether an image was chosen from an index, and is known by the index's digest too.
    pub(crate) fn is_from_index(&self, manifest: &Digest) -> Result<bool> {
        let catalog = self.catalog()?;
        let image = catalog.images.get(manifest);
        Ok(image.is_some_and(|image| !image.digests.is_empty()))
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>> {
        let catalog = self.catalog()?;
        let summary = |(manifest, image): (&Digest, &CatalogImage)| Summary {
            id: image.config,
            manifest: *manifest,
            references: references_of(&catalog, manifest),
            created: image.created.clone(),
            size_bytes: image.size_bytes,
        };
        let mut images: Vec<Summary> = catalog.images.iter().map(summary).collect();
        images.sort_by(|a, b| {
            let newest_first = b.created.cmp(&a.created);
            newest_first.then_with(|| a.references.cmp(&b.references))
        });
        Ok(images)
    }

    /// Keeps every image in place until the lock is dropped. A new container takes it, resolves its
    /// image, and drops it when its record names the image.
    ///
    /// # Errors
    /// The lock file cannot be opened.
    pub fn lock_shared(&self) -> Result<StoreLock> {
        self.lock(FlockOperation::LockShared)
    }

    /// Keeps everybody else from taking or changing images until the lock is dropped.
    ///
    /// # Errors
    /// The lock file cannot be opened.
    pub fn lock_exclusive(&self) -> Result<StoreLock> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Result<StoreLock> {
        let path = self.directory.join("lock");
        let open = || File::options().create(true).append(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make_directory(&self.directory)?;
                open()
            }
            other => other,
        };
        let file = file.step(|| format!("open {}", path.display()))?;
        while let Err(errno) = flock(&file, operation) {
            if errno != insula_sys::Errno::INTR {
                return Err(errno).step(|| format!("lock {}", path.display()));
            }
        }
        Ok(StoreLock { _file: file })
    }

    fn catalog(&self) -> Result<Catalog> {
        let path = self.directory.join("catalog.json");
        match std::fs::read(&path) {
            Ok(json) => Catalog::parse(&json).step(|| format!("read {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Catalog::default()),
            Err(error) => Err(error).step(|| format!("read {}", path.display())),
        }
    }

    /// Replaces the catalogue. The caller holds the exclusive lock.
    fn set_catalog(&self, catalog: &Catalog) -> Result<()> {
        write_atomically(&self.directory.join("catalog.json"), &catalog.to_json())
    }

    /// Opens a blob: a document, or the archive of a layer as it was transferred.
    ///
    /// # Errors
    /// It is not here, or cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        File::open(&path).step(|| format!("open {}", path.display()))
    }

    /// Reads a document: a manifest, a configuration.
    ///
    /// # Errors
    /// It is not here, larger than [`DOCUMENT_BYTES_MAX`], or cannot be read.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = self.open_blob(digest)?;
        file.take(DOCUMENT_BYTES_MAX + 1)
            .read_to_end(&mut content)
            .step(|| format!("read {}", self.blob_path(digest).display()))?;
        if content.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(Error::invalid(format!(
                "{digest} has more than {DOCUMENT_BYTES_MAX} bytes, the limit for a document"
            )));
        }
        Ok(content)
    }

    /// Tries out which form new layers get, and why.
    #[must_use]
    pub fn form_choice(&self) -> FormChoice {
        choose(&self.directory)
    }

    /// How a layer is kept.
    fn layer(&self, diff_id: &Digest) -> Layer {
        let place = self.layer_path(diff_id);
        let image = place.join(parts::EROFS);
        Layer {
            diff_id: *diff_id,
            form: match image.exists() {
                true => LayerForm::Erofs(image),
                false => LayerForm::Directory(place.join(parts::DIRECTORY)),
            },
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs/sha256").join(digest.hex())
    }

    fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.directory.join("layers/sha256").join(diff_id.hex())
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("partial/sha256").join(digest.hex())
    }
}

fn references_of(catalog: &Catalog, manifest: &Digest) -> Vec<String> {
    let of_this = catalog.references.iter().filter(|(_, to)| *to == manifest);
    of_this.map(|(name, _)| name.clone()).collect()
}

/// A name wins over a prefix of an identifier.
fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<(Digest, &'a CatalogImage)> {
    if let Ok(reference) = name.parse::<Reference>() {
        let found = match reference.digest() {
            Some(digest) => by_digest(catalog, digest),
            None => {
                let manifest = catalog.references.get(&reference.kept());
                manifest.and_then(|manifest| catalog.images.get_key_value(manifest))
            }
        };
        if let Some((manifest, image)) = found {
            return Ok((*manifest, image));
        }
    }
    let prefix = name.strip_prefix("sha256:").unwrap_or(name);
    let is_prefix = prefix.len() >= PREFIX_DIGITS_MIN
        && prefix.len() <= 64
        && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut found = catalog.images.iter().filter(|(manifest, image)| {
        is_prefix && (image.config.hex().starts_with(prefix) || manifest.hex().starts_with(prefix))
    });
    match (found.next(), found.next()) {
        (Some((manifest, image)), None) => Ok((*manifest, image)),
        (Some(_), Some(_)) => Err(Error::new(
            Kind::Ambiguous,
            format!("`{name}` is the start of several image identifiers"),
        )
        .hint("give more digits")),
        (None, _) => Err(not_found(catalog, name)),
    }
}

/// By the digest of the manifest, or of an index that it was chosen from.
fn by_digest<'a>(catalog: &'a Catalog, digest: &Digest) -> Option<(&'a Digest, &'a CatalogImage)> {
    let mut images = catalog.images.iter();
    let named = || images.find(|(_, image)| image.digests.contains(digest));
    catalog.images.get_key_value(digest).or_else(named)
}

fn not_found(catalog: &Catalog, name: &str) -> Error {
    let error = Error::new(Kind::NotFound, format!("no image `{name}` on this host"));
    // A wrong tag is the most frequent reason.
    let same_name = name.parse::<Reference>().ok().and_then(|wanted| {
        let prefix = format!("{}:", wanted.name());
        let mut names = catalog.references.keys();
        names.find(|known| known.starts_with(&prefix)).cloned()
    });
    match same_name {
        Some(known) => error.hint(format!("there is `{known}`; `insula images` lists all")),
        None => error.hint(format!(
            "`insula images` lists what is here; bring one: insula pull {name}, or insula image \
             import --tag {name} FILE"
        )),
    }
}

pub(crate) fn make_directory(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(path)
        .step(|| format!("make directory {}", path.display()))
}

/// Writes beside the target, syncs and renames: a reader sees the old content or the new, also
/// after a power failure. The caller holds the exclusive lock, so the temporary name is ours.
fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write()
        .inspect_err(|_| {
            // What is left of a full disk is not worth a second error.
            let _ = std::fs::remove_file(&temporary);
        })
        .step(|| format!("write {}", path.display()))
}
