//! The image file being written, from front to back.
//!
//! Small pieces gather in a buffer, large ones go to the file as they come; either way every byte
//! passes the checksum of its MiB once, while it is in the processor's cache. Only the first block
//! is written a second time, at the end, because it is the superblock.

use std::fs::File;
use std::hash::Hasher as _;

use insula_sys::rustix::io::{self, Errno};
use twox_hash::XxHash3_64;

use super::format::{BLOCK, BLOCK_BYTES};
use super::{PIECE_BYTES, checksum_of};
use crate::error::{Context, Error, Result};

const BUFFER_BYTES: usize = 256 << 10;
/// From here on a copy into the buffer costs more than the system call it saves.
const DIRECT_BYTES: usize = 32 << 10;
const ZEROS: &[u8] = &[0; BLOCK];

pub(super) struct Sink<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    flushed: u64,
    hasher: XxHash3_64,
    /// Bytes of the current piece that the hasher has.
    hashed: u64,
    checksums: Vec<u64>,
}

impl<'f> Sink<'f> {
    pub(super) fn new(file: &'f File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            flushed: 0,
            hasher: XxHash3_64::with_seed(0),
            hashed: 0,
            checksums: Vec::new(),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// The number of the block that begins here; the position must be the start of one.
    pub(super) fn block(&self) -> Result<u32> {
        debug_assert!(self.position().is_multiple_of(BLOCK_BYTES));
        // One less than 32 bits hold: the last number is a hole's.
        u32::try_from(self.position() / BLOCK_BYTES)
            .ok()
            .filter(|&block| block < u32::MAX)
            .ok_or_else(|| Error::invalid("the layer has more than 16 TiB, the limit of EROFS"))
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= DIRECT_BYTES {
            self.flush()?;
            return self.write(bytes);
        }
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let step = usize::try_from(count).unwrap_or(BLOCK).min(BLOCK);
            self.append(&ZEROS[..step])?;
            count -= step as u64;
        }
        Ok(())
    }

    /// Fills the current block with zeros.
    pub(super) fn align(&mut self) -> Result<()> {
        self.zeros(self.position().wrapping_neg() % BLOCK_BYTES)
    }

    fn flush(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        buffer.clear();
        self.buffer = buffer;
        written
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = PIECE_BYTES - self.hashed;
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(length);
            self.hasher.write(now);
            self.hashed += length as u64;
            if self.hashed == PIECE_BYTES {
                self.end_piece();
            }
            rest = later;
        }
        write_at(self.file, bytes, self.flushed)?;
        self.flushed += bytes.len() as u64;
        Ok(())
    }

    fn end_piece(&mut self) {
        let hasher = std::mem::replace(&mut self.hasher, XxHash3_64::with_seed(0));
        self.checksums.push(hasher.finish());
        self.hashed = 0;
    }

    /// Writes what is left and the superblock. Returns the checksum of every piece.
    pub(super) fn finish(mut self, superblock: &[u8; BLOCK]) -> Result<Vec<u64>> {
        self.flush()?;
        if self.hashed > 0 {
            self.end_piece();
        }
        write_at(self.file, superblock, 0)?;
        let length = self.flushed.min(PIECE_BYTES);
        let first = checksum_of(self.file, 0, length).step(|| "read the image back")?;
        if let Some(checksum) = self.checksums.first_mut() {
            *checksum = first;
        }
        Ok(self.checksums)
    }
}

fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = match io::pwrite(file, bytes, offset) {
            Err(Errno::INTR) => 0,
            Ok(0) => return Err(Errno::IO).step(|| "write the image"),
            other => other.step(|| "write the image")?,
        };
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
