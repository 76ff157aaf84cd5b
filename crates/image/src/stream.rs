//! From a source to a stream of archive bytes in pieces: one thread reads, takes off the
//! compression and digests, while another unpacks.
//!
//! The pieces go through a bounded channel and their buffers come back, so memory stays at
//! [`PIECES`] × [`PIECE_BYTES`]. A reader thread that is stuck in a read (a pipe that nobody writes
//! to) is not waited for when the other side has failed.

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::decompress::Plain;
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Result};
use crate::unpack::Limits;

const PIECE_BYTES: usize = 512 << 10;
const PIECES: usize = 8;
/// Until this much came out, nothing is concluded from how well it was compressed.
const RATIO_FREE_BYTES: u64 = 1 << 30;

/// What the reading thread knows at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digested {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// The unpacking side: a [`BufRead`] over the pieces.
pub(crate) struct Pieces {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: std::sync::mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    position: usize,
    ended: bool,
    thread: JoinHandle<Option<Digested>>,
}

/// The reading side: digests and hands over what is written to it.
pub(crate) struct PieceWriter {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    hasher: Hasher,
    bytes: u64,
    bytes_max: u64,
}

/// Starts a thread that runs `produce`.
pub(crate) fn spawn(
    limits: &Limits,
    produce: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
) -> Result<Pieces> {
    let (full_sender, full) = sync_channel(PIECES);
    let (empty, empty_receiver) = channel();
    let mut writer = PieceWriter {
        full: full_sender,
        empty: empty_receiver,
        piece: Vec::with_capacity(PIECE_BYTES),
        hasher: Hasher::default(),
        bytes: 0,
        bytes_max: limits.archive_bytes,
    };
    let thread = std::thread::Builder::new()
        .name("read archive".to_owned())
        .spawn(move || {
            let done = produce(&mut writer).and_then(|()| writer.send());
            match done {
                Ok(()) => Some(Digested {
                    digest: writer.hasher.finish(),
                    bytes: writer.bytes,
                }),
                Err(error) => {
                    // Nobody listens when the unpacking side has failed: its error is the one.
                    let _ = writer.full.send(Err(error));
                    None
                }
            }
        })
        .step(|| "start a thread to read the archive")?;
    Ok(Pieces {
        full,
        empty,
        piece: Vec::new(),
        position: 0,
        ended: false,
        thread,
    })
}

impl PieceWriter {
    /// Takes everything from `input`.
    pub(crate) fn copy(&mut self, input: &mut Plain, ratio_max: u64) -> io::Result<()> {
        loop {
            let room = PIECE_BYTES - self.piece.len();
            let start = self.piece.len();
            let count = input.take(room as u64).read_to_end(&mut self.piece)?;
            self.account(start)?;
            if count == 0 {
                return Ok(());
            }
            if self.bytes > RATIO_FREE_BYTES
                && self.bytes / ratio_max.max(1) > input.input_bytes().max(1)
            {
                return Err(io::Error::other(format!(
                    "the archive expands to more than {ratio_max} times its size: \
                     refused as a decompression bomb"
                )));
            }
            if self.piece.len() == PIECE_BYTES {
                self.send()?;
            }
        }
    }

    /// Digests what was added to the piece from `start` on.
    fn account(&mut self, start: usize) -> io::Result<()> {
        let added = &self.piece[start..];
        self.hasher.update(added);
        self.bytes += added.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(io::Error::other(format!(
                "the archive has more than {} bytes, the limit",
                self.bytes_max
            )));
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let mut next = self
            .empty
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIECE_BYTES));
        next.clear();
        let piece = std::mem::replace(&mut self.piece, next);
        self.full
            .send(Ok(piece))
            .map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PieceWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let start = self.piece.len();
        let count = buffer.len().min(PIECE_BYTES - start);
        self.piece.extend_from_slice(&buffer[..count]);
        self.account(start)?;
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pieces {
    /// The digest of everything, after the last piece was read.
    pub(crate) fn finish(self) -> Result<Digested> {
        match self.thread.join() {
            Ok(Some(digested)) => Ok(digested),
            _ => Err(Error::invalid("the archive was not read to its end")),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.piece.len() && !self.ended {
            match self.full.recv() {
                Ok(piece) => {
                    let used = std::mem::replace(&mut self.piece, piece?);
                    // The other side may be gone, then the buffer is just freed.
                    let _ = self.empty.send(used);
                    self.position = 0;
                }
                Err(_) => self.ended = true,
            }
        }
        Ok(&self.piece[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}
