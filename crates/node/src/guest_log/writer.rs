//! Writes a guest's output to its log: whole chunks, one system call each, no memory per chunk.
//!
//! ```text
//!  append ─▶ room in the segment? ─no─▶ oldest removed, next segment begun
//!              │                                    │ fails
//!              ▼                                    ▼
//!           pwritev(header, payload, trailer) ─▶ no space: own oldest segment goes, again
//!                                                   │ none left
//!                                                   ▼ bytes counted; a note, once there is room
//! ```
//!
//! Nothing here fails after [`LogWriter::open`]: what cannot be written is lost for the log, never
//! for the guest. Nothing is synced: what the kernel has taken survives the death of every process,
//! not that of the machine.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;

use insula_container::error::{Context, Error, Result};
use insula_sys::Errno;
use insula_sys::rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, flock, ftruncate, open, openat, unlinkat,
};
use insula_sys::rustix::io::pwritev;
use insula_sys::rustix::rand::{GetRandomFlags, getrandom};
use insula_sys::rustix::time::{ClockId, clock_gettime};

use super::format::{
    BEGINS_LINE, ChunkHeader, FRAME_BYTES, SEGMENT_HEAD_BYTES, SegmentHead, SegmentName, Stream,
};
use super::health::{LogHealth, Losses, write_note};
use super::options::{LogOptions, payload_limit};
use super::recover::{Recovered, recover};
use super::segments;

/// A note is never longer.
pub(super) const NOTE_BYTES: usize = 128;

/// The one writer of a log.
#[derive(Debug)]
pub struct LogWriter {
    /// Locked as long as this writer lives.
    directory: OwnedFd,
    /// The newest segment; none while none can be made.
    file: Option<OwnedFd>,
    segment_bytes: u64,
    payload_bytes: usize,
    max_files: u64,
    /// Of the newest segment; one less than `oldest` when there are none.
    number: u64,
    oldest: u64,
    seed: u64,
    position: u64,
    sequence: u64,
    /// Bits of the streams whose last byte was no end of line.
    inside_line: u8,
    losses: Losses,
}

impl LogWriter {
    /// Opens the log in `directory`, which exists, and goes on behind what is there. What a killed
    /// writer left half written is kept as far as it goes.
    ///
    /// # Errors
    /// The directory cannot be read, or another process writes this log. A full disk is no error.
    pub fn open(directory: &Path, options: LogOptions) -> Result<Self> {
        let step = || format!("open the log in {}", directory.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(directory, flags, Mode::empty()).step(step)?;
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let holder = "another process writes it";
                return Err(Error::new(holder).within(step()));
            }
            other => other.step(step)?,
        }
        let numbers = segments::list(&opened).step(step)?;
        let segment_bytes = options.segment_bytes(&opened);
        let mut writer = Self {
            directory: opened,
            file: None,
            segment_bytes,
            payload_bytes: payload_limit(segment_bytes),
            max_files: u64::from(options.max_files.max(1)),
            number: numbers.last().copied().unwrap_or(0),
            oldest: numbers.first().copied().unwrap_or(1),
            seed: 0,
            position: 0,
            sequence: 0,
            inside_line: 0,
            losses: Losses::default(),
        };
        writer.resume(&numbers);
        Ok(writer)
    }

    /// Adds what was read from the guest, as it is.
    pub fn append(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.chunks(self.payload_bytes) {
            let now = now_ns();
            if let Err(errno) = self.write_making_room(stream, piece, now) {
                let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.losses.add(bytes, errno, now);
            }
        }
    }

    /// How the log stands.
    #[must_use]
    pub fn health(&self) -> LogHealth {
        self.losses.health()
    }

    /// How the log stands, if trouble began or ended since this was asked last.
    pub fn take_news(&mut self) -> Option<LogHealth> {
        self.losses.take_news()
    }

    /// Goes on where the last writer stopped. What cannot be read is left to readers, and a segment
    /// is begun behind it.
    fn resume(&mut self, numbers: &[u64]) {
        for &number in numbers.iter().rev() {
            let is_newest = number == self.number;
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let name = SegmentName::new(number);
            let opened = openat(&self.directory, name.as_bytes(), flags, Mode::empty());
            let recovered = opened.and_then(|file| recover(&file).map(|found| (file, found)));
            let Ok((file, Some(recovered))) = recovered else {
                continue;
            };
            self.sequence = recovered.next_sequence;
            if is_newest && recovered.can_go_on {
                self.go_on(file, &recovered);
            }
            return;
        }
    }

    fn go_on(&mut self, file: OwnedFd, recovered: &Recovered) {
        if recovered.mend(&file).is_err() {
            return;
        }
        self.file = Some(file);
        self.seed = recovered.seed;
        self.position = recovered.end;
        self.inside_line = recovered.inside_line;
        if recovered.missing_bytes > 0 {
            let mut buffer = [0; NOTE_BYTES];
            let reason = "the process that kept this log was killed";
            let note = write_note(&mut buffer, recovered.missing_bytes, reason);
            // Without room the gap shows only as a line that stops.
            let _ = self.write_making_room(Stream::Note, note, now_ns());
        }
    }

    fn write_making_room(&mut self, stream: Stream, bytes: &[u8], now: i64) -> Result<(), Errno> {
        loop {
            match self.write(stream, bytes, now) {
                Err(Errno::NOSPC | Errno::DQUOT) if self.remove_oldest_but_newest() => {}
                other => return other,
            }
        }
    }

    /// One chunk, and before it the note about what was lost, in one system call.
    fn write(&mut self, stream: Stream, bytes: &[u8], now: i64) -> Result<(), Errno> {
        let mut buffer = [0; NOTE_BYTES];
        let note = self.losses.note(&mut buffer).unwrap_or_default();
        let note_bytes = if note.is_empty() {
            0
        } else {
            note.len() + FRAME_BYTES
        };
        let total = as_u64(note_bytes + bytes.len() + FRAME_BYTES);
        let is_full = self.position + total > self.segment_bytes
            && self.position > as_u64(SEGMENT_HEAD_BYTES);
        if self.file.is_none() || is_full {
            self.begin_segment(now)?;
        }
        let file = self.file.as_ref().ok_or(Errno::NOENT)?;
        let mut sequence = self.sequence;
        let note_frame = self.frame(&mut sequence, Stream::Note, note, now);
        let frame = self.frame(&mut sequence, stream, bytes, now);
        let parts: [&[u8]; 6] = [
            &note_frame.0,
            note,
            &note_frame.1,
            &frame.0,
            bytes,
            &frame.1,
        ];
        let parts = if note.is_empty() {
            &parts[3..]
        } else {
            &parts[..]
        };
        if let Err(errno) = write_all(file, parts, self.position) {
            // What was written of it would be taken for a torn end; only a broken disk refuses this.
            let _ = ftruncate(file, self.position);
            return Err(errno);
        }
        self.sequence = sequence;
        self.position += total;
        match bytes.last() {
            Some(b'\n') => self.inside_line &= !stream.bit(),
            _ => self.inside_line |= stream.bit(),
        }
        self.losses.close();
        Ok(())
    }

    /// Header and trailer of the next chunk; takes its number unless it is empty.
    fn frame(
        &self,
        sequence: &mut u64,
        stream: Stream,
        bytes: &[u8],
        now: i64,
    ) -> (
        [u8; super::format::HEADER_BYTES],
        [u8; super::format::TRAILER_BYTES],
    ) {
        let begins_line = stream == Stream::Note || self.inside_line & stream.bit() == 0;
        let header = ChunkHeader {
            length: u32::try_from(bytes.len()).unwrap_or(0),
            sequence: *sequence,
            time_ns: now,
            stream,
            flags: if begins_line { BEGINS_LINE } else { 0 },
        };
        *sequence += u64::from(!bytes.is_empty());
        let header = header.to_bytes(self.seed);
        (header, ChunkHeader::trailer(&header))
    }

    /// Removes what is too much by one, and makes the next segment.
    fn begin_segment(&mut self, now: i64) -> Result<(), Errno> {
        while self.number + 1 - self.oldest >= self.max_files {
            self.remove_oldest();
        }
        let (number, file) = self.create_segment()?;
        let mut seed = [0; 8];
        // Before the kernel has randomness the clock must do: the seed only hinders a guest that
        // forges chunks in a log that is damaged as well.
        if getrandom(&mut seed, GetRandomFlags::NONBLOCK).is_err() {
            seed = now.to_ne_bytes();
        }
        let head = SegmentHead {
            number,
            first_sequence: self.sequence,
            created_ns: now,
            seed: u64::from_ne_bytes(seed),
        };
        if let Err(errno) = write_all(&file, &[&head.to_bytes()], 0) {
            // An empty segment that stays is no harm: it is passed over.
            let name = SegmentName::new(number);
            let _ = unlinkat(&self.directory, name.as_bytes(), AtFlags::empty());
            return Err(errno);
        }
        self.number = number;
        self.seed = head.seed;
        self.position = as_u64(SEGMENT_HEAD_BYTES);
        self.file = Some(file);
        Ok(())
    }

    /// The file behind the newest segment. A number that is taken is passed over.
    fn create_segment(&self) -> Result<(u64, OwnedFd), Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut number = self.number + 1;
        loop {
            let name = SegmentName::new(number);
            match openat(&self.directory, name.as_bytes(), flags, mode) {
                Err(Errno::EXIST) => number += 1,
                other => return other.map(|file| (number, file)),
            }
        }
    }

    fn remove_oldest(&mut self) {
        // Gone already is as good; what cannot be removed is not counted any more.
        let name = SegmentName::new(self.oldest);
        let _ = unlinkat(&self.directory, name.as_bytes(), AtFlags::empty());
        self.oldest += 1;
        if self.oldest > self.number {
            self.file = None;
        }
    }

    /// Gives up the oldest output for the newest. Says false when there is only one segment.
    fn remove_oldest_but_newest(&mut self) -> bool {
        let has_older = self.oldest < self.number;
        if has_older {
            self.remove_oldest();
        }
        has_older
    }
}

/// Writes everything; continues what a signal or a nearly full disk has cut.
fn write_all(file: &OwnedFd, parts: &[&[u8]], mut position: u64) -> Result<(), Errno> {
    let mut slices = [IoSlice::new(&[]); 6];
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    let mut rest = &mut slices[..];
    // Empty parts at the front go away.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match pwritev(file, rest, position) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                position += as_u64(written);
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(now.tv_nsec)
}

/// `usize` is 64 bits wide on every machine that Insula runs on.
pub(super) fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
