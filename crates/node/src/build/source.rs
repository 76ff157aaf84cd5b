//! The files that COPY and ADD name: found in the context or in another root, listed, digested.

use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_image::containerfile::{Ignore, PathPattern, has_wildcards};
use insula_image::{Digest, Hasher};
use insula_sys::Errno;
use insula_sys::rustix::fs::OFlags;

use super::digest::Digests;
use super::tree::{Tree, bytes, normal, path_of};

/// A root that files are taken from.
#[derive(Debug)]
pub(super) struct SourceRoot<'a> {
    pub(super) tree: &'a Tree,
    /// Files that are as good as absent.
    pub(super) ignore: &'a Ignore,
    /// How the root is called in errors.
    pub(super) name: &'a str,
}

/// One file or directory that an instruction names.
#[derive(Debug)]
pub(super) struct Match {
    /// As named or found, without `.` and `..`; links in it may lead elsewhere inside the root.
    pub(super) path: PathBuf,
    /// Where it goes below a destination that is a directory: a file by its name, a directory not
    /// by its own, for its content is copied.
    pub(super) into: PathBuf,
    /// Opened for its path alone.
    pub(super) opened: OwnedFd,
    pub(super) metadata: Metadata,
    /// What is in it, itself first, a directory before its content, sorted by name.
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Relative to the match: empty for itself.
    pub(super) relative: PathBuf,
    pub(super) metadata: Metadata,
}

impl Match {
    /// A path of an entry that this process can open.
    pub(super) fn path_of(&self, entry: &Entry) -> PathBuf {
        let root = path_of(&self.opened);
        if entry.relative.as_os_str().is_empty() {
            root
        } else {
            root.join(&entry.relative)
        }
    }
}

impl SourceRoot<'_> {
    /// Everything that `path`, perhaps with wildcards, names.
    ///
    /// # Errors
    /// It names nothing, or something cannot be read.
    pub(super) fn find(&self, path: &str) -> Result<Vec<Match>> {
        let found = if has_wildcards(path) {
            self.expand(path)?
        } else {
            vec![normal(Path::new(path))]
        };
        let mut matches = Vec::with_capacity(found.len());
        for path in found {
            matches.extend(self.open(&path)?);
        }
        if matches.is_empty() {
            return Err(self.missing(path));
        }
        Ok(matches)
    }

    pub(super) fn missing(&self, path: &str) -> Error {
        let shown = normal(Path::new(path));
        let is_ignored = self.ignore.ignores(&shown.to_string_lossy());
        let error = Error::new(format!("`{path}` is not in {}", self.name));
        if is_ignored {
            return error.hint("the ignore file leaves it out: add a line !NAME to keep it");
        }
        if path.starts_with("..") || path.contains("/../") {
            return error.hint("nothing outside of the context can be copied");
        }
        error.hint(format!("paths are relative to the root of {}", self.name))
    }

    /// Opens one path with everything below it; `None` when it is absent or ignored.
    pub(super) fn open(&self, path: &Path) -> Result<Option<Match>> {
        let opened = match self.tree.at(path, OFlags::PATH) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno).step(|| format!("open {}", path.display())),
        };
        let root = path_of(&opened);
        let metadata = root
            .metadata()
            .step(|| format!("look at {}", path.display()))?;
        let is_ignored = self.ignore.ignores(&path.to_string_lossy());
        if is_ignored && !(metadata.is_dir() && self.ignore.has_exceptions()) {
            return Ok(None);
        }
        let mut entries = vec![Entry {
            relative: PathBuf::new(),
            metadata: metadata.clone(),
        }];
        if metadata.is_dir() {
            self.list(&root, path, &mut entries)?;
            if is_ignored && entries.len() == 1 {
                return Ok(None);
            }
        }
        Ok(Some(Match {
            path: path.to_owned(),
            into: match metadata.is_dir() {
                true => PathBuf::new(),
                false => path.file_name().unwrap_or_default().into(),
            },
            opened,
            metadata,
            entries,
        }))
    }

    /// Opens a directory without what is in it, to go to `into`.
    pub(super) fn open_alone(&self, path: &Path, into: &Path) -> Result<Option<Match>> {
        let Some(opened) = self.tree.directory(path)? else {
            return Ok(None);
        };
        let metadata = path_of(&opened)
            .metadata()
            .step(|| format!("look at {}", path.display()))?;
        let itself = Entry {
            relative: PathBuf::new(),
            metadata: metadata.clone(),
        };
        Ok(Some(Match {
            path: path.to_owned(),
            into: into.to_owned(),
            opened,
            metadata,
            entries: vec![itself],
        }))
    }

    /// Depth first, without recursion: a directory's depth is not ours to trust.
    pub(super) fn list(&self, root: &Path, base: &Path, entries: &mut Vec<Entry>) -> Result<()> {
        let mut pending = children(root, Path::new(""))?;
        while let Some(relative) = pending.pop() {
            let step = || format!("look at {}", base.join(&relative).display());
            let metadata = root.join(&relative).symlink_metadata().step(step)?;
            let is_ignored = self.ignores(base, &relative);
            if metadata.is_dir() && (!is_ignored || self.ignore.has_exceptions()) {
                pending.extend(children(root, &relative)?);
            }
            // A directory that is left out comes with what an exception keeps of its content.
            if !is_ignored {
                entries.push(Entry { relative, metadata });
            }
        }
        Ok(())
    }

    fn ignores(&self, base: &Path, relative: &Path) -> bool {
        !self.ignore.is_empty() && self.ignore.ignores(&base.join(relative).to_string_lossy())
    }

    /// The paths that match a pattern, sorted.
    pub(super) fn expand(&self, path: &str) -> Result<Vec<PathBuf>> {
        let pattern = PathPattern::new(path)
            .map_err(|reason| Error::new(format!("the pattern `{path}`: {reason}")))?;
        let mut found = vec![PathBuf::new()];
        for depth in 0..pattern.depth() {
            let mut next = Vec::new();
            for directory in &found {
                let Some(opened) = self.tree.directory(directory)? else {
                    continue;
                };
                for child in children(&path_of(&opened), Path::new(""))?
                    .into_iter()
                    .rev()
                {
                    if pattern.matches(depth, &child.to_string_lossy()) {
                        next.push(directory.join(child));
                    }
                }
            }
            found = next;
        }
        if pattern.depth() == 0 {
            found.clear();
        }
        Ok(found)
    }
}

/// The children of a directory as paths relative to `root`, the last one first.
fn children(root: &Path, relative: &Path) -> Result<Vec<PathBuf>> {
    let path = if relative.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(relative)
    };
    let step = || format!("read the directory {}", relative.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).step(step)? {
        names.push(entry.step(step)?.file_name());
    }
    names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
    Ok(names.into_iter().map(|name| relative.join(name)).collect())
}

/// The digest of everything that copying the matches depends on: names, kinds, modes and content.
/// Not the times: a fresh checkout of the same files is the same.
pub(super) fn digest(matches: &[Match], digests: &mut Digests) -> Result<Digest> {
    let mut hasher = Hasher::default();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    for found in matches {
        add(b"match");
        add(bytes(&found.into));
        for entry in &found.entries {
            let metadata = &entry.metadata;
            add(bytes(&entry.relative));
            add(&metadata.mode().to_le_bytes());
            if metadata.is_symlink() {
                let target = std::fs::read_link(found.path_of(entry));
                let target =
                    target.step(|| format!("read the link {}", entry.relative.display()))?;
                add(bytes(&target));
            } else if metadata.is_file() {
                let digest = digests.of_file(&found.path.join(&entry.relative), found, entry)?;
                add(digest.hex().as_bytes());
            } else {
                add(&metadata.rdev().to_le_bytes());
            }
        }
    }
    Ok(hasher.finish())
}
