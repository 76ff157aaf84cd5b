//! `insula system …`: what concerns the whole host.

use insula_node::guest::{self, Removal};
use insula_node::image::PruneScope;

use super::image::agrees;
use super::store::{Location, engine_failure};
use super::{df, text};
use crate::{Failure, output};

/// Disk usage, and removing everything that nobody needs
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
#[command(after_help = "Examples:\n  insula system df\n  insula system prune")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Df(df::Arguments),
    Prune(PruneArguments),
}

/// Remove ended containers, images without a name, cut transfers, and what killed processes left
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula system prune\n  insula system prune --all --yes")]
struct PruneArguments {
    /// Also images that have a name and that no container uses
    #[arg(short, long)]
    all: bool,

    /// Do not ask
    #[arg(short, long, visible_alias = "force", visible_short_alias = 'f')]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    match &arguments.command {
        Command::Df(arguments) => df::run(arguments, location),
        Command::Prune(arguments) => prune(arguments, location),
    }
}

fn prune(arguments: &PruneArguments, location: &Location) -> Result<u8, Failure> {
    let (scope, what) = if arguments.all {
        (
            PruneScope::Unused,
            "ended containers and every image that no other container uses",
        )
    } else {
        (
            PruneScope::Unnamed,
            "ended containers and images without a name",
        )
    };
    if !arguments.yes && !agrees(what)? {
        return Ok(0);
    }
    let failed = |error| engine_failure(&error);
    let place = location.place();
    for guest in guest::list(&place).map_err(failed)? {
        if guest.status == guest::Status::Exited {
            guest::remove(&place, &guest.record.id, Removal::default()).map_err(failed)?;
            output::data(format_args!("container/{} deleted\n", guest.record.name));
        }
    }
    let mut pruned = guest::prune(&place, scope).map_err(failed)?;
    pruned
        .guests
        .extend(insula_node::oci::prune().map_err(failed)?);
    for id in &pruned.guests {
        output::data(format_args!("container/{id} cleaned\n"));
    }
    for id in &pruned.images.deleted {
        output::data(format_args!("image/{id} deleted\n"));
    }
    output::talk(format_args!(
        "freed {}, and {} leftovers of killed processes",
        text::size(pruned.images.freed_bytes),
        pruned.names + pruned.images.leftovers
    ));
    Ok(0)
}
