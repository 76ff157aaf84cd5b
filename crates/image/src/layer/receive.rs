//! The pipelines through which a layer comes in. Every byte is touched once by each stage, and the
//! stages run at the same time:
//!
//! ```text
//!  transfer   read, digest, spool ──▶ inflate, digest ──▶ apply (the caller's thread)
//!  archive    read, digest ──▶ apply (the caller's thread) ──▶ compress, digest, spool
//! ```
//!
//! Nothing is believed before its end: the digests are compared after the last byte, and only then
//! the store takes the result. The first stage that fails says why; the others just end.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::decompress::Plain;
use crate::digest::{Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::stream::{self, Digested, PieceWriter, Pieces};
use crate::unpack::Limits;

/// A compressed layer on its way in.
pub(crate) struct Incoming {
    /// What comes after the first `here` bytes.
    pub(crate) stream: Box<dyn Read + Send>,
    /// Where the compressed bytes are kept.
    pub(crate) spool: Arc<File>,
    /// Bytes that are in `spool` already.
    pub(crate) here: u64,
    /// What it must be, when that was said.
    pub(crate) expected: Option<(Digest, u64)>,
}

/// Who makes something of the uncompressed archive, reading it to its end.
pub(crate) type Destination<'a, T> = &'a mut dyn FnMut(&mut dyn BufRead) -> Result<T>;

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Received<T> {
    /// The archive as it is kept, compressed.
    pub(crate) blob: Digested,
    /// The archive without its compression: its digest is the layer's identifier.
    pub(crate) archive: Digested,
    pub(crate) made: T,
}

/// The first failure of any stage.
#[derive(Clone, Default)]
struct Blame(Arc<Mutex<Option<Error>>>);

impl Blame {
    /// Remembers a failure and gives what a thread hands on instead.
    fn take(&self, error: Error) -> io::Error {
        if let Ok(mut first) = self.0.lock()
            && first.is_none()
        {
            *first = Some(error);
        }
        io::Error::other("an earlier stage failed")
    }

    fn or(&self, error: Error) -> Error {
        let first = self.0.lock().ok().and_then(|mut first| first.take());
        first.unwrap_or(error)
    }
}

/// Receives a compressed layer. `progress` is told how many compressed bytes have come.
pub(crate) fn transfer<T>(
    incoming: Incoming,
    limits: &Limits,
    progress: &(dyn Fn(u64) + Sync),
    destination: Destination<'_, T>,
) -> Result<Received<T>> {
    let blame = Blame::default();
    let come = Arc::new(AtomicU64::new(incoming.here));
    let spool = Spool {
        incoming,
        blame: blame.clone(),
        come: Arc::clone(&come),
    };
    let (compressed, blob) =
        stream::spawn("read layer", u64::MAX, move |output| spool.run(output))?;
    let ratio = limits.expansion_ratio;
    let inflate_blame = blame.clone();
    let (mut pieces, archive) =
        stream::spawn_busy("inflate layer", limits.archive_bytes, move |output| {
            let mut plain =
                Plain::of_layer(Box::new(compressed)).map_err(|error| inflate_blame.take(error))?;
            output.copy(&mut plain, ratio)
        })?;
    let made = destination(&mut Watched {
        pieces: &mut pieces,
        come: &come,
        told: 0,
        progress,
    });
    let made = made.map_err(|error| blame.or(error))?;
    let archive = pieces.finish(archive).map_err(|error| blame.or(error))?;
    let blob = blob.finish().map_err(|error| blame.or(error))?;
    progress(blob.bytes);
    Ok(Received {
        blob,
        archive,
        made,
    })
}

/// The first stage of a transfer.
struct Spool {
    incoming: Incoming,
    blame: Blame,
    come: Arc<AtomicU64>,
}

impl Spool {
    fn run(mut self, output: &mut PieceWriter) -> io::Result<()> {
        let blame = self.blame.clone();
        self.read(output).map_err(|error| match error {
            // The consumer has gone: it knows why.
            Stopped::Downstream(error) => error,
            Stopped::Failed(error) => blame.take(error),
        })
    }

    fn read(&mut self, output: &mut PieceWriter) -> Result<(), Stopped> {
        self.read_again(output)?;
        let Incoming {
            stream,
            spool,
            here,
            expected,
        } = &mut self.incoming;
        let size = expected.map(|(_, size)| size);
        let mut position = *here;
        loop {
            // One byte more than there may be shows that there is more.
            let room = size.map_or(u64::MAX, |size| size - position + 1);
            let mut spooled = Ok(());
            let mut failed = None;
            let mut source = Source {
                inner: stream.by_ref().take(room),
                failed: &mut failed,
            };
            let count = output.read_kept(&mut source, |added| {
                spooled = spool.write_all_at(added, position);
                Ok(())
            });
            spooled.step(|| "write the layer's archive")?;
            if let Some(error) = failed {
                return Err(broken(error));
            }
            let count = count.map_err(Stopped::Downstream)? as u64;
            position += count;
            self.come.store(position, Ordering::Relaxed);
            if size.is_some_and(|size| position > size) {
                return Err(longer(size.unwrap_or_default()).into());
            }
            if count == 0 {
                break;
            }
        }
        check(output.digest(), position, *expected)
    }

    /// What an earlier attempt left: digested and inflated again, not transferred again.
    fn read_again(&self, output: &mut PieceWriter) -> Result<(), Stopped> {
        let mut kept = Kept {
            file: &self.incoming.spool,
            position: 0,
            end: self.incoming.here,
        };
        while kept.position < kept.end {
            let before = kept.position;
            let count = output.read_kept(&mut kept, |_| Ok(()));
            count.map_err(Stopped::Downstream)?;
            if kept.position == before {
                let error = Err::<(), _>(io::Error::from(io::ErrorKind::UnexpectedEof));
                return Ok(error.step(|| "read what was transferred before")?);
            }
        }
        Ok(())
    }
}

/// Why the first stage stops.
enum Stopped {
    Downstream(io::Error),
    Failed(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn broken(error: io::Error) -> Stopped {
    let failed = Err::<(), _>(error).step(|| "the transfer of the layer broke off");
    match failed {
        Err(error) => error.of_kind(Kind::Transfer).into(),
        Ok(()) => Error::new(Kind::Transfer, "the transfer of the layer broke off").into(),
    }
}

fn longer(size: u64) -> Error {
    Error::invalid(format!(
        "the layer's archive is longer than the {size} bytes that its descriptor says"
    ))
}

fn check(digest: Digest, bytes: u64, expected: Option<(Digest, u64)>) -> Result<(), Stopped> {
    let Some((wanted, size)) = expected else {
        return Ok(());
    };
    if bytes < size {
        let error = format!("the transfer of the layer ended after {bytes} of {size} bytes");
        return Err(Error::new(Kind::Transfer, error).into());
    }
    if digest != wanted {
        return Err(Error::invalid(format!(
            "the layer's archive is not what its descriptor says: {digest} came instead of {wanted}"
        ))
        .hint("it was damaged on the way or replaced at its source; nothing of it was kept")
        .into());
    }
    Ok(())
}

/// Keeps the error of the source apart from those of the stages after it.
struct Source<'a, R> {
    inner: R,
    failed: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                *self.failed = Some(error);
                Err(io::ErrorKind::Other.into())
            }
            other => other,
        }
    }
}

/// Part of a file, read by position: the descriptor's own is not ours to move.
struct Kept<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for Kept<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..room], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Tells about progress as pieces are taken.
struct Watched<'a> {
    pieces: &'a mut Pieces,
    come: &'a AtomicU64,
    told: u64,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pieces.read(buffer)
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let come = self.come.load(Ordering::Relaxed);
        if come != self.told {
            self.told = come;
            (self.progress)(come);
        }
        self.pieces.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.pieces.consume(count);
    }
}

/// Takes an uncompressed archive, which `produce` writes, and keeps it compressed in `spool`.
pub(crate) fn archive<T>(
    produce: impl FnOnce(&mut PieceWriter) -> io::Result<()> + Send + 'static,
    spool: File,
    limits: &Limits,
    destination: Destination<'_, T>,
) -> Result<Received<T>> {
    let (mut pieces, archive) = stream::spawn("read archive", limits.archive_bytes, produce)?;
    let compressor = Compressor::start(&mut pieces, spool)?;
    let made = destination(&mut pieces);
    // The last piece goes on only when the end was seen; after a failure nobody waits for it.
    let ended = made.and_then(|made| {
        pieces.fill_buf().step(|| "read the archive")?;
        Ok(made)
    });
    drop(pieces);
    let rest = ended.and_then(|made| Ok((made, archive.finish()?)));
    // A failure of the compressor, such as a full disk, is the reason of the others'.
    let blob = compressor.finish();
    match (rest, blob) {
        (_, Err(error)) => Err(error),
        (Err(error), Ok(_)) => Err(error),
        (Ok((made, archive)), Ok(blob)) => Ok(Received {
            blob,
            archive,
            made,
        }),
    }
}

/// The last stage of an archive.
struct Compressor(JoinHandle<io::Result<Digested>>);

/// Little is gained by more, measured on root file systems, and much time is lost.
const ZSTD_LEVEL: i32 = 1;

impl Compressor {
    fn start(pieces: &mut Pieces, spool: File) -> Result<Self> {
        let (used, empty) = pieces.pass_on();
        std::thread::Builder::new()
            .name("compress layer".to_owned())
            .spawn(move || compress(&used, &empty, spool))
            .map(Self)
            .step(|| "start a thread to compress the layer")
    }

    fn finish(self) -> Result<Digested> {
        match self.0.join() {
            Ok(done) => done.step(|| "write the layer's archive"),
            Err(_) => Err(Error::invalid("the layer was not compressed to its end")),
        }
    }
}

fn compress(
    pieces: &Receiver<Vec<u8>>,
    empty: &Sender<Vec<u8>>,
    spool: File,
) -> io::Result<Digested> {
    let output = Digesting {
        inner: spool,
        hasher: Hasher::default(),
        bytes: 0,
    };
    let buffered = io::BufWriter::with_capacity(256 << 10, output);
    let mut encoder = zstd::stream::write::Encoder::new(buffered, ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    while let Ok(piece) = pieces.recv() {
        encoder.write_all(&piece)?;
        // The reader may be done, then the buffer is just freed.
        drop(empty.send(piece));
    }
    let output = encoder.finish()?.into_inner()?;
    Ok(Digested {
        digest: output.hasher.finish(),
        bytes: output.bytes,
    })
}

/// Digests what is written through it.
struct Digesting {
    inner: File,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Digesting {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
