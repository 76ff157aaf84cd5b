//! `insula image prune`.

use std::io::{BufRead, IsTerminal};

use insula_node::image::PruneScope;

use super::super::store::{self, Location};
use super::super::text;
use crate::{Failure, output};

/// Remove images without a name, cut transfers, and what killed processes left
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula image prune --yes\n  insula image prune --all")]
pub(super) struct Arguments {
    /// Also images that have a name and that no container uses
    #[arg(short, long)]
    all: bool,

    /// Do not ask
    #[arg(short, long, visible_alias = "force", visible_short_alias = 'f')]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let (scope, what) = if arguments.all {
        (PruneScope::Unused, "every image that no container uses")
    } else {
        (PruneScope::Unnamed, "every image without a name")
    };
    if !arguments.yes && !agrees(what)? {
        return Ok(0);
    }
    let pruned = location
        .images()
        .prune(scope, &|image| location.users_of(image))
        .map_err(|error| store::failure(&error))?;
    for id in &pruned.deleted {
        output::data(format_args!("image/{id} deleted\n"));
    }
    output::talk(format_args!(
        "freed {}, and {} leftovers of killed processes",
        text::size(pruned.freed_bytes),
        pruned.leftovers
    ));
    Ok(0)
}

/// Asks a person; without one, `--yes` must say it.
pub(in super::super) fn agrees(what: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("nobody is here to be asked whether this may be removed")
                .hint("add --yes"),
        );
    }
    output::talk(format_args!("this removes {what}; go on? [y/N]"));
    let mut answer = String::new();
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::failed("read the answer").caused_by(&error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
