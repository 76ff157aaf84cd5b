//! `insula image …`: everything that is done to images. The short forms (`images`, `rmi`,
//! `inspect`) are the same functions.

mod import;
mod prune;
mod tag;

use super::store::Location;
use super::{images, inspect, rmi};
use crate::Failure;

/// Import, list, name, inspect and remove images
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  insula image import --tag debian:12 rootfs.tar.zst
  insula image list
  insula image prune")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Import(import::Arguments),
    #[command(visible_alias = "ls")]
    List(images::Arguments),
    Inspect(inspect::Arguments),
    Tag(tag::Arguments),
    Rm(rmi::Arguments),
    Prune(prune::Arguments),
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    match arguments.command {
        Command::Import(arguments) => import::run(arguments, location),
        Command::List(arguments) => images::run(&arguments, location),
        Command::Inspect(arguments) => inspect::run(&arguments, location),
        Command::Tag(arguments) => tag::run(&arguments, location),
        Command::Rm(arguments) => rmi::run(&arguments, location),
        Command::Prune(arguments) => prune::run(&arguments, location),
    }
}
