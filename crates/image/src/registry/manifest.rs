//! Manifests and indexes as registries serve them: which kind, is it sound, what does it name.
//!
//! A document is taken for what it says itself (`mediaType`), and must not be two things at once
//! (CVE-2021-41190). What is not an image that can run (schema 1, artifacts, layers kept
//! elsewhere) is refused by the name of its type.

use serde::Deserialize;
use serde_json::Value;

use super::platform::Platform;
use crate::config::{Descriptor, Manifest};
use crate::error::{Error, Kind, Result};

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What is asked for. Without the older forms a registry would convert or refuse.
pub(crate) const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];
/// Layers that their makers do not allow registries to serve.
const ELSEWHERE: [&str; 2] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// What a registry serves under a tag or digest.
#[derive(Debug, Clone)]
pub enum Document {
    Image(Manifest),
    Index(Index),
}

/// A list of images for several platforms (image-spec, image-index.md).
#[derive(Debug, Clone, Deserialize)]
pub struct Index {
    pub manifests: Vec<IndexEntry>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct IndexEntry {
    #[serde(flatten)]
    pub descriptor: Descriptor,
    pub platform: Option<Platform>,
}

/// The media type of a document: its own word, or else the header's.
pub(crate) fn media_type(json: &[u8], header: Option<&str>) -> Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u64>,
        media_type: Option<String>,
        layers: Option<Value>,
        config: Option<Value>,
        manifests: Option<Value>,
        fs_layers: Option<Value>,
    }
    let shape: Shape = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    if shape.schema_version == Some(1) || shape.fs_layers.is_some() {
        return Err(unsupported(
            "application/vnd.docker.distribution.manifest.v1+json",
            "an image of docker before 1.10",
        ));
    }
    let is_image = shape.layers.is_some() || shape.config.is_some();
    if is_image && shape.manifests.is_some() {
        return Err(Error::invalid(
            "the manifest is an image and an index at once",
        ));
    }
    let header = header.map(|value| value.split(';').next().unwrap_or_default().trim());
    let known = |text: &&str| ACCEPTED.contains(text);
    let said = match (shape.media_type.as_deref(), header.filter(known)) {
        (Some(own), Some(header)) if own != header => {
            return Err(Error::invalid(format!(
                "the manifest calls itself {}, the registry calls it {header}",
                printable(own)
            )));
        }
        (Some(own), _) => own.to_owned(),
        (None, Some(header)) => header.to_owned(),
        // Both specifications let an OCI document be silent about itself.
        (None, None) if shape.manifests.is_some() => OCI_INDEX.to_owned(),
        (None, None) if is_image => OCI_MANIFEST.to_owned(),
        (None, None) => return Err(Error::invalid("the document is no manifest")),
    };
    let is_index = matches!(&*said, OCI_INDEX | DOCKER_LIST);
    if ACCEPTED.contains(&&*said) && is_index != shape.manifests.is_some() {
        return Err(Error::invalid(format!(
            "the manifest calls itself {said} and has another content"
        )));
    }
    Ok(said)
}

/// Reads a document of a known media type.
pub(crate) fn parse(json: &[u8], media_type: &str) -> Result<Document> {
    match media_type {
        OCI_INDEX | DOCKER_LIST => serde_json::from_slice(json)
            .map(Document::Index)
            .map_err(|error| malformed(&error)),
        OCI_MANIFEST | DOCKER_MANIFEST => serde_json::from_slice(json)
            .map(Document::Image)
            .map_err(|error| malformed(&error)),
        other => Err(unsupported(other, "not an image")),
    }
}

/// Reads what a registry serves under a tag or digest; `header` is its `Content-Type`.
///
/// # Errors
/// It is malformed, contradicts itself or the header, or is neither an image nor an index.
pub fn read_document(json: &[u8], header: Option<&str>) -> Result<Document> {
    parse(json, &media_type(json, header)?)
}

/// Refuses what cannot become the root of a container.
///
/// # Errors
/// It is an artifact, or has layers of another kind; which is said.
pub fn check_runnable(manifest: &Manifest) -> Result<()> {
    let config = &*manifest.config.media_type;
    if !matches!(config, OCI_CONFIG | DOCKER_CONFIG) {
        let kind = match manifest.other.get("artifactType").and_then(Value::as_str) {
            Some(kind) => format!("an artifact of type {kind}"),
            None => "an artifact, not an image".to_owned(),
        };
        return Err(unsupported(config, &kind));
    }
    for layer in &manifest.layers {
        let kind = &*layer.media_type;
        if LAYERS.contains(&kind) {
            continue;
        }
        return Err(
            if ELSEWHERE
                .iter()
                .any(|elsewhere| kind.starts_with(elsewhere))
            {
                unsupported(kind, "a layer that registries do not serve")
                    .hint("such layers are parts of Windows images, which do not run here")
            } else {
                unsupported(kind, "a layer of an unknown kind")
            },
        );
    }
    Ok(())
}

fn unsupported(media_type: &str, what: &str) -> Error {
    let shown = printable(media_type);
    Error::invalid(format!("media type {shown} is not supported: {what}"))
}

fn malformed(error: &serde_json::Error) -> Error {
    let reason = printable(&error.to_string());
    Error::invalid(format!("the manifest is malformed: {reason}"))
}

/// A registry's words may hold anything, and must not steer a terminal.
fn printable(text: &str) -> String {
    let characters = text.chars().filter(|character| !character.is_control());
    characters.take(200).collect()
}

impl Index {
    /// The image for `wanted`.
    ///
    /// # Errors
    /// There is none; the hint says what there is.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor> {
        let ranked = self.manifests.iter().filter_map(|entry| {
            let rank = match &entry.platform {
                Some(platform) => wanted.rank(platform)?,
                None if self.manifests.len() == 1 => 0,
                // A nested index says nothing about platforms; an attestation has others.
                None if is_index(&entry.descriptor) => 5,
                None => return None,
            };
            Some((rank, &entry.descriptor))
        });
        let best = ranked.min_by_key(|(rank, _)| *rank);
        best.map(|(_, descriptor)| descriptor).ok_or_else(|| {
            let offered = self.platforms();
            let error = Error::new(Kind::NotFound, format!("there is no image for {wanted}"));
            if offered.is_empty() {
                error
            } else {
                error.hint(format!("there is: {}", offered.join(", ")))
            }
        })
    }

    /// What there is, each platform once.
    #[must_use]
    pub fn platforms(&self) -> Vec<String> {
        let mut platforms: Vec<String> = Vec::new();
        for platform in self
            .manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
        {
            let text = platform.to_string();
            // Attestations are listed for unknown/unknown.
            if platform.os != "unknown" && !platforms.contains(&text) {
                platforms.push(text);
            }
        }
        platforms
    }
}

fn is_index(descriptor: &Descriptor) -> bool {
    matches!(&*descriptor.media_type, OCI_INDEX | DOCKER_LIST)
}

#[cfg(test)]
mod tests;
