//! The bytes of a log on disk, version 1: segments of chunks. Little endian throughout.
//!
//! ```text
//!  segment   head (64 bytes)  chunk  chunk  chunk …
//!  chunk     header (32)      payload (1 byte to 256 KiB)      trailer (8)
//! ```
//!
//! A header carries a check of its other fields, mixed with a number that was drawn for the
//! segment:
//! what a guest writes can look like a chunk, but nobody tells it the number. The trailer repeats
//! length and check, so that a segment can be read from its end. docs/internals/log-format.md has
//! the layout. Start at [`ChunkHeader`].

/// The version of segments written here. A field may be added where bytes are reserved; a change
/// of meaning takes a new version.
pub const VERSION: u32 = 1;

/// A payload is never longer.
pub const PAYLOAD_MAX: usize = 256 << 10;

pub(crate) const SEGMENT_HEAD_BYTES: usize = 64;
pub(crate) const HEADER_BYTES: usize = 32;
pub(crate) const TRAILER_BYTES: usize = 8;
/// What a chunk takes beside its payload.
pub(crate) const FRAME_BYTES: usize = HEADER_BYTES + TRAILER_BYTES;

const SEGMENT_MAGIC: [u8; 8] = *b"insulog\n";
pub(crate) const CHUNK_MAGIC: [u8; 4] = *b"\xf1chk";

/// Where the bytes of a chunk come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
    /// Both at once, of a guest that has a terminal.
    Terminal = 3,
    /// Insula's own words about the log: what was lost, and why.
    Note = 4,
}

impl Stream {
    pub const ALL: [Self; 4] = [Self::Stdout, Self::Stderr, Self::Terminal, Self::Note];

    /// The stream's name in JSON and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Terminal => "terminal",
            Self::Note => "note",
        }
    }

    pub(super) const fn bit(self) -> u8 {
        1 << (self as u8)
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| *stream as u8 == number)
    }
}

/// The first byte of the payload begins a line of its stream.
pub(crate) const BEGINS_LINE: u8 = 1;
/// The payload was cut by the death of its writer; what is missing was never written.
pub(crate) const CUT: u8 = 2;

/// What stands before each payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Of the payload, in bytes; from 1 to [`PAYLOAD_MAX`].
    pub length: u32,
    /// One more than that of the chunk before it, whatever the clock says.
    pub sequence: u64,
    /// Nanoseconds since 1970 when the bytes were read, by the clock of then.
    pub time_ns: i64,
    pub stream: Stream,
    pub(crate) flags: u8,
}

impl ChunkHeader {
    /// Whether the payload's first byte begins a line of its stream.
    #[must_use]
    pub const fn begins_line(&self) -> bool {
        self.flags & BEGINS_LINE != 0
    }

    /// Header, payload and trailer together.
    pub(crate) fn frame_bytes(&self) -> u64 {
        u64::from(self.length) + FRAME_BYTES as u64
    }

    pub(crate) fn to_bytes(self, seed: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&CHUNK_MAGIC);
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time_ns.to_le_bytes());
        bytes[24] = self.stream as u8;
        bytes[25] = self.flags;
        let check = check(seed, &bytes[..28]);
        bytes[28..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// `None` for anything that this segment's writer did not write.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES], seed: u64) -> Option<Self> {
        if bytes[..4] != CHUNK_MAGIC || read_u32(bytes, 28) != check(seed, &bytes[..28]) {
            return None;
        }
        let length = read_u32(bytes, 4);
        if length == 0 || length as usize > PAYLOAD_MAX {
            return None;
        }
        Some(Self {
            length,
            sequence: read_u64(bytes, 8),
            time_ns: read_u64(bytes, 16).cast_signed(),
            stream: Stream::from_number(bytes[24])?,
            flags: bytes[25],
        })
    }

    /// What stands behind the payload: length and check once more.
    pub(crate) fn trailer(header: &[u8; HEADER_BYTES]) -> [u8; TRAILER_BYTES] {
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..4].copy_from_slice(&header[4..8]);
        trailer[4..].copy_from_slice(&header[28..]);
        trailer
    }
}

/// The length of the payload that a trailer stands behind, if it can be one.
pub(crate) fn trailer_length(trailer: &[u8; TRAILER_BYTES]) -> Option<u32> {
    let length = read_u32(trailer, 0);
    (length > 0 && length as usize <= PAYLOAD_MAX).then_some(length)
}

/// What stands at the beginning of each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// As in the file's name.
    pub(crate) number: u64,
    /// The sequence number of the first chunk.
    pub(crate) first_sequence: u64,
    pub(crate) created_ns: i64,
    /// Mixed into the checks of all chunks.
    pub(crate) seed: u64,
}

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadOutcome {
    Known(SegmentHead),
    /// Of a version that is newer than this program.
    Newer(u32),
    Damaged,
}

impl SegmentHead {
    pub(crate) fn to_bytes(self) -> [u8; SEGMENT_HEAD_BYTES] {
        let mut bytes = [0; SEGMENT_HEAD_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_ns.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.seed.to_le_bytes());
        let check = check(self.seed, &bytes[..60]);
        bytes[60..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8; SEGMENT_HEAD_BYTES]) -> HeadOutcome {
        if bytes[..8] != SEGMENT_MAGIC {
            return HeadOutcome::Damaged;
        }
        let version = read_u32(bytes, 8);
        if version > VERSION {
            return HeadOutcome::Newer(version);
        }
        let seed = read_u64(bytes, 40);
        if version != VERSION || read_u32(bytes, 60) != check(seed, &bytes[..60]) {
            return HeadOutcome::Damaged;
        }
        HeadOutcome::Known(Self {
            number: read_u64(bytes, 16),
            first_sequence: read_u64(bytes, 24),
            created_ns: read_u64(bytes, 32).cast_signed(),
            seed,
        })
    }
}

/// The name of a segment's file, in its own bytes: no memory is taken for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentName {
    bytes: [u8; 24],
    start: usize,
}

const SUFFIX: &[u8; 4] = b".log";

impl SegmentName {
    /// Eight digits, more when the number has more.
    pub(crate) fn new(number: u64) -> Self {
        let mut bytes = [b'0'; 24];
        bytes[20..].copy_from_slice(SUFFIX);
        let mut rest = number;
        let mut start = 20;
        while rest > 0 || start > 12 {
            start -= 1;
            bytes[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self { bytes, start }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The number in the name of a segment; `None` for other files.
    pub(crate) fn parse(name: &[u8]) -> Option<u64> {
        let digits = name.strip_suffix(SUFFIX)?;
        if digits.len() < 8 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        // Of two names for one number only one is ours.
        (Self::new(number).as_bytes() == name).then_some(number)
    }
}

/// Multiplies and folds the words; no defence against who knows the seed, and nobody is told it.
fn check(seed: u64, bytes: &[u8]) -> u32 {
    let mut mixed = seed ^ 0x9e37_79b9_7f4a_7c15;
    for word in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..word.len()].copy_from_slice(word);
        mixed = (mixed ^ u64::from_le_bytes(padded)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^= mixed >> 32;
    }
    mixed = mixed.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    u32::try_from(mixed >> 32).unwrap_or_default()
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_eight_digits_or_more_and_are_read_back() {
        for (number, name) in [
            (1, "00000001.log"),
            (99_999_999, "99999999.log"),
            (100_000_000, "100000000.log"),
            (u64::MAX, "18446744073709551615.log"),
        ] {
            assert_eq!(SegmentName::new(number).as_bytes(), name.as_bytes());
            assert_eq!(SegmentName::parse(name.as_bytes()), Some(number));
        }
        for wrong in [
            "1.log",
            "000000001.log",
            "00000001.txt",
            "0000000a.log",
            ".log",
        ] {
            assert_eq!(SegmentName::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let header = ChunkHeader {
            length: 5,
            sequence: 7,
            time_ns: -1,
            stream: Stream::Stderr,
            flags: BEGINS_LINE,
        };
        let bytes = header.to_bytes(42);
        assert_eq!(ChunkHeader::parse(&bytes, 42), Some(header));
        assert_eq!(ChunkHeader::parse(&bytes, 43), None);
        for bit in 0..HEADER_BYTES * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ChunkHeader::parse(&changed, 42), None, "bit {bit}");
        }
    }

    #[test]
    fn lengths_beyond_the_limit_are_refused_even_when_the_check_fits() {
        let mut header = ChunkHeader {
            length: 256 << 10,
            sequence: 0,
            time_ns: 0,
            stream: Stream::Stdout,
            flags: 0,
        };
        assert!(ChunkHeader::parse(&header.to_bytes(1), 1).is_some());
        for length in [0, (256 << 10) + 1, u32::MAX] {
            header.length = length;
            let bytes = header.to_bytes(1);
            assert_eq!(ChunkHeader::parse(&bytes, 1), None);
            assert_eq!(trailer_length(&ChunkHeader::trailer(&bytes)), None);
        }
    }

    #[test]
    fn a_newer_version_is_told_apart_from_damage() {
        let head = SegmentHead {
            number: 1,
            first_sequence: 2,
            created_ns: 3,
            seed: 4,
        };
        let mut bytes = head.to_bytes();
        assert_eq!(SegmentHead::parse(&bytes), HeadOutcome::Known(head));
        bytes[24] ^= 1;
        assert_eq!(SegmentHead::parse(&bytes), HeadOutcome::Damaged);
        bytes[8] = 2;
        assert_eq!(SegmentHead::parse(&bytes), HeadOutcome::Newer(2));
    }
}
