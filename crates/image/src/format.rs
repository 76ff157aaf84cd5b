//! What the store keeps on disk beside OCI's own documents.
//!
//! `catalog.json`, version 2, names every image of the store. It is replaced as a whole, by a
//! rename, and never changed in place: who reads it needs no lock. Version 1, whose layers were
//! kept without the archives they came from, is read as well and written back as version 2.
//!
//! `layer.json`, version 1, lies beside each layer and says what it is made of.
//!
//! A field may be added in the same version; a change of meaning takes a new one, and a newer
//! version than this is refused, not guessed at.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

pub(crate) const VERSION: u32 = 2;
pub(crate) const LAYER_VERSION: u32 = 1;

/// `catalog.json`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct Catalog {
    version: u32,
    /// By the digest of the manifest.
    pub(crate) images: BTreeMap<Digest, CatalogImage>,
    /// `name:tag` or `name@digest` to the digest of a manifest in `images`.
    pub(crate) references: BTreeMap<String, Digest>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct CatalogImage {
    /// The digest of the image configuration, which is the image's identifier.
    pub(crate) config: Digest,
    /// The lowest first.
    pub(crate) layers: Vec<CatalogLayer>,
    /// Bytes of file content in all layers.
    pub(crate) size_bytes: u64,
    /// RFC 3339.
    pub(crate) created: String,
    /// Other blobs that belong to it, such as the index it was chosen from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) blobs: BTreeSet<Digest>,
    /// Other digests by which it was asked for, such as that of the index.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) digests: BTreeSet<Digest>,
}

/// One layer of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct CatalogLayer {
    /// The digest of its uncompressed archive.
    pub(crate) diff_id: Digest,
    /// The digest of its archive as it was transferred. Stores of version 1 did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<Digest>,
}

/// An image as version 1 wrote it.
#[derive(Deserialize)]
struct CatalogImageV1 {
    config: Digest,
    layers: Vec<Digest>,
    size_bytes: u64,
    created: String,
}

#[derive(Deserialize)]
struct CatalogV1 {
    images: BTreeMap<Digest, CatalogImageV1>,
    references: BTreeMap<String, Digest>,
}

impl From<CatalogV1> for Catalog {
    fn from(old: CatalogV1) -> Self {
        let layer = |diff_id| CatalogLayer {
            diff_id,
            blob: None,
        };
        let image = |image: CatalogImageV1| CatalogImage {
            config: image.config,
            layers: image.layers.into_iter().map(layer).collect(),
            size_bytes: image.size_bytes,
            created: image.created,
            blobs: BTreeSet::new(),
            digests: BTreeSet::new(),
        };
        let images = old.images.into_iter();
        Self {
            version: VERSION,
            images: images
                .map(|(manifest, old)| (manifest, image(old)))
                .collect(),
            references: old.references,
        }
    }
}

pub(crate) const MOUNT_VERSION: u32 = 1;

/// `mounts/<id>/record.json`, version 1: an image that is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct MountRecord {
    pub(crate) version: u32,
    /// As the user named it.
    pub(crate) image: String,
    pub(crate) manifest: Digest,
    /// The kernel's identifier of the boot in which it was mounted.
    pub(crate) boot: String,
    /// Where, as bytes; absent for the place's own directory.
    pub(crate) directory: Option<Vec<u8>>,
    /// It stays mounted when its maker ends.
    pub(crate) is_kept: bool,
}

impl MountRecord {
    /// What cannot be read belongs to nobody.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// How a layer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FormName {
    Erofs,
    Directory,
}

/// `layer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct LayerRecord {
    pub(crate) version: u32,
    pub(crate) form: FormName,
    /// Files, directories, links: what the archive had a header for.
    pub(crate) entries: u64,
    /// Bytes of file content.
    pub(crate) content_bytes: u64,
    /// The length of the archive without its compression.
    pub(crate) archive_bytes: u64,
    /// Devices and attributes that could not be kept.
    #[serde(default)]
    pub(crate) skipped: u64,
    /// Of the EROFS image, when the layer is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<ImageRecord>,
    /// XXH3 (64 bits, hexadecimal) of this text without this field. Older records have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<String>,
}

/// What an EROFS image was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct ImageRecord {
    pub(crate) bytes: u64,
    /// Where the metadata begins, which reaches to the end.
    pub(crate) metadata_offset: u64,
    /// XXH3 (64 bits) of every MiB in order, as hexadecimal text: not every reader of JSON has 64
    /// bits.
    #[serde(with = "hexadecimal")]
    pub(crate) checksums: Vec<u64>,
}

mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(sums: &[u64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(sums.iter().map(|sum| format!("{sum:016x}")))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let sum = |text: String| u64::from_str_radix(&text, 16).map_err(D::Error::custom);
        texts.into_iter().map(sum).collect()
    }
}

impl LayerRecord {
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let record: Self = serde_json::from_slice(json)
            .map_err(|error| Error::new(Kind::System, format!("layer.json is damaged: {error}")))?;
        if record.version > LAYER_VERSION {
            return Err(Error::new(
                Kind::System,
                format!(
                    "layer.json has version {}, this insula reads up to {LAYER_VERSION}",
                    record.version
                ),
            ));
        }
        Ok(record)
    }

    /// Whether `json`, of which this was read, is what was written.
    pub(crate) fn is_genuine(&self, json: &[u8]) -> bool {
        self.check.is_none() || self.to_json() == json
    }

    /// With its check.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut record = self.clone();
        record.check = None;
        let unchecked = serde_json::to_vec(&record).unwrap_or_default();
        let check = twox_hash::XxHash3_64::oneshot(&unchecked);
        record.check = Some(format!("{check:016x}"));
        serde_json::to_vec(&record).unwrap_or_default()
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            references: BTreeMap::new(),
        }
    }
}

impl Catalog {
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |error: serde_json::Error| {
            Error::new(Kind::System, format!("catalog.json is damaged: {error}"))
        };
        let found: Versioned = serde_json::from_slice(json).map_err(damaged)?;
        match found.version {
            VERSION => serde_json::from_slice(json).map_err(damaged),
            1 => {
                let old: CatalogV1 = serde_json::from_slice(json).map_err(damaged)?;
                Ok(old.into())
            }
            other => Err(Error::new(
                Kind::System,
                format!("catalog.json has version {other}, this insula reads up to {VERSION}"),
            )),
        }
    }

    /// What an archive is known to hold.
    pub(crate) fn diff_id_of(&self, blob: &Digest) -> Option<Digest> {
        let mut layers = self.images.values().flat_map(|image| &image.layers);
        let layer = layers.find(|layer| layer.blob.as_ref() == Some(blob));
        layer.map(|layer| layer.diff_id)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A catalogue as version 1 wrote it: it must stay readable.
    const SAMPLE_1: &str = r#"{"version":1,"images":{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad":{"config":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","layers":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"size_bytes":7,"created":"2026-11-20T21:00:00Z"}},"references":{"debian:12":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}"#;

    /// The same as version 2 writes it, with an archive that was kept.
    const SAMPLE_2: &str = r#"{"version":2,"images":{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad":{"config":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","layers":[{"diff_id":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","blob":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}],"size_bytes":7,"created":"2026-11-20T21:00:00Z"}},"references":{"debian:12":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}"#;

    #[test]
    fn the_stored_sample_reads_and_writes_the_same() {
        let catalog = Catalog::parse(SAMPLE_2.as_bytes()).unwrap();
        let image = &catalog.images[&Digest::of(b"abc")];
        assert_eq!(image.layers[0].blob, Some(Digest::of(b"abc")));
        assert_eq!(String::from_utf8(catalog.to_json()).unwrap(), SAMPLE_2);
    }

    #[test]
    fn version_1_becomes_version_2() {
        let mut catalog = Catalog::parse(SAMPLE_1.as_bytes()).unwrap();
        assert_eq!(catalog.references["debian:12"], Digest::of(b"abc"));
        let image = catalog.images.get_mut(&Digest::of(b"abc")).unwrap();
        assert_eq!((image.size_bytes, image.layers[0].blob), (7, None));
        image.layers[0].blob = Some(Digest::of(b"abc"));
        assert_eq!(String::from_utf8(catalog.to_json()).unwrap(), SAMPLE_2);
    }

    #[test]
    fn other_versions_and_damage_are_told_apart() {
        let newer = br#"{"version":3,"pictures":[]}"#;
        let error = Catalog::parse(newer).unwrap_err().to_string();
        assert!(error.contains("version 3"), "{error}");
        for damaged in [&b""[..], b"{", br#"{"version":1}"#, br#"{"version":2}"#] {
            let error = Catalog::parse(damaged).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        }
    }
}
