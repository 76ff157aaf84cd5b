//! Brings an image from the store to a registry: its blobs, then the manifest that names them.
//!
//! The bytes are those that were pulled, imported or built, so the manifest has the same digest
//! there as here. A blob that the registry has in another repository is mounted from there: the
//! names of the images in the store say where it may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::Client;
use super::manifest::media_type;
use super::parallel;
use super::progress::{BlobState, Event, Progress};
use super::pull::PARALLEL_DEFAULT;
use super::repository::Repository;
use super::retry::Cancel;
use super::upload::{Arrived, Blob, push_blob};
use crate::config::{Descriptor, Manifest};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::reference::Reference;
use crate::store::Store;

/// How to push.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Blobs under way at once.
    pub parallel: usize,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            parallel: PARALLEL_DEFAULT,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The full name under which the registry has it.
    pub reference: Reference,
    pub digest: Digest,
}

/// Pushes the image that the store knows as `image` to `destination`.
///
/// # Errors
/// There is no such image, a part of it is not kept in the form that registries take, or the
/// registry refuses or cannot be reached.
pub fn push(
    store: &Store,
    client: &Arc<Client>,
    image: &str,
    destination: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<Pushed> {
    // Held to the end: what is pushed must not be removed meanwhile.
    let kept = store.lock_shared()?;
    let found = store.resolve(image)?;
    let digest = found.manifest;
    if store.is_from_index(&digest)? {
        progress.hear(&Event::Warning(&format!(
            "`{image}` came from an index of several platforms: its image for {}/{} is pushed, the \
             others are not here",
            found.config.os, found.config.architecture
        )));
    }
    let json = store.read_blob(&digest)?;
    let kind = media_type(&json, None)?;
    let manifest = store.manifest(&digest)?;
    let repository = destination_of(client, destination)?;
    let full = repository.1;
    let repository = repository.0;
    push_blobs(store, &repository, &manifest, options.parallel, progress)
        .step(|| format!("push {full}"))?;
    drop(kept);
    client.options.cancel.check()?;
    let tag = full.tag().unwrap_or("latest");
    repository
        .put_manifest(tag, &kind, &json)
        .step(|| format!("push {full}"))?;
    progress.hear(&Event::Resolved {
        reference: &full,
        digest,
    });
    Ok(Pushed {
        reference: full,
        digest,
    })
}

/// The registry itself: mirrors are read only.
fn destination_of(client: &Arc<Client>, reference: &Reference) -> Result<(Repository, Reference)> {
    if reference.digest().is_some() {
        return Err(Error::invalid(format!(
            "`{reference}` names a digest: what is pushed has its own"
        ))
        .hint("push to a tag: NAME:TAG"));
    }
    let configuration = &client.options.configuration;
    let candidates = configuration.candidates(reference)?;
    let full = candidates.into_iter().next();
    let full = full.ok_or_else(|| Error::invalid(format!("no registry for `{reference}`")))?;
    let endpoint = configuration.endpoints(&full)?.pop();
    let endpoint = endpoint.ok_or_else(|| Error::invalid(format!("nobody serves {full}")))?;
    Ok((Repository::to_push(Arc::clone(client), endpoint), full))
}

fn push_blobs(
    store: &Store,
    repository: &Repository,
    manifest: &Manifest,
    threads: usize,
    progress: &dyn Progress,
) -> Result<()> {
    let mut blobs: Vec<&Descriptor> = Vec::new();
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        // One layer may be there twice.
        if blobs.iter().all(|known| known.digest != blob.digest) {
            tell(progress, blob, BlobState::Waiting);
            blobs.push(blob);
        }
    }
    let elsewhere = other_repositories(store, repository)?;
    let stop = Cancel::default();
    let push = |descriptor: &&Descriptor| {
        let from = elsewhere.get(&descriptor.digest).map(String::as_str);
        push_one(store, repository, descriptor, from, progress)
    };
    parallel::each(&blobs, threads, &stop, &push).map(drop)
}

fn push_one(
    store: &Store,
    repository: &Repository,
    descriptor: &Descriptor,
    from: Option<&str>,
    progress: &dyn Progress,
) -> Result<()> {
    let file = store.open_blob(&descriptor.digest)?;
    let length = file.metadata().step(|| "look at a blob")?.len();
    if length != descriptor.size {
        return Err(Error::invalid(format!(
            "blob {} in the store has {length} bytes, the manifest says {}",
            descriptor.digest, descriptor.size
        ))
        .hint("the store is damaged: insula image verify"));
    }
    let blob = Blob {
        digest: descriptor.digest,
        size: descriptor.size,
        file: &file,
        sent: &|bytes| tell(progress, descriptor, BlobState::Moving(bytes)),
    };
    let state = match push_blob(repository, &blob, from)? {
        Arrived::Present => BlobState::Present,
        Arrived::Mounted(from) => {
            tell(progress, descriptor, BlobState::Mounted(&from));
            return Ok(());
        }
        Arrived::Uploaded => BlobState::Done,
    };
    tell(progress, descriptor, state);
    Ok(())
}

/// For blobs of this registry's other images in the store: a repository that should have them.
fn other_repositories(store: &Store, to: &Repository) -> Result<BTreeMap<Digest, String>> {
    let configuration = &to.client.options.configuration;
    let mut known = BTreeMap::new();
    for image in store.list()? {
        let places = image.references.iter().filter_map(|name| {
            let reference: Reference = name.parse().ok()?;
            let full = configuration
                .candidates(&reference)
                .ok()?
                .into_iter()
                .next()?;
            let endpoint = configuration.endpoints(&full).ok()?.pop()?;
            let is_other = endpoint.host == to.endpoint.host && endpoint.path != to.endpoint.path;
            is_other.then_some(endpoint.path)
        });
        let Some(place) = places.min() else { continue };
        let Ok(manifest) = store.manifest(&image.manifest) else {
            continue;
        };
        for layer in manifest.layers {
            known.entry(layer.digest).or_insert_with(|| place.clone());
        }
    }
    Ok(known)
}

fn tell(progress: &dyn Progress, blob: &Descriptor, state: BlobState<'_>) {
    progress.hear(&Event::Blob {
        digest: blob.digest,
        size_bytes: blob.size,
        state,
    });
}
