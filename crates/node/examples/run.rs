//! Runs an image without the command line of people, for measuring what the engine alone costs and
//! for its tests: `run STORE IMAGE [KEY=VALUE…] -- COMMAND…`.
//!
//! Keys: env, host, interactive, keep, memory, name, security, terminal, read-only, user, volume,
//! workdir.

use std::io::Write as _;
use std::process::ExitCode;

use insula_node::guest::{AttachOptions, exit_code, run};
use insula_node::run::{Network, RunOptions, Volume};

fn main() -> ExitCode {
    // The guest's monitor is this program, too.
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(code) = insula_node::role::role(&words) {
        return ExitCode::from(code);
    }
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(image)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let mut options = RunOptions::new(store, image);
    options.remove = true;
    for argument in arguments.by_ref().take_while(|argument| argument != "--") {
        if !set(&mut options, &argument) {
            let _ = writeln!(std::io::stderr(), "unknown key in {argument}");
            return ExitCode::from(2);
        }
    }
    options.command = arguments.collect();
    match run(&options, &AttachOptions::default(), &mut |_id| {}) {
        Ok(finished) => {
            let code = finished.code.and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.unwrap_or(u8::MAX))
        }
        Err(error) => {
            let hint = error.hint_text().unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "error: {}\nhint: {hint}", error.chain());
            ExitCode::from(exit_code(&error))
        }
    }
}

fn set(options: &mut RunOptions, argument: &str) -> bool {
    let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
    match key {
        "env" => options.environment.push(value.to_owned()),
        "host" => options.network = Network::Host,
        "interactive" => options.interactive = true,
        "keep" => options.remove = false,
        "memory" => options.memory_bytes = value.parse().ok(),
        "name" => options.name = Some(value.to_owned()),
        "security" => options.security.push(value.to_owned()),
        "terminal" => options.terminal = true,
        "read-only" => options.read_only = true,
        "user" => options.user = Some(value.to_owned()),
        "volume" => {
            let parts: Vec<&str> = value.split(':').collect();
            options.volumes.push(Volume {
                source: parts[0].into(),
                destination: parts.get(1).copied().unwrap_or_default().into(),
                options: parts[2..].iter().map(|part| (*part).to_owned()).collect(),
            });
        }
        "workdir" => options.working_directory = Some(value.into()),
        _ => return false,
    }
    true
}
