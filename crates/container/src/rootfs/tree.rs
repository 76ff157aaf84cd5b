//! Paths of the container, resolved below its root directory and never outside it.
//!
//! The fast way is one openat2(2) that refuses symbolic links; only a path that has some takes the
//! second one, RESOLVE_IN_ROOT, and is marked, because its name no longer says where it ends.
//! What is missing is made by walking the path one name at a time, with links read and resolved
//! here, so that a link swapped in by someone else cannot lead out. Magic links of /proc are never
//! followed. Start at [`Tree::find`].

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use insula_sys::{Errno, Result};

/// As many as the kernel follows in one path (MAXSYMLINKS).
const LINKS_MAX: usize = 40;
/// openat2(2) gives EAGAIN when a rename or mount elsewhere races with a "..": worth a few retries.
const RACES_MAX: usize = 64;

const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// A directory that stands for `/`.
#[derive(Debug)]
pub(crate) struct Tree {
    pub root: OwnedFd,
}

/// Something found, as an `O_PATH` descriptor.
#[derive(Debug)]
pub(crate) struct Found {
    pub fd: OwnedFd,
    /// Whether the path is literally where it is: no link and no ".." was on the way.
    pub literal: bool,
}

/// What to make at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    Directory,
    File,
}

impl Tree {
    /// Opens what is at `path`, which is relative to the root (see [`relative`]).
    pub(crate) fn find(&self, path: &Path) -> Result<Found> {
        let literal = !has_parent_steps(path);
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        match self.open(path, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS) {
            Ok(fd) => Ok(Found { fd, literal }),
            Err(Errno::LOOP) => {
                let fd = self.open(path, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?;
                Ok(Found { fd, literal: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Opens `path` if no symbolic link is on the way; ELOOP otherwise.
    pub(crate) fn find_literal(&self, path: &Path) -> Result<OwnedFd> {
        self.open(path, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
    }

    /// Opens `path` and makes it if it is missing; says whether it was. See [`make`](Self::make).
    pub(crate) fn find_or_make(&self, path: &Path, leaf: Leaf) -> Result<(Found, bool)> {
        match self.find(path) {
            Ok(found) => return Ok((found, false)),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        // Mostly only the last name is missing.
        if leaf == Leaf::Directory
            && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Ok(Found {
                fd: parent,
                literal: true,
            }) = self.find(parent)
            && fs::mkdirat(&parent, name, DIRECTORY_MODE).is_ok()
        {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = fs::openat(&parent, name, flags, Mode::empty())?;
            return Ok((Found { fd, literal: true }, true));
        }
        let fd = self.make(path, leaf)?;
        Ok((Found { fd, literal: false }, true))
    }

    /// Opens `path`, making what is missing: directories with mode 0755, a file with mode 0644.
    pub(crate) fn make(&self, path: &Path, leaf: Leaf) -> Result<OwnedFd> {
        let mut walk = Walk::new(self.root.as_fd(), path);
        while let Some(name) = walk.todo.pop() {
            walk.step(name, leaf)?;
        }
        match walk.below.pop() {
            Some(fd) => Ok(fd),
            None => self.open(Path::new("."), ResolveFlags::IN_ROOT),
        }
    }

    /// The directory that holds `path`, made if missing, and the last name of `path`.
    /// EINVAL if `path` has no last name (`/`, `..`).
    pub(crate) fn make_parent<'a>(&self, path: &'a Path) -> Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        match self.find(parent) {
            Ok(found) => Ok((found.fd, name)),
            Err(Errno::NOENT) => Ok((self.make(parent, Leaf::Directory)?, name)),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path, resolve: ResolveFlags) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        for _ in 0..RACES_MAX {
            match fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }
}

/// The state of one [`Tree::make`].
struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// The directories from the root down to here; empty at the root.
    below: Vec<OwnedFd>,
    /// The names still to go, last first.
    todo: Vec<OsString>,
    links: usize,
}

impl<'a> Walk<'a> {
    fn new(root: BorrowedFd<'a>, path: &Path) -> Self {
        let mut walk = Self {
            root,
            below: Vec::new(),
            todo: Vec::new(),
            links: 0,
        };
        walk.push_names(path.as_os_str().as_bytes());
        walk
    }

    fn push_names(&mut self, path: &[u8]) {
        let names = path.split(|byte| *byte == b'/').rev();
        let names = names.filter(|name| !name.is_empty() && *name != b".");
        self.todo
            .extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
    }

    fn step(&mut self, name: OsString, leaf: Leaf) -> Result<()> {
        if name == ".." {
            self.below.pop();
            return Ok(());
        }
        let last = self.todo.is_empty();
        let here = self.below.last().map_or(self.root, AsFd::as_fd);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(here, &name, flags, Mode::empty()) {
            Ok(fd) => self.enter(fd, last),
            Err(Errno::NOENT) if last && leaf == Leaf::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = fs::openat(here, &name, flags, Mode::from_raw_mode(0o644))?;
                self.below.push(file);
                Ok(())
            }
            Err(Errno::NOENT) => {
                match fs::mkdirat(here, &name, DIRECTORY_MODE) {
                    Ok(()) | Err(Errno::EXIST) => self.todo.push(name),
                    Err(error) => return Err(error),
                }
                // A name that can neither be opened nor made would come round for ever.
                self.links += 1;
                if self.links > LINKS_MAX * 64 {
                    Err(Errno::LOOP)
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Goes into a directory, through a link, or onto a file if it is the last name.
    fn enter(&mut self, fd: OwnedFd, last: bool) -> Result<()> {
        match FileType::from_raw_mode(fs::fstat(&fd)?.st_mode) {
            FileType::Symlink => {
                self.links += 1;
                if self.links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = fs::readlinkat(&fd, "", Vec::new())?;
                if target.to_bytes().starts_with(b"/") {
                    self.below.clear();
                }
                self.push_names(target.to_bytes());
            }
            FileType::Directory => self.below.push(fd),
            _ if last => self.below.push(fd),
            _ => return Err(Errno::NOTDIR),
        }
        Ok(())
    }
}

/// `path` without its leading, doubled and trailing slashes and without "." names; empty for `/`.
pub(crate) fn relative(path: &Path) -> PathBuf {
    let mut clean = Vec::with_capacity(path.as_os_str().len());
    for name in path.as_os_str().as_bytes().split(|byte| *byte == b'/') {
        if name.is_empty() || name == b"." {
            continue;
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(name);
    }
    PathBuf::from(OsString::from_vec(clean))
}

fn has_parent_steps(path: &Path) -> bool {
    path.as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .any(|name| name == b"..")
}

/// Whether the file is on a procfs.
pub(crate) fn is_on_proc(file: impl AsFd) -> Result<bool> {
    Ok(fs::fstatfs(file)?.f_type == fs::PROC_SUPER_MAGIC)
}

/// The type of what `name` below `directory` is, without following a link.
pub(crate) fn file_type(file: impl AsFd) -> Result<FileType> {
    let stat = fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_and_clean() {
        let cases = [
            ("/", ""),
            ("", ""),
            ("//a/./b//c/", "a/b/c"),
            ("a/../b", "a/../b"),
        ];
        for (path, clean) in cases {
            assert_eq!(relative(Path::new(path)), Path::new(clean), "{path}");
        }
        assert!(has_parent_steps(Path::new("a/../b")) && !has_parent_steps(Path::new("a..b")));
    }
}
