//! What a transfer tells while it runs.

use crate::digest::Digest;
use crate::reference::Reference;

/// Hears what happens, from several threads.
pub trait Progress: Sync {
    fn hear(&self, event: &Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn hear(&self, _: &Event<'_>) {}
}

/// A step of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// What the name means now: the manifest or index that the registry serves under it.
    Resolved {
        reference: &'a Reference,
        digest: Digest,
    },
    /// A layer, or the configuration in a push.
    Blob {
        digest: Digest,
        size_bytes: u64,
        state: BlobState<'a>,
    },
    /// Something to know that is no failure.
    Warning(&'a str),
}

/// Where a blob stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobState<'a> {
    /// Its turn will come.
    Waiting,
    /// It need not be transferred.
    Present,
    /// So many bytes are there, including those of an earlier attempt.
    Moving(u64),
    Done,
    /// The registry took it from this repository of its own.
    Mounted(&'a str),
}
