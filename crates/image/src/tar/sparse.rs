//! Where the content of a sparse file goes, in the four ways archives say it.

use super::header::number;
use super::{BLOCK, Segment};

/// A map larger than this is refused: 16 MiB of memory.
pub(super) const SEGMENTS_MAX: usize = 1 << 20;

/// Checks offsets and lengths given by turns: they ascend, do not overlap, stay inside `size`, and
/// sum up to the `stored` bytes that the archive has for the file.
pub(super) fn segments(map: &[u64], size: u64, stored: u64) -> Result<Vec<Segment>, String> {
    if !map.len().is_multiple_of(2) {
        return Err("the sparse map has an offset without a length".to_owned());
    }
    let mut end = 0;
    let mut total = 0_u64;
    let mut segments = Vec::with_capacity(map.len() / 2);
    for pair in map.chunks_exact(2) {
        let (offset, length) = (pair[0], pair[1]);
        let next_end = offset.checked_add(length);
        match next_end {
            Some(next_end) if offset >= end && next_end <= size => end = next_end,
            _ => return Err("the sparse map overlaps or leaves the file".to_owned()),
        }
        // Cannot overflow: the segments do not overlap and end within a u64.
        total += length;
        if length > 0 {
            segments.push(Segment { offset, length });
        }
    }
    if total != stored {
        return Err(format!(
            "the sparse map places {total} bytes, the archive has {stored}"
        ));
    }
    Ok(segments)
}

/// The old GNU form: four pairs in the header, 21 in every extension block. Reads the pairs of one
/// block and says whether another follows.
pub(super) fn old_gnu_pairs(
    block: &[u8; BLOCK],
    is_header: bool,
    map: &mut Vec<u64>,
) -> Result<bool, String> {
    let (start, count, continued) = if is_header {
        (386, 4, 482)
    } else {
        (0, 21, 504)
    };
    for index in 0..count {
        let pair = &block[start + index * 24..start + index * 24 + 24];
        // An unused pair ends the list.
        if pair[0] == 0 {
            break;
        }
        for field in [&pair[..12], &pair[12..]] {
            let value = number(field).and_then(|value| u64::try_from(value).ok());
            map.push(value.ok_or("the sparse map has a malformed number")?);
        }
    }
    if map.len() > 2 * SEGMENTS_MAX {
        return Err("the sparse map has too many pieces".to_owned());
    }
    Ok(block[continued] != 0)
}

/// The length of the whole file in an old GNU sparse header.
pub(super) fn old_gnu_real_size(block: &[u8; BLOCK]) -> Option<u64> {
    u64::try_from(number(&block[483..495])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_checked() {
        assert_eq!(
            segments(&[0, 2, 10, 3, 20, 0], 20, 5).unwrap(),
            [
                Segment {
                    offset: 0,
                    length: 2
                },
                Segment {
                    offset: 10,
                    length: 3
                },
            ]
        );
        for (map, size, stored) in [
            (&[0, 2, 1, 3][..], 20, 5),
            (&[10, 3, 0, 2], 20, 5),
            (&[0, 21], 20, 21),
            (&[u64::MAX, 2], u64::MAX, 2),
            (&[0, 2], 20, 5),
            (&[0], 20, 0),
        ] {
            assert!(segments(map, size, stored).is_err(), "{map:?}");
        }
    }
}
