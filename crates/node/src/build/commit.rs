//! The finished stage becomes an image of the store.

use std::collections::BTreeMap;

use insula_container::error::{Error, Result};
use insula_image::{
    CONFIG_TYPE, CachedLayer, Claim, Committed, Descriptor, Digest, MANIFEST_TYPE, Manifest,
    RootFs, TransactionOptions,
};

use super::stage::StageLayer;
use super::{Builder, Built};
use crate::run::image_error;

/// The documents of an image.
struct Documents {
    config: Vec<u8>,
    manifest: Vec<u8>,
    committed: Committed,
}

impl Builder<'_> {
    /// Commits the target. An image that is there already is not written again.
    pub(super) fn commit(&mut self) -> Result<Built> {
        let layers = self.target_layers()?;
        let documents = self.documents(&layers);
        let committed = documents.committed.clone();
        let is_here = self.is_here(&committed.manifest);
        match self.workshop.take() {
            None if is_here => {}
            None => self.commit_cached(&layers, &documents)?,
            Some(mut workshop) => {
                for layer in &layers {
                    workshop.keep(layer)?;
                }
                let transaction = workshop.close()?;
                let names = &self.options.names;
                transaction
                    .commit(&documents.manifest, &documents.config, names)
                    .map_err(image_error)?;
            }
        }
        Ok(Built {
            id: committed.id,
            manifest: committed.manifest,
            cached: self.cached,
            steps: self.steps,
        })
    }

    fn target_layers(&self) -> Result<Vec<CachedLayer>> {
        let state = self.stages[self.plan.target].as_ref();
        let state = state.ok_or_else(|| Error::new("the target was not built"))?;
        let layers = state.layers.iter().filter_map(|layer| match layer {
            StageLayer::Known(layer) => Some(layer.clone()),
            StageLayer::Pending { .. } => None,
        });
        Ok(layers.collect())
    }

    fn documents(&self, layers: &[CachedLayer]) -> Documents {
        let mut config = self.stages[self.plan.target]
            .as_ref()
            .map(|state| state.config.clone())
            .unwrap_or_default();
        config
            .config
            .labels
            .extend(self.options.labels.iter().cloned());
        config.rootfs = RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
        };
        let config = serde_json::to_vec(&config).unwrap_or_default();
        let id = Digest::of(&config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: Descriptor {
                media_type: CONFIG_TYPE.to_owned(),
                digest: id,
                size: config.len() as u64,
                other: BTreeMap::new(),
            },
            layers: layers
                .iter()
                .map(|layer| layer.descriptor.clone())
                .collect(),
            other: BTreeMap::new(),
        };
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        let committed = Committed {
            id,
            manifest: Digest::of(&manifest),
        };
        Documents {
            config,
            manifest,
            committed,
        }
    }

    /// Whether the store has this very image under all the names.
    fn is_here(&self, manifest: &Digest) -> bool {
        let named = |name: &str| {
            let image = self.store.resolve(name);
            image.is_ok_and(|image| image.manifest == *manifest)
        };
        named(&manifest.to_string())
            && self
                .options
                .names
                .iter()
                .all(|name| named(&name.to_string()))
    }

    /// Commits an image of which everything was found.
    fn commit_cached(&self, layers: &[CachedLayer], documents: &Documents) -> Result<()> {
        let options = TransactionOptions {
            sync: self.options.sync,
            resumable: false,
            ..TransactionOptions::default()
        };
        let transaction = self.store.begin_with(options).map_err(image_error)?;
        for layer in layers {
            let claim = transaction.claim_layer(&layer.descriptor, Some(&layer.diff_id));
            if let Claim::Missing(_) = claim.map_err(image_error)? {
                return Err(
                    Error::new(format!("layer {} was removed meanwhile", layer.diff_id))
                        .hint("build again"),
                );
            }
        }
        transaction
            .commit(&documents.manifest, &documents.config, &self.options.names)
            .map_err(image_error)?;
        Ok(())
    }
}
