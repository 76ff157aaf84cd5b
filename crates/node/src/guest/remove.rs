//! Removing a guest with everything in it.

use insula_container::error::{Error, Kind, Result};

use super::event;
use super::find::{Guest, find};
use super::place::Place;
use super::signal::{StopRequest, stop};
use super::workspace::Workspace;
use crate::volume;

const SIGKILL: i32 = 9;

/// How to remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removal {
    /// Also when it is up: it is killed.
    pub force: bool,
    /// Also the volumes that were made for it alone.
    pub volumes: bool,
}

/// Removes a guest and gives what it was.
///
/// # Errors
/// There is none, or it is up and that is not forced.
pub fn remove(place: &Place, name: &str, removal: Removal) -> Result<Guest> {
    let guest = find(place, name)?;
    let shown = guest.record.name.clone();
    if guest.status.is_up() && !removal.force {
        return Err(Error::new(format!("`{shown}` is {}", guest.status.name()))
            .kind(Kind::Exists)
            .hint(format!("insula stop {shown}, or insula rm -f {shown}")));
    }
    if guest.status.is_up() {
        let request = StopRequest {
            signal: Some(SIGKILL),
            timeout_s: Some(Some(0)),
        };
        stop(place, &guest.record.id, request)?;
    }
    match Workspace::take(&place.store, &guest.record.id) {
        Ok(workspace) => workspace.remove()?,
        // It went by itself, as `--rm` asks.
        Err(_) if !place.directory(&guest.record.id).exists() => return Ok(guest),
        Err(error) => return Err(error),
    }
    event::tell(place, &guest.record, "destroy", &[]);
    if removal.volumes {
        volume::remove_anonymous(place, &guest.record.config)?;
    }
    Ok(guest)
}
