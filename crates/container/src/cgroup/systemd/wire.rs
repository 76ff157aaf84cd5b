//! Messages of D-Bus as bytes: what systemd's interface needs of them, and no more.
//!
//! [`Writer`] aligns and encodes, [`Reader`] decodes what comes from the other end without trusting
//! it: every length is checked against what is there. Values are little-endian, as the first byte
//! of every message of ours says; a bus passes other clients' messages on as they are, but systemd
//! runs on this very machine.

use crate::error::{Error, Result};

pub(super) const METHOD_CALL: u8 = 1;
pub(super) const METHOD_RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// The fixed part of a header.
pub(super) const PREFIX_BYTES: usize = 16;

/// More than any answer of systemd that we ask for.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SENDER: u8 = 7;
    pub(super) const SIGNATURE: u8 = 8;
}

/// The value of a property of a unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
    Texts(Vec<String>),
    U32s(Vec<u32>),
    Bytes(Vec<u8>),
    Pairs(Vec<(String, String)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::F64(_) => "d",
            Self::Text(_) => "s",
            Self::Texts(_) => "as",
            Self::U32s(_) => "au",
            Self::Bytes(_) => "ay",
            Self::Pairs(_) => "a(ss)",
        }
    }
}

/// Appends values, each at its alignment from the start of the buffer.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u32(value.into());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.u32(length(value.len()));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, value: &str) {
        self.bytes
            .push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// The length of an array counts from its first element, after the padding for its alignment.
    pub(super) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(alignment);
        let start = self.bytes.len();
        elements(self);
        let count = length(self.bytes.len() - start);
        self.bytes[length_at..length_at + 4].copy_from_slice(&count.to_le_bytes());
    }

    pub(super) fn structure(&mut self) {
        self.align(8);
    }

    pub(super) fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(value) => self.bool(*value),
            Value::I32(value) => self.u32(value.cast_unsigned()),
            Value::U32(value) => self.u32(*value),
            Value::I64(value) => self.u64(value.cast_unsigned()),
            Value::U64(value) => self.u64(*value),
            Value::F64(value) => self.u64(value.to_bits()),
            Value::Text(value) => self.text(value),
            Value::Texts(values) => self.array(4, |writer| {
                values.iter().for_each(|value| writer.text(value));
            }),
            Value::U32s(values) => self.array(4, |writer| {
                values.iter().for_each(|value| writer.u32(*value));
            }),
            Value::Bytes(values) => self.array(1, |writer| writer.bytes.extend_from_slice(values)),
            Value::Pairs(values) => self.array(8, |writer| {
                for (first, second) in values {
                    writer.structure();
                    writer.text(first);
                    writer.text(second);
                }
            }),
        }
    }
}

/// What is sent fits: names and limits, never more than some kilobytes.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What goes into a header. Empty texts are left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Header<'a> {
    pub(super) kind: u8,
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) signature: &'a str,
    pub(super) error_name: &'a str,
    pub(super) reply_serial: u32,
}

/// A whole message.
pub(super) fn encode(header: &Header<'_>, serial: u32, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u8(b'l');
    writer.u8(header.kind);
    writer.u8(0);
    writer.u8(1);
    writer.u32(length(body.len()));
    writer.u32(serial);
    writer.array(8, |writer| {
        if header.reply_serial != 0 {
            writer.structure();
            writer.u8(field::REPLY_SERIAL);
            writer.variant(&Value::U32(header.reply_serial));
        }
        for (code, kind, text) in [
            (field::PATH, "o", header.path),
            (field::INTERFACE, "s", header.interface),
            (field::MEMBER, "s", header.member),
            (field::ERROR_NAME, "s", header.error_name),
            (field::DESTINATION, "s", header.destination),
            (field::SIGNATURE, "g", header.signature),
        ] {
            if text.is_empty() {
                continue;
            }
            writer.structure();
            writer.u8(code);
            writer.signature(kind);
            if kind == "g" {
                writer.signature(text);
            } else {
                writer.text(text);
            }
        }
    });
    writer.align(8);
    let mut message = writer.into_bytes();
    message.extend_from_slice(body);
    message
}

/// A message that has come in.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) serial: u32,
    pub(super) reply_serial: u32,
    pub(super) member: String,
    pub(super) error_name: String,
    pub(super) sender: String,
    pub(super) body: Vec<u8>,
}

/// How many bytes the message has that begins with `prefix`.
pub(super) fn message_length(prefix: &[u8; PREFIX_BYTES]) -> Result<usize> {
    if prefix[0] != b'l' || prefix[3] != 1 {
        return Err(malformed());
    }
    let mut reader = Reader::new(&prefix[4..]);
    let body = reader.u32()?;
    let _serial = reader.u32()?;
    let fields = reader.u32()?;
    let size = |length: u32| {
        usize::try_from(length)
            .ok()
            .filter(|size| *size < MESSAGE_BYTES_MAX)
    };
    match (size(fields), size(body)) {
        (Some(fields), Some(body)) => Ok((PREFIX_BYTES + fields).next_multiple_of(8) + body),
        _ => Err(malformed()),
    }
}

/// Takes a message apart whose length is that of [`message_length`].
pub(super) fn decode(bytes: &[u8]) -> Result<Message> {
    let mut reader = Reader::new(bytes);
    let _order = reader.u8()?;
    let mut message = Message {
        kind: reader.u8()?,
        ..Message::default()
    };
    let _flags_and_version = (reader.u8()?, reader.u8()?);
    let body_length = reader.u32()?;
    message.serial = reader.u32()?;
    let end = reader.array_end(8)?;
    while reader.at < end {
        reader.align(8)?;
        let code = reader.u8()?;
        let kind = reader.signature()?;
        match (code, kind.as_str()) {
            (field::REPLY_SERIAL, "u") => message.reply_serial = reader.u32()?,
            (field::MEMBER, "s") => message.member = reader.text()?,
            (field::ERROR_NAME, "s") => message.error_name = reader.text()?,
            (field::SENDER, "s") => message.sender = reader.text()?,
            (_, "u") => drop(reader.u32()?),
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            _ => return Err(malformed()),
        }
    }
    reader.align(8)?;
    let body = reader.take(usize::try_from(body_length).or(Err(malformed()))?)?;
    message.body = body.to_vec();
    Ok(message)
}

fn malformed() -> Error {
    Error::new("the message bus sent a malformed message")
}

/// Takes values from bytes; alignment counts from the start of the slice.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.align(4)?;
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.u32()?).or(Err(malformed()))?;
        self.text_of(length)
    }

    pub(super) fn signature(&mut self) -> Result<String> {
        let length = self.u8()?;
        self.text_of(length.into())
    }

    fn text_of(&mut self, length: usize) -> Result<String> {
        let text = self.take(length)?;
        if self.u8()? != 0 {
            return Err(malformed());
        }
        String::from_utf8(text.to_vec()).or(Err(malformed()))
    }

    /// Where the array that begins here ends.
    fn array_end(&mut self, alignment: usize) -> Result<usize> {
        let length = usize::try_from(self.u32()?).or(Err(malformed()))?;
        self.align(alignment)?;
        let end = self.at.checked_add(length).ok_or_else(malformed)?;
        if end > self.bytes.len() {
            Err(malformed())
        } else {
            Ok(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Header<'_> = Header {
        kind: METHOD_CALL,
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "Subscribe",
        signature: "",
        error_name: "",
        reply_serial: 0,
    };

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let bytes = encode(&CALL, 7, &[]);
        assert_eq!(bytes[..8], [b'l', 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(bytes[8..12], [7, 0, 0, 0]);
        assert_eq!(bytes[16..20], [1, 1, b'o', 0]);
        assert_eq!(bytes[20..24], [25, 0, 0, 0]);
        assert_eq!(&bytes[24..50], b"/org/freedesktop/systemd1\0");
        assert_eq!(bytes.len() % 8, 0);
    }

    #[test]
    fn messages_are_read_back() {
        let mut body = Writer::default();
        body.text("x.scope");
        body.array(8, |writer| {
            writer.structure();
            writer.text("PIDs");
            writer.variant(&Value::U32s(vec![1, 2]));
        });
        let bytes = encode(&CALL, 7, &body.into_bytes());
        let prefix: [u8; PREFIX_BYTES] = bytes[..PREFIX_BYTES].try_into().unwrap();
        assert_eq!(message_length(&prefix).unwrap(), bytes.len());
        let message = decode(&bytes).unwrap();
        assert_eq!(
            (message.kind, message.serial, message.member.as_str()),
            (1, 7, "Subscribe")
        );
        let mut reader = Reader::new(&message.body);
        assert_eq!(reader.text().unwrap(), "x.scope");
        let end = reader.array_end(8).unwrap();
        assert_eq!(end, message.body.len());
        assert_eq!(reader.text().unwrap(), "PIDs");
        assert_eq!(reader.signature().unwrap(), "au");
        assert_eq!(reader.array_end(4).unwrap(), end);
        assert_eq!((reader.u32().unwrap(), reader.u32().unwrap()), (1, 2));
    }

    /// Every truncation and every changed byte ends in a value or an error, never in a panic.
    #[test]
    fn broken_messages_are_refused() {
        let mut body = Writer::default();
        body.text("/job/1");
        let bytes = encode(&CALL, 7, &body.into_bytes());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 127, 255] {
                let mut broken = bytes.clone();
                broken[at] = value;
                let _ = decode(&broken);
                let prefix: [u8; PREFIX_BYTES] = broken[..PREFIX_BYTES].try_into().unwrap();
                let _ = message_length(&prefix);
            }
        }
    }
}
