//! A whole terminal for one program: keys come one by one, frames are drawn as a whole.
//!
//! The terminal is given back as it was, also when the program is asked to end by a signal: signals
//! are read here like keys.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use insula_sys::Errno;
use insula_sys::process::{SignalFd, block_signals, unblock_signals};
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::io::read;
use insula_sys::rustix::process::Signal;
use insula_sys::rustix::stdio::{stdin, stdout};
use insula_sys::rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

/// The other screen, an invisible cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// A terminal taken over until this is dropped.
#[derive(Debug)]
pub struct Screen {
    before: Termios,
    signals: SignalFd,
}

/// What the user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Character(char),
    Enter,
    Escape,
    Up,
    Down,
    /// Ctrl-C, or a signal that asks to end.
    End,
    /// Nothing in the time given, or the terminal has another size now.
    None,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// Standard input or output is no terminal.
    pub fn enter() -> io::Result<Self> {
        if !isatty(stdin()) || !isatty(stdout()) {
            return Err(io::Error::other(
                "standard input and output are no terminal",
            ));
        }
        let before = tcgetattr(stdin())?;
        let signals = block_signals()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before, signals };
        screen.write(ENTER)?;
        Ok(screen)
    }

    /// Rows and columns.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                (size.ws_row.into(), size.ws_col.into())
            }
            _ => (24, 80),
        }
    }

    /// Draws lines from the top, in one write; what is left of earlier ones goes.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut frame = String::from("\x1b[H");
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\x1b[0m\x1b[K");
        }
        frame.push_str("\x1b[J");
        self.write(frame.as_bytes())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Waits for a key.
    #[must_use]
    pub fn key(&self, at_most: Duration) -> Key {
        let limit = Timespec::try_from(at_most).ok();
        let mut fds = [
            PollFd::from_borrowed_fd(stdin(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Key::End,
        }
        if !fds[1].revents().is_empty() {
            return self.signal();
        }
        if fds[0].revents().is_empty() {
            return Key::None;
        }
        let mut bytes = [0; 8];
        match read(stdin(), &mut bytes) {
            Ok(0) | Err(_) => Key::End,
            Ok(count) => parse(&bytes[..count]),
        }
    }

    fn signal(&self) -> Key {
        let mut key = Key::None;
        while let Ok(Some(number)) = self.signals.read() {
            let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
            if ends.iter().any(|signal| signal.as_raw() == number) {
                key = Key::End;
            }
        }
        key
    }
}

fn parse(bytes: &[u8]) -> Key {
    match bytes {
        [0x03, ..] => Key::End,
        [b'\r' | b'\n', ..] => Key::Enter,
        [0x1b, b'[' | b'O', b'A', ..] => Key::Up,
        [0x1b, b'[' | b'O', b'B', ..] => Key::Down,
        [0x1b] => Key::Escape,
        [byte @ 0x20..0x7f, ..] => Key::Character(char::from(*byte)),
        _ => Key::None,
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that is gone.
        let _ = self.write(LEAVE);
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
        unblock_signals();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_terminals_send() {
        assert_eq!(parse(b"\x1b[A"), Key::Up);
        assert_eq!(parse(b"\x1bOB"), Key::Down);
        assert_eq!(parse(b"\x1b"), Key::Escape);
        assert_eq!(parse(b"q"), Key::Character('q'));
        assert_eq!(parse(b"\x03"), Key::End);
        assert_eq!(parse(b"\x1b[1;5C"), Key::None);
    }
}
