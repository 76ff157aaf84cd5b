//! `insula rm`: containers that were kept after their end.

use insula_node::run;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Remove containers whose command has ended
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  insula rm calm-otter\n  insula ps -a -o jsonpath={.name} | xargs insula rm"
)]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Goes on after a failure, so that one wrong name does not keep the others.
pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let mut first_failure = None;
    for name in &arguments.containers {
        match run::remove(location.path(), name) {
            Ok(_id) => output::data(format_args!("container/{name} deleted\n")),
            Err(error) => {
                let failure = engine_failure(&error);
                if let Some(earlier) = first_failure.replace(failure) {
                    output::failure(&earlier, false);
                }
            }
        }
    }
    first_failure.map_or(Ok(0), Err)
}
