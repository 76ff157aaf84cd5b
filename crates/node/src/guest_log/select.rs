//! Which lines of a log are wanted: by stream, by time, by number from the end.
//!
//! A line belongs to the chunk where it begins, and has that chunk's time; what follows of it in
//! later chunks of its stream is shown or hidden with it. So clocks that jump neither tear lines
//! nor
//! change their order. Lines need not be text.

use std::io::BufRead;
use std::ops::Range;

use insula_container::error::Result;

use super::format::Stream;
use super::reader::LogReader;
use super::segment::Chunk;

/// What is to be shown of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The last so many of the lines that are selected otherwise; all without it.
    pub tail: Option<u64>,
    /// Lines of this time or later, in nanoseconds since 1970.
    pub since: Option<i64>,
    /// Lines before this time.
    pub until: Option<i64>,
    pub streams: Streams,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            tail: None,
            since: None,
            until: None,
            streams: Streams::all(),
        }
    }
}

/// A set of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams(u8);

impl Streams {
    #[must_use]
    pub fn all() -> Self {
        Self::of(&Stream::ALL)
    }

    #[must_use]
    pub fn of(streams: &[Stream]) -> Self {
        Self(streams.iter().fold(0, |bits, stream| bits | stream.bit()))
    }

    #[must_use]
    pub const fn contains(self, stream: Stream) -> bool {
        self.0 & stream.bit() != 0
    }
}

/// What became of the line that a stream is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing of the stream was seen: its first bytes count as the beginning of a line.
    Unseen,
    Shown,
    Hidden,
}

/// Says of each chunk which of its bytes are wanted. Chunks must come in order.
#[derive(Debug)]
pub struct Selector {
    selection: Selection,
    lines: [Line; Stream::ALL.len()],
    /// The first wanted byte of the chunk with this sequence number.
    start: Option<(u64, usize)>,
}

/// The wanted bytes of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub bytes: Range<usize>,
    /// The first of them begins a line.
    pub begins_line: bool,
}

impl Selector {
    /// Puts `reader` where the first selected line begins.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn new(selection: Selection, reader: &mut LogReader) -> Result<Self> {
        let mut selector = Self {
            selection,
            lines: [Line::Unseen; Stream::ALL.len()],
            start: None,
        };
        match selection.tail {
            None => {}
            Some(0) => reader.go_to_end()?,
            Some(count) => selector.find_tail(count, reader)?,
        }
        Ok(selector)
    }

    /// Walks back until so many lines have begun.
    fn find_tail(&mut self, count: u64, reader: &mut LogReader) -> Result<()> {
        let mut left = count;
        let mut back = reader.chunks_back();
        while let Some(chunk) = back.next(reader)? {
            let is_counted = chunk.header.stream != Stream::Note && self.is_selected(&chunk);
            if !is_counted {
                continue;
            }
            let payload = back.payload(&chunk)?;
            let Some(first) = count_back(payload, chunk.header.begins_line(), &mut left) else {
                continue;
            };
            reader.go_to(&chunk)?;
            self.start = Some((chunk.header.sequence, first));
            self.lines = [Line::Hidden; Stream::ALL.len()];
            break;
        }
        Ok(())
    }

    fn is_selected(&self, chunk: &Chunk) -> bool {
        let time = chunk.header.time_ns;
        self.selection.streams.contains(chunk.header.stream)
            && self.selection.since.is_none_or(|since| time >= since)
            && self.selection.until.is_none_or(|until| time < until)
    }

    /// The wanted bytes of a chunk; `payload` is asked for them only where lines must be told
    /// apart.
    ///
    /// # Errors
    /// Those of `payload`.
    pub fn choose<'a>(
        &mut self,
        chunk: &Chunk,
        payload: impl FnOnce() -> Result<&'a [u8]>,
    ) -> Result<Wanted> {
        let header = &chunk.header;
        let length = usize::try_from(header.length).unwrap_or(0);
        let nothing = Wanted {
            bytes: 0..0,
            begins_line: false,
        };
        if !self.selection.streams.contains(header.stream) {
            return Ok(nothing);
        }
        let is_selected = self.is_selected(chunk);
        let line = &mut self.lines[header.stream as usize - 1];
        let begun = if is_selected {
            Line::Shown
        } else {
            Line::Hidden
        };
        if let Some((_, first)) = self
            .start
            .take_if(|(sequence, _)| *sequence == header.sequence)
        {
            *line = begun;
            return Ok(Wanted {
                bytes: first..length,
                begins_line: true,
            });
        }
        if header.begins_line() || *line == Line::Unseen {
            *line = begun;
            let end = if is_selected { length } else { 0 };
            return Ok(Wanted {
                bytes: 0..end,
                begins_line: true,
            });
        }
        if *line == begun {
            let end = if is_selected { length } else { 0 };
            return Ok(Wanted {
                bytes: 0..end,
                begins_line: false,
            });
        }
        // The line that goes on here has another fate than those that begin here.
        let border = line_length(payload()?);
        if border < length {
            *line = begun;
        }
        Ok(Wanted {
            bytes: if is_selected {
                border..length
            } else {
                0..border
            },
            begins_line: is_selected,
        })
    }
}

/// The bytes up to the first end of line, with it; all without one.
pub(super) fn line_length(mut bytes: &[u8]) -> usize {
    // Reading memory does not fail.
    bytes.skip_until(b'\n').unwrap_or(0)
}

/// Counts the beginnings of lines from the end; says where the last wanted one is, once `left` is
/// down to zero.
fn count_back(payload: &[u8], begins_line: bool, left: &mut u64) -> Option<usize> {
    let inner = payload.len().saturating_sub(1);
    for (place, byte) in payload[..inner].iter().enumerate().rev() {
        if *byte == b'\n' {
            *left -= 1;
            if *left == 0 {
                return Some(place + 1);
            }
        }
    }
    if begins_line {
        *left -= 1;
    }
    (*left == 0).then_some(0)
}
