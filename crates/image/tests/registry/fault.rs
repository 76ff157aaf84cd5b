//! A proxy in front of a registry that fails as it is told, one request per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Pass,
    /// So many bytes of the answer, then nothing more.
    CutAnswer(usize),
    /// So many bytes of the request's body, then nothing more.
    CutRequest(usize),
    /// This byte of the answer's body is another.
    Corrupt(usize),
    /// An answer of our own; the registry hears nothing.
    Answer(String),
}

/// A request as the proxy saw it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

type Decide = dyn Fn(&Request, usize) -> Fault + Send + Sync;

pub(crate) struct Proxy {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

/// A proxy before `upstream`. `decide` gets each request and how many like it (same line) came
/// before.
pub(crate) fn proxy(
    upstream: Option<&str>,
    decide: impl Fn(&Request, usize) -> Fault + Send + Sync + 'static,
) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let upstream: Option<SocketAddr> = upstream.map(|upstream| upstream.parse().unwrap());
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let ended: Arc<AtomicBool> = Arc::default();
    let decide: Arc<Decide> = Arc::new(decide);
    let (noted, end) = (Arc::clone(&seen), Arc::clone(&ended));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if end.load(Ordering::Relaxed) {
                return;
            }
            let (noted, decide) = (Arc::clone(&noted), Arc::clone(&decide));
            // A client that goes away is part of the game.
            std::thread::spawn(move || drop(serve(stream.unwrap(), upstream, &noted, &*decide)));
        }
    });
    Proxy {
        address,
        seen,
        ended,
    }
}

/// An answer with this status line, headers and body.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> Fault {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    Fault::Answer(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

impl Proxy {
    /// Requests whose line contains `part`.
    pub(crate) fn seen(&self, part: &str) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|request| request.line.contains(part))
            .cloned()
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(&self.address));
    }
}

fn serve(
    mut client: TcpStream,
    upstream: Option<SocketAddr>,
    seen: &Mutex<Vec<Request>>,
    decide: &Decide,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // A TLS greeting is no text: the connection ends, as with a server of plain HTTP.
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    if lines.is_empty() {
        return Ok(());
    }
    let request = Request {
        line: lines[0].clone(),
        headers: lines[1..].to_vec(),
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        let before = seen
            .iter()
            .filter(|other| other.line == request.line)
            .count();
        seen.push(request.clone());
        before
    };
    let fault = decide(&request, before);
    let length = request.header("content-length");
    let length: u64 = length.map_or(0, |text| text.parse().unwrap());
    if let Fault::Answer(text) = &fault {
        std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
        return client.write_all(text.as_bytes());
    }
    let Some(upstream) = upstream else {
        return Ok(());
    };
    let mut server = TcpStream::connect(upstream)?;
    let kept = lines
        .iter()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let passes = match fault {
        Fault::CutRequest(bytes) => length.min(bytes as u64),
        _ => length,
    };
    std::io::copy(&mut reader.take(passes), &mut server)?;
    if passes < length {
        server.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    hand_back(server, &mut client, &fault)
}

fn hand_back(server: TcpStream, client: &mut TcpStream, fault: &Fault) -> std::io::Result<()> {
    let mut answer = BufReader::new(server);
    loop {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        client.write_all(line.as_bytes())?;
        if line == "\r\n" || line.is_empty() {
            break;
        }
    }
    match *fault {
        Fault::CutAnswer(bytes) => {
            std::io::copy(&mut answer.take(bytes as u64), client)?;
        }
        Fault::Corrupt(at) => {
            std::io::copy(&mut answer.by_ref().take(at as u64), client)?;
            let mut byte = [0];
            answer.read_exact(&mut byte)?;
            client.write_all(&[!byte[0]])?;
            std::io::copy(&mut answer, client)?;
        }
        _ => {
            std::io::copy(&mut answer, client)?;
        }
    }
    client.shutdown(Shutdown::Both)
}
