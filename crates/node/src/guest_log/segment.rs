//! One segment as a reader sees it: chunk by chunk, forwards and backwards, while it is written.
//!
//! Bytes are read through one window of bounded size, and nothing that a file says makes it grow.
//! What cannot be read as a chunk is either the end, where the writer is at work, or damage, which
//! is passed over to the next chunk whose check fits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, fstat, openat};
use insula_sys::rustix::io::pread;

use super::format::{
    CHUNK_MAGIC, ChunkHeader, FRAME_BYTES, HEADER_BYTES, HeadOutcome, PAYLOAD_MAX,
    SEGMENT_HEAD_BYTES, SegmentHead, SegmentName, TRAILER_BYTES,
};
use super::recover::{LastChunk, last_whole_chunk, whole_chunk};
use super::writer::as_u64;

/// Holds the longest chunk whole.
const WINDOW_BYTES: usize = PAYLOAD_MAX + (128 << 10);
/// What is read ahead of a header when chunks are small.
const READ_AHEAD: usize = 128 << 10;
/// The payloads of chunks from this length on are not read ahead: they may go by another way.
pub(super) const LARGE_PAYLOAD: u32 = 32 << 10;

/// A whole chunk and where its payload lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub header: ChunkHeader,
    /// The number of the segment.
    pub segment: u64,
    pub(super) payload_at: u64,
}

/// What stands at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Chunk(Chunk),
    /// Nothing yet, or a chunk that is being written.
    End,
    /// Nothing that can be read before `until`.
    Damage {
        until: u64,
    },
}

/// How the head of a segment reads.
#[derive(Debug)]
pub(super) enum Opened {
    Segment(Segment),
    /// The file is not there, or not any more.
    Gone,
    /// Its head is not written yet, or it never will be.
    Unfinished,
    Unreadable(Unreadable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged,
    Newer(u32),
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) head: SegmentHead,
    file: OwnedFd,
    window: Window,
}

#[derive(Debug)]
struct Window {
    bytes: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Chunk {
    /// Where its header begins.
    pub(super) fn start(&self) -> u64 {
        self.payload_at - as_u64(HEADER_BYTES)
    }

    /// Where the next one begins.
    pub(super) fn end(&self) -> u64 {
        self.start() + self.header.frame_bytes()
    }
}

impl Segment {
    /// Opens a segment of the log in `directory`.
    pub(super) fn open(directory: BorrowedFd<'_>, number: u64) -> Result<Opened, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let name = SegmentName::new(number);
        let file = match openat(directory, name.as_bytes(), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Opened::Gone),
            other => other?,
        };
        let mut head = [0; SEGMENT_HEAD_BYTES];
        if !super::recover::read_exactly(&file, &mut head, 0)? {
            return Ok(Opened::Unfinished);
        }
        let head = match SegmentHead::parse(&head) {
            HeadOutcome::Known(head) => head,
            HeadOutcome::Newer(version) => {
                return Ok(Opened::Unreadable(Unreadable::Newer(version)));
            }
            HeadOutcome::Damaged => return Ok(Opened::Unreadable(Unreadable::Damaged)),
        };
        let window = Window {
            bytes: Vec::new(),
            start: 0,
            filled: 0,
        };
        Ok(Opened::Segment(Self {
            number,
            head,
            file,
            window,
        }))
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Uses the memory of a segment that is done with.
    pub(super) fn take_window(&mut self, other: &mut Self) {
        self.window.bytes = std::mem::take(&mut other.window.bytes);
    }

    /// What stands at `at`. `is_last`: the writer may be at work here.
    pub(super) fn look(
        &mut self,
        at: u64,
        after_large: bool,
        is_last: bool,
    ) -> Result<Found, Errno> {
        let found = self.look_in_window(at, after_large, is_last);
        if found == Ok(Found::End) {
            // What was read of an unfinished chunk may be written anew.
            self.window.filled = 0;
        }
        found
    }

    fn look_in_window(
        &mut self,
        at: u64,
        after_large: bool,
        is_last: bool,
    ) -> Result<Found, Errno> {
        let ahead = if after_large {
            HEADER_BYTES
        } else {
            READ_AHEAD
        };
        let seed = self.head.seed;
        let start = self.window.get(&self.file, at, HEADER_BYTES, ahead)?;
        let Some(header) = start.first_chunk::<HEADER_BYTES>() else {
            let is_clean = start.is_empty() || is_last;
            let until = at + as_u64(start.len());
            return Ok(if is_clean {
                Found::End
            } else {
                Found::Damage { until }
            });
        };
        let header = *header;
        let Some(parsed) = ChunkHeader::parse(&header, seed) else {
            return self.resume_behind(at, is_last);
        };
        let payload_at = at + as_u64(HEADER_BYTES);
        let trailer_at = payload_at + u64::from(parsed.length);
        let ahead = if parsed.length >= LARGE_PAYLOAD {
            TRAILER_BYTES + HEADER_BYTES
        } else {
            READ_AHEAD
        };
        let end = self
            .window
            .get(&self.file, trailer_at, TRAILER_BYTES, ahead)?;
        match end.first_chunk::<TRAILER_BYTES>() {
            // Its writer is at work, or was killed and will be followed by one that mends it.
            None if is_last => Ok(Found::End),
            Some(trailer) if whole_chunk(&header, trailer, seed).is_some() => {
                Ok(Found::Chunk(Chunk {
                    header: parsed,
                    segment: self.number,
                    payload_at,
                }))
            }
            _ => self.resume_behind(at, is_last),
        }
    }

    /// The next whole chunk behind damage at `at`.
    fn resume_behind(&mut self, at: u64, is_last: bool) -> Result<Found, Errno> {
        let mut from = at + 1;
        loop {
            let seed = self.head.seed;
            let bytes = self.window.get(&self.file, from, FRAME_BYTES, READ_AHEAD)?;
            let candidate = bytes
                .windows(HEADER_BYTES)
                .position(|bytes| is_header(bytes, seed));
            let length = as_u64(bytes.len());
            match candidate {
                Some(place) => {
                    let until = from + as_u64(place);
                    if self.is_whole_at(until)? {
                        return Ok(Found::Damage { until });
                    }
                    from = until + 1;
                }
                // In the newest segment the writer may still turn it into something.
                None if length < as_u64(FRAME_BYTES) && is_last => return Ok(Found::End),
                None if length < as_u64(FRAME_BYTES) => {
                    return Ok(Found::Damage {
                        until: from + length,
                    });
                }
                None => from += length - as_u64(HEADER_BYTES) + 1,
            }
        }
    }

    fn is_whole_at(&mut self, at: u64) -> Result<bool, Errno> {
        let seed = self.head.seed;
        let bytes = self
            .window
            .get(&self.file, at, HEADER_BYTES, HEADER_BYTES)?;
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>().copied() else {
            return Ok(false);
        };
        let Some(parsed) = ChunkHeader::parse(&header, seed) else {
            return Ok(false);
        };
        let trailer_at = at + as_u64(HEADER_BYTES) + u64::from(parsed.length);
        let end = self
            .window
            .get(&self.file, trailer_at, TRAILER_BYTES, TRAILER_BYTES)?;
        let trailer = end.first_chunk::<TRAILER_BYTES>();
        Ok(trailer.is_some_and(|trailer| whole_chunk(&header, trailer, seed).is_some()))
    }

    /// How long the file is now.
    pub(super) fn length(&self) -> Result<u64, Errno> {
        Ok(u64::try_from(fstat(&self.file)?.st_size).unwrap_or(0))
    }

    /// The last whole chunk that ends at `end` or before it; damage in between is passed over.
    pub(super) fn look_back(&self, end: u64) -> Result<Option<Chunk>, Errno> {
        let mut limit = end;
        loop {
            match last_whole_chunk(&self.file, self.head, limit)? {
                LastChunk::Found(end, header) => {
                    return Ok(Some(Chunk {
                        header,
                        segment: self.number,
                        payload_at: end - as_u64(TRAILER_BYTES) - u64::from(header.length),
                    }));
                }
                LastChunk::None => return Ok(None),
                LastChunk::NotIn(bytes) => limit -= bytes,
            }
        }
    }

    /// A chunk's bytes.
    pub(super) fn payload(&mut self, chunk: &Chunk) -> Result<&[u8], Errno> {
        let length = usize::try_from(chunk.header.length).unwrap_or(usize::MAX);
        let ahead = length + TRAILER_BYTES + HEADER_BYTES;
        let bytes = self
            .window
            .get(&self.file, chunk.payload_at, length, ahead)?;
        // A whole chunk is never cut; a disk may lose what it had.
        bytes.get(..length).ok_or(Errno::IO)
    }
}

fn is_header(bytes: &[u8], seed: u64) -> bool {
    bytes.starts_with(&CHUNK_MAGIC)
        && bytes
            .first_chunk::<HEADER_BYTES>()
            .is_some_and(|header| ChunkHeader::parse(header, seed).is_some())
}

impl Window {
    /// At least `needed` bytes from `at` on, fewer where the file ends; reads up to `ahead`, at
    /// least what is needed, when they are not there yet.
    fn get(
        &mut self,
        file: &OwnedFd,
        at: u64,
        needed: usize,
        ahead: usize,
    ) -> Result<&[u8], Errno> {
        let skipped = at
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok());
        let held = skipped.filter(|skip| skip + needed <= self.filled);
        let from = match held {
            Some(from) => from,
            None => {
                self.fill(file, at, ahead.max(needed).min(WINDOW_BYTES))?;
                0
            }
        };
        Ok(&self.bytes[from..self.filled])
    }

    fn fill(&mut self, file: &OwnedFd, at: u64, wanted: usize) -> Result<(), Errno> {
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        (self.start, self.filled) = (at, 0);
        while self.filled < wanted {
            let offset = at + as_u64(self.filled);
            match pread(file, &mut self.bytes[self.filled..wanted], offset) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
