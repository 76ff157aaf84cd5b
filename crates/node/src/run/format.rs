//! A container's record on disk, `containers/<id>/record.json`. Version 1.
//!
//! Written before anything else of the container is made, and locked by the process that runs it: a
//! record that can be locked belongs to nobody any more. A field may be added in the same
//! version; a newer version than this is left alone.

use insula_container::error::{Context, Error, Result};
use insula_image::Digest;
use serde::{Deserialize, Serialize};

pub(crate) const VERSION: u32 = 1;

/// What is known of a container of `insula run`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRecord {
    pub version: u32,
    pub id: String,
    pub name: String,
    /// As the user named it.
    pub image: String,
    pub manifest: Digest,
    pub command: Vec<String>,
    /// Seconds since 1970.
    pub created: u64,
    /// Nothing of it is kept after its end.
    pub remove: bool,
    /// How it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// The end of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Unknown when the process that watched it was killed.
    pub exit_code: Option<i32>,
    /// Seconds since 1970.
    pub at: u64,
}

impl ContainerRecord {
    /// # Errors
    /// The record is damaged, or of a newer version.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let record: Self = serde_json::from_slice(json).step(|| "the record is damaged")?;
        if record.version > VERSION {
            return Err(Error::new(format!(
                "the record has version {}, this insula reads up to {VERSION}",
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

    /// A record as version 1 writes it: it must stay readable.
    const SAMPLE: &str = r#"{"version":1,"id":"0a","name":"calm-harbor","image":"debian:12","manifest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","command":["true"],"created":1795208400,"remove":false,"ended":{"exitCode":3,"at":1795208401}}"#;

    #[test]
    fn the_stored_sample_reads_and_writes_the_same() {
        let record = ContainerRecord::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(record.ended.unwrap().exit_code, Some(3));
        assert_eq!(String::from_utf8(record.to_json()).unwrap(), SAMPLE);
    }

    #[test]
    fn newer_and_damaged_records_are_refused() {
        let newer = SAMPLE.replace("\"version\":1", "\"version\":2");
        let error = ContainerRecord::parse(newer.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("version 2"));
        assert!(ContainerRecord::parse(b"").is_err());
    }
}
