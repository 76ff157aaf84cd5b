//! `maskedPaths` and `readonlyPaths`: the last mounts, made when `/` is the container's already.
//!
//! A masked file gets a null device on top, a masked directory an empty read-only tmpfs; all masks
//! are clones of the first of their kind, so that there is one superblock however many there are.
//! What does not exist needs no mask.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use insula_sys::mount::{Attributes, attribute, flag, mount, set_attributes_at};
use insula_sys::rustix::fs::{self, FileType, makedev};
use insula_sys::rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use insula_sys::rustix::process::fchdir;
use insula_sys::{Errno, Result as SysResult};

use super::tree::{Tree, file_type, relative};
use crate::error::{Context, Error, Result};
use crate::spec::Linux;

const ONTO: MoveMountFlags =
    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH.union(MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH);
const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// The paths; masked ones relative to the root.
#[derive(Debug, Default)]
pub(super) struct Masks {
    masked: Vec<PathBuf>,
    /// Absolute.
    read_only: Vec<CString>,
}

impl Masks {
    pub(super) fn new(linux: Option<&Linux>, mount_namespace: bool) -> Result<Self> {
        let Some(linux) = linux else {
            return Ok(Self::default());
        };
        let some = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
        if some && !mount_namespace {
            return Err(Error::new(
                "linux.maskedPaths and linux.readonlyPaths need a mount namespace",
            ));
        }
        let relative_path = linux
            .masked_paths
            .iter()
            .position(|path| !path.is_absolute());
        if let Some(index) = relative_path {
            return Err(Error::new(format!(
                "linux.maskedPaths[{index}]: not an absolute path"
            )));
        }
        let mut masked: Vec<PathBuf> = Vec::with_capacity(linux.masked_paths.len());
        for path in &linux.masked_paths {
            let path = relative(path);
            if !masked.contains(&path) {
                masked.push(path);
            }
        }
        let absolute =
            |path: &PathBuf| CString::new(Path::new("/").join(path).into_os_string().into_vec());
        let read_only = linux
            .readonly_paths
            .iter()
            .map(absolute)
            .collect::<Result<_, _>>();
        Ok(Self {
            masked,
            read_only: read_only.step(|| "linux.readonlyPaths")?,
        })
    }

    pub(super) fn apply(&self, root: &Tree) -> Result<()> {
        for path in &self.read_only {
            make_read_only(path).step(|| format!("make {path:?} read-only"))?;
        }
        let (null, first, empty) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let covers = Covers {
            root,
            null,
            first,
            empty,
        };
        for path in &self.masked {
            covers
                .mask(path)
                .step(|| format!("mask \"/{}\"", path.display()))?;
        }
        Ok(())
    }
}

/// What is at `path`, or `None` if nothing is.
fn existing(root: &Tree, path: &Path) -> SysResult<Option<OwnedFd>> {
    match root.find(path) {
        Ok(found) => Ok(Some(found.fd)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Binds the path on itself, read-only; the other flags of its mount stay. Paths are those of the
/// container, whose root is `/` by now.
fn make_read_only(path: &CStr) -> Result<()> {
    match mount(Some(path), path, None, flag::BIND | flag::RECURSIVE, None) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other.step(|| "bind it on itself")?,
    }
    let read_only = Attributes {
        set: attribute::READ_ONLY,
        ..Attributes::default()
    };
    set_attributes_at(path, &read_only).step(|| "set the flag")
}

/// The two things that hide others, made when first needed.
struct Covers<'a> {
    root: &'a Tree,
    null: OnceCell<OwnedFd>,
    /// The first masked directory, and the empty one that covers it.
    first: OnceCell<PathBuf>,
    empty: OnceCell<OwnedFd>,
}

fn clone_onto(cover: &OwnedFd, place: &OwnedFd) -> Result<()> {
    let tree = open_tree(cover, "", CLONE).step(|| "clone the cover")?;
    move_mount(&tree, "", place, "", ONTO).step(|| "attach the cover")
}

impl Covers<'_> {
    fn mask(&self, path: &Path) -> Result<()> {
        let Some(place) = existing(self.root, path).step(|| "open it")? else {
            return Ok(());
        };
        let kind = file_type(&place).step(|| "look at it")?;
        if kind != FileType::Directory {
            return clone_onto(self.null()?, &place);
        }
        let Some(first) = self.first.get() else {
            fchdir(&place).step(|| "enter it")?;
            let data = c"nr_blocks=1,nr_inodes=2";
            mount(
                Some(c"tmpfs"),
                c".",
                Some(c"tmpfs"),
                flag::READ_ONLY,
                Some(data),
            )
            .step(|| "mount an empty directory")?;
            self.first.get_or_init(|| path.to_owned());
            return fchdir(&self.root.root).step(|| "leave it");
        };
        let empty = match self.empty.get() {
            Some(empty) => empty,
            None => {
                let found = self
                    .root
                    .find(first)
                    .step(|| "find the first empty directory")?;
                self.empty.get_or_init(|| found.fd)
            }
        };
        clone_onto(empty, &place)
    }

    /// The container's null device, if that is what it is: an image could put anything there
    /// (CVE-2025-31133).
    fn null(&self) -> Result<&OwnedFd> {
        if let Some(null) = self.null.get() {
            return Ok(null);
        }
        let null = self
            .root
            .find_literal(Path::new("dev/null"))
            .step(|| "open /dev/null")?;
        let stat = fs::fstat(&null).step(|| "look at /dev/null")?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
            || stat.st_rdev != makedev(1, 3)
        {
            return Err(Error::new(
                "/dev/null of the container is not the null device",
            ));
        }
        Ok(self.null.get_or_init(|| null))
    }
}
