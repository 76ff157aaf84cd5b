//! A step's record on disk, `builds/sha256/<key>`. Version 1.
//!
//! Records are a cache: one that is damaged or of another version is as good as absent.

use serde::{Deserialize, Serialize};

use crate::config::Descriptor;
use crate::digest::Digest;

pub(crate) const VERSION: u32 = 1;

/// What a step of a build made before, found by everything that it depends on.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedStep {
    version: u32,
    /// RFC 3339.
    pub created: String,
    /// `None` when it changed no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<CachedLayer>,
}

/// A layer as the manifest and the configuration name it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedLayer {
    pub diff_id: Digest,
    pub descriptor: Descriptor,
}

impl CachedStep {
    #[must_use]
    pub fn new(created: String, layer: Option<CachedLayer>) -> Self {
        Self {
            version: VERSION,
            created,
            layer,
        }
    }

    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let step: Self = serde_json::from_slice(json).ok()?;
        (step.version == VERSION).then_some(step)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as version 1 writes it: it must stay readable.
    const SAMPLE: &str = r#"{"version":1,"created":"2026-11-20T21:00:00Z","layer":{"diffId":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","descriptor":{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7}}}"#;

    #[test]
    fn the_stored_sample_reads_and_writes_the_same() {
        let step = CachedStep::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(step.layer.as_ref().unwrap().diff_id, Digest::of(b"abc"));
        assert_eq!(String::from_utf8(step.to_json()).unwrap(), SAMPLE);
    }

    #[test]
    fn other_versions_and_damage_are_absent() {
        for other in [
            "",
            "{",
            "{\"version\":1}",
            &SAMPLE.replace("\"version\":1", "\"version\":2"),
        ] {
            assert!(CachedStep::parse(other.as_bytes()).is_none(), "{other}");
        }
    }
}
