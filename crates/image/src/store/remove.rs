//! Names and images go; what nobody needs any more is deleted.
//!
//! The catalogue changes first. From then on nobody finds the image, and whatever a crash leaves of
//! its layers and blobs belongs to no catalogue and is removed by the next change.

use std::collections::BTreeSet;
use std::time::Duration;

use super::collect::Partials;
use super::{Store, find, references_of};
use crate::build_cache::AGE_MAX;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use crate::reference::Reference;

/// What [`Store::remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    pub untagged: Vec<String>,
    /// Identifiers of images that are gone.
    pub deleted: Vec<Digest>,
    /// Bytes of file content that are gone with their layers.
    pub freed_bytes: u64,
}

/// What [`Store::prune`] may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneScope {
    /// Only what killed processes left.
    Leftovers,
    /// Also images without a name, and steps of builds that were not used for a week.
    Unnamed,
    /// Also images that no container uses, and all steps of builds.
    Unused,
}

/// What [`Store::prune`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub deleted: Vec<Digest>,
    /// Half-made or half-deleted things of killed processes.
    pub leftovers: usize,
    /// Steps of builds that were done before and will be done again.
    pub cached_steps: usize,
    pub freed_bytes: u64,
}

impl Store {
    /// Takes a name away, and the image with it when that was its last.
    ///
    /// An identifier or digest names the image itself: it goes with all its names, but more than
    /// one name needs `force`. `users` gives the names of the containers that use the image with a
    /// manifest; an image in use stays unless `force`, and even then its layers are deleted only
    /// for containers that run no more.
    ///
    /// # Errors
    /// There is no such image, it is in use, or it has several names.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        users: &dyn Fn(&Digest) -> Vec<String>,
    ) -> Result<Removed> {
        let exclusive = self.lock_exclusive()?;
        let mut catalog = self.catalog()?;
        let (manifest, image) = find(&catalog, name)?;
        let id = image.config;
        let size_bytes = image.size_bytes;
        let names = references_of(&catalog, &manifest);
        let tagged = name.parse::<Reference>().ok();
        let tagged = tagged.filter(|reference| reference.digest().is_none());
        let tagged = tagged.map(|reference| reference.kept());
        let by_name = tagged.filter(|tagged| names.contains(tagged));
        let untagged = match by_name {
            Some(tagged) => vec![tagged],
            None if names.len() > 1 && !force => return Err(several_names(name, &names)),
            None => names.clone(),
        };
        for name in &untagged {
            catalog.references.remove(name);
        }
        let mut removed = Removed::default();
        if untagged.len() == names.len() {
            let mut users = users(&manifest);
            users.extend(self.mounted_at(&manifest));
            refuse_if_used(name, force, &users)?;
            catalog.images.remove(&manifest);
            removed.deleted.push(id);
            removed.freed_bytes = size_bytes;
        }
        removed.untagged = untagged;
        self.with_spare(|| self.set_catalog(&catalog))?;
        let staging = self.with_spare(|| self.stage(&exclusive))?;
        let leftovers = self.with_spare(|| self.leftovers(&exclusive, &staging, Partials::Old))?;
        drop(exclusive);
        drop((leftovers, staging));
        self.restore_spare();
        Ok(removed)
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// There is no image `name`, or the catalogue cannot be written.
    pub fn tag(&self, name: &str, new: &Reference) -> Result<()> {
        let _exclusive = self.lock_exclusive()?;
        let mut catalog = self.catalog()?;
        let (manifest, _) = find(&catalog, name)?;
        catalog.references.insert(new.kept(), manifest);
        self.set_catalog(&catalog)
    }

    /// Removes what killed processes left and, by `scope`, images that nobody needs.
    ///
    /// # Errors
    /// The catalogue cannot be read or written.
    pub fn prune(
        &self,
        scope: PruneScope,
        users: &dyn Fn(&Digest) -> Vec<String>,
    ) -> Result<Pruned> {
        if !self.directory.exists() {
            return Ok(Pruned::default());
        }
        let exclusive = self.lock_exclusive()?;
        let mut catalog = self.catalog()?;
        let mut pruned = Pruned::default();
        if scope != PruneScope::Leftovers {
            let named: BTreeSet<Digest> = catalog.references.values().copied().collect();
            let unneeded: Vec<Digest> = catalog
                .images
                .keys()
                .filter(|manifest| scope == PruneScope::Unused || !named.contains(manifest))
                .filter(|manifest| users(manifest).is_empty())
                .filter(|manifest| self.mounted_at(manifest).is_empty())
                .copied()
                .collect();
            for manifest in unneeded {
                if let Some(image) = catalog.images.remove(&manifest) {
                    pruned.deleted.push(image.config);
                    pruned.freed_bytes += image.size_bytes;
                }
                catalog.references.retain(|_, to| *to != manifest);
            }
            if !pruned.deleted.is_empty() {
                self.with_spare(|| self.set_catalog(&catalog))?;
            }
        }
        match scope {
            PruneScope::Leftovers => {}
            PruneScope::Unnamed => pruned.cached_steps = self.build_cache().prune(AGE_MAX),
            PruneScope::Unused => pruned.cached_steps = self.build_cache().prune(Duration::ZERO),
        }
        let staging = self.with_spare(|| self.stage(&exclusive))?;
        let leftovers = self.with_spare(|| self.leftovers(&exclusive, &staging, Partials::All))?;
        pruned.leftovers = leftovers.staged.len() + leftovers.partials;
        if pruned.deleted.is_empty() && pruned.cached_steps == 0 {
            pruned.leftovers += leftovers.orphans;
        }
        drop(exclusive);
        drop((leftovers, staging));
        self.restore_spare();
        Ok(pruned)
    }
}

fn refuse_if_used(name: &str, force: bool, users: &[String]) -> Result<()> {
    match users {
        [first, ..] if !force => Err(Error::new(
            Kind::InUse,
            format!("image `{name}` is used by `{first}`"),
        )
        .hint("remove the container or unmount the image first, or force it: insula rmi --force")),
        _ => Ok(()),
    }
}

fn several_names(name: &str, names: &[String]) -> Error {
    Error::new(
        Kind::Ambiguous,
        format!("image `{name}` has several names: {}", names.join(", ")),
    )
    .hint("remove the names one by one, or all at once: insula rmi --force")
}
