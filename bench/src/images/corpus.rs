//! The image that is pulled: one layer of 65,000 files and 900 MB, compressed in both ways, as an
//! OCI image layout below `target/bench`.
//!
//! Names and sizes come from a fixed seed, contents are pieces of this machine's own programs and
//! texts, so that they compress as images do. It is made once and kept.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const FILES: u64 = 65_000;
const FILES_PER_DIRECTORY: u64 = 25;
/// Of the contents that files are cut from.
const POOL_BYTES: usize = 256 << 20;
const GZIP_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// The names of the two images in the layout.
pub(super) const FORMS: [&str; 2] = ["gzip", "zstd"];

/// Makes the layout in `directory`, or does nothing when it is there.
pub(super) fn make(directory: &Path) -> Result<()> {
    if directory.join("index.json").exists() {
        return Ok(());
    }
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("make {}", blobs.display()))?;
    let pool = read_pool()?;
    let gzip = flate2::write::GzEncoder::new(Blob::new(&blobs)?, flate2::Compression::new(6));
    let zstd = zstd::Encoder::new(Blob::new(&blobs)?, 3)?;
    let mut tee = Tee {
        hash: Sha256::new(),
        gzip,
        zstd,
    };
    write_archive(&mut BufWriter::with_capacity(1 << 20, &mut tee), &pool)?;
    let diff_id = hex(&tee.hash.finalize());
    let layers = [
        (GZIP_TYPE, tee.gzip.finish()?.finish(&blobs)?),
        (ZSTD_TYPE, tee.zstd.finish()?.finish(&blobs)?),
    ];
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]}});
    let config = put(&blobs, "application/vnd.oci.image.config.v1+json", &config)?;
    let manifests = FORMS.iter().zip(layers).map(|(name, (kind, layer))| {
        let manifest = json!({"schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": [describe(kind, &layer)]});
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = put(&blobs, kind, &manifest)?;
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        Ok(manifest)
    });
    let manifests = manifests.collect::<Result<Vec<Value>>>()?;
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    fs::write(
        directory.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    fs::write(directory.join("index.json"), index.to_string())?;
    Ok(())
}

fn describe(kind: &str, (digest, size): &(String, u64)) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size})
}

fn put(blobs: &Path, kind: &str, document: &Value) -> Result<Value> {
    let mut blob = Blob::new(blobs)?;
    blob.write_all(document.to_string().as_bytes())?;
    Ok(describe(kind, &blob.finish(blobs)?))
}

/// The uncompressed archive goes three ways.
struct Tee<A: Write, B: Write> {
    hash: Sha256,
    gzip: A,
    zstd: B,
}

impl<A: Write, B: Write> Write for Tee<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.gzip.write_all(bytes)?;
        self.zstd.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that gets its digest for a name.
struct Blob {
    file: BufWriter<File>,
    path: PathBuf,
    hash: Sha256,
    size: u64,
}

impl Blob {
    fn new(blobs: &Path) -> Result<Self> {
        let mut number = 0;
        let path = loop {
            let path = blobs.join(format!("new-{number}"));
            if !path.exists() {
                break path;
            }
            number += 1;
        };
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, file),
            path,
            hash: Sha256::new(),
            size: 0,
        })
    }

    fn finish(mut self, blobs: &Path) -> Result<(String, u64)> {
        self.file.flush()?;
        let digest = hex(&self.hash.finalize());
        fs::rename(&self.path, blobs.join(&digest))?;
        Ok((digest, self.size))
    }
}

impl Write for Blob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of what this machine has installed.
fn read_pool() -> Result<Vec<u8>> {
    let mut pool = Vec::with_capacity(POOL_BYTES);
    let mut places = vec![PathBuf::from("/usr")];
    while let Some(place) = places.pop() {
        let mut entries: Vec<_> = fs::read_dir(&place)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                places.push(entry.path());
            } else if kind.is_file() {
                // No single file is to fill the pool.
                let file = File::open(entry.path());
                let read = file.and_then(|file| file.take(4 << 20).read_to_end(&mut pool));
                read.with_context(|| format!("read {}", entry.path().display()))?;
            }
            if pool.len() >= POOL_BYTES {
                return Ok(pool);
            }
        }
    }
    ensure!(pool.len() > 1 << 20, "there is next to nothing below /usr");
    Ok(pool)
}

fn write_archive(output: &mut dyn Write, pool: &[u8]) -> Result<()> {
    let mut archive = tar::Builder::new(output);
    // Knuth's MMIX generator: the same tree everywhere.
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for number in 0..FILES {
        let directory = number / FILES_PER_DIRECTORY;
        let place = format!("tree/{}/{}", directory / 50, directory);
        if number.is_multiple_of(FILES_PER_DIRECTORY) {
            add(&mut archive, &place, tar::EntryType::Directory, &[])?;
        }
        let size = match random(100) {
            0..82 => random(6 << 10),
            82..97 => random(60 << 10),
            _ => (64 << 10) + random(336 << 10),
        };
        let start = usize::try_from(random((pool.len() as u64) - size))?;
        let content = &pool[start..start + usize::try_from(size)?];
        let path = format!("{place}/file-{number}");
        add(&mut archive, &path, tar::EntryType::Regular, content)?;
    }
    archive.finish().context("finish the archive")
}

fn add(
    archive: &mut tar::Builder<&mut dyn Write>,
    path: &str,
    kind: tar::EntryType,
    content: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    header.set_uid(0);
    header.set_gid(0);
    archive
        .append_data(&mut header, path, content)
        .with_context(|| format!("write {path} to the archive"))
}
