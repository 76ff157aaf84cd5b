//! Waits for a log to grow, without asking again and again: inotify on its directory.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use insula_sys::rustix::io::read;

use super::reader::LogReader;

/// Tells of appends and rotations from the moment it was made.
#[derive(Debug)]
pub struct LogWatch {
    inotify: OwnedFd,
}

impl LogWatch {
    /// # Errors
    /// The user has too many watches (fs.inotify.max_user_watches, max_user_instances), or the
    /// directory is gone.
    pub fn new(reader: &LogReader) -> Result<Self> {
        let step = || format!("watch the log in {}", reader.path().display());
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).step(step)?;
        let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE_SELF;
        add_watch(&inotify, reader.path(), changes | WatchFlags::ONLYDIR).step(step)?;
        Ok(Self { inotify })
    }

    /// Becomes readable when the log has changed; for callers with a loop of their own.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Forgets the changes up to now. What changes afterwards makes it readable again.
    pub fn drain(&self) {
        let mut events = [MaybeUninit::<u8>::uninit(); 4096];
        while read(&self.inotify, &mut events[..]).is_ok_and(|(filled, _)| !filled.is_empty()) {}
    }

    /// Waits until the log changes, `ended` is readable, nobody reads `output` any more, or the time
    /// is up.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(
        &self,
        ended: BorrowedFd<'_>,
        output: BorrowedFd<'_>,
        at_most: Option<Duration>,
    ) -> Result<()> {
        let timeout = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut watched = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::from_borrowed_fd(ended, PollFlags::IN),
            PollFd::from_borrowed_fd(output, PollFlags::empty()),
        ];
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            other => drop(other.step(|| "wait for the log")?),
        }
        self.drain();
        Ok(())
    }
}

/// Whether there is something to read, or nothing ever again.
pub(super) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let now = Timespec::default();
    let mut watched = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut watched, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Waits for an output that somebody made non-blocking.
pub(super) fn wait_writable(fd: BorrowedFd<'_>) {
    let mut watched = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    // The write that follows tells what is wrong.
    let _ = poll(&mut watched, None);
}
