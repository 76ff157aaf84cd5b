//! `insula rm`: guests that are not needed any more.

use insula_node::ErrorKind;
use insula_node::guest::{self, Removal};

use super::each::each;
use super::store::Location;
use crate::Failure;

/// Remove containers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula rm calm-otter
  insula rm -f web
  insula ps -a -q | xargs insula rm")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Also those that are up: they are killed. A name that is not there is no error
    #[arg(short, long)]
    force: bool,

    /// Also volumes that were made for them alone
    #[arg(short, long)]
    volumes: bool,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    let removal = Removal {
        force: arguments.force,
        volumes: arguments.volumes,
    };
    each(&arguments.containers, |name| {
        match guest::remove(&place, name, removal) {
            Ok(_) => Ok(Some("deleted")),
            Err(error) if arguments.force && error.kind_of() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    })
}
