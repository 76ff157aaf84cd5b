//! Layers as EROFS images: one read-only file for each layer, for every wall.
//!
//! ```text
//!  tar ──▶ writer ──content──▶ sink ──▶ layer.erofs ──▶ mount (container), disk (machine)
//!             └──metadata──▶ tree ──layout──▲   └─────▶ Reader (export, verify, FUSE)
//! ```
//!
//! An archive is written in one pass: content goes to its blocks as it comes, metadata stays in
//! memory, compactly, and is written at the end. The format is the kernel's own, of which only what
//! Linux 6.1 knows is used.
//!
//! Start reading at [`write_layer`] and [`Reader`].

mod content;
mod directory;
mod emit;
mod entries;
mod format;
mod layout;
mod reader;
mod sink;
mod source;
mod tree;
mod walk;
mod writer;
mod xattr;

use std::fs::File;
use std::os::unix::fs::FileExt;

pub use entries::{DirectoryEntry, ReadDirectory};
pub use format::FileKind;
pub use reader::{FileSegment, Inode, Reader};
pub use source::ReadAt;
pub use walk::{Located, Walk, WalkEntry};
pub use writer::write_layer;

/// The image is checked in pieces of this size; the last may be shorter.
pub const PIECE_BYTES: u64 = 1 << 20;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of file content, without holes.
    pub content_bytes: u64,
    /// Attributes that mean nothing on another host or on such a file.
    pub skipped: u64,
    /// The length of the image.
    pub image_bytes: u64,
    /// Where the metadata begins, which reaches to the end: worth reading ahead before a walk.
    pub metadata_offset: u64,
    /// XXH3 (64 bits, seed 0) of every [`PIECE_BYTES`] of the image, in order.
    pub checksums: Vec<u64>,
}

/// The checksum of one piece, as in [`Written::checksums`].
///
/// # Errors
/// The file cannot be read or ends before `offset + length`.
pub fn checksum_of(file: &File, offset: u64, length: u64) -> std::io::Result<u64> {
    let length = usize::try_from(length).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(twox_hash::XxHash3_64::oneshot(&bytes))
}
