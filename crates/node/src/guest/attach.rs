//! A command's side of an attached guest: its own standard streams on one hand, the monitor's
//! socket on the other.
//!
//! On a terminal the keys ctrl-p ctrl-q leave the guest running. A monitor that is killed meanwhile
//! is found again.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use insula_container::error::{Context, Error, Result};
use insula_sys::Errno;
use insula_sys::process::{SignalFd, block_signals};
use insula_sys::rustix::event::{PollFd, PollFlags, poll};
use insula_sys::rustix::io::{read, write};
use insula_sys::rustix::process::Signal;
use insula_sys::rustix::stdio::{stderr, stdin, stdout};
use insula_sys::rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

use super::find::{Status, find};
use super::place::Place;
use super::protocol::{self, End, Envelope, FrameKind, Reply, Request, VERSION};
use super::{live, signal};

/// So much is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// How to be attached.
#[derive(Debug, Clone)]
pub struct AttachOptions {
    /// Give our standard input to the guest, where it takes any.
    pub input: bool,
    /// Pass the signals we get on.
    pub signals: bool,
    /// Keys that leave the guest running, in order; none when empty.
    pub detach_keys: Vec<u8>,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            input: true,
            signals: true,
            // ctrl-p ctrl-q
            detach_keys: vec![0x10, 0x11],
        }
    }
}

/// How a command and its guest parted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parting {
    Ended(Ending),
    /// The user left, and the guest goes on.
    Detached,
}

/// A guest's end, as its monitor tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    pub exit_code: Option<i32>,
    pub left_behind: Option<String>,
}

impl From<End> for Ending {
    fn from(end: End) -> Self {
        Self {
            exit_code: end.exit_code,
            left_behind: end.left_behind,
        }
    }
}

/// Joins a guest that is up until it ends or the user leaves.
///
/// # Errors
/// There is none of this name, or it is not up.
pub fn attach(place: &Place, name: &str, options: &AttachOptions) -> Result<Parting> {
    let guest = find(place, name)?;
    let name = guest.record.name.clone();
    match guest.status {
        Status::Created | Status::Exited => return Err(live::not_running(&name)),
        Status::Paused => {
            return Err(
                Error::new(format!("`{name}` is paused")).hint(format!("insula resume {name}"))
            );
        }
        _ => {}
    }
    let id = guest.record.id;
    let socket = join(place, &id)?;
    let signals = block_signals().step(|| "hold signals back")?;
    let config = &guest.record.config;
    let relay = Relay::new(socket, config.terminal, config.interactive, options);
    relay.carry(&signals, &mut || rejoin(place, &id))
}

/// A connection that is attached.
fn join(place: &Place, id: &str) -> Result<UnixStream> {
    let mut socket = live::connect(&place.live(id))?;
    ask(&mut socket, Request::Attach)?;
    Ok(socket)
}

/// The same guest under a new monitor, or `None` when it is over.
fn rejoin(place: &Place, id: &str) -> Option<UnixStream> {
    let guest = find(place, id).ok()?;
    guest.status.is_up().then(|| join(place, id).ok())?
}

/// Asks a monitor for something and hears its answer.
pub(super) fn ask(socket: &mut UnixStream, request: Request) -> Result<()> {
    let envelope = Envelope {
        version: VERSION,
        request,
    };
    let json = serde_json::to_vec(&envelope).step(|| "write a request")?;
    let talk = || "talk to the guest's monitor";
    protocol::send(socket, FrameKind::Request, &json).step(talk)?;
    match protocol::receive(socket).step(talk)? {
        Some((FrameKind::Reply, json)) => serde_json::from_slice::<Reply>(&json)
            .step(|| "read the answer of the guest's monitor")?
            .into_result(),
        _ => Err(Error::new("the guest's monitor ended before it answered")),
    }
}

/// Carries bytes between our standard streams and a monitor.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    socket: UnixStream,
    has_terminal: bool,
    is_input_open: bool,
    options: &'a AttachOptions,
    /// How many of the keys that detach have been typed.
    typed: usize,
    is_detached: bool,
    received: Vec<u8>,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        socket: UnixStream,
        has_terminal: bool,
        takes_input: bool,
        options: &'a AttachOptions,
    ) -> Self {
        Self {
            socket,
            has_terminal,
            is_input_open: takes_input && options.input,
            options,
            typed: 0,
            is_detached: false,
            received: Vec::new(),
        }
    }

    /// Goes on until the guest has ended or the user leaves. `again` finds a new connection when the
    /// monitor is gone.
    pub(super) fn carry(
        mut self,
        signals: &SignalFd,
        again: &mut dyn FnMut() -> Option<UnixStream>,
    ) -> Result<Parting> {
        let is_raw = self.has_terminal && self.is_input_open;
        let _raw = is_raw.then(RawMode::enter);
        if self.has_terminal {
            self.send_size();
        }
        loop {
            let [from_monitor, from_user, signalled] = self.wait(signals)?;
            if from_user {
                self.take_input();
            }
            if signalled {
                self.take_signals(signals);
            }
            if self.is_detached {
                return Ok(Parting::Detached);
            }
            if !from_monitor {
                continue;
            }
            match self.take_frames()? {
                Heard::End(end) => return Ok(Parting::Ended(end.into())),
                Heard::More => {}
                Heard::Nothing => match again() {
                    Some(socket) => {
                        self.socket = socket;
                        self.received.clear();
                    }
                    None => return Ok(Parting::Ended(Ending::default())),
                },
            }
        }
    }

    fn wait(&self, signals: &SignalFd) -> Result<[bool; 3]> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        if self.is_input_open {
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            other => drop(other.step(|| "wait for the guest")?),
        }
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok([is_ready(0), is_ready(2), is_ready(1)])
    }

    fn take_input(&mut self) {
        let mut buffer = [0; 16 << 10];
        match read(stdin(), &mut buffer) {
            Ok(count @ 1..) => {
                let bytes = self.without_keys(&buffer[..count]);
                self.tell(FrameKind::Input, &bytes);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Ok(_) | Err(_) => {
                self.is_input_open = false;
                self.tell(FrameKind::EndOfInput, &[]);
            }
        }
    }

    /// Looks for the keys that detach. Those that were typed and are not followed by the rest go on
    /// to the guest.
    fn without_keys(&mut self, bytes: &[u8]) -> Vec<u8> {
        let keys = &self.options.detach_keys;
        if !self.has_terminal || keys.is_empty() {
            return bytes.to_vec();
        }
        let mut passed = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if byte == keys[self.typed] {
                self.typed += 1;
                if self.typed == keys.len() {
                    self.is_detached = true;
                    return passed;
                }
                continue;
            }
            passed.extend_from_slice(&keys[..self.typed]);
            self.typed = usize::from(byte == keys[0]);
            if self.typed == 0 {
                passed.push(byte);
            }
        }
        passed
    }

    fn take_signals(&mut self, signals: &SignalFd) {
        while let Ok(Some(number)) = signals.read() {
            if number == Signal::CHILD.as_raw() {
                continue;
            }
            if number == Signal::WINCH.as_raw() && self.has_terminal {
                self.send_size();
            } else if self.options.signals {
                self.tell(FrameKind::Signal, &[u8::try_from(number).unwrap_or(0)]);
            } else if is_fatal(number) {
                self.is_detached = true;
            }
        }
    }

    fn send_size(&mut self) {
        if let Ok(size) = tcgetwinsize(stdin()) {
            let ([a, b], [c, d]) = (size.ws_row.to_le_bytes(), size.ws_col.to_le_bytes());
            self.tell(FrameKind::Size, &[a, b, c, d]);
        }
    }

    /// To a monitor that is gone nothing can be told; that is heard next.
    fn tell(&mut self, kind: FrameKind, content: &[u8]) {
        let _ = protocol::send(&mut self.socket, kind, content);
    }

    fn take_frames(&mut self) -> Result<Heard> {
        let mut buffer = vec![0; BUFFER_BYTES];
        match read(&self.socket, buffer.as_mut_slice()) {
            Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Heard::Nothing),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => return Ok(Heard::More),
            Err(errno) => return Err(errno).step(|| "hear from the guest's monitor"),
        }
        let mut start = 0;
        let heard = loop {
            let Some((kind, content, next)) = frame(&self.received, start)? else {
                break Heard::More;
            };
            match kind {
                FrameKind::Output => write_all(stdout(), content),
                FrameKind::Errors => write_all(stderr(), content),
                FrameKind::Ended => {
                    let end = serde_json::from_slice(content);
                    break Heard::End(end.step(|| "read how the guest ended")?);
                }
                _ => {}
            }
            start = next;
        };
        self.received.drain(..start);
        Ok(heard)
    }
}

/// A whole frame that has come, and where the next one begins.
fn frame(bytes: &[u8], start: usize) -> Result<Option<(FrameKind, &[u8], usize)>> {
    let begin = start + protocol::HEAD_BYTES;
    let Some(head) = bytes
        .get(start..begin)
        .and_then(|head| head.try_into().ok())
    else {
        return Ok(None);
    };
    let (kind, length) = protocol::parse_head(head)
        .ok_or_else(|| Error::new("the guest's monitor speaks another version"))?;
    let content = bytes.get(begin..begin + length);
    Ok(content.map(|content| (kind, content, begin + length)))
}

/// What the monitor said.
enum Heard {
    More,
    End(End),
    /// It is gone.
    Nothing,
}

fn is_fatal(number: i32) -> bool {
    [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]
        .iter()
        .any(|signal| signal.as_raw() == number)
}

/// A reader of ours that has gone away takes no more; the guest goes on.
fn write_all(to: std::os::fd::BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                if poll(&mut fds, None).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
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
            // Line ends of the guest's terminal come without a carriage return.
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
            // What follows begins at the left.
            let _ = std::io::stdout().flush();
        }
    }
}

/// Waits on a connection for the guest's end.
pub(super) fn hear_end(place: &Place, id: &str, mut socket: UnixStream) -> Result<Option<i32>> {
    loop {
        match protocol::receive(&mut socket) {
            Ok(Some((FrameKind::Ended, json))) => {
                let end: End = serde_json::from_slice(&json).step(|| "read how the guest ended")?;
                return Ok(end.exit_code);
            }
            Ok(Some(_)) => {}
            // The monitor is gone: who asks next knows why.
            Ok(None) | Err(_) => return signal::wait(place, id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(options: &AttachOptions) -> Relay<'_> {
        let (socket, _) = UnixStream::pair().unwrap();
        Relay::new(socket, true, true, options)
    }

    #[test]
    fn the_keys_that_detach_are_kept_back_and_others_are_not() {
        let options = AttachOptions::default();
        let mut relay = relay(&options);
        assert_eq!(relay.without_keys(b"ab\x10"), b"ab");
        assert_eq!(relay.without_keys(b"c"), b"\x10c");
        assert_eq!(relay.without_keys(b"\x10\x10"), b"\x10");
        assert!(!relay.is_detached);
        assert_eq!(relay.without_keys(b"\x11rest"), b"");
        assert!(relay.is_detached);
    }

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        let mut wire = Vec::new();
        protocol::send(&mut wire, FrameKind::Output, b"abc").unwrap();
        for length in 0..wire.len() {
            assert!(frame(&wire[..length], 0).unwrap().is_none());
        }
        let (kind, content, next) = frame(&wire, 0).unwrap().unwrap();
        assert_eq!(
            (kind, content, next),
            (FrameKind::Output, &b"abc"[..], wire.len())
        );
        assert!(frame(b"\xff\0\0\0\0", 0).is_err());
    }
}
