//! `insula oci`: the command line of an OCI runtime, as runc, crun and youki have it.
//!
//! [`run`] reads global options, the command and its options by the tables of `command.rs`, opens
//! nothing that the command does not need, and turns a failure into one log line and an exit code.
//! Each command stands in the file of its name; all of them meet the engine in `engine.rs`.
//!
//! Exit codes: 0, or 1 for a failure; `run` and `exec` give the code of the process (128+n for a
//! signal), and `exec` gives 255 when it could not start one.

mod command;
mod create;
mod engine;
mod events;
mod exec;
mod failure;
mod features;
mod help;
mod invocation;
mod kill;
mod log;
mod nearest;
mod options;
mod output;
mod process_table;
mod ps;
mod signal;
mod spec;
mod state;
pub(crate) mod time;
mod update;
mod users;

use std::ffi::{OsStr, OsString};

use command::Command;
pub use engine::prune;
use failure::{Failure, Result};
use invocation::{Asked, Invocation};
use log::{Level, Log};
pub(crate) use nearest::nearest;

/// The name and version, as the tools that ask for `--version` read it: three words.
const VERSION: &str = concat!("insula version ", env!("CARGO_PKG_VERSION"), "\nspec: ");

/// The processes with these numbers, as `ps -f` shows them.
pub(crate) fn process_table_of(pids: &[i32]) -> String {
    process_table::Table::read(pids, process_table::FULL).to_string()
}

/// Whether the runtime has a container of this id, in its usual place.
#[must_use]
pub fn exists(id: &OsStr) -> bool {
    let is_plain = !id.is_empty() && !id.as_encoded_bytes().contains(&b'/');
    is_plain && engine::default_root().is_ok_and(|root| root.join(id).join("state.json").exists())
}

/// The number of a signal by its name, with or without `SIG`, or by its number.
///
/// # Errors
/// There is no such signal; the text says which are near.
pub fn parse_signal(text: &str) -> std::result::Result<i32, String> {
    signal::parse(text).map_err(|failure| failure.message)
}

/// Runs the command that `words` (without the program's name) ask for.
pub fn run(words: &[OsString]) -> u8 {
    let mut log = Log::default();
    let mut command = None;
    let done = invocation::read(words, &mut log, &mut command).and_then(|asked| match asked {
        Asked::Version => version(),
        Asked::Help(None) => output::print(help::overview().as_bytes()).map(|()| 0),
        Asked::Help(Some(about)) => output::print(help::command(about).as_bytes()).map(|()| 0),
        Asked::Command(invocation) => invocation.command.run(&invocation, &log),
    });
    match done {
        Ok(code) => code,
        Err(failure) => report(&failure, command, &log),
    }
}

fn report(failure: &Failure, command: Option<&Command>, log: &Log) -> u8 {
    log.write(Level::Error, &failure.message, failure.hint.as_deref());
    if failure.usage {
        let usage = match command {
            Some(command) => help::usage(command),
            None => String::from("usage: insula oci [OPTION...] COMMAND (see: insula oci help)"),
        };
        output::complain(&usage);
    }
    failure.code
}

impl Command {
    fn run(&self, invocation: &Invocation<'_>, log: &Log) -> Result<u8> {
        engine::send_messages_to(log);
        log.write(Level::Debug, self.name, None);
        match self.name {
            "create" => create::create(invocation),
            "start" => create::start(invocation),
            "run" => create::run(invocation),
            "kill" => kill::kill(invocation),
            "delete" => kill::delete(invocation, log),
            "pause" => kill::pause(invocation),
            "resume" => kill::resume(invocation),
            "state" => state::state(invocation),
            "list" => state::list(invocation),
            "exec" => exec::exec(invocation),
            "ps" => ps::ps(invocation),
            "events" => events::events(invocation, log),
            "update" => update::update(invocation),
            "spec" => spec::write(invocation),
            "features" => features::print(),
            "version" => version(),
            name => Err(Failure::new(format!("command {name} is not built in"))),
        }
    }
}

fn version() -> Result<u8> {
    let text = format!("{VERSION}{}\n", insula_container::spec::OCI_VERSION);
    output::print(text.as_bytes()).map(|()| 0)
}
