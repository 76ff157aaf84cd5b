//! Brings an image from a registry into the store.
//!
//! 1. Find out which names the user's may stand for, and who serves them: the first that answers
//!    with a manifest is the one.
//! 2. From an index, choose the image for the platform.
//! 3. Fetch the configuration, then the layers that the store lacks, several at a time. Each is
//!    unpacked while it arrives; digests are checked on the way.
//! 4. Commit: the image is visible under its name.
//!
//! Whatever fails, the store has what it had before, and the beginnings of layers for next time.

use std::sync::Arc;

use ureq::http::Method;

use super::blob::BlobStream;
use super::client::{Client, Fetched, Target};
use super::manifest::{Document, check_runnable};
use super::parallel;
use super::platform::Platform;
use super::progress::{BlobState, Event, Progress};
use super::repository::{FetchedManifest, MANIFEST_BYTES_MAX, Repository};
use super::retry::Cancel;
use crate::config::{Descriptor, ImageConfig, Manifest};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::reference::Reference;
use crate::store::{AddedLayer, Claim, Store, Transaction, TransactionOptions, check_layer_counts};

/// Layers under way at once, unless the user says otherwise: as docker has it.
pub const PARALLEL_DEFAULT: usize = 3;
/// Indexes of indexes of indexes are nobody's image.
const INDEX_DEPTH_MAX: usize = 4;

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// This host's when absent.
    pub platform: Option<Platform>,
    /// Layers under way at once.
    pub parallel: usize,
    pub transaction: TransactionOptions,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: None,
            parallel: PARALLEL_DEFAULT,
            transaction: TransactionOptions::default(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The full name that was found.
    pub reference: Reference,
    /// What the registry has under that name: a manifest or an index.
    pub digest: Digest,
    /// The manifest of the image in the store.
    pub manifest: Digest,
    /// The digest of the image configuration.
    pub id: Digest,
    /// Compressed bytes of layers that came over the network now.
    pub transferred_bytes: u64,
}

/// A name that a registry knows, and everybody who serves it from there on.
struct Found {
    reference: Reference,
    /// The one that answered is the first.
    sources: Vec<Repository>,
    top: FetchedManifest,
}

/// An image whose documents are here.
struct Documents {
    manifest: Manifest,
    manifest_json: Vec<u8>,
    config: ImageConfig,
    config_json: Vec<u8>,
}

/// Pulls one image. It is kept under the name as the user wrote it.
///
/// # Errors
/// No registry has it, it has no image for the platform, it is of a kind that is not supported, a
/// transfer fails for good, or what comes is not what was promised.
pub fn pull(
    store: &Store,
    client: &Arc<Client>,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let found = find(client, reference)?;
    progress.hear(&Event::Resolved {
        reference: &found.reference,
        digest: found.top.digest,
    });
    let top = found.top.digest;
    let documents =
        fetch_documents(&found, options, progress).step(|| format!("pull {}", found.reference))?;
    let transaction = store.begin_with(options.transaction.clone())?;
    let transferred_bytes = fetch_layers(
        &transaction,
        &found.sources,
        &documents,
        options.parallel,
        progress,
    )
    .step(|| format!("pull {}", found.reference))?;
    client.options.cancel.check()?;
    let name = reference.with_digest(top);
    let committed =
        transaction.commit(&documents.manifest_json, &documents.config_json, &[name])?;
    Ok(Pulled {
        reference: found.reference,
        digest: top,
        manifest: committed.manifest,
        id: committed.id,
        transferred_bytes,
    })
}

/// Step 1. What one registry or mirror lacks, the next may have.
fn find(client: &Arc<Client>, reference: &Reference) -> Result<Found> {
    let candidates = client.options.configuration.candidates(reference)?;
    let mut first_error = None;
    let mut missing = Vec::new();
    for candidate in candidates {
        let endpoints = client.options.configuration.endpoints(&candidate)?;
        let sources: Vec<Repository> = endpoints
            .into_iter()
            .map(|endpoint| Repository::to_pull(Arc::clone(client), endpoint))
            .collect();
        for (index, source) in sources.iter().enumerate() {
            match source.manifest(&candidate) {
                Ok(top) => {
                    return Ok(Found {
                        reference: candidate,
                        sources: sources[index..].to_vec(),
                        top,
                    });
                }
                Err(error) if may_be_elsewhere(error.kind()) => {
                    // The registry itself knows best; a mirror may just not have it.
                    if !source.endpoint.is_mirror || first_error.is_none() {
                        first_error = Some(error);
                    }
                }
                Err(error) => return Err(error.within(&candidate)),
            }
        }
        missing.push(candidate);
    }
    let [only] = missing.as_slice() else {
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let error = Error::new(
            Kind::NotFound,
            format!("no registry has `{reference}`: tried {}", names.join(", ")),
        );
        return Err(error.hint("write the registry in front: HOST/NAME"));
    };
    Err(match first_error {
        Some(error) => error.within(only),
        None => Error::new(Kind::NotFound, format!("nobody serves {only}")),
    })
}

fn may_be_elsewhere(kind: Kind) -> bool {
    matches!(kind, Kind::NotFound | Kind::Unreachable | Kind::Denied)
}

impl Error {
    /// Says what was to be pulled.
    fn within(self, reference: &Reference) -> Self {
        match Err::<(), Self>(self).step(|| format!("pull {reference}")) {
            Err(error) => error,
            Ok(()) => unreachable!("an error stays an error"),
        }
    }
}

/// Step 2, and the configuration of step 3.
fn fetch_documents(
    found: &Found,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Documents> {
    let source = &found.sources[0];
    let host = Platform::host();
    let platform = options.platform.as_ref().unwrap_or(&host);
    let image = choose(source, found.top.clone(), platform)?;
    let Document::Image(manifest) = image.document else {
        return Err(Error::invalid("an index is no image"));
    };
    check_runnable(&manifest)?;
    let config_json = fetch_config(source, &manifest.config)?;
    let config: ImageConfig = serde_json::from_slice(&config_json).map_err(|error| {
        Error::invalid(format!("the image configuration is malformed: {error}"))
    })?;
    check_layer_counts(&manifest, &config)?;
    // What was chosen from an index is what the index says.
    if matches!(found.top.document, Document::Image(_)) {
        check_platform(&config, platform, options.platform.is_some(), progress)?;
    }
    Ok(Documents {
        manifest,
        manifest_json: image.json,
        config,
        config_json,
    })
}

fn choose(
    source: &Repository,
    top: FetchedManifest,
    platform: &Platform,
) -> Result<FetchedManifest> {
    let mut current = top;
    for _ in 0..INDEX_DEPTH_MAX {
        let Document::Index(index) = &current.document else {
            return Ok(current);
        };
        let chosen = index.choose(platform)?;
        let next = source.manifest_by(&chosen.digest.to_string(), Some(&chosen.digest))?;
        if next.json.len() as u64 != chosen.size {
            return Err(Error::invalid(format!(
                "manifest {} has {} bytes, the index says {}",
                chosen.digest,
                next.json.len(),
                chosen.size
            )));
        }
        if next.media_type != chosen.media_type {
            return Err(Error::invalid(format!(
                "manifest {} is {}, the index says {}",
                chosen.digest, next.media_type, chosen.media_type
            )));
        }
        current = next;
    }
    Err(Error::invalid(format!(
        "indexes are nested more than {INDEX_DEPTH_MAX} deep"
    )))
}

fn fetch_config(source: &Repository, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let what = "get the image configuration";
    if descriptor.size > MANIFEST_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the image configuration has {} bytes, the limit is {MANIFEST_BYTES_MAX}",
            descriptor.size
        )));
    }
    let path = source.path(&format!("blobs/{}", descriptor.digest));
    let call = source.call(Method::GET, Target::Path(&path));
    let fetched = source
        .client
        .fetch(&source.endpoint, &call, descriptor.size)
        .step(|| what)?;
    let json = match fetched {
        Fetched::Body(_, json) => json,
        Fetched::Refused(answer) => return Err(answer.into_error(&source.endpoint, what)),
    };
    match Digest::of(&json) {
        found if found == descriptor.digest => Ok(json),
        found => Err(Error::invalid(format!(
            "{what}: the registry sent {found} instead of {}",
            descriptor.digest
        ))),
    }
}

/// An image that was not chosen from an index may be for any machine.
fn check_platform(
    config: &ImageConfig,
    wanted: &Platform,
    is_asked_for: bool,
    progress: &dyn Progress,
) -> Result<()> {
    let variant = config.other.get("variant").and_then(|value| value.as_str());
    let offered = Platform {
        os: config.os.clone(),
        architecture: config.architecture.clone(),
        variant: variant.map(str::to_owned),
    };
    // Some builders leave it out.
    if offered.architecture.is_empty() || wanted.rank(&offered).is_some() {
        return Ok(());
    }
    let text = format!("the image is for {offered}, not for {wanted}");
    if is_asked_for {
        return Err(Error::new(Kind::NotFound, text));
    }
    progress.hear(&Event::Warning(&text));
    Ok(())
}

/// Step 3: the layers. Returns how many bytes came.
fn fetch_layers(
    transaction: &Transaction,
    sources: &[Repository],
    documents: &Documents,
    threads: usize,
    progress: &dyn Progress,
) -> Result<u64> {
    let diff_ids = &documents.config.rootfs.diff_ids;
    let layers: Vec<(&Descriptor, &Digest)> =
        documents.manifest.layers.iter().zip(diff_ids).collect();
    for (layer, _) in &layers {
        tell(progress, layer, BlobState::Waiting);
    }
    let stop = Cancel::default();
    let fetch = |(layer, diff_id): &(&Descriptor, &Digest)| {
        fetch_layer(transaction, sources, (layer, diff_id), &stop, progress)
    };
    let came = parallel::each(&layers, threads, &stop, &fetch)?;
    Ok(came.iter().sum())
}

fn fetch_layer(
    transaction: &Transaction,
    sources: &[Repository],
    (layer, diff_id): (&Descriptor, &Digest),
    stop: &Cancel,
    progress: &dyn Progress,
) -> Result<u64> {
    let mut transferred = 0;
    loop {
        let pending = match transaction.claim_layer(layer, Some(diff_id))? {
            Claim::Present(_) => {
                tell(progress, layer, BlobState::Present);
                return Ok(transferred);
            }
            Claim::Missing(pending) => pending,
        };
        let offset = pending.resume_from();
        tell(progress, layer, BlobState::Moving(offset));
        let stream = BlobStream::new(sources, layer, offset, stop.clone());
        let fault = stream.fault();
        let moving = |bytes: u64| tell(progress, layer, BlobState::Moving(bytes));
        let received: Result<AddedLayer> = pending.receive(Box::new(stream), &moving);
        transferred += layer.size - offset;
        match received {
            Ok(_) => {
                tell(progress, layer, BlobState::Done);
                return Ok(transferred);
            }
            // What an earlier attempt left may be what is wrong: once more, from the start.
            Err(error) if error.kind() == Kind::Invalid && offset > 0 => {}
            // The stream knows better than its reader why it ended.
            Err(error) => return Err(fault.take().unwrap_or(error)),
        }
    }
}

fn tell(progress: &dyn Progress, layer: &Descriptor, state: BlobState<'_>) {
    progress.hear(&Event::Blob {
        digest: layer.digest,
        size_bytes: layer.size,
        state,
    });
}
