//! Writes a directory as a pax archive: the same tree gives the same bytes.
//!
//! Entries are sorted by name, names are relative, times have nanoseconds, and whatever an ustar
//! header cannot hold stands in a pax header. Stays on one file system: what is mounted inside is
//! an empty directory in the archive. Sockets are left out: an archive cannot hold them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{self, OFlags, SeekFrom};
use insula_sys::rustix::{io::Errno, process};

use super::{BLOCK, BLOCK_BYTES, Segment, Xattr};

/// Values in the 11 octal digits of a size or time, and the 7 of an owner.
const OCTAL_11_MAX: u64 = 0o77_777_777_777;
const OCTAL_7_MAX: u64 = 0o7_777_777;

/// Writes `directory` and everything below it to `output`, with the end-of-archive mark.
///
/// # Errors
/// A file cannot be read, or shrinks while it is read. The error names it.
pub(crate) fn write_directory(directory: &Path, output: &mut dyn Write) -> io::Result<()> {
    let metadata = directory.symlink_metadata().map_err(at(directory))?;
    let mut archive = Archive {
        output,
        device: metadata.dev(),
        links: HashMap::new(),
    };
    archive.tree(directory)?;
    archive.output.write_all(&[0; 2 * BLOCK])
}

struct Archive<'out> {
    output: &'out mut dyn Write,
    device: u64,
    /// Inodes with several names, and the first name.
    links: HashMap<u64, Vec<u8>>,
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
        };
        if !kind.is_dir() && metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&metadata.ino()) {
                member.link.clone_from(first);
                member.type_flag = b'1';
                return self.headers(&member);
            }
            self.links.insert(metadata.ino(), member.name.clone());
        }
        member.xattrs = xattrs(path)?;
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

    fn headers(&mut self, member: &Member<'_>) -> io::Result<()> {
        let records = records(member);
        if !records.is_empty() {
            let mut header = Ustar::new(b'x', b"pax");
            header.number(124, 11, records.len() as u64);
            self.output.write_all(&header.finish())?;
            self.output.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let metadata = member.metadata;
        let mut header = Ustar::new(member.type_flag, &member.name);
        header.bytes(157, 100, &member.link);
        header.number(100, 7, u64::from(metadata.mode() & 0o7777));
        header.number(108, 7, capped(u64::from(metadata.uid()), OCTAL_7_MAX));
        header.number(116, 7, capped(u64::from(metadata.gid()), OCTAL_7_MAX));
        header.number(124, 11, capped(member.stored, OCTAL_11_MAX));
        let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
        header.number(136, 11, capped(seconds, OCTAL_11_MAX));
        if matches!(member.type_flag, b'3' | b'4') {
            let device = metadata.rdev();
            header.number(329, 7, u64::from(fs::major(device)));
            header.number(337, 7, u64::from(fs::minor(device)));
        }
        self.output.write_all(&header.finish())
    }
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
    if metadata.mtime_nsec() != 0 || u64::try_from(metadata.mtime()).is_err() {
        add(b"mtime", decimal_time(metadata).as_bytes());
    }
    for (name, value) in &member.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Decimal seconds; the stored nanoseconds always count forward, also before 1970.
fn decimal_time(metadata: &std::fs::Metadata) -> String {
    match (metadata.mtime(), metadata.mtime_nsec()) {
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
