//! Checks of a guest's health: a program in the guest, again and again.
//!
//! ```text
//!  starting ──success──▶ healthy ──failures──▶ unhealthy ──success──▶ healthy
//!     └────────failures after the start period────▲
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use insula_container::error::{Context, Result};
use insula_container::spec::Process;
use insula_container::{ExecOptions, Launched, Runtime};
use insula_sys::Errno;
use insula_sys::process::{pidfd_send_signal, try_wait, wait};
use insula_sys::rustix::io::{ioctl_fionbio, read};
use insula_sys::rustix::pipe::{PipeFlags, pipe_with};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdout};

use super::super::format::{HealthResult, HealthState, HealthStatus};
use super::streams::leave_standard_streams;
use crate::guest::now_ns;
use crate::run::HealthCheck;

/// So much of a check's output is kept.
const OUTPUT_BYTES_MAX: usize = 4096;
/// So many results are kept.
const RESULTS_MAX: usize = 5;

/// The checks of one run of a guest.
#[derive(Debug)]
pub(super) struct Health {
    check: HealthCheck,
    process: Process,
    since: Instant,
    next: Instant,
    running: Option<Check>,
    pub(super) state: HealthState,
}

/// A check that runs.
#[derive(Debug)]
struct Check {
    child: Launched,
    /// Until the program has closed it.
    output: Option<OwnedFd>,
    text: Vec<u8>,
    started: u64,
    deadline: Instant,
}

impl Health {
    /// Nothing when there is no check.
    pub(super) fn new(check: HealthCheck, process: Option<&Process>) -> Option<Self> {
        let mut process = process?.clone();
        process.args = check.program()?;
        process.terminal = false;
        let now = Instant::now();
        Some(Self {
            next: now + Duration::from_millis(check.interval_ms()),
            check,
            process,
            since: now,
            running: None,
            state: HealthState::default(),
        })
    }

    /// When something is to be done next.
    pub(super) fn due(&self) -> Instant {
        match &self.running {
            Some(check) => check.deadline,
            None => self.next,
        }
    }

    /// What a check that runs gives signs by: its output, its end.
    pub(super) fn fds(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        let running = self.running.iter();
        running.flat_map(|check| {
            let output = check.output.as_ref().map(AsFd::as_fd);
            output.into_iter().chain([check.child.pidfd.as_fd()])
        })
    }

    /// Does what is due. True when the state has changed.
    pub(super) fn go_on(&mut self, runtime: &Runtime, id: &str) -> bool {
        let now = Instant::now();
        if self.running.is_some() {
            return self.look_after(now);
        }
        if now < self.next {
            return false;
        }
        let started = now_ns();
        match begin(runtime, id, &self.process) {
            Ok((child, output)) => {
                self.running = Some(Check {
                    child,
                    output: Some(output),
                    text: Vec::new(),
                    started,
                    deadline: now + Duration::from_millis(self.check.timeout_ms()),
                });
                false
            }
            Err(error) => {
                self.note(started, -1, error.chain());
                true
            }
        }
    }

    fn look_after(&mut self, now: Instant) -> bool {
        let Some(check) = &mut self.running else {
            return false;
        };
        check.take_output();
        let (code, why) = match try_wait(check.child.pidfd.as_fd()) {
            Ok(Some(exit)) => (exit.code(), None),
            Ok(None) if now < check.deadline => return false,
            Ok(None) => {
                check.end();
                let limit = self.check.timeout_ms();
                (-1, Some(format!("the check took longer than {limit} ms")))
            }
            Err(errno) => (-1, Some(format!("wait for the check: {errno}"))),
        };
        check.take_output();
        let output = String::from_utf8_lossy(&check.text).into_owned();
        let started = check.started;
        self.running = None;
        self.note(started, code, why.unwrap_or(output));
        true
    }

    fn note(&mut self, started: u64, code: i32, output: String) {
        let state = &mut self.state;
        if state.log.len() == RESULTS_MAX {
            state.log.remove(0);
        }
        state.log.push(HealthResult {
            started,
            ended: now_ns(),
            exit_code: code,
            output,
        });
        let is_young = self.since.elapsed().as_millis() < u128::from(self.check.start_period_ms());
        if code == 0 {
            state.failing_streak = 0;
            state.status = HealthStatus::Healthy;
        } else if state.status != HealthStatus::Starting || !is_young {
            state.failing_streak += 1;
            if state.failing_streak >= self.check.retries() {
                state.status = HealthStatus::Unhealthy;
            }
        }
        self.next = Instant::now() + Duration::from_millis(self.check.interval_ms());
    }
}

impl Check {
    fn take_output(&mut self) {
        let mut buffer = [0; 1024];
        while let Some(output) = &self.output {
            match read(output, &mut buffer) {
                Ok(count @ 1..) => {
                    let room = OUTPUT_BYTES_MAX - self.text.len();
                    self.text.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }

    fn end(&self) {
        let _ = pidfd_send_signal(self.child.pidfd.as_fd(), 9);
        let _ = wait(self.child.pidfd.as_fd());
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        if let Some(check) = &self.running {
            check.end();
        }
    }
}

fn begin(runtime: &Runtime, id: &str, process: &Process) -> Result<(Launched, OwnedFd)> {
    let step = || "make the pipe of the check";
    let (output, far) = pipe_with(PipeFlags::CLOEXEC).step(step)?;
    ioctl_fionbio(&output, true).step(step)?;
    let options = ExecOptions {
        process: process.clone(),
        detach: true,
        ..ExecOptions::default()
    };
    dup2_stdout(&far)
        .and_then(|()| dup2_stderr(&far))
        .step(step)?;
    let child = runtime.exec_child(id, &options);
    leave_standard_streams()?;
    Ok((child?, output))
}
