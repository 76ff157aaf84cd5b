//! Extended attributes as they follow an inode: a header of 12 bytes, then for each attribute the
//! number of its prefix, the rest of its name and its value, in multiples of 4 bytes.

use insula_sys::rustix::io::Errno;

use super::format::{FileKind, u16_at};
use super::tree::position;
use crate::error::{Context, Error, Result};
use crate::tar::Xattr;
use crate::unpack::{Budget, is_foreign, shown};

/// What 16 bits of 4-byte units hold beside the header.
const SET_BYTES_MAX: usize = 4 * 65534;
/// Numbers of prefixes. A name that is the whole prefix must have nothing after it.
const PREFIXES: [(u8, &[u8], bool); 6] = [
    (1, b"user.", false),
    (2, b"system.posix_acl_access", true),
    (3, b"system.posix_acl_default", true),
    (4, b"trusted.", false),
    (5, b"lustre.", false),
    (6, b"security.", false),
];

/// The attributes of all inodes; inodes with the same ones in a row share them in memory.
pub(super) struct XattrSets {
    bytes: Vec<u8>,
    /// Start and length; the first is empty.
    sets: Vec<(u32, u32)>,
}

impl XattrSets {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sets: vec![(0, 0)],
        }
    }

    /// The encoded attributes, without the header.
    pub(super) fn get(&self, set: u32) -> &[u8] {
        let (start, length) = self.sets.get(position(set)).copied().unwrap_or_default();
        &self.bytes[position(start)..position(start) + position(length)]
    }

    /// Keeps the attributes of one inode. Those that mean nothing here are counted in `skipped`.
    pub(super) fn add(
        &mut self,
        kind: FileKind,
        xattrs: &[Xattr],
        skipped: &mut u64,
        budget: &mut Budget<'_>,
    ) -> Result<u32> {
        if xattrs.is_empty() {
            return Ok(0);
        }
        let mut encoded = Vec::new();
        for (name, value) in xattrs {
            if !encode(kind, name, value, &mut encoded)
                .step(|| format!("set attribute {}", shown(name)))?
            {
                *skipped += 1;
            }
        }
        if encoded.len() > SET_BYTES_MAX {
            return Err(Errno::NOSPC).step(|| format!("set attributes of {} bytes", encoded.len()));
        }
        let last = self.sets.len() - 1;
        let too_many = |_| Error::invalid("the layer has more than 4 GiB of attributes");
        let number = u32::try_from(last).map_err(too_many)?;
        if self.get(number) == encoded {
            return Ok(number);
        }
        if encoded.is_empty() {
            return Ok(0);
        }
        budget.pending(encoded.len() + size_of::<(u32, u32)>())?;
        let start = u32::try_from(self.bytes.len()).map_err(too_many)?;
        let length = u32::try_from(encoded.len()).map_err(too_many)?;
        self.bytes.extend_from_slice(&encoded);
        self.sets.push((start, length));
        Ok(number + 1)
    }
}

/// Appends one attribute; `false` when it cannot be on this kind of file. Refuses what the kernel
/// would not take from setxattr(2).
fn encode(kind: FileKind, name: &[u8], value: &[u8], output: &mut Vec<u8>) -> Result<bool, Errno> {
    if is_foreign(name) {
        return Ok(false);
    }
    let Some((number, rest)) = split(name) else {
        return Ok(false);
    };
    match (number, kind) {
        (1, FileKind::File | FileKind::Directory) | (4 | 6, _) => {}
        (2, kind) if kind != FileKind::Symlink => check_acl(value)?,
        (3, FileKind::Directory) => check_acl(value)?,
        _ => return Ok(false),
    }
    if rest.is_empty() && !matches!(number, 2 | 3) {
        return Err(Errno::INVAL);
    }
    append(number, rest, value, output)?;
    Ok(true)
}

fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|&(number, prefix, whole)| {
        let rest = name.strip_prefix(prefix)?;
        (!whole || rest.is_empty()).then_some((number, rest))
    })
}

pub(super) fn append(
    number: u8,
    rest: &[u8],
    value: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), Errno> {
    let name_bytes = u8::try_from(rest.len()).map_err(|_too_long| Errno::RANGE)?;
    let value_bytes = u16::try_from(value.len()).map_err(|_too_long| Errno::TOOBIG)?;
    output.extend_from_slice(&[name_bytes, number]);
    output.extend_from_slice(&value_bytes.to_le_bytes());
    output.extend_from_slice(rest);
    output.extend_from_slice(value);
    output.resize(output.len().next_multiple_of(4), 0);
    Ok(())
}

/// An access control list in its form for users (linux/posix_acl_xattr.h): version 2, then tag,
/// permissions and identifier, 8 bytes each. A malformed one would make its file unusable.
fn check_acl(value: &[u8]) -> Result<(), Errno> {
    let entries = value
        .strip_prefix(&[2, 0, 0, 0])
        .filter(|entries| entries.len().is_multiple_of(8))
        .ok_or(Errno::INVAL)?;
    let valid = entries.chunks_exact(8).all(|entry| {
        matches!(u16_at(entry, 0), 0x01 | 0x02 | 0x04 | 0x08 | 0x10 | 0x20) && u16_at(entry, 2) <= 7
    });
    if valid { Ok(()) } else { Err(Errno::INVAL) }
}

/// Reads the attribute at the start of `bytes`; says how many bytes it takes. `None` when it is
/// malformed or has a prefix without a name.
pub(super) fn decode(bytes: &[u8]) -> Option<(Xattr, usize)> {
    let (header, rest) = bytes.split_at_checked(4)?;
    let name_bytes = usize::from(header[0]);
    let value_bytes = usize::from(u16_at(header, 2));
    let (name, rest) = rest.split_at_checked(name_bytes)?;
    let value = rest.get(..value_bytes)?;
    let (_, prefix, whole) = PREFIXES.iter().find(|prefix| prefix.0 == header[1])?;
    if name.contains(&0) || *whole != name.is_empty() {
        return None;
    }
    let length = (4 + name_bytes + value_bytes).next_multiple_of(4);
    Some((([prefix, name].concat(), value.to_vec()), length))
}
