//! OCI image layouts (image-spec, image-layout.md), coming in.

use serde_json::Value;

use super::contents::Contents;
use super::import::{Documents, Found, commit, parse};
use crate::config::Descriptor;
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::reference::Reference;
use crate::registry::Platform;
use crate::registry::manifest::{self, Document, Index, IndexEntry};
use crate::store::{Claim, Imported, Transaction, check_layer_counts};

/// Indexes of indexes of indexes are nobody's image.
const INDEX_DEPTH_MAX: usize = 4;
/// An archive with more images than this is nobody's.
const IMAGES_MAX: usize = 1000;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";
const DOCKER_KIND: &str = "vnd.docker.reference.type";

pub(super) fn is_layout(contents: &Contents) -> bool {
    contents.has("oci-layout") && contents.has("index.json")
}

/// Every image of the layout, with its documents and names. Of an image for several platforms, the
/// one for this host. `stem` goes in front of a name that is only a tag.
pub(super) fn images(contents: &Contents, stem: Option<&str>) -> Result<Vec<Found>> {
    let version: Value = crate::store::parse(&contents.read("oci-layout")?, "file `oci-layout`")?;
    if version["imageLayoutVersion"].as_str() != Some("1.0.0") {
        let error = "the layout has another version than 1.0.0";
        return Err(Error::invalid(error));
    }
    let index: Index = crate::store::parse(&contents.read("index.json")?, "file `index.json`")?;
    if index.manifests.len() > IMAGES_MAX {
        return Err(Error::invalid(format!(
            "the layout has more than {IMAGES_MAX} images"
        )));
    }
    let host = Platform::host();
    let entries: Vec<&IndexEntry> = index.manifests.iter().collect();
    let mut images = Vec::new();
    for entry in &entries {
        if is_attestation(&entry.descriptor) || is_outdone(entry, &entries, &host) {
            continue;
        }
        let names = names(&entry.descriptor, stem);
        let (manifest, config) = documents(contents, &entry.descriptor, &host)?;
        images.push(Found {
            names,
            documents: Documents::Layout { manifest, config },
        });
    }
    match images.is_empty() {
        true => Err(Error::invalid("the layout has no image")),
        false => Ok(images),
    }
}

fn annotation<'a>(descriptor: &'a Descriptor, key: &str) -> Option<&'a str> {
    descriptor.other.get("annotations")?.get(key)?.as_str()
}

/// What builders attach to an image is listed beside it.
fn is_attestation(descriptor: &Descriptor) -> bool {
    annotation(descriptor, DOCKER_KIND).is_some()
}

/// Whether another image under the same name suits this host better.
fn is_outdone(entry: &IndexEntry, entries: &[&IndexEntry], host: &Platform) -> bool {
    let name = |entry: &IndexEntry| annotation(&entry.descriptor, REF_NAME).map(str::to_owned);
    let rank = |entry: &IndexEntry| match &entry.platform {
        Some(platform) => host.rank(platform).unwrap_or(u8::MAX),
        None => 0,
    };
    let mut rivals = entries.iter().filter(|other| name(other) == name(entry));
    let own = rank(entry);
    entry.platform.is_some() && rivals.any(|other| rank(other) < own)
}

/// The full name that containerd and docker write, or the layout's own, which may be a tag only.
fn names(descriptor: &Descriptor, stem: Option<&str>) -> Vec<Reference> {
    let full = annotation(descriptor, CONTAINERD_NAME).and_then(|name| name.parse().ok());
    let own = annotation(descriptor, REF_NAME).and_then(|name| {
        let is_full = name.contains([':', '/', '@']);
        match stem.filter(|_| !is_full) {
            Some(stem) => format!("{stem}:{name}").parse().ok(),
            None => name.parse().ok(),
        }
    });
    full.or(own).into_iter().collect()
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A document of the layout, as its descriptor says it is.
fn document(contents: &Contents, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let json = contents.read(&blob_name(&descriptor.digest))?;
    let found = Digest::of(&json);
    if found != descriptor.digest || json.len() as u64 != descriptor.size {
        return Err(Error::invalid(format!(
            "member `{}` is not what its name and its descriptor say: it has {found} and {} bytes",
            blob_name(&descriptor.digest),
            json.len()
        )));
    }
    Ok(json)
}

/// The manifest and the configuration behind a descriptor, which may be an index's.
fn documents(
    contents: &Contents,
    descriptor: &Descriptor,
    host: &Platform,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut descriptor = descriptor.clone();
    for _ in 0..INDEX_DEPTH_MAX {
        let json = document(contents, &descriptor)?;
        let media_type = manifest::media_type(&json, None)?;
        match manifest::parse(&json, &media_type)? {
            Document::Index(index) => descriptor = index.choose(host)?.clone(),
            Document::Image(parsed) => {
                manifest::check_runnable(&parsed)?;
                let config = document(contents, &parsed.config)?;
                return Ok((json, config));
            }
        }
    }
    Err(Error::invalid(format!(
        "indexes lead to indexes more than {INDEX_DEPTH_MAX} times"
    )))
}

/// Brings one image in.
pub(super) fn bring(
    contents: &Contents,
    transaction: Transaction,
    (manifest, config): (&[u8], &[u8]),
    names: &[Reference],
) -> Result<Imported> {
    let (parsed, image) = parse(manifest, config)?;
    check_layer_counts(&parsed, &image)?;
    let mut layers = Vec::with_capacity(parsed.layers.len());
    for (descriptor, diff_id) in parsed.layers.iter().zip(&image.rootfs.diff_ids) {
        let pending = match transaction.claim_layer(descriptor, Some(diff_id))? {
            Claim::Present(layer) => {
                layers.push(layer);
                continue;
            }
            Claim::Missing(pending) => pending,
        };
        let mut content = contents.need(&blob_name(&descriptor.digest))?;
        let before = pending.resume_from();
        std::io::copy(
            &mut std::io::Read::take(&mut content.stream, before),
            &mut std::io::sink(),
        )
        .step(|| "read the layer")?;
        layers.push(pending.receive(content.stream, &|_| {})?);
    }
    commit(transaction, (manifest, config), &layers, names)
}
