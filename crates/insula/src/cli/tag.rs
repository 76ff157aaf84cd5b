//! `insula tag IMAGE NAME`, the same as `insula image tag`.

use insula_node::image::Reference;

use super::store::{self, Location};
use crate::{Failure, output};

/// Give an image one more name
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula tag debian:12 debian:stable")]
pub(super) struct Arguments {
    /// The name or identifier it has
    image: String,

    /// The new name; taken from the image that has it
    #[arg(value_name = "NAME")]
    name: Reference,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    location
        .images()
        .tag(&arguments.image, &arguments.name)
        .map_err(|error| store::failure(&error))?;
    output::data(format_args!("image/{} tagged\n", arguments.name.tagged()));
    Ok(0)
}
