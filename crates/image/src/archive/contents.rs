//! The members of an archive of images, by name and in any order: of a tar file, or of a directory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use insula_sys::rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use insula_sys::rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::store::DOCUMENT_BYTES_MAX;
use crate::tar::{EntryKind, Reader};

/// An image archive has a few members for each layer; one with more than this is none.
const MEMBERS_MAX: usize = 100_000;
/// `docker save` once wrote a symbolic link for a layer that two images share.
const LINKS_MAX: usize = 8;

/// Where members are read.
pub(super) enum Contents {
    Directory(File),
    Archive(Archive),
}

/// A tar file and where its members lie.
pub(super) struct Archive {
    file: Arc<File>,
    members: HashMap<String, Member>,
}

enum Member {
    Content { offset: u64, length: u64 },
    Link(String),
}

/// A member that can be sent to another thread.
pub(super) struct Content {
    pub(super) length: u64,
    pub(super) stream: Box<dyn Read + Send>,
}

impl Contents {
    pub(super) fn directory(path: &Path) -> Result<Self> {
        let opened = File::open(path).step(|| format!("open {}", path.display()))?;
        Ok(Self::Directory(opened))
    }

    /// Reads the headers of an uncompressed tar file.
    pub(super) fn archive(file: File) -> Result<Self> {
        let file = Arc::new(file);
        let whole = At::new(Arc::clone(&file), 0, u64::MAX);
        let input = BufReader::with_capacity(256 << 10, whole);
        let mut reader = Reader::new(input);
        let mut members = HashMap::new();
        while let Some(entry) = reader.next_entry()? {
            if members.len() == MEMBERS_MAX {
                return Err(Error::invalid(format!(
                    "the archive has more than {MEMBERS_MAX} members: it is no archive of images"
                )));
            }
            let Some(name) = clean(&entry.path) else {
                continue;
            };
            let member = match entry.kind {
                EntryKind::File if entry.segments.is_none() => Member::Content {
                    offset: reader.offset(),
                    length: entry.size,
                },
                EntryKind::Symlink => match linked(&name, &entry.link) {
                    Some(target) => Member::Link(target),
                    None => continue,
                },
                EntryKind::HardLink => match clean(&entry.link) {
                    Some(target) => Member::Link(target),
                    None => continue,
                },
                _ => continue,
            };
            members.insert(name, member);
        }
        Ok(Self::Archive(Archive { file, members }))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.open(name).is_ok_and(|content| content.is_some())
    }

    /// Opens a member from its start; `None` when there is none.
    pub(super) fn open(&self, name: &str) -> Result<Option<Content>> {
        match self {
            Self::Directory(root) => open_below(root, name),
            Self::Archive(archive) => Ok(archive.open(name)),
        }
    }

    /// As [`Contents::open`]; a missing member is an error.
    pub(super) fn need(&self, name: &str) -> Result<Content> {
        self.open(name)?
            .ok_or_else(|| Error::invalid(format!("the archive has no member `{name}`")))
    }

    /// Reads a document.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let content = self.need(name)?;
        if content.length > DOCUMENT_BYTES_MAX {
            return Err(Error::invalid(format!(
                "member `{name}` has more than {DOCUMENT_BYTES_MAX} bytes, the limit for a document"
            )));
        }
        let mut document = Vec::new();
        let mut stream = content.stream.take(DOCUMENT_BYTES_MAX);
        let read = stream.read_to_end(&mut document);
        read.step(|| format!("read member `{name}`"))?;
        Ok(document)
    }
}

impl Archive {
    fn open(&self, name: &str) -> Option<Content> {
        let mut name = name;
        for _ in 0..LINKS_MAX {
            match self.members.get(name)? {
                Member::Link(target) => name = target,
                Member::Content { offset, length } => {
                    let stream = At::new(Arc::clone(&self.file), *offset, *length);
                    return Some(Content {
                        length: *length,
                        stream: Box::new(stream),
                    });
                }
            }
        }
        None
    }
}

/// A name without `./` in front; `None` for one that is no text or leads upwards.
fn clean(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

/// Where a symbolic link leads inside the archive.
fn linked(name: &str, target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok()?;
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Links are followed inside the directory only, and only regular files are opened.
fn open_below(root: &File, name: &str) -> Result<Option<Content>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(root, name, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno).step(|| format!("open `{name}`")),
    };
    let metadata = file.metadata().step(|| format!("look at `{name}`"))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(Content {
        length: metadata.len(),
        stream: Box::new(file),
    }))
}

/// Part of a file, read by position.
struct At {
    file: Arc<File>,
    position: u64,
    left: u64,
}

impl At {
    fn new(file: Arc<File>, position: u64, left: u64) -> Self {
        Self {
            file,
            position,
            left,
        }
    }
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..room], self.position)?;
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
