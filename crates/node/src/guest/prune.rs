//! Cleans up after processes that were killed.
//!
//! A guest whose program still runs gets a new monitor. Of one whose program and monitor are gone
//! the cgroup and the published state go, and with `--rm` its writable layer too; without, the
//! layer
//! is the user's and stays, with an unknown exit code.

use std::path::{Path, PathBuf};

use insula_container::error::Result;
use insula_image::{Digest, PruneScope, Store};
use insula_sys::Errno;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::find::{clean_up, look, pause_briefly};
use super::format::{GuestRecord, GuestState, ProcessName};
use super::list::{directories, users_of_image};
use super::live;
use super::place::Place;
use super::workspace::{self, RECORD_FILE, Workspace};
use crate::run::image_error;

/// What [`prune`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Identifiers of guests that nobody looked after any more.
    pub guests: Vec<String>,
    /// Names that led nowhere.
    pub names: usize,
    pub images: insula_image::Pruned,
}

/// Removes everything that killed processes left of this place's guests, and images by `scope`.
///
/// # Errors
/// Something cannot be removed; the rest is removed all the same.
pub fn prune(place: &Place, scope: PruneScope) -> Result<Pruned> {
    let images = Store::new(&place.store);
    let mut pruned = Pruned::default();
    let mut failure = None;
    if place.store.exists() {
        // A directory without a record is in the making only while its maker holds this lock.
        let lock = images.lock_exclusive().map_err(image_error)?;
        let half_made = half_made(place)?;
        pruned.names = dangling_names(&place.store);
        failure = crate::volume::sweep(&place.store).err();
        drop(lock);
        for path in half_made {
            match workspace::remove(&place.store, &path, None) {
                Ok(()) => pruned.guests.push(file_name(&path)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        for path in directories(place)? {
            match tend(place, &file_name(&path)) {
                Ok(true) => pruned.guests.push(file_name(&path)),
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    prune_live(place);
    place.runtime().prune()?;
    let users = |manifest: &Digest| users_of_image(place, manifest);
    pruned.images = images.prune(scope, &users).map_err(image_error)?;
    failure.map_or(Ok(pruned), Err)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Directories whose makers were killed before the record was whole; nothing else of them exists.
fn half_made(place: &Place) -> Result<Vec<PathBuf>> {
    let is_half_made = |path: &PathBuf| {
        workspace::owner(path).is_none()
            && !std::fs::read(path.join(RECORD_FILE)).is_ok_and(|json| json.ends_with(b"}"))
    };
    Ok(directories(place)?
        .into_iter()
        .filter(is_half_made)
        .collect())
}

/// Puts one guest right. True when something was removed.
fn tend(place: &Place, id: &str) -> Result<bool> {
    let directory = place.directory(id);
    let Ok(record) = workspace::read_record(&directory) else {
        // Of a newer version, or damaged: not ours to judge.
        return Ok(false);
    };
    if workspace::owner(&directory).is_some() {
        wait_for_bound(place, id);
        return Ok(false);
    }
    match live::read(&place.live(id)) {
        Some(state) if has_life(&state) => {
            // Looking at it brings a new monitor, which knows what is to become of it.
            look(place, id)?;
            wait_for_bound(place, id);
            Ok(!directory.exists())
        }
        Some(_) => clean_up(place, id).map(|()| true),
        None => remove_unwanted(place, &record),
    }
}

fn has_life(state: &GuestState) -> bool {
    let mut processes = [state.holder, state.process].into_iter().flatten();
    processes.any(live::is_alive)
}

/// What was to be removed at its end, or was never whole, and has nobody who would do it.
fn remove_unwanted(place: &Place, record: &GuestRecord) -> Result<bool> {
    if !record.config.remove {
        return Ok(false);
    }
    let Some(workspace) = Workspace::try_take(&place.store, &record.id)? else {
        return Ok(false);
    };
    place.runtime().delete(&record.id, true)?;
    live::remove(&place.live(&record.id));
    workspace.remove().map(|()| true)
}

/// A guest whose command was killed is being ended by its monitor: that is waited for.
fn wait_for_bound(place: &Place, id: &str) {
    const MOMENTS: u32 = 1000;
    let directory = place.directory(id);
    let mut state = live::read(&place.live(id));
    // One that has just begun has not said yet for whom.
    for _ in 0..MOMENTS {
        if state.is_some() || workspace::owner(&directory).is_none() {
            break;
        }
        if pause_briefly().is_err() {
            break;
        }
        state = live::read(&place.live(id));
    }
    let Some(state) = state else { return };
    if state
        .bound_to
        .is_some_and(|command| !live::is_alive(command))
    {
        wait_for_end(state.monitor);
    }
}

fn wait_for_end(process: ProcessName) {
    const PATIENCE: Timespec = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let opened = Pid::from_raw(process.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let Some(Ok(pidfd)) = opened.filter(|_| live::is_alive(process)) else {
        return;
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    while matches!(poll(&mut fds, Some(&PATIENCE)), Err(Errno::INTR)) {}
}

/// Removes what monitors have published of guests that are gone.
fn prune_live(place: &Place) {
    let Ok(entries) = std::fs::read_dir(place.live_root()) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(state) = live::read(&path) else {
            continue;
        };
        let is_ours = state.store == place.store;
        if is_ours && !place.directory(&file_name(&path)).exists() && !has_life(&state) {
            live::remove(&path);
        }
    }
}

/// Removes names whose guest is gone.
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
