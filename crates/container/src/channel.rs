//! What the runtime and the process that becomes the container say to each other.
//!
//! A pair of sequenced-packet sockets, both ends closed by exec; each message is one packet whose
//! first byte is its kind. `start` meets the waiting container on a socket of its own and speaks
//! the same protocol. The end of the stream, without an error before it, means "the user's program
//! runs now", because only execve closes the container's end.
//!
//! ```text
//!  runtime                                container process
//!     │ ── Go(host pid) ───────────────────▶ │  mapped, recorded: go on
//!     │ ── Cgroup + descriptors ───────────▶ │  made: write to these to enter it
//!     │ ◀── Hooks ─────────────────────────  │  namespaces made
//!     │ ── Go ─────────────────────────────▶ │  createRuntime hooks have run
//!     │ ◀── Map(index) + descriptor ───────  │  a mount whose ids only the runtime may map
//!     │ ── Go ─────────────────────────────▶ │  mapped
//!     │ ◀── Terminal + descriptor ─────────  │
//!     │ ◀── Ready ─────────────────────────  │  all but the program's own start is done
//!     │ ── Go ─────────────────────────────▶ │  the state is on disk
//!     │ ◀── Warning ───────────────────────  │  done, but not all that was asked for
//!     │ ◀── Listener(number) ──────────────  │  seccomp: fetch this descriptor, answer Go
//!     │ ◀── Error ─────────── or the end ──  │
//! ```

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use insula_sys::rustix::io::{IoSlice, IoSliceMut};
use insula_sys::rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use insula_sys::{Errno, last_mile};

use crate::error::{Context, Error, Kind, Result};

/// Error texts longer than this are cut: a packet must fit the socket's buffer.
const MESSAGE_SIZE_MAX: usize = 8192;

/// More hierarchies of version 1 than any kernel has controllers, and some named ones.
const CGROUP_FILES_MAX: usize = 32;

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
}

/// A message of the container process.
#[derive(Debug)]
pub(crate) enum Event {
    Hooks,
    /// Asks for its process id on the host, and nothing else.
    Pid,
    Ready,
    Terminal(OwnedFd),
    /// A detached mount of the entry of `mounts` with this index, to be given its ids.
    Map(usize, OwnedFd),
    /// The number, in the container process, of the seccomp listener.
    Listener(i32),
    /// Something was left out; it goes on.
    Warning(Error),
    Failed(Error),
    /// The container process's end is closed.
    End,
}

/// What is asked with [`Channel::send`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request {
    Hooks = b'H' as isize,
    Pid = b'P' as isize,
    Ready = b'R' as isize,
}

/// First bytes of the packets that carry more than their kind.
const GO: u8 = b'G';
const CGROUP: u8 = b'C';
const TERMINAL: u8 = b'T';
const MAP: u8 = b'M';
const WARNING: u8 = b'W';
const FAILED: u8 = b'E';
/// The last mile's packets: eight bytes of kind, then numbers.
pub(crate) const LISTENER_TAG: u64 = b'L' as u64;

impl Channel {
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .step(|| "make the socket pair to the container process")?;
        Ok((Self { socket: ours }, Self { socket: theirs }))
    }

    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// In the container process: closes the copy of the runtime's end that clone3 made. Only the
    /// copy's number is known here, because the runtime still owns its own.
    pub(crate) fn close_copy(&self) {
        insula_sys::descriptor::close_copy(self.socket.as_fd());
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Container: asks the runtime for something.
    pub(crate) fn send(&self, request: Request) -> Result<()> {
        self.write(&[request as u8])
    }

    /// Container: reports why it cannot go on.
    pub(crate) fn send_error(&self, error: &Error) {
        self.send_text(FAILED, error);
    }

    /// Container: reports what it goes on without.
    pub(crate) fn send_warning(&self, warning: &Error) {
        self.send_text(WARNING, warning);
    }

    fn send_text(&self, tag: u8, error: &Error) {
        let mut packet = vec![tag, error.kind_of() as u8];
        packet.extend_from_slice(error.chain().as_bytes());
        if let Some(hint) = error.hint_text() {
            packet.push(0);
            packet.extend_from_slice(hint.as_bytes());
        }
        packet.truncate(MESSAGE_SIZE_MAX);
        // The runtime may be gone; then nobody is left to be told.
        drop(self.write(&packet));
    }

    /// Container: hands over the terminal's controlling side.
    pub(crate) fn send_terminal(&self, terminal: BorrowedFd<'_>) -> Result<()> {
        self.send_with(&[TERMINAL], terminal)
            .step(|| "hand the terminal to the runtime")
    }

    /// Container: asks the runtime to map the ids of a detached mount; answered with a Go.
    pub(crate) fn send_to_map(&self, index: usize, tree: BorrowedFd<'_>) -> Result<()> {
        let [a, b, c, d] = u32::try_from(index).unwrap_or(u32::MAX).to_ne_bytes();
        self.send_with(&[MAP, a, b, c, d], tree)
            .step(|| "hand the mount to the runtime")
    }

    fn send_with(&self, packet: &[u8], fd: BorrowedFd<'_>) -> insula_sys::Result<()> {
        let mut space = [MaybeUninit::uninit(); insula_sys::rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(
            &self.socket,
            &[IoSlice::new(packet)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .map(drop)
    }

    /// Runtime: lets the container process go on and tells it its process id on the host.
    pub(crate) fn send_go(&self, pid: i32) -> Result<()> {
        let [a, b, c, d] = pid.to_ne_bytes();
        match self.write(&[GO, a, b, c, d]) {
            // It has ended already, and why is what the next read says.
            Err(error) if error.errno() == Some(Errno::PIPE) => Ok(()),
            other => other,
        }
    }

    /// Container: waits for [`Channel::send_go`]. An end of stream means that the runtime was
    /// killed, and that this process has to vanish.
    pub(crate) fn wait_go(&self) -> Result<i32> {
        let mut packet = [0; 5];
        match self.read(&mut packet)?.0 {
            5 if packet[0] == GO => {
                let [_, a, b, c, d] = packet;
                Ok(i32::from_ne_bytes([a, b, c, d]))
            }
            _ => Err(Error::new(
                "the runtime ended before the container was ready",
            )),
        }
    }

    /// Runtime: hands over what the process writes to in order to enter its cgroup.
    pub(crate) fn send_cgroup(&self, files: &[OwnedFd]) -> Result<()> {
        if files.len() > CGROUP_FILES_MAX {
            return Err(Error::new(format!(
                "{} cgroup hierarchies are mounted, more than the {CGROUP_FILES_MAX} that a \
                 container can join",
                files.len()
            )));
        }
        let files: Vec<_> = files.iter().map(OwnedFd::as_fd).collect();
        let mut space =
            [MaybeUninit::uninit(); insula_sys::rustix::cmsg_space!(ScmRights(CGROUP_FILES_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&files));
        }
        let packet = [IoSlice::new(&[CGROUP])];
        match sendmsg(&self.socket, &packet, &mut control, SendFlags::NOSIGNAL) {
            // As for `send_go`.
            Ok(_) | Err(Errno::PIPE) => Ok(()),
            Err(errno) => Err(errno).step(|| "hand the cgroup to the container process"),
        }
    }

    /// Container: waits for [`Channel::send_cgroup`].
    pub(crate) fn wait_cgroup(&self) -> Result<Vec<OwnedFd>> {
        let mut packet = [0];
        match self.read(&mut packet)? {
            (1, files) if packet == [CGROUP] => Ok(files),
            _ => Err(Error::new("the runtime ended before the cgroup was made")),
        }
    }

    /// Runtime: the process id that the process in between sends with [`Channel::send_go`], or its
    /// error.
    pub(crate) fn wait_pid_or_error(&self) -> Result<i32> {
        let mut packet = vec![0; MESSAGE_SIZE_MAX];
        let (length, _) = self.read(&mut packet)?;
        match packet[..length] {
            [GO, a, b, c, d] => Ok(i32::from_ne_bytes([a, b, c, d])),
            [FAILED, kind, ref text @ ..] => Err(error_of(kind, text)),
            _ => Err(Error::new(
                "the process between runtime and container ended early",
            )),
        }
    }

    fn write(&self, packet: &[u8]) -> Result<()> {
        insula_sys::rustix::net::send(&self.socket, packet, SendFlags::NOSIGNAL)
            .map(drop)
            .step(|| "write to the other side of the container's start")
    }

    fn read(&self, packet: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
        let mut space =
            [MaybeUninit::uninit(); insula_sys::rustix::cmsg_space!(ScmRights(CGROUP_FILES_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut buffer = [IoSliceMut::new(packet)];
            match recvmsg(
                &self.socket,
                &mut buffer,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                // ECONNRESET comes once, before what is still to be read, when the other side ended
                // with a message of ours unread; its own last words follow.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                other => {
                    break other.step(|| "read from the other side of the container's start")?;
                }
            }
        };
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(Error::new("a message of the container process is too long"));
        }
        let fds = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        Ok((received.bytes, fds.flatten().collect()))
    }

    /// Runtime: the container process's next message.
    pub(crate) fn receive(&self) -> Result<Event> {
        let mut packet = vec![0; MESSAGE_SIZE_MAX];
        let (length, fds) = self.read(&mut packet)?;
        let packet = &packet[..length];
        Ok(match (packet.first().copied(), fds.into_iter().next()) {
            (None, _) => Event::End,
            (Some(b'H'), _) => Event::Hooks,
            (Some(b'P'), _) => Event::Pid,
            (Some(b'R'), _) => Event::Ready,
            (Some(TERMINAL), Some(fd)) => Event::Terminal(fd),
            (Some(MAP), Some(fd)) => {
                let index = packet[1..].try_into().map_or(u32::MAX, u32::from_ne_bytes);
                Event::Map(usize::try_from(index).unwrap_or(usize::MAX), fd)
            }
            (Some(WARNING), _) if length > 1 => Event::Warning(error_of(packet[1], &packet[2..])),
            (Some(FAILED), _) if length > 1 => Event::Failed(error_of(packet[1], &packet[2..])),
            (Some(_), _) => numbers_of(packet),
        })
    }
}

fn error_of(kind: u8, text: &[u8]) -> Error {
    let kinds = [Kind::ProgramNotFound, Kind::ProgramNotExecutable];
    let kind = kinds
        .into_iter()
        .find(|known| *known as u8 == kind)
        .unwrap_or_default();
    let mut parts = text.splitn(2, |byte| *byte == 0);
    let mut part = || {
        parts
            .next()
            .map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let error = Error::new(part().unwrap_or_default()).kind(kind);
    match part() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn numbers_of(packet: &[u8]) -> Event {
    let mut words = packet
        .chunks_exact(8)
        .map(|word| word.try_into().map_or(0, u64::from_ne_bytes));
    let (tag, first, second) = (words.next(), words.next(), words.next());
    match (tag, first, second) {
        (Some(LISTENER_TAG), Some(number), _) => {
            Event::Listener(i32::try_from(number).unwrap_or(-1))
        }
        (Some(last_mile::REPORT_TAG), Some(label), Some(errno)) => Event::Failed(
            crate::launch::failure(label, i32::try_from(errno).unwrap_or(0)),
        ),
        _ => Event::Failed(Error::new("the container process sent an unknown message")),
    }
}
