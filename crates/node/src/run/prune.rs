//! Cleans up after processes that were killed, and lists what is there.
//!
//! A container of `insula run` lives as long as the process that runs it: when that was killed, the
//! program is stopped, its cgroup and records go, and with `--rm` its writable layer too. Without
//! `--rm` the layer is the user's and stays, with an unknown exit code.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use insula_container::Runtime;
use insula_container::cgroup::Manager;
use insula_container::error::{Context, Error, Result};
use insula_image::{Digest, PruneScope, Store};

use super::format::{ContainerRecord, Ended};
use super::workspace::{self, RECORD_FILE};
use super::{image_error, now};

/// What [`prune`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Identifiers of containers whose monitor was killed.
    pub containers: Vec<String>,
    /// Names that led nowhere.
    pub names: usize,
    pub images: insula_image::Pruned,
}

/// Removes everything that killed processes left below `store` and `state`, and images by `scope`.
///
/// # Errors
/// Something cannot be removed; the rest is removed all the same.
pub fn prune(store: &Path, state: &Path, scope: PruneScope) -> Result<Pruned> {
    let images = Store::new(store);
    let runtime = Runtime {
        root: state.to_owned(),
        manager: Manager::default(),
        rootless: false,
    };
    let mut pruned = Pruned::default();
    let mut failure = None;
    if store.exists() {
        // A directory without a record is in the making only while its maker holds this lock.
        let lock = images.lock_exclusive().map_err(image_error)?;
        let abandoned = abandoned(store)?;
        pruned.names = dangling_names(store);
        drop(lock);
        for container in abandoned {
            match container.clean_up(store, &runtime) {
                Ok(()) => pruned.containers.push(container.id),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    runtime.prune()?;
    let users = |manifest: &Digest| users_of_image(store, manifest);
    pruned.images = images.prune(scope, &users).map_err(image_error)?;
    failure.map_or(Ok(pruned), Err)
}

/// The names of the containers that use the image with this manifest, running or kept.
#[must_use]
pub fn users_of_image(store: &Path, manifest: &Digest) -> Vec<String> {
    let Ok(directories) = directories(store) else {
        return Vec::new();
    };
    let records = directories.into_iter().filter_map(|path| read(&path));
    let users = records.filter(|record| record.manifest == *manifest);
    users.map(|record| record.name).collect()
}

/// A container nobody runs any more, locked by us.
struct Abandoned {
    id: String,
    path: PathBuf,
    /// `None` when its maker was killed before it was written.
    record: Option<ContainerRecord>,
    _owner: Option<File>,
}

fn directories(store: &Path) -> Result<Vec<PathBuf>> {
    let containers = store.join("containers");
    match std::fs::read_dir(&containers) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).step(|| format!("read {}", containers.display())),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
    }
}

fn read(path: &Path) -> Option<ContainerRecord> {
    let json = std::fs::read(path.join(RECORD_FILE)).ok()?;
    ContainerRecord::parse(&json).ok()
}

fn abandoned(store: &Path) -> Result<Vec<Abandoned>> {
    let mut found = Vec::new();
    for path in directories(store)? {
        let Some(id) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let id = id.to_owned();
        let owner = match workspace::adopt(&path) {
            Ok(Some(owner)) => Some(owner),
            Ok(None) => continue,
            // Its maker was killed before the record, or its remover after it.
            Err(_) => None,
        };
        // Through the locked descriptor: closing another one of the same file would end the lock.
        let mut json = Vec::new();
        if let Some(mut owner) = owner.as_ref() {
            owner
                .read_to_end(&mut json)
                .step(|| format!("read the record of container {id}"))?;
        }
        let record = match ContainerRecord::parse(&json) {
            Ok(record) if record.ended.is_some() => continue,
            Ok(record) => Some(record),
            // Killed while writing it: nothing else exists yet. Anything else is not ours to judge.
            Err(_) if !json.ends_with(b"}") => None,
            Err(_) => continue,
        };
        found.push(Abandoned {
            id,
            path,
            record,
            _owner: owner,
        });
    }
    Ok(found)
}

impl Abandoned {
    fn clean_up(&self, store: &Path, runtime: &Runtime) -> Result<()> {
        let step = || format!("clean up container {}", self.id);
        runtime.delete(&self.id, true).step(step)?;
        let Some(record) = &self.record else {
            return workspace::remove(store, &self.path, None);
        };
        // The overlay makes a directory in `work` when it is mounted: without it, nothing ran.
        let has_run = self.path.join("work/work").exists();
        if record.remove || !has_run {
            return workspace::remove(store, &self.path, Some(&record.name));
        }
        let mut record = record.clone();
        record.ended = Some(Ended {
            exit_code: None,
            at: now(),
        });
        workspace::replace_record(&self.path, &record)
    }
}

/// Removes names whose container is gone.
fn dangling_names(store: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(store.join("names")) else {
        return 0;
    };
    let is_dangling = |link: &PathBuf| {
        let holder = std::fs::read_link(link).unwrap_or_default();
        !store.join("containers").join(holder).exists()
    };
    let dangling = entries.flatten().map(|entry| entry.path());
    dangling
        .filter(is_dangling)
        .filter(|link| std::fs::remove_file(link).is_ok())
        .count()
}

/// All containers of `insula run` below a store, the oldest first.
///
/// # Errors
/// The directory of containers cannot be read.
pub fn list(store: &Path) -> Result<Vec<ContainerRecord>> {
    let mut records: Vec<ContainerRecord> = directories(store)?
        .into_iter()
        .filter_map(|path| read(&path))
        .collect();
    records.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(records)
}

/// Removes a kept container, by name or by the start of its identifier.
///
/// # Errors
/// There is none, several answer, or it runs.
pub fn remove(store: &Path, name: &str) -> Result<String> {
    let records = list(store)?;
    let by_name = records.iter().find(|record| record.name == name);
    let mut by_id = records.iter().filter(|record| record.id.starts_with(name));
    let record = match (by_name, by_id.next(), by_id.next()) {
        (Some(record), _, _) | (None, Some(record), None) => record,
        (None, Some(_), Some(_)) => {
            return Err(Error::new(format!(
                "`{name}` is the start of several identifiers"
            )));
        }
        (None, None, _) => {
            return Err(Error::new(format!("no container `{name}`"))
                .kind(insula_container::error::Kind::NotFound));
        }
    };
    let path = store.join("containers").join(&record.id);
    let owner = workspace::adopt(&path).step(|| format!("open container `{name}`"))?;
    if owner.is_none() {
        return Err(Error::new(format!("container `{name}` is running")));
    }
    workspace::remove(store, &path, Some(&record.name))?;
    Ok(record.id.clone())
}
