//! Who answers what a guest reads of its own view of `/proc`: while its program is being started a
//! process of its own, then the holder of its descriptors (`holder.rs`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use insula_container::error::{Context, Result};
use insula_sys::descriptor::close_copies_but;
use insula_sys::fuse::Connection;
use insula_sys::process::{Child, clone3, exit_now, release_program_pages, wait};
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::io::{read, write};
use insula_sys::rustix::pipe::{PipeFlags, pipe_with};

use super::super::place::Place;
use crate::proc_view::{Attendant, ViewOptions};

/// Without questions for so long, none is expected soon.
const REST: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// One who answers for this guest, whose first process may not be there yet.
pub(super) fn attendant(
    place: &Place,
    id: &str,
    pid: Option<i32>,
    connection: &Connection,
) -> Result<Attendant> {
    let record = {
        let (runtime, id) = (place.runtime(), id.to_owned());
        move || runtime.load(&id).ok().map(|container| container.record)
    };
    let init = record.clone();
    let options = ViewOptions {
        cgroup: Box::new(move || record()?.cgroup),
        init: Box::new(move || pid.or_else(|| Some(init()?.pid))),
    };
    Attendant::new(options, connection)
}

/// Answers until there is something at `stop`, or the view is gone.
pub(super) fn serve_until(stop: Option<BorrowedFd<'_>>, attendant: &mut Attendant) {
    let mut is_resting = false;
    loop {
        let limit = match is_resting {
            true => attendant.next_sample(),
            false => Some(REST),
        };
        let (count, is_over) = {
            let mut fds = vec![PollFd::from_borrowed_fd(attendant.as_fd(), PollFlags::IN)];
            fds.extend(stop.map(|stop| PollFd::from_borrowed_fd(stop, PollFlags::IN)));
            let count = poll(&mut fds, limit.as_ref());
            (count, fds[1..].iter().any(|fd| !fd.revents().is_empty()))
        };
        if is_over || !matches!(attendant.attend(), Ok(true)) {
            return;
        }
        is_resting = count == Ok(0);
        if is_resting {
            release_program_pages();
        }
    }
}

/// Answers until a word comes, and, when whoever would give it is gone, until the end.
fn serve_until_told(stopped: &OwnedFd, attendant: &mut Attendant) {
    serve_until(Some(stopped.as_fd()), attendant);
    if read(stopped, &mut [0; 1]) == Ok(0) {
        serve_until(None, attendant);
    }
}

/// A copy of the monitor that answers while the monitor starts the guest's program, which already
/// looks for the files. Dropping it ends it, between two answers. When the monitor is killed before
/// that, it answers until the guest's end.
#[derive(Debug)]
pub(super) struct Interim {
    child: Child,
    stop: OwnedFd,
}

impl Interim {
    /// This process must have one thread.
    pub(super) fn start(place: &Place, id: &str, connection: &Connection) -> Result<Self> {
        let step = || "start the process that serves the container's view of /proc";
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC).step(step)?;
        let mut attendant = attendant(place, id, None, connection)?;
        let body = move || {
            let mut kept = [stopped.as_raw_fd(), attendant.as_fd().as_raw_fd()];
            if close_copies_but(&mut kept).is_ok() {
                serve_until_told(&stopped, &mut attendant);
            }
            exit_now(0)
        };
        let child = clone3(0, None, body).step(step)?;
        Ok(Self { child, stop })
    }
}

impl Drop for Interim {
    fn drop(&mut self) {
        let _ = write(&self.stop, b".");
        let _ = wait(self.child.pidfd.as_fd());
    }
}
