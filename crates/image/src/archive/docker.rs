//! Archives of `docker save`, coming in: `manifest.json` names a configuration and the layers,
//! which are plain archives (docker's image specification 1.2).

use serde::Deserialize;

use super::contents::Contents;
use super::import::{Documents, Found, commit};
use crate::config::{CONFIG_TYPE, Descriptor, ImageConfig, MANIFEST_TYPE, Manifest};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::reference::Reference;
use crate::store::{Imported, LAYERS_MAX, Transaction};

/// An archive with more images than this is nobody's.
const IMAGES_MAX: usize = 1000;

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// Every image of the archive.
pub(super) fn images(contents: &Contents) -> Result<Vec<Found>> {
    if !contents.has("manifest.json") {
        return Err(Error::invalid(
            "the archive has neither `index.json` with `oci-layout` nor `manifest.json`",
        )
        .hint("if it is a root file system, say so: --format rootfs"));
    }
    let json = contents.read("manifest.json")?;
    let saved: Vec<Saved> = crate::store::parse(&json, "file `manifest.json`")?;
    if saved.len() > IMAGES_MAX {
        return Err(Error::invalid(format!(
            "the archive has more than {IMAGES_MAX} images"
        )));
    }
    if saved.is_empty() {
        return Err(Error::invalid("the archive has no image"));
    }
    saved
        .into_iter()
        .map(|saved| found(contents, saved))
        .collect()
}

fn found(contents: &Contents, saved: Saved) -> Result<Found> {
    let names = saved.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| name.parse::<Reference>());
    Ok(Found {
        names: names.collect::<Result<_>>()?,
        documents: Documents::Docker {
            config: contents.read(&saved.config)?,
            layers: saved.layers.unwrap_or_default(),
        },
    })
}

/// Brings one image in. It keeps its configuration, and so its identifier.
pub(super) fn bring(
    contents: &Contents,
    transaction: Transaction,
    (config, members): (&[u8], &[String]),
    names: &[Reference],
) -> Result<Imported> {
    let image: ImageConfig = crate::store::parse(config, "image configuration")?;
    let diff_ids = &image.rootfs.diff_ids;
    if members.len() != diff_ids.len() || members.len() > LAYERS_MAX {
        return Err(Error::invalid(format!(
            "the archive lists {} layers and the image configuration {}; the limit is {LAYERS_MAX}",
            members.len(),
            diff_ids.len()
        )));
    }
    let mut layers = Vec::with_capacity(members.len());
    for (member, diff_id) in members.iter().zip(diff_ids) {
        let layer = match transaction.find_layer(diff_id)? {
            Some(layer) => layer,
            None => {
                let stream = contents.need(member)?.stream;
                let added = transaction.add_layer_of(stream, diff_id);
                added.step(|| format!("member `{member}`"))?
            }
        };
        layers.push(layer);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config: Descriptor::new(CONFIG_TYPE, Digest::of(config), config.len() as u64),
        layers: layers
            .iter()
            .map(|layer| layer.descriptor.clone())
            .collect(),
        other: std::collections::BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
    commit(transaction, (&manifest, config), &layers, names)
}
