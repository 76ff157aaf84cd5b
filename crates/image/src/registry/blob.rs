//! A blob as a stream that outlives its connections.
//!
//! A transfer that is cut goes on where it stopped, by a range request (RFC 9110, 14.2), at the
//! same registry or at the next one that has the repository. It ends: each attempt must bring
//! [`PROGRESS_BYTES`] to be forgiven, and a trickle counts as a cut. Whether the bytes are right is
//! for the reader to find out; here only their number is watched.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::http::{Method, StatusCode, header};

use super::client::Target;
use super::repository::Repository;
use super::retry::{Attempts, Cancel};
use crate::config::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

/// After so many bytes a connection has proved useful and its cut starts a new count.
const PROGRESS_BYTES: u64 = 1 << 20;
/// Fewer bytes than this within [`PACE_WINDOW`] of waiting is no transfer.
const PACE_BYTES: u64 = 16 << 10;
const PACE_WINDOW: Duration = Duration::from_secs(60);

/// Why a stream ended, for who gets only an `io::Error` from its reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Arc<Mutex<Option<Error>>>);

impl Fault {
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the error and makes one for the reader.
    fn set(&self, error: Error) -> io::Error {
        let text = error.chain();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other(text)
    }
}

/// Reads a blob from an offset to its end.
pub(crate) struct BlobStream {
    /// Who has it, in order of preference; the last is asked first.
    sources: Vec<Repository>,
    digest: Digest,
    size: u64,
    position: u64,
    body: Option<Box<dyn Read + Send>>,
    attempts: Attempts,
    /// Bytes since the last cut.
    since_cut: u64,
    pace: Pace,
    fault: Fault,
    /// Raised when the transfer is of no more use: another part of the image has failed.
    stop: Cancel,
}

/// How fast a transfer is, without the time its reader takes.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl BlobStream {
    /// The blob of `descriptor` from `offset` on. `sources` must not be empty. Nothing is sent
    /// before the first read.
    pub(crate) fn new(
        sources: &[Repository],
        descriptor: &Descriptor,
        offset: u64,
        stop: Cancel,
    ) -> Self {
        let retries = sources
            .first()
            .map_or(0, |source| source.client.options.retries);
        Self {
            sources: sources.iter().rev().cloned().collect(),
            digest: descriptor.digest,
            size: descriptor.size,
            position: offset,
            body: None,
            attempts: Attempts::new(retries),
            since_cut: 0,
            pace: Pace::default(),
            fault: Fault::default(),
            stop,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        if room == 0 {
            return Ok(0);
        }
        loop {
            let Some(source) = self.sources.last().cloned() else {
                return Err(Error::new(
                    Kind::Unreachable,
                    format!("no registry delivers blob {}", self.digest),
                ));
            };
            source.client.options.cancel.check()?;
            self.stop.check()?;
            let mut body = match self.body.take() {
                Some(body) => body,
                None => match self.open(&source) {
                    Ok(body) => body,
                    Err(error) => {
                        self.give_up_source(error)?;
                        continue;
                    }
                },
            };
            let started = Instant::now();
            let outcome = body.read(&mut buffer[..room]);
            match outcome {
                Ok(count) if count > 0 && self.pace.keeps(started.elapsed(), count as u64) => {
                    self.body = Some(body);
                    self.advance(count as u64);
                    return Ok(count);
                }
                outcome => self.after_cut(&source, outcome)?,
            }
        }
    }

    fn advance(&mut self, count: u64) {
        self.position += count;
        self.since_cut += count;
        if self.since_cut >= PROGRESS_BYTES {
            let source = self.sources.last();
            let retries = source.map_or(0, |source| source.client.options.retries);
            self.attempts = Attempts::new(retries);
            self.since_cut = 0;
        }
    }

    /// Waits before the next attempt, or goes on to the next source.
    fn after_cut(&mut self, source: &Repository, outcome: io::Result<usize>) -> Result<()> {
        let cancel = &source.client.options.cancel;
        cancel.check()?;
        self.stop.check()?;
        self.since_cut = 0;
        self.pace = Pace::default();
        if let Some(wait) = self.attempts.next_wait(None) {
            return cancel.wait(wait);
        }
        let reason = match outcome {
            Ok(0) => "the connection was closed".to_owned(),
            Ok(_) => "it is too slow".to_owned(),
            Err(error) => error.to_string(),
        };
        self.give_up_source(Error::new(
            Kind::Unreachable,
            format!(
                "blob {} from {} ends after {} of {} bytes, again and again: {reason}",
                self.digest,
                source.endpoint.display_host(),
                self.position,
                self.size
            ),
        ))
    }

    /// The error of the last source is the one to tell.
    fn give_up_source(&mut self, error: Error) -> Result<()> {
        let source = self.sources.pop();
        if self.sources.is_empty() || error.kind() == Kind::Cancelled {
            return Err(error);
        }
        let retries = source.map_or(0, |source| source.client.options.retries);
        self.attempts = Attempts::new(retries);
        Ok(())
    }

    /// Asks for what is still missing.
    fn open(&self, source: &Repository) -> Result<Box<dyn Read + Send>> {
        let path = source.path(&format!("blobs/{}", self.digest));
        let mut call = source.call(Method::GET, Target::Path(&path));
        if self.position > 0 {
            let range = format!("bytes={}-", self.position);
            call.headers.push((header::RANGE, range));
        }
        let answer = source.exchange(&call)?;
        let length = answer.header(&header::CONTENT_LENGTH);
        let length = length.and_then(|text| text.parse::<u64>().ok());
        let starts_at = match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = answer.header(&header::CONTENT_RANGE);
                range.and_then(range_start).unwrap_or(self.position)
            }
            // A server may ignore a range: then the part we have comes again.
            StatusCode::OK => 0,
            _ => {
                let what = format!("get blob {}", self.digest);
                return Err(answer.into_error(&source.endpoint, &what));
            }
        };
        let total = length.map(|length| length.saturating_add(starts_at));
        if starts_at > self.position || total.is_some_and(|total| total != self.size) {
            return Err(Error::invalid(format!(
                "blob {} has {} bytes, but registry {} serves {}",
                self.digest,
                self.size,
                source.endpoint.display_host(),
                total.map_or_else(|| "another part".to_owned(), |total| format!("{total}")),
            )));
        }
        let mut body: Box<dyn Read + Send> = Box::new(answer.response.into_body().into_reader());
        let known = self.position - starts_at;
        if known > 0 {
            let skipped = io::copy(&mut body.by_ref().take(known), &mut io::sink());
            // A cut while skipping is found by the next read.
            drop(skipped);
        }
        Ok(body)
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.step(buffer).map_err(|error| self.fault.set(error))
    }
}

impl Pace {
    /// Counts a read; false when the transfer only trickles.
    fn keeps(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < PACE_WINDOW {
            return true;
        }
        let keeps = self.bytes >= PACE_BYTES;
        *self = Self::default();
        keeps
    }
}

/// The first byte of `bytes FIRST-LAST/TOTAL`.
fn range_start(header: &str) -> Option<u64> {
    let (first, _) = header.trim().strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_no_transfer() {
        let mut pace = Pace::default();
        for _ in 0..59 {
            assert!(pace.keeps(Duration::from_secs(1), 1));
        }
        assert!(!pace.keeps(Duration::from_secs(1), 1));
        assert!(pace.keeps(Duration::from_secs(61), 1 << 20));
    }

    #[test]
    fn ranges() {
        assert_eq!(range_start("bytes 7-9/10"), Some(7));
        assert_eq!(range_start("bytes */10"), None);
    }
}
