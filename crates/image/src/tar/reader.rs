//! Reads an archive from front to back, in bounded memory whatever the archive says.
//!
//! The meaning of an entry is put together from its header and the extension headers in front of it
//! (GNU `L` and `K`, pax `x` and `g`). A pax `size` decides how far the content reaches also when
//! the header says otherwise: a reader that skipped by the header's number would take content for
//! headers.

use std::io::BufRead;

use super::header::Header;
use super::pax::{Pax, decimal};
use super::sparse::{self, SEGMENTS_MAX};
use super::{BLOCK, BLOCK_BYTES, Entry, EntryKind, Segment};
use crate::error::{Context, Error, Result};
use crate::timestamp::Timestamp;

/// An extension header larger than this is refused.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// Walks an archive: [`Reader::next_entry`], then the content by [`Reader::content`] and
/// [`Reader::consume`], or not: what is not read is skipped.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes taken from `input`.
    offset: u64,
    /// Content of the current entry that was not consumed yet, and what fills its last block.
    remaining: u64,
    padding: u64,
    global: Pax,
    entry_offset: u64,
}

/// What stands in front of an entry's header.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            offset: 0,
            remaining: 0,
            padding: 0,
            global: Pax::default(),
            entry_offset: 0,
        }
    }

    /// Where the current entry begins, its extension headers included.
    pub(crate) fn entry_offset(&self) -> u64 {
        self.entry_offset
    }

    /// How far the archive was read: after [`Reader::next_entry`], where the content begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry, or `None` at the end-of-archive mark. Without the mark the archive was cut
    /// off, and that is an error.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>> {
        self.skip(self.remaining + self.padding)?;
        self.remaining = 0;
        self.padding = 0;
        self.entry_offset = self.offset;
        let mut extensions = Extensions {
            pax: self.global.clone(),
            ..Extensions::default()
        };
        loop {
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            match header.type_flag() {
                b'x' | b'X' => {
                    extensions.pax = self.global.clone();
                    let body = self.extension(&header)?;
                    let parsed = extensions.pax.parse(&body);
                    parsed.map_err(|reason| self.malformed(&reason))?;
                }
                b'g' => {
                    let body = self.extension(&header)?;
                    self.set_global(&body)?;
                    extensions.pax = self.global.clone();
                }
                b'L' => extensions.path = Some(until_nul(self.extension(&header)?)),
                b'K' => extensions.link = Some(until_nul(self.extension(&header)?)),
                // The label of a GNU volume: names nothing inside.
                b'V' => {
                    self.extension(&header)?;
                }
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// The next piece of the current entry's content; empty when there is no more.
    pub(crate) fn content(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let at = self.offset;
        let available = self.input.fill_buf().step(|| "read the archive")?;
        if available.is_empty() {
            return Err(cut_off(at));
        }
        let length = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        Ok(&available[..available.len().min(length)])
    }

    /// Marks `count` bytes, at most what [`Reader::content`] gave, as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.offset += count as u64;
        self.remaining -= count as u64;
    }

    /// Reads to the end of the input; nothing after the end-of-archive mark has a meaning.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            let length = self.input.fill_buf().step(|| "read the archive")?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
            self.offset += length as u64;
        }
    }

    fn malformed(&self, reason: &str) -> Error {
        Error::invalid(format!(
            "malformed archive: {reason} (entry at byte {})",
            self.entry_offset
        ))
    }

    /// The next header block; `None` at the end-of-archive mark.
    fn header(&mut self) -> Result<Option<Header>> {
        let at = self.offset;
        if self
            .input
            .fill_buf()
            .step(|| "read the archive")?
            .is_empty()
        {
            return Err(if at == 0 {
                Error::invalid("the archive is empty")
                    .hint("an archive without files still has two blocks of zeros")
            } else {
                Error::invalid(format!("the archive was cut off: no end mark at byte {at}"))
            });
        }
        let mut header = Header([0; BLOCK]);
        self.read_exact(&mut header.0)?;
        if header.is_zero() {
            return Ok(None);
        }
        if !header.checksum_is_right() {
            return Err(if at == 0 {
                Error::invalid("this is not a tar archive")
                    .hint("give a root file system as tar, tar.gz or tar.zst, or a directory")
            } else {
                Error::invalid(format!(
                    "malformed archive: the header at byte {at} has a wrong checksum"
                ))
            });
        }
        Ok(Some(header))
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        let at = self.offset;
        self.input.read_exact(buffer).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                cut_off(at)
            } else {
                let failed: Result<()> = Err(error).step(|| "read the archive");
                failed.err().unwrap_or_else(|| cut_off(at))
            }
        })?;
        self.offset += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let available = self.input.fill_buf().step(|| "read the archive")?.len();
            if available == 0 {
                return Err(cut_off(self.offset));
            }
            let step = available.min(usize::try_from(count).unwrap_or(usize::MAX));
            self.input.consume(step);
            self.offset += step as u64;
            count -= step as u64;
        }
        Ok(())
    }

    /// The content of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.size().and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| self.malformed("an extension header has no valid size"))?;
        if size > EXTENSION_BYTES_MAX {
            return Err(self.malformed(&format!(
                "an extension header claims {size} bytes, the limit is {EXTENSION_BYTES_MAX}"
            )));
        }
        let length = usize::try_from(size).unwrap_or(0);
        let mut body = vec![0; length];
        self.read_exact(&mut body)?;
        self.skip(padding(size))?;
        Ok(body)
    }

    fn set_global(&mut self, body: &[u8]) -> Result<()> {
        let mut global = std::mem::take(&mut self.global);
        let parsed = global.parse(body);
        parsed.map_err(|reason| self.malformed(&reason))?;
        global.retain_global();
        // Every entry starts from a copy.
        if global.memory_bytes() > 64 << 10 {
            return Err(self.malformed("the global headers hold more than 64 KiB"));
        }
        self.global = global;
        Ok(())
    }

    /// Puts the entry together and gets ready to read its content.
    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry> {
        let Extensions { path, link, pax } = extensions;
        let mut path = pax.path.clone().or(path).unwrap_or_else(|| header.path());
        let kind = self.kind(header, &path)?;
        // Only files have content; what other kinds put into `size` is not a length.
        let stored = match kind {
            EntryKind::File => match pax.size {
                Some(size) => size,
                None => self.field("size", header.size())?,
            },
            _ => 0,
        };
        if stored > i64::MAX.cast_unsigned() {
            return Err(self.malformed("a size is out of range"));
        }
        self.remaining = stored;
        self.padding = padding(stored);
        let (size, segments) = if kind == EntryKind::File {
            self.layout(header, &pax, stored)?
        } else {
            (0, None)
        };
        if let (EntryKind::File, Some(name)) = (kind, pax.sparse.name) {
            path = name;
        }
        let device = match kind {
            EntryKind::Character | EntryKind::Block => self.device(header)?,
            _ => (0, 0),
        };
        Ok(Entry {
            kind,
            path,
            link: pax.link.or(link).unwrap_or_else(|| header.link()),
            mode: self.field::<u32>("mode", header.mode())? & 0o7777,
            uid: self.owner("uid", pax.uid, header.uid())?,
            gid: self.owner("gid", pax.gid, header.gid())?,
            modified: match pax.modified {
                Some(modified) => modified,
                None => Timestamp {
                    seconds: self.field("mtime", header.modified())?,
                    nanoseconds: 0,
                },
            },
            size,
            segments,
            device,
            xattrs: pax.xattrs,
        })
    }

    fn kind(&self, header: &Header, path: &[u8]) -> Result<EntryKind> {
        Ok(match header.type_flag() {
            // v7 archives mark a directory by a slash at the end of its name.
            0 | b'0' | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Character,
            b'4' => EntryKind::Block,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'M' => return Err(self.malformed("it continues a file of another volume")),
            other => {
                let shown = char::from(other).escape_default();
                return Err(self.malformed(&format!("unknown type of entry `{shown}`")));
            }
        })
    }

    fn field<T: TryFrom<i64>>(&self, name: &str, value: Option<i64>) -> Result<T> {
        value
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| self.malformed(&format!("{name} is malformed or out of range")))
    }

    /// An owner. The number 2^32 - 1 means "leave as it is" to chown(2) and so cannot be one.
    fn owner(&self, name: &str, pax: Option<u64>, header: Option<i64>) -> Result<u32> {
        let value = match pax {
            Some(value) => value,
            None => self.field(name, header)?,
        };
        match u32::try_from(value) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(self.malformed(&format!("{name} {value} is out of range"))),
        }
    }

    /// Linux has 12 bits for the major number and 20 for the minor.
    fn device(&self, header: &Header) -> Result<(u32, u32)> {
        let (major, minor) = header
            .device()
            .ok_or_else(|| self.malformed("a device number is malformed"))?;
        match (u32::try_from(major), u32::try_from(minor)) {
            (Ok(major), Ok(minor)) if major < 1 << 12 && minor < 1 << 20 => Ok((major, minor)),
            _ => Err(self.malformed(&format!("no device {major}:{minor} can exist"))),
        }
    }

    /// The length of the file and where its content goes.
    fn layout(
        &mut self,
        header: &Header,
        pax: &Pax,
        stored: u64,
    ) -> Result<(u64, Option<Vec<Segment>>)> {
        let records = &pax.sparse;
        let (size, map) = if header.type_flag() == b'S' {
            let size = sparse::old_gnu_real_size(&header.0)
                .ok_or_else(|| self.malformed("a sparse file has no valid size"))?;
            (size, self.old_gnu_map(header)?)
        } else if records.major == Some(1) && records.minor.unwrap_or(0) == 0 {
            let size = records.real_size;
            let size = size.ok_or_else(|| self.malformed("a sparse file has no size"))?;
            (size, self.leading_map()?)
        } else if records.has_map {
            let size = records.real_size;
            let size = size.ok_or_else(|| self.malformed("a sparse file has no size"))?;
            (size, records.map.clone())
        } else if records.major.is_some() {
            return Err(self.malformed("unknown version of the sparse format"));
        } else {
            return Ok((stored, None));
        };
        if size > i64::MAX.cast_unsigned() {
            return Err(self.malformed("a size is out of range"));
        }
        let segments = sparse::segments(&map, size, self.remaining);
        let segments = segments.map_err(|reason| self.malformed(&reason))?;
        Ok((size, Some(segments)))
    }

    fn old_gnu_map(&mut self, header: &Header) -> Result<Vec<u64>> {
        let mut map = Vec::new();
        let mut block = header.0;
        let mut is_header = true;
        loop {
            let continued = sparse::old_gnu_pairs(&block, is_header, &mut map);
            if !continued.map_err(|reason| self.malformed(&reason))? {
                return Ok(map);
            }
            is_header = false;
            self.read_exact(&mut block)?;
        }
    }

    /// The map of pax sparse format 1.0: decimal lines in front of the content, in whole blocks.
    fn leading_map(&mut self) -> Result<Vec<u64>> {
        let mut text = MapText::default();
        let count = self.map_number(&mut text)?;
        let count = usize::try_from(count)
            .ok()
            .filter(|&count| count <= SEGMENTS_MAX)
            .ok_or_else(|| self.malformed("the sparse map has too many pieces"))?;
        // Not reserved: the count is only a claim until the numbers are there.
        let mut map = Vec::new();
        for _ in 0..2 * count {
            map.push(self.map_number(&mut text)?);
        }
        Ok(map)
    }

    /// The next decimal line of the map.
    fn map_number(&mut self, text: &mut MapText) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if text.used == BLOCK {
                if self.remaining < BLOCK_BYTES {
                    return Err(self.malformed("the sparse map is cut off"));
                }
                self.read_exact(&mut text.block)?;
                self.remaining -= BLOCK_BYTES;
                text.used = 0;
            }
            let byte = text.block[text.used];
            text.used += 1;
            if byte == b'\n' {
                let value = decimal("sparse map", &digits);
                return value.map_err(|reason| self.malformed(&reason));
            }
            digits.push(byte);
            if digits.len() > 20 {
                return Err(self.malformed("the sparse map has a malformed number"));
            }
        }
    }
}

/// The block of a sparse map that is being read, and how far.
struct MapText {
    block: [u8; BLOCK],
    used: usize,
}

impl Default for MapText {
    fn default() -> Self {
        Self {
            block: [0; BLOCK],
            used: BLOCK,
        }
    }
}

fn cut_off(at: u64) -> Error {
    if at == 0 {
        return Error::invalid("not a tar archive: it has less than one block of 512 bytes");
    }
    Error::invalid(format!("the archive was cut off at byte {at}"))
}

/// What fills the last block of `size` bytes.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|&byte| byte == 0) {
        text.truncate(end);
    }
    text
}
