//! What a build needs as soon as it has to do something: a directory with a record, a mount
//! namespace, a transaction, and the process that runs containers.
//!
//! ```text
//!  containers/<id>/record.json    first, as for a container: `prune` finds what a kill leaves
//!                  root/          where the union of the current step is mounted
//!                  steps/<n>/     the changes of a step
//!                  lower/<id>/    layers that have to be mounted to be read
//!                  context/       a context that came as an archive
//! ```
//!
//! Mounts are made in this process's own mount namespace and go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use insula_container::Runtime;
use insula_container::error::{Context, Error, Result};
use insula_image::served::mount_layer;
use insula_image::{CachedLayer, Claim, Digest, LayerForm, Store, Transaction, TransactionOptions};
use insula_sys::mount::{flag, mount};
use insula_sys::process::{CLONE_NEWNS, SignalFd, block_signals, unshare};
use insula_sys::rustix::fs::{CWD, Mode};
use insula_sys::rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use insula_sys::rustix::process::umask;

use super::layer::{Writer, make};
use super::options::BuildOptions;
use super::runner::Runner;
use super::stage::StageLayer;
use crate::guest::format::GuestRecord;
use crate::guest::make_workspace;
use crate::guest::workspace::Workspace;
use crate::run::{RunOptions, image_error};

#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) workspace: Workspace,
    pub(super) transaction: Arc<Transaction>,
    pub(super) writer: Option<Writer>,
    pub(super) runner: Runner,
    pub(super) signals: SignalFd,
    store: Store,
    next: u32,
    lowers: BTreeMap<Digest, PathBuf>,
    claimed: BTreeSet<Digest>,
}

impl Workshop {
    /// This process must have a single thread. It keeps its signals back from now on.
    pub(super) fn new(options: &BuildOptions) -> Result<Self> {
        insula_container::protect_program()?;
        let signals = block_signals().step(|| "hold signals back")?;
        umask(Mode::WGRP | Mode::WOTH);
        unshare(CLONE_NEWNS)
            .step(|| "make a mount namespace")
            .map_err(|error| error.hint("building needs root: RUN and COPY mount layers"))?;
        mount(None, "/", None, flag::SLAVE | flag::RECURSIVE, None)
            .step(|| "separate the mounts of the build")?;
        let store = Store::new(&options.store);
        let lock = store.lock_shared().map_err(image_error)?;
        let workspace = make_workspace(&options.store, None, |id, name| {
            let mut config = RunOptions::new(&options.store, "");
            config.remove = true;
            // A build keeps its layers by a transaction, not by its record.
            GuestRecord::new(id, name, config, Digest::of(b""))
        })?;
        drop(lock);
        let made = Self::furnish(options, &store, &workspace);
        let (transaction, runner) = match made {
            Ok(made) => made,
            Err(error) => {
                // The first failure is the one to tell.
                let _ = workspace.remove();
                return Err(error);
            }
        };
        Ok(Self {
            workspace,
            transaction: Arc::new(transaction),
            writer: None,
            runner,
            signals,
            store,
            next: 0,
            lowers: BTreeMap::new(),
            claimed: BTreeSet::new(),
        })
    }

    fn furnish(
        options: &BuildOptions,
        store: &Store,
        workspace: &Workspace,
    ) -> Result<(Transaction, Runner)> {
        for name in ["root", "steps", "lower", "context", "empty", "mounts"] {
            make(&workspace.path.join(name))?;
        }
        let runner = Runner::start(Runtime {
            root: options.state.clone(),
            manager: options.cgroup_manager,
            rootless: false,
        })?;
        let transaction = store
            .begin_with(TransactionOptions {
                sync: options.sync,
                resumable: false,
                ..TransactionOptions::default()
            })
            .map_err(image_error)?;
        Ok((transaction, runner))
    }

    pub(super) fn build_cache(&self) -> insula_image::BuildCache {
        self.store.build_cache()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.workspace.path.join(name)
    }

    /// A new directory's path for a step.
    pub(super) fn next_step(&mut self) -> PathBuf {
        self.next += 1;
        self.workspace.path.join(format!("steps/{}", self.next))
    }

    /// Keeps a layer from being removed as long as the build lasts.
    pub(super) fn keep(&mut self, layer: &CachedLayer) -> Result<()> {
        if !self.claimed.insert(layer.diff_id) {
            return Ok(());
        }
        let claim = self
            .transaction
            .claim_layer(&layer.descriptor, Some(&layer.diff_id));
        match claim.map_err(image_error)? {
            Claim::Present(_) => Ok(()),
            Claim::Missing(_) => Err(Error::new(format!("layer {} is not here", layer.diff_id))
                .hint(
                    "it was removed meanwhile, or is of a store of version 1: bring its image in \
                     again",
                )),
        }
    }

    /// Directories of layers, from the uppermost to the lowest.
    pub(super) fn lower(&mut self, layers: &[StageLayer]) -> Result<Vec<PathBuf>> {
        let mut lower = Vec::with_capacity(layers.len());
        for layer in layers.iter().rev() {
            lower.push(match layer {
                StageLayer::Pending { upper, .. } => upper.clone(),
                StageLayer::Known(layer) => {
                    self.keep(layer)?;
                    self.directory_of(&layer.diff_id)?
                }
            });
        }
        Ok(lower)
    }

    fn directory_of(&mut self, diff_id: &Digest) -> Result<PathBuf> {
        let file = match self.store.layer_of(diff_id).form {
            LayerForm::Directory(path) => return Ok(path),
            LayerForm::Erofs(file) => file,
        };
        if let Some(path) = self.lowers.get(diff_id) {
            return Ok(path.clone());
        }
        let path = self.workspace.path.join("lower").join(diff_id.hex());
        make(&path)?;
        mount_erofs(&file, &path)?;
        self.lowers.insert(*diff_id, path.clone());
        Ok(path)
    }

    /// The thread that writes layers.
    pub(super) fn writer(&mut self) -> Result<&mut Writer> {
        if self.writer.is_none() {
            self.writer = Some(Writer::start(Arc::clone(&self.transaction))?);
        }
        let writer = self.writer.as_mut();
        writer.ok_or_else(|| Error::new("the layers cannot be written"))
    }

    /// Ends everything but the transaction, and removes the directory.
    pub(super) fn close(self) -> Result<Transaction> {
        let Self {
            workspace,
            transaction,
            writer,
            runner,
            lowers,
            ..
        } = self;
        drop(runner);
        if let Some(writer) = writer {
            writer.finish();
        }
        for place in lowers.values() {
            // What cannot be unmounted keeps the directory from being removed, which says so.
            let _ = unmount(place, UnmountFlags::DETACH);
        }
        workspace.remove()?;
        Arc::into_inner(transaction).ok_or_else(|| Error::new("the transaction is still in use"))
    }

    /// Removes what a failed build made.
    pub(super) fn abandon(self) {
        // The failure of the build is the one to tell; `prune` finds what is left.
        let _ = self.close();
    }
}

/// Mounts a layer's file, read-only.
fn mount_erofs(file: &Path, target: &Path) -> Result<()> {
    let step = || format!("mount the layer {}", file.display());
    let detached = mount_layer(file).map_err(image_error)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&detached, "", CWD, target, flags).step(step)
}
