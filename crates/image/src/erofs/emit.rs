//! Writes what `layout.rs` gave a place: blocks of directories, inodes with what follows them, and
//! the superblock.

use super::Written;
use super::directory::{Names, pack};
use super::format::{
    BLOCK, BLOCK_BITS, BLOCK_BYTES, Layout, NULL_BLOCK, SLOT_BYTES, Superblock, XATTR_HEADER_BYTES,
};
use super::layout::{Layer, Visited, Walked, too_large};
use super::tree::{Body, ROOT, position};
use crate::error::Result;

/// What the writing of inodes needs.
struct Output {
    record: Vec<u8>,
    /// Where the metadata begins.
    base: u64,
    /// Inodes written so far.
    serial: u32,
}

impl Layer<'_> {
    /// Writes everything but content, which is there already.
    pub(super) fn finish(mut self, mut written: Written) -> Result<Written> {
        let mut walked = self.walk();
        self.place(&mut walked)?;
        for directory in &walked.directories {
            self.write_blocks(&walked, directory)?;
        }
        let metadata_block = self.sink.block()?;
        let mut output = Output {
            record: Vec::new(),
            base: u64::from(metadata_block) * BLOCK_BYTES,
            serial: 0,
        };
        self.write_inodes(&walked, &mut output)?;
        self.sink.align()?;
        let superblock = Superblock {
            root_nid: 0,
            inodes: output.serial.into(),
            build_time: self.build_time,
            blocks: self.sink.block()?,
            metadata_block,
            xattr_block: 0,
            has_chunks: !self.maps.is_empty(),
        };
        written.image_bytes = self.sink.position();
        written.metadata_offset = output.base;
        written.checksums = self.sink.finish(&superblock.encode())?;
        Ok(written)
    }

    /// Writes the blocks of one directory that do not follow its inode.
    fn write_blocks(&mut self, walked: &Walked, directory: &Visited) -> Result<()> {
        let bytes = self.tree.inode(directory.inode).size;
        if directory.inline && bytes < BLOCK_BYTES {
            return Ok(());
        }
        let mut packed = Vec::new();
        let children = walked.children(directory);
        let mut names = Names::new(&self.tree, directory.inode, children).peekable();
        for number in 0.. {
            let is_inline = directory.inline && number == bytes / BLOCK_BYTES;
            if is_inline || names.peek().is_none() {
                break;
            }
            packed.clear();
            pack(&self.tree, &mut names, &mut packed);
            // Zeros also end the last name of a block.
            packed.resize(BLOCK, 0);
            self.sink.append(&packed)?;
        }
        Ok(())
    }

    fn write_inodes(&mut self, walked: &Walked, output: &mut Output) -> Result<()> {
        self.write_inode(ROOT, walked, output)?;
        for directory in &walked.directories {
            for &entry in walked.children(directory) {
                let child = self.tree.entries[position(entry)].inode;
                let start = output.base + u64::from(self.tree.inode(child).nid) * SLOT_BYTES;
                // Otherwise it was written already, under another name.
                if start >= self.sink.position() {
                    self.write_inode(child, walked, output)?;
                }
            }
        }
        Ok(())
    }

    fn write_inode(&mut self, number: u32, walked: &Walked, output: &mut Output) -> Result<()> {
        let inode = *self.tree.inode(number);
        let visited = walked.visited(number);
        let start = output.base + u64::from(inode.nid) * SLOT_BYTES;
        self.sink.zeros(start - self.sink.position())?;
        output.serial += 1;
        let (layout, place) = self.content_place(&inode.body, visited);
        let modified = (!self.is_compact(&inode)).then_some(inode.modified);
        let record = &mut output.record;
        record.clear();
        self.disk_inode(&inode, layout, place, modified)
            .encode(output.serial, record);
        if self.xattr_bytes(&inode) > 0 {
            record.extend_from_slice(&[0; XATTR_HEADER_BYTES]);
            record.extend_from_slice(self.xattrs.get(inode.xattrs));
            record.extend_from_slice(&self.overlay_marks(&inode));
        }
        match inode.body {
            Body::Directory { .. } => {
                if let Some(visited) = visited.filter(|visited| visited.inline) {
                    self.pack_end(walked, visited, record);
                }
            }
            Body::Inline { tail, .. } => {
                record.extend_from_slice(self.tree.bytes(tail, inode.size % BLOCK_BYTES));
            }
            Body::Symlink {
                target,
                block: None,
            } => record.extend_from_slice(self.tree.bytes(target, inode.size)),
            _ => {}
        }
        self.sink.append(record)?;
        match inode.body {
            Body::Chunks { map } => self.write_map(position(map), inode.size),
            _ => Ok(()),
        }
    }

    /// How the inode says where its content is.
    fn content_place(&self, body: &Body, visited: Option<&Visited>) -> (Layout, u32) {
        match *body {
            Body::Directory { .. } => match visited {
                Some(visited) if visited.inline => (Layout::Inline, visited.block),
                Some(visited) => (Layout::Plain, visited.block),
                None => (Layout::Plain, 0),
            },
            Body::Blocks { first } => (Layout::Plain, first),
            Body::Inline { first, .. } => (Layout::Inline, first),
            Body::Chunks { map } => {
                let bits = self.maps[position(map)].chunk_bits;
                (Layout::Chunks, bits - BLOCK_BITS)
            }
            Body::Symlink { block, .. } => match block {
                Some(block) => (Layout::Plain, block),
                None => (Layout::Inline, 0),
            },
            Body::Node { device } => (Layout::Plain, device),
        }
    }

    /// Appends the last block of a directory.
    fn pack_end(&self, walked: &Walked, directory: &Visited, output: &mut Vec<u8>) {
        let children = walked.children(directory);
        let mut names = Names::new(&self.tree, directory.inode, children).peekable();
        let mut packed = Vec::new();
        while names.peek().is_some() {
            packed.clear();
            pack(&self.tree, &mut names, &mut packed);
        }
        output.extend_from_slice(&packed);
    }

    fn write_map(&mut self, map: usize, size: u64) -> Result<()> {
        let map = &self.maps[map];
        let chunk_blocks = 1_u64 << (map.chunk_bits - BLOCK_BITS);
        let mut extents = map.extents.iter().peekable();
        for chunk in 0..map.chunks(size) {
            let is_behind =
                |extent: &&super::content::Extent| extent.first_chunk + extent.chunks <= chunk;
            while extents.next_if(is_behind).is_some() {}
            let block = match extents.peek() {
                Some(extent) if extent.first_chunk <= chunk => {
                    let distance = (chunk - extent.first_chunk) * chunk_blocks;
                    u32::try_from(u64::from(extent.block) + distance)
                        .map_err(|_too_large| too_large())?
                }
                _ => NULL_BLOCK,
            };
            self.sink.append(&block.to_le_bytes())?;
        }
        Ok(())
    }
}
