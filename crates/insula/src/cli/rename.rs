//! `insula rename`.

use insula_node::guest;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Give a container another name
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula rename calm-otter web")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    /// The new name
    #[arg(value_name = "NAME")]
    new: String,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    guest::rename(&location.place(), &arguments.container, &arguments.new)
        .map_err(|error| engine_failure(&error))?;
    output::data(format_args!("container/{} renamed\n", arguments.new));
    Ok(0)
}
