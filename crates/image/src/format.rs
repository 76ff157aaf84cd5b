//! What the store keeps on disk beside OCI's own documents. Version 1.
//!
//! `catalog.json` names every image of the store. It is replaced as a whole, by a rename, and never
//! changed in place: who reads it needs no lock. A field may be added in the same version; a change
//! of meaning takes a new one, and a newer version than this is refused, not guessed at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

pub(crate) const VERSION: u32 = 1;

/// `catalog.json`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct Catalog {
    version: u32,
    /// By the digest of the manifest.
    pub(crate) images: BTreeMap<Digest, CatalogImage>,
    /// `name:tag` to the digest of a manifest in `images`.
    pub(crate) references: BTreeMap<String, Digest>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct CatalogImage {
    /// The digest of the image configuration, which is the image's identifier.
    pub(crate) config: Digest,
    /// Digests of the uncompressed layers, lowest first.
    pub(crate) layers: Vec<Digest>,
    /// Bytes of file content in all layers.
    pub(crate) size_bytes: u64,
    /// RFC 3339.
    pub(crate) created: String,
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
        if let Ok(catalog) = serde_json::from_slice::<Self>(json)
            && catalog.version == VERSION
        {
            return Ok(catalog);
        }
        let reason = match serde_json::from_slice::<Versioned>(json) {
            Ok(found) if found.version != VERSION => format!(
                "catalog.json has version {}, this insula reads version {VERSION}",
                found.version
            ),
            _ => match serde_json::from_slice::<Self>(json) {
                Err(error) => format!("catalog.json is damaged: {error}"),
                Ok(_) => "catalog.json is damaged".to_owned(),
            },
        };
        Err(Error::new(Kind::System, reason))
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A catalogue as version 1 writes it: it must stay readable.
    const SAMPLE: &str = r#"{"version":1,"images":{"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad":{"config":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","layers":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"size_bytes":7,"created":"2026-11-20T21:00:00Z"}},"references":{"debian:12":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}"#;

    #[test]
    fn the_stored_sample_reads_and_writes_the_same() {
        let catalog = Catalog::parse(SAMPLE.as_bytes()).unwrap();
        let image = &catalog.images[&Digest::of(b"abc")];
        assert_eq!(image.size_bytes, 7);
        assert_eq!(catalog.references["debian:12"], Digest::of(b"abc"));
        assert_eq!(String::from_utf8(catalog.to_json()).unwrap(), SAMPLE);
    }

    #[test]
    fn other_versions_and_damage_are_told_apart() {
        let newer = br#"{"version":2,"pictures":[]}"#;
        let error = Catalog::parse(newer).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        for damaged in [&b""[..], b"{", br#"{"version":1}"#] {
            let error = Catalog::parse(damaged).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{error}");
        }
    }
}
