//! `create`, `run`, `start`: from a bundle to a running program.

use std::path::{Path, PathBuf};

use insula_container::{CreateOptions, Source};

use super::engine;
use super::failure::{Failure, Result};
use super::invocation::Invocation;

pub(crate) fn create(invocation: &Invocation<'_>) -> Result<u8> {
    engine::runtime(invocation)?.create(&options(invocation)?)?;
    Ok(0)
}

/// Gives the exit code of the program, or 0 when detached.
pub(crate) fn run(invocation: &Invocation<'_>) -> Result<u8> {
    let parsed = &invocation.parsed;
    let runtime = engine::runtime(invocation)?;
    let (detach, keep) = (parsed.flag("detach"), parsed.flag("keep"));
    let code = runtime.run(&options(invocation)?, detach, keep)?;
    Ok(exit_code(code))
}

pub(crate) fn start(invocation: &Invocation<'_>) -> Result<u8> {
    engine::runtime(invocation)?.start(invocation.id()?)?;
    Ok(0)
}

/// Codes of programs fit in eight bits.
pub(crate) fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn options(invocation: &Invocation<'_>) -> Result<CreateOptions> {
    let parsed = &invocation.parsed;
    let given = parsed.value("bundle").unwrap_or_else(|| ".".as_ref());
    let bundle = std::path::absolute(given)
        .map_err(|error| Failure::new(format!("bundle {}: {error}", given.display())))?;
    let mut options = CreateOptions::new(invocation.id()?, bundle);
    if let Some(file) = parsed.value("config") {
        options.source = Source::File(options.bundle.join(file));
    }
    options.console_socket = path(invocation, "console-socket");
    options.pidfd_socket = path(invocation, "pidfd-socket");
    options.pid_file = path(invocation, "pid-file");
    options.no_pivot = parsed.flag("no-pivot");
    options.no_new_keyring = parsed.flag("no-new-keyring");
    options.preserve_fds = parsed.number("preserve-fds")?.unwrap_or(0);
    Ok(options)
}

/// The path given to an option; an empty one is as good as none.
pub(crate) fn path(invocation: &Invocation<'_>, option: &'static str) -> Option<PathBuf> {
    let value = invocation.parsed.value(option)?;
    (!value.is_empty()).then(|| Path::new(value).to_owned())
}
