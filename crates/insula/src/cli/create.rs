//! `insula create`: as `run`, but nothing is started.

use super::run::{self, GuestArguments};
use super::store::Location;
use crate::Failure;

/// Make a container without starting it
#[derive(Debug, clap::Args)]
#[command(override_usage = "insula create [OPTION...] IMAGE [COMMAND...]")]
#[command(after_help = "\
Options are those of run.

Examples:
  insula create --name job debian:12 make -j4
  insula start -a job")]
pub(super) struct Arguments {
    #[command(flatten)]
    guest: GuestArguments,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    run::create(arguments.guest, location)
}
