//! `insula df`, the same as `insula system df`.

use insula_node::guest;
use insula_node::image::disk_bytes;
use serde_json::json;

use super::store::{self, Location, engine_failure};
use super::text;
use crate::Failure;
use crate::output::{Column, FormatArguments, Listing};

/// Show how much of the disk images and containers take
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What images share counts once. RECLAIMABLE comes back by: insula system prune --all

Examples:
  insula df
  insula df -o json")]
pub(super) struct Arguments {
    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("TYPE"),
    Column::new("TOTAL"),
    Column::new("USED"),
    Column::new("SIZE"),
    Column::new("RECLAIMABLE"),
];

struct Line {
    kind: &'static str,
    total: usize,
    used: usize,
    bytes: u64,
    reclaimable_bytes: u64,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let usage = location
        .images()
        .usage(&|image| location.users_of(image))
        .map_err(|error| store::failure(&error))?;
    let lines = [
        Line {
            kind: "images",
            total: usage.images,
            used: usage.used_images,
            bytes: usage.image_bytes,
            reclaimable_bytes: usage.reclaimable_bytes,
        },
        containers(location)?,
        Line {
            kind: "transfers",
            total: usage.partials,
            used: 0,
            bytes: usage.partial_bytes,
            reclaimable_bytes: usage.partial_bytes,
        },
        Line {
            kind: "staging",
            total: usage.staged,
            used: usage.staged,
            bytes: usage.staged_bytes,
            reclaimable_bytes: 0,
        },
    ];
    let mut listing = Listing::new("usage", COLUMNS);
    for line in lines {
        let row = vec![
            line.kind.to_owned(),
            line.total.to_string(),
            line.used.to_string(),
            text::size(line.bytes),
            text::size(line.reclaimable_bytes),
        ];
        let object = json!({
            "type": line.kind,
            "total": line.total,
            "used": line.used,
            "sizeBytes": line.bytes,
            "reclaimableBytes": line.reclaimable_bytes,
        });
        listing.push(line.kind, row, object);
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}

/// Those that have ended can go.
fn containers(location: &Location) -> Result<Line, Failure> {
    let guests = guest::list(&location.place()).map_err(|error| engine_failure(&error))?;
    let mut line = Line {
        kind: "containers",
        total: guests.len(),
        used: 0,
        bytes: 0,
        reclaimable_bytes: 0,
    };
    for guest in &guests {
        let bytes = disk_bytes(&location.path().join("containers").join(&guest.record.id));
        line.bytes += bytes;
        match guest.status.is_up() {
            false => line.reclaimable_bytes += bytes,
            true => line.used += 1,
        }
    }
    Ok(line)
}
