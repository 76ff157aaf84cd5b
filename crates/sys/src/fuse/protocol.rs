//! The messages of /dev/fuse, as the kernel's include/uapi/linux/fuse.h has them: version 7.
//!
//! Numbers have the byte order of the machine; every structure has the size it has since 7.9, and
//! what later versions append is left alone. Nothing here reads or writes a descriptor, and nothing
//! of a request is believed before its length was looked at.
//!
//! Start at [`Request::parse`] and [`Reply`]; the tests hold samples byte by byte.

use crate::Errno;

pub const MAJOR: u32 = 7;
/// Linux 5.4: whatever this module relies on is there.
pub const MINOR_MIN: u32 = 31;
/// What we speak. A newer kernel speaks it with us.
pub const MINOR: u32 = 38;

/// The root directory.
pub const ROOT: u64 = 1;

const IN_HEADER_BYTES: usize = 40;
pub(super) const OUT_HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 128;
const DIRENT_BYTES: usize = 24;

/// `FUSE_*`: what kernel and server agree on at the beginning.
pub mod capability {
    pub const ASYNC_READ: u32 = 1;
    pub const DO_READDIRPLUS: u32 = 1 << 13;
    pub const NO_OPEN_SUPPORT: u32 = 1 << 17;
    pub const PARALLEL_DIROPS: u32 = 1 << 18;
    pub const POSIX_ACL: u32 = 1 << 20;
    pub const MAX_PAGES: u32 = 1 << 22;
    pub const CACHE_SYMLINKS: u32 = 1 << 23;
    pub const NO_OPENDIR_SUPPORT: u32 = 1 << 24;
}

/// `FOPEN_*`: how the kernel treats an open file.
pub mod open_flag {
    pub const DIRECT_IO: u32 = 1;
    pub const KEEP_CACHE: u32 = 1 << 1;
}

mod opcode {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const READLINK: u32 = 5;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const GETXATTR: u32 = 22;
    pub(super) const LISTXATTR: u32 = 23;
    pub(super) const INIT: u32 = 26;
    pub(super) const OPENDIR: u32 = 27;
    pub(super) const READDIR: u32 = 28;
    pub(super) const RELEASEDIR: u32 = 29;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
    pub(super) const READDIRPLUS: u32 = 44;
}

/// One message of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    pub unique: u64,
    /// What it is about.
    pub node: u64,
    /// Who asks, as the mount's user namespace numbers them.
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
    pub operation: Operation<'a>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    Init(Init),
    LookUp(&'a [u8]),
    GetAttributes,
    ReadLink,
    Open,
    OpenDirectory,
    Read(Range),
    ReadDirectory(Range),
    ReadDirectoryPlus(Range),
    Release(u64),
    ReleaseDirectory,
    StatFs,
    /// The name; how long the value may be, 0 to ask for its length.
    GetXattr(&'a [u8], u32),
    ListXattr(u32),
    /// Nothing is answered to these.
    Forget,
    Interrupt,
    Destroy,
    /// What a read-only file system does not do, or what came later.
    Other(u32),
    /// Too short for what it says it is.
    Malformed,
}

/// The kernel's part of the first exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    pub major: u32,
    pub minor: u32,
    pub readahead_bytes: u32,
    pub flags: u32,
}

/// A part of a file or of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub handle: u64,
    pub offset: u64,
    pub size: u32,
}

/// Reads fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*bytes))
    }

    /// Up to the zero byte that must be there.
    fn name(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        Some(&self.0[..end])
    }

    fn range(&mut self) -> Option<Range> {
        Some(Range {
            handle: self.u64()?,
            offset: self.u64()?,
            size: self.u32()?,
        })
    }
}

impl<'a> Request<'a> {
    /// `None` for bytes that are no message at all: there is nobody to answer to.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let length = usize::try_from(fields.u32()?).ok()?;
        let bytes = bytes.get(..length)?;
        let opcode = fields.u32()?;
        let request = Self {
            unique: fields.u64()?,
            node: fields.u64()?,
            uid: fields.u32()?,
            gid: fields.u32()?,
            pid: fields.u32()?,
            operation: Operation::Malformed,
        };
        let body = Fields(bytes.get(IN_HEADER_BYTES..)?);
        Some(Self {
            operation: Operation::parse(opcode, body).unwrap_or(Operation::Malformed),
            ..request
        })
    }
}

impl<'a> Operation<'a> {
    fn parse(opcode: u32, mut body: Fields<'a>) -> Option<Self> {
        Some(match opcode {
            opcode::LOOKUP => Self::LookUp(body.name()?),
            opcode::GETATTR => Self::GetAttributes,
            opcode::READLINK => Self::ReadLink,
            opcode::OPEN => Self::Open,
            opcode::OPENDIR => Self::OpenDirectory,
            opcode::READ => Self::Read(body.range()?),
            opcode::READDIR => Self::ReadDirectory(body.range()?),
            opcode::READDIRPLUS => Self::ReadDirectoryPlus(body.range()?),
            opcode::RELEASE => Self::Release(body.u64()?),
            opcode::RELEASEDIR => Self::ReleaseDirectory,
            opcode::STATFS => Self::StatFs,
            opcode::GETXATTR => {
                let size = body.u32()?;
                body.u32()?;
                Self::GetXattr(body.name()?, size)
            }
            opcode::LISTXATTR => Self::ListXattr(body.u32()?),
            opcode::FORGET | opcode::BATCH_FORGET => Self::Forget,
            opcode::INTERRUPT => Self::Interrupt,
            opcode::DESTROY => Self::Destroy,
            opcode::INIT => Self::Init(Init {
                major: body.u32()?,
                minor: body.u32()?,
                readahead_bytes: body.u32()?,
                flags: body.u32()?,
            }),
            other => Self::Other(other),
        })
    }
}

/// What is known of a file: `struct fuse_attr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub inode: u64,
    pub size: u64,
    /// Type and permissions.
    pub mode: u32,
    pub links: u32,
    /// As the mount's user namespace numbers them.
    pub uid: u32,
    pub gid: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Seconds and nanoseconds since 1970: the one time for access, change and modification.
    pub modified: (i64, u32),
}

/// What statfs(2) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub block_bytes: u32,
    pub blocks: u64,
    pub files: u64,
    pub name_bytes: u32,
}

/// Our part of the first exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    pub flags: u32,
    pub readahead_bytes: u32,
    /// Requests that nobody waits for, such as reading ahead, at the same time.
    pub background: u16,
    /// The longest request for content, in pages.
    pub pages: u16,
}

/// A reply in the making, in a buffer that is used again and again.
#[derive(Debug, Default)]
pub struct Reply {
    bytes: Vec<u8>,
    length: usize,
}

impl Reply {
    /// Forgets the last one.
    pub(super) fn begin(&mut self) {
        self.length = OUT_HEADER_BYTES;
        if self.bytes.len() < OUT_HEADER_BYTES {
            self.bytes.resize(OUT_HEADER_BYTES, 0);
        }
    }

    /// The whole message. An error takes the place of whatever was put in.
    pub(super) fn finish(&mut self, unique: u64, outcome: Result<(), Errno>) -> &[u8] {
        let error = match outcome {
            Ok(()) => 0,
            Err(errno) => {
                self.length = OUT_HEADER_BYTES;
                -errno.raw_os_error()
            }
        };
        // A reply is far shorter than 4 GiB: its room is bounded by what requests may ask for.
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[4..8].copy_from_slice(&error.to_ne_bytes());
        self.bytes[8..16].copy_from_slice(&unique.to_ne_bytes());
        &self.bytes[..self.length]
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Room for content at the end; [`Reply::filled`] says how much of it was used.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        let end = self.length + size;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.length..end]
    }

    pub(super) fn filled(&mut self, count: usize) {
        self.length = (self.length + count).min(self.bytes.len());
    }

    fn u32s(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.bytes(&number.to_ne_bytes());
        }
    }

    fn u64s(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.bytes(&number.to_ne_bytes());
        }
    }

    /// `struct fuse_init_out`.
    pub(super) fn init(&mut self, agreement: &Agreement) {
        self.u32s(&[MAJOR, MINOR, agreement.readahead_bytes, agreement.flags]);
        self.bytes(&agreement.background.to_ne_bytes());
        self.bytes(&(agreement.background / 4 * 3).to_ne_bytes());
        // The shortest that there may be: nothing is written. Times are exact to a nanosecond.
        self.u32s(&[4096, 1]);
        self.bytes(&agreement.pages.to_ne_bytes());
        self.bytes(&[0; 34]);
    }

    /// `struct fuse_attr_out`.
    pub(super) fn attributes(&mut self, attributes: &Attributes, valid_seconds: u64) {
        self.u64s(&[valid_seconds, 0]);
        self.attribute_fields(attributes);
    }

    /// `struct fuse_entry_out`. Node 0 is a name that is not there, which is remembered as long.
    pub(super) fn entry(&mut self, node: u64, attributes: &Attributes, valid_seconds: u64) {
        self.u64s(&[node, 0, valid_seconds, valid_seconds, 0]);
        self.attribute_fields(attributes);
    }

    fn attribute_fields(&mut self, of: &Attributes) {
        let (seconds, nanoseconds) = of.modified;
        let seconds = seconds.cast_unsigned();
        self.u64s(&[of.inode, of.size, of.size.div_ceil(512)]);
        self.u64s(&[seconds; 3]);
        self.u32s(&[nanoseconds; 3]);
        self.u32s(&[of.mode, of.links, of.uid, of.gid]);
        self.u32s(&[encode_device(of.device), 4096, 0]);
    }

    /// `struct fuse_open_out`.
    pub(super) fn opened(&mut self, handle: u64, flags: u32) {
        self.u64s(&[handle]);
        self.u32s(&[flags, 0]);
    }

    /// `struct fuse_getxattr_out`: only a length.
    pub(super) fn xattr_length(&mut self, length: usize) {
        self.u32s(&[u32::try_from(length).unwrap_or(u32::MAX), 0]);
    }

    /// `struct fuse_statfs_out`.
    pub(super) fn statistics(&mut self, of: &Statistics) {
        self.u64s(&[of.blocks, 0, 0, of.files, 0]);
        self.u32s(&[of.block_bytes, of.name_bytes, of.block_bytes, 0]);
        self.u32s(&[0; 6]);
    }

    /// How many bytes were put in after the header.
    pub(super) fn body_bytes(&self) -> usize {
        self.length - OUT_HEADER_BYTES
    }

    /// `struct fuse_dirent`, or `struct fuse_direntplus` with what the name leads to.
    pub(super) fn directory_entry(&mut self, entry: &DirectoryEntry<'_>, found: Option<&Found>) {
        if let Some(found) = found {
            self.entry(found.node, &found.attributes, found.valid_seconds);
        }
        let name_bytes = u32::try_from(entry.name.len()).unwrap_or(0);
        self.u64s(&[entry.inode, entry.next]);
        self.u32s(&[name_bytes, entry.kind]);
        self.bytes(entry.name);
        let padding = entry.name.len().next_multiple_of(8) - entry.name.len();
        self.bytes(&[0; 8][..padding]);
    }
}

/// A name of a listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) inode: u64,
    /// Where the listing goes on after it.
    pub(super) next: u64,
    /// The upper four bits of the mode, shifted down.
    pub(super) kind: u32,
}

impl DirectoryEntry<'_> {
    pub(super) fn bytes(&self, is_plus: bool) -> usize {
        let before = if is_plus { ENTRY_BYTES } else { 0 };
        before + DIRENT_BYTES + self.name.len().next_multiple_of(8)
    }
}

/// What a name of a listing leads to. Node 0 says nothing about it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) node: u64,
    pub(super) attributes: Attributes,
    pub(super) valid_seconds: u64,
}

/// As the kernel's `new_encode_dev`.
fn encode_device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: String = hexadecimal.split_whitespace().collect();
        (0..digits.len() / 2)
            .map(|index| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap())
            .collect()
    }

    /// The first message of Linux 6.18: 7.45, and the 104 bytes of the structure of its time.
    const INIT: &str = "68000000 1a000000 0200000000000000 0000000000000000 00000000 00000000
        00000000 00000000 07000000 2d000000 00000200 fbfff773 ff060000 00000000 00000000 00000000
        00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000";
    /// Of user 1000, group 100, process 4711: the name `etc` in node 1.
    const LOOKUP: &str = "2c000000 01000000 0600000000000000 0100000000000000 e8030000 64000000
        67120000 00000000 65746300";
    const READ: &str = "50000000 0f000000 0800000000000000 0203000000010000 00000000 00000000
        01000000 00000000 0500000000000000 0000100000000000 00000200 00000000
        0000000000000000 00800000 00000000";
    const GETXATTR: &str = "40000000 16000000 0a00000000000000 0100000000000000 00000000 00000000
        01000000 00000000 00010000 00000000 757365722e746573 742e6e616d650000";

    #[test]
    fn the_stored_requests_are_read() {
        let init = bytes(INIT);
        let Some(Operation::Init(init)) = Request::parse(&init).map(|request| request.operation)
        else {
            panic!("not recognised");
        };
        assert_eq!((init.major, init.minor), (7, 45));
        assert_eq!(init.readahead_bytes, 0x20000);
        assert_ne!(init.flags & capability::NO_OPEN_SUPPORT, 0);
        let request = bytes(LOOKUP);
        let request = Request::parse(&request).unwrap();
        assert_eq!(request.operation, Operation::LookUp(b"etc"));
        assert_eq!((request.unique, request.node), (6, ROOT));
        assert_eq!((request.uid, request.gid, request.pid), (1000, 100, 4711));
        let read = bytes(READ);
        let range = Range {
            handle: 5,
            offset: 1 << 20,
            size: 1 << 17,
        };
        let request = Request::parse(&read).unwrap();
        assert_eq!(request.operation, Operation::Read(range));
        assert_eq!(request.node, 0x0100_0000_0302);
        let get = bytes(GETXATTR);
        assert_eq!(
            Request::parse(&get).unwrap().operation,
            Operation::GetXattr(b"user.test.name", 256)
        );
    }

    #[test]
    fn short_and_unknown_requests_are_told_apart() {
        for sample in [INIT, LOOKUP, READ, GETXATTR] {
            let whole = bytes(sample);
            for length in 0..whole.len() {
                assert_eq!(Request::parse(&whole[..length]), None);
                let mut short = whole[..length].to_vec();
                if length >= 4 {
                    let length = u32::try_from(length).unwrap();
                    short[..4].copy_from_slice(&length.to_ne_bytes());
                }
                // Nothing panics; what is short is never taken for something else.
                let _ = Request::parse(&short);
            }
        }
        let mut cut = bytes(LOOKUP);
        cut.pop();
        cut[0] = 43;
        assert_eq!(
            Request::parse(&cut).unwrap().operation,
            Operation::Malformed
        );
        let mut unknown = bytes(LOOKUP);
        unknown[4] = 200;
        let operation = Request::parse(&unknown).unwrap().operation;
        assert_eq!(operation, Operation::Other(200));
    }

    #[test]
    fn the_stored_replies_are_written() {
        let attributes = Attributes {
            inode: 7,
            size: 1025,
            mode: 0o100_644,
            links: 2,
            uid: 70_000,
            gid: 5,
            device: (0, 0),
            modified: (-2, 500_000_000),
        };
        let mut reply = Reply::default();
        reply.begin();
        reply.entry(9, &attributes, 60);
        let entry = "90000000 00000000 0b00000000000000
            0900000000000000 0000000000000000 3c00000000000000 3c00000000000000 00000000 00000000
            0700000000000000 0104000000000000 0300000000000000
            feffffffffffffff feffffffffffffff feffffffffffffff
            0065cd1d 0065cd1d 0065cd1d a4810000 02000000 70110100 05000000 00000000
            00100000 00000000";
        assert_eq!(reply.finish(11, Ok(())), bytes(entry));
        let error = "10000000 feffffff 0c00000000000000";
        assert_eq!(reply.finish(12, Err(Errno::NOENT)), bytes(error));
        reply.begin();
        reply.init(&Agreement {
            flags: capability::MAX_PAGES | capability::ASYNC_READ,
            readahead_bytes: 0x20000,
            background: 64,
            pages: 256,
        });
        let init = "50000000 00000000 0200000000000000 07000000 26000000 00000200 01004000
            4000 3000 00100000 01000000 0001 0000 00000000 00000000
            00000000 00000000 00000000 00000000 00000000 00000000";
        assert_eq!(reply.finish(2, Ok(())), bytes(init));
    }

    #[test]
    fn entries_of_listings_end_at_multiples_of_eight() {
        let mut reply = Reply::default();
        for name in ["a", "12345678", "123456789"] {
            let entry = DirectoryEntry {
                name: name.as_bytes(),
                inode: 3,
                next: 12,
                kind: 4,
            };
            for found in [None, Some(Found::default())] {
                reply.begin();
                reply.directory_entry(&entry, found.as_ref());
                assert_eq!(reply.body_bytes(), entry.bytes(found.is_some()));
                assert!(reply.body_bytes().is_multiple_of(8));
            }
        }
        reply.begin();
        let entry = DirectoryEntry {
            name: b"etc",
            inode: 3,
            next: 12,
            kind: 4,
        };
        reply.directory_entry(&entry, None);
        let sample = "30000000 00000000 0100000000000000
            0300000000000000 0c00000000000000 03000000 04000000 6574630000000000";
        assert_eq!(reply.finish(1, Ok(())), bytes(sample));
    }

    #[test]
    fn devices_are_numbered_as_the_kernel_does() {
        assert_eq!(encode_device((0, 0)), 0);
        assert_eq!(encode_device((8, 1)), 0x801);
        assert_eq!(encode_device((0xfff, 0xf_ffff)), 0xffff_ffff);
    }
}
