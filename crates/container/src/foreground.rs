//! A program in the foreground: its exit status, the signals it is sent through us, and its
//! terminal.

use std::os::fd::{AsFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::process::{SignalFd, pidfd_send_signal, try_wait};
use insula_sys::rustix::event::{PollFd, PollFlags, poll};
use insula_sys::rustix::io::{read, write};
use insula_sys::rustix::process::Signal;
use insula_sys::rustix::stdio::{stdin, stdout};
use insula_sys::rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::error::{Context, Result};

/// Waits for the program and returns its exit code (128 + signal when a signal ended it). All
/// signals that reach this process go on to the program.
pub(crate) fn wait(pidfd: &OwnedFd, signals: &SignalFd, terminal: Option<&OwnedFd>) -> Result<i32> {
    let raw = terminal.map(|_| RawMode::enter());
    if let Some(terminal) = terminal {
        copy_size(terminal);
    }
    let code = relay(pidfd, signals, terminal);
    drop(raw);
    code
}

fn relay(pidfd: &OwnedFd, signals: &SignalFd, terminal: Option<&OwnedFd>) -> Result<i32> {
    let mut is_input_open = terminal.is_some();
    let mut is_output_open = terminal.is_some();
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if let Some(terminal) = terminal.filter(|_| is_output_open) {
            fds.push(PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN));
            if is_input_open {
                fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
            }
        }
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other.step(|| "wait for the container's program")?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if let Some(terminal) = terminal {
            if ready.get(2) == Some(&true) {
                is_output_open = copy(terminal.as_fd(), stdout());
            }
            if ready.get(3) == Some(&true) {
                is_input_open = copy(stdin(), terminal.as_fd());
            }
        }
        if ready[1] {
            forward(pidfd, signals, terminal)?;
        }
        if ready[0]
            && let Some(exit) = try_wait(pidfd.as_fd()).step(|| "reap the program")?
        {
            if let Some(terminal) = terminal {
                drain(terminal);
            }
            return Ok(exit.code());
        }
    }
}

/// Sends the pending signals on, but for those that tell of our own children and terminal.
fn forward(pidfd: &OwnedFd, signals: &SignalFd, terminal: Option<&OwnedFd>) -> Result<()> {
    while let Some(number) = signals.read().step(|| "read signals")? {
        if number == Signal::CHILD.as_raw() {
            continue;
        }
        if number == Signal::WINCH.as_raw()
            && let Some(terminal) = terminal
        {
            copy_size(terminal);
            continue;
        }
        match pidfd_send_signal(pidfd.as_fd(), number) {
            Ok(()) | Err(Errno::SRCH) => {}
            other => other.step(|| format!("send signal {number} to the program"))?,
        }
    }
    Ok(())
}

/// Copies what is there; false when no more can come.
fn copy(from: std::os::fd::BorrowedFd<'_>, to: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 8192];
    match read(from, &mut buffer) {
        Ok(0) => false,
        Ok(length) => write_all(to, &buffer[..length]),
        Err(Errno::INTR | Errno::AGAIN) => true,
        // EIO: the last process that had the terminal open has closed it.
        Err(_) => false,
    }
}

fn write_all(to: std::os::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                if poll(&mut fds, None).is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

/// What the program printed before it ended is still in the terminal.
fn drain(terminal: &OwnedFd) {
    use insula_sys::rustix::event::Timespec;
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        let mut fds = [PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::IN)];
        let is_ready = matches!(poll(&mut fds, Some(&now)), Ok(1..));
        if !is_ready || !copy(terminal.as_fd(), stdout()) {
            return;
        }
    }
}

fn copy_size(terminal: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        // A terminal that refuses a size keeps its own.
        let _ = tcsetwinsize(terminal, size);
    }
}

/// Our own terminal in raw mode, put back on drop.
struct RawMode(Option<Termios>);

impl RawMode {
    fn enter() -> Self {
        if !isatty(stdin()) {
            return Self(None);
        }
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // Line ends of the container's terminal come without a carriage return.
            raw.output_modes.insert(OutputModes::OPOST);
            let _ = tcsetattr(stdin(), OptionalActions::Now, &raw);
        }
        Self(before)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}
