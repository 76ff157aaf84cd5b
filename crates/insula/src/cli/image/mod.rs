//! `insula image …`: everything that is done to images. The short forms (`images`, `rmi`,
//! `inspect`) are the same functions.

pub(super) mod build;
mod export;
mod history;
mod import;
mod mount;
mod prune;
mod referrers;
mod verify;

use super::store::Location;
use super::{images, inspect, pull, push, rmi, tag};
use crate::Failure;
pub(super) use prune::agrees;

/// Build, import, export, list, name, inspect, check, mount and remove images
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  insula image import --tag debian:12 rootfs.tar.zst
  insula image export debian:12 -o debian.tar
  insula image verify --all
  insula image prune")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Build(Box<build::Arguments>),
    Import(import::Arguments),
    #[command(visible_alias = "save")]
    Export(export::Arguments),
    #[command(visible_alias = "ls")]
    List(images::Arguments),
    Pull(pull::Arguments),
    Push(push::Arguments),
    Inspect(inspect::Arguments),
    Referrers(referrers::Arguments),
    History(history::Arguments),
    Tag(tag::Arguments),
    Verify(verify::Arguments),
    Mount(mount::MountArguments),
    #[command(visible_alias = "umount")]
    Unmount(mount::UnmountArguments),
    Rm(rmi::Arguments),
    Prune(prune::Arguments),
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    match arguments.command {
        Command::Build(arguments) => build::run(*arguments, location),
        Command::Import(arguments) => import::run(arguments, location),
        Command::Export(arguments) => export::run(&arguments, location),
        Command::List(arguments) => images::run(&arguments, location),
        Command::Pull(arguments) => pull::run(&arguments, location),
        Command::Push(arguments) => push::run(&arguments, location),
        Command::Referrers(arguments) => referrers::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments.of_images(), location),
        Command::History(arguments) => history::run(&arguments, location),
        Command::Verify(arguments) => verify::run(&arguments, location),
        Command::Mount(arguments) => mount::mount(&arguments, location),
        Command::Unmount(arguments) => mount::unmount(&arguments, location),
        Command::Tag(arguments) => tag::run(&arguments, location),
        Command::Rm(arguments) => rmi::run(&arguments, location),
        Command::Prune(arguments) => prune::run(&arguments, location),
    }
}
