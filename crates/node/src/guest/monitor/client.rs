//! One connection of a command to the monitor. Nothing here blocks: what a client does not take yet
//! is kept, and while it is, the monitor does not read more of the guest's output.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use insula_sys::Errno;
use insula_sys::rustix::io::{IoSlice, read, writev};

use super::super::protocol::{self, CONTENT_BYTES_MAX, FrameKind, HEAD_BYTES, Reply};

/// What a client is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not asked yet.
    New,
    /// Takes output and gives input.
    Attached,
    /// Wants to know that the guest has started.
    Starting,
    /// Wants to know how the guest ends.
    Waiting,
    /// Has asked for a stop and waits for it to be done.
    Stopping { restarts: bool },
}

#[derive(Debug)]
pub(super) struct Client {
    socket: UnixStream,
    pub(super) role: Role,
    received: Vec<u8>,
    pending: Vec<u8>,
    pub(super) is_gone: bool,
}

impl Client {
    pub(super) fn new(socket: UnixStream, role: Role) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            role,
            received: Vec::new(),
            pending: Vec::new(),
            is_gone: false,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reads what has come.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) {
        match read(&self.socket, &mut *buffer) {
            Ok(0) => self.is_gone = true,
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.is_gone = true,
        }
    }

    /// The next whole frame that has come.
    pub(super) fn next(&mut self) -> Option<(FrameKind, Vec<u8>)> {
        let head: [u8; HEAD_BYTES] = self.received.get(..HEAD_BYTES)?.try_into().ok()?;
        let Some((kind, length)) = protocol::parse_head(head) else {
            // Not one of ours: whoever it is, it is not served.
            self.is_gone = true;
            return None;
        };
        let end = HEAD_BYTES + length;
        let content = self.received.get(HEAD_BYTES..end)?.to_vec();
        self.received.drain(..end);
        if self.received.is_empty() && self.received.capacity() > 4096 {
            self.received = Vec::new();
        }
        Some((kind, content))
    }

    /// Answers the request.
    pub(super) fn reply(&mut self, reply: &Reply) {
        let json = serde_json::to_vec(reply).unwrap_or_default();
        self.send(FrameKind::Reply, &json);
    }

    /// Sends bytes of the guest as frames.
    pub(super) fn send(&mut self, kind: FrameKind, mut content: &[u8]) {
        loop {
            let (now, rest) = content.split_at(content.len().min(CONTENT_BYTES_MAX));
            self.send_frame(kind, now);
            content = rest;
            if content.is_empty() {
                return;
            }
        }
    }

    fn send_frame(&mut self, kind: FrameKind, content: &[u8]) {
        if self.is_gone {
            return;
        }
        let head = protocol::head(kind, content.len());
        let mut sent = 0;
        if self.pending.is_empty() {
            let parts = [IoSlice::new(&head), IoSlice::new(content)];
            match writev(&self.socket, &parts) {
                Ok(count) => sent = count,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => {
                    self.is_gone = true;
                    return;
                }
            }
        }
        let of_head = sent.min(HEAD_BYTES);
        self.pending.extend_from_slice(&head[of_head..]);
        self.pending.extend_from_slice(&content[sent - of_head..]);
    }

    /// Sends what was kept, as much as the client takes.
    pub(super) fn pass_on(&mut self) {
        while !self.pending.is_empty() && !self.is_gone {
            match insula_sys::rustix::io::write(&self.socket, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.is_gone = true,
            }
        }
        if self.pending.is_empty() && self.pending.capacity() > 4096 {
            self.pending = Vec::new();
        }
    }

    /// Sends all that was kept, for the monitor is about to end. A client that does not take it
    /// for ten seconds does without.
    pub(super) fn flush(&mut self) {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
        let is_set = self.socket.set_nonblocking(false).is_ok()
            && self.socket.set_write_timeout(Some(PATIENCE)).is_ok();
        if is_set {
            self.pass_on();
        }
    }
}
