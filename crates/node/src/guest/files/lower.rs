//! What lies below a guest's writable layer: its image's layers, only read.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Result};
use insula_container::rootfs::mount_lower;
use insula_image::Image;
use insula_sys::Errno;
use insula_sys::rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::root::take_own_mounts;
use crate::guest::format::GuestRecord;
use crate::run::{RunOptions, hostname, layers, network_files};

/// The root of the image's layers; `None` when it has none. `place` is a directory that is covered
/// in this process's own view where the kernel wants layers to be attached.
pub(crate) fn open(image: &Image, place: &Path) -> Result<Option<OwnedFd>> {
    let lower = layers::open(image)?;
    if lower.is_empty() {
        return Ok(None);
    }
    take_own_mounts()?;
    mount_lower(&lower, place).map(Some)
}

/// What is at a path below the root, if anything: no link is followed.
pub(super) fn look(below: Option<&OwnedFd>, path: &Path) -> Result<Option<OwnedFd>> {
    let Some(below) = below else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(below, path, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno).step(|| format!("look at /{} of the image", path.display())),
    }
}

/// Paths of the writable layer that are none of the guest's work: the files that every guest is
/// given, as long as they are as they were given.
pub(super) fn given(record: &GuestRecord, options: &RunOptions, upper: &OwnedFd) -> Vec<PathBuf> {
    let hostname = hostname(options, &record.id);
    let files = network_files::make(options, &hostname).into_iter();
    let paths = files.filter_map(|(name, content)| {
        let path = Path::new("etc").join(name);
        let now = read(upper, &path, content.len())?;
        (now == content).then_some(path)
    });
    paths.collect()
}

/// A regular file of the upper directory, which the guest may have made anything of; one byte more
/// than `length` at most.
fn read(upper: &OwnedFd, path: &Path, length: usize) -> Option<Vec<u8>> {
    let found = look(Some(upper), path).ok()??;
    let kind = FileType::from_raw_mode(fstat(&found).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let file = std::fs::File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()?;
    let mut content = Vec::new();
    file.take(length as u64 + 1)
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}
