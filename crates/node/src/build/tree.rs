//! The root file system that a step changes, through a mounted union.
//!
//! Every path is resolved inside the root by openat2(2): an image's links cannot lead a build to
//! the host. Nobody else changes the tree meanwhile.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_sys::Errno;
use insula_sys::rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
    Uid, chownat, mkdirat, open, openat2, statat, utimensat,
};

/// A root directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
}

/// Who owns what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).step(|| format!("open {}", path.display()))?;
        Ok(Self { root })
    }

    pub(super) fn of(root: OwnedFd) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    pub(super) fn into_root(self) -> OwnedFd {
        self.root
    }

    /// Opens a path inside the root; links are followed inside of it.
    pub(super) fn at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(
                &self.root,
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

    /// The directory at `path`; `None` when there is none, or something else.
    pub(super) fn directory(&self, path: &Path) -> Result<Option<OwnedFd>> {
        match self.at(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno).step(|| format!("open /{}", path.display())),
        }
    }

    /// The directory at `path`, made with all above it where it is missing. Says whether it was.
    pub(super) fn make_directories(
        &self,
        path: &Path,
        owner: Owner,
        modified: Option<i64>,
    ) -> Result<(OwnedFd, bool)> {
        if let Some(directory) = self.directory(path)? {
            return Ok((directory, false));
        }
        let mut here = PathBuf::new();
        let mut directory = self
            .at(&here, OFlags::PATH | OFlags::DIRECTORY)
            .step(|| "open /")?;
        for component in path.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            here.push(name);
            let step = || format!("make directory /{}", here.display());
            let made = match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(errno).step(step),
            };
            if made {
                set_owner(&directory, name, owner).step(step)?;
            }
            let next = self.at(&here, OFlags::PATH | OFlags::DIRECTORY);
            let next = next.map_err(|errno| match errno {
                Errno::NOTDIR => Error::new(format!("/{} is not a directory", here.display())),
                Errno::NOENT => Error::new(format!(
                    "/{} is a symbolic link that leads nowhere",
                    here.display()
                )),
                errno => Error::from(errno).within(step()),
            })?;
            if made && let Some(seconds) = modified {
                set_time(&directory, name, seconds, 0).step(step)?;
            }
            directory = next;
        }
        Ok((directory, true))
    }
}

/// What is at `name` of a directory, a link itself.
pub(super) fn look(directory: &OwnedFd, name: &OsStr) -> Result<Option<Stat>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno).step(|| format!("look at {}", Path::new(name).display())),
    }
}

pub(super) fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn set_owner(directory: &OwnedFd, name: &OsStr, owner: Owner) -> Result<(), Errno> {
    if owner == Owner::default() {
        // Root makes it root's.
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    chownat(
        directory,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// Sets the time of change; that of access stays.
pub(super) fn set_time(
    directory: &OwnedFd,
    name: &OsStr,
    seconds: i64,
    nanoseconds: i64,
) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        },
    };
    utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// A path for calls that know no descriptors.
pub(super) fn path_of(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// An absolute path of an image without `.` and `..`, relative to its root.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts
}

/// Whether a path as it was written names a directory.
pub(super) fn ends_as_directory(path: &str) -> bool {
    let last = path.as_bytes().rsplit(|&byte| byte == b'/').next();
    matches!(last, Some(b"" | b"." | b".."))
}

/// A name as bytes, for digests.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Path::new("a/c"));
        assert_eq!(normal(Path::new("/../..")), Path::new(""));
        assert!(ends_as_directory("/a/") && ends_as_directory(".") && ends_as_directory("a/.."));
        assert!(!ends_as_directory("/a") && !ends_as_directory("a/b.c"));
    }

    #[test]
    fn links_do_not_lead_out() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("out")).unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        let (_, made) = tree
            .make_directories(Path::new("out/insula-test/x"), Owner::default(), Some(7))
            .unwrap();
        assert!(made);
        assert!(directory.path().join("insula-test/x").is_dir());
        assert!(!Path::new("/insula-test").exists());
        let (_, made) = tree
            .make_directories(Path::new("insula-test/x"), Owner::default(), None)
            .unwrap();
        assert!(!made);
    }
}
