//! A container's own view of `/proc` and `/sys`: its processors, memory, load and uptime.
//!
//! ```text
//!  ProcView::mount     a FUSE file system with one file for each of FILES, attached nowhere
//!  ProcView::binds     which file belongs over which path of the container
//!  ProcView::serve     answers, on the caller's thread, until the mount is gone
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

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_container::cgroup::Location;
use insula_container::error::{Context, Result};
use insula_sys::fuse::{self, Connection, DEVICE, MountOptions, Server, Step};

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
    pub cgroup: Location,
    /// The first process, as this process numbers it; `None` while there is none. A container that
    /// is started again has another one.
    pub init: Box<dyn Fn() -> Option<i32> + Send + Sync>,
}

impl std::fmt::Debug for ViewOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewOptions")
            .field("cgroup", &self.cgroup)
            .finish_non_exhaustive()
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
    /// Mounts a view of nobody yet. Root of a user namespace may, too.
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
        let step = || "serve the container's view of /proc";
        let view = View::new(options);
        let mut server = Server::new(connection).step(step)?;
        loop {
            match server.step(&view, view.next_sample()).step(step)? {
                Step::Ended => return Ok(()),
                Step::Idle => view.sample(),
                Step::Answered => {}
            }
        }
    }
}
