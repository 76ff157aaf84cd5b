//! Finds out how a stream is compressed by its first bytes, and takes the compression off.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::error::{Context, Error, Result};

/// The largest history a zstd frame may ask for: 2^27 bytes, what `zstd -19` needs.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// What `xz -9` needs to be read is 64 MiB, and some.
const XZ_MEMORY_KIB_MAX: u32 = 160 << 10;
const INPUT_BUFFER_BYTES: usize = 256 << 10;
const MAGIC_BYTES: usize = 6;

type Input = BufReader<Counted>;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
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
        let compression = match magic.as_slice() {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0x04, 0x22, 0x4d, 0x18, ..] => {
                return Err(Error::invalid("the archive is compressed with lz4")
                    .hint("pipe it: lz4 -dc FILE | insula image import -"));
            }
            _ => Self::None,
        };
        Ok((compression, Box::new(Cursor::new(magic).chain(input))))
    }

    /// Whether image-spec has a media type for a layer of this kind.
    pub(crate) fn is_of_layers(self) -> bool {
        !matches!(self, Self::Xz | Self::Bzip2)
    }
}

/// A stream without its compression.
///
/// # Examples
/// ```
/// use std::io::Read as _;
/// # use insula_image::Plain;
/// let mut plain = Plain::detect(Box::new(&b"not compressed"[..]))?;
/// let mut text = String::new();
/// plain.read_to_string(&mut text).unwrap();
/// assert_eq!(text, "not compressed");
/// # Ok::<(), insula_image::Error>(())
/// ```
pub struct Plain {
    decoder: Decoder,
    /// Bytes taken from the input.
    taken: Arc<AtomicU64>,
}

enum Decoder {
    Stored(Input),
    Gzip(Box<MultiGzDecoder<Input>>),
    Zstd(zstd::stream::read::Decoder<'static, Input>),
    Xz(Box<XzReader<Input>>),
    Bzip2(Box<MultiBzDecoder<Input>>),
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("taken", &self.taken).finish()
    }
}

impl Plain {
    /// Reads the first bytes of `input` and chooses: gzip, zstd, xz, bzip2, or as it is.
    ///
    /// # Errors
    /// The input cannot be read, or has a compression that is known but not supported.
    pub fn detect(input: Box<dyn Read + Send>) -> Result<Self> {
        let (compression, inner) = Compression::detect(input)?;
        Self::new(compression, inner)
    }

    /// As [`Plain::detect`], for the archive of a layer, which every engine must be able to read.
    ///
    /// # Errors
    /// As there, or no layer may be compressed in this way.
    pub(crate) fn of_layer(input: Box<dyn Read + Send>) -> Result<Self> {
        let (compression, inner) = Compression::detect(input)?;
        if !compression.is_of_layers() {
            let name = match compression {
                Compression::Xz => "xz",
                _ => "bzip2",
            };
            return Err(Error::invalid(format!(
                "the layer is compressed with {name}, which layers of images cannot be"
            )));
        }
        Self::new(compression, inner)
    }

    pub(crate) fn new(compression: Compression, inner: Box<dyn Read + Send>) -> Result<Self> {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            inner,
            taken: Arc::clone(&taken),
        };
        let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, counted);
        let decoder = match compression {
            Compression::None => Decoder::Stored(input),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)
                    .step(|| "start the zstd decoder")?;
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .step(|| "limit the zstd decoder's memory")?;
                Decoder::Zstd(decoder)
            }
            Compression::Xz => {
                let reader = XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB_MAX);
                Decoder::Xz(Box::new(reader))
            }
            Compression::Bzip2 => Decoder::Bzip2(Box::new(MultiBzDecoder::new(input))),
        };
        Ok(Self { decoder, taken })
    }

    /// How many bytes were taken from the input so far, before decompression.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.decoder {
            Decoder::Stored(input) => input.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer).map_err(explain_gzip),
            Decoder::Zstd(decoder) => decoder.read(buffer).map_err(explain_zstd),
            Decoder::Xz(decoder) => decoder.read(buffer).map_err(explain_xz),
            Decoder::Bzip2(decoder) => decoder.read(buffer).map_err(explain_bzip2),
        }
    }
}

fn explain_gzip(error: io::Error) -> io::Error {
    explain("gzip", error)
}

fn explain_bzip2(error: io::Error) -> io::Error {
    explain("bzip2", error)
}

fn explain(name: &str, error: io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the {name} stream is cut off"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            format!("the {name} stream is damaged ({error})")
        }
        _ => return error,
    };
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn explain_xz(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::OutOfMemory | io::ErrorKind::Unsupported => {
            let reason =
                format!("the xz stream asks for too much memory or an unknown filter ({error})");
            io::Error::new(io::ErrorKind::InvalidData, reason)
        }
        _ => explain("xz", error),
    }
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
struct Counted {
    inner: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
