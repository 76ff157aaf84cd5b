//! `insula ps`: guests that are up, and those that are not.

use std::time::{Duration, SystemTime};

use insula_node::guest::{self, Guest, Status};
use serde_json::{Value, json};

use super::store::{Location, engine_failure};
use super::text;
use crate::Failure;
use crate::output::{self, Column, FormatArguments, Listing};

/// List containers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Containers of `insula run`; those that other programs made are listed by: insula oci list

Examples:
  insula ps
  insula ps -a -o wide
  insula ps -q -l app=web
  insula ps --watch")]
pub(super) struct Arguments {
    /// Also containers that are not up
    #[arg(short, long)]
    all: bool,

    /// Only the one that was made last, up or not
    #[arg(long)]
    latest: bool,

    /// Only the last so many, up or not
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,

    /// Only identifiers
    #[arg(short, long)]
    quiet: bool,

    /// Only those with this label: NAME or NAME=VALUE
    #[arg(
        short = 'l',
        long = "selector",
        visible_alias = "label",
        value_name = "LABEL"
    )]
    selectors: Vec<String>,

    /// Only those whose name, status, image, label or health is VALUE: status=exited
    #[arg(short, long = "filter", value_name = "WHAT=VALUE")]
    filters: Vec<String>,

    /// Print the list again whenever it changes
    #[arg(short, long)]
    watch: bool,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("NAME"),
    Column::new("IMAGE"),
    Column::new("STATUS"),
    Column::new("RESTARTS"),
    Column::wide("ID"),
    Column::wide("PID"),
    Column::wide("COMMAND"),
    Column::new("AGE"),
];

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    print(arguments, &chosen(arguments, location)?)?;
    if !arguments.watch {
        return Ok(0);
    }
    let mut changes = insula_node::event::Changes::watch(&location.place().state)
        .map_err(|error| engine_failure(&error))?;
    loop {
        changes.wait(None).map_err(|error| engine_failure(&error))?;
        output::data("\n");
        print(arguments, &chosen(arguments, location)?)?;
    }
}

fn chosen(arguments: &Arguments, location: &Location) -> Result<Vec<Guest>, Failure> {
    let mut guests = guest::list(&location.place()).map_err(|error| engine_failure(&error))?;
    let filters = filters(arguments)?;
    guests.retain(|guest| filters.iter().all(|filter| filter.matches(guest)));
    let asks_for_status = filters
        .iter()
        .any(|filter| matches!(filter, Filter::Status(_)));
    let last = match arguments.latest {
        true => Some(1),
        false => arguments.last,
    };
    match last {
        Some(count) => drop(guests.drain(..guests.len().saturating_sub(count))),
        None if arguments.all || asks_for_status => {}
        None => guests.retain(|guest| guest.status.is_up()),
    }
    Ok(guests)
}

fn print(arguments: &Arguments, guests: &[Guest]) -> Result<(), Failure> {
    if arguments.quiet {
        for guest in guests {
            output::data(format_args!("{}\n", short(&guest.record.id)));
        }
        return Ok(());
    }
    let mut listing = Listing::new("containers", COLUMNS);
    for guest in guests {
        listing.push(
            format!("container/{}", guest.record.name),
            row(guest),
            object(guest),
        );
    }
    listing.print(&arguments.output.format)
}

/// One condition.
enum Filter {
    Name(String),
    Status(String),
    Image(String),
    Health(String),
    Label(String, Option<String>),
}

fn filters(arguments: &Arguments) -> Result<Vec<Filter>, Failure> {
    let label = |text: &str| match text.split_once('=') {
        Some((name, value)) => Filter::Label(name.to_owned(), Some(value.to_owned())),
        None => Filter::Label(text.to_owned(), None),
    };
    let mut filters: Vec<Filter> = arguments.selectors.iter().map(|text| label(text)).collect();
    for text in &arguments.filters {
        let (what, value) = text.split_once('=').unwrap_or((text, ""));
        let value = value.to_owned();
        filters.push(match what {
            "name" => Filter::Name(value),
            "status" => Filter::Status(value),
            "ancestor" | "image" => Filter::Image(value),
            "health" => Filter::Health(value),
            "label" => label(&value),
            _ => {
                return Err(Failure::usage(format!("`{text}` is no filter"))
                    .hint("name=…, status=…, image=…, health=…, label=…"));
            }
        });
    }
    Ok(filters)
}

impl Filter {
    fn matches(&self, guest: &Guest) -> bool {
        match self {
            Self::Name(name) => guest.record.name.contains(name.as_str()),
            Self::Status(status) => guest.status.name() == status,
            Self::Image(image) => guest.record.image == *image,
            Self::Health(health) => health == guest.health().map_or("none", |health| health.name()),
            Self::Label(name, value) => {
                let mut labels = guest.record.config.annotations.iter();
                labels.any(|(known, is)| {
                    known == name && value.as_ref().is_none_or(|value| value == is)
                })
            }
        }
    }
}

/// The status in one word.
pub(super) fn status(guest: &Guest) -> String {
    let exit = || match guest.exit_code() {
        Some(code) => code.to_string(),
        None => "unknown".to_owned(),
    };
    match guest.status {
        Status::Exited => format!("exited({})", exit()),
        Status::Restarting => format!("restarting({})", exit()),
        Status::Running => match guest.health() {
            Some(health) => format!("running({})", health.name()),
            None => "running".to_owned(),
        },
        other => other.name().to_owned(),
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn row(guest: &Guest) -> Vec<String> {
    let record = &guest.record;
    let created = SystemTime::UNIX_EPOCH + Duration::from_secs(record.created);
    let age = SystemTime::now().duration_since(created);
    let restarts = guest.state.as_ref().map_or(0, |state| state.restarts);
    vec![
        record.name.clone(),
        record.image.clone(),
        status(guest),
        restarts.to_string(),
        short(&record.id).to_owned(),
        guest
            .pid()
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        // A cell has no spaces.
        record.config.command.first().cloned().unwrap_or_default(),
        text::age(age.unwrap_or_default()),
    ]
}

fn object(guest: &Guest) -> Value {
    let record = &guest.record;
    json!({
        "name": record.name,
        "id": record.id,
        "image": record.image,
        "digest": record.manifest.to_string(),
        "command": record.config.command,
        "status": guest.status.name(),
        "running": guest.status.is_up(),
        "health": guest.health().map(|health| health.name()),
        "pid": guest.pid(),
        "restarts": guest.state.as_ref().map_or(0, |state| state.restarts),
        "exitCode": guest.exit_code(),
        "labels": record.config.annotations.iter().cloned()
            .collect::<std::collections::BTreeMap<_, _>>(),
        "createdSeconds": record.created,
    })
}
