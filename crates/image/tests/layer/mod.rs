//! Writes archives as EROFS layers, reads them back by our reader and by the kernel, and makes
//! random archives: what the tests of this form share.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::print_stderr,
    reason = "every test binary compiles this and uses its own part; a skip is said"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use insula_image::erofs::{FileKind, Inode, Reader, WalkEntry, Written, write_layer};
use insula_image::{Digest, Limits, UnpackOptions};
use insula_sys::rustix::fs::{CWD, makedev};
use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use crate::archive::{Archive, header, sealed};

/// A layer in a file of its own.
pub(crate) struct Layer {
    directory: tempfile::TempDir,
    pub(crate) written: Written,
}

impl Layer {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("layer.erofs")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    pub(crate) fn reader(&self) -> Reader<File> {
        Reader::open(File::open(self.path()).unwrap()).unwrap()
    }
}

/// Writes a layer; the error is the whole chain.
pub(crate) fn write(archive: &[u8], options: &UnpackOptions) -> Result<Layer, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(directory.path().join("layer.erofs"))
        .unwrap();
    let written = write_layer(archive, &file, options).map_err(|error| error.chain())?;
    assert_eq!(file.metadata().unwrap().len(), written.image_bytes);
    Ok(Layer { directory, written })
}

/// Everything that [`crate::archive::snapshot`] says of a directory, of an image.
pub(crate) fn snapshot(layer: &Layer) -> BTreeMap<Vec<u8>, String> {
    let reader = layer.reader();
    let mut walked: Vec<WalkEntry> = reader.walk().map(Result::unwrap).collect();
    let inodes: std::collections::BTreeSet<u64> =
        walked.iter().map(|entry| entry.inode.nid).collect();
    assert_eq!(inodes.len() as u64, reader.inodes());
    walked.sort_by(|a, b| a.path.cmp(&b.path));
    let mut first_names = BTreeMap::new();
    let mut entries = BTreeMap::new();
    for WalkEntry { path, inode } in walked {
        let mut line = describe(&reader, &inode);
        if inode.kind != FileKind::Directory && inode.links > 1 {
            let first = first_names.entry(inode.nid).or_insert_with(|| path.clone());
            line += &format!(" = {first:?}");
        }
        let mut xattrs: Vec<_> = reader
            .xattrs(&inode)
            .unwrap()
            .iter()
            .map(|(name, value)| format!(" {name:?}={value:?}"))
            .collect();
        xattrs.sort();
        entries.insert(path, line + &xattrs.concat());
    }
    entries
}

fn describe(reader: &Reader<File>, inode: &Inode) -> String {
    let kind = match inode.kind {
        FileKind::Fifo => 0o010_000,
        FileKind::Character => 0o020_000,
        FileKind::Directory => 0o040_000,
        FileKind::Block => 0o060_000,
        FileKind::File => 0o100_000,
        FileKind::Symlink => 0o120_000,
        FileKind::Socket => 0o140_000,
    };
    let mut line = format!(
        "{:o} {}:{} {}.{:09} {}",
        kind | inode.permissions,
        inode.uid,
        inode.gid,
        inode.modified_seconds,
        inode.modified_nanoseconds,
        makedev(inode.device.0, inode.device.1),
    );
    match inode.kind {
        FileKind::File => {
            let content = content(reader, inode);
            line += &format!(" {} {}", content.len(), Digest::of(&content));
        }
        FileKind::Symlink => {
            let target = reader.read_link(inode).unwrap();
            line += &format!(" -> {:?}", std::ffi::OsStr::from_bytes(&target));
        }
        _ => {}
    }
    line
}

pub(crate) fn content(reader: &Reader<File>, inode: &Inode) -> Vec<u8> {
    let mut content = vec![0xee; usize::try_from(inode.size).unwrap()];
    assert_eq!(reader.read(inode, 0, &mut content).unwrap(), content.len());
    content
}

/// A file-backed mount, gone when it is dropped.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Mounts an image; `None` where this host cannot, which is said.
    pub(crate) fn new(image: &Path) -> Option<Self> {
        let Ok(context) = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC) else {
            eprintln!("skipped: this kernel has no EROFS, or not for this user");
            return None;
        };
        fsconfig_set_string(&context, "source", image).unwrap();
        match fsconfig_create(&context) {
            Ok(()) => {}
            Err(insula_sys::Errno::NOTBLK) => {
                eprintln!("skipped: this kernel mounts no files (before 6.12)");
                return None;
            }
            Err(errno) => panic!("mount {}: {errno}", image.display()),
        }
        let mount = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_RDONLY,
        )
        .unwrap();
        let place = tempfile::tempdir().unwrap();
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&mount, "", CWD, place.path(), flags).unwrap();
        Some(Self(place))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// What the archive does as a layer is what it did as a directory: accepted or refused alike.
pub(crate) fn same_verdict(archive: &[u8], limits: &Limits, verdict: &Result<(), String>) {
    let compressed = archive.starts_with(b"\x1f\x8b") || archive.starts_with(b"\x28\xb5\x2f\xfd");
    let is_cut = archive.len() as u64 > limits.archive_bytes;
    if compressed || is_cut || archive.starts_with(b"\xfd7zXZ") || archive.starts_with(b"BZh") {
        // What is in front of us in a pull takes care of these.
        return;
    }
    let options = UnpackOptions {
        limits: limits.clone(),
        ..UnpackOptions::default()
    };
    match (write(archive, &options), verdict) {
        (Ok(layer), Ok(())) => {
            snapshot(&layer);
        }
        (Err(ours), Err(theirs)) => {
            // They may come to a limit at different entries.
            let cause = ours.split_once("): ").map_or(&*ours, |(_, cause)| cause);
            assert!(theirs.ends_with(cause), "as a layer: {ours}\nbut: {theirs}");
        }
        (ours, theirs) => panic!("as a layer: {:?}\nbut: {theirs:?}", ours.err()),
    }
}

/// Numbers from a seed (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| self.below(256).to_le_bytes()[0])
            .collect()
    }
}

/// A random archive in the making, and what of it can be built upon.
pub(crate) struct Generator {
    pub(crate) random: Random,
    archive: Archive,
    /// Directories that exist, the root among them as the empty name.
    directories: Vec<Vec<u8>>,
    /// Files and links to them.
    files: Vec<Vec<u8>>,
    /// Directories that have an entry, and so a time.
    pub(crate) explicit: Vec<Vec<u8>>,
    whiteouts: bool,
    /// Makes names differ.
    serial: u32,
}

impl Generator {
    pub(crate) fn new(seed: u64, whiteouts: bool) -> Self {
        Self {
            random: Random::new(seed),
            archive: Archive::default(),
            directories: vec![Vec::new()],
            files: Vec::new(),
            explicit: vec![Vec::new()],
            whiteouts,
            serial: 0,
        }
    }

    pub(crate) fn archive(mut self, entries: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
        self.entry(b"./", b'5', b"", &[], &[]);
        for _ in 0..entries {
            self.one();
        }
        (self.archive.end(), self.explicit)
    }

    fn one(&mut self) {
        let name = self.new_name();
        match self.random.below(100) {
            0..25 => {
                self.entry(&name, b'5', b"", &[], &[]);
                self.directories.push(name.clone());
                self.explicit.push(name);
            }
            25..60 => self.file(&name),
            60..68 => self.sparse(&name),
            68..76 => {
                let length = [1, 30, 200, 3900, 4095][self.random.index(5)];
                let target: Vec<u8> = vec![b't'; length];
                self.entry(&name, b'2', &target, &[], &[]);
            }
            76..84 if !self.files.is_empty() => {
                let target = self.files[self.random.index(self.files.len())].clone();
                self.entry(&name, b'1', &target, &[], &[]);
                self.files.push(name);
            }
            84..88 => {
                let flag = [b'3', b'4', b'6'][self.random.index(3)];
                self.entry(&name, flag, b"", &[], &[]);
            }
            88..92 if !self.files.is_empty() => {
                // The same name again: the later one wins.
                let name = self.files.swap_remove(self.random.index(self.files.len()));
                self.file(&name);
            }
            92..96 if self.directories.len() > 1 => {
                // A directory goes, with all below it.
                let index = 1 + self.random.index(self.directories.len() - 1);
                let gone = self.directories.swap_remove(index);
                let below = [&gone, &b"/"[..]].concat();
                self.directories.retain(|name| !name.starts_with(&below));
                self.files.retain(|name| !name.starts_with(&below));
                self.explicit
                    .retain(|name| *name != gone && !name.starts_with(&below));
                self.file(&gone);
            }
            _ if self.whiteouts => self.whiteout(),
            _ => {
                let deep = [&name, &b"/left/out"[..]].concat();
                self.file(&deep);
            }
        }
    }

    fn whiteout(&mut self) {
        let directory = self.directories[self.random.index(self.directories.len())].clone();
        let name = if self.random.chance(30) {
            b"/.wh..wh..opq".to_vec()
        } else {
            format!("/.wh.gone{}", self.random.below(1000)).into_bytes()
        };
        let name = [directory, name].concat();
        self.entry(&name, b'0', b"", &[], &[]);
    }

    fn file(&mut self, name: &[u8]) {
        let sizes = [
            0, 1, 512, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 131_072,
        ];
        let length = if self.random.chance(60) {
            sizes[self.random.index(sizes.len())]
        } else {
            self.random.index(1 << 20)
        };
        let mut content = vec![7; length];
        let noise = self.random.bytes(257);
        for (place, byte) in content.iter_mut().zip(noise.iter().cycle()) {
            *place = *byte;
        }
        while length > 0 && self.random.chance(40) {
            let start = self.random.index(length);
            let end = (start + self.random.index(300_000)).min(length);
            content[start..end].fill(0);
        }
        self.entry(name, b'0', b"", &content, &[]);
        self.files.push(name.to_vec());
    }

    fn sparse(&mut self, name: &[u8]) {
        let bound = [10_000, 1 << 20, 1 << 24][self.random.index(3)];
        let size = self.random.below(bound);
        let mut map = Vec::new();
        let mut content = Vec::new();
        let mut offset = 0;
        while offset < size && map.len() < 20 {
            offset += [0, 1, 4096, 70_000, size][self.random.index(5)];
            let length =
                [1, 100, 4096, 50_000][self.random.index(4)].min(size.saturating_sub(offset));
            if length == 0 {
                break;
            }
            map.push((offset, length));
            content.extend(self.random.bytes(usize::try_from(length).unwrap()));
            offset += length;
        }
        let mut text = format!("{}\n", map.len());
        for (offset, length) in map {
            text += &format!("{offset}\n{length}\n");
        }
        let mut stored = text.into_bytes();
        stored.resize(stored.len().next_multiple_of(512), 0);
        stored.extend(content);
        let size = size.to_string();
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", name),
            ("GNU.sparse.realsize", size.as_bytes()),
        ];
        self.entry(b"sparse", b'0', b"", &stored, records);
        self.files.push(name.to_vec());
    }

    /// A name that was not there, in a directory that is.
    fn new_name(&mut self) -> Vec<u8> {
        let directory = self.directories[self.random.index(self.directories.len())].clone();
        let length = [3, 10, 40, 240][self.random.index(4)];
        let length = if directory.len() > 3000 { 3 } else { length };
        let mut name = self.random.bytes(length);
        for byte in &mut name {
            if matches!(byte, 0 | b'/') {
                *byte = b'!';
            }
        }
        self.serial += 1;
        name.extend(self.serial.to_string().bytes());
        if directory.is_empty() {
            return name;
        }
        [&directory, &b"/"[..], &name].concat()
    }

    /// Headers with random owner, mode, time and attributes, and the content.
    fn entry(
        &mut self,
        name: &[u8],
        flag: u8,
        link: &[u8],
        content: &[u8],
        more: &[(&str, &[u8])],
    ) {
        let random = &mut self.random;
        let ids = [0, 1000, 65535, 65536, 4_000_000_000_u32];
        let uid = ids[random.index(5)].to_string();
        let gid = ids[random.index(5)].to_string();
        let times = [
            "0",
            "1700000000",
            "1700000000",
            "-1.5",
            "-2000000000",
            "5000000000.123456789",
        ];
        let time = times[random.index(times.len())];
        let mut records = vec![
            ("uid", uid.as_bytes()),
            ("gid", gid.as_bytes()),
            ("mtime", time.as_bytes()),
            ("linkpath", link),
        ];
        if more.is_empty() {
            records.push(("path", name));
        }
        records.extend(more);
        let length = [0, 1, 20, 400][random.index(4)];
        let value = random.bytes(length);
        // Directories may come again: the same ones each time, for they would add up.
        if flag != b'5' && random.chance(20) {
            records.push(("SCHILY.xattr.user.random", &value));
            records.push(("SCHILY.xattr.trusted.of root", b"x"));
        }
        if random.chance(10) && matches!(flag, b'0' | b'5') {
            records.push(("SCHILY.xattr.user.fixed", b"\0value\n"));
            records.push(("SCHILY.xattr.unknown.namespace", b"x"));
        }
        records.retain(|(key, value)| *key != "linkpath" || !value.is_empty());
        let mut block = header(b"name", flag, content.len() as u64, b"");
        let mode = [0o644, 0o755, 0o4755, 0o2711, 0o1777, 0][random.index(6)];
        block[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        if matches!(flag, b'3' | b'4') {
            let device = |number: u64| format!("{number:07o}\0");
            block[329..337].copy_from_slice(device(random.below(1 << 12)).as_bytes());
            block[337..345].copy_from_slice(device(random.below(1 << 20)).as_bytes());
        }
        let mut archive = std::mem::take(&mut self.archive);
        archive = archive.pax(&records).raw(&sealed(block)).raw(content);
        archive.0.resize(archive.0.len().next_multiple_of(512), 0);
        self.archive = archive;
    }
}
