//! The bytes of an image that is read: a file, or memory. Metadata goes through a small cache of
//! windows, for neighbours are asked for one after the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

const WINDOW_BYTES: usize = 32 << 10;
const WINDOWS: usize = 32;

/// Something with bytes at offsets.
pub trait ReadAt {
    /// How many bytes there are.
    ///
    /// # Errors
    /// The system's.
    fn length_bytes(&self) -> io::Result<u64>;

    /// Fills the whole buffer from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the bytes end before; the system's.
    fn read_exactly(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn length_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exactly(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn length_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exactly(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self
            .get(start..start.saturating_add(buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn length_bytes(&self) -> io::Result<u64> {
        (**self).length_bytes()
    }

    fn read_exactly(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exactly(buffer, offset)
    }
}

/// The most recent windows, each in the place that its number gives it.
#[derive(Debug)]
pub(super) struct Cache {
    windows: Mutex<Vec<Option<Window>>>,
}

#[derive(Debug)]
struct Window {
    number: u64,
    bytes: Vec<u8>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            windows: Mutex::new(Vec::new()),
        }
    }

    /// Fills `buffer` from `offset` on; `length` is that of the image.
    pub(super) fn read(
        &self,
        source: &impl ReadAt,
        length: u64,
        mut buffer: &mut [u8],
        mut offset: u64,
    ) -> io::Result<()> {
        // What a panic elsewhere left is a window or none: both are fine.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.resize_with(WINDOWS, || None);
        while !buffer.is_empty() {
            let number = offset / WINDOW_BYTES as u64;
            let start = number * WINDOW_BYTES as u64;
            let place = usize::try_from(number % WINDOWS as u64).unwrap_or(0);
            let slot = &mut windows[place];
            if slot.as_ref().is_none_or(|window| window.number != number) {
                let bytes = length.saturating_sub(start).min(WINDOW_BYTES as u64);
                let mut bytes = vec![0; usize::try_from(bytes).unwrap_or(0)];
                source.read_exactly(&mut bytes, start)?;
                *slot = Some(Window { number, bytes });
            }
            let inside = usize::try_from(offset - start).unwrap_or(usize::MAX);
            let available = slot
                .as_ref()
                .and_then(|window| window.bytes.get(inside..))
                .filter(|available| !available.is_empty())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let count = available.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&available[..count]);
            buffer = later;
            offset += count as u64;
        }
        Ok(())
    }
}
