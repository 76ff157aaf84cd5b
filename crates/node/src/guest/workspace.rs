//! A guest's own directory: its record, its writable layer, and its name.
//!
//! ```text
//!  <store>/containers/<id>/owner         locked by who works on it
//!                          record.json   before all that follows, which belongs to it
//!                          upper/ work/  the writable layer of the overlay
//!                          root/         where the overlay is mounted, in its view only
//!                          log/          what it has written
//!  <store>/names/<name>                  a link to the identifier
//! ```
//!
//! The directory and its record are made under the image store's shared lock, and [`prune`] looks
//! for abandoned ones under the exclusive lock: so nobody sees a directory before it has its
//! record.
//!
//! The lock is one of fcntl(2), which belongs to the process alone: with flock(2) a program that is
//! being started would hold its copy of the lock when this process is killed. Its file is never
//! replaced and opened by a process only once: closing any descriptor of it ends the lock.
//!
//! [`prune`]: mod@super::prune

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Kind, Result};
use insula_image::UnionView;
use insula_sys::Errno;
use insula_sys::rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, OFlags, Uid, chmodat, chownat, fcntl_lock, fstat, mkdir,
    mkdirat, open, openat, symlink,
};

use super::format::{Ended, GuestRecord};
use super::place::Place;
use crate::run::image_error;
use crate::volume::remove_anonymous;

pub(super) const RECORD_FILE: &str = "record.json";
const OWNER_FILE: &str = "owner";

/// The directory of a guest that this process works on.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
    pub(crate) record: GuestRecord,
    store: PathBuf,
    directory: File,
    /// Holds the lock that says that somebody is at work.
    _owner: File,
}

/// Whether a name was made up and another may be tried.
#[derive(Debug)]
pub(super) enum Taken {
    ByAnother(Error),
    Failed(Error),
}

impl From<Error> for Taken {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Workspace {
    /// Makes the directory with its record, and takes the name.
    pub(super) fn create(store: &Path, record: GuestRecord) -> Result<Self, Taken> {
        let path = store.join("containers").join(&record.id);
        make_directory(&path)?;
        let made = Self::own(store, path.clone(), record)
            .map_err(Taken::Failed)
            .and_then(|workspace| workspace.take_name().map(|()| workspace));
        made.inspect_err(|_| {
            // The first failure is the one to tell; what is left is found by `prune`.
            let _ = std::fs::remove_dir_all(&path);
        })
    }

    fn own(store: &Path, path: PathBuf, record: GuestRecord) -> Result<Self> {
        let step = || format!("write {}/{RECORD_FILE}", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&path, flags, Mode::empty()).step(step)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let owner = openat(&directory, OWNER_FILE, flags, mode).step(step)?;
        fcntl_lock(&owner, FlockOperation::NonBlockingLockExclusive).step(step)?;
        let file = openat(&directory, RECORD_FILE, flags, mode).step(step)?;
        File::from(file).write_all(&record.to_json()).step(step)?;
        Ok(Self {
            path,
            record,
            store: store.to_owned(),
            directory: directory.into(),
            _owner: owner.into(),
        })
    }

    /// Takes over a guest that is there, for as long as this process lives. Waits while somebody
    /// else works on it.
    ///
    /// # Errors
    /// The guest is gone, or its record cannot be read.
    pub(super) fn take(store: &Path, id: &str) -> Result<Self> {
        let path = store.join("containers").join(id);
        let owner = open_owner(&path).step(|| format!("open guest {id}"))?;
        fcntl_lock(&owner, FlockOperation::LockExclusive).step(|| format!("lock guest {id}"))?;
        Self::taken(store, path, owner)
    }

    /// As [`Workspace::take`], but `None` when somebody else works on it.
    ///
    /// # Errors
    /// As for [`Workspace::take`].
    pub(super) fn try_take(store: &Path, id: &str) -> Result<Option<Self>> {
        let path = store.join("containers").join(id);
        let Some(owner) = adopt(&path).step(|| format!("open guest {id}"))? else {
            return Ok(None);
        };
        Self::taken(store, path, owner).map(Some)
    }

    fn taken(store: &Path, path: PathBuf, owner: File) -> Result<Self> {
        let is_gone = fstat(&owner).is_ok_and(|status| status.st_nlink == 0);
        if is_gone {
            return Err(Error::new("the guest has just been removed").kind(Kind::NotFound));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            open(&path, flags, Mode::empty()).step(|| format!("open {}", path.display()))?;
        let json = std::fs::read(path.join(RECORD_FILE))
            .step(|| format!("read {}/{RECORD_FILE}", path.display()))?;
        Ok(Self {
            record: GuestRecord::parse(&json)?,
            path,
            store: store.to_owned(),
            directory: directory.into(),
            _owner: owner,
        })
    }

    fn take_name(&self) -> Result<(), Taken> {
        let name = &self.record.name;
        let names = self.store.join("names");
        let link = names.join(name);
        for _ in 0..3 {
            match symlink(&self.record.id, &link) {
                Ok(()) => return Ok(()),
                Err(Errno::NOENT) => make_parents(&names)?,
                Err(Errno::EXIST) => {
                    let holder = std::fs::read_link(&link).unwrap_or_default();
                    if self.store.join("containers").join(&holder).exists() {
                        return Err(Taken::ByAnother(
                            Error::new(format!("the name `{name}` is taken"))
                                .kind(Kind::Exists)
                                .hint("choose another name, or remove that container first"),
                        ));
                    }
                    // Its container was removed by somebody who was killed before the next step.
                    let _ = std::fs::remove_file(&link);
                }
                Err(errno) => {
                    return Err(Err::<(), _>(errno)
                        .step(|| format!("make {}", link.display()))
                        .map_or_else(Taken::Failed, |()| unreachable_name(name)));
                }
            }
        }
        Err(unreachable_name(name))
    }

    /// Makes the writable layer: a root directory of the image's owner and mode, and the files that
    /// every container gets, in an `/etc` of the image's owner and mode.
    pub(crate) fn make_layer(&self, image: &UnionView, files: &[(&str, Vec<u8>)]) -> Result<()> {
        let step = |name: &'static str| move || format!("make the writable layer's {name}");
        for name in ["root", "work"] {
            mkdirat(&self.directory, name, Mode::RWXU).step(step(name))?;
        }
        self.make_like("upper", image, "")?;
        if !self.make_like("upper/etc", image, "etc")? {
            return Ok(());
        }
        for (name, content) in files {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let path = format!("upper/etc/{name}");
            let mode = Mode::from_raw_mode(0o644);
            openat(&self.directory, &path, flags, mode)
                .map_err(std::io::Error::from)
                .and_then(|file| File::from(file).write_all(content))
                .step(|| format!("write the container's /etc/{name}"))?;
        }
        Ok(())
    }

    /// Makes a directory with the owner and mode of the image's. Says false, and makes nothing, when
    /// the image has something else there: its own arrangement stays.
    fn make_like(&self, name: &str, image: &UnionView, model: &str) -> Result<bool> {
        let step = || format!("make the writable layer's {name}");
        let (mode, uid, gid) = match image.look_at(model).map_err(image_error)? {
            Some(found) if !found.is_directory => return Ok(false),
            Some(found) => (found.permissions, found.uid, found.gid),
            None => (0o755, 0, 0),
        };
        mkdirat(&self.directory, name, Mode::from_raw_mode(0o755)).step(step)?;
        if mode != 0o755 {
            let mode = Mode::from_raw_mode(mode);
            chmodat(&self.directory, name, mode, AtFlags::empty()).step(step)?;
        }
        if (uid, gid) != (0, 0) {
            let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            chownat(&self.directory, name, owner.0, owner.1, AtFlags::empty()).step(step)?;
        }
        Ok(true)
    }

    /// Whether its layer has been made, by an earlier run.
    pub(super) fn has_layer(&self) -> bool {
        self.path.join("work").exists()
    }

    /// Writes down how the guest ended; its layer stays.
    pub(super) fn end(&mut self, ended: Ended) -> Result<()> {
        self.record.ended = Some(ended);
        self.save()
    }

    /// Writes the record anew.
    pub(super) fn save(&self) -> Result<()> {
        replace_record(&self.path, &self.record)
    }

    /// Removes the container with everything in it; for one of `--rm` also the volumes that were
    /// made for it alone.
    pub(crate) fn remove(self) -> Result<()> {
        remove(&self.store, &self.path, Some(&self.record.name))?;
        match self.record.config.remove {
            true => remove_anonymous(&Place::new(&self.store), &self.record.config),
            false => Ok(()),
        }
    }
}

fn unreachable_name(name: &str) -> Taken {
    Taken::ByAnother(Error::new(format!("the name `{name}` cannot be taken")).kind(Kind::Exists))
}

/// Writes a record beside the old one and renames it.
pub(super) fn replace_record(path: &Path, record: &GuestRecord) -> Result<()> {
    let new = path.join("record.json.new");
    std::fs::write(&new, record.to_json())
        .and_then(|()| std::fs::rename(&new, path.join(RECORD_FILE)))
        .step(|| format!("write {}/{RECORD_FILE}", path.display()))
}

/// Removes a container's name and directory. The directory goes last: while it is there, a command
/// that is killed here can be followed by another that finishes.
pub(super) fn remove(store: &Path, path: &Path, name: Option<&str>) -> Result<()> {
    if let Some(name) = name {
        let link = store.join("names").join(name);
        let holder = std::fs::read_link(&link).unwrap_or_default();
        if path.file_name() == Some(holder.as_os_str()) {
            // Gone already is as good.
            let _ = std::fs::remove_file(&link);
        }
    }
    // The record first: who comes upon the rest knows that nothing else is to be made of it.
    match std::fs::remove_file(path.join(RECORD_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).step(|| format!("remove {}/{RECORD_FILE}", path.display()));
        }
        _ => {}
    }
    std::fs::remove_dir_all(path).step(|| format!("remove {}", path.display()))
}

fn make_directory(path: &Path) -> Result<()> {
    let made = match mkdir(path, Mode::RWXU) {
        Err(Errno::NOENT) => {
            make_parents(path.parent().unwrap_or(path))?;
            mkdir(path, Mode::RWXU)
        }
        other => other,
    };
    made.step(|| format!("make {}", path.display()))
        .map_err(|error| match error.errno() {
            Some(Errno::ACCESS | Errno::PERM) => {
                error.hint("run as root, or give a store of your own with --store")
            }
            _ => error,
        })
}

fn make_parents(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .step(|| format!("make {}", path.display()))
}

fn open_owner(path: &Path) -> std::io::Result<File> {
    let open = |name: &str| File::options().read(true).write(true).open(path.join(name));
    match open(OWNER_FILE) {
        // Records of the first version were their own lock; those that are left belong to nobody.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_first_version(path) => {
            open(RECORD_FILE)
        }
        other => other,
    }
}

fn is_first_version(path: &Path) -> bool {
    let json = std::fs::read(path.join(RECORD_FILE)).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap_or_default();
    value["version"] == 1
}

/// Takes the lock of a guest's directory. `None` when its owner lives.
pub(super) fn adopt(path: &Path) -> std::io::Result<Option<File>> {
    let file = open_owner(path)?;
    let locked = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(locked.is_ok().then_some(file))
}

/// The process that works on a guest, if there is one.
pub(super) fn owner(path: &Path) -> Option<i32> {
    let file = open_owner(path).ok()?;
    insula_sys::lock::holder(file.as_fd()).ok().flatten()
}

/// The record of a guest.
///
/// # Errors
/// There is none, or it is damaged.
pub(super) fn read_record(path: &Path) -> Result<GuestRecord> {
    let json = std::fs::read(path.join(RECORD_FILE))
        .step(|| format!("read {}/{RECORD_FILE}", path.display()))?;
    GuestRecord::parse(&json).step(|| format!("{}/{RECORD_FILE}", path.display()))
}

/// Gives a guest another name.
///
/// # Errors
/// The name is taken.
pub(super) fn rename(workspace: &mut Workspace, name: &str) -> Result<()> {
    let old = std::mem::replace(&mut workspace.record.name, name.to_owned());
    if let Err(Taken::ByAnother(error) | Taken::Failed(error)) = workspace.take_name() {
        workspace.record.name = old;
        return Err(error);
    }
    workspace.save()?;
    let link = workspace.store.join("names").join(old);
    if std::fs::read_link(&link).is_ok_and(|holder| holder == Path::new(&workspace.record.id)) {
        std::fs::remove_file(&link).step(|| format!("remove {}", link.display()))?;
    }
    Ok(())
}
