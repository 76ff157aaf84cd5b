//! `insula logs`: what a guest has written.

use insula_node::guest::{self, LogRequest};
use insula_node::guest_log::Selection;
use insula_node::moment;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Show what a container has written
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What it wrote to stdout comes on stdout, the rest on stderr. Times are those of the reading.

Examples:
  insula logs web
  insula logs -f --tail 20 web
  insula logs --since 10m --timestamps web")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    /// Go on until it ends
    #[arg(short, long)]
    follow: bool,

    /// Only the last so many lines, or all
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "all")]
    tail: String,

    /// Only lines of this time or later: 2026-11-20T21:00:00Z, seconds since 1970, or 10m ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,

    /// Only lines before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// The time before each line
    #[arg(short, long)]
    timestamps: bool,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let now = moment::now_ns();
    let time = |text: &Option<String>| {
        let parsed = text.as_deref().map(|text| moment::parse(text, now));
        parsed
            .transpose()
            .map_err(|error| engine_failure(&error).with_exit_code(2))
    };
    let tail = match arguments.tail.as_str() {
        "all" | "-1" => None,
        number => Some(number.parse().map_err(|_error| {
            Failure::usage(format!("--tail `{number}` is neither a number nor `all`"))
        })?),
    };
    let request = LogRequest {
        selection: Selection {
            tail,
            since: time(&arguments.since)?,
            until: time(&arguments.until)?,
            ..Selection::default()
        },
        timestamps: arguments.timestamps,
        follow: arguments.follow,
    };
    let failure = guest::logs(&location.place(), &arguments.container, &request)
        .map_err(|error| engine_failure(&error))?;
    if let Some(failure) = failure {
        output::talk(format_args!(
            "warning: {} bytes or more could not be kept: {}",
            failure.lost_bytes, failure.reason
        ));
    }
    Ok(0)
}
