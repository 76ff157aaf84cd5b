//! Looking a guest up, and what it does now.
//!
//! The truth has three parts: the record on disk, the lock of who works on the guest, and what its
//! monitor has published. Where they do not fit together somebody was killed; whoever looks puts
//! that right: a program that still runs gets a new monitor, and what is left of one that has ended
//! is removed.

use std::path::Path;

use insula_container::error::{Context, Error, Kind, Result};
use insula_container::format::Status as EngineStatus;
use insula_sys::rustix::event::{Timespec, poll};

use super::format::{Ended, GuestRecord, GuestState, HealthStatus, Phase};
use super::place::Place;
use super::workspace::{self, Workspace};
use super::{live, now, start};

/// How often a monitor that is taking over is given a moment.
const MOMENTS: u32 = 600;

/// What a guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Made, and never started.
    Created,
    Starting,
    Running,
    Paused,
    /// It ended, and will be started again.
    Restarting,
    Exited,
}

impl Status {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// Whether it has a monitor.
    #[must_use]
    pub fn is_up(self) -> bool {
        !matches!(self, Self::Created | Self::Exited)
    }
}

/// A guest as it is now.
#[derive(Debug, Clone)]
pub struct Guest {
    pub record: GuestRecord,
    pub status: Status,
    /// What its monitor publishes, while it is up.
    pub state: Option<GuestState>,
}

impl Guest {
    /// The host's number of its first process.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let process = self.state.as_ref()?.process?;
        Some(process.pid)
    }

    /// How its last run ended.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match &self.state {
            Some(state) => state.exit_code,
            None => self.record.ended.as_ref().and_then(|ended| ended.exit_code),
        }
    }

    #[must_use]
    pub fn health(&self) -> Option<HealthStatus> {
        let health = self.state.as_ref()?.health.as_ref()?;
        Some(health.status)
    }
}

/// Finds a guest by its name, its identifier, or the start of one of them that no other has.
///
/// # Errors
/// There is none, or several answer to it.
pub fn find(place: &Place, name: &str) -> Result<Guest> {
    let id = identify(place, name)?;
    look(place, &id)
}

/// The identifier of a guest.
pub(super) fn identify(place: &Place, name: &str) -> Result<String> {
    if super::check_name(name).is_err() {
        return Err(unlike_any(place, name));
    }
    let holder = std::fs::read_link(place.store.join("names").join(name));
    if let Ok(holder) = holder
        && let Some(id) = holder.to_str()
        && place.directory(id).exists()
    {
        return Ok(id.to_owned());
    }
    if name.len() == 64 && place.directory(name).exists() {
        return Ok(name.to_owned());
    }
    let mut matches = super::list::records(place)?
        .into_iter()
        .filter(|record| record.id.starts_with(name) || record.name.starts_with(name));
    match (matches.next(), matches.next()) {
        (Some(record), None) => Ok(record.id),
        (None, _) => Err(unlike_any(place, name)),
        (Some(one), Some(other)) => Err(Error::new(format!(
            "`{name}` is the start of several guests: {}, {}, …",
            one.name, other.name
        ))
        .hint("give more of the name or the identifier")),
    }
}

/// A slip of the fingers is told the name that was meant.
fn unlike_any(place: &Place, name: &str) -> Error {
    let names = super::list::names(place);
    match crate::oci::nearest(name, names.iter().map(String::as_str)) {
        Some(near) => unknown(name).hint(format!("did you mean `{near}`?")),
        None => unknown(name),
    }
}

fn unknown(name: &str) -> Error {
    Error::new(format!("there is no guest `{name}`"))
        .kind(Kind::NotFound)
        .hint("`insula ps -a` lists all")
}

/// What a guest does now.
pub(super) fn look(place: &Place, id: &str) -> Result<Guest> {
    let directory = place.directory(id);
    for _ in 0..MOMENTS {
        let record = match workspace::read_record(&directory) {
            // It was removed meanwhile.
            Err(_) if !directory.exists() => return Err(unknown(id)),
            other => other?,
        };
        let state = live::read(&place.live(id));
        match (workspace::owner(&directory), state) {
            (Some(_), state) => {
                let status = status_of_owned(place, id, state.as_ref());
                return Ok(Guest {
                    record,
                    status,
                    state,
                });
            }
            (None, None) => return Ok(at_rest(&directory, record)),
            (None, Some(state)) => mend(place, id, &state)?,
        }
    }
    Err(Error::new(format!("no monitor takes guest {id} over"))
        .hint("`insula prune` removes what is left of it"))
}

fn status_of_owned(place: &Place, id: &str, state: Option<&GuestState>) -> Status {
    match state.map(|state| state.phase) {
        None | Some(Phase::Starting) => Status::Starting,
        Some(Phase::Restarting) => Status::Restarting,
        Some(Phase::Running) => match place.runtime().load(id) {
            Ok(container) if container.status() == EngineStatus::Paused => Status::Paused,
            _ => Status::Running,
        },
    }
}

fn at_rest(directory: &Path, mut record: GuestRecord) -> Guest {
    // The overlay makes a directory in `work` when it is mounted: without it, nothing ran.
    let has_run = record.ended.is_some() || directory.join("work/work").exists();
    if has_run && record.ended.is_none() {
        // It ran when the host went down.
        record.ended = Some(Ended {
            exit_code: None,
            at: record.created,
            oom_killed: false,
            error: None,
        });
    }
    Guest {
        record,
        status: if has_run {
            Status::Exited
        } else {
            Status::Created
        },
        state: None,
    }
}

/// The monitor was killed. Who holds the guest's descriptors is first to replace it.
fn mend(place: &Place, id: &str, state: &GuestState) -> Result<()> {
    if state.holder.is_some_and(live::is_alive) {
        return pause_briefly();
    }
    if state.process.is_some_and(live::is_alive) {
        start::adopt(place, id)?;
        return pause_briefly();
    }
    clean_up(place, id)
}

pub(super) fn pause_briefly() -> Result<()> {
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    poll(&mut [], Some(&moment))
        .map(drop)
        .step(|| "wait for a monitor that takes over")
}

/// Removes what is left of a run whose monitor and program are gone.
pub(super) fn clean_up(place: &Place, id: &str) -> Result<()> {
    let Some(mut workspace) = Workspace::try_take(&place.store, id)? else {
        return pause_briefly();
    };
    place
        .runtime()
        .delete(id, true)
        .step(|| format!("clean up guest {id}"))?;
    live::remove(&place.live(id));
    if workspace.record.config.remove {
        return workspace.remove();
    }
    workspace.end(Ended {
        exit_code: None,
        at: now(),
        oom_killed: false,
        error: None,
    })
}
