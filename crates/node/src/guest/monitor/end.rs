//! The end of a guest's program, and of the guest's run.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use insula_container::error::Error;
use insula_sys::Errno;
use insula_sys::pidfd::exit_of;
use insula_sys::process::{Exit, try_wait};
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::format::{Ended, Phase};
use super::super::live;
use super::super::protocol::{End, FrameKind, Reply};
use super::client::Role;
use super::serve::{BACK_OFF_MS_MAX, BACK_OFF_MS_MIN, STEADY};
use super::{Monitor, Wanted};
use crate::guest::{exit_code, now};

/// A stream that a process outside of the guest still writes to is not waited for.
const LAST_READS_MAX: usize = 4096;

/// How a run ended.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    code: Option<i32>,
    oom_killed: bool,
    left: Option<Leave>,
}

/// How a system itself ended its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Reboot,
    PowerOff,
}

impl Monitor {
    /// The program has ended: what is left of it is taken, removed and written down.
    pub(super) fn take_end(&mut self) {
        let Some(running) = &self.running else { return };
        let Some(exit) = exit_of_program(running.pidfd.as_fd()) else {
            return;
        };
        let verdict = self.judge(exit);
        self.health = None;
        self.holder = None;
        self.state.holder = None;
        let streams: Vec<_> = running
            .streams
            .sources()
            .map(|(stream, _)| stream)
            .collect();
        for stream in streams {
            self.take_last_output(stream);
        }
        // What cannot be removed now is found by `prune`; the end is the news.
        let removed = self.place.runtime().delete(self.id(), true);
        if let Some(running) = self.running.take()
            && running.since.elapsed() >= STEADY
        {
            self.back_off_ms = BACK_OFF_MS_MIN;
        }
        if verdict.oom_killed {
            self.tell("oom", &[]);
        }
        let code = verdict
            .code
            .map_or_else(|| "unknown".to_owned(), |code| code.to_string());
        self.tell("die", &[("exitCode", code)]);
        self.state.process = None;
        self.state.exit_code = verdict.code;
        self.workspace.record.ended = Some(Ended {
            exit_code: verdict.code,
            at: now(),
            oom_killed: verdict.oom_killed,
            error: removed.err().map(|error| error.chain()),
        });
        self.decide(verdict);
    }

    fn take_last_output(&mut self, stream: crate::guest_log::Stream) {
        for _ in 0..LAST_READS_MAX {
            for client in self
                .clients
                .iter_mut()
                .filter(|client| client.has_pending())
            {
                client.flush();
            }
            let before = self.running.as_ref().map(|it| it.streams.sources().count());
            if !self.has_output(stream) {
                return;
            }
            self.take_output(stream, 1);
            let after = self.running.as_ref().map(|it| it.streams.sources().count());
            if before != after {
                return;
            }
        }
    }

    fn has_output(&self, wanted: crate::guest_log::Stream) -> bool {
        let Some(running) = &self.running else {
            return false;
        };
        let source = running
            .streams
            .sources()
            .find(|(stream, _)| *stream == wanted);
        source.is_some_and(|(_, fd)| is_ready(fd, 0))
    }

    fn judge(&self, exit: Option<Exit>) -> Verdict {
        let container = self.place.runtime().load(self.id());
        let oom_kills = container
            .and_then(|container| container.control_group())
            .and_then(|group| group.oom_kills());
        // reboot(2) in a PID namespace ends its first process by one of two signals.
        let (left, code) = match exit {
            Some(Exit::Signal(1)) if self.is_system() => (Some(Leave::Reboot), Some(0)),
            Some(Exit::Signal(2)) if self.is_system() => (Some(Leave::PowerOff), Some(0)),
            other => (None, other.map(Exit::code)),
        };
        Verdict {
            code,
            oom_killed: oom_kills.is_ok_and(|count| count > 0),
            left,
        }
    }

    /// Again, after a while or at once, or not.
    fn decide(&mut self, verdict: Verdict) {
        let is_asked = |role| matches!(role, Role::Stopping { restarts: true });
        let is_restart = self.clients.iter().any(|client| is_asked(client.role));
        if is_restart {
            self.restart_now();
            return;
        }
        match verdict.left.filter(|_| self.wanted == Wanted::Up) {
            // One that restarts itself as soon as it is up is slowed down like one that fails.
            Some(Leave::Reboot) => return self.wait_for_restart(),
            // Whoever switched it off inside does not want it up again.
            Some(Leave::PowerOff) => {
                self.wanted = Wanted::Down;
                self.workspace.record.stopped_by_user = true;
                return;
            }
            None => {}
        }
        let policy = self.workspace.record.config.restart;
        if self.wanted == Wanted::Up && policy.asks_for(verdict.code, self.state.restarts) {
            self.wait_for_restart();
        }
    }

    fn wait_for_restart(&mut self) {
        let wait = Duration::from_millis(self.back_off_ms);
        self.back_off_ms = (self.back_off_ms * 2).min(BACK_OFF_MS_MAX);
        self.again_at = Some(Instant::now() + wait);
        self.state.phase = Phase::Restarting;
        self.publish();
    }

    fn restart_now(&mut self) {
        let result = self.run_program();
        let reply = match &result {
            Ok(()) => Reply::default(),
            Err(error) => Reply::of(error),
        };
        for client in &mut self.clients {
            if client.role == (Role::Stopping { restarts: true }) {
                client.reply(&reply);
            }
        }
        match result {
            Ok(()) => self.tell("restart", &[]),
            Err(error) => self.note_failed_restart(&error),
        }
    }

    /// A restart that failed counts as a run that failed.
    pub(super) fn note_failed_restart(&mut self, error: &Error) {
        let code = Some(i32::from(exit_code(error)));
        self.workspace.record.ended = Some(Ended {
            exit_code: code,
            at: now(),
            oom_killed: false,
            error: Some(error.chain()),
        });
        self.state.exit_code = code;
        let policy = self.workspace.record.config.restart;
        if self.wanted == Wanted::Up && policy.asks_for(code, self.state.restarts) {
            self.wait_for_restart();
        }
    }

    /// The guest could not be started: nothing of this run stays, and `--rm` removes the rest.
    pub(super) fn give_up(mut self, error: Error) -> Error {
        self.workspace.record.ended = Some(Ended {
            exit_code: Some(i32::from(exit_code(&error))),
            at: now(),
            oom_killed: false,
            error: Some(error.chain()),
        });
        live::remove(&self.live);
        let _ = match self.workspace.record.config.remove {
            true => self.workspace.remove(),
            false => self.workspace.save(),
        };
        error
    }

    /// The last run is over.
    pub(super) fn finish(mut self) {
        let is_removed = self.workspace.record.config.remove;
        let ended = self.workspace.record.ended.clone();
        if is_removed {
            self.tell("destroy", &[]);
        }
        let mut clients = std::mem::take(&mut self.clients);
        live::remove(&self.live);
        let kept = match is_removed {
            true => self.workspace.remove(),
            false => {
                let saved = self.workspace.save();
                // Who is told of the end and looks sees that nobody works on the guest any more.
                drop(self.workspace);
                saved
            }
        };
        let end = End {
            exit_code: ended.as_ref().and_then(|ended| ended.exit_code),
            oom_killed: ended.as_ref().is_some_and(|ended| ended.oom_killed),
            left_behind: kept.err().map(|error| error.chain()),
            error: ended.and_then(|ended| ended.error),
        };
        let json = serde_json::to_vec(&end).unwrap_or_default();
        for client in &mut clients {
            if matches!(client.role, Role::Stopping { .. }) {
                client.reply(&Reply::default());
            }
            client.send(FrameKind::Ended, &json);
            client.flush();
        }
    }
}

/// How a program ended; `None` when it has not, and `Some(None)` when nobody can tell.
fn exit_of_program(pidfd: BorrowedFd<'_>) -> Option<Option<Exit>> {
    match try_wait(pidfd) {
        Ok(None) => None,
        Ok(exit) => Some(exit),
        // Not our child: its monitor was killed. Whoever reaps it now leaves its code to be read.
        Err(Errno::CHILD) => {
            const REAPED_WITHIN_MS: i64 = 2000;
            if !is_hung_up(pidfd, REAPED_WITHIN_MS) {
                return Some(None);
            }
            Some(exit_of(pidfd))
        }
        Err(_) => Some(None),
    }
}

fn is_ready(fd: BorrowedFd<'_>, milliseconds: i64) -> bool {
    wait_for(fd, PollFlags::IN, milliseconds)
}

/// A pidfd is ready when its process has ended, and hung up when that has been reaped.
fn is_hung_up(fd: BorrowedFd<'_>, milliseconds: i64) -> bool {
    wait_for(fd, PollFlags::empty(), milliseconds)
}

fn wait_for(fd: BorrowedFd<'_>, flags: PollFlags, milliseconds: i64) -> bool {
    let limit = Timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: (milliseconds % 1000) * 1_000_000,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    matches!(poll(&mut fds, Some(&limit)), Ok(1..))
}
