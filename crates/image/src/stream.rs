//! Streams in pieces between threads: one side reads or inflates and digests, the other consumes.
//!
//! The pieces go through a bounded channel and their buffers come back, so memory stays at about
//! [`PIECES`] × [`PIECE_BYTES`] for each stage. Used pieces may go through one more thread, as
//! those of an archive that is compressed while it is unpacked, before they come back.
//!
//! A producing thread that is stuck in a read (a pipe that nobody writes to) is not waited for when
//! the other side has failed. Start reading at [`spawn`].

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::decompress::Plain;
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Result};

pub(crate) const PIECE_BYTES: usize = 512 << 10;
const PIECES: usize = 6;
/// Until this much came out, nothing is concluded from how well it was compressed.
const RATIO_FREE_BYTES: u64 = 1 << 30;

/// What the producing thread knows at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digested {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// The producing thread.
pub(crate) struct Producer(JoinHandle<Option<Digested>>);

impl Producer {
    /// The digest of everything, after the last piece was read.
    pub(crate) fn finish(self) -> Result<Digested> {
        match self.0.join() {
            Ok(Some(digested)) => Ok(digested),
            _ => Err(Error::invalid("the archive was not read to its end")),
        }
    }
}

/// The consuming side: a [`BufRead`] over the pieces.
pub(crate) struct Pieces {
    full: Receiver<io::Result<Vec<u8>>>,
    used: Used,
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    position: usize,
    hasher: Option<Hasher>,
    ended: bool,
}

/// Where used pieces go.
enum Used {
    Back,
    Through(SyncSender<Vec<u8>>),
}

/// The producing side: digests and hands over what is written to it.
pub(crate) struct PieceWriter {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    hasher: Hasher,
    digests: bool,
    bytes: u64,
    bytes_max: u64,
}

/// Starts a thread that runs `produce`, which may write `bytes_max` bytes, and digests them.
pub(crate) fn spawn(
    name: &str,
    bytes_max: u64,
    produce: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
) -> Result<(Pieces, Producer)> {
    start(name, bytes_max, true, produce)
}

/// As [`spawn`], for a thread that has enough to do: the pieces are digested where they are taken,
/// see [`Pieces::finish`].
pub(crate) fn spawn_busy(
    name: &str,
    bytes_max: u64,
    produce: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
) -> Result<(Pieces, Producer)> {
    start(name, bytes_max, false, produce)
}

fn start(
    name: &str,
    bytes_max: u64,
    digests: bool,
    produce: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
) -> Result<(Pieces, Producer)> {
    let (full_sender, full) = sync_channel(PIECES);
    let (empty, empty_receiver) = channel();
    let mut writer = PieceWriter {
        full: full_sender,
        empty: empty_receiver,
        piece: Vec::with_capacity(PIECE_BYTES),
        hasher: Hasher::default(),
        digests,
        bytes: 0,
        bytes_max,
    };
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let done = produce(&mut writer).and_then(|()| writer.send());
            match done {
                Ok(()) => Some(Digested {
                    digest: writer.hasher.finish(),
                    bytes: writer.bytes,
                }),
                Err(error) => {
                    // Nobody listens when the consuming side has failed: its error is the one.
                    let _ = writer.full.send(Err(error));
                    None
                }
            }
        })
        .step(|| format!("start a thread to {name}"))?;
    let pieces = Pieces {
        full,
        used: Used::Back,
        empty,
        piece: Vec::new(),
        position: 0,
        hasher: (!digests).then(Hasher::default),
        ended: false,
    };
    Ok((pieces, Producer(thread)))
}

impl PieceWriter {
    /// Takes everything from `input`.
    pub(crate) fn copy(&mut self, input: &mut Plain, ratio_max: u64) -> io::Result<()> {
        loop {
            if self.read_kept(input, |_| Ok(()))? == 0 {
                return Ok(());
            }
            if self.bytes > RATIO_FREE_BYTES
                && self.bytes / ratio_max.max(1) > input.input_bytes().max(1)
            {
                return Err(refused(format!(
                    "the archive expands to more than {ratio_max} times its size: \
                     refused as a decompression bomb"
                )));
            }
        }
    }

    /// Reads until the piece is full or the input ends, shows `keep` what was added, and sends a
    /// full piece. What arrived before a failure of the input is shown to `keep` as well.
    pub(crate) fn read_kept(
        &mut self,
        input: &mut dyn Read,
        keep: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let start = self.piece.len();
        let room = PIECE_BYTES - start;
        let read = input.take(room as u64).read_to_end(&mut self.piece);
        let added = self.piece.len() - start;
        keep(&self.piece[start..])?;
        read?;
        self.account(start)?;
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(added)
    }

    /// The digest of everything so far.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Digests what was added to the piece from `start` on.
    fn account(&mut self, start: usize) -> io::Result<()> {
        let added = &self.piece[start..];
        if self.digests {
            self.hasher.update(added);
        }
        self.bytes += added.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(refused(format!(
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
    /// What the producer knows at the end, with the digest from this side if it had none.
    pub(crate) fn finish(self, producer: Producer) -> Result<Digested> {
        let mut digested = producer.finish()?;
        if let Some(hasher) = self.hasher {
            digested.digest = hasher.finish();
        }
        Ok(digested)
    }

    /// Lets used pieces go to one more thread. It gives them back through the sender returned.
    pub(crate) fn pass_on(&mut self) -> (Receiver<Vec<u8>>, Sender<Vec<u8>>) {
        let (used, receiver) = sync_channel(PIECES);
        self.used = Used::Through(used);
        (receiver, self.empty.clone())
    }

    /// Takes the next piece. The one before has been consumed.
    fn advance(&mut self) -> io::Result<()> {
        let next = match self.full.recv() {
            Ok(piece) => piece?,
            Err(_) => {
                self.ended = true;
                Vec::new()
            }
        };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&next);
        }
        let used = std::mem::replace(&mut self.piece, next);
        self.position = 0;
        match &self.used {
            // The other side may be gone, then the buffer is just freed.
            Used::Back => drop(self.empty.send(used)),
            Used::Through(thread) => thread
                .send(used)
                .map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))?,
        }
        Ok(())
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
            self.advance()?;
        }
        Ok(&self.piece[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

/// What the archive is refused for.
fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
