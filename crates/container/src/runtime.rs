//! The runtime: a directory of containers and the operations on them.
//!
//! Start reading at [`Runtime::create`] (`create.rs`), then `init.rs`, which is the other half of
//! it. Operations on one existing container are in `container.rs`.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use insula_sys::rustix::event::{Timespec, poll};

use crate::cgroup::Manager;
use crate::container::Container;
use crate::error::{Context, Kind, Result};
use crate::format::Status;
use crate::rootfs::Overlay;
use crate::spec::Spec;
use crate::store::{self, Directory};

/// Where the containers' records are and how their cgroups are made.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// One directory per container stands here; on a tmpfs, because records of kernel objects
    /// must not outlive the kernel.
    pub root: PathBuf,
    pub manager: Manager,
    /// No more privileges than an ordinary user: what cannot be set up is left out where the
    /// configuration does not insist on it.
    pub rootless: bool,
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `config.json` of the bundle, or another file.
    File(PathBuf),
    /// Made by the caller; relative paths in it are relative to the bundle all the same.
    Memory(Box<Spec>),
}

/// What `create` and `run` take besides the configuration.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    pub id: String,
    pub bundle: PathBuf,
    pub source: Source,
    /// The root is an overlay, mounted inside the container's mount namespace only.
    pub overlay: Option<Overlay>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    pub preserve_fds: u32,
}

/// A container whose program has been started, as its parent sees it.
#[derive(Debug)]
pub struct Launched {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// The controlling end of the terminal, where the configuration asks for one.
    pub terminal: Option<OwnedFd>,
}

impl CreateOptions {
    #[must_use]
    pub fn new(id: impl Into<String>, bundle: impl Into<PathBuf>) -> Self {
        let bundle = bundle.into();
        Self {
            id: id.into(),
            source: Source::File(bundle.join("config.json")),
            bundle,
            overlay: None,
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
        }
    }
}

impl Runtime {
    /// Opens a container.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none of this id.
    pub fn load(&self, id: &str) -> Result<Container> {
        let directory = Directory::open(&self.root, id)?;
        let record = directory.read_record()?;
        Ok(Container { directory, record })
    }

    /// As [`Runtime::load`], but when the container is just being created waits a moment for that:
    /// who asks again and again until there is a container expects a created one. Hooks of the
    /// creation, for which there is nothing to wait, get their answer late.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub fn load_settled(&self, id: &str) -> Result<Container> {
        const MOMENTS: u32 = 250;
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        for _ in 0..MOMENTS {
            let container = self.load(id)?;
            if container.status() != Status::Creating {
                return Ok(container);
            }
            poll(&mut [], Some(&moment)).step(|| "wait for the container's creation")?;
        }
        self.load(id)
    }

    /// All containers, by id. One that vanishes meanwhile is left out.
    ///
    /// # Errors
    /// When the root cannot be read. A damaged record is a warning.
    pub fn list(&self) -> Result<Vec<Container>> {
        let mut containers = Vec::new();
        for id in store::ids(&self.root)? {
            match self.load(&id) {
                Ok(container) => containers.push(container),
                Err(error) if error.kind_of() == Kind::NotFound => {}
                // One damaged record must not hide the others.
                Err(error) => crate::warn(&error.within(format!("container {id:?} left out"))),
            }
        }
        Ok(containers)
    }

    /// Removes what killed commands have left: containers whose creator died at work. Returns
    /// their ids.
    ///
    /// # Errors
    /// When something of theirs cannot be removed; the rest is removed all the same.
    pub fn prune(&self) -> Result<Vec<String>> {
        let mut pruned = Vec::new();
        let mut failure = None;
        for id in store::ids(&self.root)? {
            match self.prune_one(&id) {
                Ok(true) => pruned.push(id),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error.within(format!("prune {id}")))),
            }
        }
        failure.map_or(Ok(pruned), Err)
    }

    fn prune_one(&self, id: &str) -> Result<bool> {
        let Ok(directory) = Directory::open(&self.root, id) else {
            return Ok(false);
        };
        if !directory.is_abandoned() {
            return Ok(false);
        }
        match self.load(id) {
            Ok(container) if container.is_abandoned() => container.destroy().map(|()| true),
            Ok(_) => Ok(false),
            // Killed between the directory and its first record: nothing else exists yet.
            Err(error) if error.kind_of() == Kind::NotFound => directory.remove().map(|()| true),
            Err(error) => Err(error).step(|| "read the record"),
        }
    }
}
