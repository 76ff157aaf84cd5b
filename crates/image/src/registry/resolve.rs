//! Names of hosts to addresses: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! The C library's resolver loads modules and has no place in a static binary. This one asks as a
//! stub does (RFC 1034, 5.3.1): each name server in turn over UDP, again over TCP when the answer
//! was cut, for IPv4 and IPv6 addresses, with the search list and `ndots` of resolv.conf(5). It
//! trusts the name server to follow aliases. It keeps nothing: a client asks once per registry.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use insula_sys::rustix::rand::{GetRandomFlags, getrandom};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// As the C library's MAXNS.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;
const ADDRESSES_MAX: usize = 16;
const LOOKUP_MAX: Duration = Duration::from_secs(60);
const NAME_SERVER_PORT: u16 = 53;

/// The host's way from names to addresses.
#[derive(Debug, Clone)]
pub(crate) struct HostNames {
    hosts: PathBuf,
    configuration: PathBuf,
}

impl Default for HostNames {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            configuration: "/etc/resolv.conf".into(),
        }
    }
}

/// What `/etc/resolv.conf` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Servers {
    addresses: Vec<SocketAddr>,
    search: Vec<String>,
    dots_min: usize,
    timeout: Duration,
    attempts: u32,
}

/// What a name server answered to one question.
enum Answer {
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
}

impl Resolver for HostNames {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let deadline = Instant::now() + (*timeout.after).min(LOOKUP_MAX);
        let found = self.lookup(host, deadline).map_err(ureq::Error::Io)?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(ADDRESSES_MAX) {
            addresses.push(SocketAddr::new(address, port));
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(addresses)
    }
}

impl HostNames {
    /// All addresses of `host`, none when there is no such name.
    fn lookup(&self, host: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let known = std::fs::read_to_string(&self.hosts)
            .map(|text| in_hosts(&text, host))
            .unwrap_or_default();
        if !known.is_empty() {
            return Ok(known);
        }
        // RFC 6761, 6.3: these names are this machine, whatever a name server says.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let text = std::fs::read_to_string(&self.configuration).unwrap_or_default();
        Servers::parse(&text).lookup(host, deadline)
    }
}

/// The addresses of `host` in hosts(5), in the order of the file.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
            continue;
        };
        if words.any(|name| name.eq_ignore_ascii_case(host)) {
            addresses.push(address);
        }
    }
    addresses
}

impl Servers {
    fn parse(text: &str) -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            search: Vec::new(),
            dots_min: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A scope (fe80::1%eth0) has no form in `SocketAddr`: such a server is left out.
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    let address = address.map(|ip| SocketAddr::new(ip, NAME_SERVER_PORT));
                    servers.addresses.extend(address);
                }
                Some("search" | "domain") => {
                    servers.search = words.take(SEARCH_MAX).map(str::to_owned).collect();
                }
                Some("options") => words.for_each(|option| servers.set(option)),
                _ => {}
            }
        }
        servers.addresses.truncate(SERVERS_MAX);
        if servers.addresses.is_empty() {
            // resolv.conf(5): without a server, the one on this machine.
            let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), NAME_SERVER_PORT);
            servers.addresses.push(local);
        }
        servers
    }

    /// The limits are those of resolv.conf(5).
    fn set(&mut self, option: &str) {
        let Some((name, Ok(value))) = option
            .split_once(':')
            .map(|(name, value)| (name, value.parse::<u32>()))
        else {
            return;
        };
        match name {
            "ndots" => self.dots_min = usize::try_from(value.min(15)).unwrap_or(15),
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The full names to ask for, in order.
    fn names(&self, host: &str) -> Vec<String> {
        if let Some(full) = host.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let searched = self
            .search
            .iter()
            .map(|domain| format!("{host}.{}", domain.trim_end_matches('.')));
        if host.matches('.').count() >= self.dots_min {
            std::iter::once(host.to_owned()).chain(searched).collect()
        } else {
            searched.chain([host.to_owned()]).collect()
        }
    }

    fn lookup(&self, host: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
        for name in self.names(host) {
            let mut found = Vec::new();
            for kind in [TYPE::A, TYPE::AAAA] {
                match self.ask(&name, kind, deadline)? {
                    Answer::Addresses(addresses) => found.extend(addresses),
                    Answer::NoName => break,
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Asks one server after the other until one answers.
    fn ask(&self, name: &str, kind: TYPE, deadline: Instant) -> io::Result<Answer> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..self.attempts {
            for server in &self.addresses {
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout = self.timeout.min(left);
                if timeout.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                match ask_server(*server, name, kind, timeout) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => {
                        last = io::Error::new(
                            error.kind(),
                            format!("name server {}: {error}", server.ip()),
                        );
                    }
                }
            }
        }
        Err(last)
    }
}

fn ask_server(server: SocketAddr, name: &str, kind: TYPE, timeout: Duration) -> io::Result<Answer> {
    let mut random = [0_u8; 2];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let id = u16::from_ne_bytes(random);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(invalid)?;
    let question = Question::new(name, kind.into(), CLASS::IN.into(), false);
    query.questions.push(question);
    let query = query.build_bytes_vec().map_err(invalid)?;
    let over_udp = ask_udp(server, &query, id, timeout)?;
    let cut = Packet::parse(&over_udp).map_err(invalid)?;
    if cut.has_flags(PacketFlag::TRUNCATION) {
        let over_tcp = ask_tcp(server, &query, timeout)?;
        return read_answer(&Packet::parse(&over_tcp).map_err(invalid)?, id, kind);
    }
    read_answer(&cut, id, kind)
}

fn ask_udp(server: SocketAddr, query: &[u8], id: u16, timeout: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connected, so that only this server's datagrams arrive, from a port of the kernel's choice.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + timeout;
    let mut buffer = vec![0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        // A late answer to an earlier question, or a forged one: keep waiting for ours.
        if buffer[..length].starts_with(&id.to_be_bytes()) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// RFC 1035, 4.2.2: each message after its length in two bytes.
fn ask_tcp(server: SocketAddr, query: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(query.len()).map_err(invalid)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn read_answer(packet: &Packet<'_>, id: u16, kind: TYPE) -> io::Result<Answer> {
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return Err(invalid("not an answer to the question"));
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Answer::NoName),
        refused => return Err(io::Error::other(format!("answered {refused:?}"))),
    }
    let addresses = packet
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::A(a) if kind == TYPE::A => Some(Ipv4Addr::from(a.address).into()),
            RData::AAAA(a) if kind == TYPE::AAAA => Some(Ipv6Addr::from(a.address).into()),
            _ => None,
        });
    Ok(Answer::Addresses(addresses.collect()))
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests;
