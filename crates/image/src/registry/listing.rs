//! What a registry knows about a name, without pulling it: tags, and what refers to an image.

use std::sync::Arc;

use super::client::Client;
use super::repository::Repository;
use crate::config::Descriptor;
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::reference::Reference;

/// Signatures, attestations and other documents about one image.
#[derive(Debug, Clone)]
pub struct Referrers {
    pub reference: Reference,
    /// What they are about.
    pub digest: Digest,
    pub descriptors: Vec<Descriptor>,
}

/// Lists what refers to the image or index that a registry has under `reference`.
///
/// # Errors
/// The registry does not have it, does not answer, or refuses.
pub fn referrers(
    client: &Arc<Client>,
    reference: &Reference,
    artifact_type: Option<&str>,
) -> Result<Referrers> {
    let (repository, full) = registry_of(client, reference)?;
    let digest = match full.digest() {
        Some(digest) => *digest,
        None => {
            let tag = full.tag().unwrap_or("latest");
            match repository.manifest_digest(tag)? {
                Some(digest) => digest,
                // A registry may leave the digest out of a HEAD, or have nothing: GET says which.
                None => repository.manifest(&full)?.digest,
            }
        }
    };
    let descriptors = repository
        .referrers(&digest, artifact_type)
        .step(|| format!("list what refers to {full}"))?;
    Ok(Referrers {
        reference: full,
        digest,
        descriptors,
    })
}

/// The tags of a repository, in the registry's order.
///
/// # Errors
/// As for [`referrers`].
pub fn tags(client: &Arc<Client>, reference: &Reference) -> Result<Vec<String>> {
    let (repository, full) = registry_of(client, reference)?;
    repository
        .tags()
        .step(|| format!("list the tags of {}", full.name()))
}

fn registry_of(client: &Arc<Client>, reference: &Reference) -> Result<(Repository, Reference)> {
    let configuration = &client.options.configuration;
    for full in configuration.candidates(reference)? {
        if let Some(endpoint) = configuration.endpoints(&full)?.pop() {
            return Ok((Repository::to_pull(Arc::clone(client), endpoint), full));
        }
    }
    Err(Error::new(
        Kind::NotFound,
        format!("no registry for `{reference}`"),
    ))
}
