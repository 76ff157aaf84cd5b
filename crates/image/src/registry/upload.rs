//! Brings one blob into a repository (distribution-spec, pushing blobs).
//!
//! ```text
//!  HEAD ──there──▶ present
//!    └─ POST (mount=… from=…) ──201──▶ mounted from another repository
//!         └─202─ Location ──small──▶ PUT everything
//!                    └─large─▶ PATCH, PATCH, … ─▶ PUT
//!                                 └ cut: ask how much arrived, go on from there or begin again
//! ```
//!
//! A registry that takes one piece but refuses the next gets the blob as a whole.

use std::fs::File;

use ureq::http::{HeaderName, Method, StatusCode, Uri, header};

use super::authentication::{Scope, encoded};
use super::client::{Answer, Call, Target, join, parse_address};
use super::repository::Repository;
use super::retry::Attempts;
use super::transport::{Failed, Payload};
use crate::digest::Digest;
use crate::error::{Error, Kind, Result};

/// Up to this size one request is less work than two.
const WHOLE_BYTES_MAX: u64 = 4 << 20;

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// A blob of the store on its way.
pub(crate) struct Blob<'a> {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) file: &'a File,
    /// Hears how many bytes have been sent.
    pub(crate) sent: &'a dyn Fn(u64),
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrived {
    Present,
    /// From this repository of the same registry.
    Mounted(String),
    Uploaded,
}

/// An upload that the registry has opened.
struct Session {
    location: Uri,
    /// What the registry has.
    offset: u64,
    piece_min: u64,
}

/// What one request came to.
enum Step {
    More,
    Done(Arrived),
}

/// The state between two requests.
struct Upload<'a> {
    repository: &'a Repository,
    blob: &'a Blob<'a>,
    /// A repository to mount from, as long as that was not tried.
    mount: Option<&'a str>,
    session: Option<Session>,
    as_whole: bool,
    piece_bytes: u64,
}

/// Makes sure that the repository has the blob. `mount` names a repository of the same registry
/// that may have it.
///
/// # Errors
/// The registry refuses it or cannot be reached.
pub(crate) fn push_blob(
    repository: &Repository,
    blob: &Blob<'_>,
    mount: Option<&str>,
) -> Result<Arrived> {
    if has_blob(repository, &blob.digest)? {
        return Ok(Arrived::Present);
    }
    let piece_bytes = repository.client.options.piece_bytes.max(1);
    let mut upload = Upload {
        repository,
        blob,
        mount,
        session: None,
        as_whole: blob.size <= WHOLE_BYTES_MAX.min(piece_bytes),
        piece_bytes,
    };
    upload.run()
}

/// Whether the repository has the blob.
pub(crate) fn has_blob(repository: &Repository, digest: &Digest) -> Result<bool> {
    let path = repository.path(&format!("blobs/{digest}"));
    let call = repository.call(Method::HEAD, Target::Path(&path));
    let answer = repository.exchange(&call)?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(false),
        status if status.is_success() => Ok(true),
        _ => Err(answer.into_error(&repository.endpoint, "look for a blob")),
    }
}

impl<'a> Upload<'a> {
    fn run(&mut self) -> Result<Arrived> {
        let options = &self.repository.client.options;
        let fresh = || Attempts::new(options.retries);
        let mut attempts = fresh();
        let mut furthest = 0;
        loop {
            options.cancel.check()?;
            let failed = match self.step() {
                Ok(Step::Done(arrived)) => return Ok(arrived),
                Ok(Step::More) => {
                    // Only what never got so far before is worth a new count: some registries
                    // forget a cut upload, and it begins again.
                    let offset = self.session.as_ref().map_or(0, |session| session.offset);
                    if offset > furthest {
                        furthest = offset;
                        attempts = fresh();
                    }
                    continue;
                }
                Err(failed) => failed,
            };
            options.cancel.check()?;
            let refused_piece = !failed.is_passing() && !self.as_whole && self.has_begun();
            if refused_piece {
                self.as_whole = true;
                self.session = None;
                continue;
            }
            let asked = match &failed {
                Failed::Busy { retry_after, .. } => *retry_after,
                _ => None,
            };
            let wait = if failed.is_passing() {
                attempts.next_wait(asked)
            } else {
                None
            };
            let Some(wait) = wait else {
                return Err(failed.explain(self.repository.endpoint.display_host()));
            };
            options.cancel.wait(wait)?;
            self.recover();
        }
    }

    fn has_begun(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.offset > 0)
    }

    fn step(&mut self) -> Result<Step, Failed> {
        let size = self.blob.size;
        match &self.session {
            None => self.open(),
            Some(session) if self.as_whole => self.finish(session, 0, size),
            Some(session) if session.offset < size => self.send_piece(),
            Some(session) => self.finish(session, size, 0),
        }
    }

    fn attempt(&self, call: &Call<'_>) -> Result<Answer, Failed> {
        let repository = self.repository;
        repository.client.attempt(&repository.endpoint, call)
    }

    fn refused(&self, answer: Answer) -> Failed {
        let what = format!("push blob {}", self.blob.digest);
        Failed::Final(answer.into_error(&self.repository.endpoint, &what))
    }

    /// Opens a session, or finds that none is needed.
    fn open(&mut self) -> Result<Step, Failed> {
        let mount = self.mount.take();
        let query = mount.map(|from| {
            let digest = encoded(&self.blob.digest.to_string());
            format!("?mount={digest}&from={}", encoded(from))
        });
        let path = self
            .repository
            .path(&format!("blobs/uploads/{}", query.unwrap_or_default()));
        let mut call = self.repository.call(Method::POST, Target::Path(&path));
        if let Some(from) = mount {
            call.scopes.push(Scope {
                repository: from.to_owned(),
                actions: "pull",
            });
        }
        let answer = self.attempt(&call)?;
        match (answer.status(), mount) {
            (StatusCode::CREATED, Some(from)) => {
                return Ok(Step::Done(Arrived::Mounted(from.to_owned())));
            }
            (StatusCode::ACCEPTED, _) => {}
            // Some registries refuse a mount that they cannot do instead of opening an upload.
            (_, Some(_)) => return Ok(Step::More),
            (_, None) => return Err(self.refused(answer)),
        }
        let location = location(&answer)?;
        let least = answer.header(&CHUNK_MIN_LENGTH);
        self.session = Some(Session {
            location,
            offset: 0,
            piece_min: least.and_then(|text| text.parse().ok()).unwrap_or(0),
        });
        Ok(Step::More)
    }

    fn send_piece(&mut self) -> Result<Step, Failed> {
        let Some(session) = &self.session else {
            return Ok(Step::More);
        };
        let start = session.offset;
        let length = self
            .piece_bytes
            .max(session.piece_min)
            .min(self.blob.size - start);
        let sent = |bytes: u64| (self.blob.sent)(start + bytes);
        let mut call = self
            .repository
            .call(Method::PATCH, Target::Address(&session.location));
        let range = format!("{start}-{}", start + length - 1);
        call.headers = vec![
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_RANGE, range),
        ];
        call.payload = Payload::Part {
            file: self.blob.file,
            offset: start,
            length,
            sent: &sent,
        };
        let answer = self.attempt(&call)?;
        if !answer.status().is_success() {
            return Err(self.refused(answer));
        }
        let next = Session {
            location: location(&answer)?,
            offset: received(&answer).unwrap_or(start + length),
            piece_min: session.piece_min,
        };
        // A registry that has less than before, or more than was sent, has lost its way.
        if next.offset <= start || next.offset > start + length {
            return Err(Failed::Final(Error::new(
                Kind::Unreachable,
                format!(
                    "the registry has {} bytes of {}",
                    next.offset,
                    start + length
                ),
            )));
        }
        self.session = Some(next);
        Ok(Step::More)
    }

    /// Closes the session with the part of the blob that is left.
    fn finish(&self, session: &Session, offset: u64, length: u64) -> Result<Step, Failed> {
        let digest = encoded(&self.blob.digest.to_string());
        let joint = if session.location.query().is_some() {
            '&'
        } else {
            '?'
        };
        let address = parse_address(&format!("{}{joint}digest={digest}", session.location))?;
        let mut call = self.repository.call(Method::PUT, Target::Address(&address));
        call.headers = vec![(header::CONTENT_TYPE, "application/octet-stream".to_owned())];
        if length > 0 {
            call.payload = Payload::Part {
                file: self.blob.file,
                offset,
                length,
                sent: self.blob.sent,
            };
        }
        let answer = self.attempt(&call)?;
        if answer.status().is_success() {
            Ok(Step::Done(Arrived::Uploaded))
        } else {
            Err(self.refused(answer))
        }
    }

    /// After a failure: how far did it get? A session that nobody knows any more is opened anew.
    fn recover(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let call = self
            .repository
            .call(Method::GET, Target::Address(&session.location));
        let Ok(answer) = self.attempt(&call) else {
            return;
        };
        let place = location(&answer);
        let (true, false, Ok(location)) = (answer.status().is_success(), self.as_whole, place)
        else {
            return;
        };
        let offset = received(&answer).unwrap_or(0);
        if offset <= self.blob.size {
            self.session = Some(Session {
                location,
                offset,
                piece_min: session.piece_min,
            });
        }
    }
}

/// Where the session goes on. Registries give whole addresses or paths.
fn location(answer: &Answer) -> Result<Uri> {
    match answer.header(&header::LOCATION) {
        Some(location) => join(&answer.address, location),
        None => Err(Error::new(
            Kind::Unreachable,
            "the registry opened an upload without saying where",
        )),
    }
}

/// `0-LAST`: how many bytes have arrived. A registry that has nothing says `0-0`, as one that has
/// one byte does: both go on from the start.
fn received(answer: &Answer) -> Option<u64> {
    let range = answer.header(&header::RANGE)?;
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    match range.split_once('-')?.1.trim().parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}
