//! `insula exec` and `insula shell`: another program in a guest.

use std::path::PathBuf;

use insula_node::guest::{self, ExecRequest};

use super::run::environment;
use super::store::{Location, engine_failure};
use crate::Failure;

/// Run a command in a container that runs
#[derive(Debug, clap::Args)]
#[command(override_usage = "insula exec [OPTION...] CONTAINER COMMAND...")]
#[command(after_help = "\
The exit code is the command's; 126 and 127 as for: insula help exit-codes

Examples:
  insula exec web cat /etc/hostname
  insula exec -it web bash
  insula exec -u www-data -w /srv web ls")]
pub(super) struct Arguments {
    /// The container, then the command and its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true)]
    #[arg(value_name = "CONTAINER COMMAND")]
    container_and_command: Vec<String>,

    /// Pass stdin on to the command
    #[arg(short, long)]
    interactive: bool,

    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,

    /// Do not wait for it
    #[arg(short, long)]
    detach: bool,

    /// Set a variable; NAME alone passes the caller's value
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,

    /// Read variables from a file, one NAME=VALUE per line
    #[arg(long = "env-file", value_name = "FILE")]
    environment_files: Vec<PathBuf>,

    /// User name or number, and group [default: the container's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// Working directory [default: the container's]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// With every capability
    #[arg(long)]
    privileged: bool,
}

/// Open the best shell that a container has
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula shell web")]
pub(super) struct ShellArguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    /// User name or number, and group [default: the container's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let mut words = arguments.container_and_command.into_iter();
    let name = words.next().unwrap_or_default();
    let request = ExecRequest {
        command: words.skip_while(|word| word == "--").collect(),
        environment: environment(&arguments.environment_files, &arguments.environment)?,
        user: arguments.user,
        working_directory: arguments.workdir,
        terminal: arguments.tty,
        interactive: arguments.interactive,
        detach: arguments.detach,
        privileged: arguments.privileged,
    };
    carry_out(&name, &request, location)
}

pub(super) fn run_shell(arguments: ShellArguments, location: &Location) -> Result<u8, Failure> {
    // The shell that is there says which it is: no program of ours runs in the container.
    const CHOOSE: &str = "for shell in \"$SHELL\" /bin/bash /usr/bin/bash /bin/zsh /bin/ash; do \
        [ -x \"$shell\" ] && exec \"$shell\" -l; done; exec /bin/sh -l";
    let request = ExecRequest {
        command: ["/bin/sh", "-c", CHOOSE].map(str::to_owned).to_vec(),
        user: arguments.user,
        terminal: true,
        interactive: true,
        ..ExecRequest::default()
    };
    carry_out(&arguments.container, &request, location)
}

fn carry_out(name: &str, request: &ExecRequest, location: &Location) -> Result<u8, Failure> {
    let code = guest::exec(&location.place(), name, request).map_err(|error| {
        let failure = engine_failure(&error);
        match guest::exit_code(&error) {
            125 => failure,
            code => failure.with_exit_code(code),
        }
    })?;
    // Exit codes of processes have eight bits.
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
