//! A root file system becomes an image of one layer.
//!
//! Its archive comes in like any layer's; the configuration and the manifest are made here.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Store;
use super::transaction::{AddedLayer, Transaction, TransactionOptions};
use crate::change::apply_change;
use crate::config::{
    CONFIG_TYPE, Config, Descriptor, History, ImageConfig, MANIFEST_TYPE, Manifest, RootFs,
};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::layer::FormChoice;
use crate::reference::Reference;
use crate::timestamp::rfc3339;
use crate::unpack::{UnpackOptions, Unpacked};

/// Where a root file system comes from.
pub enum Source {
    /// A directory, or a file with an archive.
    Path(PathBuf),
    /// An archive, read from where the stream stands.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Stream(_) => f.write_str("standard input"),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// How to import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The name to give. It is taken from the image that had it.
    pub tag: Option<Reference>,
    /// Instructions such as `CMD ["bash"]`, see [`apply_change`].
    pub changes: Vec<String>,
    /// Shown in the image's history.
    pub message: Option<String>,
    pub created: SystemTime,
    /// `amd64` and the like; that of this host when absent.
    pub architecture: Option<String>,
    pub unpack: UnpackOptions,
    /// The form of the layer: the best that this host can mount when absent.
    pub form: Option<FormChoice>,
    /// Wait until the disk has everything. Without it a power failure may lose the image.
    pub sync: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            tag: None,
            changes: Vec::new(),
            message: None,
            created: SystemTime::now(),
            architecture: None,
            unpack: UnpackOptions::default(),
            form: None,
            sync: true,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The digest of the image configuration.
    pub id: Digest,
    pub manifest: Digest,
    /// Names that were given, `name:tag`.
    pub names: Vec<String>,
    /// Digests of the uncompressed layers, lowest first.
    pub layers: Vec<Digest>,
    pub unpacked: Unpacked,
}

impl Store {
    /// Makes an image of a root file system.
    ///
    /// # Errors
    /// The source cannot be read, is malformed, hostile or over a limit; an option is malformed; the
    /// disk is full. Nothing of the image is left then.
    pub fn import(&self, source: Source, options: &ImportOptions) -> Result<Imported> {
        let described = source.to_string();
        self.import_rootfs(source, options)
            .step(|| format!("import {described}"))
    }

    pub(crate) fn import_rootfs(
        &self,
        source: Source,
        options: &ImportOptions,
    ) -> Result<Imported> {
        let mut config = Config::default();
        for change in &options.changes {
            apply_change(&mut config, change)?;
        }
        self.import_layer(source, options, config)
    }

    fn import_layer(
        &self,
        source: Source,
        options: &ImportOptions,
        config: Config,
    ) -> Result<Imported> {
        let transaction = self.begin_with(TransactionOptions {
            unpack: options.unpack.clone(),
            sync: options.sync,
            resumable: false,
            form: options.form,
        })?;
        let layer = self.add_source(&transaction, source)?;
        let documents = Documents::new(options, config, &layer);
        let names: Vec<Reference> = options.tag.iter().cloned().collect();
        let committed = transaction.commit(&documents.manifest, &documents.config, &names)?;
        Ok(Imported {
            id: committed.id,
            manifest: committed.manifest,
            names: names.iter().map(Reference::kept).collect(),
            layers: vec![layer.diff_id],
            unpacked: layer.unpacked,
        })
    }

    fn add_source(&self, transaction: &Transaction, source: Source) -> Result<AddedLayer> {
        let path = match source {
            Source::Stream(stream) => return transaction.add_layer(stream),
            Source::Path(path) => path,
        };
        let opened = File::open(&path).step(|| format!("open {}", path.display()))?;
        let metadata = opened.metadata().step(|| "look at the source")?;
        if !metadata.is_dir() {
            return transaction.add_layer(Box::new(opened));
        }
        self.refuse_own_parent(&path)?;
        transaction.add_directory(&path)
    }

    /// A directory that holds the store would be copied into itself without end.
    fn refuse_own_parent(&self, directory: &Path) -> Result<()> {
        let name = || format!("look at {}", directory.display());
        let directory = directory.canonicalize().step(name)?;
        let store = self.directory.canonicalize().step(name)?;
        if store.starts_with(&directory) {
            return Err(Error::invalid(format!(
                "{} holds the image store itself",
                directory.display()
            ))
            .hint("import a directory that is a root file system of its own"));
        }
        Ok(())
    }
}

/// The OCI documents of a new image.
struct Documents {
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Documents {
    fn new(options: &ImportOptions, config: Config, layer: &AddedLayer) -> Self {
        let created = rfc3339(options.created);
        let image = ImageConfig {
            created: Some(created.clone()),
            architecture: match &options.architecture {
                Some(architecture) => architecture.clone(),
                None => host_architecture().to_owned(),
            },
            os: "linux".to_owned(),
            config,
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![layer.diff_id],
            },
            history: vec![History {
                created: Some(created),
                created_by: Some("insula image import".to_owned()),
                comment: options.message.clone(),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let config = serde_json::to_vec(&image).unwrap_or_default();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: Descriptor::new(CONFIG_TYPE, Digest::of(&config), config.len() as u64),
            layers: vec![layer.descriptor.clone()],
            other: std::collections::BTreeMap::new(),
        };
        Self {
            manifest: serde_json::to_vec(&manifest).unwrap_or_default(),
            config,
        }
    }
}

/// Go's name of this host's architecture, as image-spec wants it.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
