//! What a command and a guest's monitor say to each other over the monitor's socket. Version 1.
//!
//! ```text
//!  frame     kind (1 byte), length of the content (4 bytes, little endian), content
//!
//!  command ──Request──▶ monitor     one, in JSON
//!          ◀──Reply────             one, in JSON; `attach` goes on:
//!          ──Input, EndOfInput, Size, Signal──▶
//!          ◀──Output, Errors────    what the guest writes
//!          ◀──Ended────             its last run has ended; in JSON; the connection closes
//! ```
//!
//! Both sides are processes of one user, but neither is trusted with a length.

use std::io::{self, Read, Write};

use insula_container::error::{Error, Kind};
use serde::{Deserialize, Serialize};

pub(crate) const VERSION: u32 = 1;
pub(crate) const HEAD_BYTES: usize = 5;
/// No frame is longer.
pub(crate) const CONTENT_BYTES_MAX: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Request = 1,
    Reply = 2,
    Input = 3,
    EndOfInput = 4,
    /// Rows and columns, two bytes each, little endian.
    Size = 5,
    /// A signal's number, one byte.
    Signal = 6,
    Output = 7,
    Errors = 8,
    Ended = 9,
}

impl FrameKind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Request,
            2 => Self::Reply,
            3 => Self::Input,
            4 => Self::EndOfInput,
            5 => Self::Size,
            6 => Self::Signal,
            7 => Self::Output,
            8 => Self::Errors,
            9 => Self::Ended,
            _ => return None,
        })
    }
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", tag = "verb")]
pub(crate) enum Request {
    /// Output from now on, and input.
    Attach,
    /// Stop the guest: `signal` or its own stop signal, and the hard way after `timeout_ms`
    /// (absent: never). Answered when it has ended.
    Stop {
        signal: Option<i32>,
        timeout_ms: Option<u64>,
        /// And start it again.
        restart: bool,
    },
    /// A signal that ends the guest ends it for good.
    Signal {
        number: i32,
    },
    /// Answered at once; `Ended` follows.
    Wait,
    Rename {
        name: String,
    },
    /// The record's configuration was changed: JSON of the options.
    Configure {
        config: Box<crate::run::RunOptions>,
    },
}

/// A request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Envelope {
    pub(crate) version: u32,
    #[serde(flatten)]
    pub(crate) request: Request,
}

/// The monitor's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Reply {
    pub(crate) error: Option<String>,
    pub(crate) hint: Option<String>,
    kind: u8,
}

impl Reply {
    pub(crate) fn of(error: &Error) -> Self {
        Self {
            error: Some(error.chain()),
            hint: error.hint_text().map(str::to_owned),
            kind: match error.kind_of() {
                Kind::Other | Kind::Interrupted => 0,
                Kind::ProgramNotFound => 1,
                Kind::ProgramNotExecutable => 2,
                Kind::NotFound => 3,
                Kind::Exists => 4,
            },
        }
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        let Some(text) = self.error else {
            return Ok(());
        };
        let kind = match self.kind {
            1 => Kind::ProgramNotFound,
            2 => Kind::ProgramNotExecutable,
            3 => Kind::NotFound,
            4 => Kind::Exists,
            _ => Kind::Other,
        };
        let error = Error::new(text).kind(kind);
        Err(match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }
}

/// The end of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct End {
    /// Unknown when the monitor had to take over and the kernel could not tell.
    pub(crate) exit_code: Option<i32>,
    pub(crate) oom_killed: bool,
    /// Something of it could not be removed.
    pub(crate) left_behind: Option<String>,
    /// It could not be started again.
    pub(crate) error: Option<String>,
}

/// The head of a frame.
#[must_use]
pub(crate) fn head(kind: FrameKind, length: usize) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    [kind as u8, length[0], length[1], length[2], length[3]]
}

/// Kind and length that a head names; `None` when it is no head of this version.
#[must_use]
pub(crate) fn parse_head(head: [u8; HEAD_BYTES]) -> Option<(FrameKind, usize)> {
    let kind = FrameKind::of(head[0])?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    let length = usize::try_from(length).ok()?;
    (length <= CONTENT_BYTES_MAX).then_some((kind, length))
}

/// Sends one frame.
pub(crate) fn send(to: &mut impl Write, kind: FrameKind, content: &[u8]) -> io::Result<()> {
    to.write_all(&head(kind, content.len()))?;
    to.write_all(content)
}

/// Receives one frame; `None` at the end of the conversation.
pub(crate) fn receive(from: &mut impl Read) -> io::Result<Option<(FrameKind, Vec<u8>)>> {
    let mut bytes = [0; HEAD_BYTES];
    match from.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let Some((kind, length)) = parse_head(bytes) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the monitor speaks another version",
        ));
    };
    let mut content = vec![0; length];
    from.read_exact(&mut content)?;
    Ok(Some((kind, content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_as_they_were_sent() {
        let mut wire = Vec::new();
        send(&mut wire, FrameKind::Output, b"a\0b").unwrap();
        send(&mut wire, FrameKind::EndOfInput, b"").unwrap();
        let mut reader = &wire[..];
        let frame = receive(&mut reader).unwrap().unwrap();
        assert_eq!(frame, (FrameKind::Output, b"a\0b".to_vec()));
        let frame = receive(&mut reader).unwrap().unwrap();
        assert_eq!(frame, (FrameKind::EndOfInput, Vec::new()));
        assert!(receive(&mut reader).unwrap().is_none());
    }

    #[test]
    fn hostile_lengths_and_kinds_are_refused() {
        assert!(receive(&mut &b"\x07\xff\xff\xff\xff"[..]).is_err());
        assert!(receive(&mut &b"\x63\x00\x00\x00\x00"[..]).is_err());
        assert!(receive(&mut &b"\x07\x05\x00\x00\x00abc"[..]).is_err());
    }

    #[test]
    fn requests_keep_their_form() {
        let envelope = Envelope {
            version: VERSION,
            request: Request::Stop {
                signal: Some(15),
                timeout_ms: None,
                restart: false,
            },
        };
        let json = r#"{"version":1,"verb":"stop","signal":15,"timeout_ms":null,"restart":false}"#;
        assert_eq!(serde_json::to_string(&envelope).unwrap(), json);
        assert_eq!(serde_json::from_str::<Envelope>(json).unwrap(), envelope);
    }

    #[test]
    fn errors_keep_their_kind_and_hint() {
        let error = Error::new("no such program")
            .kind(Kind::ProgramNotFound)
            .hint("try sh");
        let back = Reply::of(&error).into_result().unwrap_err();
        assert_eq!(back.kind_of(), Kind::ProgramNotFound);
        assert_eq!(back.hint_text(), Some("try sh"));
        assert!(Reply::default().into_result().is_ok());
    }
}
