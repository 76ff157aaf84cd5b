//! Reads a log from its oldest chunk or from its last lines, while it is written and rotated.
//!
//! [`LogReader::read`] gives one chunk after the other across segments; at the end it says
//! [`Step::End`] and may be asked again later. What is missing is never passed over in silence: it
//! is a [`Notice`]. Choosing what to show is `select.rs`, printing is `show.rs`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, open};

use super::format::SEGMENT_HEAD_BYTES;
use super::segment::{Chunk, Found, LARGE_PAYLOAD, Opened, Segment, Unreadable};
use super::segments;
use super::writer::as_u64;

/// What a reader meets next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Chunk(Chunk),
    /// Something is missing or cannot be read.
    Notice(Notice),
    /// All that is there was read.
    End,
}

/// What a reader could not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Bytes of a segment that are no chunks.
    Damaged { segment: u64, at: u64, bytes: u64 },
    /// A segment whose beginning cannot be read.
    Unreadable { segment: u64 },
    /// A segment of a version that this program does not know.
    Newer { segment: u64, version: u32 },
    /// Chunks that were rotated away before this reader came to them.
    Missed { chunks: u64 },
}

/// One reader of a log. Any number may read at the same time.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    directory: OwnedFd,
    segment: Option<Segment>,
    at: u64,
    after_large: bool,
    /// Segments up to this number are done with.
    done: u64,
    /// The sequence number that comes next if nothing is missing.
    expected: Option<u64>,
}

impl LogReader {
    /// Opens the log in `directory`; it may be empty.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub fn open(directory: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(directory, flags, Mode::empty())
            .step(|| format!("open the log in {}", directory.display()))?;
        Ok(Self {
            path: directory.to_owned(),
            directory: opened,
            segment: None,
            at: 0,
            after_large: false,
            done: 0,
            expected: None,
        })
    }

    /// The directory of the log, as it was named.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next chunk.
    ///
    /// # Errors
    /// The kernel cannot read a segment or the directory.
    pub fn read(&mut self) -> Result<Step> {
        let step = self.next_step();
        step.step(|| format!("read the log in {}", self.path.display()))
    }

    /// The bytes of the chunk that [`read`](Self::read) gave last.
    ///
    /// # Errors
    /// The kernel cannot read them; or it is not that chunk.
    pub fn payload(&mut self, chunk: &Chunk) -> Result<&[u8]> {
        let path = &self.path;
        let segment = self.segment.as_mut();
        let segment = segment.filter(|segment| segment.number == chunk.segment);
        let bytes = segment
            .ok_or(Errno::STALE)
            .and_then(|segment| segment.payload(chunk));
        bytes.step(|| format!("read the log in {}", path.display()))
    }

    /// The file and the place of that chunk's bytes, for system calls that move them.
    pub(super) fn place_of(&self, chunk: &Chunk) -> Option<(BorrowedFd<'_>, u64)> {
        let segment = self.segment.as_ref()?;
        (segment.number == chunk.segment).then(|| (segment.file(), chunk.payload_at))
    }

    fn next_step(&mut self) -> Result<Step, Errno> {
        loop {
            let Some(segment) = self.segment.as_mut() else {
                match self.enter_next()? {
                    Entered::Segment => continue,
                    Entered::Nothing => return Ok(Step::End),
                    Entered::Notice(notice) => return Ok(Step::Notice(notice)),
                }
            };
            let number = segment.number;
            let mut found = segment.look(self.at, self.after_large, true)?;
            let is_end = found == Found::End;
            if is_end && segments::next_after(&self.directory, number)?.is_none() {
                return Ok(Step::End);
            }
            if is_end {
                // There is a newer one, so nothing changes here any more: what was appended before
                // the change is seen now.
                found = segment.look(self.at, self.after_large, false)?;
            }
            match found {
                Found::Chunk(chunk) => return Ok(self.pass(chunk)),
                Found::Damage { until } => {
                    let notice = Notice::Damaged {
                        segment: number,
                        at: self.at,
                        bytes: until - self.at,
                    };
                    self.at = until;
                    self.expected = None;
                    return Ok(Step::Notice(notice));
                }
                Found::End => match self.enter_next()? {
                    Entered::Segment => {}
                    // The newer one is not written yet.
                    Entered::Nothing => return Ok(Step::End),
                    Entered::Notice(notice) => return Ok(Step::Notice(notice)),
                },
            }
        }
    }

    /// Goes behind a chunk, unless others are missing before it: those are told first.
    fn pass(&mut self, chunk: Chunk) -> Step {
        let sequence = chunk.header.sequence;
        if let Some(expected) = self.expected.take()
            && sequence > expected
        {
            return Step::Notice(Notice::Missed {
                chunks: sequence - expected,
            });
        }
        self.expected = Some(sequence.saturating_add(1));
        self.at = chunk.end();
        self.after_large = chunk.header.length >= LARGE_PAYLOAD;
        Step::Chunk(chunk)
    }

    /// Opens the next segment behind the one that is done with.
    fn enter_next(&mut self) -> Result<Entered, Errno> {
        let mut behind = self
            .segment
            .as_ref()
            .map_or(self.done, |segment| segment.number);
        loop {
            let Some(number) = segments::next_after(&self.directory, behind)? else {
                return Ok(Entered::Nothing);
            };
            match Segment::open(self.directory.as_fd(), number)? {
                Opened::Segment(segment) => {
                    self.enter(segment, as_u64(SEGMENT_HEAD_BYTES));
                    return Ok(Entered::Segment);
                }
                Opened::Gone => {}
                // The newest may be about to be written; others stay as they are.
                Opened::Unfinished => {
                    if segments::next_after(&self.directory, number)?.is_none() {
                        return Ok(Entered::Nothing);
                    }
                }
                Opened::Unreadable(why) => {
                    self.segment = None;
                    self.done = number;
                    self.expected = None;
                    return Ok(Entered::Notice(match why {
                        Unreadable::Damaged => Notice::Unreadable { segment: number },
                        Unreadable::Newer(version) => Notice::Newer {
                            segment: number,
                            version,
                        },
                    }));
                }
            }
            behind = number;
        }
    }

    fn enter(&mut self, mut segment: Segment, at: u64) {
        if let Some(old) = &mut self.segment {
            segment.take_window(old);
        }
        self.segment = Some(segment);
        self.at = at;
        self.after_large = false;
    }

    /// Goes to a chunk that [`chunks_back`](Self::chunks_back) gave.
    pub(super) fn go_to(&mut self, chunk: &Chunk) -> Result<()> {
        self.go(chunk.segment, chunk.start())
    }

    /// Goes behind everything that is there.
    pub(super) fn go_to_end(&mut self) -> Result<()> {
        let last = Backwards::new(self).next(self)?;
        match last {
            Some(chunk) => self.go(chunk.segment, chunk.end()),
            None => Ok(()),
        }
    }

    fn go(&mut self, number: u64, at: u64) -> Result<()> {
        let opened = Segment::open(self.directory.as_fd(), number)
            .step(|| format!("read the log in {}", self.path.display()))?;
        match opened {
            Opened::Segment(segment) => self.enter(segment, at),
            // Rotated away in the meantime: the oldest that is left comes next.
            _ => {
                self.segment = None;
                self.done = number;
            }
        }
        self.expected = None;
        Ok(())
    }

    /// The chunks from the newest to the oldest.
    pub(super) fn chunks_back(&self) -> Backwards {
        Backwards::new(self)
    }
}

enum Entered {
    Segment,
    Nothing,
    Notice(Notice),
}

/// Walks a log from its end. It has its own place, and borrows the reader only for each step.
pub(super) struct Backwards {
    segment: Option<Segment>,
    end: u64,
    /// The segment that is looked at next is older than this.
    before: u64,
    path: PathBuf,
}

impl Backwards {
    fn new(reader: &LogReader) -> Self {
        Self {
            segment: None,
            end: 0,
            before: u64::MAX,
            path: reader.path.clone(),
        }
    }

    /// The chunk before. A segment that cannot be read is passed over: who reads forwards tells.
    pub(super) fn next(&mut self, reader: &LogReader) -> Result<Option<Chunk>> {
        let step = self.previous(reader.directory.as_fd());
        step.step(|| format!("read the log in {}", self.path.display()))
    }

    fn previous(&mut self, directory: BorrowedFd<'_>) -> Result<Option<Chunk>, Errno> {
        loop {
            if let Some(segment) = &self.segment
                && let Some(chunk) = segment.look_back(self.end)?
            {
                self.end = chunk.start();
                return Ok(Some(chunk));
            }
            self.segment = None;
            let Some(number) = segments::last_before(directory, self.before)? else {
                return Ok(None);
            };
            self.before = number;
            if let Opened::Segment(segment) = Segment::open(directory, number)? {
                self.end = segment.length()?;
                self.segment = Some(segment);
            }
        }
    }

    pub(super) fn payload(&mut self, chunk: &Chunk) -> Result<&[u8]> {
        let path = &self.path;
        let segment = self.segment.as_mut().ok_or(Errno::STALE);
        let bytes = segment.and_then(|segment| segment.payload(chunk));
        bytes.step(|| format!("read the log in {}", path.display()))
    }
}
