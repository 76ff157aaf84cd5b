//! What is written of a volume: `volumes/<name>/record.json`, version 1. A field may be added in
//! the same version; a newer version than this is left alone.

use std::collections::BTreeMap;

use insula_container::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};

pub(crate) const VERSION: u32 = 1;

/// What is known of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    pub version: u32,
    pub name: String,
    /// Seconds since 1970.
    pub created: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Made for one guest, and removed with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl VolumeRecord {
    /// # Errors
    /// The record is damaged, or of a newer version.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let record: Self =
            serde_json::from_slice(json).step(|| "the volume's record is damaged")?;
        if record.version > VERSION {
            return Err(Error::new(format!(
                "the volume's record has version {}, this insula reads up to {VERSION}",
                record.version
            )));
        }
        Ok(record)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"version":1,"name":"data","created":7,"labels":{"a":"b"}}"#;

    #[test]
    fn a_stored_record_is_read_and_written_as_it_was() {
        let record = VolumeRecord::parse(FIRST.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(record.to_json()).unwrap(), FIRST);
        assert!(!record.anonymous);
        let newer = FIRST.replace("\"version\":1", "\"version\":2");
        assert!(VolumeRecord::parse(newer.as_bytes()).is_err());
        assert!(VolumeRecord::parse(b"{").is_err());
    }
}
