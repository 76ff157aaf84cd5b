//! Changing a guest that is there: its name, its limits, its policies.

use insula_container::error::Result;

use super::find::{Guest, find};
use super::place::Place;
use super::protocol::Request;
use super::signal::ask_monitor;
use super::workspace::{self, Workspace};
use super::{check_name, event};
use crate::run::{RestartPolicy, RunOptions, spec};

/// What is to change; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    pub cpu_millis: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
    pub restart: Option<RestartPolicy>,
}

impl Change {
    fn apply(&self, config: &mut RunOptions) {
        config.cpu_millis = self.cpu_millis.or(config.cpu_millis);
        config.memory_bytes = self.memory_bytes.or(config.memory_bytes);
        config.pids = self.pids.or(config.pids);
        config.restart = self.restart.unwrap_or(config.restart);
    }

    fn has_limits(&self) -> bool {
        self.cpu_millis.is_some() || self.memory_bytes.is_some() || self.pids.is_some()
    }
}

/// Gives a guest another name.
///
/// # Errors
/// There is none, or the name is taken.
pub fn rename(place: &Place, name: &str, new: &str) -> Result<()> {
    check_name(new)?;
    let guest = find(place, name)?;
    if guest.record.name == new {
        return Ok(());
    }
    let request = Request::Rename {
        name: new.to_owned(),
    };
    let asked = match guest.status.is_up() {
        true => ask_monitor(place, &guest, request)?,
        false => None,
    };
    if asked.is_none() {
        let mut workspace = Workspace::take(&place.store, &guest.record.id)?;
        workspace::rename(&mut workspace, new)?;
    }
    let old = guest.record.name.clone();
    let mut record = guest.record;
    new.clone_into(&mut record.name);
    event::tell(place, &record, "rename", &[("oldName", old)]);
    Ok(())
}

/// Changes limits and policies, at once where the guest runs.
///
/// # Errors
/// The kernel refuses a limit; then nothing is changed.
pub fn update(place: &Place, name: &str, change: &Change) -> Result<Guest> {
    let mut guest = find(place, name)?;
    change.apply(&mut guest.record.config);
    if guest.status.is_up() && change.has_limits() {
        let resources = spec::resources(&guest.record.config)?;
        let container = place.runtime().load(&guest.record.id)?;
        container.update(&resources)?;
    }
    let request = Request::Configure {
        config: Box::new(guest.record.config.clone()),
    };
    let asked = match guest.status.is_up() {
        true => ask_monitor(place, &guest, request)?,
        false => None,
    };
    if asked.is_none() {
        let mut workspace = Workspace::take(&place.store, &guest.record.id)?;
        change.apply(&mut workspace.record.config);
        workspace.save()?;
    }
    event::tell(place, &guest.record, "update", &[]);
    Ok(guest)
}
