//! The guest's ends of its input and output, as its monitor holds them.
//!
//! Without a terminal there are up to three pipes. Their far ends are the program's; ours do not
//! block, for nothing that a guest or a client does may hold the monitor up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::io::{ioctl_fionbio, read, write};
use insula_sys::rustix::pipe::{PipeFlags, pipe_with};
use insula_sys::rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use insula_sys::rustix::termios::{Winsize, tcsetwinsize};

use crate::guest_log::Stream;

/// Input that the guest has not taken yet is at most this, and one frame more.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// What the monitor reads from and writes to.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) input: Option<OwnedFd>,
    pub(super) output: Option<OwnedFd>,
    pub(super) errors: Option<OwnedFd>,
    pub(super) terminal: Option<OwnedFd>,
    /// The guest's side of the terminal: while it is open the terminal has no end. A system closes
    /// its console and opens it again.
    terminal_peer: Option<OwnedFd>,
    /// What the guest has not taken yet.
    pending: Vec<u8>,
    ends_after_pending: bool,
}

/// The program's ends, until it has been started.
#[derive(Debug)]
pub(super) struct FarEnds {
    input: OwnedFd,
    output: OwnedFd,
    errors: OwnedFd,
}

/// What came of reading once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Bytes(usize),
    Nothing,
    /// No more can come.
    End,
}

fn null() -> Result<OwnedFd> {
    open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).step(|| "open /dev/null")
}

/// Points this process's own standard streams at nothing.
pub(crate) fn leave_standard_streams() -> Result<()> {
    let null = null()?;
    stand_in(&null, &null, &null)
}

fn stand_in(input: &OwnedFd, output: &OwnedFd, errors: &OwnedFd) -> Result<()> {
    dup2_stdin(input)
        .and_then(|()| dup2_stdout(output))
        .and_then(|()| dup2_stderr(errors))
        .step(|| "set the standard streams")
}

impl FarEnds {
    /// Makes them this process's standard streams, which a program that is started inherits.
    pub(super) fn stand_in(&self) -> Result<()> {
        stand_in(&self.input, &self.output, &self.errors)
    }
}

impl Streams {
    /// Pipes, with one for input only when it is wanted; a terminal brings its own.
    pub(super) fn make(has_terminal: bool, has_input: bool) -> Result<(Self, FarEnds)> {
        let mut streams = Self::default();
        if has_terminal {
            let (input, output, errors) = (null()?, null()?, null()?);
            let far = FarEnds {
                input,
                output,
                errors,
            };
            return Ok((streams, far));
        }
        let step = || "make the guest's pipes";
        let pipe = || pipe_with(PipeFlags::CLOEXEC).step(step);
        let input = match has_input {
            false => null()?,
            true => {
                let (far, near) = pipe()?;
                streams.input = Some(near);
                far
            }
        };
        let ((output, far_output), (errors, far_errors)) = (pipe()?, pipe()?);
        for near in [&output, &errors].into_iter().chain(&streams.input) {
            ioctl_fionbio(near, true).step(step)?;
        }
        (streams.output, streams.errors) = (Some(output), Some(errors));
        let far = FarEnds {
            input,
            output: far_output,
            errors: far_errors,
        };
        Ok((streams, far))
    }

    /// The terminal that the program was given.
    pub(super) fn set_terminal(&mut self, terminal: OwnedFd) -> Result<()> {
        ioctl_fionbio(&terminal, true).step(|| "set up the guest's terminal")?;
        self.keep_open(terminal);
        Ok(())
    }

    fn keep_open(&mut self, terminal: OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        // Without it output ends when the program has closed the terminal.
        self.terminal_peer = ioctl_tiocgptpeer(&terminal, flags).ok();
        self.terminal = Some(terminal);
    }

    /// The descriptors that output comes from.
    pub(super) fn sources(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        let all = [
            (Stream::Stdout, &self.output),
            (Stream::Stderr, &self.errors),
            (Stream::Terminal, &self.terminal),
        ];
        all.into_iter()
            .filter_map(|(stream, fd)| Some((stream, fd.as_ref()?.as_fd())))
    }

    /// Reads what is there. At the end of a stream it is closed.
    pub(super) fn take(&mut self, stream: Stream, buffer: &mut [u8]) -> Taken {
        let place = match stream {
            Stream::Stderr => &mut self.errors,
            Stream::Terminal => &mut self.terminal,
            _ => &mut self.output,
        };
        let Some(fd) = place else {
            return Taken::End;
        };
        match read(&*fd, buffer) {
            Ok(count @ 1..) => Taken::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Taken::Nothing,
            // EIO: nobody has the terminal open any more.
            Ok(_) | Err(_) => {
                *place = None;
                Taken::End
            }
        }
    }

    /// Where input goes to.
    pub(super) fn sink(&self) -> Option<BorrowedFd<'_>> {
        let sink = self.terminal.as_ref().or(self.input.as_ref());
        sink.map(AsFd::as_fd)
    }

    /// Whether input waits for the guest to take it.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether more input may be given.
    pub(super) fn takes_input(&self) -> bool {
        self.pending.len() < INPUT_BYTES_MAX
    }

    /// Gives input to the guest, or keeps it until it can be given.
    pub(super) fn give(&mut self, bytes: &[u8]) {
        if self.sink().is_none() {
            return;
        }
        self.pending.extend_from_slice(bytes);
        self.pass_on();
    }

    /// No more input comes.
    pub(super) fn end_input(&mut self) {
        self.ends_after_pending = true;
        self.pass_on();
    }

    /// Passes pending input on, as much as the guest takes.
    pub(super) fn pass_on(&mut self) {
        while !self.pending.is_empty() {
            let Some(sink) = self.sink() else {
                self.pending = Vec::new();
                break;
            };
            match write(sink, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The program has closed its input.
                Err(_) => {
                    self.pending = Vec::new();
                    self.input = None;
                }
            }
        }
        if self.ends_after_pending {
            self.input = None;
        }
        if self.pending.capacity() > INPUT_BYTES_MAX / 8 {
            self.pending = Vec::new();
        }
    }

    /// The size of the terminal, in characters.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        let Some(terminal) = &self.terminal else {
            return;
        };
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // A terminal that refuses a size keeps its own.
        let _ = tcsetwinsize(terminal, size);
    }

    /// All descriptors, by the names that a monitor that takes over is given.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &OwnedFd)> {
        let all = [
            ("input", &self.input),
            ("output", &self.output),
            ("errors", &self.errors),
            ("terminal", &self.terminal),
        ];
        all.into_iter()
            .filter_map(|(name, fd)| Some((name, fd.as_ref()?)))
    }

    /// Takes one of [`Streams::named`] on.
    pub(super) fn put(&mut self, name: &str, fd: OwnedFd) {
        match name {
            "input" => self.input = Some(fd),
            "output" => self.output = Some(fd),
            "errors" => self.errors = Some(fd),
            "terminal" => self.keep_open(fd),
            // Of a later version: let go of.
            _ => {}
        }
    }
}
