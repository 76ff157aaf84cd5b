//! Everything that images are made of is read again and compared with what it was.
//!
//! Documents and archives have their digests as names; of an EROFS layer every MiB has a checksum
//! in its record, so that a wrong byte can be traced to the file it belongs to. A layer that is an
//! unpacked directory has none: its archive is checked, and that it is there.
//!
//! Start reading at [`Store::verify`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use super::{Store, references_of};
use crate::digest::{Digest, Hasher};
use crate::erofs::{self, Located, PIECE_BYTES, Reader};
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
    layers: BTreeMap<Digest, Vec<String>>,
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
            let images = self.layers.entry(layer.diff_id).or_default();
            if images.last().is_none_or(|last| last != label) {
                images.push(label.to_owned());
            }
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
        };
        for (part, images) in parts.blobs.into_values() {
            checking.blob(part, images);
        }
        for (diff_id, images) in parts.layers {
            checking.layer(diff_id, images);
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
        match self.digest_of(&wanted) {
            Ok(found) if found == wanted => {}
            Ok(found) => self.damage(&images, part, format!("its content has the digest {found}")),
            Err(error) => self.damage(&images, part, error.chain()),
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

    fn layer(&mut self, diff_id: Digest, images: Vec<String>) {
        self.verified.parts += 1;
        let place = self.store.layer_path(&diff_id);
        let json = std::fs::read(place.join(parts::RECORD));
        let form = self.store.layer(&diff_id).form;
        if let (LayerForm::Directory(path), Err(_)) = (&form, &json) {
            // Version 1 of the store kept no record.
            if path.is_dir() {
                self.verified.unchecked += 1;
                return;
            }
        }
        let record = json
            .step(|| "read layer.json")
            .and_then(|json| LayerRecord::parse(&json));
        let checked = match (record, form) {
            (Err(error), _) => Err(error),
            (Ok(record), LayerForm::Erofs(path)) => match (record.form, record.image) {
                (FormName::Erofs, Some(image)) => self.image(diff_id, &images, &path, &image),
                _ => Err(Error::invalid("layer.json is of another layer")),
            },
            (Ok(_), LayerForm::Directory(path)) => match path.is_dir() {
                true => {
                    self.verified.unchecked += 1;
                    Ok(())
                }
                false => Err(Error::invalid("the layer is not there")),
            },
        };
        if let Err(error) = checked {
            self.damage(&images, DamagedPart::Layer(diff_id), error.chain());
        }
    }

    fn image(
        &mut self,
        diff_id: Digest,
        images: &[String],
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
        let reader = match Reader::open(file) {
            Ok(reader) => reader,
            Err(error) if !wrong.is_empty() => return Err(error),
            Err(_) => return Ok(()),
        };
        for piece in wrong {
            let reason = format!("bytes {} to {} have changed", piece.start, piece.end - 1);
            let located = reader.locate(piece).unwrap_or_default();
            self.pieces(diff_id, images, &located, &reason);
        }
        Ok(())
    }

    /// Names everything that a changed piece is part of: which of them changed is not known.
    fn pieces(&mut self, layer: Digest, images: &[String], located: &[Located], reason: &str) {
        for place in located.iter().take(PLACES_MAX) {
            let part = match place {
                Located::Content(path) | Located::Attributes(path) => DamagedPart::File {
                    layer,
                    path: format!("/{}", shown(path)),
                },
                Located::Metadata => DamagedPart::Layer(layer),
            };
            self.damage(images, part, reason);
        }
        if located.is_empty() {
            // Nothing that can be read has changed; still it is not what was written.
            self.damage(images, DamagedPart::Layer(layer), reason);
        }
    }
}
