//! The context: the directory that COPY and ADD take files from, and the Containerfile in it.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use insula_container::error::{Context as _, Error, Result};
use insula_image::containerfile::{Containerfile, Ignore};
use insula_image::{BuildCache, UnpackOptions, is_archive, unpack_archive};

use super::digest::Digests;
use super::tree::Tree;
use crate::run::image_error;

const FILE_NAMES: [&str; 2] = ["Containerfile", "Dockerfile"];
const IGNORE_NAMES: [&str; 2] = [".containerignore", ".dockerignore"];
/// A Containerfile or ignore file larger than this is not written by anybody.
const TEXT_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) tree: Tree,
    pub(super) ignore: Ignore,
    pub(super) digests: Digests,
}

impl Context {
    /// The context in a directory. `file` is the Containerfile's path: an ignore file beside it that
    /// has its name in front wins.
    pub(super) fn open(
        path: &Path,
        file: Option<&Path>,
        cache: Option<&BuildCache>,
    ) -> Result<Self> {
        let path = path
            .canonicalize()
            .step(|| format!("open the context {}", path.display()))?;
        if !path.is_dir() {
            return Err(
                Error::new(format!("the context {} is not a directory", path.display()))
                    .hint("give the directory that has the files of COPY, for example ."),
            );
        }
        let own = file.map(|file| {
            IGNORE_NAMES.map(|name| {
                let mut own = file.as_os_str().to_owned();
                own.push(name);
                PathBuf::from(own)
            })
        });
        let own = own.into_iter().flatten();
        let candidates = own.chain(IGNORE_NAMES.map(|name| path.join(name)));
        let mut ignore = Ignore::default();
        for candidate in candidates {
            if let Some(text) = read_text(&candidate)? {
                let name = candidate.file_name().unwrap_or_default().to_string_lossy();
                ignore = Ignore::parse(&text, &name).map_err(image_error)?;
                break;
            }
        }
        Ok(Self {
            tree: Tree::open(&path)?,
            digests: cache.map_or_else(Digests::default, |cache| Digests::open(cache, &path)),
            ignore,
        })
    }
}

/// Finds and reads the Containerfile: `file`, or one of the usual names in the context.
pub(super) fn containerfile(
    context: &Path,
    file: Option<&Path>,
) -> Result<(PathBuf, Containerfile)> {
    let Some(file) = file else {
        for name in FILE_NAMES {
            let path = context.join(name);
            if let Some(text) = read_text(&path)? {
                return Ok((
                    path,
                    Containerfile::parse(&text, name).map_err(image_error)?,
                ));
            }
        }
        return Err(Error::new(format!(
            "there is no Containerfile and no Dockerfile in {}",
            context.display()
        ))
        .hint("name it: insula image build -f FILE DIRECTORY"));
    };
    let text = read_text(file)?.ok_or_else(|| {
        Error::new(format!("there is no file {}", file.display()))
            .hint("the path of -f is relative to the working directory, not to the context")
    })?;
    let name = file.display().to_string();
    let parsed = Containerfile::parse(&text, &name).map_err(image_error)?;
    Ok((file.to_owned(), parsed))
}

fn read_text(path: &Path) -> Result<Option<String>> {
    let step = || format!("read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.step(step)?,
    };
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .step(step)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(Error::new(format!(
            "{} is larger than 4 MiB",
            path.display()
        )));
    }
    let text = String::from_utf8(bytes);
    text.map(Some)
        .map_err(|_not_text| Error::new(format!("{} is not UTF-8 text", path.display())))
}

/// What came by standard input.
pub(super) enum Streamed {
    /// A Containerfile.
    Text(String),
    /// An archive, unpacked into the directory that was given.
    Archive,
}

/// Takes a stream: an archive is unpacked into `target`, anything else is a Containerfile.
pub(super) fn receive(
    mut stream: Box<dyn Read + Send>,
    spool: &Path,
    target: &Path,
) -> Result<Streamed> {
    let step = || "read standard input";
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(spool)
        .step(step)?;
    std::io::copy(&mut stream, &mut file).step(step)?;
    file.rewind().step(step)?;
    if is_archive(&mut file).map_err(image_error)? {
        let opened = File::open(target).step(step)?;
        unpack_archive(file, opened.as_fd(), &UnpackOptions::default())
            .map_err(image_error)
            .step(|| "unpack the context")?;
        return Ok(Streamed::Archive);
    }
    let text = read_text(spool)?.unwrap_or_default();
    Ok(Streamed::Text(text))
}
