//! Moves a guest's output from a pipe or a terminal into its log, as fast as it comes.
//!
//! One read takes whatever is there, one write puts it down. A guest that writes line by line would
//! wake its reader for each of them, and both would do little else; so a pipe that filled slowly is
//! left alone for a moment (see [`Pump::rests_until`]), in which the guest writes without waking
//! anybody. The pause is far shorter than the pipe takes to fill.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use insula_sys::Errno;
use insula_sys::rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use insula_sys::rustix::io::read;
use insula_sys::rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use super::format::Stream;
use super::writer::LogWriter;

/// What an ordinary user may have (fs.pipe-max-size).
const PIPE_BYTES: usize = 1 << 20;
/// Nobody who watches the output notices a pause of this length.
const REST_MAX: Duration = Duration::from_millis(2);
/// A guest that writes more seldom than this is read at once, always.
const RATE_LOW: Duration = Duration::from_millis(4);

/// One of a guest's outputs.
#[derive(Debug)]
pub struct Pump {
    source: OwnedFd,
    stream: Stream,
    /// Of the pipe; 0 for a terminal.
    capacity: usize,
    last: Option<Instant>,
    rests_until: Option<Instant>,
}

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// So many bytes were moved; there may be more.
    Moved(usize),
    /// There is nothing now.
    Idle,
    /// All writers have closed their ends and everything is moved. A terminal says so whenever
    /// nobody has it open: who keeps it open for a guest that opens it again never sees this.
    Ended,
}

impl Pump {
    /// Takes over the reading end. It is made non-blocking, and a pipe as large as may be.
    #[must_use]
    pub fn new(source: OwnedFd, stream: Stream) -> Self {
        if let Ok(flags) = fcntl_getfl(&source) {
            // A descriptor that cannot be made so still works: it is read when poll says so.
            let _ = fcntl_setfl(&source, flags | OFlags::NONBLOCK);
        }
        let enlarged = fcntl_setpipe_size(&source, PIPE_BYTES);
        let capacity = enlarged.or_else(|_| fcntl_getpipe_size(&source));
        Self {
            source,
            stream,
            capacity: capacity.unwrap_or(0),
            last: None,
            rests_until: None,
        }
    }

    /// What to wait for with poll(2), unless the pump rests.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    /// Until then there is nothing to do here, whatever poll says: leave the descriptor out of the
    /// set, and wait no longer than this.
    #[must_use]
    pub fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    /// Moves what one read gives to the log, and lends it to `watch`, for those who are attached.
    /// `buffer` is the caller's, one for all pumps; 64 KiB or more serve best.
    pub fn turn(
        &mut self,
        buffer: &mut [u8],
        log: &mut LogWriter,
        watch: impl FnOnce(&[u8]),
    ) -> Turn {
        self.rests_until = None;
        let count = loop {
            match read(&self.source, &mut *buffer) {
                Ok(0) | Err(Errno::IO) => return Turn::Ended,
                Ok(count) => break count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Turn::Idle,
                // Not to be read at all: nothing will ever come.
                Err(_) => return Turn::Ended,
            }
        };
        let bytes = &buffer[..count];
        log.append(self.stream, bytes);
        watch(bytes);
        self.rest(count);
        Turn::Moved(count)
    }

    /// Chooses the pause by how fast the pipe fills: never longer than half of it takes.
    fn rest(&mut self, count: usize) {
        let now = Instant::now();
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let since = now - last;
        let is_slow = since > RATE_LOW;
        let is_full = count >= self.capacity / 4;
        if is_slow || is_full || self.capacity == 0 {
            return;
        }
        let half = u32::try_from(self.capacity / 2 / count.max(1)).unwrap_or(u32::MAX);
        let pause = since.saturating_mul(half).min(REST_MAX);
        self.rests_until = Some(now + pause);
    }
}
