//! Finds out how a stream is compressed by its first bytes, and takes the compression off.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Context, Error, Result};

/// The largest history a zstd frame may ask for: 2^27 bytes, what `zstd -19` needs.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const INPUT_BUFFER_BYTES: usize = 256 << 10;
const MAGIC_BYTES: usize = 6;

type Input = Counted<Box<dyn Read + Send>>;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Reads the first bytes of `input` and gives the whole of it back.
    ///
    /// # Errors
    /// The input cannot be read, or has a compression that is known but not supported.
    pub(crate) fn detect(mut input: Box<dyn Read + Send>) -> Result<(Self, Box<dyn Read + Send>)> {
        let mut magic = Vec::with_capacity(MAGIC_BYTES);
        input
            .by_ref()
            .take(MAGIC_BYTES as u64)
            .read_to_end(&mut magic)
            .step(|| "read the archive")?;
        let unsupported = |name: &str, tool: &str| {
            Err(
                Error::invalid(format!("the archive is compressed with {name}"))
                    .hint(format!("pipe it: {tool} -dc FILE | insula image import -")),
            )
        };
        let compression = match magic.as_slice() {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return unsupported("xz", "xz"),
            [b'B', b'Z', b'h', ..] => return unsupported("bzip2", "bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => return unsupported("lz4", "lz4"),
            _ => Self::None,
        };
        Ok((compression, Box::new(Cursor::new(magic).chain(input))))
    }
}

/// The stream without its compression.
pub(crate) enum Plain {
    Stored(Input),
    Gzip(Box<MultiGzDecoder<BufReader<Input>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Input>>),
}

impl Plain {
    /// Reads the first bytes of `input` and chooses.
    ///
    /// # Errors
    /// The input cannot be read, or has a compression that is known but not supported.
    pub(crate) fn detect(input: Box<dyn Read + Send>) -> Result<Self> {
        let (compression, inner) = Compression::detect(input)?;
        let input = Counted { inner, count: 0 };
        match compression {
            Compression::None => Ok(Self::Stored(input)),
            Compression::Gzip => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(
                BufReader::with_capacity(INPUT_BUFFER_BYTES, input),
            )))),
            Compression::Zstd => {
                let reader = BufReader::with_capacity(INPUT_BUFFER_BYTES, input);
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)
                    .step(|| "start the zstd decoder")?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .step(|| "limit the zstd decoder's memory")?;
                Ok(Self::Zstd(decoder))
            }
        }
    }

    /// How many bytes were taken from the input so far, before decompression.
    pub(crate) fn input_bytes(&self) -> u64 {
        match self {
            Self::Stored(input) => input.count,
            Self::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Self::Zstd(decoder) => decoder.get_ref().get_ref().count,
        }
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(input) => input.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer).map_err(explain_gzip),
            Self::Zstd(decoder) => decoder.read(buffer).map_err(explain_zstd),
        }
    }
}

fn explain_gzip(error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the gzip stream is cut off".to_owned(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            format!("the gzip stream is damaged ({error})")
        }
        _ => return error,
    };
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn explain_zstd(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the zstd stream is cut off".to_owned(),
        _ => format!("the zstd stream is damaged or needs more than 128 MiB of history ({error})"),
    };
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Counts what is read.
pub(crate) struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}
