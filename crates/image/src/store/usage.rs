//! How much of the disk images take, and how much of that could be had back.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Store;
use crate::digest::Digest;
use crate::error::Result;
use crate::format::CatalogImage;

/// Bytes on the disk, as blocks that are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images in the catalogue.
    pub images: usize,
    /// Those that are used.
    pub used_images: usize,
    /// Of all images; what they share counts once.
    pub image_bytes: u64,
    /// Of that, what only unused images need.
    pub reclaimable_bytes: u64,
    /// Transfers that were cut off, and can go on.
    pub partials: usize,
    pub partial_bytes: u64,
    /// What is being made or was left by killed processes.
    pub staged: usize,
    pub staged_bytes: u64,
}

impl Store {
    /// Measures the store. `users` gives the names of those who use the image with a manifest.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub fn usage(&self, users: &dyn Fn(&Digest) -> Vec<String>) -> Result<Usage> {
        let catalog = self.catalog()?;
        let is_used = |manifest: &Digest| {
            !users(manifest).is_empty() || !self.mounted_at(manifest).is_empty()
        };
        let mut all = BTreeSet::new();
        let mut needed = BTreeSet::new();
        let mut used_images = 0;
        for (manifest, image) in &catalog.images {
            let parts = self.parts(manifest, image);
            if is_used(manifest) {
                used_images += 1;
                needed.extend(parts.iter().cloned());
            }
            all.extend(parts);
        }
        let sum = |parts: &mut dyn Iterator<Item = &PathBuf>| -> u64 {
            parts.map(|part| disk_bytes(part)).sum()
        };
        let (partials, partial_bytes) = self.contents_of("partial/sha256");
        let (staged, staged_bytes) = self.contents_of("staging");
        Ok(Usage {
            images: catalog.images.len(),
            used_images,
            image_bytes: sum(&mut all.iter()),
            reclaimable_bytes: sum(&mut all.difference(&needed)),
            partials,
            partial_bytes,
            staged,
            staged_bytes,
        })
    }

    fn parts(&self, manifest: &Digest, image: &CatalogImage) -> Vec<PathBuf> {
        let mut blobs = vec![*manifest, image.config];
        blobs.extend(&image.blobs);
        blobs.extend(image.layers.iter().filter_map(|layer| layer.blob));
        let blobs = blobs.iter().map(|blob| self.blob_path(blob));
        let layers = image.layers.iter();
        let layers = layers.map(|layer| self.layer_path(&layer.diff_id));
        blobs.chain(layers).collect()
    }

    fn contents_of(&self, directory: &str) -> (usize, u64) {
        let Ok(entries) = std::fs::read_dir(self.directory.join(directory)) else {
            return (0, 0);
        };
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        (paths.len(), paths.iter().map(|path| disk_bytes(path)).sum())
    }
}

/// The blocks of a file, or of a tree. What vanishes meanwhile takes nothing.
#[must_use]
pub fn disk_bytes(path: &Path) -> u64 {
    let mut bytes = 0;
    let mut pending = vec![path.to_owned()];
    // A file with several names takes its blocks once.
    let mut links = BTreeSet::new();
    while let Some(path) = pending.pop() {
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        let is_first = metadata.is_dir()
            || metadata.nlink() == 1
            || links.insert((metadata.dev(), metadata.ino()));
        if is_first {
            bytes += metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            pending.extend(entries.map(|entry| entry.path()));
        }
    }
    bytes
}
