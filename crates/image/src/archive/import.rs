//! Whatever holds images or a root file system comes in.
//!
//! Start reading at [`Store::import_images`].

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::contents::Contents;
use super::{docker, layout};
use crate::config::{ImageConfig, Manifest};
use crate::decompress::{Compression, Plain};
use crate::error::{Context, Error, Result};
use crate::reference::Reference;
use crate::store::{
    AddedLayer, Committed, ImportOptions, Imported, Source, Store, Transaction, TransactionOptions,
};
use crate::stream;
use crate::tar::Reader;
use crate::unpack::Unpacked;

/// What a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportFormat {
    /// Found out by its first member.
    #[default]
    Auto,
    /// An OCI image layout: a directory, or a tar archive of one.
    Oci,
    /// What `docker save` writes.
    Docker,
    /// A root file system: a directory, or a tar archive of one.
    Rootfs,
}

/// How much is read to find out what it is: headers and their extensions.
const PEEK_BYTES: u64 = 64 << 10;

impl Store {
    /// Brings in every image that a source holds: an OCI image layout, an archive of `docker save`,
    /// or a root file system that becomes an image of one layer. Archives may be compressed.
    ///
    /// `options.tag` names a single image instead of the names that the archive gives.
    ///
    /// # Errors
    /// The source cannot be read, is malformed, hostile or over a limit, or has several images for
    /// one name; the disk is full. Images before the failing one are there.
    pub fn import_images(
        &self,
        source: Source,
        format: ImportFormat,
        options: &ImportOptions,
    ) -> Result<Vec<Imported>> {
        let described = source.to_string();
        self.import_any(source, format, options)
            .step(|| format!("import {described}"))
    }

    fn import_any(
        &self,
        source: Source,
        format: ImportFormat,
        options: &ImportOptions,
    ) -> Result<Vec<Imported>> {
        if format == ImportFormat::Rootfs {
            return Ok(vec![self.import_rootfs(source, options)?]);
        }
        let stream = match source {
            Source::Stream(stream) => stream,
            Source::Path(path) => {
                let mut file = File::open(&path).step(|| format!("open {}", path.display()))?;
                let metadata = file
                    .metadata()
                    .step(|| format!("look at {}", path.display()))?;
                if metadata.is_dir() {
                    return self.import_directory(&path, format, options);
                }
                let stem = stem(&path);
                if metadata.is_file() && is_plain_archive_of_images(&mut file, format)? {
                    let contents = Contents::archive(file)?;
                    return self.import_contents(&contents, format, stem.as_deref(), options);
                }
                Box::new(file)
            }
        };
        let (first, stream) = peek(stream)?;
        if format == ImportFormat::Auto && !is_of_images(&first) {
            return Ok(vec![self.import_rootfs(Source::Stream(stream), options)?]);
        }
        let staging = self.begin_with(transaction_options(options))?;
        let spooled = spool(stream, &staging, options)?;
        self.import_contents(&Contents::archive(spooled)?, format, None, options)
    }

    fn import_directory(
        &self,
        path: &Path,
        format: ImportFormat,
        options: &ImportOptions,
    ) -> Result<Vec<Imported>> {
        let contents = Contents::directory(path)?;
        if format == ImportFormat::Auto && !layout::is_layout(&contents) {
            let source = Source::Path(path.to_owned());
            return Ok(vec![self.import_rootfs(source, options)?]);
        }
        self.import_contents(&contents, format, stem(path).as_deref(), options)
    }

    fn import_contents(
        &self,
        contents: &Contents,
        format: ImportFormat,
        stem: Option<&str>,
        options: &ImportOptions,
    ) -> Result<Vec<Imported>> {
        if !options.changes.is_empty() || options.message.is_some() {
            return Err(Error::invalid(
                "the image has a configuration of its own, which is not changed on import",
            )
            .hint("build an image FROM it instead: insula image build"));
        }
        let as_layout = match format {
            ImportFormat::Oci => true,
            ImportFormat::Docker => false,
            _ => layout::is_layout(contents),
        };
        let mut images = if as_layout {
            layout::images(contents, stem)?
        } else {
            docker::images(contents)?
        };
        match (&options.tag, images.as_mut_slice()) {
            (None, _) => {}
            (Some(tag), [only]) => only.names = vec![tag.clone()],
            (Some(_), several) => {
                return Err(Error::invalid(format!(
                    "one name was given, and the archive has {} images",
                    several.len()
                ))
                .hint("leave the name out: images get the names that the archive gives them"));
            }
        }
        let bring = |image: &Found| {
            let transaction = self.begin_with(transaction_options(options))?;
            match &image.documents {
                Documents::Layout { manifest, config } => {
                    layout::bring(contents, transaction, (manifest, config), &image.names)
                }
                Documents::Docker { config, layers } => {
                    docker::bring(contents, transaction, (config, layers), &image.names)
                }
            }
        };
        images.iter().map(bring).collect()
    }
}

/// An image of an archive.
pub(super) struct Found {
    pub(super) names: Vec<Reference>,
    pub(super) documents: Documents,
}

pub(super) enum Documents {
    Layout {
        manifest: Vec<u8>,
        config: Vec<u8>,
    },
    /// The members with the layers' archives, lowest first.
    Docker {
        config: Vec<u8>,
        layers: Vec<String>,
    },
}

/// Ends a transaction with the layers that were added.
pub(super) fn commit(
    transaction: Transaction,
    (manifest, config): (&[u8], &[u8]),
    layers: &[AddedLayer],
    names: &[Reference],
) -> Result<Imported> {
    let committed: Committed = transaction.commit(manifest, config, names)?;
    let mut unpacked = Unpacked::default();
    for layer in layers {
        unpacked.entries += layer.unpacked.entries;
        unpacked.content_bytes += layer.unpacked.content_bytes;
        unpacked.skipped += layer.unpacked.skipped;
    }
    Ok(Imported {
        id: committed.id,
        manifest: committed.manifest,
        names: names.iter().map(Reference::kept).collect(),
        layers: layers.iter().map(|layer| layer.diff_id).collect(),
        unpacked,
    })
}

/// The documents of an image, each checked to be one.
pub(super) fn parse(manifest: &[u8], config: &[u8]) -> Result<(Manifest, ImageConfig)> {
    Ok((
        crate::store::parse(manifest, "manifest")?,
        crate::store::parse(config, "image configuration")?,
    ))
}

fn transaction_options(options: &ImportOptions) -> TransactionOptions {
    TransactionOptions {
        unpack: options.unpack.clone(),
        sync: options.sync,
        resumable: false,
        form: options.form,
    }
}

/// A file's name without its endings, where it could be the name of an image.
fn stem(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?;
    let stem = name.split('.').next()?.to_lowercase();
    stem.parse::<Reference>().ok().map(|_| stem)
}

/// The first bytes of a stream, and the whole of it again.
fn peek(mut stream: Box<dyn Read + Send>) -> Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut first = Vec::new();
    let read = stream.by_ref().take(PEEK_BYTES).read_to_end(&mut first);
    read.step(|| "read the archive")?;
    let whole = Cursor::new(first.clone()).chain(stream);
    Ok((first, Box::new(whole)))
}

/// Whether the members can be read where they lie.
fn is_plain_archive_of_images(file: &mut File, format: ImportFormat) -> Result<bool> {
    let mut first = Vec::new();
    file.take(PEEK_BYTES)
        .read_to_end(&mut first)
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .step(|| "read the archive")?;
    let (compression, _) = Compression::detect(Box::new(Cursor::new(first.clone())))?;
    let is_wanted = format != ImportFormat::Auto || is_of_images(&first);
    Ok(compression == Compression::None && is_wanted)
}

/// Judges by the first member. `docker save` and everybody's layouts begin with one of these, and
/// the archive of a root file system with a directory of another name, or `./`.
fn is_of_images(first: &[u8]) -> bool {
    let Ok(mut plain) = Plain::detect(Box::new(Cursor::new(first.to_vec()))) else {
        return false;
    };
    let mut headers = Vec::new();
    // It is cut off in any case: what could be read counts.
    let _ = plain.by_ref().take(PEEK_BYTES).read_to_end(&mut headers);
    let Ok(Some(entry)) = Reader::new(headers.as_slice()).next_entry() else {
        return false;
    };
    let Ok(name) = std::str::from_utf8(&entry.path) else {
        return false;
    };
    let name = name.trim_start_matches("./");
    let top = name.split('/').next().unwrap_or_default();
    let is_named = matches!(
        top,
        "oci-layout" | "index.json" | "manifest.json" | "repositories" | "blobs"
    );
    let stem = top.split('.').next().unwrap_or_default();
    let is_digest = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_named || is_digest
}

/// Writes a stream without its compression where its members can be reached.
fn spool(
    stream: Box<dyn Read + Send>,
    staging: &Transaction,
    options: &ImportOptions,
) -> Result<File> {
    let limits = &options.unpack.limits;
    let ratio = limits.expansion_ratio;
    let (mut pieces, producer) =
        stream::spawn("read archive", limits.archive_bytes, move |output| {
            let mut plain = Plain::detect(stream).map_err(io::Error::other)?;
            output.copy(&mut plain, ratio)
        })?;
    let mut file = staging.scratch()?;
    io::copy(&mut pieces, &mut file).step(|| "write the archive to the staging directory")?;
    producer.finish()?;
    Ok(file)
}
