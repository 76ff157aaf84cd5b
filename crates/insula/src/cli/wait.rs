//! `insula wait`: until guests have ended.

use insula_node::guest;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula wait job")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    for name in &arguments.containers {
        let code = guest::wait(&place, name).map_err(|error| engine_failure(&error))?;
        match code {
            Some(code) => output::data(format_args!("{code}\n")),
            None => output::data("unknown\n"),
        }
    }
    Ok(0)
}
