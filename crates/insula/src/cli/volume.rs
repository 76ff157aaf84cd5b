//! `insula volume …`: directories with a name that outlive containers.

use std::collections::BTreeMap;

use insula_node::guest::{Place, guests_of_volume};
use insula_node::volume::{self, VolumeRecord};
use serde_json::{Value, json};

use super::image::agrees;
use super::store::{Location, engine_failure};
use super::{text, value};
use crate::Failure;
use crate::output::{self, Column, FormatArguments, Listing};

/// Make, list, inspect and remove volumes
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
#[command(after_help = "\
A volume is made by its first use, too: insula run -v data:/var/lib IMAGE

Examples:
  insula volume create data
  insula volume ls
  insula volume prune")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArguments),
    #[command(visible_alias = "list")]
    Ls(ListArguments),
    Inspect(InspectArguments),
    #[command(visible_alias = "remove")]
    Rm(RemoveArguments),
    Prune(PruneArguments),
}

/// Make a volume; one that is there stays as it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula volume create --label app=web data")]
struct CreateArguments {
    /// Its name
    name: String,

    /// Attach a label
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = value::label)]
    labels: Vec<(String, String)>,
}

/// List volumes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula volume ls -o wide")]
struct ListArguments {
    /// Only names
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    output: FormatArguments,
}

/// Show all that is known of volumes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula volume inspect data")]
struct InspectArguments {
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,
}

/// Remove volumes that no container has, with all that is in them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula volume rm data")]
struct RemoveArguments {
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,

    /// A name that is not there is no error
    #[arg(short, long)]
    force: bool,
}

/// Remove volumes without a name of a person's choice that no container has
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula volume prune\n  insula volume prune --all --yes")]
struct PruneArguments {
    /// Also those with a name
    #[arg(short, long)]
    all: bool,

    /// Do not ask
    #[arg(short = 'y', long, visible_alias = "force")]
    yes: bool,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    match arguments.command {
        Command::Create(arguments) => {
            volume::ensure(&place.store, &arguments.name, &arguments.labels)
                .map_err(|error| engine_failure(&error))?;
            output::data(format_args!("{}\n", arguments.name));
            Ok(0)
        }
        Command::Ls(arguments) => list(&arguments, &place),
        Command::Inspect(arguments) => {
            let records = arguments
                .names
                .iter()
                .map(|name| volume::find(&place.store, name));
            let records: Result<Vec<_>, _> = records.collect();
            let records = records.map_err(|error| engine_failure(&error))?;
            let objects: Vec<Value> = records.iter().map(|it| object(it, &place)).collect();
            output::data(format_args!("{:#}\n", Value::from(objects)));
            Ok(0)
        }
        Command::Rm(arguments) => remove(&arguments, &place),
        Command::Prune(arguments) => prune(&arguments, &place),
    }
}

const COLUMNS: &[Column] = &[
    Column::new("NAME"),
    Column::new("CONTAINERS"),
    Column::wide("DIRECTORY"),
    Column::new("AGE"),
];

fn list(arguments: &ListArguments, place: &Place) -> Result<u8, Failure> {
    let records = volume::list(&place.store).map_err(|error| engine_failure(&error))?;
    if arguments.quiet {
        for record in records {
            output::data(format_args!("{}\n", record.name));
        }
        return Ok(0);
    }
    let mut listing = Listing::new("volumes", COLUMNS);
    for record in &records {
        let row = vec![
            record.name.clone(),
            guests_of_volume(place, &record.name).join(","),
            volume::data(&place.store, &record.name)
                .display()
                .to_string(),
            text::age(age(record)),
        ];
        listing.push(
            format!("volume/{}", record.name),
            row,
            object(record, place),
        );
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}

fn age(record: &VolumeRecord) -> std::time::Duration {
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(record.created);
    created.elapsed().unwrap_or_default()
}

fn object(record: &VolumeRecord, place: &Place) -> Value {
    let labels: &BTreeMap<String, String> = &record.labels;
    json!({
        "name": record.name,
        "created": record.created,
        "labels": labels,
        "anonymous": record.anonymous,
        "directory": volume::data(&place.store, &record.name).display().to_string(),
        "containers": guests_of_volume(place, &record.name),
    })
}

fn remove(arguments: &RemoveArguments, place: &Place) -> Result<u8, Failure> {
    let mut first_failure = None;
    for name in &arguments.names {
        match volume::remove(place, name) {
            Ok(()) => output::data(format_args!("volume/{name} deleted\n")),
            Err(error)
                if arguments.force && error.kind_of() == insula_node::ErrorKind::NotFound => {}
            Err(error) => {
                let failure = engine_failure(&error);
                match first_failure {
                    None => first_failure = Some(failure),
                    Some(_) => output::failure(&failure, false),
                }
            }
        }
    }
    first_failure.map_or(Ok(0), Err)
}

fn prune(arguments: &PruneArguments, place: &Place) -> Result<u8, Failure> {
    let what = match arguments.all {
        true => "every volume that no container has, with all that is in it",
        false => "every volume that was made for a container which is gone",
    };
    if !arguments.yes && !agrees(what)? {
        return Ok(0);
    }
    let removed = volume::prune(place, arguments.all).map_err(|error| engine_failure(&error))?;
    for name in removed {
        output::data(format_args!("volume/{name} deleted\n"));
    }
    Ok(0)
}
