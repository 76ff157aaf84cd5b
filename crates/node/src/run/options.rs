//! What `insula run` can be asked for, as plain facts: texts of the command line are parsed before.

use std::path::PathBuf;

use insula_container::cgroup::Manager;
use insula_container::error::{Context, Result};
use serde::{Deserialize, Serialize};

use super::policy::{HealthCheck, LogSettings, ProcViewMode, RestartPolicy, SystemMode};

/// A guest to run. Everything but its places is also part of its record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunOptions {
    /// The root of images and containers, such as `/var/lib/insula`.
    #[serde(skip)]
    pub store: PathBuf,
    /// See [`crate::guest::STATE_ROOT`].
    #[serde(skip)]
    pub state: PathBuf,
    pub cgroup_manager: Manager,
    pub image: String,
    /// Replaces the image's `Cmd`.
    pub command: Vec<String>,
    /// Replaces the image's `Entrypoint`, and then its `Cmd` does not count. Empty for none.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=VALUE`, later ones win.
    pub environment: Vec<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    pub working_directory: Option<PathBuf>,
    pub volumes: Vec<Volume>,
    pub tmpfs: Vec<Tmpfs>,
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
    pub read_only: bool,
    pub hostname: Option<String>,
    /// Capabilities with or without `CAP_`, in any case; or `ALL`.
    pub capabilities_added: Vec<String>,
    pub capabilities_dropped: Vec<String>,
    pub limits: Vec<Limit>,
    /// As docker and podman write them: `seccomp=unconfined`, `no-new-privileges`, `mask=/path`, …
    pub security: Vec<String>,
    pub network: Network,
    /// A terminal of its own; ours, if we have one, is connected to it.
    pub terminal: bool,
    /// Its first size: rows and columns.
    pub terminal_size: Option<(u16, u16)>,
    /// Our standard input goes to the program. Otherwise it reads nothing.
    pub interactive: bool,
    /// Remove the container, with its writable layer, when the program has ended.
    pub remove: bool,
    /// Made up when absent.
    pub name: Option<String>,
    pub annotations: Vec<(String, String)>,
    pub shm_bytes: u64,
    pub restart: RestartPolicy,
    /// Replaces the image's.
    pub health: Option<HealthCheck>,
    /// A name or a number; replaces the image's.
    pub stop_signal: Option<String>,
    /// How long a guest that is to stop may take.
    pub stop_timeout_s: u32,
    pub log: LogSettings,
    /// Whether the program is a whole system's first process.
    pub system: SystemMode,
    /// Whether its `/proc` is its own.
    #[serde(skip_serializing_if = "is_default")]
    pub proc_view: ProcViewMode,
    /// Names and their addresses, beside those of the network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<(String, String)>,
    /// Servers instead of the host's, where there is a network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMapping>,
    /// Supplementary groups, names or numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Kernel parameters of the container's own namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<(String, String)>,
    /// As docker means it: all capabilities and devices, and nothing hidden or filtered.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub weights: Weights,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self::new("/var/lib/insula", "")
    }
}

impl RunOptions {
    /// A container of `image`, with docker's defaults for everything else.
    #[must_use]
    pub fn new(store: impl Into<PathBuf>, image: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            state: crate::rootless::state_root(),
            cgroup_manager: crate::rootless::cgroup_manager(),
            image: image.into(),
            command: Vec::new(),
            entrypoint: None,
            environment: Vec::new(),
            user: None,
            working_directory: None,
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            cpu_millis: None,
            memory_bytes: None,
            pids: None,
            read_only: false,
            hostname: None,
            capabilities_added: Vec::new(),
            capabilities_dropped: Vec::new(),
            limits: Vec::new(),
            security: Vec::new(),
            network: Network::None,
            terminal: false,
            terminal_size: None,
            interactive: false,
            remove: false,
            name: None,
            annotations: Vec::new(),
            shm_bytes: 64 << 20,
            restart: RestartPolicy::No,
            health: None,
            stop_signal: None,
            stop_timeout_s: 10,
            log: LogSettings::default(),
            system: SystemMode::Auto,
            proc_view: ProcViewMode::Auto,
            hosts: Vec::new(),
            dns: Vec::new(),
            secrets: Vec::new(),
            devices: Vec::new(),
            groups: Vec::new(),
            sysctls: Vec::new(),
            privileged: false,
            weights: Weights::default(),
        }
    }
}

/// A host path, or a volume by name, in the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Volume {
    /// Relative paths are relative to the working directory; a word without a slash is the name of a
    /// volume, and nothing is one that is made for this guest alone.
    pub source: PathBuf,
    /// Absolute.
    pub destination: PathBuf,
    /// `ro`, `rw`, propagations, `nosuid`, `nocopy` and the like; `z` and `Z` mean nothing here.
    pub options: Vec<String>,
}

impl Volume {
    /// Makes a relative host path absolute, before the working directory is left.
    ///
    /// # Errors
    /// The path does not exist.
    pub fn settle(&mut self) -> Result<()> {
        if self.is_named() {
            return Ok(());
        }
        let given = &self.source;
        self.source = std::fs::canonicalize(given)
            .step(|| format!("volume {}", given.display()))
            .map_err(|error| error.hint("the host path of a volume must exist: make it first"))?;
        Ok(())
    }

    /// The volume's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = self.source.to_str().filter(|_| self.is_named());
        name.filter(|name| !name.is_empty())
    }

    /// Whether the source is a volume's name and no path.
    #[must_use]
    pub fn is_named(&self) -> bool {
        let text = self.source.as_os_str().as_encoded_bytes();
        !text.contains(&b'/') && !text.starts_with(b".")
    }
}

/// A file of the host whose content the program may read at `/run/secrets/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Secret {
    /// The name of the file there.
    pub id: String,
    /// Read at each start; the content is written down nowhere.
    pub source: PathBuf,
}

/// A device of the host in the container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeviceMapping {
    pub host: PathBuf,
    /// Absolute.
    pub guest: PathBuf,
    /// Of `r`, `w` and `m`.
    pub access: String,
}

/// Limits and shares that few guests have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Weights {
    /// Processors that it may run on: `0-2,4`.
    pub cpus: Option<String>,
    /// Its share of busy processors; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Memory and swap together; -1 for no limit.
    pub memory_swap_bytes: Option<i64>,
    /// What it may keep when memory is short.
    pub memory_reservation_bytes: Option<u64>,
    /// From -1000 (the last to be killed) to 1000.
    pub oom_score: Option<i32>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An empty file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Tmpfs {
    /// Absolute.
    pub destination: PathBuf,
    pub options: Vec<String>,
}

/// A resource limit by the specification's name, `RLIMIT_NOFILE`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Limit {
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// The network the program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A loopback interface of its own and nothing else.
    #[default]
    None,
    /// The host's.
    Host,
}
