//! Shows a log: copies the wanted bytes to standard output and error, with times where asked for.
//!
//! Small chunks are gathered and written together; large ones go from the file to the output inside
//! the kernel. With [`Show::follow`] it goes on until the guest has ended and all is shown.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::rustix::fs::sendfile;
use insula_sys::rustix::io::write;

use super::follow::{LogWatch, is_readable};
use super::format::Stream;
use super::reader::{LogReader, Notice, Step};
use super::segment::{Chunk, LARGE_PAYLOAD};
use super::select::{Selection, Selector, line_length};
use super::writer::as_u64;
use crate::moment;

const GATHERED_BYTES: usize = 128 << 10;

/// How a log is shown, and where.
#[derive(Debug)]
pub struct Show<'a> {
    pub selection: Selection,
    /// The time before each line, as RFC 3339 with nanoseconds.
    pub timestamps: bool,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// Goes on until this descriptor is readable, such as a pidfd of the writer, and all is shown.
    pub follow: Option<BorrowedFd<'a>>,
}

impl Show<'_> {
    /// Shows the log. An output that is closed is no error: its reader has seen enough.
    ///
    /// # Errors
    /// The log cannot be read, or an output cannot be written.
    pub fn run(&self, reader: &mut LogReader) -> Result<()> {
        // Before the first chunk is read, so that nothing falls between.
        let watch = match self.follow {
            Some(_) => Some(LogWatch::new(reader)?),
            None => None,
        };
        let mut selector = Selector::new(self.selection, reader)?;
        let mut printer = Printer::new(self);
        loop {
            let is_over = self.follow.is_none_or(is_readable) || self.is_past_until();
            if !printer.print_all(reader, &mut selector)? || is_over {
                return Ok(());
            }
            if let (Some(watch), Some(ended)) = (&watch, self.follow) {
                watch.wait(ended, self.stdout, self.time_until())?;
            }
        }
    }

    fn is_past_until(&self) -> bool {
        self.selection
            .until
            .is_some_and(|until| moment::now_ns() >= until)
    }

    fn time_until(&self) -> Option<Duration> {
        let left = self.selection.until?.saturating_sub(moment::now_ns());
        Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
    }
}

/// The text about what is missing, for standard error.
#[must_use]
pub fn describe(notice: Notice) -> String {
    match notice {
        Notice::Damaged { segment, at, bytes } => {
            format!("the log is damaged: {bytes} bytes skipped at {at} of {segment:08}.log")
        }
        Notice::Unreadable { segment } => {
            format!("the log is damaged: {segment:08}.log is skipped, its beginning cannot be read")
        }
        Notice::Newer { segment, version } => format!(
            "{segment:08}.log is skipped: it has version {version}, this insula reads up to {}",
            super::format::VERSION
        ),
        Notice::Missed { chunks } => {
            format!("{chunks} pieces of output were rotated away before they could be shown")
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Stdout,
    Stderr,
}

struct Printer<'a> {
    show: &'a Show<'a>,
    gathered: Vec<u8>,
    target: Target,
    /// sendfile(2) does not serve every kind of output.
    can_send: bool,
}

/// What became of an output.
enum Written {
    All,
    /// Nobody reads it any more.
    Closed,
}

impl<'a> Printer<'a> {
    fn new(show: &'a Show<'a>) -> Self {
        Self {
            show,
            gathered: Vec::with_capacity(GATHERED_BYTES),
            target: Target::Stdout,
            can_send: true,
        }
    }

    /// Prints up to the end that is there now. False when an output is closed.
    fn print_all(&mut self, reader: &mut LogReader, selector: &mut Selector) -> Result<bool> {
        loop {
            let written = match reader.read()? {
                Step::Chunk(chunk) => self.chunk(reader, selector, &chunk)?,
                Step::Notice(notice) => self.notice(notice),
                Step::End => return Ok(matches!(self.flush()?, Written::All)),
            };
            if matches!(written, Written::Closed) {
                return Ok(false);
            }
        }
    }

    fn notice(&mut self, notice: Notice) -> Written {
        let text = format!("insula: {}\n", describe(notice));
        self.gather(Target::Stderr, text.as_bytes())
            .unwrap_or(Written::All)
    }

    fn chunk(
        &mut self,
        reader: &mut LogReader,
        selector: &mut Selector,
        chunk: &Chunk,
    ) -> Result<Written> {
        let wanted = selector.choose(chunk, || reader.payload(chunk))?;
        if wanted.bytes.is_empty() {
            return Ok(Written::All);
        }
        let target = match chunk.header.stream {
            Stream::Stdout | Stream::Terminal => Target::Stdout,
            Stream::Stderr | Stream::Note => Target::Stderr,
        };
        let is_plain = !self.show.timestamps && chunk.header.stream != Stream::Note;
        if is_plain && self.can_send && chunk.header.length >= LARGE_PAYLOAD {
            let offset = as_u64(wanted.bytes.start);
            return self.send(reader, target, chunk, offset, wanted.bytes.len());
        }
        let bytes = &reader.payload(chunk)?[wanted.bytes.clone()];
        if is_plain {
            return self.gather(target, bytes);
        }
        self.lines(target, chunk, bytes, wanted.begins_line)
    }

    /// Each line with what stands before it.
    fn lines(
        &mut self,
        target: Target,
        chunk: &Chunk,
        bytes: &[u8],
        mut begins_line: bool,
    ) -> Result<Written> {
        let time = moment::to_rfc3339(chunk.header.time_ns);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(line_length(rest));
            if begins_line && self.show.timestamps {
                self.gather(target, &time)?;
                self.gather(target, b" ")?;
            }
            if begins_line && chunk.header.stream == Stream::Note {
                self.gather(target, b"insula: ")?;
            }
            if matches!(self.gather(target, line)?, Written::Closed) {
                return Ok(Written::Closed);
            }
            begins_line = true;
            rest = behind;
        }
        Ok(Written::All)
    }

    /// Gathers bytes, so that many small pieces are one write.
    fn gather(&mut self, target: Target, bytes: &[u8]) -> Result<Written> {
        let is_full = self.gathered.len() + bytes.len() > GATHERED_BYTES;
        if (target != self.target || is_full) && matches!(self.flush()?, Written::Closed) {
            return Ok(Written::Closed);
        }
        self.target = target;
        if bytes.len() > GATHERED_BYTES {
            return write_all(self.output(target), bytes);
        }
        self.gathered.extend_from_slice(bytes);
        Ok(Written::All)
    }

    fn flush(&mut self) -> Result<Written> {
        let written = write_all(self.output(self.target), &self.gathered);
        self.gathered.clear();
        written
    }

    /// Moves bytes from the segment to the output inside the kernel.
    fn send(
        &mut self,
        reader: &mut LogReader,
        target: Target,
        chunk: &Chunk,
        offset: u64,
        length: usize,
    ) -> Result<Written> {
        if matches!(self.flush()?, Written::Closed) {
            return Ok(Written::Closed);
        }
        let output = self.output(target);
        let mut left = length;
        while let Some((file, payload_at)) = reader.place_of(chunk).filter(|_| left > 0) {
            let mut at = payload_at + offset + as_u64(length - left);
            match sendfile(output, file, Some(&mut at), left) {
                Ok(0) => break,
                Ok(count) => left -= count.min(left),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Ok(Written::Closed),
                Err(_) => {
                    self.can_send = false;
                    break;
                }
            }
        }
        let end = usize::try_from(offset).unwrap_or(0) + length;
        if left == 0 {
            return Ok(Written::All);
        }
        let bytes = &reader.payload(chunk)?[end - left..end];
        write_all(output, bytes)
    }

    fn output(&self, target: Target) -> BorrowedFd<'a> {
        match target {
            Target::Stdout => self.show.stdout,
            Target::Stderr => self.show.stderr,
        }
    }
}

fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<Written> {
    while !bytes.is_empty() {
        match write(output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Ok(Written::Closed),
            Err(Errno::AGAIN) => super::follow::wait_writable(output.as_fd()),
            Err(errno) => return Err(errno).step(|| "write the output"),
        }
    }
    Ok(Written::All)
}
