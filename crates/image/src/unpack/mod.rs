//! From an archive to a directory tree that only root can have made.
//!
//! Owners, modes, set-user-id, times, extended attributes, links, devices and holes arrive as the
//! archive has them. Directories get their owner, mode and time at the end: until then they belong
//! to us with mode 0700, so that nobody looks into a half-made tree and adding a file does not
//! change a time that was already set.
//!
//! Start reading at [`Unpacker::run`]; how an entry is kept inside the target is in `tree.rs`.

mod entry;
mod limits;
mod name;
mod tree;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;

use insula_sys::rustix;
use insula_sys::user_namespace::Ids;

use crate::decompress::Plain;
use crate::error::{Context, Error, Result};
use crate::tar::{Entry, EntryKind, Reader};

pub(crate) use entry::is_foreign;
pub(crate) use limits::Budget;
pub use limits::Limits;
pub(crate) use name::{CleanName, shown};
use tree::Tree;

/// What files named `.wh.*` in an archive mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// Files like any other: the archive is a whole root file system.
    #[default]
    Plain,
    /// Deletions of the layers below (image-spec, layer.md), kept in overlayfs' own form.
    Overlay,
}

/// What the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// An empty directory that nobody else knows.
    #[default]
    Empty,
    /// A directory with files in it, where others may be at work. What is mounted inside belongs to
    /// it; a directory and something else never take each other's place; and the owner, mode and
    /// time of the target itself stay.
    Populated,
}

/// What arrives as the archive has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Otherwise everything belongs to who unpacks.
    pub owners: bool,
    /// Otherwise they are left out and counted.
    pub devices: bool,
    /// What gives rights to who runs a file: set-user-id, set-group-id, and file capabilities.
    pub privileges: bool,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            owners: true,
            devices: true,
            privileges: true,
        }
    }
}

/// How to unpack.
#[derive(Debug, Clone)]
pub struct UnpackOptions {
    pub limits: Limits,
    pub whiteouts: Whiteouts,
    /// Keep owners and make devices. Needs root; without it both are left out and counted.
    pub privileged: bool,
    /// Who there can be: root of a user's namespace makes no devices, sets no attributes of the
    /// host's, and gives files only to the ids of the namespace.
    pub ids: Ids,
    pub target: Target,
    pub kept: Kept,
}

impl UnpackOptions {
    /// The owner of a file that the archive gives to `uid` and `gid`; `own` takes the place of who
    /// is not there.
    fn owner(&self, (uid, gid): (u32, u32), own: (u32, u32)) -> (u32, u32) {
        match self.privileged && self.kept.owners {
            true => self.ids.owner((uid, gid), own),
            false => own,
        }
    }

    /// Whether devices can be made and the host's attributes set.
    fn is_host_root(&self) -> bool {
        self.privileged && self.ids == Ids::Host
    }

    fn mode(&self, mode: u32) -> rustix::fs::Mode {
        let set_id = if self.kept.privileges { 0 } else { 0o6000 };
        rustix::fs::Mode::from_raw_mode(mode & !set_id)
    }
}

impl Default for UnpackOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            whiteouts: Whiteouts::default(),
            privileged: rustix::process::geteuid().is_root(),
            ids: Ids::of_this_process(),
            target: Target::default(),
            kept: Kept::default(),
        }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    pub entries: u64,
    /// Bytes of file content, without holes.
    pub content_bytes: u64,
    /// Devices and attributes that this user or this file system cannot have.
    pub skipped: u64,
}

/// Unpacks an archive, plain or compressed as [`Plain`] knows, below `target`, on this thread.
///
/// Whatever the bytes are, nothing outside of `target` is read, written or made. On error part of
/// the archive may be in `target`.
///
/// # Errors
/// The archive is malformed, hostile, over a limit or cut off, or the system refuses.
pub fn unpack_archive(
    input: impl Read + Send + 'static,
    target: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> Result<Unpacked> {
    let plain = Plain::detect(Box::new(input))?;
    let mut bounded = BufReader::new(plain.take(options.limits.archive_bytes));
    let unpacked = unpack(&mut bounded, target, options)?;
    if bounded.get_ref().limit() == 0 {
        return Err(Error::invalid(format!(
            "the archive has more than {} bytes, the limit",
            options.limits.archive_bytes
        )));
    }
    Ok(unpacked)
}

/// Unpacks an uncompressed archive and reads `input` to its end.
pub(crate) fn unpack(
    input: impl BufRead,
    target: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> Result<Unpacked> {
    let identity = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut unpacker = Unpacker {
        identity,
        reader: Reader::new(input),
        tree: Tree::new(target, options.target),
        budget: Budget::new(&options.limits),
        options,
        directories: Vec::new(),
        unpacked: Unpacked::default(),
    };
    unpacker.run()?;
    Ok(unpacker.unpacked)
}

/// What a directory gets at the end.
struct PendingDirectory {
    name: CleanName,
    entry: Entry,
}

struct Unpacker<'a, R> {
    /// What a new file gets as its owner without being asked.
    identity: (u32, u32),
    reader: Reader<R>,
    tree: Tree<'a>,
    budget: Budget<'a>,
    options: &'a UnpackOptions,
    directories: Vec<PendingDirectory>,
    unpacked: Unpacked,
}

impl<R: BufRead> Unpacker<'_, R> {
    fn run(&mut self) -> Result<()> {
        while let Some(entry) = self.reader.next_entry()? {
            self.unpacked.entries += 1;
            let path = shown(&entry.path);
            let result = self.one(entry);
            result.step(|| {
                format!(
                    "unpack `{path}` (entry {} at byte {})",
                    self.unpacked.entries,
                    self.reader.entry_offset()
                )
            })?;
        }
        self.reader.drain()?;
        self.finish_directories()
    }

    fn one(&mut self, entry: Entry) -> Result<()> {
        self.budget.entry()?;
        let name = CleanName::new(&entry.path, self.options.limits.depth)?;
        if self.options.whiteouts == Whiteouts::Overlay
            && let Some(hidden) = name.whiteout()
        {
            return self.whiteout(&name, hidden);
        }
        match entry.kind {
            EntryKind::Directory => self.directory(name, entry),
            _ if name.is_root() => Err(Error::invalid(
                "the root of the image can only be a directory",
            )),
            EntryKind::File => self.file(&name, &entry),
            EntryKind::HardLink => self.hard_link(&name, &entry),
            EntryKind::Symlink => self.symlink(&name, &entry),
            EntryKind::Character | EntryKind::Block | EntryKind::Fifo => self.node(&name, &entry),
        }
    }

    fn directory(&mut self, name: CleanName, entry: Entry) -> Result<()> {
        match (name.is_root(), self.options.target) {
            (false, _) => self.make_directory(&name)?,
            (true, Target::Empty) => {}
            (true, Target::Populated) => return Ok(()),
        }
        self.budget
            .pending(name.memory_bytes() + 200 + xattr_bytes(&entry))?;
        self.directories.push(PendingDirectory { name, entry });
        Ok(())
    }

    fn finish_directories(&mut self) -> Result<()> {
        for pending in std::mem::take(&mut self.directories) {
            let shown = shown(&pending.entry.path);
            self.finish_directory(&pending)
                .step(|| format!("set owner, mode and time of directory `{shown}`"))?;
        }
        Ok(())
    }
}

fn xattr_bytes(entry: &Entry) -> usize {
    entry
        .xattrs
        .iter()
        .map(|(name, value)| name.len() + value.len() + 48)
        .sum()
}
