//! A container's own view of `/proc` and `/sys`: its processors, memory, load and uptime.
//!
//! ```text
//!  ProcView::mount     a FUSE file system with one file for each of FILES, attached nowhere
//!  ProcView::binds     which file belongs over which path of the container
//!  ProcView::serve     answers, on the caller's thread, until the mount is gone
//!  Attendant           the same for a loop that also waits for something else
//!
//!  group.rs            what the cgroup allows and has used, version 1, version 2 or both
//!  processor.rs, memory.rs, load.rs, disk.rs      the texts made of that
//!  file_system.rs      what the kernel asks
//! ```
//!
//! Nothing is computed until somebody reads, and while nobody does the server sleeps. What it knows
//! it can find out again: another process may serve on with a copy of the connection.

mod disk;
mod file_system;
mod group;
mod load;
mod memory;
mod processor;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_container::cgroup::Location;
use insula_container::error::{Context, Result};
use insula_sys::Errno;
use insula_sys::fuse::{self, Connection, DEVICE, MountOptions, Server, Step};
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::fs::{OFlags, fcntl_setfl};

use file_system::View;

/// A file of the view and the path in the container that it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    pub file: &'static str,
    pub target: &'static str,
}

const BINDS: [Bind; 10] = [
    bind("cpuinfo", "/proc/cpuinfo"),
    bind("diskstats", "/proc/diskstats"),
    bind("loadavg", "/proc/loadavg"),
    bind("meminfo", "/proc/meminfo"),
    bind("stat", "/proc/stat"),
    bind("swaps", "/proc/swaps"),
    bind("uptime", "/proc/uptime"),
    bind("cpu_online", "/sys/devices/system/cpu/online"),
    bind("cpu_online", "/sys/devices/system/cpu/possible"),
    bind("cpu_online", "/sys/devices/system/cpu/present"),
];

const fn bind(file: &'static str, target: &'static str) -> Bind {
    Bind { file, target }
}

/// Whose view it is.
pub struct ViewOptions {
    /// `None` as long as there is none; then it stays what it is.
    pub cgroup: Box<dyn Fn() -> Option<Location> + Send + Sync>,
    /// The first process, as this process numbers it; `None` while there is none. A container that
    /// is started again has another one.
    pub init: Box<dyn Fn() -> Option<i32> + Send + Sync>,
}

impl std::fmt::Debug for ViewOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewOptions").finish_non_exhaustive()
    }
}

/// A view that is mounted and waits to be served.
#[derive(Debug)]
pub struct ProcView {
    /// Attached nowhere. It is gone when this and everything bound from it is.
    pub mount: OwnedFd,
    /// For [`ProcView::serve`], here or in another process.
    pub connection: Connection,
}

impl ProcView {
    /// Mounts a view of nobody yet. Root of a user namespace may, too. It must be served before
    /// anything is bound from it: also looking for a file is a question.
    ///
    /// # Errors
    /// There is no FUSE for this user.
    pub fn mount() -> Result<Self> {
        let mounted = fuse::mount(&MountOptions {
            device: Path::new(DEVICE),
            source: "insula",
            subtype: "proc",
            flags: 0,
        });
        let mounted = mounted.step(|| "mount the container's view of /proc")?;
        Ok(Self {
            mount: mounted.mount,
            connection: mounted.connection,
        })
    }

    /// What to bind where. A target that the container does not have is to be left out.
    #[must_use]
    pub fn binds() -> &'static [Bind] {
        &BINDS
    }

    /// The source of a bind, for this process and those that it clones.
    #[must_use]
    pub fn source(&self, bind: &Bind) -> PathBuf {
        let descriptor = self.mount.as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{descriptor}/{}", bind.file))
    }

    /// Serves until the mount is gone. The caller's process must not hold the mount, and must see
    /// the host's `/proc` and cgroups.
    ///
    /// When this process is killed, reads that it was answering fail; later ones wait until a
    /// process that holds a copy of the connection serves, or fail when there is none.
    ///
    /// # Errors
    /// The kernel's, where it is not the end.
    pub fn serve(options: ViewOptions, connection: &Connection) -> Result<()> {
        let mut attendant = Attendant::new(options, connection)?;
        loop {
            let mut ready = [PollFd::new(&attendant.server, PollFlags::IN)];
            let waited = poll(&mut ready, attendant.next_sample().as_ref());
            if !matches!(waited, Ok(_) | Err(Errno::INTR)) {
                waited.step(|| STEP)?;
            }
            if !attendant.attend()? {
                return Ok(());
            }
        }
    }
}

const STEP: &str = "serve the container's view of /proc";

/// One that serves a view from a loop of its owner's, as [`ProcView::serve`] does from its own.
pub struct Attendant {
    view: View,
    server: Server,
}

impl Attendant {
    /// # Errors
    /// The connection cannot be cloned.
    pub fn new(options: ViewOptions, connection: &Connection) -> Result<Self> {
        let server = Server::new(connection).step(|| STEP)?;
        // Whoever asked may be gone between the sign of a request and its reading.
        fcntl_setfl(&server, OFlags::RDWR | OFlags::NONBLOCK).step(|| STEP)?;
        let view = View::new(options);
        Ok(Self { view, server })
    }

    /// After this time [`Attendant::attend`] has something to do, also when nothing is asked.
    #[must_use]
    pub fn next_sample(&self) -> Option<Timespec> {
        self.view.next_sample()
    }

    /// Answers one request, if there is one. False when the mount is gone.
    ///
    /// # Errors
    /// The kernel's, where it is not the end.
    pub fn attend(&mut self) -> Result<bool> {
        match self.server.step(&self.view, None).step(|| STEP)? {
            Step::Ended => return Ok(false),
            Step::Idle => self.view.sample(),
            Step::Answered => {}
        }
        Ok(true)
    }
}

impl AsFd for Attendant {
    /// Readable when there is a request.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.server.as_fd()
    }
}

impl std::fmt::Debug for Attendant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attendant").finish_non_exhaustive()
    }
}
