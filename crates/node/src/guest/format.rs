//! What is written of a guest. On disk `containers/<id>/record.json`, version 2; and on tmpfs
//! `guests/<id>/state.json`, version 1, which its monitor writes.
//!
//! The record is written before anything else of the guest is made. Whoever works on the guest (the
//! command that makes it, then its monitor) holds a lock on the file `owner` beside it. A field may
//! be added in the same version; a newer version than this is left alone.

use std::path::PathBuf;

use insula_container::error::{Context, Error, Result};
use insula_image::Digest;
use serde::{Deserialize, Serialize};

use crate::run::RunOptions;

pub(crate) const VERSION: u32 = 2;
pub(crate) const STATE_VERSION: u32 = 1;

/// What is known of a guest as long as it exists.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestRecord {
    pub version: u32,
    pub id: String,
    pub name: String,
    /// As the user named it.
    pub image: String,
    pub manifest: Digest,
    /// Seconds since 1970.
    pub created: u64,
    /// What it was asked to be.
    #[serde(default)]
    pub config: RunOptions,
    /// A user stopped it: `unless-stopped` leaves it so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stopped_by_user: bool,
    /// How its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Version 1 had these two outside of the configuration.
    #[serde(default, skip_serializing)]
    command: Option<Vec<String>>,
    #[serde(default, skip_serializing)]
    remove: Option<bool>,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Unknown when nobody was there to be told.
    pub exit_code: Option<i32>,
    /// Seconds since 1970.
    pub at: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub oom_killed: bool,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl GuestRecord {
    pub(crate) fn new(id: String, name: String, config: RunOptions, manifest: Digest) -> Self {
        Self {
            version: VERSION,
            id,
            name,
            image: config.image.clone(),
            manifest,
            created: super::now(),
            config,
            stopped_by_user: false,
            ended: None,
            command: None,
            remove: None,
        }
    }

    /// A build keeps its steps in a directory like a guest's, and is none.
    pub(crate) fn is_build(&self) -> bool {
        self.config.image.is_empty()
    }

    /// # Errors
    /// The record is damaged, or of a newer version.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let mut record: Self = serde_json::from_slice(json).step(|| "the record is damaged")?;
        if record.version > VERSION {
            return Err(Error::new(format!(
                "the record has version {}, this insula reads up to {VERSION}",
                record.version
            )));
        }
        if record.version < VERSION {
            record.config.image.clone_from(&record.image);
            record.config.command = record.command.take().unwrap_or_default();
            record.config.remove = record.remove.take().unwrap_or_default();
            record.version = VERSION;
        }
        Ok(record)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What a guest's monitor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its program is being started.
    Starting,
    Running,
    /// It ended, and its restart policy starts it again after a while.
    Restarting,
}

/// One process, named for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProcessName {
    pub pid: i32,
    /// Its start in clock ticks since boot (proc(5), `stat`, field 22).
    pub start: u64,
}

/// What a monitor publishes of a guest that it runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestState {
    pub version: u32,
    /// The store that the guest belongs to.
    pub store: PathBuf,
    pub phase: Phase,
    pub monitor: ProcessName,
    /// The process that holds the guest's descriptors in case the monitor is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<ProcessName>,
    /// The guest's first process, as the host sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessName>,
    /// Nanoseconds since 1970.
    pub started: u64,
    #[serde(default)]
    pub restarts: u32,
    /// Of the last run, while the next one is being waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The command that the guest ends with, under `run --rm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_to: Option<ProcessName>,
    /// The monitor took over from one that was killed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopted: bool,
    /// Nobody held the guest's output when its monitor was killed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub output_lost: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthState>,
    /// Output that could not be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_failure: Option<LogFailure>,
}

/// What the checks of a guest's health have found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthState {
    pub status: HealthStatus,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last checks, the newest last.
    #[serde(default)]
    pub log: Vec<HealthResult>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthResult {
    /// Nanoseconds since 1970.
    pub started: u64,
    pub ended: u64,
    /// -1 when it took too long, or could not be started.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// Output that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFailure {
    pub lost_bytes: u64,
    pub reason: String,
}

impl GuestState {
    /// # Errors
    /// The text is damaged, or of a newer version.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let state: Self = serde_json::from_slice(json).step(|| "the guest's state is damaged")?;
        if state.version > STATE_VERSION {
            return Err(Error::new(format!(
                "the guest's state has version {}, this insula reads up to {STATE_VERSION}",
                state.version
            )));
        }
        Ok(state)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RestartPolicy;

    /// A record as version 1 wrote it: it must stay readable.
    const FIRST: &str = r#"{"version":1,"id":"0a","name":"calm-harbor","image":"debian:12","manifest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","command":["true"],"created":1795208400,"remove":false,"ended":{"exitCode":3,"at":1795208401}}"#;
    /// One as version 2 writes it.
    const SECOND: &str = r#"{"version":2,"id":"0b","name":"web","image":"debian:12","manifest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","created":1795208400,"config":{"image":"debian:12","command":["sleep","1"],"memoryBytes":67108864,"restart":{"on-failure":5}},"ended":{"exitCode":null,"at":1795208401}}"#;
    const STATE: &str = r#"{"version":1,"store":"/var/lib/insula","phase":"running","monitor":{"pid":10,"start":99},"process":{"pid":12,"start":100},"started":1795208400000000000,"restarts":0}"#;

    #[test]
    fn records_of_the_first_version_are_read() {
        let record = GuestRecord::parse(FIRST.as_bytes()).unwrap();
        assert_eq!(record.ended.unwrap().exit_code, Some(3));
        assert_eq!(record.config.command, ["true"]);
        assert_eq!(record.config.image, "debian:12");
    }

    #[test]
    fn the_stored_samples_stay_readable() {
        let record = GuestRecord::parse(SECOND.as_bytes()).unwrap();
        assert_eq!(record.config.command, ["sleep", "1"]);
        assert_eq!(record.config.restart, RestartPolicy::OnFailure(5));
        assert_eq!(record.config.memory_bytes, Some(67_108_864));
        assert_eq!(GuestRecord::parse(&record.to_json()).unwrap(), record);
        let state = GuestState::parse(STATE.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(state.to_json()).unwrap(), STATE);
    }

    #[test]
    fn newer_and_damaged_records_are_refused() {
        let newer = FIRST.replace("\"version\":1", "\"version\":3");
        let error = GuestRecord::parse(newer.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("version 3"));
        assert!(GuestRecord::parse(b"").is_err());
        let newer = STATE.replace("\"version\":1", "\"version\":2");
        assert!(GuestState::parse(newer.as_bytes()).is_err());
    }
}
