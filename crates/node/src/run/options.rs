//! What `insula run` can be asked for, as plain facts: texts of the command line are parsed before.

use std::path::PathBuf;

use insula_container::cgroup::Manager;

/// Where the engine keeps the records of what `insula run` runs; on the host's tmpfs.
pub const STATE_DIRECTORY: &str = "/run/insula/containers";

/// A container to run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The root of images and containers, such as `/var/lib/insula`.
    pub store: PathBuf,
    /// See [`STATE_DIRECTORY`].
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
    /// Our standard input goes to the program. Otherwise it reads nothing.
    pub interactive: bool,
    /// Remove the container, with its writable layer, when the program has ended.
    pub remove: bool,
    /// Made up when absent.
    pub name: Option<String>,
    pub annotations: Vec<(String, String)>,
    pub shm_bytes: u64,
}

impl RunOptions {
    /// A container of `image`, with docker's defaults for everything else.
    #[must_use]
    pub fn new(store: impl Into<PathBuf>, image: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            state: STATE_DIRECTORY.into(),
            cgroup_manager: Manager::default(),
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
            interactive: false,
            remove: false,
            name: None,
            annotations: Vec::new(),
            shm_bytes: 64 << 20,
        }
    }
}

/// A host path in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Relative paths are relative to the working directory.
    pub source: PathBuf,
    /// Absolute.
    pub destination: PathBuf,
    /// `ro`, `rw`, propagations, `nosuid` and the like; `z` and `Z` mean nothing here.
    pub options: Vec<String>,
}

/// An empty file system in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Absolute.
    pub destination: PathBuf,
    pub options: Vec<String>,
}

/// A resource limit by the specification's name, `RLIMIT_NOFILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// The network the program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// A loopback interface of its own and nothing else.
    #[default]
    None,
    /// The host's.
    Host,
}
