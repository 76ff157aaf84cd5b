//! Tells when a container runs out of memory.
//!
//! Version 1 signals an eventfd that is registered for `memory.oom_control`; version 2 changes
//! `memory.events`, which inotify sees. Both also signal when the cgroup goes.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::rustix::event::{EventfdFlags, eventfd};
use insula_sys::rustix::fs::{OFlags, inotify};
use insula_sys::rustix::io::read;

use super::limits::Place;
use super::location::Cgroup;
use crate::error::{Context, Result};

/// A subscription to the out-of-memory events of one cgroup. Readable when there may be one.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    cgroup: Cgroup,
    seen: u64,
    unified: bool,
}

/// What a signal of [`OomWatch`] meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomEvent {
    /// The container reached its limit and something in it was (or waits to be) killed.
    Oom,
    /// Some other counter changed.
    Nothing,
    /// The cgroup is gone.
    Gone,
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Cgroup {
    /// How many processes of the container the kernel has killed for lack of memory.
    ///
    /// # Errors
    /// When the counter cannot be read; without a memory controller it is 0.
    pub fn oom_kills(&self) -> Result<u64> {
        let text = match self.place("memory", "memory") {
            Ok(Place::V1(directory)) => directory.read_if_present("memory.oom_control")?,
            Ok(Place::V2(directory)) => directory.read_if_present("memory.events")?,
            Err(_) => None,
        };
        Ok(text.map_or(0, |text| counter(&text, "oom_kill")))
    }

    /// Starts watching. The watch takes its own handle on the cgroup.
    ///
    /// # Errors
    /// Without a memory controller.
    pub fn watch_oom(&self) -> Result<OomWatch> {
        let (fd, unified) = match self.place("memory", "memory")? {
            Place::V1(directory) => {
                let step = || format!("watch the memory of cgroup {}", directory.path());
                let control = directory
                    .open("memory.oom_control", OFlags::RDONLY)
                    .step(step)?;
                let event = eventfd(0, EventfdFlags::CLOEXEC).step(step)?;
                let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
                directory.write("cgroup.event_control", &line)?;
                (event, false)
            }
            Place::V2(directory) => {
                let step = || format!("watch the memory of cgroup {}", directory.path());
                let notify = inotify::init(inotify::CreateFlags::CLOEXEC).step(step)?;
                // Changes of cgroup.events tell when the last process is gone.
                for name in ["memory.events", "cgroup.events"] {
                    let file = directory.open(name, OFlags::RDONLY).step(step)?;
                    // The descriptor's name leads to the file wherever the root is.
                    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                    inotify::add_watch(&notify, path, inotify::WatchFlags::MODIFY).step(step)?;
                }
                (notify, true)
            }
        };
        Ok(OomWatch {
            fd,
            cgroup: self.location.open()?,
            seen: self.oom_kills()?,
            unified,
        })
    }
}

impl OomWatch {
    /// Takes the signal for which the descriptor became readable; blocks when there is none.
    ///
    /// # Errors
    /// When the descriptor cannot be read.
    pub fn take(&mut self) -> Result<OomEvent> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 512];
        loop {
            match read(&self.fd, &mut buffer) {
                Err(Errno::INTR) => {}
                other => {
                    other.step(|| "read an out-of-memory event")?;
                    break;
                }
            }
        }
        let Some(directory) = self.memory_directory() else {
            return Ok(OomEvent::Gone);
        };
        let name = if self.unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let Ok(text) = directory.try_read(name) else {
            return Ok(OomEvent::Gone);
        };
        let kills = counter(&text, "oom_kill");
        let unpopulated = |text: String| text.lines().any(|line| line == "populated 0");
        if self.unified && directory.try_read("cgroup.events").is_ok_and(unpopulated) {
            // A kill that emptied the cgroup is told first; the next change is its removal.
            let event = if kills > self.seen {
                OomEvent::Oom
            } else {
                OomEvent::Gone
            };
            self.seen = kills;
            return Ok(event);
        }
        let grown = kills > self.seen;
        self.seen = kills;
        // With its killer disabled, version 1 stops the processes instead.
        let stopped = !self.unified && counter(&text, "under_oom") == 1;
        // Version 1 signals nothing else, and possibly before it has killed.
        Ok(if grown || stopped || !self.unified {
            OomEvent::Oom
        } else {
            OomEvent::Nothing
        })
    }

    fn memory_directory(&self) -> Option<super::directory::Directory<'_>> {
        if self.unified {
            self.cgroup.unified()
        } else {
            self.cgroup.controller("memory")
        }
    }
}

/// The number after a name in a file of `name number` lines.
pub(super) fn counter(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}
