//! Reads an image, ours or one of mkfs.erofs without compression, whatever its bytes are.
//!
//! Every address is checked against the length of the image before it is read, every size before
//! memory is taken for it. A wrong image gives an error that says so; nothing panics, nothing runs
//! without end. Links are never followed here.
//!
//! Start at [`Reader::open`]; directories are in `entries.rs`, the whole tree in `walk.rs`.

use super::format::{
    BLOCK, BLOCK_BITS, BLOCK_BYTES, CHUNK_BITS_MASK, CHUNK_INDEXES, DiskInode, FileKind, Layout,
    NULL_BLOCK, SLOT_BYTES, Superblock, XATTR_HEADER_BYTES, decode_device, u16_at, u32_at,
};
use super::source::{Cache, ReadAt};
use super::xattr;
use crate::error::{Context, Error, Result};

/// How many chunks are looked at for one answer of [`Reader::segment`].
const CHUNKS_JOINED: u64 = 1024;

/// An open image. Can be shared between threads.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    length: u64,
    superblock: Superblock,
    cache: Cache,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its number in the image; the kernel shows the same.
    pub nid: u64,
    pub kind: FileKind,
    /// With set-user-id, set-group-id and sticky; nothing above.
    pub permissions: u32,
    pub links: u32,
    pub size: u64,
    pub uid: u32,
    pub gid: u32,
    /// Of the last change of the content, possibly before 1970.
    pub modified_seconds: i64,
    pub modified_nanoseconds: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    layout: Layout,
    place: u32,
    /// Where the attributes begin, and their length.
    xattrs: (u64, u32),
}

/// Neighbouring bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSegment {
    pub length: u64,
    /// Where they are in the image; `None` for a hole.
    pub image_offset: Option<u64>,
}

impl Inode {
    /// Type and permissions, as stat(2) has them.
    #[must_use]
    pub fn mode(&self) -> u32 {
        u32::from(self.kind.mode_bits()) | self.permissions
    }

    /// Where an inline end or a chunk map begins.
    fn after(&self) -> u64 {
        self.xattrs.0 + u64::from(self.xattrs.1)
    }

    /// From the inode to what follows it: where metadata of this inode is in the image.
    pub(super) fn head(&self, base: u64) -> std::ops::Range<u64> {
        base + self.nid * SLOT_BYTES..self.after()
    }
}

impl<S: ReadAt> Reader<S> {
    /// Reads and checks the superblock.
    ///
    /// # Errors
    /// `source` cannot be read, is no EROFS image, is cut off, or uses what we cannot read.
    pub fn open(source: S) -> Result<Self> {
        let length = source.length_bytes().step(|| "look at the image")?;
        if length < BLOCK_BYTES {
            return Err(Error::invalid("this is not an EROFS image"));
        }
        let mut block = [0; BLOCK];
        source
            .read_exactly(&mut block, 0)
            .step(|| "read the superblock")?;
        let superblock = Superblock::parse(&block)?;
        let claimed = u64::from(superblock.blocks) * BLOCK_BYTES;
        if claimed > length {
            return Err(damaged(format!(
                "it has {length} bytes of {claimed}: it was cut off"
            )));
        }
        Ok(Self {
            source,
            length: claimed,
            superblock,
            cache: Cache::new(),
        })
    }

    /// Where the bytes come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// How many inodes the image says it has.
    #[must_use]
    pub fn inodes(&self) -> u64 {
        self.superblock.inodes
    }

    /// The length that the image says it has.
    #[must_use]
    pub fn image_bytes(&self) -> u64 {
        self.length
    }

    /// Where nids are counted from.
    pub(super) fn base(&self) -> u64 {
        u64::from(self.superblock.metadata_block) * BLOCK_BYTES
    }

    /// The root directory.
    ///
    /// # Errors
    /// As for [`Reader::inode`]; or the root is no directory.
    pub fn root(&self) -> Result<Inode> {
        let root = self.inode(self.superblock.root_nid.into())?;
        if root.kind != FileKind::Directory {
            return Err(damaged("its root is not a directory"));
        }
        Ok(root)
    }

    /// What stands at a number.
    ///
    /// # Errors
    /// There is no inode, or the image is damaged.
    pub fn inode(&self, nid: u64) -> Result<Inode> {
        let offset = nid
            .checked_mul(SLOT_BYTES)
            .and_then(|offset| offset.checked_add(self.base()))
            .filter(|&offset| offset < self.length)
            .ok_or_else(|| damaged(format!("inode {nid} is outside")))?;
        let mut bytes = [0; 64];
        // A compact inode may be the last of the image, with less behind it than a large one takes.
        let available = usize::try_from(self.length - offset).unwrap_or(64).min(64);
        self.metadata(&mut bytes[..available], offset)?;
        let (disk, inode_bytes) = DiskInode::parse(&bytes)?;
        let kind = FileKind::of_mode(disk.mode)
            .ok_or_else(|| damaged(format!("inode {nid} has the unknown mode {:o}", disk.mode)))?;
        if inode_bytes + u64::from(disk.xattr_bytes) > self.length - offset
            || disk.size > i64::MAX.cast_unsigned()
            || (kind == FileKind::Symlink && disk.size > BLOCK_BYTES)
        {
            return Err(damaged(format!("inode {nid} has an impossible size")));
        }
        let modified = disk.modified.unwrap_or(self.superblock.build_time);
        let is_device = matches!(kind, FileKind::Character | FileKind::Block);
        Ok(Inode {
            nid,
            kind,
            permissions: u32::from(disk.mode) & 0o7777,
            links: disk.links,
            size: disk.size,
            uid: disk.uid,
            gid: disk.gid,
            modified_seconds: modified.seconds,
            modified_nanoseconds: modified.nanoseconds,
            device: if is_device {
                decode_device(disk.place)
            } else {
                (0, 0)
            },
            layout: disk.layout,
            place: disk.place,
            xattrs: (offset + inode_bytes, disk.xattr_bytes),
        })
    }

    /// Where the content of a file is from `offset` on, as far as it stays together; `None` at the
    /// end of the file. A longer file than the image is possible only with holes.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn segment(&self, inode: &Inode, offset: u64) -> Result<Option<FileSegment>> {
        if offset >= inode.size || !has_content(inode.kind) {
            return Ok(None);
        }
        let segment = match inode.layout {
            Layout::Chunks => return self.chunk_segment(inode, offset).map(Some),
            Layout::Plain => self.plain_segment(inode, offset, inode.size),
            Layout::Inline => {
                let whole = (inode.size - 1) / BLOCK_BYTES * BLOCK_BYTES;
                if offset < whole {
                    self.plain_segment(inode, offset, whole)
                } else {
                    if inode.after() % BLOCK_BYTES + (inode.size - whole) > BLOCK_BYTES {
                        return Err(damaged(format!(
                            "the end of inode {} crosses a block",
                            inode.nid
                        )));
                    }
                    FileSegment {
                        length: inode.size - offset,
                        image_offset: Some(inode.after() + (offset - whole)),
                    }
                }
            }
        };
        self.checked(inode, segment).map(Some)
    }

    fn plain_segment(&self, inode: &Inode, offset: u64, end: u64) -> FileSegment {
        let start = u64::from(inode.place) * BLOCK_BYTES;
        FileSegment {
            length: end - offset,
            image_offset: Some(start.saturating_add(offset)),
        }
    }

    fn checked(&self, inode: &Inode, segment: FileSegment) -> Result<FileSegment> {
        let end = segment
            .image_offset
            .unwrap_or(0)
            .checked_add(segment.length);
        if segment.image_offset.is_some() && end.is_none_or(|end| end > self.length) {
            return Err(damaged(format!(
                "content of inode {} is outside",
                inode.nid
            )));
        }
        Ok(segment)
    }

    fn chunk_segment(&self, inode: &Inode, offset: u64) -> Result<FileSegment> {
        if inode.place & !(CHUNK_BITS_MASK | CHUNK_INDEXES) != 0 {
            return Err(damaged(format!(
                "inode {} has a map of an unknown form",
                inode.nid
            )));
        }
        let bits = BLOCK_BITS + (inode.place & CHUNK_BITS_MASK);
        let first = offset >> bits;
        let inside = offset - (first << bits);
        let last = (inode.size - 1) >> bits;
        let block = self.chunk(inode, first)?;
        let mut chunks = 1;
        while first + chunks <= last && chunks < CHUNKS_JOINED {
            let next = self.chunk(inode, first + chunks)?;
            let distance = chunks << (bits - BLOCK_BITS);
            let expected = block.map(|block| block.saturating_add(distance));
            if next != expected {
                break;
            }
            chunks += 1;
        }
        // Up to 2^63 rounded up to a chunk of at most 2^43.
        let end = ((first + chunks) << bits).min(inode.size);
        let segment = FileSegment {
            length: end - offset,
            image_offset: block
                .map(|block| block.saturating_mul(BLOCK_BYTES).saturating_add(inside)),
        };
        self.checked(inode, segment)
    }

    /// The block of a chunk; `None` for a hole.
    fn chunk(&self, inode: &Inode, chunk: u64) -> Result<Option<u64>> {
        let is_index = inode.place & CHUNK_INDEXES != 0;
        let width = if is_index { 8 } else { 4 };
        let offset = chunk
            .checked_mul(width)
            .and_then(|offset| offset.checked_add(inode.after().next_multiple_of(width)))
            .ok_or_else(|| damaged(format!("the map of inode {} is outside", inode.nid)))?;
        let mut entry = [0; 8];
        let entry = &mut entry[..if is_index { 8 } else { 4 }];
        self.metadata(entry, offset)?;
        let block = u32_at(entry, if is_index { 4 } else { 0 });
        if is_index && block != NULL_BLOCK && u16_at(entry, 2) != 0 {
            return Err(damaged(format!(
                "content of inode {} is on another device",
                inode.nid
            )));
        }
        Ok((block != NULL_BLOCK).then_some(block.into()))
    }

    /// Reads content, as much as the buffer holds and the file has; holes are zeros.
    ///
    /// # Errors
    /// The image is damaged or cannot be read.
    pub fn read(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let Some(segment) = self.segment(inode, offset.saturating_add(done as u64))? else {
                break;
            };
            let room = &mut buffer[done..];
            let count = usize::try_from(segment.length)
                .unwrap_or(usize::MAX)
                .min(room.len());
            let room = &mut room[..count];
            match segment.image_offset {
                None => room.fill(0),
                Some(at) if inode.kind == FileKind::File => self
                    .source
                    .read_exactly(room, at)
                    .step(|| "read the image")?,
                Some(at) => self.metadata(room, at)?,
            }
            done += count;
        }
        Ok(done)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// It is none, or the image is damaged.
    pub fn read_link(&self, inode: &Inode) -> Result<Vec<u8>> {
        if inode.kind != FileKind::Symlink {
            return Err(Error::invalid("not a symbolic link"));
        }
        // Checked when the inode was read: at most a block.
        let mut target = vec![0; usize::try_from(inode.size).unwrap_or(0)];
        let length = self.read(inode, 0, &mut target)?;
        target.truncate(length);
        if target.is_empty() || target.contains(&0) {
            return Err(damaged(format!("link {} has no target", inode.nid)));
        }
        Ok(target)
    }

    /// The extended attributes: names and values.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let (offset, length) = inode.xattrs;
        if length == 0 {
            return Ok(Vec::new());
        }
        let wrong = || damaged(format!("attributes of inode {}", inode.nid));
        // At most 256 KiB: 16 bits of 4-byte units.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.metadata(&mut bytes, offset)?;
        let shared = usize::from(bytes[4]);
        let own = XATTR_HEADER_BYTES + 4 * shared;
        let ids = bytes.get(XATTR_HEADER_BYTES..own).ok_or_else(wrong)?;
        let mut found = Vec::new();
        for id in ids.chunks_exact(4) {
            found.push(self.shared_xattr(u32_at(id, 0)).ok_or_else(wrong)??);
        }
        let mut rest = &bytes[own..];
        while !rest.is_empty() {
            let (xattr, used) = xattr::decode(rest).ok_or_else(wrong)?;
            found.push(xattr);
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(found)
    }

    /// An attribute that several inodes share. `None` when there is none at that number.
    fn shared_xattr(&self, id: u32) -> Option<Result<crate::tar::Xattr>> {
        let base = u64::from(self.superblock.xattr_block) * BLOCK_BYTES;
        let offset = base.checked_add(u64::from(id) * 4)?;
        let mut header = [0; 4];
        if let Err(error) = self.metadata(&mut header, offset) {
            return Some(Err(error));
        }
        let length = 4 + usize::from(header[0]) + usize::from(u16_at(&header, 2));
        let mut bytes = vec![0; length];
        if let Err(error) = self.metadata(&mut bytes, offset) {
            return Some(Err(error));
        }
        xattr::decode(&bytes).map(|(xattr, _)| Ok(xattr))
    }

    /// Fills `buffer` with metadata.
    fn metadata(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(damaged("metadata is outside"));
        }
        self.cache
            .read(&self.source, self.length, buffer, offset)
            .step(|| "read the image")
    }
}

fn has_content(kind: FileKind) -> bool {
    matches!(
        kind,
        FileKind::File | FileKind::Directory | FileKind::Symlink
    )
}

pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("damaged EROFS image: {what}"))
        .hint("`insula image verify` finds what is damaged; pull the image again")
}
