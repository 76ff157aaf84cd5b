//! `insula ps`: containers that run, and those kept after their end.

use std::time::{Duration, SystemTime};

use insula_node::run::{self, format::ContainerRecord};
use serde_json::json;

use super::store::{Location, engine_failure};
use super::text;
use crate::Failure;
use crate::output::{Column, FormatArguments, Listing};

/// List containers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Containers of `insula run`; those that other programs made are listed by: insula oci list

Examples:
  insula ps
  insula ps -a -o wide")]
pub(super) struct Arguments {
    /// Also containers whose command has ended
    #[arg(short, long)]
    all: bool,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("NAME"),
    Column::new("IMAGE"),
    Column::new("STATUS"),
    Column::wide("ID"),
    Column::wide("COMMAND"),
    Column::new("AGE"),
];

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let records = run::list(location.path()).map_err(|error| engine_failure(&error))?;
    let mut listing = Listing::new("containers", COLUMNS);
    for record in records {
        if arguments.all || record.ended.is_none() {
            push(&mut listing, &record);
        }
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}

fn push(listing: &mut Listing, record: &ContainerRecord) {
    let exit_code = record.ended.as_ref().map(|ended| ended.exit_code);
    let status = match exit_code {
        None => "running".to_owned(),
        Some(Some(code)) => format!("exited({code})"),
        Some(None) => "exited(unknown)".to_owned(),
    };
    let created = SystemTime::UNIX_EPOCH + Duration::from_secs(record.created);
    let age = SystemTime::now()
        .duration_since(created)
        .unwrap_or_default();
    let row = vec![
        record.name.clone(),
        record.image.clone(),
        status,
        record.id.get(..12).unwrap_or(&record.id).to_owned(),
        // A cell has no spaces.
        record.command.first().cloned().unwrap_or_default(),
        text::age(age),
    ];
    let object = json!({
        "name": record.name,
        "id": record.id,
        "image": record.image,
        "digest": record.manifest.to_string(),
        "command": record.command,
        "running": record.ended.is_none(),
        "exitCode": exit_code.flatten(),
        "createdSeconds": record.created,
    });
    listing.push(format!("container/{}", record.name), row, object);
}
