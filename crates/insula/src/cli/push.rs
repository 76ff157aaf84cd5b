//! `insula push IMAGE [DESTINATION]`.

use insula_node::image::Reference;
use insula_node::image::registry::{PushOptions, push};

use super::registry::{TransferArguments, failure};
use super::store::Location;
use crate::Failure;
use crate::output::{self, progress};

/// Bring an image to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the registry has is not sent again. The image keeps its digest, which is printed to stdout.

Examples:
  insula push localhost:5000/team/app:1.2
  insula push debian:12 localhost:5000/mirror/debian:12")]
pub(super) struct Arguments {
    /// The image here
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Its name there [default: as here]
    #[arg(value_name = "DESTINATION")]
    destination: Option<Reference>,

    /// No progress and no talk
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    transfer: TransferArguments,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let destination = match &arguments.destination {
        Some(destination) => destination.clone(),
        None => arguments.image.parse().map_err(|error| {
            failure(&error).hint("give the name there: insula push IMAGE HOST/NAME:TAG")
        })?,
    };
    let connection = arguments.transfer.trust.connect()?;
    let listener = progress::listener(arguments.transfer.progress, arguments.quiet);
    let pushed = push(
        &location.images(),
        &connection.client,
        &arguments.image,
        &destination,
        &PushOptions {
            parallel: arguments.transfer.parallel,
        },
        &*listener,
    )
    .map_err(|error| failure(&error))?;
    if !arguments.quiet {
        output::talk(format_args!("image/{} pushed", pushed.reference));
    }
    output::data(format_args!("{}\n", pushed.digest));
    Ok(0)
}
