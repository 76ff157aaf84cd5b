//! `insula attach` and `insula console`: the streams of a guest that is up.

use insula_node::guest::{self, AttachOptions, Finished};

use super::store::{Location, engine_failure};
use super::value;
use crate::{Failure, output};

/// Take part in a container: its output comes here, our input goes there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a terminal ctrl-p ctrl-q leaves and the container goes on.

Examples:
  insula attach box
  insula attach --no-stdin web")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    /// Do not give it our input
    #[arg(long)]
    no_stdin: bool,

    /// Pass signals on to it [default: true]
    #[arg(long, value_name = "BOOL", default_value_t = true)]
    #[arg(action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    #[arg(
        require_equals = true,
        hide_default_value = true,
        hide_possible_values = true
    )]
    sig_proxy: bool,

    /// The keys that leave
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = value::keys)]
    detach_keys: value::Keys,
}

/// Work at the console of a whole system; ctrl-] leaves
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula console box")]
pub(super) struct ConsoleArguments {
    /// Name, or identifier (its first digits are enough)
    container: String,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let options = AttachOptions {
        input: !arguments.no_stdin,
        signals: arguments.sig_proxy,
        detach_keys: arguments.detach_keys.0,
    };
    join(&arguments.container, location, &options)
}

pub(super) fn run_console(
    arguments: &ConsoleArguments,
    location: &Location,
) -> Result<u8, Failure> {
    const RIGHT_BRACKET: u8 = 0x1d;
    output::talk("the console; ctrl-] leaves");
    let options = AttachOptions {
        detach_keys: vec![RIGHT_BRACKET],
        ..AttachOptions::default()
    };
    join(&arguments.container, location, &options)
}

fn join(name: &str, location: &Location, options: &AttachOptions) -> Result<u8, Failure> {
    let parting =
        guest::attach(&location.place(), name, options).map_err(|error| engine_failure(&error))?;
    Ok(finish(&Finished::from(parting)))
}

/// What to end with after a guest, and what is to be said about it.
pub(super) fn finish(finished: &Finished) -> u8 {
    if let Some(text) = &finished.left_behind {
        output::talk(format_args!("warning: {text}"));
    }
    if finished.is_detached {
        output::talk("left; the container goes on");
    }
    match finished.code {
        // Exit codes of processes have eight bits.
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
        None => {
            output::talk("warning: its monitor was killed, and its exit code is unknown");
            125
        }
    }
}
