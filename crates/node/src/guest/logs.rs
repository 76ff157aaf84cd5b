//! What a guest has written.

use std::os::fd::{AsFd, OwnedFd};

use insula_container::error::{Context, Error, Result};
use insula_sys::rustix::process::{Pid, PidfdFlags, pidfd_open};
use insula_sys::rustix::stdio::{stderr, stdout};

use super::find::{Guest, find};
use super::format::LogFailure;
use super::live;
use super::place::Place;
use crate::guest_log::{LogReader, Selection, Show};
use crate::run::LogDriver;

/// How a log is shown.
#[derive(Debug, Clone, Copy)]
pub struct LogRequest {
    pub selection: Selection,
    /// The time before each line.
    pub timestamps: bool,
    /// Goes on until the guest has ended.
    pub follow: bool,
}

/// Writes a guest's output to ours. Gives what could not be kept of it, if something could not.
///
/// # Errors
/// There is none of this name, its output is not kept, or the log cannot be read.
pub fn logs(place: &Place, name: &str, request: &LogRequest) -> Result<Option<LogFailure>> {
    let guest = find(place, name)?;
    let record = &guest.record;
    if record.config.log.driver == LogDriver::None {
        return Err(
            Error::new(format!("the output of `{}` is not kept", record.name))
                .hint("it was made with --log-driver none"),
        );
    }
    let failure = guest
        .state
        .as_ref()
        .and_then(|state| state.log_failure.clone());
    let directory = place.log(&record.id);
    if !directory.exists() && !request.follow {
        return Ok(failure);
    }
    // Before it is started, a guest has no log to be watched.
    live::make_directory(&directory)?;
    let mut reader = LogReader::open(&directory)?;
    let ended = request.follow.then(|| end_of(&guest)).transpose()?;
    let show = Show {
        selection: request.selection,
        timestamps: request.timestamps,
        stdout: stdout(),
        stderr: stderr(),
        follow: ended.as_ref().map(AsFd::as_fd),
    };
    show.run(&mut reader)?;
    Ok(failure)
}

/// Becomes readable when nobody writes the log any more: the monitor's end. For a guest at rest it
/// is readable already.
fn end_of(guest: &Guest) -> Result<OwnedFd> {
    let step = || "watch the guest's monitor";
    let monitor = guest.state.as_ref().map(|state| state.monitor);
    let pid = monitor.and_then(|monitor| Pid::from_raw(monitor.pid));
    let opened = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    match opened {
        Some(pidfd) => Ok(pidfd),
        None => {
            // The reading end of a pipe without a writer.
            let (end, _) = insula_sys::rustix::pipe::pipe().step(step)?;
            Ok(end)
        }
    }
}
