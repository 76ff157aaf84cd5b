//! The end of a segment whose writer is gone: the last whole chunk, and what follows it.
//!
//! A killed writer leaves at most one unfinished chunk. Its header is whole or it is nothing; the
//! bytes of its payload that are there were read from the guest and exist nowhere else, so they are
//! kept: the header is written anew with their number, and a trailer behind them. Everything that
//! is read is checked; a tail that no killed writer leaves is not touched.

use std::os::fd::{AsFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::rustix::fs::{fstat, ftruncate};
use insula_sys::rustix::io::{pread, pwrite};

use super::format::{
    CUT, ChunkHeader, FRAME_BYTES, HEADER_BYTES, HeadOutcome, PAYLOAD_MAX, SEGMENT_HEAD_BYTES,
    SegmentHead, Stream, TRAILER_BYTES, trailer_length,
};
use super::writer::as_u64;

/// How many chunks back the streams' unfinished lines are looked for.
const LINES_LOOK_BACK: usize = 64;

/// Where a writer can go on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) seed: u64,
    /// Behind the last chunk, once [`Recovered::mend`] is done.
    pub(super) end: u64,
    pub(super) next_sequence: u64,
    pub(super) inside_line: u8,
    /// Bytes that the last chunk was to have and has not.
    pub(super) missing_bytes: u64,
    /// False: the end is damaged beyond what a killed writer leaves; only the sequence is good.
    pub(super) can_go_on: bool,
    /// The unfinished chunk that is to be finished, and where it begins.
    unfinished: Option<(u64, ChunkHeader)>,
    is_torn: bool,
}

/// Looks at the end of a segment and changes nothing. `None`: it has no head that can be read.
pub(super) fn recover(file: &OwnedFd) -> Result<Option<Recovered>, Errno> {
    let length = u64::try_from(fstat(file)?.st_size).unwrap_or(0);
    let mut head = [0; SEGMENT_HEAD_BYTES];
    if !read_exactly(file, &mut head, 0)? {
        return Ok(None);
    }
    let HeadOutcome::Known(head) = SegmentHead::parse(&head) else {
        return Ok(None);
    };
    let (end, last) = match last_whole_chunk(file, head, length)? {
        LastChunk::Found(end, header) => (end, Some(header)),
        LastChunk::None => (as_u64(SEGMENT_HEAD_BYTES), None),
        LastChunk::NotIn(_) => return Ok(Some(beyond_repair(head, length))),
    };
    let mut recovered = Recovered {
        seed: head.seed,
        end,
        next_sequence: last.map_or(head.first_sequence, |header| header.sequence + 1),
        inside_line: 0,
        missing_bytes: 0,
        can_go_on: true,
        unfinished: None,
        is_torn: end < length,
    };
    recovered.keep_unfinished(file, length)?;
    recovered.find_unfinished_lines(file)?;
    Ok(Some(recovered))
}

/// So many chunks fit, so the numbers behind them are free.
fn beyond_repair(head: SegmentHead, length: u64) -> Recovered {
    Recovered {
        seed: head.seed,
        end: length,
        next_sequence: head.first_sequence + length / as_u64(FRAME_BYTES),
        inside_line: 0,
        missing_bytes: 0,
        can_go_on: false,
        unfinished: None,
        is_torn: false,
    }
}

/// What was found when the last whole chunk was looked for.
pub(super) enum LastChunk {
    /// Where it ends, and its header.
    Found(u64, ChunkHeader),
    /// There is none in the segment.
    None,
    /// None ends in that many bytes at the end, which is more than an unfinished chunk takes.
    NotIn(u64),
}

/// The last whole chunk that ends at `length` or before it, within one chunk's length.
pub(super) fn last_whole_chunk(
    file: &OwnedFd,
    head: SegmentHead,
    length: u64,
) -> Result<LastChunk, Errno> {
    let first = as_u64(SEGMENT_HEAD_BYTES);
    if length <= first {
        return Ok(LastChunk::None);
    }
    if let Some(header) = chunk_before(file, head.seed, length)? {
        return Ok(LastChunk::Found(length, header));
    }
    // An unfinished chunk begins within one chunk's length of the end, and before it stands
    // another whole one.
    let longest = as_u64(PAYLOAD_MAX + FRAME_BYTES);
    let start = first.max(length.saturating_sub(2 * longest));
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    if !read_exactly(file, &mut tail, start)? {
        return Err(Errno::IO);
    }
    let lowest = usize::try_from(length.saturating_sub(longest).saturating_sub(start));
    for end in (lowest.unwrap_or(0)..tail.len()).rev() {
        if let Some(header) = chunk_before_in(&tail[..end], head.seed) {
            return Ok(LastChunk::Found(start + as_u64(end), header));
        }
    }
    Ok(if length - first <= longest {
        LastChunk::None
    } else {
        LastChunk::NotIn(longest)
    })
}

/// The header of the whole chunk that ends where `bytes` end.
fn chunk_before_in(bytes: &[u8], seed: u64) -> Option<ChunkHeader> {
    let (payload, trailer) = bytes.split_last_chunk::<TRAILER_BYTES>()?;
    let length = usize::try_from(trailer_length(trailer)?).ok()?;
    let start = payload.len().checked_sub(length + HEADER_BYTES)?;
    let header = payload[start..].first_chunk::<HEADER_BYTES>()?;
    whole_chunk(header, trailer, seed)
}

/// The header of the whole chunk that ends at `end` of the file.
fn chunk_before(file: impl AsFd, seed: u64, end: u64) -> Result<Option<ChunkHeader>, Errno> {
    let first = as_u64(SEGMENT_HEAD_BYTES);
    let mut trailer = [0; TRAILER_BYTES];
    let Some(at) = end.checked_sub(as_u64(TRAILER_BYTES)) else {
        return Ok(None);
    };
    if !read_exactly(&file, &mut trailer, at)? {
        return Ok(None);
    }
    let Some(length) = trailer_length(&trailer) else {
        return Ok(None);
    };
    let start = end.checked_sub(u64::from(length) + as_u64(FRAME_BYTES));
    let Some(start) = start.filter(|start| *start >= first) else {
        return Ok(None);
    };
    let mut header = [0; HEADER_BYTES];
    if !read_exactly(&file, &mut header, start)? {
        return Ok(None);
    }
    Ok(whole_chunk(&header, &trailer, seed))
}

/// Header and trailer belong together and were written by this segment's writer.
pub(super) fn whole_chunk(
    header: &[u8; HEADER_BYTES],
    trailer: &[u8; TRAILER_BYTES],
    seed: u64,
) -> Option<ChunkHeader> {
    let parsed = ChunkHeader::parse(header, seed)?;
    (ChunkHeader::trailer(header) == *trailer).then_some(parsed)
}

impl Recovered {
    /// The chunk behind the last whole one, as far as its payload is there.
    fn keep_unfinished(&mut self, file: &OwnedFd, length: u64) -> Result<(), Errno> {
        let mut header = [0; HEADER_BYTES];
        if !self.is_torn || !read_exactly(file, &mut header, self.end)? {
            return Ok(());
        }
        let Some(mut header) = ChunkHeader::parse(&header, self.seed) else {
            return Ok(());
        };
        let present = (length - self.end - as_u64(HEADER_BYTES)).min(header.length.into());
        self.missing_bytes = u64::from(header.length) - present;
        self.next_sequence = header.sequence + 1;
        if present == 0 {
            return Ok(());
        }
        if self.missing_bytes > 0 {
            header.flags |= CUT;
            header.length = u32::try_from(present).unwrap_or(0);
        }
        self.unfinished = Some((self.end, header));
        self.end += header.frame_bytes();
        Ok(())
    }

    fn find_unfinished_lines(&mut self, file: &OwnedFd) -> Result<(), Errno> {
        let mut seen = Stream::Note.bit();
        let mut look = |header: &ChunkHeader, payload_end: u64, inside: &mut u8| {
            let mut last = [0];
            let bit = header.stream.bit();
            if seen & bit == 0 && read_exactly(file, &mut last, payload_end - 1)? {
                *inside |= if last == *b"\n" { 0 } else { bit };
            }
            seen |= bit;
            Ok::<_, Errno>(())
        };
        let mut end = self.end;
        if let Some((start, header)) = &self.unfinished {
            let payload_end = end - as_u64(TRAILER_BYTES);
            look(header, payload_end, &mut self.inside_line)?;
            end = *start;
        }
        for _ in 0..LINES_LOOK_BACK {
            let Some(header) = chunk_before(file, self.seed, end)? else {
                break;
            };
            let payload_end = end - as_u64(TRAILER_BYTES);
            look(&header, payload_end, &mut self.inside_line)?;
            end -= header.frame_bytes();
        }
        Ok(())
    }

    /// Finishes the unfinished chunk and cuts what is behind it. Killed in between, it can be done
    /// again.
    pub(super) fn mend(&self, file: &OwnedFd) -> Result<(), Errno> {
        if !self.is_torn {
            return Ok(());
        }
        let Some((start, header)) = &self.unfinished else {
            return ftruncate(file, self.end);
        };
        // Shorter first: between these steps the chunk is as unfinished as before.
        ftruncate(file, self.end - as_u64(TRAILER_BYTES))?;
        let header = header.to_bytes(self.seed);
        pwrite(file, &header, *start)?;
        pwrite(
            file,
            &ChunkHeader::trailer(&header),
            self.end - as_u64(TRAILER_BYTES),
        )?;
        Ok(())
    }
}

/// False when the file ends before.
pub(super) fn read_exactly(file: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<bool, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(&file, &mut buffer[filled..], offset + as_u64(filled)) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}
