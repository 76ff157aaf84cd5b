//! `insula kill`: a signal to the first process.

use insula_node::guest;

use super::each::each;
use super::store::Location;
use super::value;
use crate::Failure;

/// Send a signal to containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula kill web\n  insula kill -s HUP web")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,

    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    let number = value::signal(&arguments.signal).map_err(Failure::usage)?;
    each(&arguments.containers, |name| {
        guest::kill(&place, name, number).map(|()| Some("signalled"))
    })
}
