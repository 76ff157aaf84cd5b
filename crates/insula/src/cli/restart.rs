//! `insula restart`: stops a guest and starts it.

use insula_node::guest;

use super::each::each;
use super::stop::StopArguments;
use super::store::Location;
use crate::Failure;

/// Stop containers that are up, and start them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula restart web")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,

    #[command(flatten)]
    how: StopArguments,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    let request = arguments.how.request()?;
    each(&arguments.containers, |name| {
        guest::restart(&place, name, request).map(|()| Some("restarted"))
    })
}
