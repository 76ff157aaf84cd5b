//! How much an archive may ask of this host.

use crate::error::{Error, Result};

/// Upper bounds. The defaults are far above real images and far below what hurts a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive without its compression.
    pub archive_bytes: u64,
    /// How many times larger than its input the archive may get, once it is beyond 1 GiB.
    pub expansion_ratio: u64,
    /// Files, directories, links: everything that has a header.
    pub entries: u64,
    /// Components of a name.
    pub depth: usize,
    /// The length of one file, holes included.
    pub file_bytes: u64,
    /// Memory for the metadata of directories, which waits for the end of the archive.
    pub pending_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 1 << 40,
            expansion_ratio: 200,
            entries: 10_000_000,
            depth: 512,
            file_bytes: 8 << 40,
            pending_bytes: 128 << 20,
        }
    }
}

/// What is left of the limits.
pub(crate) struct Budget<'a> {
    limits: &'a Limits,
    entries: u64,
    pending_bytes: usize,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            entries: 0,
            pending_bytes: 0,
        }
    }

    pub(crate) fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(over("entries", self.limits.entries));
        }
        Ok(())
    }

    pub(crate) fn file(&self, size: u64) -> Result<()> {
        if size > self.limits.file_bytes {
            return Err(over("bytes in one file", self.limits.file_bytes));
        }
        Ok(())
    }

    pub(crate) fn pending(&mut self, bytes: usize) -> Result<()> {
        self.pending_bytes += bytes;
        if self.pending_bytes > self.limits.pending_bytes {
            let limit = self.limits.pending_bytes as u64;
            return Err(over("bytes of metadata of directories", limit));
        }
        Ok(())
    }
}

fn over(what: &str, limit: u64) -> Error {
    Error::invalid(format!(
        "the archive has more than {limit} {what}, the limit"
    ))
}
