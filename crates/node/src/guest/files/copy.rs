//! Copying between the host and a guest: one thread reads the source as an archive, another unpacks
//! it where it goes. Nothing is run in the guest, so that it may be paused or at rest.
//!
//! What a guest gives gets no rights on the host by it: without `archive`, files belong to who
//! copies, and neither set-user-id nor devices come along.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use insula_container::error::{Context, Error, Result};
use insula_image::{
    Kept, Limits, Target as Arrangement, TreeForm, UnpackOptions, Unpacked, WrittenTree,
    unpack_archive, write_tree,
};

use super::end::{Side, Source, Target, find_directory, find_source, find_target};
use super::root::{GuestRoot, Sight};
use crate::guest::{Place, event};
use crate::run::image_error;

const BUFFER_BYTES: usize = 256 << 10;

/// How to copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// A source that is a link means what it leads to.
    pub follow: bool,
    /// Owners, devices and set-user-id are as in the source.
    pub archive: bool,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of content, without holes.
    pub content_bytes: u64,
    /// Sockets, devices and attributes that were left out.
    pub left_out: u64,
}

impl Copied {
    fn new(written: WrittenTree, unpacked: Unpacked) -> Self {
        Self {
            entries: unpacked.entries,
            content_bytes: unpacked.content_bytes,
            left_out: written.left_out + unpacked.skipped,
        }
    }
}

/// Copies `source` of the host into a guest.
///
/// # Errors
/// There is no such guest or path, a directory and a file would take each other's place, or the
/// disk is full. A file that could not be written whole is not there.
pub fn copy_in(
    place: &Place,
    name: &str,
    (source, destination): (&Path, &Path),
    options: CopyOptions,
) -> Result<Copied> {
    let source = find_source(Side::Host, source, options.follow)?;
    let root = GuestRoot::open(place, name, Sight::Whole)?;
    let target = find_target(Side::Guest(&root), destination, &source)?;
    let copied = carry(source, &target, kept(options, true))?;
    event::tell(place, &root.guest.record, "extract-to-dir", &[]);
    Ok(copied)
}

/// Copies `source` of a guest to the host.
///
/// # Errors
/// As for [`copy_in`].
pub fn copy_out(
    place: &Place,
    name: &str,
    (source, destination): (&Path, &Path),
    options: CopyOptions,
) -> Result<Copied> {
    let root = GuestRoot::open(place, name, Sight::Whole)?;
    let source = find_source(Side::Guest(&root), source, options.follow)?;
    let target = find_target(Side::Host, destination, &source)?;
    let copied = carry(source, &target, kept(options, false))?;
    event::tell(place, &root.guest.record, "archive-path", &[]);
    Ok(copied)
}

/// Writes `source` of a guest as an archive.
///
/// # Errors
/// There is no such guest or path, or `output` cannot be written.
pub fn write_stream(
    place: &Place,
    name: &str,
    source: &Path,
    options: CopyOptions,
    output: &mut dyn Write,
) -> Result<WrittenTree> {
    let root = GuestRoot::open(place, name, Sight::Whole)?;
    let side = Side::Guest(&root);
    let found = find_source(side, source, options.follow)?;
    let form = TreeForm {
        name: match found.contents_only {
            true => Vec::new(),
            false => found.name.clone().unwrap_or_default(),
        },
        contents_only: false,
        crosses_mounts: true,
    };
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, output);
    let written = write_tree(found.top, &form, &mut output)
        .and_then(|written| output.flush().map(|()| written))
        .step(|| format!("write {} as an archive", side.shown(source)))?;
    event::tell(place, &root.guest.record, "archive-path", &[]);
    Ok(written)
}

/// Unpacks an archive in a directory of a guest, with the owners that the archive names.
///
/// # Errors
/// There is no such guest or directory, or the archive is malformed.
pub fn read_stream(
    place: &Place,
    name: &str,
    input: impl Read + Send + 'static,
    destination: &Path,
) -> Result<Copied> {
    let root = GuestRoot::open(place, name, Sight::Whole)?;
    let side = Side::Guest(&root);
    let directory = find_directory(side, destination)?;
    let options = CopyOptions {
        archive: true,
        ..CopyOptions::default()
    };
    let unpacked = unpack(input, directory.as_fd(), kept(options, true))
        .step(|| format!("unpack the archive in {}", side.shown(destination)))?;
    event::tell(place, &root.guest.record, "extract-to-dir", &[]);
    Ok(Copied::new(WrittenTree::default(), unpacked))
}

/// Into a guest a program with set-user-id may come: who copies could have started it there anyway.
fn kept(options: CopyOptions, into_guest: bool) -> Kept {
    Kept {
        owners: options.archive,
        devices: options.archive,
        privileges: options.archive || into_guest,
    }
}

fn unpack(
    input: impl Read + Send + 'static,
    directory: BorrowedFd<'_>,
    kept: Kept,
) -> Result<Unpacked> {
    let options = UnpackOptions {
        limits: Limits {
            archive_bytes: u64::MAX,
            ..Limits::default()
        },
        target: Arrangement::Populated,
        kept,
        ..UnpackOptions::default()
    };
    unpack_archive(input, directory, &options).map_err(image_error)
}

/// Copies by an archive that goes through a pipe.
fn carry(source: Source, target: &Target, kept: Kept) -> Result<Copied> {
    let form = TreeForm {
        // Under another name the directory itself is what is made.
        contents_only: source.contents_only && target.name.is_none(),
        name: match (&target.name, source.contents_only) {
            (Some(name), _) => name.clone(),
            (None, true) => Vec::new(),
            (None, false) => source.name.clone().unwrap_or_default(),
        },
        crosses_mounts: true,
    };
    let (reader, writer) = io::pipe().step(|| "make a pipe")?;
    let write = move || -> io::Result<WrittenTree> {
        let mut output = BufWriter::with_capacity(BUFFER_BYTES, writer);
        let written = write_tree(source.top, &form, &mut output)?;
        output.flush().map(|()| written)
    };
    let thread = std::thread::Builder::new()
        .name("read the source".to_owned())
        .spawn(write)
        .step(|| "start a thread to read the source")?;
    let unpacked = unpack(
        File::from(std::os::fd::OwnedFd::from(reader)),
        target.directory.as_fd(),
        kept,
    );
    let written = thread
        .join()
        .map_err(|_panic| Error::new("reading the source failed"))?;
    match (written, unpacked) {
        (Ok(written), Ok(unpacked)) => Ok(Copied::new(written, unpacked)),
        // A pipe that nobody reads any more is the consequence of the other failure.
        (Err(error), Err(unpacking)) if error.kind() == io::ErrorKind::BrokenPipe => Err(unpacking),
        (Err(error), _) => Err(error).step(|| "read what is to be copied"),
        (Ok(_), Err(unpacking)) => Err(unpacking),
    }
}
