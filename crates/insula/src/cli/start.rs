//! `insula start`: guests that were made, or have ended, run again.

use insula_node::guest::{self, AttachOptions};

use super::attach::finish;
use super::each::each;
use super::store::{Location, engine_failure};
use crate::Failure;

/// Start containers that do not run
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula start web\n  insula start -ai box")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,

    /// Stay with it: its output comes here, and its exit code is ours
    #[arg(short, long)]
    attach: bool,

    /// Give it our input, too, if it was made with -i
    #[arg(short, long)]
    interactive: bool,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    if !arguments.attach && !arguments.interactive {
        return each(&arguments.containers, |name| {
            guest::start(&place, name).map(|_| Some("started"))
        });
    }
    let [name] = arguments.containers.as_slice() else {
        return Err(Failure::usage("one can stay with one container only")
            .hint("start the others without -a and -i"));
    };
    let options = AttachOptions {
        input: arguments.interactive,
        ..AttachOptions::default()
    };
    let finished = guest::start_attached(&place, name, &options)
        .map_err(|error| engine_failure(&error).with_exit_code(guest::exit_code(&error)))?;
    Ok(finish(&finished))
}
