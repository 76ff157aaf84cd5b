//! Writes a directory as a pax archive: the same tree gives the same bytes.
//!
//! Entries are sorted by name, names are relative, times have nanoseconds, and whatever an ustar
//! header cannot hold stands in a pax header. Stays on one file system: what is mounted inside is
//! an empty directory in the archive. Sockets are left out: an archive cannot hold them.
//!
//! The upper directory of an overlay becomes the archive of a layer: what the kernel marks as
//! deleted is a `.wh.` file there (image-spec, layer.md).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{self, OFlags, ResolveFlags, SeekFrom};
use insula_sys::rustix::{io::Errno, process};

use super::{BLOCK, BLOCK_BYTES, Segment, Xattr};

/// Values in the 11 octal digits of a size or time, and the 7 of an owner.
const OCTAL_11_MAX: u64 = 0o77_777_777_777;
const OCTAL_7_MAX: u64 = 0o7_777_777;

/// Attributes of the overlay itself: they mean nothing in another place.
const OVERLAY_XATTRS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
const OPAQUE_XATTRS: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// The changes of an overlay, to be written as the archive of a layer.
#[derive(Debug)]
pub(crate) struct Upper {
    /// The root of what lies below: a new directory hides nothing where there was none. Without it
    /// nothing lies below.
    pub(crate) below: Option<OwnedFd>,
    /// The time of every entry, in seconds since 1970, instead of the files' own.
    pub(crate) modified: Option<i64>,
}

/// Writes `directory` and everything below it to `output`, with the end-of-archive mark.
///
/// # Errors
/// A file cannot be read, or shrinks while it is read. The error names it.
pub(crate) fn write_directory(directory: &Path, output: &mut dyn Write) -> io::Result<()> {
    write(directory, None, output)
}

/// As [`write_directory`], for the upper directory of an overlay.
///
/// # Errors
/// As [`write_directory`].
pub(crate) fn write_upper(
    directory: &Path,
    upper: &Upper,
    output: &mut dyn Write,
) -> io::Result<()> {
    write(directory, Some(upper), output)
}

fn write(directory: &Path, upper: Option<&Upper>, output: &mut dyn Write) -> io::Result<()> {
    let metadata = directory.symlink_metadata().map_err(at(directory))?;
    let mut archive = Archive {
        output,
        device: metadata.dev(),
        links: HashMap::new(),
        upper,
    };
    archive.tree(directory)?;
    archive.output.write_all(&[0; 2 * BLOCK])
}

/// Writes the headers of a file of `size` bytes that everybody may read, made in 1970 by root: the
/// same content gives the same archive. `name` has at most 100 bytes.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn write_file_header(output: &mut dyn Write, name: &str, size: u64) -> io::Result<()> {
    if size > OCTAL_11_MAX {
        let mut record = Vec::new();
        append_record(&mut record, b"size", size.to_string().as_bytes());
        let mut header = Ustar::new(b'x', b"pax");
        header.number(124, 11, record.len() as u64);
        output.write_all(&header.finish())?;
        output.write_all(&record)?;
        write_padding(output, record.len() as u64)?;
    }
    let mut header = Ustar::new(b'0', name.as_bytes());
    header.number(100, 7, 0o644);
    header.number(108, 7, 0);
    header.number(116, 7, 0);
    header.number(124, 11, capped(size, OCTAL_11_MAX));
    header.number(136, 11, 0);
    output.write_all(&header.finish())
}

/// Fills the last block of `size` bytes of content.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn write_padding(output: &mut dyn Write, size: u64) -> io::Result<()> {
    let rest = size % BLOCK_BYTES;
    let count = if rest == 0 { 0 } else { BLOCK_BYTES - rest };
    io::copy(&mut io::repeat(0).take(count), output).map(drop)
}

struct Archive<'out> {
    output: &'out mut dyn Write,
    device: u64,
    /// Inodes with several names, and the first name.
    links: HashMap<(u64, u64), Vec<u8>>,
    upper: Option<&'out Upper>,
}

/// What goes into the headers of one entry.
struct Member<'a> {
    name: Vec<u8>,
    link: Vec<u8>,
    type_flag: u8,
    metadata: &'a std::fs::Metadata,
    /// Bytes of content in the archive.
    stored: u64,
    xattrs: Vec<Xattr>,
    sparse_size: Option<u64>,
    /// Replaces the time of `metadata`.
    modified: Option<i64>,
}

impl Member<'_> {
    /// Seconds and nanoseconds.
    fn time(&self) -> (i64, i64) {
        match self.modified {
            Some(seconds) => (seconds, 0),
            None => (self.metadata.mtime(), self.metadata.mtime_nsec()),
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Archive<'_> {
    /// Depth first, without recursion: a directory's depth is not ours to trust.
    fn tree(&mut self, root: &Path) -> io::Result<()> {
        let mut pending = vec![PathBuf::new()];
        while let Some(relative) = pending.pop() {
            let path = root.join(&relative);
            let metadata = path.symlink_metadata().map_err(at(&path))?;
            self.member(&path, &relative, &metadata)
                .map_err(at(&path))?;
            if metadata.is_dir() && metadata.dev() == self.device {
                let mut names = std::fs::read_dir(&path)
                    .map_err(at(&path))?
                    .map(|entry| entry.map(|entry| entry.file_name()))
                    .collect::<io::Result<Vec<_>>>()
                    .map_err(at(&path))?;
                names.sort_unstable_by(|a, b| b.cmp(a));
                pending.extend(names.into_iter().map(|name| relative.join(name)));
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        path: &Path,
        relative: &Path,
        metadata: &std::fs::Metadata,
    ) -> io::Result<()> {
        let kind = metadata.file_type();
        if self.upper.is_some() && kind.is_char_device() && metadata.rdev() == 0 {
            return self.mark(
                relative.parent(),
                relative.file_name().map(OsStrExt::as_bytes),
            );
        }
        let mut name = relative.as_os_str().as_bytes().to_vec();
        if kind.is_dir() {
            if name.is_empty() {
                name.push(b'.');
            }
            name.push(b'/');
        }
        let mut member = Member {
            name,
            link: Vec::new(),
            type_flag: b'0',
            metadata,
            stored: 0,
            xattrs: Vec::new(),
            sparse_size: None,
            modified: self.upper.and_then(|upper| upper.modified),
        };
        if !kind.is_dir() && metadata.nlink() > 1 {
            // The files of a union come from several file systems.
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&identity) {
                member.link.clone_from(first);
                member.type_flag = b'1';
                return self.headers(&member);
            }
            self.links.insert(identity, member.name.clone());
        }
        member.xattrs = xattrs(path)?;
        if let Some(upper) = self.upper {
            member.xattrs.retain(|(name, _)| !is_overlay_xattr(name));
            if kind.is_dir() && is_opaque(path)? && upper.lies_above(relative)? {
                member.type_flag = b'5';
                self.headers(&member)?;
                return self.mark(Some(relative), None);
            }
        }
        member.type_flag = if kind.is_file() {
            return self.file(path, member);
        } else if kind.is_dir() {
            b'5'
        } else if kind.is_symlink() {
            member.link = std::fs::read_link(path)?.into_os_string().into_vec();
            b'2'
        } else if kind.is_char_device() {
            b'3'
        } else if kind.is_block_device() {
            b'4'
        } else if kind.is_fifo() {
            b'6'
        } else {
            return Ok(());
        };
        self.headers(&member)
    }

    /// Writes the mark that says that `name` of a directory is deleted, or, without a name, that
    /// everything below the directory is. It looks the same whoever made it when.
    fn mark(&mut self, directory: Option<&Path>, name: Option<&[u8]>) -> io::Result<()> {
        let mut path = directory.map_or_else(Vec::new, |path| path.as_os_str().as_bytes().to_vec());
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(b".wh.");
        path.extend_from_slice(name.unwrap_or(b".wh..opq"));
        if path.len() > 100 {
            let mut records = Vec::new();
            append_record(&mut records, b"path", &path);
            self.pax(&records)?;
        }
        let header = Ustar::new(b'0', &path);
        self.output.write_all(&header.finish())
    }

    fn file(&mut self, path: &Path, mut member: Member<'_>) -> io::Result<()> {
        // The file may have been replaced since it was looked at: no following, no blocking.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(fs::open(path, flags, fs::Mode::empty())?);
        let size = member.metadata.size();
        let segments = if member.metadata.blocks() * 512 < size {
            data_segments(&file, size)?
        } else {
            vec![Segment {
                offset: 0,
                length: size,
            }]
        };
        let content: u64 = segments.iter().map(|segment| segment.length).sum();
        let map = (content < size).then(|| sparse_map(&segments, size));
        member.stored = content + map.as_ref().map_or(0, |map| map.len() as u64);
        member.sparse_size = map.is_some().then_some(size);
        self.headers(&member)?;
        self.output.write_all(map.as_deref().unwrap_or_default())?;
        for segment in &segments {
            fs::seek(&file, SeekFrom::Start(segment.offset))?;
            let copied = io::copy(&mut (&mut file).take(segment.length), self.output)?;
            if copied < segment.length {
                return Err(io::Error::other("the file shrank while it was read"));
            }
        }
        self.pad(content)
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let padding = usize::try_from(length.wrapping_neg() % BLOCK_BYTES).unwrap_or(0);
        self.output.write_all(&[0; BLOCK][..padding])
    }

    fn pax(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Ustar::new(b'x', b"pax");
        header.number(124, 11, records.len() as u64);
        self.output.write_all(&header.finish())?;
        self.output.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn headers(&mut self, member: &Member<'_>) -> io::Result<()> {
        let records = records(member);
        if !records.is_empty() {
            self.pax(&records)?;
        }
        let metadata = member.metadata;
        let mut header = Ustar::new(member.type_flag, &member.name);
        header.bytes(157, 100, &member.link);
        header.number(100, 7, u64::from(metadata.mode() & 0o7777));
        header.number(108, 7, capped(u64::from(metadata.uid()), OCTAL_7_MAX));
        header.number(116, 7, capped(u64::from(metadata.gid()), OCTAL_7_MAX));
        header.number(124, 11, capped(member.stored, OCTAL_11_MAX));
        let seconds = u64::try_from(member.time().0).unwrap_or(0);
        header.number(136, 11, capped(seconds, OCTAL_11_MAX));
        if matches!(member.type_flag, b'3' | b'4') {
            let device = metadata.rdev();
            header.number(329, 7, u64::from(fs::major(device)));
            header.number(337, 7, u64::from(fs::minor(device)));
        }
        self.output.write_all(&header.finish())
    }
}

impl Upper {
    /// Whether there is a directory below of the same name. Links on the way are no directories.
    fn lies_above(&self, relative: &Path) -> io::Result<bool> {
        let Some(below) = &self.below else {
            return Ok(false);
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat2(below, relative, flags, fs::Mode::empty(), resolve) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_overlay_xattr(name: &[u8]) -> bool {
    OVERLAY_XATTRS.iter().any(|prefix| name.starts_with(prefix))
}

fn is_opaque(path: &Path) -> io::Result<bool> {
    let mut value = [0_u8; 8];
    for name in OPAQUE_XATTRS {
        match fs::lgetxattr(path, name, value.as_mut_slice()) {
            Ok(length) if &value[..length] == b"y" => return Ok(true),
            // Absent, or longer than any value of it.
            Ok(_) | Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// A value that does not fit stands in the pax header, and 0 here.
fn capped(value: u64, max: u64) -> u64 {
    if value > max { 0 } else { value }
}

/// The pax records of whatever the ustar header cannot hold.
fn records(member: &Member<'_>) -> Vec<u8> {
    let metadata = member.metadata;
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| append_record(&mut records, key, value);
    if let Some(size) = member.sparse_size {
        add(b"GNU.sparse.major", b"1");
        add(b"GNU.sparse.minor", b"0");
        add(b"GNU.sparse.name", &member.name);
        add(b"GNU.sparse.realsize", size.to_string().as_bytes());
    } else if member.name.len() > 100 {
        add(b"path", &member.name);
    }
    if member.link.len() > 100 {
        add(b"linkpath", &member.link);
    }
    if member.stored > OCTAL_11_MAX {
        add(b"size", member.stored.to_string().as_bytes());
    }
    if u64::from(metadata.uid()) > OCTAL_7_MAX {
        add(b"uid", metadata.uid().to_string().as_bytes());
    }
    if u64::from(metadata.gid()) > OCTAL_7_MAX {
        add(b"gid", metadata.gid().to_string().as_bytes());
    }
    let time = member.time();
    if time.1 != 0 || !(0..=OCTAL_11_MAX.cast_signed()).contains(&time.0) {
        add(b"mtime", decimal_time(time).as_bytes());
    }
    for (name, value) in &member.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Decimal seconds; the stored nanoseconds always count forward, also before 1970.
fn decimal_time(time: (i64, i64)) -> String {
    match time {
        (seconds, 0) => seconds.to_string(),
        (seconds, nanoseconds) if seconds < 0 => {
            format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
        }
        (seconds, nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
    }
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn append_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() > length {
        length += 1;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

/// The map in front of a sparse file's content (pax sparse format 1.0), in whole blocks.
fn sparse_map(segments: &[Segment], size: u64) -> Vec<u8> {
    let mut text = format!("{}\n", segments.len() + 1);
    for segment in segments {
        text.push_str(&format!("{}\n{}\n", segment.offset, segment.length));
    }
    // An empty piece at the end, as GNU tar writes it.
    text.push_str(&format!("{size}\n0\n"));
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// Where the file has data, by asking for holes.
fn data_segments(file: &File, size: u64) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match fs::seek(file, SeekFrom::Data(position)) {
            Ok(start) => start.min(size),
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = fs::seek(file, SeekFrom::Hole(start))?.min(size);
        if end > start {
            segments.push(Segment {
                offset: start,
                length: end - start,
            });
        }
        position = end.max(start + 1);
    }
    Ok(segments)
}

/// The extended attributes of a file that is not followed, sorted by name.
fn xattrs(path: &Path) -> io::Result<Vec<Xattr>> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match fs::llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP | Errno::PERM) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    let mut value = Vec::new();
    for name in names[..length].split(|&byte| byte == 0) {
        if name.is_empty() {
            continue;
        }
        value.resize(64 << 10, 0);
        match fs::lgetxattr(path, name, value.as_mut_slice()) {
            Ok(length) => found.push((name.to_vec(), value[..length].to_vec())),
            // Gone since, or not for us to read.
            Err(Errno::NODATA) => {}
            Err(Errno::PERM | Errno::ACCESS) if !process::geteuid().is_root() => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// An ustar header being filled in.
struct Ustar([u8; BLOCK]);

impl Ustar {
    fn new(type_flag: u8, name: &[u8]) -> Self {
        let mut header = Self([0; BLOCK]);
        header.bytes(0, 100, name);
        header.0[156] = type_flag;
        header.bytes(257, 8, b"ustar\x0000");
        for (offset, digits) in [(100, 7), (108, 7), (116, 7), (124, 11), (136, 11)] {
            header.number(offset, digits, 0);
        }
        header
    }

    fn bytes(&mut self, offset: usize, length: usize, value: &[u8]) {
        let length = length.min(value.len());
        self.0[offset..offset + length].copy_from_slice(&value[..length]);
    }

    /// Octal digits, then a NUL.
    fn number(&mut self, offset: usize, digits: usize, value: u64) {
        let text = format!("{value:0digits$o}");
        self.bytes(offset, digits, text.as_bytes());
        self.0[offset + digits] = 0;
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        self.number(148, 6, sum);
        self.0
    }
}
