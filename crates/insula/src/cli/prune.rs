//! `insula prune`: removes what killed processes left behind.

use insula_node::guest;
use insula_node::image::PruneScope;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Remove what killed processes left: mounts, cgroups, half-made files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing that is in use or was kept on purpose is removed, so nobody is asked.
Images are removed by: insula image prune

Examples:
  insula prune")]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let mut pruned = guest::prune(&location.place(), PruneScope::Leftovers)
        .map_err(|error| engine_failure(&error))?;
    pruned
        .guests
        .extend(insula_node::oci::prune().map_err(|error| engine_failure(&error))?);
    for id in &pruned.guests {
        output::data(format_args!("container/{id} cleaned\n"));
    }
    let count = pruned.guests.len() + pruned.names + pruned.images.leftovers;
    if count == 0 {
        output::talk("nothing was left behind");
    } else {
        output::talk(format_args!(
            "removed what was left of {} containers, {} names, {} imports",
            pruned.guests.len(),
            pruned.names,
            pruned.images.leftovers
        ));
    }
    Ok(0)
}
