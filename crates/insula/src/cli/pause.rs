//! `insula pause`: all processes of a guest stand still.

use insula_node::guest;

use super::each::each;
use super::store::Location;
use crate::Failure;

/// Freeze all processes of containers
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula pause web")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    each(&arguments.containers, |name| {
        guest::pause(&place, name).map(|()| Some("paused"))
    })
}
