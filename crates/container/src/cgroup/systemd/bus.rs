//! A connection to systemd: its private socket, or a message bus that it is on.

use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use super::wire::{
    ERROR, Header, METHOD_CALL, METHOD_RETURN, Message, PREFIX_BYTES, Reader, SIGNAL, Writer,
    decode, encode, message_length,
};
use crate::error::{Context, Error, Result};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How long systemd may take to answer or to finish a job.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most that is read before the authentication is over.
const ANSWER_BYTES_MAX: usize = 1024;

/// What a call came to.
#[derive(Debug)]
pub(super) enum Reply {
    Done(Vec<u8>),
    /// systemd refused: the name of the error, and its words.
    Refused {
        name: String,
        text: String,
    },
}

/// An authenticated connection.
#[derive(Debug)]
pub(in super::super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Signals that came while a reply was awaited.
    signals: Vec<Message>,
}

impl Bus {
    /// systemd's own socket is nearer than the bus, and works without a bus.
    pub(in super::super) fn connect(rootless: bool) -> Result<Self> {
        let mut first = None;
        for address in addresses(rootless) {
            match Self::connect_to(&address) {
                Ok(bus) => return Ok(bus),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        let error = first.unwrap_or_else(|| {
            Error::new("find the message bus of the user")
                .hint("set DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR")
        });
        Err(error)
            .step(|| "connect to systemd")
            .map_err(|error| error.hint("without a running systemd use --cgroup-manager=cgroupfs"))
    }

    pub(super) fn connect_to(address: &Address) -> Result<Self> {
        let socket = address.socket()?;
        let stream = UnixStream::connect_addr(&socket).step(|| address.to_text())?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .step(|| "limit the time for replies")?;
        let mut bus = Self {
            stream,
            serial: 0,
            signals: Vec::new(),
        };
        bus.authenticate()
            .step(|| format!("authenticate at {}", address.to_text()))?;
        if !address.private {
            bus.call_bus("Hello", "", Vec::new())?;
            let rule = format!(
                "type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'"
            );
            let mut body = Writer::default();
            body.text(&rule);
            bus.call_bus("AddMatch", "s", body.into_bytes())?;
        }
        Ok(bus)
    }

    /// EXTERNAL with an empty identity: the other end asks the kernel who we are, which is right
    /// inside of a user namespace, too. BEGIN goes along: systemd lets a message that comes in one
    /// read with it lie until there is another.
    fn authenticate(&mut self) -> Result<()> {
        let step = || "talk to the message bus";
        self.stream
            .write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
            .step(step)?;
        let mut answer = Vec::new();
        let mut chunk = [0; 256];
        // Until our first message, nothing but its answers can come.
        while !(answer.ends_with(b"\r\n") && answer.windows(3).any(|word| word == b"OK ")) {
            let count = self.stream.read(&mut chunk).step(step)?;
            answer.extend_from_slice(&chunk[..count]);
            let refused = answer.windows(8).any(|word| word == b"REJECTED");
            if count == 0 || refused || answer.len() > ANSWER_BYTES_MAX {
                return Err(Error::new(
                    "the message bus does not accept our credentials",
                ));
            }
        }
        Ok(())
    }

    fn call_bus(&mut self, member: &str, signature: &str, body: Vec<u8>) -> Result<()> {
        let header = Header {
            destination: BUS,
            path: BUS_PATH,
            interface: BUS,
            ..call_header(member, signature)
        };
        self.call_with(&header, &body)?.or_fail(member).map(drop)
    }

    /// Calls a method of systemd's manager.
    pub(super) fn call(&mut self, member: &str, signature: &str, body: Writer) -> Result<Reply> {
        let header = call_header(member, signature);
        self.call_with(&header, &body.into_bytes())
    }

    /// A property of systemd's manager that is a text.
    pub(super) fn manager_text(&mut self, property: &str) -> Result<String> {
        let mut body = Writer::default();
        body.text(MANAGER);
        body.text(property);
        let header = Header {
            interface: "org.freedesktop.DBus.Properties",
            ..call_header("Get", "ss")
        };
        let reply = self
            .call_with(&header, &body.into_bytes())?
            .or_fail(property)?;
        let mut reader = Reader::new(&reply);
        reader.signature()?;
        reader.text()
    }

    fn call_with(&mut self, header: &Header<'_>, body: &[u8]) -> Result<Reply> {
        let serial = self.send(header, body)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                METHOD_RETURN if message.reply_serial == serial => {
                    return Ok(Reply::Done(message.body));
                }
                ERROR if message.reply_serial == serial => {
                    let text = Reader::new(&message.body).text().unwrap_or_default();
                    return Ok(Reply::Refused {
                        name: message.error_name,
                        text,
                    });
                }
                SIGNAL if message.member == "JobRemoved" => self.signals.push(message),
                _ => {}
            }
        }
    }

    pub(super) fn send(&mut self, header: &Header<'_>, body: &[u8]) -> Result<u32> {
        self.serial += 1;
        let message = encode(header, self.serial, body);
        self.stream
            .write_all(&message)
            .step(|| format!("send {} to systemd", header.member))?;
        Ok(self.serial)
    }

    pub(super) fn receive(&mut self) -> Result<Message> {
        let mut prefix = [0; PREFIX_BYTES];
        self.read(&mut prefix)?;
        let mut message = vec![0; message_length(&prefix)?];
        let (start, rest) = message.split_at_mut(PREFIX_BYTES);
        start.copy_from_slice(&prefix);
        self.read(rest)?;
        decode(&message)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.stream
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                // What a socket with a time limit says at its end.
                ErrorKind::WouldBlock => Error::new(format!("systemd is silent for {TIMEOUT:?}")),
                _ => Error::new(format!("wait for systemd: {error}")),
            })
    }

    /// Waits until systemd has done the job, and returns how it ended ("done" when well).
    pub(super) fn wait_for_job(&mut self, job: &str) -> Result<String> {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            for signal in std::mem::take(&mut self.signals) {
                // JobRemoved: number, path, unit, result.
                let mut reader = Reader::new(&signal.body);
                reader.u32()?;
                if reader.text()? == job {
                    reader.text()?;
                    return reader.text();
                }
            }
            let message = self.receive()?;
            if message.kind == SIGNAL && message.member == "JobRemoved" {
                self.signals.push(message);
            }
        }
        Err(Error::new(format!(
            "systemd does not finish its job in {TIMEOUT:?}"
        )))
    }
}

impl Reply {
    /// The body, or the refusal as an error.
    pub(super) fn or_fail(self, what: &str) -> Result<Vec<u8>> {
        match self {
            Self::Done(body) => Ok(body),
            Self::Refused { name, text } => Err(Error::new(format!(
                "systemd refuses {what}: {text} ({name})"
            ))),
        }
    }
}

fn call_header<'a>(member: &'a str, signature: &'a str) -> Header<'a> {
    Header {
        kind: METHOD_CALL,
        destination: SYSTEMD,
        path: MANAGER_PATH,
        interface: MANAGER,
        member,
        signature,
        ..Header::default()
    }
}

/// Where a bus or systemd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    path: String,
    is_abstract: bool,
    /// systemd itself, without a bus between.
    private: bool,
}

impl Address {
    fn at(path: String, private: bool) -> Self {
        Self {
            path,
            is_abstract: false,
            private,
        }
    }

    /// The first `unix:` address of a list as in DBUS_SESSION_BUS_ADDRESS.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split(';').find_map(|address| {
            address.strip_prefix("unix:")?.split(',').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                let is_abstract = key == "abstract";
                (is_abstract || key == "path").then(|| Self {
                    path: unescape(value),
                    is_abstract,
                    private: false,
                })
            })
        })
    }

    fn socket(&self) -> Result<SocketAddr> {
        if self.is_abstract {
            SocketAddr::from_abstract_name(&self.path)
        } else {
            SocketAddr::from_pathname(&self.path)
        }
        .step(|| self.to_text())
    }

    fn to_text(&self) -> String {
        format!(
            "connect to {}{}",
            if self.is_abstract { "@" } else { "" },
            self.path
        )
    }
}

/// `%20` and its like.
fn unescape(text: &str) -> String {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if *first == b'%' => {
                result.push(byte);
                rest = &tail[2..];
            }
            _ => {
                result.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&result).into_owned()
}

fn addresses(rootless: bool) -> Vec<Address> {
    if !rootless {
        return vec![
            Address::at("/run/systemd/private".to_owned(), true),
            Address::at("/run/dbus/system_bus_socket".to_owned(), false),
        ];
    }
    let runtime = std::env::var("XDG_RUNTIME_DIR")
        .ok()
        .filter(|path| !path.is_empty());
    let session = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let private = runtime
        .as_ref()
        .map(|path| Address::at(format!("{path}/systemd/private"), true));
    let session = session.and_then(|text| Address::parse(&text));
    let bus = runtime.map(|path| Address::at(format!("{path}/bus"), false));
    [private, session, bus].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_buses_are_understood() {
        let address = Address::parse("tcp:host=x;unix:path=/run/a%20b/bus,guid=12").unwrap();
        assert_eq!(address, Address::at("/run/a b/bus".to_owned(), false));
        assert!(Address::parse("unix:abstract=/tmp/x").unwrap().is_abstract);
        assert_eq!(Address::parse("tcp:host=x"), None);
    }
}
