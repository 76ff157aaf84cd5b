//! EROFS on disk, as the kernel's fs/erofs/erofs_fs.h has it: superblock, inodes, entries.
//!
//! Only what Linux 6.1 and everything later know: blocks of 4 KiB, plain and inline data, chunks,
//! extended attributes beside their inode. All numbers are little-endian. An inode is named by its
//! nid: its distance from the start of the metadata in slots of 32 bytes.
//!
//! Start at [`Superblock`] and [`DiskInode`]; the tests hold samples byte by byte.

use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

pub(super) const BLOCK: usize = 4096;
pub(super) const BLOCK_BYTES: u64 = 4096;
pub(super) const BLOCK_BITS: u32 = 12;
/// Inodes stand at multiples of this.
pub(super) const SLOT_BYTES: u64 = 32;
pub(super) const COMPACT_BYTES: u64 = 32;
pub(super) const EXTENDED_BYTES: u64 = 64;
/// A directory entry without its name.
pub(super) const ENTRY_BYTES: usize = 12;
/// What stands in front of an inode's own extended attributes.
pub(super) const XATTR_HEADER_BYTES: usize = 12;
pub(super) const NAME_BYTES_MAX: usize = 255;
/// An address that is a hole.
pub(super) const NULL_BLOCK: u32 = u32::MAX;

const SUPERBLOCK_OFFSET: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const FEATURE_CHECKSUM: u32 = 1;
const FEATURE_MODIFIED_TIME: u32 = 2;
const INCOMPATIBLE_CHUNKS: u32 = 4;
/// A chunk map of 8-byte entries with a device, instead of plain block numbers.
pub(super) const CHUNK_INDEXES: u32 = 0x20;
pub(super) const CHUNK_BITS_MASK: u32 = 0x1f;

pub(super) const S_IFMT: u16 = 0o170_000;

/// What an inode is; the number is that of `S_IFMT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum FileKind {
    Fifo = 0o010_000,
    Character = 0o020_000,
    Directory = 0o040_000,
    Block = 0o060_000,
    File = 0o100_000,
    Symlink = 0o120_000,
    Socket = 0o140_000,
}

impl FileKind {
    pub(super) fn of_mode(mode: u16) -> Option<Self> {
        Some(match mode & S_IFMT {
            0o010_000 => Self::Fifo,
            0o020_000 => Self::Character,
            0o040_000 => Self::Directory,
            0o060_000 => Self::Block,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    pub(super) fn mode_bits(self) -> u16 {
        #[expect(
            clippy::as_conversions,
            reason = "the number of a variant is given above"
        )]
        {
            self as u16
        }
    }

    /// The number in a directory entry.
    pub(super) fn entry_type(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Character => 3,
            Self::Block => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// Where the content of an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// In contiguous blocks.
    Plain,
    /// The last, partial block follows the inode, the others are contiguous.
    Inline,
    /// In chunks of equal size, by a map that follows the inode.
    Chunks,
}

impl Layout {
    fn number(self) -> u16 {
        match self {
            Self::Plain => 0,
            Self::Inline => 2,
            Self::Chunks => 4,
        }
    }
}

/// The superblock, as far as we give it a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) root_nid: u16,
    pub(super) inodes: u64,
    /// The time of every compact inode.
    pub(super) build_time: Timestamp,
    pub(super) blocks: u32,
    pub(super) metadata_block: u32,
    /// Where attributes are that several inodes share. We write none.
    pub(super) xattr_block: u32,
    pub(super) has_chunks: bool,
}

impl Superblock {
    /// The whole first block, checksum included.
    pub(super) fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut fields = Fields(&mut block[SUPERBLOCK_OFFSET..]);
        fields.u32(0, MAGIC);
        fields.u32(8, FEATURE_CHECKSUM | FEATURE_MODIFIED_TIME);
        fields.0[12] = 12;
        fields.u16(14, self.root_nid);
        fields.u64(16, self.inodes);
        fields.u64(24, self.build_time.seconds.cast_unsigned());
        fields.u32(32, self.build_time.nanoseconds);
        fields.u32(36, self.blocks);
        fields.u32(40, self.metadata_block);
        fields.u32(44, self.xattr_block);
        fields.u32(
            80,
            if self.has_chunks {
                INCOMPATIBLE_CHUNKS
            } else {
                0
            },
        );
        let checksum = checksum(fields.0);
        fields.u32(4, checksum);
        block
    }

    /// Reads the first block of an image.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self> {
        let mut fields = block[SUPERBLOCK_OFFSET..].to_vec();
        if u32_at(&fields, 0) != MAGIC {
            return Err(Error::invalid("this is not an EROFS image"));
        }
        let stored = u32_at(&fields, 4);
        let features = u32_at(&fields, 8);
        if features & FEATURE_CHECKSUM != 0 {
            fields[4..8].fill(0);
            if checksum(&fields) != stored {
                return Err(Error::invalid(
                    "damaged EROFS image: the superblock has a wrong checksum",
                ));
            }
        }
        let incompatible = u32_at(&fields, 80);
        // The first two (zero padding, big clusters) only speak of compressed files, which an inode
        // would show.
        let unknown = incompatible & !(INCOMPATIBLE_CHUNKS | 3);
        if unknown != 0 || fields[12] != 12 || fields[90] != 0 || u16_at(&fields, 86) != 0 {
            return Err(Error::invalid(format!(
                "this EROFS image uses features that insula does not read ({unknown:#x})"
            )));
        }
        Ok(Self {
            root_nid: u16_at(&fields, 14),
            inodes: u64_at(&fields, 16),
            build_time: Timestamp {
                seconds: u64_at(&fields, 24).cast_signed(),
                nanoseconds: u32_at(&fields, 32),
            },
            blocks: u32_at(&fields, 36),
            metadata_block: u32_at(&fields, 40),
            xattr_block: u32_at(&fields, 44),
            has_chunks: incompatible & INCOMPATIBLE_CHUNKS != 0,
        })
    }
}

/// An inode as it stands on disk, in either of its two sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DiskInode {
    pub(super) layout: Layout,
    /// Bytes of the attributes that follow, their header included; 0 or at least the header.
    pub(super) xattr_bytes: u32,
    /// With the bits of `S_IFMT`.
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) size: u64,
    /// The first block, the device, or the form of the chunk map.
    pub(super) place: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// `None`: that of the superblock.
    pub(super) modified: Option<Timestamp>,
}

impl DiskInode {
    /// Appends the inode; compact when it has no time of its own, which needs the other fields to
    /// fit: see [`DiskInode::fits_compact`].
    pub(super) fn encode(&self, serial: u32, output: &mut Vec<u8>) {
        let mut bytes = [0; 64];
        let mut fields = Fields(&mut bytes);
        let xattr_count = match self.xattr_bytes {
            0 => 0,
            bytes => (bytes - 12) / 4 + 1,
        };
        let extended = u16::from(self.modified.is_some());
        fields.u16(0, self.layout.number() << 1 | extended);
        fields.u16(2, saturated(xattr_count));
        fields.u16(4, self.mode);
        let Some(modified) = self.modified else {
            fields.u16(6, saturated(self.links));
            fields.u32(8, u32::try_from(self.size).unwrap_or(u32::MAX));
            fields.u32(16, self.place);
            fields.u32(20, serial);
            fields.u16(24, saturated(self.uid));
            fields.u16(26, saturated(self.gid));
            return output.extend_from_slice(&bytes[..32]);
        };
        fields.u64(8, self.size);
        fields.u32(16, self.place);
        fields.u32(20, serial);
        fields.u32(24, self.uid);
        fields.u32(28, self.gid);
        fields.u64(32, modified.seconds.cast_unsigned());
        fields.u32(40, modified.nanoseconds);
        fields.u32(44, self.links);
        output.extend_from_slice(&bytes);
    }

    pub(super) fn fits_compact(&self) -> bool {
        let small = |value: u32| value <= u32::from(u16::MAX);
        small(self.links) && small(self.uid) && small(self.gid) && self.size <= u64::from(u32::MAX)
    }

    /// Reads an inode from the 64 bytes where it begins; says how many of them it has.
    pub(super) fn parse(bytes: &[u8; 64]) -> Result<(Self, u64)> {
        let format = u16_at(bytes, 0);
        let layout = match format >> 1 {
            0 => Layout::Plain,
            2 => Layout::Inline,
            4 => Layout::Chunks,
            other => {
                return Err(Error::invalid(format!(
                    "an inode of the EROFS image has the unknown form {other}"
                )));
            }
        };
        let xattr_bytes = match u16_at(bytes, 2) {
            0 => 0,
            count => 12 + 4 * (u32::from(count) - 1),
        };
        let common = Self {
            layout,
            xattr_bytes,
            mode: u16_at(bytes, 4),
            links: u16_at(bytes, 6).into(),
            size: u32_at(bytes, 8).into(),
            place: u32_at(bytes, 16),
            uid: u16_at(bytes, 24).into(),
            gid: u16_at(bytes, 26).into(),
            modified: None,
        };
        if format & 1 == 0 {
            return Ok((common, COMPACT_BYTES));
        }
        let extended = Self {
            links: u32_at(bytes, 44),
            size: u64_at(bytes, 8),
            uid: u32_at(bytes, 24),
            gid: u32_at(bytes, 28),
            modified: Some(Timestamp {
                seconds: u64_at(bytes, 32).cast_signed(),
                nanoseconds: u32_at(bytes, 40),
            }),
            ..common
        };
        Ok((extended, EXTENDED_BYTES))
    }
}

fn saturated(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// The kernel's `new_encode_dev`.
pub(super) fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

pub(super) fn decode_device(device: u32) -> (u32, u32) {
    (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xf_ff00),
    )
}

/// CRC-32C from all ones and without the final inversion, as the kernel's `crc32c(~0, …)`.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |mut sum, &byte| {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
        sum
    })
}

/// Numbers at offsets.
pub(super) struct Fields<'a>(pub(super) &'a mut [u8]);

impl Fields<'_> {
    pub(super) fn u16(&mut self, offset: usize, value: u16) {
        self.0[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, offset: usize, value: u32) {
        self.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, offset: usize, value: u64) {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// A number at an offset; 0 where the bytes end before it.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    let field = bytes.get(offset..offset + 2);
    field
        .and_then(|field| field.try_into().ok())
        .map_or(0, u16::from_le_bytes)
}

/// As [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..offset + 4);
    field
        .and_then(|field| field.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

/// As [`u16_at`].
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let field = bytes.get(offset..offset + 8);
    field
        .and_then(|field| field.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A superblock as mkfs.erofs 1.8.6 and every kernel read it: it must stay readable.
    #[test]
    fn the_superblock_is_as_it_was() {
        let superblock = Superblock {
            root_nid: 0,
            inodes: 7,
            build_time: Timestamp {
                seconds: -1,
                nanoseconds: 5,
            },
            blocks: 300,
            metadata_block: 299,
            xattr_block: 0,
            has_chunks: true,
        };
        let block = superblock.encode();
        let mut expected = [0_u8; 96];
        expected[..4].copy_from_slice(b"\xe2\xe1\xf5\xe0");
        expected[4..8].copy_from_slice(&block[1028..1032]);
        expected[8] = 3;
        expected[12] = 12;
        expected[16] = 7;
        expected[24..32].fill(0xff);
        expected[32] = 5;
        expected[36..38].copy_from_slice(b"\x2c\x01");
        expected[40..42].copy_from_slice(b"\x2b\x01");
        expected[80] = 4;
        assert_eq!(block[1024..1120], expected);
        assert!(
            block[..1024]
                .iter()
                .chain(&block[1120..])
                .all(|&byte| byte == 0)
        );
        assert_eq!(Superblock::parse(&block).unwrap(), superblock);
        let mut other = block;
        other[1024 + 81] = 1;
        other[1024 + 8] = 2;
        let error = Superblock::parse(&other).unwrap_err().to_string();
        assert!(error.contains("features"), "{error}");
    }

    /// The check value of CRC-32C, without its final inversion.
    #[test]
    fn the_checksum_is_that_of_the_kernel() {
        assert_eq!(checksum(b"123456789"), !0xe306_9283);
    }

    #[test]
    fn inodes_have_two_sizes() {
        let inode = DiskInode {
            layout: Layout::Inline,
            xattr_bytes: 24,
            mode: 0o100_644,
            links: 2,
            size: 0x1234,
            place: 0x99,
            uid: 1000,
            gid: 7,
            modified: None,
        };
        let mut compact = Vec::new();
        inode.encode(3, &mut compact);
        let expected = b"\x04\0\x04\0\xa4\x81\x02\0\x34\x12\0\0\0\0\0\0\
            \x99\0\0\0\x03\0\0\0\xe8\x03\x07\0\0\0\0\0";
        assert_eq!(compact, expected);
        compact.resize(64, 0xee);
        let compact = <[u8; 64]>::try_from(compact).unwrap();
        assert_eq!(DiskInode::parse(&compact).unwrap(), (inode, 32));
        let inode = DiskInode {
            links: 70_000,
            size: 1 << 40,
            uid: u32::MAX - 1,
            modified: Some(Timestamp {
                seconds: -5,
                nanoseconds: 999_999_999,
            }),
            ..inode
        };
        assert!(!inode.fits_compact());
        let mut extended = Vec::new();
        inode.encode(4, &mut extended);
        let extended = <[u8; 64]>::try_from(extended).unwrap();
        assert_eq!(DiskInode::parse(&extended).unwrap(), (inode, 64));
    }

    #[test]
    fn devices_are_packed_as_the_kernel_does() {
        for (device, packed) in [
            ((8, 1), 0x801),
            ((0xfff, 0xf_ffff), u32::MAX),
            ((1, 256), 0x10_0100),
        ] {
            assert_eq!(encode_device(device.0, device.1), packed);
            assert_eq!(decode_device(packed), device);
        }
    }
}
