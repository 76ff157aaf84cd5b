//! Ctrl-C during a long operation: ask it to end, so that it cleans up; end it when asked twice.
//!
//! Signals are blocked and read by a thread of their own. Whoever started one before has a mask of
//! its own, so [`Watch::start`] comes first.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use insula_sys::process::{SignalFd, block_signals, unblock_signals};
use insula_sys::rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use insula_sys::rustix::io::write;
use insula_sys::rustix::process::{Signal, getpid, kill_process};

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Signals are as they were when it ends: let through.
    releases: bool,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// `end` is called when the user wants the operation to end: it must return soon. Asked a second
    /// time, the process dies of the signal.
    ///
    /// # Errors
    /// The system refuses descriptors or threads.
    pub fn start(end: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        Self::new(end, true)
    }

    /// As [`Watch::start`], for a process that holds all its signals back already, and goes on to.
    ///
    /// # Errors
    /// As there.
    pub fn start_within(end: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        Self::new(end, false)
    }

    fn new(end: impl Fn() + Send + 'static, releases: bool) -> std::io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let heard = stop.try_clone()?;
        let signals = block_signals()?;
        let started = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || watch(&signals, &heard, &end));
        match started {
            Ok(thread) => Ok(Self {
                releases,
                stop,
                thread: Some(thread),
            }),
            Err(error) => {
                if releases {
                    unblock_signals();
                }
                Err(error)
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Writing to a fresh eventfd does not fail.
        let _ = write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        if self.releases {
            unblock_signals();
        }
    }
}

fn watch(signals: &SignalFd, stop: &OwnedFd, end: &dyn Fn()) {
    let mut asked = false;
    loop {
        let mut both = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        // Nothing but a signal interrupts, and all of them are blocked.
        let _ = poll(&mut both, None);
        if !both[1].revents().is_empty() {
            return;
        }
        while let Ok(Some(number)) = signals.read() {
            let Some(signal) = Signal::from_named_raw(number) else {
                continue;
            };
            match signal {
                Signal::INT | Signal::TERM | Signal::HUP | Signal::QUIT if !asked => {
                    asked = true;
                    end();
                }
                Signal::INT | Signal::TERM | Signal::HUP | Signal::QUIT => {
                    unblock_signals();
                    let _ = kill_process(getpid(), signal);
                }
                // Ctrl-Z: this one cannot be blocked.
                Signal::TSTP => {
                    let _ = kill_process(getpid(), Signal::STOP);
                }
                _ => {}
            }
        }
    }
}
