//! Everything that images are made of is read again and compared with what it was.
//!
//! Documents and archives have their digests as names; of an EROFS layer every MiB has a checksum
//! in its record, from which `trace.rs` finds the file that a wrong byte belongs to. A layer that
//! is an unpacked directory has none: its archive is checked, and that it is there.
//!
//! What is found is noted (`damage.rs`) for who brings the image again. Start reading at
//! [`Store::verify`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use super::staging::Keep;
use super::trace::{Suspect, Traced};
use super::{Store, references_of};
use crate::digest::{Digest, Hasher};
use crate::erofs::{self, Located, PIECE_BYTES};
use crate::error::{Context, Error, Result};
use crate::format::{Catalog, CatalogImage, FormName, ImageRecord, LayerRecord};
use crate::layer::{LayerForm, parts};
use crate::unpack::shown;

const READ_BYTES: usize = 1 << 20;
/// More places of one layer than this say no more.
const PLACES_MAX: usize = 100;

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub images: usize,
    /// Documents, archives and layers.
    pub parts: usize,
    pub bytes: u64,
    /// Layers in the form of a directory, of whose files nothing is known.
    pub unchecked: usize,
    pub damages: Vec<Damage>,
}

/// Something that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Names or identifiers of the images that it belongs to.
    pub images: Vec<String>,
    pub part: DamagedPart,
    pub reason: String,
}

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamagedPart {
    Manifest(Digest),
    Config(Digest),
    /// Any other document.
    Document(Digest),
    /// The archive of a layer, as it was transferred.
    Archive(Digest),
    /// A layer, by its diff id.
    Layer(Digest),
    /// A file in a layer.
    File {
        layer: Digest,
        path: String,
    },
}

impl DamagedPart {
    /// `manifest`, `config`, `document`, `archive`, `layer` or `file`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "manifest",
            Self::Config(_) => "config",
            Self::Document(_) => "document",
            Self::Archive(_) => "archive",
            Self::Layer(_) => "layer",
            Self::File { .. } => "file",
        }
    }

    /// Of the part, or of the layer that the file is in.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Manifest(digest)
            | Self::Config(digest)
            | Self::Document(digest)
            | Self::Archive(digest)
            | Self::Layer(digest)
            | Self::File { layer: digest, .. } => digest,
        }
    }

    /// The file, when it is known.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::File { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// Parts and the images they belong to.
#[derive(Default)]
struct Parts {
    blobs: BTreeMap<Digest, (DamagedPart, Vec<String>)>,
    layers: BTreeMap<Digest, LayerUse>,
}

/// Who has a layer, and the archives that it can be made of.
#[derive(Default)]
struct LayerUse {
    images: Vec<String>,
    archives: BTreeSet<Digest>,
}

impl Parts {
    fn add(&mut self, label: &str, manifest: &Digest, image: &CatalogImage) {
        let mut blob = |part: DamagedPart| {
            let (_, images) = self
                .blobs
                .entry(*part.digest())
                .or_insert_with(|| (part, Vec::new()));
            if images.last().is_none_or(|last| last != label) {
                images.push(label.to_owned());
            }
        };
        blob(DamagedPart::Manifest(*manifest));
        blob(DamagedPart::Config(image.config));
        for layer in &image.layers {
            if let Some(archive) = layer.blob {
                blob(DamagedPart::Archive(archive));
            }
        }
        for document in &image.blobs {
            blob(DamagedPart::Document(*document));
        }
        for layer in &image.layers {
            let used = self.layers.entry(layer.diff_id).or_default();
            if used.images.last().is_none_or(|last| last != label) {
                used.images.push(label.to_owned());
            }
            used.archives.extend(layer.blob);
        }
    }
}

impl Store {
    /// Checks images, or all when `names` is empty. `progress` is told how many bytes were read.
    ///
    /// # Errors
    /// There is no such image, or the catalogue cannot be read. Damage is no error but a finding.
    pub fn verify(&self, names: &[String], progress: &dyn Fn(u64)) -> Result<Verified> {
        let catalog = self.catalog()?;
        let mut parts = Parts::default();
        let mut manifests = BTreeSet::new();
        for name in names {
            manifests.insert(super::find(&catalog, name)?.0);
        }
        if names.is_empty() {
            manifests.extend(catalog.images.keys());
        }
        for manifest in &manifests {
            if let Some(image) = catalog.images.get(manifest) {
                parts.add(&label(&catalog, manifest, image), manifest, image);
            }
        }
        let mut checking = Checking {
            store: self,
            verified: Verified {
                images: manifests.len(),
                ..Verified::default()
            },
            progress,
            buffer: vec![0; READ_BYTES],
            damaged: BTreeSet::new(),
        };
        for (part, images) in parts.blobs.into_values() {
            checking.blob(part, images);
        }
        for (diff_id, used) in &parts.layers {
            checking.layer(*diff_id, used);
        }
        let mut verified = checking.verified;
        self.forgive_removed(&mut verified)?;
        Ok(verified)
    }

    /// What was removed meanwhile is not missing.
    fn forgive_removed(&self, verified: &mut Verified) -> Result<()> {
        if verified.damages.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog()?;
        let labels: BTreeSet<String> = catalog
            .images
            .iter()
            .map(|(manifest, image)| label(&catalog, manifest, image))
            .collect();
        let is_left = |damage: &Damage| damage.images.iter().any(|image| labels.contains(image));
        verified.damages.retain(is_left);
        Ok(())
    }
}

fn label(catalog: &Catalog, manifest: &Digest, image: &CatalogImage) -> String {
    let mut names = references_of(catalog, manifest).into_iter();
    names.next().unwrap_or_else(|| image.config.to_string())
}

struct Checking<'a> {
    store: &'a Store,
    verified: Verified,
    progress: &'a dyn Fn(u64),
    buffer: Vec<u8>,
    /// Blobs of which nothing can be made.
    damaged: BTreeSet<Digest>,
}

impl Checking<'_> {
    fn damage(&mut self, images: &[String], part: DamagedPart, reason: impl Into<String>) {
        self.verified.damages.push(Damage {
            images: images.to_owned(),
            part,
            reason: reason.into(),
        });
    }

    fn read(&mut self, count: u64) {
        self.verified.bytes += count;
        (self.progress)(self.verified.bytes);
    }

    fn blob(&mut self, part: DamagedPart, images: Vec<String>) {
        self.verified.parts += 1;
        let wanted = *part.digest();
        let is_archive = matches!(part, DamagedPart::Archive(_));
        match self.digest_of(&wanted) {
            Ok(found) if found == wanted => {
                self.store.forget_damage(Keep::Archive(wanted));
                return;
            }
            Ok(found) => self.damage(&images, part, format!("its content has the digest {found}")),
            Err(error) => self.damage(&images, part, error.chain()),
        }
        // Documents are small: they are brought each time.
        if is_archive {
            self.damaged.insert(wanted);
            self.store.note_damage(Keep::Archive(wanted));
        }
    }

    fn digest_of(&mut self, blob: &Digest) -> Result<Digest> {
        let mut file = self.store.open_blob(blob)?;
        let mut hasher = Hasher::default();
        loop {
            let count = file.read(&mut self.buffer).step(|| "read it")?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&self.buffer[..count]);
            self.read(count as u64);
        }
    }

    fn layer(&mut self, diff_id: Digest, used: &LayerUse) {
        self.verified.parts += 1;
        let before = self.verified.damages.len();
        if let Err(error) = self.layer_form(diff_id, used) {
            self.damage(&used.images, DamagedPart::Layer(diff_id), error.chain());
        }
        match self.verified.damages.len() == before {
            true => self.store.forget_damage(Keep::Layer(diff_id)),
            false => self.store.note_damage(Keep::Layer(diff_id)),
        }
    }

    fn layer_form(&mut self, diff_id: Digest, used: &LayerUse) -> Result<()> {
        let place = self.store.layer_path(&diff_id);
        let json = std::fs::read(place.join(parts::RECORD));
        let form = self.store.layer(&diff_id).form;
        if let (LayerForm::Directory(path), Err(_)) = (&form, &json) {
            // Version 1 of the store kept no record.
            if path.is_dir() {
                self.verified.unchecked += 1;
                return Ok(());
            }
        }
        let json = json.step(|| "read layer.json")?;
        let record = LayerRecord::parse(&json)?;
        if !record.is_genuine(&json) {
            return Err(Error::invalid("layer.json has changed"));
        }
        match (form, record.form, record.image) {
            (LayerForm::Erofs(path), FormName::Erofs, Some(image)) => {
                self.image(diff_id, used, &path, &image)
            }
            (LayerForm::Directory(path), FormName::Directory, _) if path.is_dir() => {
                self.verified.unchecked += 1;
                Ok(())
            }
            (LayerForm::Directory(_), ..) => Err(Error::invalid("the layer is not there")),
            _ => Err(Error::invalid("layer.json is of another layer")),
        }
    }

    fn image(
        &mut self,
        diff_id: Digest,
        used: &LayerUse,
        path: &std::path::Path,
        record: &ImageRecord,
    ) -> Result<()> {
        let file = File::open(path).step(|| format!("open {}", path.display()))?;
        let length = file.metadata().step(|| "look at the layer")?.len();
        if length != record.bytes || record.checksums.len() as u64 != length.div_ceil(PIECE_BYTES) {
            return Err(Error::invalid(format!(
                "the layer has {length} bytes instead of {}",
                record.bytes
            )));
        }
        let mut wrong = Vec::new();
        for (number, wanted) in (0_u64..).zip(&record.checksums) {
            let offset = number * PIECE_BYTES;
            let piece = PIECE_BYTES.min(length - offset);
            // A sector that cannot be read is as wrong as one with another content.
            match erofs::checksum_of(&file, offset, piece) {
                Ok(found) if found == *wanted => {}
                _ => wrong.push(offset..offset + piece),
            }
            self.read(piece);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let mut archives = used.archives.iter();
        let whole = archives.find(|archive| !self.damaged.contains(archive));
        let suspect = Suspect {
            image: &file,
            record,
            wrong: &wrong,
        };
        let traced = self.store.trace(&suspect, whole)?;
        self.places(diff_id, &used.images, traced, wrong[0].start);
        Ok(())
    }

    /// Names what has changed; `first` is where at the earliest.
    fn places(&mut self, layer: Digest, images: &[String], traced: Traced, first: u64) {
        let (located, is_exact) = match traced {
            Traced::Exact(located) => (located, true),
            Traced::Among(located) => (located, false),
            Traced::Record => {
                let reason = "the checksums in layer.json have changed";
                return self.damage(images, DamagedPart::Layer(layer), reason);
            }
        };
        for (place, at) in located.iter().take(PLACES_MAX) {
            let (part, what) = match place {
                Located::Content(path) => (file_part(layer, path), "its content"),
                Located::Attributes(path) => (file_part(layer, path), "its metadata"),
                Located::Metadata => (DamagedPart::Layer(layer), "metadata of the whole layer"),
            };
            let reason = match is_exact {
                true => format!("{what} has changed, first at byte {at} of the layer"),
                false => {
                    format!("{what} is in a MiB that has changed, with byte {at} of the layer")
                }
            };
            self.damage(images, part, reason);
        }
        if located.is_empty() {
            // Nothing that can be read has changed; still it is not what was written.
            let reason = format!("bytes between files have changed, at {first} or later");
            self.damage(images, DamagedPart::Layer(layer), reason);
        }
    }
}

fn file_part(layer: Digest, path: &[u8]) -> DamagedPart {
    DamagedPart::File {
        layer,
        path: format!("/{}", shown(path)),
    }
}
