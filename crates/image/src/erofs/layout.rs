//! The end of a layer: every inode gets its place.
//!
//! ```text
//!  superblock │ content of files │ large directories │ root, its children, theirs, …
//! ```
//!
//! The children of a directory stand together, sorted by name, and directories follow each other as
//! a walk through the tree visits them: listing a directory and looking at all its files touches
//! neighbouring blocks. Small directories, links and ends of files stand inside, after their inode.
//! Places are given before anything is written (`emit.rs`), because an entry holds the nid of its
//! inode. Start at [`Layer::walk`] and [`Layer::place`].

use super::content::ChunkMap;
use super::directory::{Names, packed_bytes};
use super::format::{
    BLOCK, BLOCK_BYTES, COMPACT_BYTES, DiskInode, EXTENDED_BYTES, Layout, SLOT_BYTES,
    XATTR_HEADER_BYTES,
};
use super::sink::Sink;
use super::tree::{Body, Inode, ROOT, Tree, position};
use super::xattr::{self, XattrSets};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// A shorter end of a directory always follows its inode; a longer one only where it fits without
/// a gap.
const INLINE_DIRECTORY_BYTES: u64 = 1024;
/// A gap at the end of a block that does not matter.
const GAP_BYTES: u64 = 512;

/// A tree that is complete, and the image with its content.
pub(super) struct Layer<'f> {
    pub(super) sink: Sink<'f>,
    pub(super) tree: Tree,
    pub(super) maps: Vec<ChunkMap>,
    pub(super) xattrs: XattrSets,
    /// The number of the prefix of overlayfs' attributes.
    pub(super) overlay_prefix: u8,
    /// The time that compact inodes have.
    pub(super) build_time: Timestamp,
}

/// The tree in the order of a walk from its root.
pub(super) struct Walked {
    /// Indexes of entries: those of one directory together, sorted by name.
    pub(super) order: Vec<u32>,
    pub(super) directories: Vec<Visited>,
    /// By inode: where in `directories` it is, or `u32::MAX`.
    visits: Vec<u32>,
}

/// A directory on the walk.
pub(super) struct Visited {
    pub(super) inode: u32,
    /// Its children: a range of the order.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its first block that does not follow the inode.
    pub(super) block: u32,
    /// Whether its last block follows the inode.
    pub(super) inline: bool,
}

impl Walked {
    pub(super) fn children(&self, directory: &Visited) -> &[u32] {
        &self.order[directory.start..directory.end]
    }

    pub(super) fn visited(&self, inode: u32) -> Option<&Visited> {
        self.directories.get(position(self.visits[position(inode)]))
    }
}

impl Layer<'_> {
    /// Sorts what can be reached and counts the links of all inodes.
    pub(super) fn walk(&mut self) -> Walked {
        let tree = &mut self.tree;
        let (mut order, starts) = by_parent(tree);
        let mut directories = Vec::new();
        let mut visits = vec![u32::MAX; tree.inodes.len()];
        let mut pending = vec![ROOT];
        while let Some(inode) = pending.pop() {
            let start = position(starts[position(inode)]);
            let end = position(starts[position(inode) + 1]);
            let children = &mut order[start..end];
            children.sort_unstable_by(|&a, &b| {
                let name = |entry| tree.name(tree.entries[position(entry)]);
                name(a).cmp(name(b))
            });
            let mut links = 2;
            for &child in children.iter().rev() {
                let child = tree.entries[position(child)].inode;
                if tree.inode(child).is_directory() {
                    links += 1;
                    pending.push(child);
                } else {
                    tree.inode_mut(child).links += 1;
                }
            }
            let bytes = packed_bytes(Names::new(tree, inode, children));
            let directory = tree.inode_mut(inode);
            directory.links = links;
            directory.size = bytes;
            visits[position(inode)] = u32::try_from(directories.len()).unwrap_or(u32::MAX);
            directories.push(Visited {
                inode,
                start,
                end,
                block: 0,
                inline: false,
            });
        }
        Walked {
            order,
            directories,
            visits,
        }
    }

    /// Gives every inode that can be reached its nid.
    pub(super) fn place(&mut self, walked: &mut Walked) -> Result<()> {
        let mut end = self.place_one(ROOT, 0, walked.directories.first_mut())?;
        for number in 0..walked.directories.len() {
            let Visited {
                start, end: last, ..
            } = walked.directories[number];
            for index in start..last {
                let child = self.tree.entries[position(walked.order[index])].inode;
                // Only the root has 0, and it is nobody's child: this one has another name, too.
                if self.tree.inode(child).nid != 0 {
                    continue;
                }
                let visit = position(walked.visits[position(child)]);
                end = self.place_one(child, end, walked.directories.get_mut(visit))?;
            }
        }
        self.place_blocks(&mut walked.directories)
    }

    /// Places an inode at or after `end`, an offset in the metadata; says where it ends.
    fn place_one(&mut self, number: u32, end: u64, visited: Option<&mut Visited>) -> Result<u64> {
        let inode = self.tree.inode(number);
        let head = self.inode_bytes(inode) + self.xattr_bytes(inode) as u64;
        let mut start = end.next_multiple_of(SLOT_BYTES);
        let room = BLOCK_BYTES - start % BLOCK_BYTES;
        let mut tail = match inode.body {
            Body::Directory { .. } | Body::Inline { .. } => inode.size % BLOCK_BYTES,
            Body::Symlink { block: None, .. } => inode.size,
            _ => 0,
        };
        if let Some(visited) = visited {
            let needed = head + tail;
            let worth_a_gap = tail <= INLINE_DIRECTORY_BYTES || room <= GAP_BYTES;
            visited.inline = tail > 0 && (needed <= room || (needed <= BLOCK_BYTES && worth_a_gap));
            if !visited.inline {
                tail = 0;
            }
        }
        // An inode does not cross the border of a block, nor does one with what stands inline.
        let together = if tail > 0 {
            head + tail
        } else {
            self.inode_bytes(inode)
        };
        if together > room {
            start = start.next_multiple_of(BLOCK_BYTES);
        }
        let mut end = start + head + tail;
        if let Body::Chunks { map } = inode.body {
            end += 4 * self.maps[position(map)].chunks(inode.size);
        }
        let nid = u32::try_from(start / SLOT_BYTES).map_err(|_too_large| too_large())?;
        self.tree.inode_mut(number).nid = nid;
        Ok(end)
    }

    /// Gives directories the blocks that do not follow their inodes, in the order of the walk.
    fn place_blocks(&mut self, directories: &mut [Visited]) -> Result<()> {
        let mut block = self.sink.block()?;
        for directory in directories {
            let bytes = self.tree.inode(directory.inode).size;
            let blocks = if directory.inline {
                bytes / BLOCK_BYTES
            } else {
                bytes.div_ceil(BLOCK_BYTES)
            };
            directory.block = block;
            block = u32::try_from(blocks)
                .ok()
                .and_then(|blocks| block.checked_add(blocks))
                .ok_or_else(too_large)?;
        }
        Ok(())
    }

    pub(super) fn is_compact(&self, inode: &Inode) -> bool {
        inode.modified == self.build_time
            && self
                .disk_inode(inode, Layout::Plain, 0, None)
                .fits_compact()
    }

    fn inode_bytes(&self, inode: &Inode) -> u64 {
        if self.is_compact(inode) {
            COMPACT_BYTES
        } else {
            EXTENDED_BYTES
        }
    }

    pub(super) fn xattr_bytes(&self, inode: &Inode) -> usize {
        let own = self.xattrs.get(inode.xattrs).len();
        match own + self.overlay_marks(inode).len() {
            0 => 0,
            bytes => XATTR_HEADER_BYTES + bytes,
        }
    }

    /// Overlayfs' attributes of a directory: that it is opaque, and that it may have whiteouts.
    ///
    /// Overlayfs lists a directory that only one layer has as it is, whiteouts included, unless the
    /// directory says that it was copied up from somewhere (`ovl_dir_is_real`, Linux 4.15 and later).
    pub(super) fn overlay_marks(&self, inode: &Inode) -> Vec<u8> {
        let mut marks = Vec::new();
        if let Body::Directory {
            opaque, whiteouts, ..
        } = inode.body
        {
            let wanted: [(bool, &[u8], &[u8]); 2] = [
                (opaque, b"overlay.opaque", b"y"),
                (whiteouts, b"overlay.origin", b""),
            ];
            for (_, name, value) in wanted.iter().filter(|(is_wanted, ..)| *is_wanted) {
                // Cannot fail: name and value are short.
                let _ = xattr::append(self.overlay_prefix, name, value, &mut marks);
            }
        }
        marks
    }

    pub(super) fn disk_inode(
        &self,
        inode: &Inode,
        layout: Layout,
        place: u32,
        modified: Option<Timestamp>,
    ) -> DiskInode {
        DiskInode {
            layout,
            xattr_bytes: u32::try_from(self.xattr_bytes(inode)).unwrap_or(0),
            mode: inode.mode,
            links: inode.links,
            size: inode.size,
            place,
            uid: inode.uid,
            gid: inode.gid,
            modified,
        }
    }
}

/// The time that most inodes have, if more than half have the same: the vote of Boyer and Moore.
pub(super) fn frequent_time(tree: &Tree) -> Timestamp {
    let mut candidate = Timestamp::default();
    let mut votes = 0_u32;
    for inode in &tree.inodes {
        if votes == 0 {
            candidate = inode.modified;
        }
        if inode.modified == candidate {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    candidate
}

/// Whether something can follow an inode that has `xattr_bytes` of attributes.
pub(super) fn fits_inline(xattr_bytes: usize, length: usize) -> bool {
    let head = usize::try_from(EXTENDED_BYTES).unwrap_or(0) + XATTR_HEADER_BYTES;
    head + xattr_bytes + length <= BLOCK
}

/// All entries, those of one directory together, and by inode where they start; one more start
/// ends the last.
fn by_parent(tree: &Tree) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; tree.inodes.len() + 2];
    for entry in &tree.entries {
        starts[position(entry.parent) + 2] += 1;
    }
    for index in 2..starts.len() {
        starts[index] += starts[index - 1];
    }
    let mut order = vec![0; tree.entries.len()];
    for (number, entry) in tree.entries.iter().enumerate() {
        let next = &mut starts[position(entry.parent) + 1];
        order[position(*next)] = u32::try_from(number).unwrap_or(u32::MAX);
        *next += 1;
    }
    starts.pop();
    (order, starts)
}

pub(super) fn too_large() -> Error {
    Error::invalid("the layer has more metadata than EROFS can address")
}
