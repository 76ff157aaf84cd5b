//! A root file system becomes an image.
//!
//! 1. Under the lock: clean up after killed processes, make a staging directory.
//! 2. Without it: unpack into staging while digesting; one syncfs(2) for the whole tree.
//! 3. Under the lock: rename the layer into place, write configuration and manifest, then the
//!    catalogue that names them.
//!
//! A crash before the last rename leaves what nobody names, which step 1 of the next import
//! removes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use insula_sys::rustix::fs::syncfs;

use super::staging::Staging;
use super::{Store, make_directory, write_atomically};
use crate::change::apply_change;
use crate::config::{
    CONFIG_TYPE, Config, Descriptor, History, ImageConfig, LAYER_TYPE, MANIFEST_TYPE, Manifest,
    RootFs,
};
use crate::decompress::Plain;
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::format::CatalogImage;
use crate::reference::Reference;
use crate::stream::{self, Digested, Pieces};
use crate::tar::write_directory;
use crate::timestamp::rfc3339;
use crate::unpack::{UnpackOptions, Unpacked, unpack};

/// Where a root file system comes from.
pub enum Source {
    /// A directory, or a file with an archive.
    Path(PathBuf),
    /// An archive, read from where the stream stands.
    Stream(Box<dyn Read + Send>),
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
    pub diff_id: Digest,
    pub unpacked: Unpacked,
}

impl Store {
    /// Makes an image of a root file system.
    ///
    /// # Errors
    /// The source cannot be read, is malformed, hostile or over a limit; an option is malformed; the
    /// disk is full. Nothing of the image is left then.
    pub fn import(&self, source: Source, options: &ImportOptions) -> Result<Imported> {
        let mut config = Config::default();
        for change in &options.changes {
            apply_change(&mut config, change)?;
        }
        let described = match &source {
            Source::Path(path) => path.display().to_string(),
            Source::Stream(_) => "standard input".to_owned(),
        };
        let staging = self.prepare()?;
        self.fill(&staging, source, options, config)
            .step(|| format!("import {described}"))
    }

    /// Step 1. The leftovers of others are deleted after the lock is gone.
    fn prepare(&self) -> Result<Staging> {
        let exclusive = self.lock_exclusive()?;
        let staging = self.stage(&exclusive)?;
        let leftovers = self.leftovers(&exclusive, &staging)?;
        drop(exclusive);
        drop(leftovers);
        Ok(staging)
    }

    /// Steps 2 and 3.
    fn fill(
        &self,
        staging: &Staging,
        source: Source,
        options: &ImportOptions,
        config: Config,
    ) -> Result<Imported> {
        let layer = staging.path().join("layer");
        let target = layer.join("fs");
        for directory in [&layer, &target] {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .create(directory)
                .step(|| format!("make directory {}", directory.display()))?;
        }
        let opened = File::open(&target).step(|| format!("open {}", target.display()))?;
        let mut pieces = self.read(source, options)?;
        let unpacked = unpack(&mut pieces, opened.as_fd(), &options.unpack)?;
        let digested = pieces.finish()?;
        if opened
            .metadata()
            .step(|| "look at the new root directory")?
            .mode()
            & 0o7777
            == 0o700
        {
            // The archive has no entry for the root: as every archiver's default would be.
            set_mode(&opened, 0o755)?;
        }
        if options.sync {
            syncfs(&opened).step(|| "write the image to disk")?;
        }
        let image = Documents::new(options, config, digested);
        self.publish(&layer, options, &image, &unpacked)
    }

    /// Starts reading the source.
    fn read(&self, source: Source, options: &ImportOptions) -> Result<Pieces> {
        let limits = &options.unpack.limits;
        let stream: Box<dyn Read + Send> = match source {
            Source::Stream(stream) => stream,
            Source::Path(path) => {
                let opened = File::open(&path).step(|| format!("open {}", path.display()))?;
                let metadata = opened.metadata().step(|| "look at the source")?;
                if metadata.is_dir() {
                    self.refuse_own_parent(&path)?;
                    return stream::spawn(limits, move |output| {
                        let mut buffered = std::io::BufWriter::with_capacity(64 << 10, output);
                        write_directory(&path, &mut buffered)?;
                        buffered.flush()
                    });
                }
                Box::new(opened)
            }
        };
        let mut plain = Plain::detect(stream)?;
        let ratio = limits.expansion_ratio;
        stream::spawn(limits, move |output| output.copy(&mut plain, ratio))
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

    /// Step 3.
    fn publish(
        &self,
        layer: &Path,
        options: &ImportOptions,
        image: &Documents,
        unpacked: &Unpacked,
    ) -> Result<Imported> {
        let exclusive = self.lock_exclusive()?;
        let place = self.layer(&image.diff_id);
        for directory in [place.parent(), self.blob_path(&image.id).parent()] {
            make_directory(directory.unwrap_or(&self.directory))?;
        }
        match std::fs::rename(layer, &place) {
            // The same archive was imported before: one copy serves both, ours goes with staging.
            Err(_) if place.is_dir() => {}
            other => other.step(|| format!("move the layer to {}", place.display()))?,
        }
        for (digest, json) in [
            (&image.id, &image.config),
            (&image.manifest_digest, &image.manifest),
        ] {
            write_atomically(&self.blob_path(digest), json)?;
        }
        if options.sync {
            let layers = place.parent().unwrap_or(&self.directory);
            File::open(layers)
                .and_then(|directory| directory.sync_all())
                .step(|| "write the layer's name to disk")?;
        }
        let mut catalog = self.catalog()?;
        catalog.images.insert(
            image.manifest_digest,
            CatalogImage {
                config: image.id,
                layers: vec![image.diff_id],
                size_bytes: unpacked.content_bytes,
                created: rfc3339(options.created),
            },
        );
        if let Some(tag) = &options.tag {
            catalog
                .references
                .insert(tag.tagged(), image.manifest_digest);
        }
        self.set_catalog(&catalog)?;
        drop(exclusive);
        Ok(Imported {
            id: image.id,
            manifest: image.manifest_digest,
            diff_id: image.diff_id,
            unpacked: *unpacked,
        })
    }
}

fn set_mode(file: &File, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .step(|| "set the mode of the root directory")
}

/// The OCI documents of a new image, and their digests.
struct Documents {
    config: Vec<u8>,
    id: Digest,
    manifest: Vec<u8>,
    manifest_digest: Digest,
    diff_id: Digest,
}

impl Documents {
    fn new(options: &ImportOptions, config: Config, layer: Digested) -> Self {
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
                diff_ids: vec![layer.digest],
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
        let id = Digest::of(&config);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: Descriptor::new(CONFIG_TYPE, id, config.len() as u64),
            layers: vec![Descriptor::new(LAYER_TYPE, layer.digest, layer.bytes)],
            other: std::collections::BTreeMap::new(),
        };
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        Self {
            manifest_digest: Digest::of(&manifest),
            manifest,
            id,
            config,
            diff_id: layer.digest,
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
