//! Who serves the layers of a mount: a process of its own, or threads of this one.
//!
//! Either ends by itself when the mount is gone, and keeps nothing of the caller's open: a process
//! holds the layers' files and the connection only.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use insula_sys::descriptor::close_copies_but;
use insula_sys::fuse::serve_by_threads;
use insula_sys::process::{clone3, exit_now, reset_signals};
use insula_sys::rustix::process::{chdir, setsid};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use insula_sys::{Errno, Result as Outcome};

use super::LayerServer;
use crate::error::{Context, Result};

/// Even one processor has something to do while another thread waits for the disk.
const THREADS_MIN: usize = 2;
const THREADS_MAX: usize = 4;

impl LayerServer {
    /// Serves until the mount is gone. The caller must not hold the mount.
    ///
    /// # Errors
    /// The kernel's, where it is not the end.
    pub fn serve(&self) -> Outcome<()> {
        let processors = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
        let threads = processors.clamp(THREADS_MIN, THREADS_MAX);
        serve_by_threads(&self.connection, threads, &self.tree)
    }

    /// Serves in a process of its own, which outlives this one and ends when the mount is gone. A
    /// program with several threads cannot make one: its threads serve, as long as it lives.
    ///
    /// # Errors
    /// Neither a process nor a thread can be made.
    pub fn start(self) -> Result<()> {
        match clone3(0, None, || self.live()) {
            Err(Errno::BUSY) => std::thread::Builder::new()
                .name("file server".to_owned())
                .spawn(move || self.serve())
                .map(drop)
                .step(|| "start a thread that serves layers"),
            started => started
                .map(drop)
                .step(|| "start a process that serves layers"),
        }
    }

    /// The life of that process.
    fn live(&self) -> Infallible {
        exit_now(match self.withdraw().and_then(|()| self.serve()) {
            Ok(()) => 0,
            Err(_) => 1,
        })
    }

    /// Lets go of everything of the parent's: descriptors, standard streams, terminal, directory.
    fn withdraw(&self) -> Outcome<()> {
        let mut kept: Vec<_> = self.tree.files().map(AsRawFd::as_raw_fd).collect();
        kept.push(self.connection.as_fd().as_raw_fd());
        close_copies_but(&mut kept)?;
        let nothing = File::options().read(true).write(true).open("/dev/null");
        let nothing = nothing.map_err(|_missing| Errno::NOENT)?;
        dup2_stdin(&nothing)?;
        dup2_stdout(&nothing)?;
        dup2_stderr(&nothing)?;
        reset_signals();
        setsid()?;
        chdir("/")
    }
}
