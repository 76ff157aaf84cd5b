//! What a container leaves on disk: one directory per container below the runtime's root.
//!
//! ```text
//!  <root>/<id>/state.json   one line of JSON, this record as it was before anything was made;
//!                           after the line the configuration as it was given; and a last line
//!                           "pid start phase", once the container process exists
//!  <root>/<id>/started      there when a created container has been started
//!  <root>/<id>/start.sock   there while the container waits for `start`
//! ```
//!
//! No file is ever replaced, and nothing that was written is changed. The directory and the
//! record (phase `creating`, with the places of everything that is about to be made) exist
//! before the first kernel object does. The creator holds a lock on the directory: a `creating`
//! record whose lock is free belongs to a creator that was killed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::spec::Hook;

/// The version of [`Record`]. A reader accepts its own and older ones.
pub const VERSION: u32 = 1;

pub(crate) const STATE_FILE: &str = "state.json";
pub(crate) const STARTED_FILE: &str = "started";
pub(crate) const START_SOCKET: &str = "start.sock";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its creator is at work, or was killed at it.
    Creating,
    /// Waits for `start`.
    Created,
    /// The user's program was started; whether it still runs is the kernel's to say.
    Running,
}

/// `state.json`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub version: u32,
    pub id: String,
    pub oci_version: String,
    pub phase: Phase,
    /// The container process, as the host sees it; 0 before it exists.
    pub pid: i32,
    /// Its start time in clock ticks since boot (proc(5), `stat`, field 22): with the process id it
    /// names one process for ever.
    pub pid_start: u64,
    /// Seconds and nanoseconds since 1970.
    pub created: (u64, u32),
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// User id of the creator.
    pub owner: u32,
    /// `CLONE_NEW*` flags of the namespaces that are not the host's.
    pub namespaces: u64,
    pub terminal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<cgroup::Location>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The state as hooks and users see it (runtime.md, State).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State<'a> {
    pub oci_version: &'a str,
    pub id: &'a str,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    pub bundle: &'a std::path::Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Record {
    /// The state to tell a hook or a seccomp agent.
    #[must_use]
    pub fn state(&self, status: Status) -> State<'_> {
        State {
            oci_version: &self.oci_version,
            id: &self.id,
            status,
            pid: (self.pid > 0 && status != Status::Stopped).then_some(self.pid),
            bundle: &self.bundle,
            annotations: &self.annotations,
        }
    }
}
