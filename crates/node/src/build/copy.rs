//! COPY and ADD: files of a root, or of the file itself, into the tree of a step.
//!
//! Docker's rules: a directory's content is copied and not the directory; one file may get another
//! name; several need a directory that is written with a slash at its end. Files of the context
//! become root's unless `--chown` says otherwise, files of a stage keep their owner.
//!
//! Start at [`Copier::copy`].

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_image::{UnpackOptions, Whiteouts, is_archive, unpack_archive};
use insula_sys::Errno;
use insula_sys::rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, chmodat, fchmod, fgetxattr, flistxattr, fsetxattr,
    lgetxattr, linkat, llistxattr, lsetxattr, mkdirat, mknodat, openat, symlinkat, unlinkat,
};

use super::source::{Entry, Match};
use super::tree::{self, Owner, Tree, kind_of, look, path_of};
use crate::run::image_error;

const XATTR_BYTES_MAX: usize = 64 << 10;

/// Where files go and what they become.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    pub(super) tree: &'a Tree,
    /// The new owner; without it files keep theirs.
    pub(super) owner: Option<Owner>,
    /// The new mode of files and directories.
    pub(super) mode: Option<u32>,
    /// The new time.
    pub(super) modified: Option<i64>,
    /// ADD: archives are unpacked.
    pub(super) unpacks: bool,
}

/// A file that is written in the Containerfile itself.
#[derive(Debug)]
pub(super) struct Inline<'a> {
    pub(super) name: &'a str,
    pub(super) content: &'a [u8],
}

/// A place in the tree.
struct Place {
    directory: OwnedFd,
    name: OsString,
}

impl Copier<'_> {
    /// Copies everything to `destination`, which is `ends_as_directory` when written so.
    ///
    /// # Errors
    /// The destination does not fit, or something cannot be read or written.
    pub(super) fn copy(
        &self,
        matches: &[Match],
        inline: &[Inline<'_>],
        destination: &Path,
        ends_as_directory: bool,
    ) -> Result<()> {
        let count = matches.len() + inline.len();
        if count > 1 && !ends_as_directory {
            return Err(Error::new(format!(
                "{count} files cannot all become `/{}`",
                destination.display()
            ))
            .hint("several files need a directory: end the destination with a slash"));
        }
        let is_directory = ends_as_directory || self.tree.directory(destination)?.is_some();
        for found in matches {
            if found.metadata.is_dir() {
                self.directory(found, &destination.join(&found.into))?;
            } else if !self.archive(found, destination)? {
                let target = match is_directory {
                    true => destination.join(&found.into),
                    false => destination.to_owned(),
                };
                let place = self.place(&target)?;
                let path = path_of(&found.opened);
                self.file(&path, &found.metadata, &place)
                    .step(|| format!("copy {}", found.path.display()))?;
            }
        }
        for file in inline {
            let target = match is_directory {
                true => destination.join(file.name),
                false => destination.to_owned(),
            };
            self.inline(file, &target)?;
        }
        Ok(())
    }

    fn created_owner(&self) -> Owner {
        self.owner.unwrap_or_default()
    }

    /// The place of a new file; directories on the way are made.
    fn place(&self, target: &Path) -> Result<Place> {
        let name = target.file_name().map(OsStr::to_owned);
        let name = name.ok_or_else(|| {
            Error::new("the root directory cannot be replaced by a file")
                .hint("end the destination with a name, or copy a directory")
        })?;
        let parent = target.parent().unwrap_or_else(|| Path::new(""));
        let (directory, _) =
            self.tree
                .make_directories(parent, self.created_owner(), self.modified)?;
        Ok(Place { directory, name })
    }

    /// Copies the content of a directory.
    fn directory(&self, found: &Match, destination: &Path) -> Result<()> {
        let mut links: HashMap<(u64, u64), PathBuf> = HashMap::new();
        // Times of directories are set last: what is put into them changes them.
        let mut times: Vec<(PathBuf, &Metadata)> = Vec::new();
        for entry in &found.entries {
            let target = destination.join(&entry.relative);
            let step = || format!("copy {}", found.path.join(&entry.relative).display());
            if entry.metadata.is_dir() {
                let is_top = entry.relative.as_os_str().is_empty();
                if self
                    .make_directory(found, entry, &target, is_top)
                    .step(step)?
                {
                    times.push((target, &entry.metadata));
                }
                continue;
            }
            let place = self.place(&target)?;
            let inode = (entry.metadata.dev(), entry.metadata.ino());
            if let Some(first) = links.get(&inode) {
                self.link(first, &place).step(step)?;
                continue;
            }
            self.file(&found.path_of(entry), &entry.metadata, &place)
                .step(step)?;
            if entry.metadata.nlink() > 1 {
                links.insert(inode, target);
            }
        }
        for (path, metadata) in times.iter().rev() {
            self.set_directory_time(path, metadata)?;
        }
        Ok(())
    }

    /// Makes a directory, or gives the one that is there the attributes of the source; that at the
    /// top keeps its own. Says whether it has the source's.
    fn make_directory(
        &self,
        found: &Match,
        entry: &Entry,
        target: &Path,
        is_top: bool,
    ) -> Result<bool> {
        let existing = self.tree.directory(target)?;
        if is_top && existing.is_some() {
            return Ok(false);
        }
        if existing.is_none() {
            let place = self.place(target)?;
            if let Some(stat) = look(&place.directory, &place.name)? {
                let kind = if kind_of(&stat) == FileType::Symlink {
                    "a link"
                } else {
                    "no directory"
                };
                return Err(Error::new(format!(
                    "/{} is {kind}, and a directory is to be there",
                    target.display()
                )));
            }
            mkdirat(&place.directory, &place.name, Mode::from_raw_mode(0o700))
                .step(|| format!("make directory /{}", target.display()))?;
        }
        let step = || format!("set owner and mode of /{}", target.display());
        let opened = self
            .tree
            .at(target, OFlags::RDONLY | OFlags::DIRECTORY)
            .step(step)?;
        let owner = self.owner_of(&entry.metadata);
        std::os::unix::fs::fchown(&opened, Some(owner.uid), Some(owner.gid)).step(step)?;
        let mode = self.mode.unwrap_or_else(|| entry.metadata.mode()) & 0o7777;
        fchmod(&opened, Mode::from_raw_mode(mode)).step(step)?;
        copy_xattrs(&found.path_of(entry), &opened).step(step)?;
        Ok(true)
    }

    fn set_directory_time(&self, path: &Path, metadata: &Metadata) -> Result<()> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let name = path.file_name().unwrap_or_else(|| OsStr::new("."));
        if let Some(directory) = self.tree.directory(parent)? {
            self.set_time(&directory, name, metadata)
                .step(|| format!("set the time of /{}", path.display()))?;
        }
        Ok(())
    }

    fn set_time(&self, directory: &OwnedFd, name: &OsStr, from: &Metadata) -> Result<(), Errno> {
        match self.modified {
            Some(seconds) => tree::set_time(directory, name, seconds, 0),
            None => tree::set_time(directory, name, from.mtime(), from.mtime_nsec()),
        }
    }

    fn owner_of(&self, metadata: &Metadata) -> Owner {
        self.owner.unwrap_or_else(|| Owner {
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }

    /// Copies anything but a directory, in the place of whatever is there.
    fn file(&self, source: &Path, metadata: &Metadata, place: &Place) -> Result<()> {
        make_room(place)?;
        let kind = metadata.file_type();
        let owner = self.owner_of(metadata);
        let Place { directory, name } = place;
        if kind.is_file() {
            return self.regular(source, metadata, place);
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(source).step(|| "read the link")?;
            symlinkat(&target, directory, name).step(|| "make the link")?;
        } else if kind.is_socket() {
            // An image cannot hold one.
            return Ok(());
        } else {
            let kind = FileType::from_raw_mode(metadata.mode());
            let mode = Mode::from_raw_mode(self.mode.unwrap_or_else(|| metadata.mode()) & 0o7777);
            mknodat(directory, name, kind, mode, metadata.rdev()).step(|| "make the device")?;
            tree::set_owner(directory, name, owner).step(|| "set the owner")?;
            // Not what this process's mask left of it.
            chmodat(directory, name, mode, AtFlags::empty()).step(|| "set the mode")?;
            return self
                .set_time(directory, name, metadata)
                .step(|| "set the time");
        }
        tree::set_owner(directory, name, owner).step(|| "set the owner")?;
        self.set_time(directory, name, metadata)
            .step(|| "set the time")
    }

    fn regular(&self, source: &Path, metadata: &Metadata, place: &Place) -> Result<()> {
        let mut from = File::open(source).step(|| "open the file")?;
        let mut to = create(place)?;
        std::io::copy(&mut from, &mut to).step(|| "copy the content")?;
        let owner = self.owner_of(metadata);
        if owner != Owner::default() {
            std::os::unix::fs::fchown(&to, Some(owner.uid), Some(owner.gid))
                .step(|| "set the owner")?;
        }
        // After the owner: a change of owner takes the set-user-id bit away.
        let mode = self.mode.unwrap_or_else(|| metadata.mode()) & 0o7777;
        fchmod(&to, Mode::from_raw_mode(mode)).step(|| "set the mode")?;
        copy_file_xattrs(&from, &to).step(|| "copy the attributes")?;
        self.set_time(&place.directory, &place.name, metadata)
            .step(|| "set the time")
    }

    /// A further name of a file that was copied already.
    fn link(&self, first: &Path, place: &Place) -> Result<()> {
        make_room(place)?;
        let step = || "make the hard link";
        let opened = self
            .tree
            .at(first, OFlags::PATH | OFlags::NOFOLLOW)
            .step(step)?;
        let path = path_of(&opened);
        linkat(
            CWD,
            path,
            &place.directory,
            &place.name,
            AtFlags::SYMLINK_FOLLOW,
        )
        .step(step)
    }

    fn inline(&self, file: &Inline<'_>, target: &Path) -> Result<()> {
        use std::io::Write as _;
        let step = || format!("write /{}", target.display());
        let place = self.place(target)?;
        make_room(&place)?;
        let mut to = create(&place)?;
        to.write_all(file.content).step(step)?;
        let owner = self.created_owner();
        std::os::unix::fs::fchown(&to, Some(owner.uid), Some(owner.gid)).step(step)?;
        fchmod(&to, Mode::from_raw_mode(self.mode.unwrap_or(0o644))).step(step)?;
        match self.modified {
            Some(seconds) => tree::set_time(&place.directory, &place.name, seconds, 0).step(step),
            None => Ok(()),
        }
    }

    /// Unpacks an archive into the directory `destination`, if that is asked for and it is one.
    fn archive(&self, found: &Match, destination: &Path) -> Result<bool> {
        if !self.unpacks || !found.metadata.is_file() {
            return Ok(false);
        }
        let step = || format!("unpack {}", found.path.display());
        let mut file = File::open(path_of(&found.opened)).step(step)?;
        let is_one = is_archive(&mut file).map_err(image_error);
        let is_one = is_one.map_err(|error| {
            error
                .within(step())
                .hint("decompress it beforehand, or take it as it is: ADD --unpack=false, COPY")
        })?;
        if !is_one {
            return Ok(false);
        }
        let (_, _) =
            self.tree
                .make_directories(destination, self.created_owner(), self.modified)?;
        let target = self
            .tree
            .at(destination, OFlags::RDONLY | OFlags::DIRECTORY)
            .step(step)?;
        let options = UnpackOptions {
            whiteouts: Whiteouts::Plain,
            ..UnpackOptions::default()
        };
        unpack_archive(file, target.as_fd(), &options)
            .map_err(image_error)
            .step(step)?;
        Ok(true)
    }
}

/// Removes what is at a place; a directory is not removed for a file.
fn make_room(place: &Place) -> Result<()> {
    let Some(stat) = look(&place.directory, &place.name)? else {
        return Ok(());
    };
    let shown = Path::new(&place.name).display();
    if kind_of(&stat) == FileType::Directory {
        return Err(
            Error::new(format!("`{shown}` is a directory and cannot become a file"))
                .hint("to copy into the directory, end the destination with a slash"),
        );
    }
    unlinkat(&place.directory, &place.name, AtFlags::empty()).step(|| format!("replace `{shown}`"))
}

fn create(place: &Place) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let created = openat(
        &place.directory,
        &place.name,
        flags,
        Mode::RUSR | Mode::WUSR,
    );
    created
        .map(File::from)
        .step(|| format!("make `{}`", Path::new(&place.name).display()))
}

/// Attributes that belong to a host or to the overlay and not to a file.
fn is_foreign(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"user.overlay.")
        || name == b"security.selinux"
}

fn copy_file_xattrs(from: &File, to: &File) -> Result<(), Errno> {
    let mut names = [0_u8; XATTR_BYTES_MAX];
    let length = match flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut value = vec![0_u8; if length == 0 { 0 } else { XATTR_BYTES_MAX }];
    for name in names[..length].split(|&byte| byte == 0) {
        if name.is_empty() || is_foreign(name) {
            continue;
        }
        let length = fgetxattr(from, name, value.as_mut_slice())?;
        fsetxattr(
            to,
            name,
            &value[..length],
            insula_sys::rustix::fs::XattrFlags::empty(),
        )?;
    }
    Ok(())
}

/// Of a directory. What neither side can have is left out.
fn copy_xattrs(from: &Path, to: &OwnedFd) -> Result<(), Errno> {
    let mut names = vec![0_u8; XATTR_BYTES_MAX];
    let length = match llistxattr(from, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut value = vec![0_u8; if length == 0 { 0 } else { XATTR_BYTES_MAX }];
    for name in names[..length].split(|&byte| byte == 0) {
        if name.is_empty() || is_foreign(name) {
            continue;
        }
        let length = lgetxattr(from, name, value.as_mut_slice())?;
        let flags = insula_sys::rustix::fs::XattrFlags::empty();
        lsetxattr(path_of(to), name, &value[..length], flags)?;
    }
    Ok(())
}
