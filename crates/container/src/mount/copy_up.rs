//! `tmpcopyup`: what was below a mount point is copied into the tmpfs that will hide it.
//!
//! Files keep type, mode, owner, times and extended attributes; sockets are left out, since nobody
//! can listen on the copy. Links are copied as links, so the copy never leaves the directory.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use insula_sys::rustix::fs::{
    self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use insula_sys::{Errno, Result};

/// Deeper trees are an attack on the stack.
const DEPTH_MAX: usize = 256;
/// What one sendfile(2) moves at most.
const CHUNK_BYTES: usize = 1 << 30;
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Copies what is in the directory `from` to the directory `to`.
pub(super) fn copy(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let flags = READ | OFlags::DIRECTORY;
    let from = fs::openat(from, c".", flags, Mode::empty())?;
    let to = fs::openat(to, c".", flags, Mode::empty())?;
    copy_entries(&from, &to, DEPTH_MAX)
}

fn copy_entries(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth == 0 {
        return Err(Errno::NAMETOOLONG);
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            copy_entry(from, to, entry.file_name(), depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> Result<()> {
    let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            fs::mkdirat(to, name, Mode::RWXU)?;
            let source = fs::openat(from, name, READ | OFlags::DIRECTORY, Mode::empty())?;
            let copy = fs::openat(to, name, READ | OFlags::DIRECTORY, Mode::empty())?;
            copy_entries(&source, &copy, depth - 1)?;
            copy_attributes(&source, &copy)?;
        }
        FileType::RegularFile => {
            let source = fs::openat(from, name, READ | OFlags::NONBLOCK, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let copy = fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
            while fs::sendfile(&copy, &source, None, CHUNK_BYTES)? > 0 {}
            copy_attributes(&source, &copy)?;
        }
        FileType::Symlink => {
            let target = fs::readlinkat(from, name, Vec::new())?;
            fs::symlinkat(&target, to, name)?;
        }
        FileType::Socket => return Ok(()),
        special => fs::mknodat(to, name, special, mode, stat.st_rdev)?,
    }
    finish_entry(to, name, &stat, mode)
}

/// Owner first, because changing it clears the set-user-id bit.
fn finish_entry(to: &OwnedFd, name: &CStr, stat: &Stat, mode: Mode) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
        // An owner that does not exist in the user namespace: root stands in.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        fs::chmodat(to, name, mode, AtFlags::empty())?;
    }
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let mut names = [0; 4096];
    let length = match fs::flistxattr(from, &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = [0; 65536];
        let length = fs::fgetxattr(from, name, &mut value)?;
        match fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            // The tmpfs may not keep this kind, or not let this user write it.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
