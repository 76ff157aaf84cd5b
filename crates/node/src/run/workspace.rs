//! A container's own directory: its record, its writable layer, and its name.
//!
//! ```text
//!  <store>/containers/<id>/record.json   first: whatever follows belongs to it
//!                          upper/ work/  the writable layer of the overlay
//!                          root/         where the overlay is mounted, in its view only
//!  <store>/names/<name>                  a link to the identifier
//! ```
//!
//! The directory and its record are made under the image store's shared lock, and [`prune`] looks
//! for abandoned ones under the exclusive lock: so nobody sees a directory before it has its
//! record.
//!
//! The record's lock is one of fcntl(2), which belongs to the process alone: with flock(2) a
//! program that is being started would hold its copy of the lock when this process is killed.
//!
//! [`prune`]: mod@super::prune

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Kind, Result};
use insula_image::UnionView;
use insula_sys::Errno;
use insula_sys::rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, OFlags, Uid, chmodat, chownat, fcntl_lock, mkdir, mkdirat,
    open, openat, symlink,
};

use super::format::ContainerRecord;
use super::image_error;

pub(super) const RECORD_FILE: &str = "record.json";

/// The directory of a container that this process runs.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
    pub(crate) record: ContainerRecord,
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
    pub(super) fn create(store: &Path, record: ContainerRecord) -> Result<Self, Taken> {
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

    fn own(store: &Path, path: PathBuf, record: ContainerRecord) -> Result<Self> {
        let step = || format!("write {}/{RECORD_FILE}", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&path, flags, Mode::empty()).step(step)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let owner = openat(&directory, RECORD_FILE, flags, Mode::RUSR | Mode::WUSR).step(step)?;
        fcntl_lock(&owner, FlockOperation::NonBlockingLockExclusive).step(step)?;
        let mut owner = File::from(owner);
        owner.write_all(&record.to_json()).step(step)?;
        Ok(Self {
            path,
            record,
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
    pub(super) fn make_layer(&self, image: &UnionView, files: &[(&str, Vec<u8>)]) -> Result<()> {
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

    /// Writes down how the container ended; its layer stays.
    pub(super) fn keep(mut self, exit_code: Option<i32>) -> Result<()> {
        self.record.ended = Some(super::format::Ended {
            exit_code,
            at: super::now(),
        });
        replace_record(&self.path, &self.record)
    }

    /// Removes the container with everything in it.
    pub(crate) fn remove(self) -> Result<()> {
        remove(&self.store, &self.path, Some(&self.record.name))
    }
}

fn unreachable_name(name: &str) -> Taken {
    Taken::ByAnother(Error::new(format!("the name `{name}` cannot be taken")).kind(Kind::Exists))
}

/// Writes a record beside the old one and renames it.
pub(super) fn replace_record(path: &Path, record: &ContainerRecord) -> Result<()> {
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

/// Opens a container's record and takes its lock. `None` when its owner lives.
pub(super) fn adopt(path: &Path) -> std::io::Result<Option<File>> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path.join(RECORD_FILE))?;
    let locked = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(locked.is_ok().then_some(file))
}
