//! The content of a file, from the archive to the image, block by block as it comes.
//!
//! Holes are kept: those that the archive tells of, and aligned 64 KiB of zeros in larger files.
//! Such a file gets a map of equal chunks, each a run of blocks or a hole. A short end of a small
//! file is kept in memory to follow its inode, as long as all of them together stay small.

use std::io::BufRead;

use super::format::{BLOCK_BITS, BLOCK_BYTES, EXTENDED_BYTES, XATTR_HEADER_BYTES};
use super::sink::Sink;
use super::tree::{Body, Tree};
use crate::error::{Error, Result};
use crate::tar::{Entry, Reader, Segment};
use crate::unpack::Budget;

/// A longer end of a file gets a block of its own.
const TAIL_BYTES_MAX: u64 = 1024;
/// All ends in memory together. The less is left, the shorter an end must be: the shortest ones
/// save the most.
const TAILS_BYTES_MAX: u64 = 4 << 20;
/// Smaller files are not searched for zeros.
const SEARCHED_BYTES_MIN: u64 = 128 << 10;
const SEARCHED_CHUNK_BITS: u32 = 16;
/// The kernel keeps the size of a chunk as 5 bits above the size of a block.
const CHUNK_BITS_MAX: u32 = BLOCK_BITS + 31;

/// Neighbouring chunks with content, in neighbouring blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first_chunk: u64,
    pub(super) chunks: u64,
    pub(super) block: u32,
}

/// Where the chunks of a file are; between the extents are holes.
#[derive(Debug)]
pub(super) struct ChunkMap {
    pub(super) chunk_bits: u32,
    pub(super) extents: Vec<Extent>,
}

impl ChunkMap {
    /// How many entries the map has on disk.
    pub(super) fn chunks(&self, size: u64) -> u64 {
        size.div_ceil(1 << self.chunk_bits)
    }
}

/// What is needed to store content, beside the archive.
pub(super) struct Store<'a, 'f> {
    pub(super) sink: &'a mut Sink<'f>,
    pub(super) tree: &'a mut Tree,
    pub(super) maps: &'a mut Vec<ChunkMap>,
    pub(super) tails_bytes: &'a mut u64,
}

impl Store<'_, '_> {
    /// Stores the content of `entry`, of which `reader` has just read the header.
    pub(super) fn content<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        entry: &Entry,
        xattr_bytes: usize,
        budget: &mut Budget<'_>,
    ) -> Result<Body> {
        if let Some(segments) = &entry.segments {
            let map = self.segments(reader, segments, entry.size, budget)?;
            return self.mapped(map, entry.size);
        }
        if entry.size >= SEARCHED_BYTES_MIN {
            let map = self.searched(reader, entry.size, budget)?;
            return self.mapped(map, entry.size);
        }
        self.small(reader, entry.size, xattr_bytes, budget)
    }

    fn small<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        size: u64,
        xattr_bytes: usize,
        budget: &mut Budget<'_>,
    ) -> Result<Body> {
        let tail_bytes = size % BLOCK_BYTES;
        let beside = EXTENDED_BYTES + XATTR_HEADER_BYTES as u64 + xattr_bytes as u64;
        let left = TAILS_BYTES_MAX.saturating_sub(*self.tails_bytes);
        let inline = (1..=TAIL_BYTES_MAX.min(left / 2048)).contains(&tail_bytes)
            && beside + tail_bytes <= BLOCK_BYTES;
        let first = self.sink.block()?;
        if !inline {
            self.copy(reader, size)?;
            self.sink.align()?;
            return Ok(Body::Blocks { first });
        }
        *self.tails_bytes += tail_bytes;
        self.copy(reader, size - tail_bytes)?;
        let mut tail = Vec::with_capacity(usize::try_from(tail_bytes).unwrap_or(0));
        while (tail.len() as u64) < tail_bytes {
            let content = reader.content()?;
            let count = content.len();
            tail.extend_from_slice(content);
            reader.consume(count);
        }
        let tail = self.tree.keep(&tail, budget)?;
        Ok(Body::Inline { first, tail })
    }

    /// Copies the next `length` bytes of the archive.
    fn copy<R: BufRead>(&mut self, reader: &mut Reader<R>, mut length: u64) -> Result<()> {
        while length > 0 {
            let content = reader.content()?;
            let room = usize::try_from(length).unwrap_or(usize::MAX);
            let content = &content[..content.len().min(room)];
            self.sink.append(content)?;
            let count = content.len();
            reader.consume(count);
            length -= count as u64;
        }
        Ok(())
    }

    /// Copies a file and leaves out aligned chunks of zeros.
    fn searched<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        size: u64,
        budget: &mut Budget<'_>,
    ) -> Result<ChunkMap> {
        let mut search = Search {
            extents: Vec::new(),
            offset: 0,
            zeros: 0,
        };
        while search.offset < size {
            let content = reader.content()?;
            search.take(content, self.sink, budget)?;
            let count = content.len();
            reader.consume(count);
        }
        self.sink.align()?;
        Ok(ChunkMap {
            chunk_bits: SEARCHED_CHUNK_BITS,
            extents: search.extents,
        })
    }

    /// Copies the content of a file with holes.
    fn segments<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        segments: &[Segment],
        size: u64,
        budget: &mut Budget<'_>,
    ) -> Result<ChunkMap> {
        let bits = best_chunk_bits(segments, size);
        let mut extents: Vec<Extent> = Vec::new();
        // Where the content of the current extent ends, so far.
        let mut end = 0;
        for segment in segments {
            let first_chunk = segment.offset >> bits;
            let chunks_end = ((segment.offset + segment.length - 1) >> bits) + 1;
            match extents.last_mut() {
                Some(last) if first_chunk <= last.first_chunk + last.chunks => {
                    last.chunks = chunks_end - last.first_chunk;
                }
                last => {
                    if let Some(last) = last {
                        let extent_end = (last.first_chunk + last.chunks) << bits;
                        self.sink.zeros(extent_end - end)?;
                    }
                    budget.pending(size_of::<Extent>())?;
                    end = first_chunk << bits;
                    extents.push(Extent {
                        first_chunk,
                        chunks: chunks_end - first_chunk,
                        block: self.sink.block()?,
                    });
                }
            }
            self.sink.zeros(segment.offset - end)?;
            self.copy(reader, segment.length)?;
            end = segment.offset + segment.length;
        }
        if let Some(last) = extents.last() {
            let extent_end = (last.first_chunk + last.chunks) << bits;
            self.sink.zeros(extent_end.min(size) - end)?;
        }
        self.sink.align()?;
        Ok(ChunkMap {
            chunk_bits: bits,
            extents,
        })
    }

    /// Plain blocks where there is no hole, else the map with the largest chunks that it allows.
    fn mapped(&mut self, mut map: ChunkMap, size: u64) -> Result<Body> {
        let chunks = map.chunks(size);
        match *map.extents {
            [only] if only.chunks == chunks => return Ok(Body::Blocks { first: only.block }),
            [] if size == 0 => return Ok(Body::Blocks { first: 0 }),
            _ => {}
        }
        let shift = spare_bits(&map.extents, chunks).min(CHUNK_BITS_MAX - map.chunk_bits);
        map.chunk_bits += shift;
        for extent in &mut map.extents {
            extent.first_chunk >>= shift;
            extent.chunks = extent.chunks.div_ceil(1 << shift);
        }
        map.extents.shrink_to_fit();
        let number = u32::try_from(self.maps.len())
            .map_err(|_too_large| Error::invalid("the layer has too many files with holes"))?;
        self.maps.push(map);
        Ok(Body::Chunks { map: number })
    }
}

/// By how much chunks can grow: every border of an extent must stay one, but for the file's end.
fn spare_bits(extents: &[Extent], chunks: u64) -> u32 {
    let mut borders = 0;
    for extent in extents {
        borders |= extent.first_chunk;
        let end = extent.first_chunk + extent.chunks;
        if end != chunks {
            borders |= end;
        }
    }
    match borders {
        // One extent from the start is no map; no extent at all is one hole.
        0 => 63 - chunks.leading_zeros() + 1,
        borders => borders.trailing_zeros(),
    }
}

/// The size of chunks that costs the least space: small ones make the map large, large ones must be
/// filled with zeros.
fn best_chunk_bits(segments: &[Segment], size: u64) -> u32 {
    let cost = |bits: &u32| {
        let mut filled = 0_u64;
        let mut end = 0;
        for segment in segments {
            let first = (segment.offset >> bits).max(end);
            end = ((segment.offset + segment.length - 1) >> bits) + 1;
            filled += end.saturating_sub(first);
        }
        let map = size.div_ceil(1 << bits) * 4;
        map.saturating_add(filled.saturating_mul(1 << bits))
    };
    (BLOCK_BITS..=CHUNK_BITS_MAX)
        .min_by_key(cost)
        .unwrap_or(BLOCK_BITS)
}

/// Looks for chunks of zeros in content that comes in pieces of any size.
struct Search {
    extents: Vec<Extent>,
    /// Of the file.
    offset: u64,
    /// Zeros from the start of the current chunk to `offset`, not written yet; 0 in a chunk that
    /// has shown something else.
    zeros: u64,
}

impl Search {
    fn take(&mut self, content: &[u8], sink: &mut Sink<'_>, budget: &mut Budget<'_>) -> Result<()> {
        const CHUNK: u64 = 1 << SEARCHED_CHUNK_BITS;
        // What is known to be content and not written yet: `content[start..at]`.
        let mut start = 0;
        let mut at = 0;
        while at < content.len() {
            let inside = self.offset % CHUNK;
            let room = usize::try_from(CHUNK - inside).unwrap_or(usize::MAX);
            let piece = &content[at..content.len().min(at + room)];
            if self.zeros == inside && is_zero(piece) {
                sink.append(&content[start..at])?;
                start = at + piece.len();
                self.zeros += piece.len() as u64;
                if self.zeros == CHUNK {
                    self.zeros = 0;
                }
            } else {
                if self.zeros == inside {
                    // Zeros at the start of a chunk can only be pending in an empty run.
                    let position = sink.position() + (at - start) as u64;
                    self.begin_chunk(position, budget)?;
                }
                sink.zeros(std::mem::take(&mut self.zeros))?;
            }
            at += piece.len();
            self.offset += piece.len() as u64;
        }
        sink.append(&content[start..])
    }

    /// The chunk at `offset` has content, which begins at `position` of the image.
    fn begin_chunk(&mut self, position: u64, budget: &mut Budget<'_>) -> Result<()> {
        let chunk = self.offset >> SEARCHED_CHUNK_BITS;
        match self.extents.last_mut() {
            Some(last) if last.first_chunk + last.chunks == chunk => last.chunks += 1,
            _ => {
                budget.pending(size_of::<Extent>())?;
                let block = u32::try_from(position / BLOCK_BYTES).map_err(|_too_large| {
                    Error::invalid("the layer has more than 16 TiB, the limit of EROFS")
                })?;
                self.extents.push(Extent {
                    first_chunk: chunk,
                    chunks: 1,
                    block,
                });
            }
        }
        Ok(())
    }
}

/// Content is rarely zero at its start, so this rarely looks far.
fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(64)
        .all(|part| part.iter().all(|&byte| byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_large_as_it_pays() {
        let at = |offset, length| Segment { offset, length };
        // Only holes: one chunk.
        assert!(1 << best_chunk_bits(&[], 1 << 33) >= 1_u64 << 33);
        // Small gaps between small pieces.
        let pieces: Vec<_> = (0..16).map(|index| at(index * 16384, 4096)).collect();
        assert_eq!(best_chunk_bits(&pieces, 16 * 16384), 12);
        // A terabyte with one byte: a map of 4 KiB chunks would take a gigabyte.
        let bits = best_chunk_bits(&[at(1 << 39, 1)], 1 << 40);
        assert!((19..=22).contains(&bits), "{bits}");
    }

    #[test]
    fn chunks_grow_to_the_borders_of_extents() {
        let extent = |first_chunk, chunks| Extent {
            first_chunk,
            chunks,
            block: 1,
        };
        assert_eq!(spare_bits(&[extent(0, 8), extent(16, 4)], 20), 3);
        assert_eq!(spare_bits(&[extent(0, 8), extent(16, 4)], 21), 2);
        assert_eq!(spare_bits(&[extent(0, 3)], 20), 0);
        for chunks in [1, 2, 3, 4, 5, 1 << 20] {
            assert!(1_u64 << spare_bits(&[], chunks) >= chunks);
        }
    }
}
