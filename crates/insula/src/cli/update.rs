//! `insula update`: other limits and policies for guests that are there.

use insula_node::guest::{self, Change};
use insula_node::run::RestartPolicy;

use super::each::each;
use super::store::Location;
use super::value;
use crate::Failure;

/// Change limits and the restart policy of containers, at once where they run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  insula update --cpus 2 -m 1g web\n  insula update --restart no web"
)]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,

    /// How many processors' time, for example 1.5
    #[arg(long = "cpus", value_name = "NUMBER", value_parser = value::cpus)]
    cpu_millis: Option<u64>,

    /// How much memory, for example 512m
    #[arg(short, long = "memory", value_name = "SIZE", value_parser = value::bytes)]
    memory_bytes: Option<u64>,

    /// How many processes and threads
    #[arg(long = "pids-limit", value_name = "NUMBER")]
    pids: Option<u64>,

    #[arg(help = "When to start it again: no, always, unless-stopped, on-failure[:COUNT]")]
    #[arg(long, value_name = "POLICY", value_parser = value::restart)]
    restart: Option<RestartPolicy>,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let change = Change {
        cpu_millis: arguments.cpu_millis,
        memory_bytes: arguments.memory_bytes,
        pids: arguments.pids,
        restart: arguments.restart,
    };
    let is_nothing = change.cpu_millis.is_none()
        && change.memory_bytes.is_none()
        && change.pids.is_none()
        && change.restart.is_none();
    if is_nothing {
        return Err(Failure::usage("nothing to change was given").hint("insula update --help"));
    }
    let place = location.place();
    each(&arguments.containers, |name| {
        guest::update(&place, name, &change).map(|_| Some("updated"))
    })
}
