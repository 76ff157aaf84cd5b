//! Makes one entry of each kind.
//!
//! Order matters: content, then owner (which clears set-user-id and file capabilities), then
//! mode, then extended attributes, then times.

use std::io::BufRead;
use std::os::fd::OwnedFd;

use insula_sys::rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use insula_sys::rustix::io::{self, Errno};

use super::name::CleanName;
use super::tree::{path_through, path_to};
use super::{PendingDirectory, Unpacker, Whiteouts};
use crate::error::{Context, Error, Result};
use crate::tar::{Entry, EntryKind, Xattr};

/// A directory of an overlay layer with this attribute, as `y`, hides what is below.
const OPAQUE: &str = "opaque";
/// A directory with this one, empty, may have whiteouts that a listing must leave out also where
/// no other layer has the directory (`ovl_dir_is_real`, Linux 4.15 and later).
const ORIGIN: &str = "origin";

impl<R: BufRead> Unpacker<'_, R> {
    pub(super) fn file(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        self.budget.file(entry.size)?;
        let parent = self.tree.parent(name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self
            .tree
            .replacing(&parent, name, false, || {
                fs::openat(&parent, name.last(), flags, Mode::RUSR | Mode::WUSR).map(Some)
            })
            .step(|| "make the file")?
            .ok_or_else(|| Error::invalid("the name is taken by a directory"))?;
        self.content(&file, entry).inspect_err(|_| {
            // Half a file is worse than none. The first failure is the one to tell.
            let _ = fs::unlinkat(&parent, name.last(), AtFlags::empty());
        })?;
        let (uid, gid) = self.owner_of(entry);
        if (uid, gid) != self.identity {
            fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .step(|| format!("give the file to {}:{}", entry.uid, entry.gid))?;
        }
        fs::fchmod(&file, self.options.mode(entry.mode)).step(|| "set the mode")?;
        for xattr in &entry.xattrs {
            self.xattr(xattr, |name, value| {
                fs::fsetxattr(&file, name, value, XattrFlags::empty())
            })?;
        }
        fs::futimens(&file, &times(entry)).step(|| "set the time")
    }

    fn content(&mut self, file: &OwnedFd, entry: &Entry) -> Result<()> {
        let Some(segments) = &entry.segments else {
            return self.piece(file, 0, entry.size);
        };
        for segment in segments {
            self.piece(file, segment.offset, segment.length)?;
        }
        fs::ftruncate(file, entry.size).step(|| "set the file's length")
    }

    /// Writes the next `length` bytes of the archive at `offset` of the file.
    fn piece(&mut self, file: &OwnedFd, mut offset: u64, length: u64) -> Result<()> {
        let end = offset + length;
        while offset < end {
            let content = self.reader.content()?;
            let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let content = &content[..content.len().min(room)];
            let written = match io::pwrite(file, content, offset) {
                Err(Errno::INTR) => 0,
                other => other.step(|| "write the content")?,
            };
            self.reader.consume(written);
            offset += written as u64;
            self.unpacked.content_bytes += written as u64;
        }
        Ok(())
    }

    pub(super) fn hard_link(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        let target = CleanName::new(&entry.link, self.options.limits.depth)
            .step(|| format!("hard link to `{}`", super::shown(&entry.link)))?;
        if target == *name {
            return Err(Error::invalid("the hard link leads to itself"));
        }
        if target.is_root() {
            return Err(explain_link(entry, Errno::ISDIR));
        }
        let parent = self.tree.parent(name)?;
        let target_parent = self
            .tree
            .open(target.parent(), OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|errno| explain_link(entry, errno))?;
        // Looked at first: what is in the place of the link is removed only when the link can be.
        let target_stat = fs::statat(&target_parent, target.last(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| explain_link(entry, errno))?;
        if FileType::from_raw_mode(target_stat.st_mode) == FileType::Directory {
            return Err(explain_link(entry, Errno::ISDIR));
        }
        if let Ok(existing) = fs::statat(&parent, name.last(), AtFlags::SYMLINK_NOFOLLOW)
            && (existing.st_dev, existing.st_ino) == (target_stat.st_dev, target_stat.st_ino)
        {
            return Ok(());
        }
        self.tree
            .replacing(&parent, name, false, || {
                let flags = AtFlags::empty();
                fs::linkat(&target_parent, target.last(), &parent, name.last(), flags)
            })
            .map_err(|errno| explain_link(entry, errno))
    }

    pub(super) fn symlink(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(Error::invalid("the symbolic link has no usable target"));
        }
        let parent = self.tree.parent(name)?;
        self.tree
            .replacing(&parent, name, false, || {
                fs::symlinkat(entry.link.as_slice(), &parent, name.last())
            })
            .step(|| "make the symbolic link")?;
        self.metadata(&parent, name, entry)
    }

    /// A device or a fifo.
    pub(super) fn node(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        let kind = match entry.kind {
            EntryKind::Character => FileType::CharacterDevice,
            EntryKind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let takes_devices = self.options.is_host_root() && self.options.kept.devices;
        if kind != FileType::Fifo && !takes_devices {
            self.unpacked.skipped += 1;
            return Ok(());
        }
        let parent = self.tree.parent(name)?;
        if kind == FileType::CharacterDevice && entry.device == (0, 0) {
            // The kernel takes it for a whiteout, wherever it comes from.
            self.mark(&parent, b".", ORIGIN, b"")?;
        }
        let device = fs::makedev(entry.device.0, entry.device.1);
        self.tree
            .replacing(&parent, name, false, || {
                fs::mknodat(&parent, name.last(), kind, Mode::RUSR | Mode::WUSR, device)
            })
            .step(|| format!("make device {}:{}", entry.device.0, entry.device.1))?;
        self.metadata(&parent, name, entry)
    }

    fn owner_of(&self, entry: &Entry) -> (u32, u32) {
        self.options.owner((entry.uid, entry.gid), self.identity)
    }

    /// Owner, mode, attributes and time of something that is not opened.
    fn metadata(&mut self, parent: &OwnedFd, name: &CleanName, entry: &Entry) -> Result<()> {
        let last = name.last();
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = self.owner_of(entry);
        if (uid, gid) != self.identity {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            fs::chownat(parent, last, Some(uid), Some(gid), nofollow)
                .step(|| format!("give it to {}:{}", entry.uid, entry.gid))?;
        }
        if entry.kind != EntryKind::Symlink {
            // By a descriptor: somebody at work in the tree may have put a link here meanwhile.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = self.options.mode(entry.mode);
            fs::openat(parent, last, flags, Mode::empty())
                .and_then(|node| fs::chmod(path_to(&node), mode))
                .step(|| "set the mode")?;
        }
        if !entry.xattrs.is_empty() {
            let path = path_through(parent, last);
            for xattr in &entry.xattrs {
                self.xattr(xattr, |name, value| {
                    fs::lsetxattr(&path, name, value, XattrFlags::empty())
                })?;
            }
        }
        fs::utimensat(parent, last, &times(entry), nofollow).step(|| "set the time")
    }

    pub(super) fn finish_directory(&mut self, pending: &PendingDirectory) -> Result<()> {
        let PendingDirectory { name, entry } = pending;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory = match self.tree.open(name.path(), flags) {
            Ok(directory) => directory,
            // A later entry of the archive replaced it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(errno).step(|| "open the directory"),
        };
        let (uid, gid) = self.owner_of(entry);
        // A directory that was made on the way, or was there, may be another's.
        if self.options.privileged && self.options.kept.owners {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            fs::fchown(&directory, Some(uid), Some(gid))
                .step(|| format!("give it to {}:{}", entry.uid, entry.gid))?;
        }
        fs::fchmod(&directory, self.options.mode(entry.mode)).step(|| "set the mode")?;
        for xattr in &entry.xattrs {
            self.xattr(xattr, |name, value| {
                fs::fsetxattr(&directory, name, value, XattrFlags::empty())
            })?;
        }
        fs::futimens(&directory, &times(entry)).step(|| "set the time")
    }

    /// Sets one attribute, or counts it as skipped where it means nothing or cannot be.
    fn xattr(
        &mut self,
        (name, value): &Xattr,
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> Result<()> {
        let gives_rights = name.as_slice() == b"security.capability";
        if is_foreign(name) || (gives_rights && !self.options.kept.privileges) {
            self.unpacked.skipped += 1;
            return Ok(());
        }
        match set(name, value) {
            Ok(()) => Ok(()),
            // A file system without attributes; `user.*` on what is neither file nor directory; or
            // a namespace that only root may write.
            Err(Errno::NOTSUP) => {
                self.unpacked.skipped += 1;
                Ok(())
            }
            Err(Errno::PERM) if !self.options.is_host_root() || name.starts_with(b"user.") => {
                self.unpacked.skipped += 1;
                Ok(())
            }
            Err(errno) => Err(errno).step(|| format!("set attribute {}", super::shown(name))),
        }
    }

    /// A deletion of a lower layer, as overlayfs keeps it: device 0:0, or an opaque directory.
    pub(super) fn whiteout(&mut self, name: &CleanName, hidden: &[u8]) -> Result<()> {
        let parent = self.tree.parent(name)?;
        match hidden {
            b".wh..opq" => return self.mark(&parent, b".", OPAQUE, b"y"),
            // Bookkeeping of an old union file system.
            _ if hidden.starts_with(b".wh.") => return Ok(()),
            b"" | b"." | b".." => {
                return Err(Error::invalid(
                    "the whiteout hides nothing that could exist",
                ));
            }
            _ => {}
        }
        let hidden = CleanName::new(&[name.parent(), b"/", hidden].concat(), usize::MAX)?;
        let made = fs::mknodat(
            &parent,
            hidden.last(),
            FileType::CharacterDevice,
            Mode::empty(),
            fs::makedev(0, 0),
        );
        match made {
            Ok(()) => self.mark(&parent, b".", ORIGIN, b""),
            // The layer itself has the name: the whiteout is only for what is below.
            Err(Errno::EXIST) => {
                let nofollow = AtFlags::SYMLINK_NOFOLLOW;
                let existing = fs::statat(&parent, hidden.last(), nofollow);
                let existing = existing.step(|| "look at what has the name of the whiteout")?;
                match FileType::from_raw_mode(existing.st_mode) {
                    FileType::Directory => self.mark(&parent, hidden.last(), OPAQUE, b"y"),
                    _ => Ok(()),
                }
            }
            Err(errno) => Err(errno).step(|| "make the whiteout"),
        }
    }

    /// Makes a directory. In the place of a whiteout it hides what the layers below have there.
    pub(super) fn make_directory(&mut self, name: &CleanName) -> Result<()> {
        let mut replaces_whiteout = false;
        if self.options.whiteouts == Whiteouts::Overlay {
            let parent = self.tree.parent(name)?;
            let existing = fs::statat(&parent, name.last(), AtFlags::SYMLINK_NOFOLLOW);
            replaces_whiteout = existing.is_ok_and(|existing| {
                let kind = FileType::from_raw_mode(existing.st_mode);
                kind == FileType::CharacterDevice && existing.st_rdev == 0
            });
        }
        self.tree.make_directory(name)?;
        if replaces_whiteout {
            let parent = self.tree.parent(name)?;
            self.mark(&parent, name.last(), OPAQUE, b"y")?;
        }
        Ok(())
    }

    /// Sets an attribute of overlayfs on a directory: in the namespace that the mounter may use.
    fn mark(&self, parent: &OwnedFd, last: &[u8], what: &str, value: &[u8]) -> Result<()> {
        let namespace = if self.options.is_host_root() {
            "trusted"
        } else {
            "user"
        };
        let name = format!("{namespace}.overlay.{what}");
        let path = path_through(parent, last);
        fs::lsetxattr(&path, name.as_str(), value, XattrFlags::empty())
            .step(|| format!("mark a directory as {what}"))
    }
}

/// Attributes that would mean something else on this host than where they were made: overlayfs'
/// own (they redirect a name to any other of the layers), and labels of another system's policy.
pub(crate) fn is_foreign(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"user.overlay.")
        || name == b"security.selinux"
}

/// The archive's modification time; the access time is left alone.
fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: entry.modified.seconds,
            tv_nsec: entry.modified.nanoseconds.into(),
        },
    }
}

fn explain_link(entry: &Entry, errno: Errno) -> Error {
    let target = super::shown(&entry.link);
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::invalid(format!(
            "hard link to `{target}`, which is not in the archive before it"
        ))
        .hint("a hard link can only lead to an earlier entry of the same archive"),
        Errno::ISDIR | Errno::PERM => {
            Error::invalid(format!("hard link to `{target}`, which is a directory"))
        }
        _ => {
            let failed: Result<()> = Err(errno).step(|| format!("hard link to `{target}`"));
            failed
                .err()
                .unwrap_or_else(|| Error::invalid("hard link failed"))
        }
    }
}
