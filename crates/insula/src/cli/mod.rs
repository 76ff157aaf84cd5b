//! The command line: one file per command, this one for what they share.
//!
//! ```text
//!  argv ──▶ parser() ──▶ Command ──▶ <command>.rs: run() ──▶ exit code
//!              └─ error ─▶ mistake.rs: what was meant ─▶ Failure ─▶ stderr, code 2
//! ```
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not permitted, 5 conflict, 6 unreachable;
//! `run` ends as the command ended, or 125, 126, 127.

mod attach;
mod commit;
mod completion;
mod cp;
mod create;
mod df;
mod diff;
mod doctor;
mod each;
mod events;
mod exec;
mod export;
mod generate;
mod help;
mod image;
mod images;
mod info;
mod inspect;
mod kill;
mod login;
mod logout;
mod logs;
mod mistake;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod registry;
mod rename;
mod restart;
mod resume;
mod rm;
mod rmi;
mod run;
mod start;
mod stats;
mod stop;
mod store;
mod system;
mod tag;
mod text;
mod top;
mod update;
mod value;
mod version;
mod volume;
mod wait;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::output::{self, Colour};
use crate::{Failure, completion as complete, help as help_text};

/// Runs OCI workloads behind a wall of your choice: one static binary, no daemon.
#[derive(Debug, Parser)]
#[command(name = "insula", version, disable_help_subcommand = true)]
#[command(
    subcommand_required = true,
    arg_required_else_help = false,
    max_term_width = 100
)]
pub struct Arguments {
    /// When to colour output: auto, always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true, help_heading = "Options of every command")]
    color: Colour,

    /// Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Options of every command"
    )]
    store: Option<std::path::PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Arguments>),
    Create(Box<create::Arguments>),
    Start(start::Arguments),
    Stop(stop::Arguments),
    Restart(restart::Arguments),
    #[command(visible_alias = "ls")]
    Ps(ps::Arguments),
    Logs(logs::Arguments),
    Stats(stats::Arguments),
    Top(top::Arguments),
    Port(port::Arguments),
    Events(events::Arguments),
    Exec(exec::Arguments),
    Shell(exec::ShellArguments),
    Attach(attach::Arguments),
    Console(attach::ConsoleArguments),
    Pause(pause::Arguments),
    #[command(visible_alias = "unpause")]
    Resume(resume::Arguments),
    Kill(kill::Arguments),
    Wait(wait::Arguments),
    Update(update::Arguments),
    Rename(rename::Arguments),
    Cp(cp::Arguments),
    Diff(diff::Arguments),
    Commit(commit::Arguments),
    Export(export::Arguments),
    Generate(generate::Arguments),
    Rm(rm::Arguments),
    /// Run as an OCI runtime (create, start, state, kill, delete, …)
    // Chosen by `role` before parsing; named here for help, completions and manual pages.
    #[command(disable_help_flag = true)]
    Oci {
        #[arg(
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "ARGUMENT"
        )]
        arguments: Vec<OsString>,
    },
    Pull(pull::Arguments),
    Push(push::Arguments),
    Build(Box<image::build::Arguments>),
    Images(images::Arguments),
    Tag(tag::Arguments),
    Rmi(rmi::Arguments),
    Image(image::Arguments),
    Volume(volume::Arguments),
    Inspect(inspect::Arguments),
    Login(login::Arguments),
    Logout(logout::Arguments),
    Df(df::Arguments),
    Prune(prune::Arguments),
    System(system::Arguments),
    Doctor(doctor::Arguments),
    Info(info::Arguments),
    Version(version::Arguments),
    Completion(completion::Arguments),
    Help(help::Arguments),
}

impl Command {
    /// Whether it works on images or guests: an ordinary user needs the own namespace for that.
    fn needs_store(&self) -> bool {
        !matches!(
            self,
            Self::Oci { .. }
                | Self::Login(_)
                | Self::Logout(_)
                | Self::Doctor(_)
                | Self::Version(_)
                | Self::Completion(_)
                | Self::Help(_)
        )
    }
}

/// The parser, for the program, its completions, its manual pages and its tests.
#[must_use]
pub fn parser() -> clap::Command {
    Arguments::command()
}

/// Parses and runs. `arguments` begins with the program's name.
#[must_use]
pub fn run(arguments: &[OsString]) -> u8 {
    if arguments.get(1).is_some_and(|word| word == complete::ROLE) {
        return complete::answer(&arguments[2..]);
    }
    if let [program, role, manifest, rest @ ..] = arguments
        && role == run::PULLED_ROLE
    {
        let typed: Vec<OsString> = std::iter::once(program).chain(rest).cloned().collect();
        return run_typed(&typed, manifest.to_str());
    }
    run_typed(arguments, None)
}

/// Parses and runs what a person typed. `pulled` is the manifest that a `run` has brought.
fn run_typed(arguments: &[OsString], pulled: Option<&str>) -> u8 {
    let as_json = mistake::wants_json(arguments);
    let outcome = match parse(arguments) {
        Ok(Parsed::Command(parsed)) => {
            output::set_colour(parsed.color);
            dispatch(*parsed, pulled)
        }
        Ok(Parsed::Answered) => return 0,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure, as_json);
            failure.exit_code()
        }
    }
}

enum Parsed {
    Command(Box<Arguments>),
    /// Help or the version was asked for and printed.
    Answered,
}

fn parse(arguments: &[OsString]) -> Result<Parsed, Failure> {
    if arguments.len() < 2 {
        output::talk(help_text::overview());
        return Err(
            Failure::usage("no command was given").hint("for a first container: insula help run")
        );
    }
    let parsed = help_text::with_groups(parser())
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    match parsed {
        Ok(parsed) => Ok(Parsed::Command(Box::new(parsed))),
        Err(error) if error.use_stderr() => Err(mistake::explain(&error, arguments)),
        Err(answer) => {
            output::data(answer.render());
            Ok(Parsed::Answered)
        }
    }
}

/// Names of images, for completion. A store that cannot be read has none: the user is typing.
pub(crate) fn image_names() -> Vec<String> {
    let summaries = store::Location::choose(None)
        .images()
        .list()
        .unwrap_or_default();
    let names = summaries.into_iter().flat_map(|summary| summary.references);
    names.collect()
}

/// Names of guests, for completion.
pub(crate) fn guest_names() -> Vec<String> {
    insula_node::guest::names(&store::Location::choose(None).place())
}

fn dispatch(arguments: Arguments, pulled: Option<&str>) -> Result<u8, Failure> {
    let store = store::Location::choose(arguments.store);
    if arguments.command.needs_store() {
        insula_node::rootless::enter().map_err(|error| store::engine_failure(&error))?;
    }
    match arguments.command {
        Command::Oci { .. } => Err(Failure::usage("`oci` must be the first word")
            .hint("options of Insula itself do not apply to it: insula oci help")),
        Command::Run(arguments) => match pulled {
            Some(manifest) => run::run_pulled(*arguments, manifest, &store),
            None => run::run(*arguments, &store),
        },
        Command::Create(arguments) => create::run(*arguments, &store),
        Command::Start(arguments) => start::run(&arguments, &store),
        Command::Stop(arguments) => stop::run(&arguments, &store),
        Command::Restart(arguments) => restart::run(&arguments, &store),
        Command::Ps(arguments) => ps::run(&arguments, &store),
        Command::Stats(arguments) => stats::run(&arguments, &store),
        Command::Top(arguments) => top::run(&arguments, &store),
        Command::Port(arguments) => port::run(&arguments, &store),
        Command::Logs(arguments) => logs::run(&arguments, &store),
        Command::Events(arguments) => events::run(&arguments, &store),
        Command::Exec(arguments) => exec::run(arguments, &store),
        Command::Shell(arguments) => exec::run_shell(arguments, &store),
        Command::Attach(arguments) => attach::run(arguments, &store),
        Command::Console(arguments) => attach::run_console(&arguments, &store),
        Command::Pause(arguments) => pause::run(&arguments, &store),
        Command::Resume(arguments) => resume::run(&arguments, &store),
        Command::Kill(arguments) => kill::run(&arguments, &store),
        Command::Wait(arguments) => wait::run(&arguments, &store),
        Command::Update(arguments) => update::run(&arguments, &store),
        Command::Rename(arguments) => rename::run(&arguments, &store),
        Command::Cp(arguments) => cp::run(&arguments, &store),
        Command::Diff(arguments) => diff::run(&arguments, &store),
        Command::Commit(arguments) => commit::run(arguments, &store),
        Command::Export(arguments) => export::run(&arguments, &store),
        Command::Generate(arguments) => generate::run(&arguments, &store),
        Command::Rm(arguments) => rm::run(&arguments, &store),
        Command::Prune(arguments) => prune::run(&arguments, &store),
        Command::Pull(arguments) => pull::run(&arguments, &store),
        Command::Push(arguments) => push::run(&arguments, &store),
        Command::Login(arguments) => login::run(&arguments),
        Command::Logout(arguments) => logout::run(&arguments),
        Command::Build(arguments) => image::build::run(*arguments, &store),
        Command::Images(arguments) => images::run(&arguments, &store),
        Command::Tag(arguments) => tag::run(&arguments, &store),
        Command::Df(arguments) => df::run(&arguments, &store),
        Command::System(arguments) => system::run(&arguments, &store),
        Command::Rmi(arguments) => rmi::run(&arguments, &store),
        Command::Image(arguments) => image::run(arguments, &store),
        Command::Volume(arguments) => volume::run(arguments, &store),
        Command::Inspect(arguments) => inspect::run(&arguments, &store),
        Command::Doctor(arguments) => doctor::run(&arguments, &store),
        Command::Info(arguments) => info::run(&arguments, &store),
        Command::Version(arguments) => version::run(&arguments),
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Help(arguments) => help::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_sound() {
        parser().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in parser()
            .get_subcommands()
            .filter(|command| command.get_name() != "oci")
        {
            assert!(
                command.get_after_help().is_some(),
                "`{}` shows no example",
                command.get_name()
            );
        }
    }
}
