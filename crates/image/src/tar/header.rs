//! One 512-byte header block: POSIX ustar, GNU and v7 layouts.

use super::BLOCK;

/// A header block as it stands in the archive.
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// The sum of all bytes, the sum's own field taken as spaces. Some old archivers summed signed
    /// bytes; both count as right.
    pub(super) fn checksum_is_right(&self) -> bool {
        let Some(stored) = number(&self.0[148..156]) else {
            return false;
        };
        let mut unsigned = 0_i64;
        let mut signed = 0_i64;
        for (index, &byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&index) {
                b' '
            } else {
                byte
            };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        stored == unsigned || stored == signed
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// The name, with ustar's prefix in front. GNU archives keep times where ustar has the prefix.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[345..500]);
        if &self.0[257..263] == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(&self.0[100..108])
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(&self.0[108..116])
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(&self.0[116..124])
    }

    pub(super) fn size(&self) -> Option<i64> {
        number(&self.0[124..136])
    }

    pub(super) fn modified(&self) -> Option<i64> {
        number(&self.0[136..148])
    }

    /// Major and minor. v7 headers have neither; what stands there is not a number to look at.
    pub(super) fn device(&self) -> Option<(i64, i64)> {
        Some((number(&self.0[329..337])?, number(&self.0[337..345])?))
    }
}

/// Up to the first NUL, or the whole field.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// An octal number between spaces and NULs, or a base-256 number in two's complement when the
/// first bit is set. Empty is zero. `None` when neither, or when it does not fit.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let sign = if first & 0x40 == 0 { 0 } else { -1_i128 };
        let top = (sign << 7) | i128::from(first & 0x7f);
        let value = rest
            .iter()
            .fold(top, |value, &byte| (value << 8) | i128::from(byte));
        return i64::try_from(value).ok();
    }
    let blank = |byte: &&u8| matches!(**byte, b' ' | 0);
    let start = field.iter().take_while(blank).count();
    let digits = field[start..].iter().take_while(|byte| !blank(byte));
    let mut value = 0_i64;
    let mut count = 0;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
        count += 1;
    }
    let trailing_is_blank = field[start + count..].iter().all(|byte| blank(&byte));
    trailing_is_blank.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777\0"), Some(0o77_777_777_777));
        assert_eq!(number(b"777777777777"), Some(0o777_777_777_777));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"-000001\0"), None);
        assert_eq!(number(b"64 4\0"), None);
        assert_eq!(number(b"\x80\0\0\0\0\x01\0\0"), Some(65536));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(
            number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
    }
}
