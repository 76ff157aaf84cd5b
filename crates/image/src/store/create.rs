//! Layers that a build makes here, and the cache of its steps.

use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::Store;
use super::staging::Keep;
use super::transaction::{AddedLayer, Transaction};
use crate::build_cache::{BuildCache, CachedLayer};
use crate::digest::Digest;
use crate::error::Result;
use crate::layer::Layer;
use crate::tar::{Upper, write_upper};

impl Transaction {
    /// Adds a layer from the upper directory of an overlay. `below` is the root of what lies below
    /// it, if anything does; `modified` is a time for all its files instead of their own.
    ///
    /// # Errors
    /// The directory cannot be read, or the system refuses.
    pub fn add_upper(
        &self,
        directory: PathBuf,
        below: Option<OwnedFd>,
        modified: Option<i64>,
    ) -> Result<AddedLayer> {
        let hidden = Vec::new();
        self.add_changes(directory, below, (modified, hidden))
    }

    /// As [`Transaction::add_upper`], without the paths of `hidden`, which are relative to the
    /// directory. The times are the files' own.
    ///
    /// # Errors
    /// As [`Transaction::add_upper`].
    pub fn add_upper_without(
        &self,
        directory: PathBuf,
        below: Option<OwnedFd>,
        hidden: Vec<PathBuf>,
    ) -> Result<AddedLayer> {
        self.add_changes(directory, below, (None, hidden))
    }

    fn add_changes(
        &self,
        directory: PathBuf,
        below: Option<OwnedFd>,
        (modified, hidden): (Option<i64>, Vec<PathBuf>),
    ) -> Result<AddedLayer> {
        let upper = Upper {
            below,
            modified,
            hidden,
        };
        let produce = move |output: &mut crate::stream::PieceWriter| {
            let mut buffered = BufWriter::with_capacity(64 << 10, output);
            write_upper(&directory, &upper, &mut buffered)?;
            buffered.flush()
        };
        let added = self.shared.take_archive(produce, None);
        added.inspect_err(|error| self.shared.note(error))
    }
}

impl Store {
    /// The steps of earlier builds.
    #[must_use]
    pub fn build_cache(&self) -> BuildCache {
        BuildCache::new(&self.directory)
    }

    /// Whether a layer and its archive are here. To keep them, claim them.
    #[must_use]
    pub fn holds(&self, layer: &CachedLayer) -> bool {
        let blob = self.blob_path(&layer.descriptor.digest).metadata();
        let is_whole = blob.is_ok_and(|blob| blob.len() == layer.descriptor.size)
            && !self.is_damaged(Keep::Archive(layer.descriptor.digest));
        is_whole && self.unpacked(&layer.diff_id).is_some()
    }

    /// The layer with this digest, which must be here.
    #[must_use]
    pub fn layer_of(&self, diff_id: &Digest) -> Layer {
        self.layer(diff_id)
    }
}
