//! Writes a directory as a pax archive: the same tree gives the same bytes.
//!
//! Entries are sorted by name, names are relative, times have nanoseconds, and whatever an ustar
//! header cannot hold stands in a pax header. Stays on one file system, unless it is asked not to:
//! what is mounted inside is an empty directory in the archive. Sockets are left out: an archive
//! cannot hold them.
//!
//! Each file is opened once, as a place, and looked at and read by that descriptor only: somebody
//! who changes the tree meanwhile changes what is found in it, and never leads out of it.
//!
//! The upper directory of an overlay becomes the archive of a layer: what the kernel marks as
//! deleted is a `.wh.` file there (image-spec, layer.md).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use insula_sys::rustix::fs::{self, FileType, OFlags, RawDir, ResolveFlags, SeekFrom, Stat};
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
    /// Paths that are left out.
    pub(crate) hidden: Vec<PathBuf>,
}

/// Which files a tree is made of, and how they are called.
#[derive(Debug, Clone, Default)]
pub struct TreeForm {
    /// What its top is called in the archive: a relative name, or empty for `.`.
    pub name: Vec<u8>,
    /// Only what is in the top, not the top itself.
    pub contents_only: bool,
    /// Also what is mounted inside, but for views of the kernel such as `/proc`.
    pub crosses_mounts: bool,
}

/// What a tree had that is not in its archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrittenTree {
    /// Sockets.
    pub left_out: u64,
}

/// Writes `directory` and everything below it to `output`, with the end-of-archive mark.
///
/// # Errors
/// A file cannot be read, or shrinks while it is read. The error names it.
pub(crate) fn write_directory(directory: &Path, output: &mut dyn Write) -> io::Result<()> {
    let top = open_top(directory)?;
    write(top, &TreeForm::default(), None, output).map(drop)
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
    let top = open_top(directory)?;
    write(top, &TreeForm::default(), Some(upper), output).map(drop)
}

/// Writes the file or directory that `top` is open at (`O_PATH` is enough), with everything below
/// it and the end-of-archive mark.
///
/// # Errors
/// A file cannot be read, or shrinks while it is read. The error names it.
pub fn write_tree(
    top: OwnedFd,
    form: &TreeForm,
    output: &mut dyn Write,
) -> io::Result<WrittenTree> {
    write(top, form, None, output)
}

fn open_top(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = fs::open(directory, flags, fs::Mode::empty());
    top.map_err(|errno| at(directory)(errno.into()))
}

fn write(
    top: OwnedFd,
    form: &TreeForm,
    upper: Option<&Upper>,
    output: &mut dyn Write,
) -> io::Result<WrittenTree> {
    let mut archive = Archive {
        output,
        device: fs::fstat(&top)?.st_dev,
        links: HashMap::new(),
        form,
        upper,
        written: WrittenTree::default(),
    };
    archive.tree(top)?;
    archive.output.write_all(&[0; 2 * BLOCK])?;
    Ok(archive.written)
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
    form: &'out TreeForm,
    upper: Option<&'out Upper>,
    written: WrittenTree,
}

/// A file that is still to be written.
struct Pending {
    directory: Rc<OwnedFd>,
    relative: PathBuf,
}

/// What goes into the headers of one entry.
struct Member<'a> {
    name: Vec<u8>,
    link: Vec<u8>,
    type_flag: u8,
    metadata: &'a Stat,
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
            // The stored nanoseconds are fewer than 10^9.
            None => (
                self.metadata.st_mtime,
                i64::try_from(self.metadata.st_mtime_nsec).unwrap_or(0),
            ),
        }
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Archive<'_> {
    /// Depth first, without recursion: a directory's depth is not ours to trust.
    fn tree(&mut self, top: OwnedFd) -> io::Result<()> {
        let mut pending = Vec::new();
        let relative = PathBuf::from(OsStr::from_bytes(&self.form.name));
        let shown = at(&relative);
        let metadata = fs::fstat(&top).map_err(|errno| shown(errno.into()))?;
        if !self.form.contents_only {
            self.member(&top, &relative, &metadata).map_err(&shown)?;
        }
        self.enter(&top, &relative, &metadata, &mut pending)
            .map_err(&shown)?;
        drop(top);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        while let Some(Pending {
            directory,
            relative,
        }) = pending.pop()
        {
            if self
                .upper
                .is_some_and(|upper| upper.hidden.contains(&relative))
            {
                continue;
            }
            let shown = at(&relative);
            let name = relative.file_name().unwrap_or_default();
            let file = match fs::openat(&directory, name, flags, fs::Mode::empty()) {
                // Somebody who works in the tree has removed it since.
                Err(Errno::NOENT) => continue,
                other => other.map_err(|errno| shown(errno.into()))?,
            };
            let metadata = fs::fstat(&file).map_err(|errno| shown(errno.into()))?;
            self.member(&file, &relative, &metadata).map_err(&shown)?;
            self.enter(&file, &relative, &metadata, &mut pending)
                .map_err(&shown)?;
        }
        Ok(())
    }

    /// Puts what is in a directory on the list.
    fn enter(
        &self,
        file: &OwnedFd,
        relative: &Path,
        metadata: &Stat,
        pending: &mut Vec<Pending>,
    ) -> io::Result<()> {
        if FileType::from_raw_mode(metadata.st_mode) != FileType::Directory {
            return Ok(());
        }
        let is_mount = metadata.st_dev != self.device;
        if is_mount && (!self.form.crosses_mounts || is_view(file)?) {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = Rc::new(fs::openat(file, ".", flags, fs::Mode::empty())?);
        let mut names = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 8 << 10];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        pending.extend(names.into_iter().map(|name| Pending {
            directory: Rc::clone(&directory),
            relative: relative.join(OsStr::from_bytes(&name)),
        }));
        Ok(())
    }

    fn member(&mut self, file: &OwnedFd, relative: &Path, metadata: &Stat) -> io::Result<()> {
        let kind = FileType::from_raw_mode(metadata.st_mode);
        if self.upper.is_some() && kind == FileType::CharacterDevice && metadata.st_rdev == 0 {
            return self.mark(
                relative.parent(),
                relative.file_name().map(OsStrExt::as_bytes),
            );
        }
        if kind == FileType::Socket {
            self.written.left_out += 1;
            return Ok(());
        }
        let mut name = relative.as_os_str().as_bytes().to_vec();
        if kind == FileType::Directory {
            if name.is_empty() {
                name.push(b'.');
            }
            name.push(b'/');
        }
        let mut member = Member {
            name,
            link: Vec::new(),
            type_flag: type_flag(kind),
            metadata,
            stored: 0,
            xattrs: Vec::new(),
            sparse_size: None,
            modified: self.upper.and_then(|upper| upper.modified),
        };
        if kind != FileType::Directory && metadata.st_nlink > 1 {
            // The files of a union come from several file systems.
            let identity = (metadata.st_dev, metadata.st_ino);
            if let Some(first) = self.links.get(&identity) {
                member.link.clone_from(first);
                member.type_flag = b'1';
                return self.headers(&member);
            }
            self.links.insert(identity, member.name.clone());
        }
        let path = path_of(file);
        member.xattrs = xattrs(&path)?;
        if let Some(upper) = self.upper {
            check_whole(&member.xattrs)?;
            member.xattrs.retain(|(name, _)| !is_overlay_xattr(name));
            if kind == FileType::Directory && is_opaque(&path)? && upper.lies_above(relative)? {
                self.headers(&member)?;
                return self.mark(Some(relative), None);
            }
        }
        match kind {
            FileType::RegularFile => return self.file(&path, member),
            FileType::Symlink => member.link = fs::readlinkat(file, "", Vec::new())?.into_bytes(),
            _ => {}
        }
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
        // The path leads to the very file that was looked at, which is a regular one.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut file = File::from(fs::open(path, flags, fs::Mode::empty())?);
        let size = u64::try_from(member.metadata.st_size).unwrap_or(0);
        let stored = u64::try_from(member.metadata.st_blocks).unwrap_or(0) * 512;
        let segments = if stored < size {
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
        header.number(100, 7, u64::from(metadata.st_mode & 0o7777));
        header.number(108, 7, capped(u64::from(metadata.st_uid), OCTAL_7_MAX));
        header.number(116, 7, capped(u64::from(metadata.st_gid), OCTAL_7_MAX));
        header.number(124, 11, capped(member.stored, OCTAL_11_MAX));
        let seconds = u64::try_from(member.time().0).unwrap_or(0);
        header.number(136, 11, capped(seconds, OCTAL_11_MAX));
        if matches!(member.type_flag, b'3' | b'4') {
            let device = metadata.st_rdev;
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

fn type_flag(kind: FileType) -> u8 {
    match kind {
        FileType::Directory => b'5',
        FileType::Symlink => b'2',
        FileType::CharacterDevice => b'3',
        FileType::BlockDevice => b'4',
        FileType::Fifo => b'6',
        _ => b'0',
    }
}

/// The path that leads to what a descriptor is open at, and follows nothing there.
fn path_of(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Whether a file system shows what the kernel knows, and stores nothing.
fn is_view(file: &OwnedFd) -> io::Result<bool> {
    // proc, sysfs, cgroup, cgroup2, devpts, mqueue, debugfs, tracefs, securityfs, bpf
    const VIEWS: [fs::FsWord; 10] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x1cd1,
        0x1980_0202,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xcafe_4a11,
    ];
    let magic = fs::fstatfs(file)?.f_type;
    Ok(VIEWS.contains(&magic))
}

/// Where the host's default makes overlays keep a renamed directory, or a file's content, in a
/// layer below under another name, the upper directory alone does not say what has changed.
fn check_whole(xattrs: &[Xattr]) -> io::Result<()> {
    const ELSEWHERE: [&[u8]; 4] = [
        b"trusted.overlay.redirect",
        b"trusted.overlay.metacopy",
        b"user.overlay.redirect",
        b"user.overlay.metacopy",
    ];
    match xattrs
        .iter()
        .find(|(name, _)| ELSEWHERE.contains(&name.as_slice()))
    {
        Some(_) => Err(io::Error::other(
            "the overlay keeps it in a layer below under another name (redirect_dir or metacopy)",
        )),
        None => Ok(()),
    }
}

fn is_overlay_xattr(name: &[u8]) -> bool {
    OVERLAY_XATTRS.iter().any(|prefix| name.starts_with(prefix))
}

fn is_opaque(path: &Path) -> io::Result<bool> {
    let mut value = [0_u8; 8];
    for name in OPAQUE_XATTRS {
        match fs::getxattr(path, name, value.as_mut_slice()) {
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
    if u64::from(metadata.st_uid) > OCTAL_7_MAX {
        add(b"uid", metadata.st_uid.to_string().as_bytes());
    }
    if u64::from(metadata.st_gid) > OCTAL_7_MAX {
        add(b"gid", metadata.st_gid.to_string().as_bytes());
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

/// The extended attributes, sorted by name, of what a path of [`path_of`] leads to.
fn xattrs(path: &Path) -> io::Result<Vec<Xattr>> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match fs::listxattr(path, names.as_mut_slice()) {
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
        match fs::getxattr(path, name, value.as_mut_slice()) {
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
