//! pax extended headers (POSIX.1-2017, pax, "pax Extended Header"): `<length> <key>=<value>\n`.

use super::Xattr;
use crate::timestamp::Timestamp;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What extended headers said about the next entry. An empty value takes a setting back.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<Timestamp>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: SparseRecords,
}

/// The `GNU.sparse.*` records of the three pax forms.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths by turns.
    pub(super) map: Vec<u64>,
    pub(super) has_map: bool,
}

impl Pax {
    /// Adds the records of one extended header.
    ///
    /// On error says which rule the header breaks.
    pub(super) fn parse(&mut self, mut body: &[u8]) -> Result<(), String> {
        while !body.is_empty() {
            // Some archivers fill the rest of the block with NULs and count them.
            if body.iter().all(|&byte| byte == 0) {
                return Ok(());
            }
            let (key, value, rest) =
                split_record(body).ok_or("an extended header has a malformed record")?;
            self.set(key, value)?;
            body = rest;
        }
        Ok(())
    }

    /// Keeps of a global header what makes sense for every entry.
    pub(super) fn retain_global(&mut self) {
        self.path = None;
        self.link = None;
        self.size = None;
        self.sparse = SparseRecords::default();
    }

    /// About how much memory the values take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match key {
            b"path" => self.path = bytes("path", value)?,
            b"linkpath" => self.link = bytes("linkpath", value)?,
            b"size" => self.size = optional("size", value)?,
            b"uid" => self.uid = optional("uid", value)?,
            b"gid" => self.gid = optional("gid", value)?,
            b"mtime" => {
                self.modified = match value {
                    b"" => None,
                    _ => Some(Timestamp::parse(value).ok_or_else(|| wrong("mtime", value))?),
                }
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    return self.set_xattr(name, value);
                }
                if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    return self.sparse.set(name, value);
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        if name.is_empty() || name.contains(&0) {
            return Err("an extended attribute has no usable name".to_owned());
        }
        self.xattrs.retain(|(existing, _)| existing != name);
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

impl SparseRecords {
    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        match name {
            b"major" => self.major = optional("GNU.sparse.major", value)?,
            b"minor" => self.minor = optional("GNU.sparse.minor", value)?,
            b"name" => self.name = bytes("GNU.sparse.name", value)?,
            b"realsize" | b"size" => self.real_size = optional("GNU.sparse.size", value)?,
            b"offset" | b"numbytes" => {
                // Offset and length must take turns, offset first.
                if (name == b"offset") != self.map.len().is_multiple_of(2) {
                    return Err("GNU.sparse.offset and numbytes do not alternate".to_owned());
                }
                self.has_map = true;
                self.map.push(decimal("GNU.sparse.offset", value)?);
            }
            b"map" => {
                self.has_map = true;
                self.map.clear();
                if !value.is_empty() {
                    for part in value.split(|&byte| byte == b',') {
                        self.map.push(decimal("GNU.sparse.map", part)?);
                    }
                }
            }
            // `numblocks` only repeats how many there are.
            _ => {}
        }
        Ok(())
    }
}

/// Key, value and what follows.
fn split_record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal("", &body[..space]).ok()?).ok()?;
    if length <= space + 1 || length > body.len() {
        return None;
    }
    let (record, rest) = body.split_at(length);
    let record = record[space + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn wrong(key: &str, value: &[u8]) -> String {
    let value = String::from_utf8_lossy(&value[..value.len().min(40)]);
    format!("`{key}` in an extended header is malformed: `{value}`")
}

fn bytes(key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if value.contains(&0) {
        return Err(format!("`{key}` in an extended header has a NUL"));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn optional(key: &str, value: &[u8]) -> Result<Option<u64>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    decimal(key, value).map(Some)
}

/// Decimal digits and nothing else.
pub(super) fn decimal(key: &str, text: &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return Err(wrong(key, text));
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')))
            .ok_or_else(|| wrong(key, text))?;
    }
    if text.is_empty() {
        return Err(wrong(key, text));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut pax = Pax::default();
        pax.parse(b"10 path=a\n8 uid=7\n23 SCHILY.xattr.user.a=\0\n\n")
            .unwrap_err();
        let mut pax = Pax::default();
        pax.parse(b"10 path=a\n9 uid=70\n26 SCHILY.xattr.user.a=\0\n\n")
            .unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a"[..]));
        assert_eq!(pax.uid, Some(70));
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"\0\n".to_vec())]);
        pax.parse(b"8 path=\n").unwrap();
        assert_eq!(pax.path, None);
    }

    #[test]
    fn malformed_records() {
        for body in [
            &b"x"[..],
            b"99 path=a\n",
            b"0 a=b\n",
            b"3 \n",
            b"6 path\n",
            b"5 =a\n",
            b"10 path=ab",
            b"99999999999999999999 a=b\n",
            b"9 size=x\n",
            b"11 path=a\0\n",
            b"11 mtime=x\n",
        ] {
            assert!(Pax::default().parse(body).is_err(), "{body:?}");
        }
    }
}
