//! One cgroup directory: its files are opened, read and written by name, with errors that name
//! them.

use std::os::fd::{BorrowedFd, OwnedFd};

use insula_sys::rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use insula_sys::rustix::io::{read, write};
use insula_sys::{Errno, Result as SysResult};

use crate::error::{Context, Result};

/// What one read of a cgroup file asks for: more than the files of limits and counters hold.
const CHUNK_BYTES: usize = 4096;

/// A path below the directory that holds the hierarchies.
#[derive(Debug, Clone)]
pub(super) struct Directory<'a> {
    root: BorrowedFd<'a>,
    path: String,
}

impl<'a> Directory<'a> {
    /// `path` has no leading slash, except where a hierarchy is mounted outside of the root.
    pub(super) fn new(root: BorrowedFd<'a>, path: String) -> Self {
        Self { root, path }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn child(&self, name: &str) -> Self {
        Self::new(self.root, self.file(name))
    }

    /// The directory above; `None` at the mount point, whose path is `mount`.
    pub(super) fn parent(&self, mount: &str) -> Option<Self> {
        let below = self.path.strip_prefix(mount)?.trim_start_matches('/');
        if below.is_empty() {
            return None;
        }
        let end = self.path.rfind('/').unwrap_or(0).max(mount.len());
        Some(Self::new(self.root, self.path[..end].to_owned()))
    }

    fn file(&self, name: &str) -> String {
        let mut path = String::with_capacity(self.path.len() + 1 + name.len());
        if !self.path.is_empty() {
            path.push_str(&self.path);
            path.push('/');
        }
        path.push_str(name);
        path
    }

    /// Opens a file of the directory.
    pub(super) fn open(&self, name: &str, flags: OFlags) -> SysResult<OwnedFd> {
        openat(
            self.root,
            self.file(name),
            flags | OFlags::CLOEXEC,
            Mode::empty(),
        )
    }

    /// Opens the directory itself.
    pub(super) fn open_itself(&self, flags: OFlags) -> SysResult<OwnedFd> {
        let path = if self.path.is_empty() {
            "."
        } else {
            &self.path
        };
        let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(self.root, path, flags, Mode::empty())
    }

    pub(super) fn make(&self) -> SysResult<()> {
        mkdirat(self.root, self.path.as_str(), Mode::from_raw_mode(0o755))
    }

    pub(super) fn remove(&self) -> SysResult<()> {
        unlinkat(self.root, self.path.as_str(), AtFlags::REMOVEDIR)
    }

    /// Writes a value in one go: the kernel takes each write as a command of its own.
    pub(super) fn try_write(&self, name: &str, value: &str) -> SysResult<()> {
        let file = self.open(name, OFlags::WRONLY)?;
        write_whole(&file, value)
    }

    /// [`Directory::try_write`] with an error that says what was written where.
    pub(super) fn write(&self, name: &str, value: &str) -> Result<()> {
        self.try_write(name, value)
            .step(|| format!("write \"{value}\" to {name} of cgroup {}", self.path))
    }

    /// Writes if the kernel has the file; false when it has not.
    pub(super) fn write_if_present(&self, name: &str, value: &str) -> Result<bool> {
        match self.try_write(name, value) {
            Err(Errno::NOENT) => Ok(false),
            other => other
                .step(|| format!("write \"{value}\" to {name} of cgroup {}", self.path))
                .map(|()| true),
        }
    }

    pub(super) fn try_read(&self, name: &str) -> SysResult<String> {
        let file = self.open(name, OFlags::RDONLY)?;
        read_whole(&file)
    }

    pub(super) fn read(&self, name: &str) -> Result<String> {
        self.try_read(name)
            .step(|| format!("read {name} of cgroup {}", self.path))
    }

    /// The text of a file, or nothing when the kernel has no such file.
    pub(super) fn read_if_present(&self, name: &str) -> Result<Option<String>> {
        match self.try_read(name) {
            Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(None),
            other => other
                .step(|| format!("read {name} of cgroup {}", self.path))
                .map(Some),
        }
    }
}

/// One write of the whole value; a short write of a cgroup file means that it was not taken.
pub(super) fn write_whole(file: &OwnedFd, value: &str) -> SysResult<()> {
    let written = write(file, value.as_bytes())?;
    if written == value.len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}

pub(super) fn read_whole(file: &OwnedFd) -> SysResult<String> {
    let mut text = Vec::new();
    let mut chunk = [0_u8; CHUNK_BYTES];
    loop {
        let length = read(file, &mut chunk)?;
        if length == 0 {
            break;
        }
        text.extend_from_slice(&chunk[..length]);
        // A read ends early only at the end, or where the next line does not fit any more.
        if length < CHUNK_BYTES / 2 {
            break;
        }
    }
    String::from_utf8(text).or(Err(Errno::ILSEQ))
}
