//! Directories of an image that is read: one block of entries at a time.

use super::format::{BLOCK, BLOCK_BYTES, ENTRY_BYTES, FileKind, NAME_BYTES_MAX, u16_at, u64_at};
use super::reader::{Inode, Reader, damaged};
use super::source::ReadAt;
use crate::error::{Error, Result};

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    pub name: Vec<u8>,
    pub nid: u64,
    /// Where the listing goes on after this one, for [`Reader::read_directory`].
    pub next: u64,
}

/// A directory being listed, see [`Reader::read_directory`].
#[derive(Debug)]
pub struct ReadDirectory<'r, S> {
    reader: &'r Reader<S>,
    directory: Inode,
    /// The entry to look at next: where its fixed part is in the directory.
    position: u64,
    block: Option<EntryBlock>,
}

/// One block of a directory, checked as a whole.
#[derive(Debug)]
pub(super) struct EntryBlock {
    number: u64,
    bytes: Vec<u8>,
    count: usize,
}

impl EntryBlock {
    fn read<S: ReadAt>(reader: &Reader<S>, directory: &Inode, number: u64) -> Result<Self> {
        let wrong = || damaged(format!("entries of directory {}", directory.nid));
        let mut bytes = vec![0; BLOCK];
        let length = reader.read(directory, number * BLOCK_BYTES, &mut bytes)?;
        bytes.truncate(length);
        // The first name begins where the fixed parts end.
        let names = usize::from(u16_at(&bytes, 8));
        if names == 0 || !names.is_multiple_of(ENTRY_BYTES) || names > bytes.len() {
            return Err(wrong());
        }
        let block = Self {
            number,
            bytes,
            count: names / ENTRY_BYTES,
        };
        let is_sound = |index| {
            let name = block.name(index);
            let known = name.is_some_and(|name| {
                let length = name.len();
                (1..=NAME_BYTES_MAX).contains(&length) && !name.contains(&b'/')
            });
            known && block.name_start(index) >= names
        };
        if !(0..block.count).all(is_sound) {
            return Err(wrong());
        }
        Ok(block)
    }

    fn name_start(&self, index: usize) -> usize {
        usize::from(u16_at(&self.bytes, index * ENTRY_BYTES + 8))
    }

    fn name(&self, index: usize) -> Option<&[u8]> {
        let start = self.name_start(index);
        let end = if index + 1 < self.count {
            self.name_start(index + 1)
        } else {
            self.bytes.len()
        };
        let name = self.bytes.get(start..end)?;
        let length = name.iter().position(|&byte| byte == 0);
        Some(&name[..length.unwrap_or(name.len())])
    }

    fn nid(&self, index: usize) -> u64 {
        u64_at(&self.bytes, index * ENTRY_BYTES)
    }
}

/// The entry at `position` of a directory or the next after it, without `.` and `..`. `block` is
/// used again while it is the right one.
pub(super) fn entry_at<S: ReadAt>(
    reader: &Reader<S>,
    directory: &Inode,
    mut position: u64,
    block: &mut Option<EntryBlock>,
) -> Result<Option<DirectoryEntry>> {
    while position < directory.size {
        let number = position / BLOCK_BYTES;
        let current = match block.take().filter(|block| block.number == number) {
            Some(current) => current,
            None => EntryBlock::read(reader, directory, number)?,
        };
        let current = block.insert(current);
        let inside = position - number * BLOCK_BYTES;
        let index = usize::try_from(inside).unwrap_or(usize::MAX) / ENTRY_BYTES;
        if index >= current.count {
            position = (number + 1) * BLOCK_BYTES;
            continue;
        }
        let next = position + ENTRY_BYTES as u64;
        let name = current.name(index).unwrap_or_default();
        if !matches!(name, b"." | b"..") {
            return Ok(Some(DirectoryEntry {
                name: name.to_vec(),
                nid: current.nid(index),
                next,
            }));
        }
        position = next;
    }
    Ok(None)
}

impl<S: ReadAt> Iterator for ReadDirectory<'_, S> {
    type Item = Result<DirectoryEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = entry_at(self.reader, &self.directory, self.position, &mut self.block);
        match &found {
            Ok(Some(entry)) => self.position = entry.next,
            // After an error there is nothing more to say.
            _ => self.position = u64::MAX,
        }
        found.transpose()
    }
}

impl<S: ReadAt> Reader<S> {
    /// Lists a directory without `.` and `..`, from the start with `position` 0, or from behind an
    /// entry with its `next`.
    ///
    /// # Errors
    /// It is no directory. Each step may fail on a damaged image.
    pub fn read_directory(&self, directory: &Inode, position: u64) -> Result<ReadDirectory<'_, S>> {
        check_directory(directory)?;
        Ok(ReadDirectory {
            reader: self,
            directory: directory.clone(),
            position,
            block: None,
        })
    }

    /// The inode of a name in a directory, neither `.` nor `..`.
    ///
    /// # Errors
    /// It is no directory, or the image is damaged.
    pub fn find(&self, directory: &Inode, name: &[u8]) -> Result<Option<Inode>> {
        check_directory(directory)?;
        // The last block whose first name is not greater.
        let mut low = 0;
        let mut high = directory.size.div_ceil(BLOCK_BYTES);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let block = EntryBlock::read(self, directory, middle)?;
            if block.name(0).is_some_and(|first| first <= name) {
                found = Some(block);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(block) = found else {
            return Ok(None);
        };
        let index = (0..block.count).find(|&index| block.name(index) == Some(name));
        match index {
            Some(index) if !matches!(name, b"." | b"..") => self.inode(block.nid(index)).map(Some),
            _ => Ok(None),
        }
    }

    /// The inode at a path of plain names below the root; no link is followed.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<Inode>> {
        let mut inode = self.root()?;
        for name in path.split(|&byte| byte == b'/') {
            if matches!(name, b"" | b".") {
                continue;
            }
            if inode.kind != FileKind::Directory {
                return Ok(None);
            }
            match self.find(&inode, name)? {
                Some(found) => inode = found,
                None => return Ok(None),
            }
        }
        Ok(Some(inode))
    }
}

fn check_directory(inode: &Inode) -> Result<()> {
    if inode.kind != FileKind::Directory {
        return Err(Error::invalid("not a directory"));
    }
    Ok(())
}
