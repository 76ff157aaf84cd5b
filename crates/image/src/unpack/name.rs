//! Names of an archive, made clean by their text alone.

use crate::error::{Error, Result};

/// The longest path the kernel takes, with its NUL.
const PATH_BYTES_MAX: usize = 4095;

/// A relative path without empty, `.` and `..` components. Empty for the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CleanName {
    path: Vec<u8>,
    /// Where the last component starts.
    last: usize,
}

impl CleanName {
    /// Takes slashes from the front, and `..` together with the component before it. A name that
    /// leaves the root that way is refused, not bent: it is never an honest one.
    pub(crate) fn new(raw: &[u8], depth_max: usize) -> Result<Self> {
        if raw.is_empty() {
            return Err(Error::invalid("the name is empty"));
        }
        let mut components: Vec<&[u8]> = Vec::new();
        for component in raw.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    if components.pop().is_none() {
                        return Err(Error::invalid("the name leads out of the image")
                            .hint("this archive tries to write to the host: do not trust it"));
                    }
                }
                _ => components.push(component),
            }
        }
        if components.len() > depth_max {
            return Err(Error::invalid(format!(
                "the name has {} components, the limit is {depth_max}",
                components.len()
            )));
        }
        let path = components.join(&b'/');
        if path.contains(&0) {
            return Err(Error::invalid("the name has a NUL"));
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(Error::invalid("the name is longer than 4095 bytes"));
        }
        let last = path.iter().rposition(|&byte| byte == b'/');
        Ok(Self {
            last: last.map_or(0, |slash| slash + 1),
            path,
        })
    }

    pub(crate) fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Without the last component; empty when that is the root.
    pub(crate) fn parent(&self) -> &[u8] {
        &self.path[..self.last.saturating_sub(1)]
    }

    pub(crate) fn last(&self) -> &[u8] {
        &self.path[self.last..]
    }

    /// What follows `.wh.` in the last component.
    pub(crate) fn whiteout(&self) -> Option<&[u8]> {
        self.last().strip_prefix(b".wh.")
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.path.len()
    }
}

/// A name as it may stand in a message: no control characters, not too long.
pub(crate) fn shown(name: &[u8]) -> String {
    const LENGTH_MAX: usize = 200;
    let text = String::from_utf8_lossy(&name[..name.len().min(LENGTH_MAX)]);
    let mut shown: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect();
    if name.len() > LENGTH_MAX {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(raw: &[u8]) -> Option<Vec<u8>> {
        Some(CleanName::new(raw, 8).ok()?.path)
    }

    #[test]
    fn names_become_clean_or_are_refused() {
        assert_eq!(clean(b"./a//b/./c/").unwrap(), b"a/b/c");
        assert_eq!(clean(b"/etc/passwd").unwrap(), b"etc/passwd");
        assert_eq!(clean(b"a/../b").unwrap(), b"b");
        assert_eq!(clean(b"./").unwrap(), b"");
        assert_eq!(clean(b"a/..").unwrap(), b"");
        assert_eq!(clean(b"...").unwrap(), b"...");
        assert_eq!(clean(b"\xff\xfe").unwrap(), b"\xff\xfe");
        for refused in [
            &b""[..],
            b"..",
            b"../a",
            b"a/../../b",
            b"/..",
            b"a\0b",
            b"1/2/3/4/5/6/7/8/9",
        ] {
            assert_eq!(clean(refused), None, "{refused:?}");
        }
        assert_eq!(clean(&[b'a'; 5000]), None);
    }

    #[test]
    fn parts() {
        let name = CleanName::new(b"a/b/c", 8).unwrap();
        assert_eq!((name.parent(), name.last()), (&b"a/b"[..], &b"c"[..]));
        let name = CleanName::new(b"c", 8).unwrap();
        assert_eq!((name.parent(), name.last()), (&b""[..], &b"c"[..]));
    }
}
