//! One request to one host, once: connections, TLS, proxies and time limits.
//!
//! Each origin (scheme, host, port) has its own connection pool, because what is trusted differs
//! by host. Redirects are not followed here: [`super::client`] decides who may see credentials.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{Method, Request, Response, Uri, header};
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, SocksConnector, TcpConnector,
};
use ureq::{Agent, Body, SendBody};

use super::certificates::Certificates;
use super::proxy::Proxies;
use super::resolve::HostNames;
use super::tls::TlsConnector;
use crate::error::{Error, Kind, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Without a byte for so long, the other side is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Large enough to keep system calls rare, small enough for several layers at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Scheme, host and port: what decides who is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// # Errors
    /// The address is neither `http://` nor `https://` with a host.
    pub(crate) fn of(uri: &Uri) -> Result<Self> {
        let wrong = || Error::invalid(format!("`{uri}` is not the address of a web server"));
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        Ok(Self {
            is_tls,
            host: host.ok_or_else(wrong)?.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
        })
    }

    /// As directories of `certs.d` and names of images write it.
    fn registry(&self, uri: &Uri) -> String {
        match uri.port_u16() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

/// What a request carries; it can be sent again.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// A part of a file. `sent` hears how much of the part has been read.
    Part {
        file: &'a File,
        offset: u64,
        length: u64,
        sent: &'a dyn Fn(u64),
    },
}

/// Reads a part of a file without moving its position, which other requests may share.
struct PartReader<'a> {
    file: &'a File,
    position: u64,
    left: u64,
    done: u64,
    sent: &'a dyn Fn(u64),
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        if room == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..room], self.position)?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the blob in the store is cut off",
            ));
        }
        let moved = count as u64;
        self.position += moved;
        self.left -= moved;
        self.done += moved;
        (self.sent)(self.done);
        Ok(count)
    }
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Transport {
    certificates: Certificates,
    proxies: Proxies,
    agents: Mutex<HashMap<(Origin, bool), Agent>>,
}

impl Transport {
    pub(crate) fn new(certificates: Certificates, proxies: Proxies) -> Self {
        Self {
            certificates,
            proxies,
            agents: Mutex::new(HashMap::new()),
        }
    }

    /// Sends one request and reads the head of the answer. Every status is an answer.
    ///
    /// # Errors
    /// [`Failed`] says whether trying again may help.
    pub(crate) fn send(
        &self,
        request: Request<()>,
        payload: Payload<'_>,
        verify: bool,
    ) -> Result<Response<Body>, Failed> {
        let agent = self.agent(request.uri(), verify)?;
        let (mut parts, ()) = request.into_parts();
        let headers = &mut parts.headers;
        // What is compressed on the way has another digest than what is asked for.
        headers.insert(header::ACCEPT_ENCODING, "identity".parse().map_err(wrong)?);
        let expects_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        let sent = match payload {
            Payload::None if expects_body => agent.run(Request::from_parts(parts, &[][..])),
            Payload::None => agent.run(Request::from_parts(parts, ())),
            Payload::Bytes(bytes) => agent.run(Request::from_parts(parts, bytes)),
            Payload::Part {
                file,
                offset,
                length,
                sent,
            } => {
                headers.insert(header::CONTENT_LENGTH, length.into());
                let mut reader = PartReader {
                    file,
                    position: offset,
                    left: length,
                    done: 0,
                    sent,
                };
                agent.run(Request::from_parts(
                    parts,
                    SendBody::from_reader(&mut reader),
                ))
            }
        };
        sent.map_err(Failed::Transport)
    }

    fn agent(&self, uri: &Uri, verify: bool) -> Result<Agent> {
        let origin = Origin::of(uri)?;
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (origin, verify);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.connect(&key.0, uri, verify)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn connect(&self, origin: &Origin, uri: &Uri, verify: bool) -> Result<Agent> {
        let proxy = self
            .proxies
            .choose(origin.is_tls, &origin.host, origin.port)?;
        // A proxy may itself be reached over TLS.
        let speaks_tls = origin.is_tls
            || proxy
                .as_ref()
                .is_some_and(|proxy| proxy.protocol() == ureq::ProxyProtocol::Https);
        let configuration = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("insula/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_resolve(Some(RESOLVE_TIMEOUT))
            .timeout_per_read(Some(SILENCE_MAX))
            .timeout_per_write(Some(SILENCE_MAX))
            .max_response_header_size(HEADER_BYTES_MAX)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .proxy(proxy)
            .build();
        let plain =
            ().chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default());
        let names = HostNames::default();
        if !speaks_tls {
            return Ok(Agent::with_parts(configuration, plain, names));
        }
        let tls = self
            .certificates
            .for_registry(&origin.registry(uri), verify)?;
        let secured = plain.chain(TlsConnector(tls));
        Ok(Agent::with_parts(configuration, secured, names))
    }
}

/// Why a request has no usable answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It did not arrive, or the answer did not.
    Transport(ureq::Error),
    /// The host answered that it cannot answer now.
    Busy {
        status: u16,
        retry_after: Option<Duration>,
        text: String,
    },
    /// Trying again would end the same.
    Final(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Failed {
    /// Whether the same request may have another outcome later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Final(_) => false,
            Self::Transport(error) => match error {
                ureq::Error::Io(error) => tls_error(error).is_none(),
                ureq::Error::Timeout(_)
                | ureq::Error::ConnectionFailed
                | ureq::Error::Protocol(_)
                | ureq::Error::BodyStalled => true,
                _ => false,
            },
        }
    }

    /// Nobody listens there, or there is no such host.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Transport(ureq::Error::Io(error)) => {
                error.kind() == io::ErrorKind::ConnectionRefused
            }
            Self::Transport(error) => matches!(error, ureq::Error::HostNotFound),
            _ => false,
        }
    }

    /// The other side speaks TLS, but is not whom we trust.
    pub(crate) fn is_certificate(&self) -> bool {
        let Self::Transport(ureq::Error::Io(error)) = self else {
            return false;
        };
        tls_error(error).is_some_and(|error| {
            matches!(
                error,
                rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
            )
        })
    }

    /// For a person: what happened with `host`.
    pub(crate) fn explain(self, host: &str) -> Error {
        let is_certificate = self.is_certificate();
        let reason = match self {
            Self::Final(error) => return error,
            Self::Busy { status, text, .. } => {
                let said = if text.is_empty() {
                    String::new()
                } else {
                    format!(": {text}")
                };
                return Error::new(
                    Kind::Unreachable,
                    format!("registry {host} answers {status}{said}"),
                );
            }
            Self::Transport(ureq::Error::HostNotFound) => {
                return Error::new(Kind::Unreachable, format!("no such host: {host}")).hint(
                    "is the name right, and does /etc/resolv.conf name a server that knows it?",
                );
            }
            Self::Transport(ureq::Error::Timeout(_)) => "it does not answer in time".to_owned(),
            Self::Transport(ureq::Error::Io(error)) => error.to_string(),
            Self::Transport(error) => error.to_string(),
        };
        let error = Error::new(
            Kind::Unreachable,
            format!("reach registry {host}: {reason}"),
        );
        if is_certificate {
            error.hint(format!(
                "put the certificate of its authority in /etc/containers/certs.d/{host}/ca.crt"
            ))
        } else {
            error
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn wrong(error: impl ToString) -> Failed {
    Failed::Final(Error::invalid(error.to_string()))
}
