//! `insula port`: which ports of a guest are reached from outside.

use insula_node::guest;
use insula_node::run::Network;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Show which ports of a container are reached from outside
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula port web")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let guest = guest::find(&location.place(), &arguments.container)
        .map_err(|error| engine_failure(&error))?;
    let name = &guest.record.name;
    match guest.record.config.network {
        Network::None => output::talk(format_args!("`{name}` has no network: no port is reached")),
        Network::Host => output::talk(format_args!(
            "`{name}` has the host's network: every port that it opens is the host's"
        )),
    }
    Ok(0)
}
