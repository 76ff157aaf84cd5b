//! The second holder of a guest's descriptors: a copy of the monitor that sleeps until the monitor
//! is gone. Was it killed, the copy starts a new monitor and hands it what it holds, so that the
//! guest keeps its terminal and its output has a reader.
//!
//! It also answers what the guest reads of its own view of `/proc`, where it has one: whichever of
//! the two is killed, the other has the connection, and reads wait for the next who answers.
//!
//! It costs the pages that the monitor changes after the copy was made, and nothing else.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::descriptor::close_copies_but;
use insula_sys::fuse::Connection;
use insula_sys::process::{
    Child, clone3, execve, exit_now, pidfd_send_signal, release_program_pages, wait,
};
use insula_sys::rustix::event::{PollFd, PollFlags, poll};
use insula_sys::rustix::io::{FdFlags, fcntl_setfd};
use insula_sys::rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::super::place::Place;
use super::{ROLE, START_ADOPT, view, words};
use crate::proc_view::Attendant;

/// What the connection of the guest's view of `/proc` is called among the descriptors.
pub(super) const VIEW: &str = "view";

/// The sleeping copy. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) child: Child,
    /// Input does not end for the guest while anybody holds this end of it.
    pub(super) holds_input: bool,
}

impl Holder {
    /// Makes the copy, which keeps `held` by their names and serves the view of the guest whose
    /// first process is given with it. This process must have one thread.
    pub(super) fn start<'a>(
        place: &Place,
        id: &str,
        held: impl Iterator<Item = (&'static str, &'a OwnedFd)>,
        view: Option<(&Connection, i32)>,
    ) -> Result<Self> {
        let step = || "start the process that holds the guest's descriptors";
        let monitor = pidfd_open(getpid(), PidfdFlags::empty()).step(step)?;
        let mut held: Vec<(&str, BorrowedFd<'_>)> =
            held.map(|(name, fd)| (name, fd.as_fd())).collect();
        let holds_input = held.iter().any(|(name, _)| *name == "input");
        held.extend(view.map(|(connection, _)| (VIEW, connection.as_fd())));
        let command = command(place, id, &held);
        // A view that cannot be served is still held, for the next who tries.
        let attendant = view
            .and_then(|(connection, pid)| view::attendant(place, id, Some(pid), connection).ok());
        let body = move || hold(&monitor, &held, attendant, &command);
        let child = clone3(0, None, body).step(step)?;
        Ok(Self { child, holds_input })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have been killed; then it only waits to be reaped.
        let _ = pidfd_send_signal(self.child.pidfd.as_fd(), 9);
        let _ = wait(self.child.pidfd.as_fd());
    }
}

/// The command line of a monitor that takes over.
fn command(place: &Place, id: &str, held: &[(&str, BorrowedFd<'_>)]) -> Vec<CString> {
    let mut command = vec![b"insula".to_vec(), ROLE.as_bytes().to_vec()];
    command.extend(words(place, id, START_ADOPT).map(|word| word.as_bytes().to_vec()));
    let numbers = held
        .iter()
        .map(|(name, fd)| format!("{name}={}", fd.as_raw_fd()).into_bytes());
    command.extend(numbers);
    // Arguments of this process have no zero byte inside.
    command
        .into_iter()
        .filter_map(|word| CString::new(word).ok())
        .collect()
}

fn hold(
    monitor: &OwnedFd,
    held: &[(&str, BorrowedFd<'_>)],
    attendant: Option<Attendant>,
    command: &[CString],
) -> Infallible {
    let mut kept: Vec<RawFd> = held.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
    kept.push(monitor.as_raw_fd());
    kept.extend(attendant.as_ref().map(|it| it.as_fd().as_raw_fd()));
    if close_copies_but(&mut kept).is_err() {
        exit_now(1);
    }
    // It needs next to nothing for as long as the guest lives.
    release_program_pages();
    if let Some(mut attendant) = attendant {
        view::serve_until(Some(monitor.as_fd()), &mut attendant);
    }
    let mut fds = [PollFd::from_borrowed_fd(monitor.as_fd(), PollFlags::IN)];
    while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
    for (_, fd) in held {
        if fcntl_setfd(fd, FdFlags::empty()).is_err() {
            exit_now(1);
        }
    }
    let _ = execve(&CString::from(c"/proc/self/exe"), command, &[]);
    exit_now(1)
}
