//! The host's journal of what happens to guests, without a daemon: whoever does something appends a
//! line.
//!
//! `<state>/events/current` has one JSON object per line; at 1 MiB it becomes `previous`, and what
//! was `previous` goes. A line is one write to a file opened for appending, so that lines of
//! several
//! processes do not mix. The journal is on tmpfs and dies with the kernel.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::io::read as read_fd;
use serde::{Deserialize, Serialize};

const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
/// The journal is at most twice this long.
const BYTES_MAX: u64 = 1 << 20;
/// No line is longer; what does not fit loses its attributes.
const LINE_BYTES_MAX: usize = 4000;

/// One thing that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// `container`.
    pub kind: String,
    /// docker's words: `create`, `start`, `die`, `stop`, `kill`, `oom`, …
    pub action: String,
    pub name: String,
    pub id: String,
    pub attributes: BTreeMap<String, String>,
}

fn directory(state: &Path) -> PathBuf {
    state.join("events")
}

/// Adds an event. That it cannot be written is nobody's failure: what happened has happened.
pub fn append(state: &Path, event: &Event) {
    let directory = directory(state);
    let path = directory.join(CURRENT);
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
    };
    let file = open().or_else(|_| {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .and_then(|()| open())
    });
    let Ok(mut file) = file else { return };
    // A line that is lost is not told: its command goes on.
    let _ = file.write_all(&line(event));
    if file.metadata().is_ok_and(|status| status.len() > BYTES_MAX) {
        rotate(&file, &directory);
    }
}

fn line(event: &Event) -> Vec<u8> {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    if line.len() > LINE_BYTES_MAX {
        let bare = Event {
            attributes: BTreeMap::new(),
            ..event.clone()
        };
        line = serde_json::to_vec(&bare).unwrap_or_default();
    }
    line.push(b'\n');
    line
}

/// Only one process at a time, and only while the file is still the current one.
fn rotate(file: &File, directory: &Path) {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let is_long =
        std::fs::metadata(directory.join(CURRENT)).is_ok_and(|status| status.len() > BYTES_MAX);
    if is_long {
        // Who cannot rotate leaves it to the next.
        let _ = std::fs::rename(directory.join(CURRENT), directory.join(PREVIOUS));
    }
}

/// All events that are kept, the oldest first. Lines that are none are passed over.
#[must_use]
pub fn read(state: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for name in [PREVIOUS, CURRENT] {
        let Ok(file) = File::open(directory(state).join(name)) else {
            continue;
        };
        let lines = BufReader::new(file)
            .split(b'\n')
            .map_while(std::io::Result::ok);
        events.extend(lines.filter_map(|line| serde_json::from_slice(&line).ok()));
    }
    events
}

/// Tells that the journal has grown.
#[derive(Debug)]
pub struct Changes {
    inotify: OwnedFd,
}

impl Changes {
    /// # Errors
    /// The user has too many watches (fs.inotify.max_user_watches, max_user_instances).
    pub fn watch(state: &Path) -> Result<Self> {
        let directory = directory(state);
        let step = || format!("watch {}", directory.display());
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .step(step)?;
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).step(step)?;
        let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        add_watch(&inotify, &directory, changes | WatchFlags::ONLYDIR).step(step)?;
        Ok(Self { inotify })
    }

    /// Waits until something has been appended since the last call, or the time is up.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&mut self, at_most: Option<std::time::Duration>) -> Result<()> {
        let limit = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut fds = [PollFd::from_borrowed_fd(
            self.inotify.as_fd(),
            PollFlags::IN,
        )];
        loop {
            match poll(&mut fds, limit.as_ref()) {
                Err(Errno::INTR) => {}
                other => {
                    other.step(|| "wait for events")?;
                    break;
                }
            }
        }
        let mut bytes = [MaybeUninit::<u8>::uninit(); 4096];
        while read_fd(&self.inotify, &mut bytes[..]).is_ok_and(|(filled, _)| !filled.is_empty()) {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> Event {
        Event {
            time_ns: number,
            kind: "container".to_owned(),
            action: "start".to_owned(),
            name: "web".to_owned(),
            id: "0a".to_owned(),
            attributes: BTreeMap::from([("image".to_owned(), "x".repeat(200))]),
        }
    }

    #[test]
    fn events_are_read_in_order_and_the_journal_is_bounded() {
        let state = tempfile::tempdir().unwrap();
        for number in 0..12_000 {
            append(state.path(), &event(number));
        }
        let events = read(state.path());
        assert_eq!(events.last().unwrap(), &event(11_999));
        assert!(
            events
                .windows(2)
                .all(|pair| pair[1].time_ns == pair[0].time_ns + 1)
        );
        let length = |name| {
            std::fs::metadata(directory(state.path()).join(name))
                .unwrap()
                .len()
        };
        assert!(length(CURRENT) + length(PREVIOUS) <= 2 * BYTES_MAX + 4096);
    }

    #[test]
    fn processes_that_append_at_once_lose_no_line() {
        let state = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let state = state.path();
                scope.spawn(move || {
                    for number in 0..200 {
                        append(state, &event(thread * 1000 + number));
                    }
                });
            }
        });
        assert_eq!(read(state.path()).len(), 800);
    }

    #[test]
    fn what_is_no_event_is_passed_over_and_long_ones_are_cut() {
        let state = tempfile::tempdir().unwrap();
        append(state.path(), &event(1));
        let path = directory(state.path()).join(CURRENT);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .write_all(b"\xff\nnonsense\n")
            .unwrap();
        let mut long = event(2);
        long.attributes
            .insert("command".to_owned(), "y".repeat(10_000));
        append(state.path(), &long);
        let events = read(state.path());
        assert_eq!((events.len(), events[1].attributes.len()), (2, 0));
    }

    #[test]
    fn a_change_ends_the_wait() {
        let state = tempfile::tempdir().unwrap();
        let mut changes = Changes::watch(state.path()).unwrap();
        append(state.path(), &event(1));
        changes.wait(None).unwrap();
    }
}
