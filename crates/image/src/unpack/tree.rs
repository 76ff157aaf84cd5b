//! The target directory, and how nothing leaves it.
//!
//! Every entry is made by its last component, relative to a descriptor of its parent. The parent is
//! found by one openat2(2) with `RESOLVE_IN_ROOT`: symbolic links inside the image are followed as
//! a process with the image as its root would follow them, absolute and `..` included, and the
//! kernel keeps every step inside the target even if the tree changes meanwhile. The last component
//! is never followed. So a link planted by an earlier entry can at most lead elsewhere *inside*.
//!
//! Descriptors of parents are cached by name; replacing anything that may be on the way to a parent
//! empties the cache.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use insula_sys::rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use insula_sys::rustix::io::Errno;

use super::Target;
use super::name::CleanName;
use crate::error::{Context, Error, Result};

const CACHED_MAX: usize = 128;

pub(super) struct Tree<'fd> {
    root: BorrowedFd<'fd>,
    target: Target,
    parents: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// The most recent one: archives go directory by directory.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl<'fd> Tree<'fd> {
    pub(super) fn new(root: BorrowedFd<'fd>, target: Target) -> Self {
        Self {
            root,
            target,
            parents: HashMap::new(),
            last: None,
        }
    }

    /// The directory that holds `name`, made with mode 0755 where the archive left it out.
    pub(super) fn parent(&mut self, name: &CleanName) -> Result<Rc<OwnedFd>> {
        let path = name.parent();
        if let Some((cached, parent)) = &self.last
            && cached == path
        {
            return Ok(Rc::clone(parent));
        }
        let parent = match self.parents.get(path) {
            Some(parent) => Rc::clone(parent),
            None => self.open_parent(path)?,
        };
        self.last = Some((path.to_vec(), Rc::clone(&parent)));
        Ok(parent)
    }

    fn open_parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        let parent = match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => self.make_parents(path)?,
            other => other.map_err(|errno| explain_parent(path, errno))?,
        };
        let parent = Rc::new(parent);
        if self.parents.len() >= CACHED_MAX {
            self.parents.clear();
        }
        self.parents.insert(path.to_vec(), Rc::clone(&parent));
        Ok(parent)
    }

    /// Opens a path below the root; only links inside are followed, and no mount of an empty target
    /// is crossed.
    pub(super) fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if self.target == Target::Empty {
            resolve |= ResolveFlags::NO_XDEV;
        }
        loop {
            match fs::openat2(
                self.root,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                // A rename anywhere on the host may have raced with `..`: the kernel asks to retry.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut parent = self
            .open(b"", OFlags::PATH | OFlags::DIRECTORY)
            .step(|| "open the target directory")?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends: Vec<usize> = ends.map(|(index, _)| index).chain([path.len()]).collect();
        let mut start = 0;
        for end in ends {
            let component = &path[start..end];
            match fs::mkdirat(&parent, component, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(explain_parent(&path[..end], errno)),
            }
            parent = self
                .open(&path[..end], OFlags::PATH | OFlags::DIRECTORY)
                .map_err(|errno| explain_parent(&path[..end], errno))?;
            start = end + 1;
        }
        Ok(parent)
    }

    /// Makes a directory that only we may enter; one that is there is kept.
    pub(super) fn make_directory(&mut self, name: &CleanName) -> Result<()> {
        let parent = self.parent(name)?;
        self.replacing(&parent, name, true, || {
            fs::mkdirat(&parent, name.last(), Mode::RWXU)
        })
        .step(|| "make the directory")
    }

    /// Runs `make`, which must fail with `EEXIST` when the name is taken; then removes what is
    /// there and runs it again. A directory in the place of a directory stays.
    pub(super) fn replacing<T: Default>(
        &mut self,
        parent: &OwnedFd,
        name: &CleanName,
        keep_directory: bool,
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) => {}
            other => return other,
        }
        let existing = fs::statat(parent, name.last(), AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(existing.st_mode) {
            FileType::Directory if keep_directory => return Ok(T::default()),
            FileType::Directory if self.target == Target::Populated => return Err(Errno::ISDIR),
            _ if keep_directory && self.target == Target::Populated => return Err(Errno::NOTDIR),
            FileType::Directory => {
                self.forget();
                remove_tree(parent, name.last())?;
            }
            kind => {
                if kind == FileType::Symlink {
                    self.forget();
                }
                fs::unlinkat(parent, name.last(), AtFlags::empty())?;
            }
        }
        make()
    }

    /// Something that may be on the way to a parent is gone.
    pub(super) fn forget(&mut self) {
        self.parents.clear();
        self.last = None;
    }
}

/// The path that leads to what a descriptor is open at.
pub(super) fn path_to(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The path of a file by the descriptor of its parent, for calls that know no descriptors.
pub(super) fn path_through(parent: &OwnedFd, last: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(last));
    path
}

/// The standard library removes by descriptors and follows nothing.
fn remove_tree(parent: &OwnedFd, last: &[u8]) -> Result<(), Errno> {
    std::fs::remove_dir_all(path_through(parent, last))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn explain_parent(path: &[u8], errno: Errno) -> Error {
    let path = super::shown(path);
    let reason = match errno {
        Errno::NOTDIR => "is not a directory in this archive",
        Errno::LOOP => "is a loop of symbolic links",
        Errno::NOENT => "is a symbolic link that leads nowhere inside the image",
        _ => {
            let failed: Result<()> = Err(errno).step(|| format!("open parent `{path}`"));
            if let Err(error) = failed {
                return error;
            }
            "cannot be opened"
        }
    };
    Error::invalid(format!("parent `{path}` {reason}"))
}
