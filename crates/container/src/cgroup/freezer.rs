//! Stops and continues all processes of a cgroup.
//!
//! Version 2 is preferred where it is mounted, even beside version 1: it freezes at once whatever
//! forks meanwhile, and its frozen processes can be killed. A process that version 1 has frozen
//! dies only when it is thawed.

use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::fs::{OFlags, SeekFrom, seek};

use super::controllers;
use super::directory::{Directory, read_whole};
use super::location::{Cgroup, ROOT};
use crate::error::{Context, Error, Result};

/// How long processes may take to come to rest (one in an uninterruptible wait takes its time).
const FREEZE_TIMEOUT_MS: i64 = 10_000;
const STEP_MS: i64 = 10;

impl Cgroup {
    /// Stops all processes and returns when they are stopped. On failure they run.
    ///
    /// # Errors
    /// Without a freezer, or when some process does not come to rest in time.
    pub fn freeze(&self) -> Result<()> {
        if let Some(directory) = self.unified()
            && directory.write_if_present("cgroup.freeze", "1")?
        {
            return wait_frozen(&directory).inspect_err(|_| {
                // The failure to freeze is the one to report.
                let _ = directory.try_write("cgroup.freeze", "0");
            });
        }
        let directory = self.controller("freezer");
        let directory = directory.ok_or_else(|| controllers::missing("freezer"))?;
        freeze_v1(&directory).inspect_err(|_| {
            // The failure to freeze is the one to report.
            let _ = directory.try_write("freezer.state", "THAWED");
        })
    }

    /// Lets all processes run again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw(&self) -> Result<()> {
        if let Some(directory) = self.unified() {
            directory.write_if_present("cgroup.freeze", "0")?;
        }
        self.thaw_v1()
    }

    pub(super) fn thaw_v1(&self) -> Result<()> {
        if let Some(directory) = self.controller("freezer") {
            directory.write_if_present("freezer.state", "THAWED")?;
        }
        Ok(())
    }

    /// Whether the processes are stopped, by whoever froze this very cgroup.
    ///
    /// # Errors
    /// When the state cannot be read. A cgroup that is gone is not frozen.
    pub fn is_frozen(&self) -> Result<bool> {
        if let Some(directory) = self.unified()
            && directory
                .read_if_present("cgroup.freeze")?
                .is_some_and(|text| text.starts_with('1'))
        {
            return Ok(true);
        }
        let Some(directory) = self.controller("freezer") else {
            return Ok(false);
        };
        let state = directory.read_if_present("freezer.state")?;
        if state.is_none_or(|state| state.starts_with("THAWED")) {
            return Ok(false);
        }
        // A frozen parent stops it as well, but then nobody paused this container.
        let own = directory.read_if_present("freezer.self_freezing")?;
        Ok(own.is_none_or(|text| text.starts_with('1')))
    }
}

/// `cgroup.events` is ready for POLLPRI whenever it has changed.
/// Thaws the cgroups that a process is in now, wherever they are. What cannot be thawed is left.
pub(crate) fn thaw_where_it_is(pid: i32) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        if controllers
            .split(',')
            .any(|controller| controller == "freezer")
        {
            let _ = std::fs::write(format!("{ROOT}/freezer{path}/freezer.state"), "THAWED");
        } else if controllers.is_empty() {
            for root in [ROOT.to_owned(), format!("{ROOT}/unified")] {
                let _ = std::fs::write(format!("{root}{path}/cgroup.freeze"), "0");
            }
        }
    }
}

fn wait_frozen(directory: &Directory<'_>) -> Result<()> {
    let step = || format!("wait until cgroup {} is frozen", directory.path());
    let file = directory.open("cgroup.events", OFlags::RDONLY).step(step)?;
    for _ in 0..FREEZE_TIMEOUT_MS / STEP_MS {
        if read_whole(&file)
            .step(step)?
            .lines()
            .any(|line| line == "frozen 1")
        {
            return Ok(());
        }
        pause(&mut [PollFd::new(&file, PollFlags::PRI)]).step(step)?;
        seek(&file, SeekFrom::Start(0)).step(step)?;
    }
    Err(
        Error::new(format!("cgroup {} does not freeze", directory.path()))
            .hint("a process in it waits uninterruptibly, see state D in ps"),
    )
}

/// Waits for one of `fds`, or a moment where the kernel tells nothing.
pub(super) fn pause(fds: &mut [PollFd<'_>]) -> insula_sys::Result<()> {
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: STEP_MS * 1_000_000,
    };
    match poll(fds, Some(&moment)) {
        Ok(_) | Err(insula_sys::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Version 1 can stay in FREEZING for ever while new processes are forked; asking again catches
/// them.
fn freeze_v1(directory: &Directory<'_>) -> Result<()> {
    for round in 0..FREEZE_TIMEOUT_MS / STEP_MS {
        directory.write("freezer.state", "FROZEN")?;
        if directory.read("freezer.state")?.starts_with("FROZEN") {
            return Ok(());
        }
        if round % 50 == 49 {
            directory.write("freezer.state", "THAWED")?;
        }
        if round >= 10 {
            pause(&mut []).step(|| "wait for the freezer")?;
        }
    }
    Err(
        Error::new(format!("cgroup {} does not freeze", directory.path()))
            .hint("a process in it waits uninterruptibly, see state D in ps"),
    )
}
