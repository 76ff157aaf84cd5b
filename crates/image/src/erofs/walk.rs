//! The whole tree of an image: every name with its inode; and what a place of the image belongs to.

use std::collections::HashSet;
use std::ops::Range;

use super::entries::{EntryBlock, entry_at};
use super::format::{BLOCK_BYTES, FileKind};
use super::reader::{Inode, Reader, damaged};
use super::source::ReadAt;
use crate::error::Result;

/// An honest path is shorter; a longer one would make a walk slow.
const PATH_BYTES_MAX: usize = 64 << 10;

/// A name with what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// From the root, without a slash in front; empty for the root itself.
    pub path: Vec<u8>,
    pub inode: Inode,
}

/// Goes through a tree, parents before their children, names in order. Ends after an error.
#[derive(Debug)]
pub struct Walk<'r, S> {
    reader: &'r Reader<S>,
    started: bool,
    /// The directories on the way to where the walk is.
    pending: Vec<Pending>,
    path: Vec<u8>,
    block: Option<EntryBlock>,
    /// Directories seen: a second way to one is a loop or a lie.
    seen: HashSet<u64>,
}

#[derive(Debug)]
struct Pending {
    directory: Inode,
    position: u64,
    path_bytes: usize,
}

/// What a place of an image is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Located {
    /// Content of the file by this path.
    Content(Vec<u8>),
    /// Owner, mode, time, attributes, target or entries of what is at this path.
    Attributes(Vec<u8>),
    /// The superblock, or metadata that cannot be told apart, perhaps because it is damaged.
    Metadata,
}

impl<S: ReadAt> Reader<S> {
    /// Walks the whole tree. A file with several names comes with each of them.
    pub fn walk(&self) -> Walk<'_, S> {
        Walk {
            reader: self,
            started: false,
            pending: Vec::new(),
            path: Vec::new(),
            block: None,
            seen: HashSet::new(),
        }
    }

    /// What the bytes of a part of the image belong to, sorted. Empty when they fill gaps.
    ///
    /// # Errors
    /// Never for damage: what cannot be found then is [`Located::Metadata`].
    pub fn locate(&self, part: Range<u64>) -> Result<Vec<Located>> {
        let found = self.locate_all(&[part]);
        Ok(found.into_iter().map(|(located, _)| located).collect())
    }

    /// As [`Reader::locate`] for several parts, in order and apart from each other. Each place comes
    /// once, with the first byte of the parts that is of it.
    pub fn locate_all(&self, parts: &[Range<u64>]) -> Vec<(Located, u64)> {
        let mut found = Vec::new();
        if let Some(first) = first_in(parts, &(0..BLOCK_BYTES)) {
            found.push((Located::Metadata, first));
        }
        for entry in self.walk() {
            let touched = entry.and_then(|entry| self.touched(entry, parts, &mut found));
            if touched.is_err() {
                let first = parts.first().map_or(0, |part| part.start);
                found.push((Located::Metadata, first));
            }
        }
        found.sort_unstable();
        found.dedup_by(|later, earlier| later.0 == earlier.0);
        found
    }

    fn touched(
        &self,
        entry: WalkEntry,
        parts: &[Range<u64>],
        found: &mut Vec<(Located, u64)>,
    ) -> Result<()> {
        let WalkEntry { path, inode } = entry;
        if let Some(first) = first_in(parts, &inode.head(self.base())) {
            found.push((Located::Attributes(path.clone()), first));
        }
        let mut offset = 0;
        while let Some(segment) = self.segment(&inode, offset)? {
            let range = segment.image_offset.map(|at| at..at + segment.length);
            if let Some(first) = range.and_then(|range| first_in(parts, &range)) {
                let located = if inode.kind == FileKind::File {
                    Located::Content(path)
                } else {
                    Located::Attributes(path)
                };
                found.push((located, first));
                break;
            }
            offset += segment.length;
        }
        Ok(())
    }
}

/// The first byte of `range` that is in one of `parts`, which are in order.
fn first_in(parts: &[Range<u64>], range: &Range<u64>) -> Option<u64> {
    let part = parts.get(parts.partition_point(|part| part.end <= range.start))?;
    let first = part.start.max(range.start);
    (first < range.end).then_some(first)
}

impl<S: ReadAt> Walk<'_, S> {
    fn step(&mut self) -> Result<Option<WalkEntry>> {
        if !self.started {
            self.started = true;
            let root = self.reader.root()?;
            return self.enter(root).map(Some);
        }
        loop {
            let Some(top) = self.pending.last_mut() else {
                return Ok(None);
            };
            self.path.truncate(top.path_bytes);
            let next = entry_at(self.reader, &top.directory, top.position, &mut self.block)?;
            let Some(entry) = next else {
                self.pending.pop();
                self.block = None;
                continue;
            };
            top.position = entry.next;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&entry.name);
            if self.path.len() > PATH_BYTES_MAX {
                return Err(damaged("a path is longer than 64 KiB"));
            }
            let inode = self.reader.inode(entry.nid)?;
            return self.enter(inode).map(Some);
        }
    }

    /// Comes to an inode at the current path.
    fn enter(&mut self, inode: Inode) -> Result<WalkEntry> {
        if inode.kind == FileKind::Directory {
            if !self.seen.insert(inode.nid) {
                return Err(damaged(format!("directory {} has two parents", inode.nid)));
            }
            self.block = None;
            self.pending.push(Pending {
                directory: inode.clone(),
                position: 0,
                path_bytes: self.path.len(),
            });
        }
        Ok(WalkEntry {
            path: self.path.clone(),
            inode,
        })
    }
}

impl<S: ReadAt> Iterator for Walk<'_, S> {
    type Item = Result<WalkEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.pending.clear();
        }
        step.transpose()
    }
}
