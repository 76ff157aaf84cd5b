//! Images go out: exactly as they came, or as what other programs read.
//!
//! Everything that is needed is open before the first byte goes out, so that an image which is
//! removed meanwhile is written to its end. Start reading at [`Store::export`].

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::config::{Descriptor, MANIFEST_TYPE, Manifest};
use crate::decompress::Plain;
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::reference::Reference;
use crate::store::{Image, Store};
use crate::stream;
use crate::tar::{write_directory, write_file_header, write_padding};
use crate::unpack::{Limits, UnpackOptions, unpack};

/// The form of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportFormat {
    /// An OCI image layout with the blobs as they came.
    #[default]
    Oci,
    /// What `docker save` writes.
    Docker,
    /// The union of the layers: what a container sees.
    Rootfs,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Identifiers, in the order they were asked for.
    pub images: Vec<Digest>,
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const COPY_BYTES: usize = 256 << 10;

impl Store {
    /// Writes images as a tar archive to `output`.
    ///
    /// # Errors
    /// There is no such image, part of it is not here or damaged, or the output cannot be written.
    /// A root file system is of one image.
    pub fn export(
        &self,
        names: &[String],
        format: ExportFormat,
        output: &mut dyn Write,
    ) -> Result<Exported> {
        let mut output = BufWriter::with_capacity(COPY_BYTES, output);
        let images = match format {
            ExportFormat::Oci => {
                let layout = Layout::open(self, names)?;
                layout.write(&mut Tar(&mut output))?;
                layout.images
            }
            ExportFormat::Docker => self.export_docker(names, &mut output)?,
            ExportFormat::Rootfs => {
                let (image, union) = self.union(only(names)?)?;
                write_directory(union.directory(), &mut output)
                    .step(|| "write the root file system")?;
                vec![image.id]
            }
        };
        if format != ExportFormat::Rootfs {
            output.write_all(&[0; 1024]).step(written)?;
        }
        output.flush().step(written)?;
        Ok(Exported { images })
    }

    /// Writes images as a new directory: a layout, or a root file system.
    ///
    /// # Errors
    /// As for [`Store::export`]; the directory is not empty; docker's archive is no directory.
    pub fn export_directory(
        &self,
        names: &[String],
        format: ExportFormat,
        directory: &Path,
    ) -> Result<Exported> {
        make_empty(directory)?;
        let images = match format {
            ExportFormat::Oci => {
                let layout = Layout::open(self, names)?;
                layout.write(&mut Files(directory.to_owned()))?;
                layout.images
            }
            ExportFormat::Rootfs => {
                let (image, union) = self.union(only(names)?)?;
                copy_tree(union.directory(), directory)?;
                vec![image.id]
            }
            ExportFormat::Docker => {
                return Err(Error::invalid(
                    "the form of docker is a file, not a directory",
                ));
            }
        };
        Ok(Exported { images })
    }

    fn export_docker(&self, names: &[String], output: &mut dyn Write) -> Result<Vec<Digest>> {
        let mut images = Vec::new();
        let mut saved = Vec::new();
        let mut parts = Vec::new();
        for name in names {
            let image = self.resolve(name)?;
            let part = DockerImage::open(self, &image)?;
            saved.push(json!({
                "Config": part.config_member(),
                "RepoTags": self.names_for(name, &image)?,
                "Layers": part.layers.iter().map(DockerLayer::member).collect::<Vec<_>>(),
            }));
            images.push(image.id);
            parts.push(part);
        }
        let mut tar = Tar(output);
        let index = serde_json::to_vec(&saved).unwrap_or_default();
        tar.put("manifest.json", index.len() as u64, &mut index.as_slice())?;
        let mut done = BTreeSet::new();
        for part in &mut parts {
            part.write(&mut tar, &mut done)?;
        }
        Ok(images)
    }

    /// The name that the user gave, or all that the image has when that was its identifier.
    fn names_for(&self, name: &str, image: &Image) -> Result<Vec<String>> {
        let summaries = self.list()?;
        let mut summaries = summaries.into_iter();
        let names = summaries.find(|summary| summary.manifest == image.manifest);
        let mut names = names.map(|summary| summary.references).unwrap_or_default();
        names.retain(|name| !name.contains('@'));
        let given = name.parse::<Reference>().ok().map(|given| given.kept());
        match given.filter(|given| names.contains(given)) {
            Some(given) => Ok(vec![given]),
            None => Ok(names),
        }
    }
}

fn written() -> &'static str {
    "write the archive"
}

fn only(names: &[String]) -> Result<&str> {
    match names {
        [name] => Ok(name),
        _ => Err(Error::invalid("a root file system is of one image")),
    }
}

fn make_empty(directory: &Path) -> Result<()> {
    let step = || format!("make directory {}", directory.display());
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut entries = std::fs::read_dir(directory).step(step)?;
            match entries.next() {
                None => Ok(()),
                Some(_) => Err(
                    Error::invalid(format!("{} is not empty", directory.display()))
                        .hint("give a directory that is not there yet"),
                ),
            }
        }
        other => other.step(step),
    }
}

/// Copies a tree with everything it has, by way of an archive.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let from = from.to_owned();
    let limits = Limits {
        archive_bytes: u64::MAX,
        ..Limits::default()
    };
    let (pieces, producer) = stream::spawn("read image", u64::MAX, move |output| {
        write_directory(&from, output)
    })?;
    let target = File::open(to).step(|| format!("open {}", to.display()))?;
    let options = UnpackOptions {
        limits,
        ..UnpackOptions::default()
    };
    unpack(pieces, target.as_fd(), &options)?;
    producer.finish().map(drop)
}

/// Where members go.
trait Members {
    /// Writes one of `size` bytes.
    fn put(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()>;
}

struct Tar<'a>(&'a mut dyn Write);

impl Members for Tar<'_> {
    fn put(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        write_file_header(self.0, name, size).step(written)?;
        copy(content, self.0, size, name)?;
        write_padding(self.0, size).step(written)
    }
}

struct Files(PathBuf);

impl Members for Files {
    fn put(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let path = self.0.join(name);
        let step = || format!("write {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).step(step)?;
        let mut file = File::create_new(&path).step(step)?;
        copy(content, &mut file, size, name)
    }
}

/// Copies exactly `size` bytes.
fn copy(from: &mut dyn Read, to: &mut dyn Write, size: u64, name: &str) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut left = size;
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let count = match from.read(&mut buffer[..room]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.step(|| format!("read {name}"))?,
        };
        if count == 0 {
            return Err(damaged(name));
        }
        to.write_all(&buffer[..count]).step(written)?;
        left -= count as u64;
    }
    Ok(())
}

fn damaged(name: &str) -> Error {
    Error::new(Kind::System, format!("{name} is damaged in the store"))
        .hint("`insula image verify` finds out what is; bring the image again")
}

/// Images as a layout, opened.
struct Layout {
    images: Vec<Digest>,
    index: Vec<u8>,
    blobs: Vec<(Descriptor, File)>,
}

impl Layout {
    fn open(store: &Store, names: &[String]) -> Result<Self> {
        let mut layout = Self {
            images: Vec::new(),
            index: Vec::new(),
            blobs: Vec::new(),
        };
        let mut entries = Vec::new();
        let mut done = BTreeSet::new();
        for name in names {
            let image = store.resolve(name)?;
            let json = store.read_blob(&image.manifest)?;
            let manifest: Manifest = crate::store::parse(&json, "manifest")?;
            let media_type = manifest.media_type.as_deref().unwrap_or(MANIFEST_TYPE);
            let own = Descriptor::new(media_type, image.manifest, json.len() as u64);
            entries.extend(store.names_for(name, &image)?.iter().map(|name| {
                json!({
                    "mediaType": own.media_type, "digest": own.digest, "size": own.size,
                    "annotations": {
                        "io.containerd.image.name": name,
                        "org.opencontainers.image.ref.name": name,
                    },
                })
            }));
            if !entries
                .iter()
                .any(|entry| entry["digest"] == own.digest.to_string())
            {
                entries.push(json!({
                    "mediaType": own.media_type, "digest": own.digest, "size": own.size,
                }));
            }
            let parts = [own, manifest.config].into_iter().chain(manifest.layers);
            for part in parts.filter(|part| done.insert(part.digest)) {
                let file = open_part(store, &part)?;
                layout.blobs.push((part, file));
            }
            layout.images.push(image.id);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": crate::registry::manifest::OCI_INDEX,
            "manifests": entries,
        });
        layout.index = serde_json::to_vec(&index).unwrap_or_default();
        Ok(layout)
    }

    fn write(&self, members: &mut dyn Members) -> Result<()> {
        members.put("oci-layout", LAYOUT.len() as u64, &mut &*LAYOUT)?;
        members.put("index.json", self.index.len() as u64, &mut &*self.index)?;
        for (part, file) in &self.blobs {
            let name = format!("blobs/sha256/{}", part.digest.hex());
            let mut content = Digesting::new(file);
            members.put(&name, part.size, &mut content)?;
            if content.hasher.finish() != part.digest {
                return Err(damaged(&format!("blob {}", part.digest)));
            }
        }
        Ok(())
    }
}

fn open_part(store: &Store, part: &Descriptor) -> Result<File> {
    store.open_blob(&part.digest).map_err(|error| {
        let reason = format!("the archive of layer {} is not here", part.digest);
        match error.is_not_found() {
            true => Error::new(Kind::NotFound, reason)
                .hint("an earlier version kept no archives: import the image again"),
            false => error,
        }
    })
}

/// Digests what is read through it: what goes out is what came in, or the export fails.
struct Digesting<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> Digesting<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Hasher::default(),
        }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// One image in docker's form, opened.
struct DockerImage {
    id: Digest,
    config: Vec<u8>,
    layers: Vec<DockerLayer>,
}

struct DockerLayer {
    diff_id: Digest,
    size: u64,
    archive: File,
}

impl DockerLayer {
    fn member(&self) -> String {
        format!("{}.tar", self.diff_id.hex())
    }
}

impl DockerImage {
    fn open(store: &Store, image: &Image) -> Result<Self> {
        let manifest = store.manifest(&image.manifest)?;
        let mut layers = Vec::new();
        for (layer, part) in image.layers.iter().zip(&manifest.layers) {
            let archive = open_part(store, part)?;
            let size = match store.archive_bytes(&layer.diff_id) {
                Some(size) => size,
                None => inflated_bytes(open_part(store, part)?)?,
            };
            layers.push(DockerLayer {
                diff_id: layer.diff_id,
                size,
                archive,
            });
        }
        Ok(Self {
            id: image.id,
            config: store.read_blob(&image.id)?,
            layers,
        })
    }

    fn config_member(&self) -> String {
        format!("{}.json", self.id.hex())
    }

    /// Layers that were written before, for another image, are not written again.
    fn write(&mut self, tar: &mut Tar<'_>, done: &mut BTreeSet<Digest>) -> Result<()> {
        if done.insert(self.id) {
            let size = self.config.len() as u64;
            tar.put(&self.config_member(), size, &mut self.config.as_slice())?;
        }
        for layer in self.layers.drain(..) {
            if !done.insert(layer.diff_id) {
                continue;
            }
            let name = layer.member();
            let (mut pieces, producer) = inflate(layer.archive)?;
            tar.put(&name, layer.size, &mut pieces)?;
            let rest = pieces.fill_buf().step(|| format!("read {name}"))?;
            if !rest.is_empty() || producer.finish()?.digest != layer.diff_id {
                return Err(damaged(&format!("layer {}", layer.diff_id)));
            }
        }
        Ok(())
    }
}

fn inflate(archive: File) -> Result<(stream::Pieces, stream::Producer)> {
    stream::spawn("inflate layer", u64::MAX, move |output| {
        let mut plain = Plain::detect(Box::new(archive)).map_err(io::Error::other)?;
        output.copy(&mut plain, u64::MAX)
    })
}

fn inflated_bytes(archive: File) -> Result<u64> {
    let (mut pieces, producer) = inflate(archive)?;
    io::copy(&mut pieces, &mut io::sink()).step(|| "read the layer")?;
    producer.finish().map(|digested| digested.bytes)
}
