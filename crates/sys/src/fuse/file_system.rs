//! What a file system tells the kernel: [`FileSystem`].

use super::protocol::{Attributes, DirectoryEntry, Found, Reply, Statistics};
use crate::{Errno, Result};

/// A read-only file system. Nodes are numbers of its own choice, 1 is the root; they must stay
/// valid for ever, so that nothing has to be remembered of what the kernel knows.
///
/// Errors go to whoever asked. Several threads may call at the same time.
pub trait FileSystem: Sync {
    /// For how long the kernel may remember names and attributes, and that there is no such name.
    const VALID_SECONDS: u64;

    /// The node of a name, neither `.` nor `..`.
    ///
    /// # Errors
    /// `ENOENT` when there is none.
    fn look_up(&self, directory: u64, name: &[u8]) -> Result<(u64, Attributes)>;

    /// What is known of a node.
    ///
    /// # Errors
    /// `ESTALE` when there is no such node.
    fn attributes(&self, node: u64) -> Result<Attributes>;

    /// Begins to read a file.
    ///
    /// # Errors
    /// `ENOSYS` when nothing has to be done: the kernel never asks again, for any file, and keeps
    /// contents in its cache as long as it likes.
    fn open(&self, _node: u64) -> Result<Opened> {
        Err(Errno::NOSYS)
    }

    /// The end of what [`FileSystem::open`] began.
    fn close(&self, _handle: u64) {}

    /// Reads content into the buffer and says how much there was: less than it holds only at the
    /// end of the file.
    ///
    /// # Errors
    /// Those of read(2).
    fn read(&self, request: &ReadRequest, buffer: &mut [u8]) -> Result<usize>;

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// `EINVAL` when the node is none.
    fn read_link(&self, _node: u64) -> Result<Vec<u8>> {
        Err(Errno::INVAL)
    }

    /// Puts the names of a directory into the listing, from `position` on, until it is full.
    /// Position 0 is the start, others are what was given as `next`. `.` and `..` are among them.
    ///
    /// # Errors
    /// Those of getdents(2).
    fn read_directory(&self, node: u64, position: u64, listing: &mut Listing<'_>) -> Result<()>;

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// `ENODATA` when there is none; `ENOSYS` when no node has any: the kernel never asks again.
    fn xattr(&self, _node: u64, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::NOSYS)
    }

    /// The names of the extended attributes, each with a zero byte after it.
    ///
    /// # Errors
    /// As for [`FileSystem::xattr`].
    fn xattr_names(&self, _node: u64) -> Result<Vec<u8>> {
        Err(Errno::NOSYS)
    }

    /// What statfs(2) says.
    fn statistics(&self) -> Statistics;
}

/// What [`FileSystem::open`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    pub handle: u64,
    /// Of [`super::protocol::open_flag`].
    pub flags: u32,
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    pub node: u64,
    /// Of [`FileSystem::open`]; possibly that of another server, which is gone.
    pub handle: u64,
    pub offset: u64,
}

/// A part of a directory, as long as the kernel has room for.
#[derive(Debug)]
pub struct Listing<'r> {
    reply: &'r mut Reply,
    room: usize,
    is_plus: bool,
    valid_seconds: u64,
}

impl<'r> Listing<'r> {
    pub(super) fn new(
        reply: &'r mut Reply,
        room: usize,
        is_plus: bool,
        valid_seconds: u64,
    ) -> Self {
        Self {
            reply,
            room,
            is_plus,
            valid_seconds,
        }
    }

    /// Whether the kernel takes what names lead to. Where it does not, the attributes given to
    /// [`Listing::push`] need an inode number and a type only.
    #[must_use]
    pub fn is_plus(&self) -> bool {
        self.is_plus
    }

    /// `false` when it is full: the entry is not in it. Node 0 leaves the name to be looked up,
    /// which `.` and `..` never are.
    pub fn push(&mut self, name: &[u8], next: u64, (node, attributes): (u64, &Attributes)) -> bool {
        let entry = DirectoryEntry {
            name,
            inode: attributes.inode,
            next,
            kind: (attributes.mode & 0o170_000) >> 12,
        };
        if self.reply.body_bytes() + entry.bytes(self.is_plus) > self.room {
            return false;
        }
        let found = Found {
            node,
            attributes: *attributes,
            valid_seconds: self.valid_seconds,
        };
        self.reply
            .directory_entry(&entry, self.is_plus.then_some(&found));
        true
    }
}
