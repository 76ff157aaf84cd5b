//! Whether a file is an archive, by its content.

use std::fs::File;
use std::io::{Read, Seek};

use crate::decompress::Plain;
use crate::error::{Context, Result};
use crate::tar::starts_archive;

/// Whether `file` is a tar archive, plain or compressed as [`Plain`] knows. Reads its beginning and
/// goes back to it.
///
/// # Errors
/// The file cannot be read, or it is compressed in a way that is known and not supported.
pub fn is_archive(file: &mut File) -> Result<bool> {
    let copy = file.try_clone().step(|| "read the file")?;
    let mut block = Vec::with_capacity(512);
    let plain = Plain::detect(Box::new(copy));
    let read = plain.map(|plain| plain.take(512).read_to_end(&mut block));
    file.rewind().step(|| "read the file")?;
    // What does not come out of its compression whole is no archive.
    Ok(read?.is_ok() && starts_archive(&block))
}
