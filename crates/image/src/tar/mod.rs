//! Tar archives: what is inside, entry by entry, and how to write one.
//!
//! Reads the v7, ustar, pax and GNU forms, with long names, base-256 numbers, sparse files (GNU and
//! pax 0.0, 0.1, 1.0) and extended attributes; writes pax. Names are bytes, never text.
//!
//! Start reading at [`Reader::next_entry`]. Nothing here touches a file system except the writer,
//! which reads the directory it is given.

mod header;
mod pax;
mod reader;
mod sparse;
mod write;

use crate::timestamp::Timestamp;

pub(crate) use reader::Reader;
pub use write::{TreeForm, WrittenTree, write_tree};
pub(crate) use write::{Upper, write_directory, write_file_header, write_padding, write_upper};

pub(crate) const BLOCK: usize = 512;
pub(crate) const BLOCK_BYTES: u64 = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// Whether these are the first bytes of an archive: one header block.
pub(crate) fn starts_archive(bytes: &[u8]) -> bool {
    let block = <[u8; BLOCK]>::try_from(bytes).map(header::Header);
    block.is_ok_and(|header| !header.is_zero() && header.checksum_is_right())
}

/// An extended attribute: name and value.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// A run of content inside a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// One member of an archive. `path` and `link` are as the archive has them: not checked.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) path: Vec<u8>,
    /// The target of a symbolic or hard link.
    pub(crate) link: Vec<u8>,
    /// Permissions with set-user-id, set-group-id and sticky; nothing above.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Timestamp,
    /// The length of the file, holes included.
    pub(crate) size: u64,
    /// Where the content goes, when not to one piece from the start.
    pub(crate) segments: Option<Vec<Segment>>,
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<Xattr>,
}
