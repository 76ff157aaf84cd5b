//! `insula diff`: what a guest has changed.

use insula_node::guest::files;
use serde_json::json;

use super::store::{Location, engine_failure};
use crate::Failure;
use crate::output::{self, Column, Format, FormatArguments, Listing};

/// List the files that a container has changed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A is added, C is changed, D is deleted; what volumes hold is not in it.

Examples:
  insula diff web
  insula diff web -o json")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[Column::new("CHANGE"), Column::new("PATH")];

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let changes = files::diff(&location.place(), &arguments.container)
        .map_err(|error| engine_failure(&error))?;
    if arguments.output.format == Format::Table {
        // docker's lines, which scripts read; a path is written as it is.
        for change in changes {
            let path = change.path.display();
            output::data(format_args!("{} {path}\n", change.kind.letter()));
        }
        return Ok(0);
    }
    let mut listing = Listing::new("changes", COLUMNS);
    for change in changes {
        let path = change.path.display().to_string();
        let letter = change.kind.letter().to_string();
        let object = json!({"change": letter, "path": path});
        listing.push(path.clone(), vec![letter, path], object);
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}
