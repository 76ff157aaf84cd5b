//! An image's files, to look at: the union of its layers, read-only.
//!
//! ```text
//!  mounts/<id>/record.json    what is mounted where; locked while it is made or used by us
//!              layers/<n>     where EROFS layers are mounted until the union holds them itself
//!              empty/         the lowest layer, for overlayfs joins no fewer than two
//!              root/          where the union is, unless another directory was wanted
//! ```
//!
//! The record is there before anything is mounted, and names the boot: what was mounted in an
//! earlier one is gone. An image that is mounted is in use. Start reading at [`Store::mount`].

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use insula_sys::overlay::mount_read_only;
use insula_sys::rustix::fs::{CWD, FlockOperation, flock};
use insula_sys::rustix::mount::{
    MountAttrFlags, MoveMountFlags, UnmountFlags, move_mount, unmount,
};

use super::{Image, Store, make_directory};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::format::MountRecord;
use crate::served::{LayerRoot, mount_layers_of};

/// A mounted image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedImage {
    pub id: String,
    /// As the user named it.
    pub image: String,
    pub manifest: Digest,
    pub directory: PathBuf,
}

/// A union that goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Union {
    place: PathBuf,
    directory: PathBuf,
    is_kept: bool,
    _owner: File,
}

impl Union {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// It stays: its record says so.
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Union {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // What cannot be removed now is found by the next change.
        let _ = clear(&self.place, &self.directory);
    }
}

impl Store {
    /// Mounts an image read-only at `directory`, or at one of the store's own, until
    /// [`Store::unmount`]. The image counts as used until then.
    ///
    /// # Errors
    /// There is no such image or directory, or the system refuses.
    pub fn mount(&self, name: &str, directory: Option<&Path>) -> Result<MountedImage> {
        let (_image, union, mut record) = self.join(name, directory)?;
        record.is_kept = true;
        write_record(&union.place, &record)?;
        let mounted = record.mounted(&union.place);
        union.keep();
        Ok(mounted)
    }

    /// Unmounts what [`Store::mount`] mounted: by its directory, its identifier, or the image.
    ///
    /// # Errors
    /// Nothing is mounted by that name, or somebody uses it.
    pub fn unmount(&self, name: &str) -> Result<Vec<MountedImage>> {
        let wanted = std::fs::canonicalize(name).ok();
        let manifest = self.resolve(name).ok().map(|image| image.manifest);
        let mut mounted = self.mounts();
        mounted.retain(|mounted| {
            mounted.id == name
                || mounted.image == name
                || Some(&mounted.directory) == wanted.as_ref()
                || Some(mounted.manifest) == manifest
        });
        if mounted.is_empty() {
            let error = Error::new(Kind::NotFound, format!("`{name}` is not mounted"));
            return Err(error.hint("`insula image mount` without an image lists what is"));
        }
        for mounted in &mounted {
            unmount(&mounted.directory, UnmountFlags::empty())
                .step(|| format!("unmount {}", mounted.directory.display()))?;
            clear(&self.mount_place(&mounted.id), &mounted.directory)?;
        }
        Ok(mounted)
    }

    /// What is mounted.
    #[must_use]
    pub fn mounts(&self) -> Vec<MountedImage> {
        let mut mounts: Vec<MountedImage> = self
            .mount_places()
            .iter()
            .filter_map(|place| {
                let record = read_record(place)?;
                (record.is_kept && record.boot == boot()).then(|| record.mounted(place))
            })
            .collect();
        mounts.sort_by(|a, b| a.directory.cmp(&b.directory));
        mounts
    }

    /// Mounts an image as long as the result lives.
    pub(crate) fn union(&self, name: &str) -> Result<(Image, Union)> {
        let (image, union, _) = self.join(name, None)?;
        Ok((image, union))
    }

    fn join(&self, name: &str, directory: Option<&Path>) -> Result<(Image, Union, MountRecord)> {
        let directory = match directory {
            None => None,
            Some(path) => Some(
                path.canonicalize()
                    .step(|| format!("open directory {}", path.display()))?,
            ),
        };
        let lock = self.lock_shared()?;
        let image = self.resolve(name)?;
        let id = super::staging::random_name()?;
        let place = self.mount_place(&id);
        make_directory(&place)?;
        let record = MountRecord::new(name, image.manifest, boot(), directory.clone());
        let owner = write_record(&place, &record)?;
        drop(lock);
        let union = Union {
            directory: directory.unwrap_or_else(|| place.join("root")),
            place,
            is_kept: false,
            _owner: owner,
        };
        for name in ["layers", "empty", "root"] {
            make_directory(&union.place.join(name))?;
        }
        mount_union(&image, &union).step(|| format!("mount image `{name}`"))?;
        Ok((image, union, record))
    }

    fn mount_place(&self, id: &str) -> PathBuf {
        self.directory.join("mounts").join(id)
    }

    fn mount_places(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.directory.join("mounts")) else {
            return Vec::new();
        };
        entries.flatten().map(|entry| entry.path()).collect()
    }

    /// Where the image with a manifest is mounted, for those who ask who uses it.
    pub(super) fn mounted_at(&self, manifest: &Digest) -> Vec<String> {
        let places = self.mount_places();
        let records = places.iter().filter_map(|place| {
            let record = read_record(place)?;
            (record.manifest == *manifest && record.boot == boot())
                .then(|| record.mounted(place).directory.display().to_string())
        });
        records.collect()
    }

    /// Removes what killed processes and earlier boots left. Says how many.
    pub(super) fn clear_mounts(&self) -> usize {
        let places = self.mount_places();
        let cleared = places.into_iter().filter(|place| clear_abandoned(place));
        cleared.count()
    }
}

/// The caller holds the exclusive lock: nobody has made a place and not yet its record.
fn clear_abandoned(place: &Path) -> bool {
    let path = place.join("record.json");
    let Some(record) = read_record(place) else {
        return clear(place, &place.join("root")).is_ok();
    };
    let is_of_this_boot = record.boot == boot();
    if record.is_kept && is_of_this_boot {
        return false;
    }
    let lock = File::open(path).map(|file| {
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        (file, locked)
    });
    if matches!(lock, Ok((_, false))) {
        return false;
    }
    let directory = match is_of_this_boot {
        true => record.mounted(place).directory,
        false => place.join("root"),
    };
    clear(place, &directory).is_ok()
}

impl MountRecord {
    fn mounted(&self, place: &Path) -> MountedImage {
        let id = place.file_name().unwrap_or_default();
        MountedImage {
            id: id.to_string_lossy().into_owned(),
            image: self.image.clone(),
            manifest: self.manifest,
            directory: match &self.directory {
                Some(directory) => PathBuf::from(std::ffi::OsStr::from_bytes(directory)),
                None => place.join("root"),
            },
        }
    }

    fn new(image: &str, manifest: Digest, boot: String, directory: Option<PathBuf>) -> Self {
        Self {
            version: crate::format::MOUNT_VERSION,
            image: image.to_owned(),
            manifest,
            boot,
            directory: directory.map(|path| path.into_os_string().into_vec()),
            is_kept: false,
        }
    }
}

/// Unmounts whatever is there and removes the place, its record last.
fn clear(place: &Path, directory: &Path) -> Result<()> {
    let layers = std::fs::read_dir(place.join("layers"));
    let layers = layers.into_iter().flatten().flatten();
    // Whatever is not mounted any more is as good.
    let _ = unmount(directory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    for path in layers.map(|entry| entry.path()) {
        let _ = unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        let _ = std::fs::remove_dir(&path);
    }
    for name in ["layers", "empty", "root"] {
        let _ = std::fs::remove_dir(place.join(name));
    }
    let _ = std::fs::remove_file(place.join("record.json"));
    std::fs::remove_dir(place).step(|| format!("remove {}", place.display()))
}

fn write_record(place: &Path, record: &MountRecord) -> Result<File> {
    let path = place.join("record.json");
    let new = place.join("record.json.new");
    let write = || {
        let mut file = File::create(&new)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(&record.to_json())?;
        std::fs::rename(&new, &path)?;
        Ok::<_, std::io::Error>(file)
    };
    write().step(|| format!("write {}", path.display()))
}

fn read_record(place: &Path) -> Option<MountRecord> {
    let json = std::fs::read(place.join("record.json")).ok()?;
    MountRecord::parse(&json)
}

/// Tells this boot from every other.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

fn mount_union(image: &Image, union: &Union) -> Result<()> {
    let mut lower = vec![union.place.join("empty")];
    let mut places = Vec::new();
    for (number, root) in mount_layers_of(&image.layers)?.into_iter().enumerate() {
        let place = union.place.join("layers").join(number.to_string());
        match root {
            LayerRoot::Directory(path) => lower.push(path),
            LayerRoot::Mount(mount) => {
                make_directory(&place)?;
                attach(&mount, &place)?;
                lower.push(place.clone());
                places.push(place);
            }
            LayerRoot::Inside(mount, directory) => {
                // One mount for all of them, at the place of the first.
                if places.is_empty() {
                    make_directory(&place)?;
                    attach(&mount, &place)?;
                    places.push(place);
                }
                lower.push(places[0].join(directory));
            }
        }
    }
    lower.reverse();
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let joined = mount_read_only(&lower, attributes).step(|| "join the layers")?;
    attach(&joined, &union.directory)?;
    // The union has taken what it needs: one mount is left to be removed.
    for path in &places {
        let _ = unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    Ok(())
}

fn attach(mount: &OwnedFd, place: &Path) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount.as_fd(), "", CWD, place, flags)
        .step(|| format!("mount on {}", place.display()))
}
