//! Where guests live: the store on disk, and what dies with the kernel.

use std::path::PathBuf;

use insula_container::Runtime;
use insula_container::cgroup::Manager;

use crate::run::RunOptions;

/// Below it stand the engine's records (`containers`), what monitors publish (`guests`) and the
/// journal of events; on the host's tmpfs.
pub const STATE_ROOT: &str = "/run/insula";

/// A store and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The root of images and guests, such as `/var/lib/insula`.
    pub store: PathBuf,
    /// See [`STATE_ROOT`].
    pub state: PathBuf,
    pub manager: Manager,
}

impl Place {
    #[must_use]
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self {
            store: store.into(),
            state: crate::rootless::state_root(),
            manager: crate::rootless::cgroup_manager(),
        }
    }

    /// Where a container of these options lives.
    #[must_use]
    pub fn of(options: &RunOptions) -> Self {
        Self {
            store: options.store.clone(),
            state: options.state.clone(),
            manager: options.cgroup_manager,
        }
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime {
            root: self.state.join("containers"),
            manager: self.manager,
            rootless: false,
        }
    }

    /// The directory of a guest on disk.
    pub(crate) fn directory(&self, id: &str) -> PathBuf {
        self.store.join("containers").join(id)
    }

    /// What its monitor publishes.
    pub(crate) fn live(&self, id: &str) -> PathBuf {
        self.live_root().join(id)
    }

    pub(crate) fn live_root(&self) -> PathBuf {
        self.state.join("guests")
    }

    /// The journal of what happens to guests.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.state.join("events")
    }

    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.directory(id).join("log")
    }
}
