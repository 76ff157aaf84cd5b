//! How a layer is kept, and how an archive becomes one.

use std::fs::File;
use std::io::BufRead;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::erofs::write_layer;
use crate::error::{Context, Result};
use crate::format::{FormName, ImageRecord};
use crate::unpack::{UnpackOptions, Unpacked, unpack};

/// The names of a layer's parts inside its directory.
pub(crate) mod parts {
    pub(crate) const RECORD: &str = "layer.json";
    pub(crate) const DIRECTORY: &str = "fs";
    pub(crate) const EROFS: &str = "layer.erofs";
}

/// A layer of an image, ready to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of its uncompressed archive.
    pub diff_id: Digest,
    pub form: LayerForm,
}

/// How a layer is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerForm {
    /// A file with a read-only EROFS file system.
    Erofs(PathBuf),
    /// A directory.
    Directory(PathBuf),
}

impl LayerForm {
    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Erofs(path) | Self::Directory(path) => path,
        }
    }
}

/// What came of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) form: FormName,
    pub(crate) unpacked: Unpacked,
    pub(crate) image: Option<ImageRecord>,
}

/// Makes a layer of an uncompressed archive in `place`, an empty directory, and reads the archive
/// to its end.
pub(crate) fn apply(
    archive: &mut dyn BufRead,
    place: &Path,
    form: FormName,
    options: &UnpackOptions,
) -> Result<Applied> {
    match form {
        FormName::Erofs => write_image(archive, &place.join(parts::EROFS), options),
        FormName::Directory => unpack_directory(archive, &place.join(parts::DIRECTORY), options),
    }
}

fn write_image(archive: &mut dyn BufRead, path: &Path, options: &UnpackOptions) -> Result<Applied> {
    let mut open = File::options();
    open.read(true).write(true).create_new(true).mode(0o600);
    let file = open.open(path);
    let file = file.step(|| format!("make {}", path.display()))?;
    let written = write_layer(archive, &file, options)?;
    Ok(Applied {
        form: FormName::Erofs,
        unpacked: Unpacked {
            entries: written.entries,
            content_bytes: written.content_bytes,
            skipped: written.skipped,
        },
        image: Some(ImageRecord {
            bytes: written.image_bytes,
            metadata_offset: written.metadata_offset,
            checksums: written.checksums,
        }),
    })
}

fn unpack_directory(
    archive: &mut dyn BufRead,
    target: &Path,
    options: &UnpackOptions,
) -> Result<Applied> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(target)
        .step(|| format!("make directory {}", target.display()))?;
    let opened = File::open(target).step(|| format!("open {}", target.display()))?;
    // Where the archive has no entry for the root: as every archiver's default would be. Nobody else
    // comes this far, for the directory above is closed.
    opened
        .set_permissions(std::fs::Permissions::from_mode(0o755))
        .step(|| "set the mode of the root directory")?;
    let unpacked = unpack(archive, opened.as_fd(), options)?;
    Ok(Applied {
        form: FormName::Directory,
        unpacked,
        image: None,
    })
}
