//! `kill`, `delete`, `pause`, `resume`: acting on containers that are there.

use insula_container::Runtime;
use insula_sys::regex::Regex;

use super::failure::{Failure, Result};
use super::invocation::Invocation;
use super::log::{Level, Log};
use super::{engine, signal};

pub(crate) fn kill(invocation: &Invocation<'_>) -> Result<u8> {
    let signal = match invocation.argument(1)? {
        None | Some("") => signal::parse("TERM")?,
        Some(text) => signal::parse(text)?,
    };
    let all = invocation.parsed.flag("all");
    each(invocation, |runtime, id| {
        Ok(runtime.load(id)?.kill(signal, all)?)
    })
}

pub(crate) fn delete(invocation: &Invocation<'_>, log: &Log) -> Result<u8> {
    let force = invocation.parsed.flag("force");
    each(invocation, |runtime, id| {
        for warning in runtime.delete(id, force)? {
            log.write(Level::Warning, &warning.chain(), warning.hint_text());
        }
        Ok(())
    })
}

pub(crate) fn pause(invocation: &Invocation<'_>) -> Result<u8> {
    engine::container(invocation)?.pause()?;
    Ok(0)
}

pub(crate) fn resume(invocation: &Invocation<'_>) -> Result<u8> {
    engine::container(invocation)?.resume()?;
    Ok(0)
}

/// Does it to the container, or with `--regex` to all that match: one failure does not spare the
/// others, and the first is the one to tell.
fn each(invocation: &Invocation<'_>, action: impl Fn(&Runtime, &str) -> Result<()>) -> Result<u8> {
    let runtime = engine::runtime(invocation)?;
    let id = invocation.id()?;
    if !invocation.parsed.flag("regex") {
        action(&runtime, id)?;
        return Ok(0);
    }
    let pattern = Regex::new(id)
        .map_err(|reason| Failure::new(format!("regular expression `{id}`: {reason}")))?;
    let mut first = None;
    for container in runtime.list()? {
        let id = &container.record.id;
        if pattern.is_match(id)
            && let Err(failure) = action(&runtime, id)
        {
            first = first.or(Some(failure));
        }
    }
    first.map_or(Ok(0), Err)
}
