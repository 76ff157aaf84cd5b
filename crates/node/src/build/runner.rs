//! The process that runs containers for a build.
//!
//! A container's process is a copy of the one that makes it, so that one must have a single thread
//! (clone3(2), [`insula_sys::process::clone3`]), while a build writes layers by others. So a build
//! begins by copying itself: this process waits for a configuration, runs it, and answers with the
//! exit code.
//!
//! ```text
//!  build ──Request──▶ runner ──▶ container      output of the container: two pipes to the build
//!        ◀──Answer───
//! ```
//!
//! It dies with the build. A container that it leaves is found by `prune`, through the build's
//! record.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use insula_container::error::{Context, Error, Kind, Result};
use insula_container::spec::Spec;
use insula_container::{CreateOptions, Runtime, Source};
use insula_sys::Errno;
use insula_sys::descriptor::close_copies_but;
use insula_sys::process::{Child, SignalFd, clone3, exit_now, pidfd_send_signal, wait};
use insula_sys::rustix::event::{PollFd, PollFlags, poll};
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::io::{ioctl_fionbio, read};
use insula_sys::rustix::pipe::{PipeFlags, pipe_with};
use insula_sys::rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

use super::options::{Event, Progress};

/// No configuration is longer.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

#[derive(Debug, Deserialize, Serialize)]
struct Request {
    id: String,
    bundle: PathBuf,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Answer {
    code: i32,
    error: Option<String>,
    hint: Option<String>,
    kind: u8,
}

/// The build's side.
#[derive(Debug)]
pub(super) struct Runner {
    child: Child,
    socket: UnixStream,
    output: OwnedFd,
    errors: OwnedFd,
    runtime: Runtime,
}

impl Runner {
    /// Starts the process. This one must have a single thread.
    pub(super) fn start(runtime: Runtime) -> Result<Self> {
        let step = || "start the process that runs the steps";
        let (ours, theirs) = UnixStream::pair().step(step)?;
        let (output, output_end) = pipe_with(PipeFlags::CLOEXEC).step(step)?;
        let (errors, errors_end) = pipe_with(PipeFlags::CLOEXEC).step(step)?;
        let parent = getpid();
        let child = clone3(0, None, || {
            let bound = set_parent_process_death_signal(Some(Signal::KILL));
            // The parent may have ended before it could be asked for.
            if bound.is_err() || getppid() != Some(parent) {
                exit_now(1);
            }
            let nothing = open("/dev/null", OFlags::RDWR, Mode::empty());
            let is_set = nothing.and_then(|nothing| dup2_stdin(&nothing)).is_ok()
                && dup2_stdout(&output_end).is_ok()
                && dup2_stderr(&errors_end).is_ok()
                && close_copies_but(&mut [theirs.as_raw_fd()]).is_ok();
            if !is_set {
                exit_now(1);
            }
            serve(&theirs, &runtime)
        })
        .step(step)?;
        for pipe in [&output, &errors] {
            ioctl_fionbio(pipe, true).step(step)?;
        }
        Ok(Self {
            child,
            socket: ours,
            output,
            errors,
            runtime,
        })
    }

    /// Runs a container to its end and gives its exit code. A signal that ends programs kills it.
    pub(super) fn run(
        &mut self,
        id: &str,
        bundle: PathBuf,
        spec: Spec,
        signals: &SignalFd,
        progress: &mut dyn Progress,
    ) -> Result<i32> {
        let request = Request {
            id: id.to_owned(),
            bundle,
            spec,
        };
        let json = serde_json::to_vec(&request).step(|| "write the configuration of the step")?;
        send(&mut &self.socket, &json).step(|| "hand over the step")?;
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.errors.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other.step(|| "wait for the step")?,
            };
            let is_answered = !fds[0].revents().is_empty();
            let is_signalled = !fds[3].revents().is_empty();
            self.pass_on(progress);
            if is_signalled && let Err(error) = super::check_signals(signals) {
                self.stop(id);
                return Err(error);
            }
            if is_answered {
                let answer = receive(&mut &self.socket);
                self.pass_on(progress);
                if answer.is_err() {
                    // It was killed, and nobody but this build knows what it left.
                    self.stop(id);
                }
                let answer = answer.step(|| "the process that runs the steps has ended")?;
                return answer_of(&answer);
            }
        }
    }

    /// Gives on what the program has written so far.
    fn pass_on(&self, progress: &mut dyn Progress) {
        let mut buffer = [0_u8; 16 << 10];
        for (pipe, is_error) in [(&self.output, false), (&self.errors, true)] {
            while let Ok(count @ 1..) = read(pipe, &mut buffer[..]) {
                let bytes = &buffer[..count];
                progress.event(Event::Output { is_error, bytes });
            }
        }
    }

    /// Ends the container that is running, and the process with it.
    fn stop(&self, id: &str) {
        // The process first: it must not clean up at the same time.
        let _ = pidfd_send_signal(self.child.pidfd.as_fd(), Signal::KILL.as_raw());
        let _ = wait(self.child.pidfd.as_fd());
        let _ = self.runtime.delete(id, true);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // The end of the conversation is the end of the process; one that was killed is reaped.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = wait(self.child.pidfd.as_fd());
    }
}

/// The process itself: carries out one request after the other until the build hangs up.
fn serve(mut socket: &UnixStream, runtime: &Runtime) -> Infallible {
    while let Ok(json) = receive(&mut socket) {
        let answer = match carry_out(runtime, &json) {
            Ok(code) => Answer {
                code,
                ..Answer::default()
            },
            Err(error) => Answer {
                code: 125,
                kind: match error.kind_of() {
                    Kind::ProgramNotFound => 1,
                    Kind::ProgramNotExecutable => 2,
                    _ => 0,
                },
                hint: error.hint_text().map(str::to_owned),
                error: Some(error.chain()),
            },
        };
        let json = serde_json::to_vec(&answer).unwrap_or_default();
        if send(&mut socket, &json).is_err() {
            break;
        }
    }
    exit_now(0)
}

fn carry_out(runtime: &Runtime, json: &[u8]) -> Result<i32> {
    let request: Request = serde_json::from_slice(json).step(|| "read the step")?;
    let mut options = CreateOptions::new(request.id, request.bundle);
    options.source = Source::Memory(Box::new(request.spec));
    runtime.run(&options, false, false)
}

fn send(socket: &mut impl Write, message: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(message.len()).map_err(std::io::Error::other)?;
    socket.write_all(&length.to_ne_bytes())?;
    socket.write_all(message)
}

fn receive(socket: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_ne_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
    socket.read_exact(&mut message)?;
    Ok(message)
}

fn answer_of(json: &[u8]) -> Result<i32> {
    let answer: Answer = serde_json::from_slice(json).step(|| "read the answer of the step")?;
    let Some(text) = answer.error else {
        return Ok(answer.code);
    };
    let kind = match answer.kind {
        1 => Kind::ProgramNotFound,
        2 => Kind::ProgramNotExecutable,
        _ => Kind::Other,
    };
    let error = Error::new(text).kind(kind);
    Err(match answer.hint {
        Some(hint) => error.hint(hint),
        None => error,
    })
}
