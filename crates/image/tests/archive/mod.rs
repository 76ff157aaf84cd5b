//! Makes archives byte by byte, and compares trees: what the tests of this crate share.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "every test binary compiles this and uses its own part"
)]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use insula_sys::rustix::fs::{lgetxattr, llistxattr};

/// A header block. `size` and `flag` are written as given, true or not.
pub(crate) fn header(name: &[u8], flag: u8, size: u64, link: &[u8]) -> [u8; 512] {
    let mut block = [0_u8; 512];
    block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    block[100..108].copy_from_slice(b"0000755\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"14000000000\0");
    block[156] = flag;
    block[157..157 + link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[329..337].copy_from_slice(b"0000000\0");
    block[337..345].copy_from_slice(b"0000000\0");
    sealed(block)
}

/// With the right checksum.
pub(crate) fn sealed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An archive in the making.
#[derive(Default, Clone)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

impl Archive {
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(&header(name.as_bytes(), b'0', content.len() as u64, b""))
            .content(content)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.raw(&header(name.as_bytes(), b'5', 0, b""))
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(&header(name.as_bytes(), b'2', 0, target.as_bytes()))
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(&header(name.as_bytes(), b'1', 0, target.as_bytes()))
    }

    /// An extension header of any kind.
    pub(crate) fn extension(self, flag: u8, body: &[u8]) -> Self {
        self.raw(&header(b"extension", flag, body.len() as u64, b""))
            .content(body)
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length += 1;
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.extension(b'x', &body)
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

/// Everything about a tree that an image keeps, by name.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut entries = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    let mut paths = Vec::new();
    while let Some(path) = pending.pop() {
        if path.symlink_metadata().unwrap().is_dir() {
            for entry in std::fs::read_dir(&path).unwrap() {
                pending.push(entry.unwrap().path());
            }
        }
        paths.push(path);
    }
    paths.sort();
    for path in paths {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
        let mut line = describe(&path);
        if !metadata.is_dir() && metadata.nlink() > 1 {
            let first = first_names
                .entry((metadata.dev(), metadata.ino()))
                .or_insert_with(|| name.to_vec());
            line += &format!(" = {first:?}");
        }
        line += &xattrs(&path);
        entries.insert(name.to_vec(), line);
    }
    entries
}

/// What is known of a file by itself, without its attributes.
fn describe(path: &Path) -> String {
    let metadata = path.symlink_metadata().unwrap();
    let mut line = format!(
        "{:o} {}:{} {}.{:09} {}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.rdev(),
    );
    if metadata.is_file() {
        let content = std::fs::read(path).unwrap();
        line += &format!(" {} {}", content.len(), insula_image::Digest::of(&content));
    } else if metadata.is_symlink() {
        line += &format!(" -> {:?}", std::fs::read_link(path).unwrap());
    }
    line
}

/// As [`snapshot`] has one file, but for other names that it has.
pub(crate) fn line(path: &Path) -> String {
    describe(path) + &xattrs(path)
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 65536];
    let length = llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut text = Vec::new();
    for name in names[..length].split(|&byte| byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; 65536];
        let length = lgetxattr(path, name, value.as_mut_slice()).unwrap();
        text.push(format!(" {name:?}={:?}", &value[..length]));
    }
    text.sort();
    text.concat()
}
