//! Volumes: directories with a name, which outlive the guests that use them.
//!
//! ```text
//!  <store>/volumes/<name>/record.json   what it is called, and whether one guest owns it
//!                         data/         what guests see
//!                  .new-… .gone-…       being made or removed; `prune` removes what was left
//! ```
//!
//! A volume appears and goes by a rename, so that none is half there. One that is removed is first
//! looked for in the records of all guests, under the store's exclusive lock: under the shared one
//! a guest's record is written. Start at [`ensure`].

mod fill;
mod format;

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Kind, Result};
use insula_image::Store;

use crate::guest::{Place, guests_of_volume};
use crate::run::{RunOptions, Volume, image_error};

pub(crate) use fill::fill;
pub use format::VolumeRecord;

const RECORD_FILE: &str = "record.json";
const NAME_LENGTH_MAX: usize = 128;

/// Where a volume's files are.
#[must_use]
pub fn data(store: &Path, name: &str) -> PathBuf {
    directory(store, name).join("data")
}

fn root(store: &Path) -> PathBuf {
    store.join("volumes")
}

fn directory(store: &Path, name: &str) -> PathBuf {
    root(store).join(name)
}

/// # Errors
/// The name has other characters than letters, digits, `.`, `_` and `-`, or begins with one of the
/// last three.
pub fn check_name(name: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= NAME_LENGTH_MAX && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(
        Error::new(format!("`{name}` cannot be the name of a volume"))
            .hint("letters, digits, `.`, `_` and `-`; the first is a letter or a digit"),
    )
}

/// A volume by its name.
///
/// # Errors
/// There is none, or its record is damaged.
pub fn find(store: &Path, name: &str) -> Result<VolumeRecord> {
    let unknown = || {
        Error::new(format!("there is no volume `{name}`"))
            .kind(Kind::NotFound)
            .hint("`insula volume ls` lists all")
    };
    check_name(name).map_err(|_wrong| unknown())?;
    match std::fs::read(directory(store, name).join(RECORD_FILE)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(unknown()),
        other => VolumeRecord::parse(&other.step(|| format!("read volume `{name}`"))?),
    }
}

/// All volumes, sorted by name. One whose record is damaged is left out.
///
/// # Errors
/// The store cannot be read.
pub fn list(store: &Path) -> Result<Vec<VolumeRecord>> {
    let entries = match std::fs::read_dir(root(store)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.step(|| format!("read {}", root(store).display()))?,
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut records: Vec<VolumeRecord> = names
        .filter_map(|name| find(store, name.to_str()?).ok())
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// Makes a volume. One that is there stays as it is, as docker does.
///
/// # Errors
/// The name is none, or the store cannot be written.
pub fn ensure(store: &Path, name: &str, labels: &[(String, String)]) -> Result<VolumeRecord> {
    check_name(name)?;
    make(
        store,
        VolumeRecord {
            version: format::VERSION,
            name: name.to_owned(),
            created: crate::guest::now(),
            labels: labels.iter().cloned().collect(),
            anonymous: false,
        },
    )
}

/// Makes a volume that is removed with the guest it is made for.
fn ensure_anonymous(store: &Path, name: &str) -> Result<VolumeRecord> {
    make(
        store,
        VolumeRecord {
            version: format::VERSION,
            name: name.to_owned(),
            created: crate::guest::now(),
            labels: BTreeMap::new(),
            anonymous: true,
        },
    )
}

fn make(store: &Path, record: VolumeRecord) -> Result<VolumeRecord> {
    let step = || format!("make volume `{}`", record.name);
    let place = directory(store, &record.name);
    if place.join(RECORD_FILE).exists() {
        return find(store, &record.name);
    }
    let private = |path: &Path, mode| {
        let mut maker = std::fs::DirBuilder::new();
        maker.recursive(true).mode(mode).create(path)
    };
    // What is being made is not taken for a leftover of a killed process.
    let lock = Store::new(store).lock_shared().map_err(image_error)?;
    private(&root(store), 0o700).step(step)?;
    let new = root(store).join(format!(".new-{}", crate::guest::make_up_id()?));
    let made = private(&new, 0o700)
        .and_then(|()| std::fs::create_dir(new.join("data")))
        // Whoever runs in a guest comes to it by a mount; the way by the host is closed.
        .and_then(|()| std::fs::write(new.join(RECORD_FILE), record.to_json()))
        .and_then(|()| std::fs::rename(&new, &place));
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&new);
    }
    drop(lock);
    match made {
        // Somebody else has just made it.
        Err(_) if place.join(RECORD_FILE).exists() => find(store, &record.name),
        other => other.step(step).map(|()| record),
    }
}

/// Removes a volume and what is in it.
///
/// # Errors
/// There is none, or a guest has it, up or not.
pub fn remove(place: &Place, name: &str) -> Result<()> {
    find(&place.store, name)?;
    let store = Store::new(&place.store);
    let lock = store.lock_exclusive().map_err(image_error)?;
    if let Some(user) = guests_of_volume(place, name).first() {
        return Err(Error::new(format!("volume `{name}` is used by `{user}`"))
            .kind(Kind::Exists)
            .hint(format!("insula rm {user}")));
    }
    let gone = root(&place.store).join(format!(".gone-{}", crate::guest::make_up_id()?));
    let step = || format!("remove volume `{name}`");
    std::fs::rename(directory(&place.store, name), &gone).step(step)?;
    drop(lock);
    match std::fs::remove_dir_all(&gone) {
        // Somebody else has swept it up.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.step(step),
    }
}

/// Removes the volumes of `options` that were made for its guest alone, and that no other uses.
///
/// # Errors
/// One cannot be removed; the rest is removed all the same.
pub(crate) fn remove_anonymous(place: &Place, options: &RunOptions) -> Result<()> {
    let mut failure = None;
    for name in options.volumes.iter().filter_map(Volume::name) {
        let is_anonymous = find(&place.store, name).is_ok_and(|record| record.anonymous);
        if is_anonymous
            && guests_of_volume(place, name).is_empty()
            && let Err(error) = remove(place, name)
        {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Removes what killed processes left. The caller holds the store's exclusive lock.
///
/// # Errors
/// Something of it cannot be removed.
pub(crate) fn sweep(store: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(root(store)) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".gone-") || name.starts_with(".new-") {
            std::fs::remove_dir_all(entry.path())
                .step(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Removes the anonymous volumes that no guest has, with `all` those with a name, too; and what
/// killed processes left. Gives the names.
///
/// # Errors
/// One cannot be removed.
pub fn prune(place: &Place, all: bool) -> Result<Vec<String>> {
    let store = Store::new(&place.store);
    let lock = store.lock_exclusive().map_err(image_error)?;
    sweep(&place.store)?;
    drop(lock);
    let mut removed = Vec::new();
    for record in list(&place.store)? {
        let is_wanted = all || record.anonymous;
        if is_wanted && guests_of_volume(place, &record.name).is_empty() {
            remove(place, &record.name)?;
            removed.push(record.name);
        }
    }
    Ok(removed)
}

/// Gives names to what is made for one guest alone: volumes without a source, and the image's.
///
/// # Errors
/// A name is none.
pub(crate) fn name_all(options: &mut RunOptions, of_image: &[PathBuf]) -> Result<()> {
    for path in of_image {
        let is_taken = options
            .volumes
            .iter()
            .any(|volume| volume.destination == *path)
            || options.tmpfs.iter().any(|tmpfs| tmpfs.destination == *path);
        if !is_taken {
            options.volumes.push(Volume {
                source: PathBuf::new(),
                destination: path.clone(),
                options: Vec::new(),
            });
        }
    }
    for volume in &mut options.volumes {
        if volume.source.as_os_str().is_empty() {
            volume.source = format!("{}{ANONYMOUS_SUFFIX}", crate::guest::make_up_id()?).into();
        }
        if let Some(name) = volume.name() {
            check_name(name)?;
        }
    }
    Ok(())
}

/// Tells names that were made up from those that a person may choose.
const ANONYMOUS_SUFFIX: &str = "-own";

/// Makes the volumes of a guest that are not there, and puts their directories in the place of
/// their names.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn resolve(options: &mut RunOptions) -> Result<()> {
    for volume in &mut options.volumes {
        let Some(name) = volume.name().map(str::to_owned) else {
            continue;
        };
        match name.ends_with(ANONYMOUS_SUFFIX) && name.len() > 64 {
            true => ensure_anonymous(&options.store, &name)?,
            false => ensure(&options.store, &name, &[])?,
        };
        volume.source = data(&options.store, &name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_once_found_and_removed() {
        let host = tempfile::tempdir().unwrap();
        let place = Place::new(host.path());
        let labels = [("a".to_owned(), "b".to_owned())];
        let made = ensure(host.path(), "data", &labels).unwrap();
        std::fs::write(data(host.path(), "data").join("file"), "x").unwrap();
        assert_eq!(ensure(host.path(), "data", &[]).unwrap(), made);
        assert_eq!(list(host.path()).unwrap(), [made]);
        remove(&place, "data").unwrap();
        assert_eq!(
            find(host.path(), "data").unwrap_err().kind_of(),
            Kind::NotFound
        );
        assert_eq!(
            std::fs::read_dir(host.path().join("volumes"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn names_lead_nowhere_else() {
        for wrong in [
            "",
            ".",
            "..",
            "a/b",
            "-a",
            ".new-1",
            "a b",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        check_name("data-1.x_y").unwrap();
    }

    #[test]
    fn what_is_asked_for_without_a_name_gets_one_of_its_own_and_goes_by_prune() {
        let host = tempfile::tempdir().unwrap();
        let mut options = RunOptions::new(host.path(), "i");
        options.volumes = vec![Volume {
            source: PathBuf::new(),
            destination: "/a".into(),
            options: Vec::new(),
        }];
        name_all(&mut options, &["/a".into(), "/b".into()]).unwrap();
        assert_eq!(options.volumes.len(), 2);
        assert_ne!(options.volumes[0].source, options.volumes[1].source);
        resolve(&mut options).unwrap();
        assert!(options.volumes.iter().all(|volume| volume.source.is_dir()));
        ensure(host.path(), "kept", &[]).unwrap();
        let leftover = host.path().join("volumes/.gone-1/data");
        std::fs::create_dir_all(&leftover).unwrap();
        let place = Place::new(host.path());
        assert_eq!(prune(&place, false).unwrap().len(), 2);
        assert!(!leftover.exists());
        assert_eq!(prune(&place, true).unwrap(), ["kept"]);
    }
}
