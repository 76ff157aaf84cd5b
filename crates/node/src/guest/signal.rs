//! Verbs that end a guest, hold it, or wait for it.

use insula_container::cgroup::Manager;
use insula_container::error::{Context, Error, Result};
use insula_sys::rustix::event::{Timespec, poll};

use super::attach::{ask, hear_end};
use super::find::{Guest, Status, find};
use super::place::Place;
use super::protocol::Request;
use super::start::start;
use super::{event, live};

/// How to stop a guest.
#[derive(Debug, Clone, Copy, Default)]
pub struct StopRequest {
    /// Instead of its own stop signal.
    pub signal: Option<i32>,
    /// Until it is killed; absent: the guest's own. `Some(None)` waits for ever.
    pub timeout_s: Option<Option<u32>>,
}

impl StopRequest {
    fn of(self, guest: &Guest, restart: bool) -> Request {
        let own = Some(guest.record.config.stop_timeout_s);
        Request::Stop {
            signal: self.signal,
            timeout_ms: self.timeout_s.unwrap_or(own).map(|s| u64::from(s) * 1000),
            restart,
        }
    }
}

/// Asks a guest's monitor. `None` when the guest has just ended.
pub(super) fn ask_monitor(place: &Place, guest: &Guest, request: Request) -> Result<Option<()>> {
    let answer = live::connect(&place.live(&guest.record.id))
        .and_then(|mut socket| ask(&mut socket, request));
    match answer {
        Ok(()) => Ok(Some(())),
        // It may have ended between the look and the question.
        Err(error) => match find(place, &guest.record.id) {
            Ok(now) if now.status.is_up() => Err(error),
            _ => Ok(None),
        },
    }
}

/// Stops a guest and waits until it has ended. True when it was up.
///
/// # Errors
/// There is none of this name.
pub fn stop(place: &Place, name: &str, request: StopRequest) -> Result<bool> {
    let guest = find(place, name)?;
    if !guest.status.is_up() {
        return Ok(false);
    }
    event::tell(place, &guest.record, "stop", &[]);
    ask_monitor(place, &guest, request.of(&guest, false))?;
    Ok(true)
}

/// Stops a guest that is up, and starts it.
///
/// # Errors
/// There is none of this name, or it cannot be started.
pub fn restart(place: &Place, name: &str, request: StopRequest) -> Result<()> {
    let guest = find(place, name)?;
    if guest.status.is_up() && ask_monitor(place, &guest, request.of(&guest, true))?.is_some() {
        return Ok(());
    }
    start(place, name).map(drop)
}

/// Sends a signal to a guest's first process.
///
/// # Errors
/// There is none of this name, or it does not run.
pub fn kill(place: &Place, name: &str, number: i32) -> Result<()> {
    let guest = find(place, name)?;
    match guest.status {
        Status::Running | Status::Paused | Status::Starting => {}
        _ => return Err(live::not_running(&guest.record.name)),
    }
    match ask_monitor(place, &guest, Request::Signal { number })? {
        Some(()) => Ok(()),
        None => Err(live::not_running(&guest.record.name)),
    }
}

/// Freezes all processes of a guest.
///
/// # Errors
/// It does not run, or is paused already.
pub fn pause(place: &Place, name: &str) -> Result<()> {
    let guest = find(place, name)?;
    match guest.status {
        Status::Running => {}
        Status::Paused => {
            return Err(Error::new(format!(
                "`{}` is paused already",
                guest.record.name
            )));
        }
        _ => return Err(live::not_running(&guest.record.name)),
    }
    if place.manager == Manager::Disabled {
        return Err(Error::new(format!(
            "`{}` cannot be paused: it has no cgroup",
            guest.record.name
        ))
        .hint("guests of an ordinary user have none; run it as root"));
    }
    place.runtime().load(&guest.record.id)?.pause()?;
    event::tell(place, &guest.record, "pause", &[]);
    Ok(())
}

/// Lets a paused guest go on.
///
/// # Errors
/// It is not paused.
pub fn resume(place: &Place, name: &str) -> Result<()> {
    let guest = find(place, name)?;
    if guest.status != Status::Paused {
        return Err(Error::new(format!("`{}` is not paused", guest.record.name)));
    }
    place.runtime().load(&guest.record.id)?.resume()?;
    event::tell(place, &guest.record, "unpause", &[]);
    Ok(())
}

/// Waits until a guest has ended for good, and gives its exit code, if anybody knows it.
///
/// # Errors
/// There is none of this name.
pub fn wait(place: &Place, name: &str) -> Result<Option<i32>> {
    loop {
        let guest = find(place, name)?;
        if !guest.status.is_up() {
            return Ok(guest.exit_code());
        }
        if let Ok(mut socket) = live::connect(&place.live(&guest.record.id))
            && ask(&mut socket, Request::Wait).is_ok()
        {
            return hear_end(place, &guest.record.id, socket);
        }
        // It is just starting, or its monitor was just killed.
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 5_000_000,
        };
        poll(&mut [], Some(&moment)).step(|| "wait for the guest's monitor")?;
    }
}
