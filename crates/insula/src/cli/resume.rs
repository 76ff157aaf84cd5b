//! `insula resume`: what was paused goes on.

use insula_node::guest;

use super::each::each;
use super::store::Location;
use crate::Failure;

/// Let paused containers go on
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula resume web")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    each(&arguments.containers, |name| {
        guest::resume(&place, name).map(|()| Some("resumed"))
    })
}
