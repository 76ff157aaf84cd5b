//! `insula events`: the journal of what happens to guests.

use std::time::Duration;

use insula_node::event::{self, Changes, Event};
use insula_node::moment;
use serde_json::json;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Show what happens to containers, as it happens
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --until it goes on until it is interrupted; --since also shows what was before.

Examples:
  insula events
  insula events --since 1h --until 0s
  insula events --filter container=web --filter event=die -o json")]
pub(super) struct Arguments {
    /// Also what was from this time on: 2026-11-20T21:00:00Z, seconds since 1970, or 10m ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only what is so: container=NAME, event=ACTION, image=NAME
    #[arg(short, long = "filter", value_name = "WHAT=VALUE")]
    filters: Vec<String>,

    /// Output: table, json (an object for each line)
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table"
    )]
    #[arg(value_parser = ["table", "json"], hide_possible_values = true)]
    format: String,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let state = location.place().state;
    let now = moment::now_ns();
    let time = |text: &Option<String>| {
        let parsed = text.as_deref().map(|text| moment::parse(text, now));
        parsed
            .transpose()
            .map_err(|error| engine_failure(&error).with_exit_code(2))
    };
    let until = time(&arguments.until)?;
    let filters = filters(&arguments.filters)?;
    // Before the first look, so that nothing falls between.
    let mut changes = Changes::watch(&state).map_err(|error| engine_failure(&error))?;
    let mut shown = time(&arguments.since)?.unwrap_or(now).saturating_sub(1);
    loop {
        for event in event::read(&state) {
            let at = i64::try_from(event.time_ns).unwrap_or(i64::MAX);
            let is_in_time = at > shown && until.is_none_or(|until| at < until);
            if !is_in_time {
                continue;
            }
            if filters.iter().all(|filter| filter.matches(&event)) {
                print(&event, &arguments.format);
            }
            shown = at;
        }
        let left = until.map(|until| until.saturating_sub(moment::now_ns()));
        if left.is_some_and(|left| left <= 0) {
            return Ok(0);
        }
        let left = left.map(|left| Duration::from_nanos(u64::try_from(left).unwrap_or(0)));
        changes.wait(left).map_err(|error| engine_failure(&error))?;
    }
}

/// One condition.
enum Filter {
    Container(String),
    Action(String),
    Image(String),
}

fn filters(words: &[String]) -> Result<Vec<Filter>, Failure> {
    let mut filters = Vec::new();
    for word in words {
        let (what, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.to_owned();
        filters.push(match what {
            "container" | "name" => Filter::Container(value),
            "event" => Filter::Action(value),
            "image" => Filter::Image(value),
            _ => {
                return Err(Failure::usage(format!("`{word}` is no filter"))
                    .hint("container=NAME, event=ACTION, image=NAME"));
            }
        });
    }
    Ok(filters)
}

impl Filter {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Container(name) => event.name == *name || event.id.starts_with(name.as_str()),
            Self::Action(action) => event.action == *action,
            Self::Image(image) => event.attributes.get("image") == Some(image),
        }
    }
}

fn print(event: &Event, format: &str) {
    if format == "json" {
        let object = json!({
            "timeNano": event.time_ns,
            "type": event.kind,
            "action": event.action,
            "name": event.name,
            "id": event.id,
            "attributes": event.attributes,
        });
        output::data(format_args!("{object}\n"));
        return;
    }
    let time = moment::rfc3339(i64::try_from(event.time_ns).unwrap_or(i64::MAX));
    let attributes: Vec<String> = event
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    output::data(format_args!(
        "{time} {} {} {} ({})\n",
        event.kind,
        event.action,
        event.name,
        attributes.join(", ")
    ));
}
