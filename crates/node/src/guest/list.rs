//! All guests of a store.

use std::path::PathBuf;

use insula_container::error::{Context, Result};
use insula_image::Digest;

use super::find::{Guest, look};
use super::format::GuestRecord;
use super::place::Place;
use super::workspace::read_record;

pub(super) fn directories(place: &Place) -> Result<Vec<PathBuf>> {
    let containers = place.store.join("containers");
    match std::fs::read_dir(&containers) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).step(|| format!("read {}", containers.display())),
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
    }
}

/// The records that can be read; the oldest first.
pub(super) fn records(place: &Place) -> Result<Vec<GuestRecord>> {
    let directories = directories(place)?;
    let mut records: Vec<_> = directories
        .iter()
        .filter_map(|path| read_record(path).ok())
        .filter(|record| !record.is_build())
        .collect();
    records.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(records)
}

/// All guests, the oldest first.
///
/// # Errors
/// The directory of guests cannot be read.
pub fn list(place: &Place) -> Result<Vec<Guest>> {
    let records = records(place)?;
    // One that goes meanwhile is left out.
    Ok(records
        .into_iter()
        .filter_map(|record| look(place, &record.id).ok())
        .collect())
}

/// The names of all guests, for completion.
#[must_use]
pub fn names(place: &Place) -> Vec<String> {
    let records = records(place).unwrap_or_default();
    records.into_iter().map(|record| record.name).collect()
}

/// The names of the guests that use the image with this manifest, up or not.
#[must_use]
pub fn users_of_image(place: &Place, manifest: &Digest) -> Vec<String> {
    let records = records(place).unwrap_or_default();
    let users = records
        .into_iter()
        .filter(|record| record.manifest == *manifest);
    users.map(|record| record.name).collect()
}

/// The names of the guests that have the volume of this name, up or not.
#[must_use]
pub fn guests_of_volume(place: &Place, volume: &str) -> Vec<String> {
    let records = records(place).unwrap_or_default();
    let has_it = |record: &GuestRecord| {
        let mut names = record
            .config
            .volumes
            .iter()
            .filter_map(|volume| volume.name());
        names.any(|name| name == volume)
    };
    records
        .into_iter()
        .filter(has_it)
        .map(|record| record.name)
        .collect()
}
