//! `events`: a container's figures and out-of-memory events, one JSON object per line.
//!
//! One poll waits for all: the next set of figures, a signal of the memory controller, the end of
//! the container.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use insula_container::Container;
use insula_container::cgroup::{Cgroup, OomEvent, OomWatch, Stats};
use insula_container::format::Status;
use insula_sys::Errno;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::failure::{Failure, Result};
use super::invocation::Invocation;
use super::log::{Level, Log};
use super::{engine, output};

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

pub(crate) fn events(invocation: &Invocation<'_>, log: &Log) -> Result<u8> {
    let interval = match invocation.parsed.text("interval")? {
        None => Duration::from_secs(5),
        Some(text) => parse_duration(text).ok_or_else(|| {
            Failure::new(format!("option --interval: `{text}` is not a duration"))
                .hint("such as 5s, 500ms or 1m30s")
        })?,
    };
    if interval.is_zero() {
        return Err(Failure::new("duration interval must be greater than 0"));
    }
    let container = engine::container(invocation)?;
    let id = &container.record.id;
    if container.status() == Status::Stopped {
        return Err(Failure::new(format!(
            "container with id {id} is not running"
        )));
    }
    let cgroup = container.control_group()?;
    if invocation.parsed.flag("stats") {
        print(&Event {
            kind: "stats",
            id,
            data: Some(&cgroup.stats()?),
        })?;
        return Ok(0);
    }
    let watch = cgroup.watch_oom().inspect_err(|error| {
        log.write(Level::Warning, &error.chain(), error.hint_text());
    });
    follow(&container, &cgroup, watch.ok(), interval, log)
}

/// Until the container ends.
fn follow(
    container: &Container,
    cgroup: &Cgroup,
    mut watch: Option<OomWatch>,
    interval: Duration,
    log: &Log,
) -> Result<u8> {
    let id = &container.record.id;
    let Ok(pidfd) = container.pidfd() else {
        return Ok(0);
    };
    let mut next = Instant::now() + interval;
    loop {
        let (is_oom, is_over) = wait(&pidfd, watch.as_ref(), next)?;
        if is_oom && let Some(signalled) = &mut watch {
            match signalled.take()? {
                OomEvent::Oom => print(&Event {
                    kind: "oom",
                    id,
                    data: None,
                })?,
                OomEvent::Nothing => {}
                OomEvent::Gone => watch = None,
            }
            // What killed the container is told before its end.
            continue;
        }
        if is_over {
            return Ok(0);
        }
        match cgroup.stats() {
            Ok(stats) => print(&Event {
                kind: "stats",
                id,
                data: Some(&stats),
            })?,
            Err(error) => log.write(Level::Error, &error.chain(), error.hint_text()),
        }
        next += interval;
    }
}

/// Whether memory has a word, and whether the container is over; neither at the time given.
fn wait(pidfd: &OwnedFd, watch: Option<&OomWatch>, until: Instant) -> Result<(bool, bool)> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left)
            .map_err(|_error| Failure::new("option --interval: the time is too long"))?;
        let mut fds = vec![PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        fds.extend(watch.map(|watch| PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)));
        match poll(&mut fds, Some(&left)) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::new(format!("wait for events: {errno}"))),
            Ok(_) => {
                let ready = |index: usize| {
                    fds.get(index)
                        .is_some_and(|fd: &PollFd<'_>| !fd.revents().is_empty())
                };
                return Ok((ready(1), ready(0)));
            }
        }
    }
}

fn print(event: &Event<'_>) -> Result<()> {
    let mut line = serde_json::to_vec(event)
        .map_err(|error| Failure::new(format!("write an event: {error}")))?;
    line.push(b'\n');
    output::print(&line)
}

/// Go's form of durations (`1m30s`, `500ms`, `1.5s`); a bare number is seconds.
fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(unit);
        let end = after
            .find(|char: char| char.is_ascii_digit() || char == '.')
            .unwrap_or(after.len());
        let seconds = match &after[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = &after[end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_duration;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, milliseconds) in [
            ("5", Some(5000)),
            ("5s", Some(5000)),
            ("500ms", Some(500)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("-5s", None),
        ] {
            let expected = milliseconds.map(Duration::from_millis);
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
