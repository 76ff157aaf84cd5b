//! One existing container: its state, signals, limits and end.

use std::os::fd::{AsFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::process::{CLONE_NEWPID, pidfd_send_signal};
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::{self, Cgroup};
use crate::error::{Context, Error, Kind, Result};
use crate::format::{Phase, Record, Status};
use crate::hook;
use crate::runtime::Runtime;
use crate::spec::{self, Resources, Spec};
use crate::store::{Directory, process_stat};

const SIGKILL: i32 = 9;

/// A container as its record describes it.
#[derive(Debug)]
pub struct Container {
    pub(crate) directory: Directory,
    pub record: Record,
}

impl Container {
    /// What the container does now, by its record and the kernel's word on its process.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.record.phase == Phase::Creating {
            let is_alive = !self.directory.is_abandoned();
            return if is_alive {
                Status::Creating
            } else {
                Status::Stopped
            };
        }
        if !self.is_alive() {
            return Status::Stopped;
        }
        if self.is_frozen() {
            return Status::Paused;
        }
        match self.record.phase {
            Phase::Created => Status::Created,
            _ => Status::Running,
        }
    }

    fn is_alive(&self) -> bool {
        let stat = process_stat(self.record.pid);
        stat.is_some_and(|(start, state)| {
            start == self.record.pid_start && state != b'Z' && state != b'X'
        })
    }

    fn is_frozen(&self) -> bool {
        let cgroup = self
            .record
            .cgroup
            .as_ref()
            .and_then(|location| location.open().ok());
        cgroup.is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false))
    }

    /// The configuration the container was created with.
    ///
    /// # Errors
    /// When the stored copy cannot be read.
    pub fn spec(&self) -> Result<Spec> {
        let json = self.directory.read_config()?;
        spec::parse(&json).step(|| "read the stored config.json")
    }

    /// A descriptor of the container process, which names it whatever happens to its number.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let gone = || Error::new("container not running");
        let pid = Pid::from_raw(self.record.pid).ok_or_else(gone)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH => gone(),
            errno => Error::from(errno).within("open the container process"),
        })?;
        // Checked after opening: now the number cannot go to another process any more.
        if self.is_alive() {
            Ok(pidfd)
        } else {
            Err(gone())
        }
    }

    /// Sends a signal to the container process, or with `all` to every process in its cgroup.
    ///
    /// # Errors
    /// When the container is neither created nor running (runtime.md, Kill).
    pub fn kill(&self, signal: i32, all: bool) -> Result<()> {
        // Without a PID namespace the end of the first process is not the end of the others.
        let is_last = signal == SIGKILL && self.record.namespaces & CLONE_NEWPID == 0;
        if all || is_last {
            return match self.open_cgroup()? {
                Some(cgroup) => cgroup.kill(signal),
                None if is_last => self.signal_process(signal),
                None => Err(Error::new(
                    "the container has no cgroup to signal as a whole",
                )),
            };
        }
        self.signal_process(signal)
    }

    fn signal_process(&self, signal: i32) -> Result<()> {
        let step = || format!("send signal {signal} to the container process");
        pidfd_send_signal(self.pidfd()?.as_fd(), signal).map_err(|errno| match errno {
            Errno::SRCH => Error::new("container not running"),
            errno => Error::from(errno).within(step()),
        })
    }

    fn open_cgroup(&self) -> Result<Option<Cgroup>> {
        self.record
            .cgroup
            .as_ref()
            .map(|location| location.open())
            .transpose()
    }

    fn cgroup(&self) -> Result<Cgroup> {
        self.open_cgroup()?.ok_or_else(|| {
            Error::new("the container has no cgroup")
                .hint("it was made with --cgroup-manager disabled")
        })
    }

    /// Stops all processes of the container until [`Container::resume`].
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self) -> Result<()> {
        match self.status() {
            Status::Running | Status::Created => self.cgroup()?.freeze(),
            status => Err(Error::new(format!(
                "container not running or created: {}",
                status.name()
            ))),
        }
    }

    /// Ends a [`Container::pause`].
    ///
    /// # Errors
    /// When it is not paused.
    pub fn resume(&self) -> Result<()> {
        match self.status() {
            Status::Paused => self.cgroup()?.thaw(),
            _ => Err(Error::new("container not paused")),
        }
    }

    /// Changes the limits that `resources` names, live.
    ///
    /// # Errors
    /// When it is stopped or the kernel refuses a value.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        match self.status() {
            Status::Stopped => Err(Error::new("container not running")),
            _ => self.cgroup()?.apply(resources),
        }
    }

    /// All processes in the container's cgroup.
    ///
    /// # Errors
    /// When the cgroup cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        match self.open_cgroup()? {
            Some(cgroup) if !self.is_without_cgroup() => cgroup.processes(),
            _ => Ok(self.processes_of_namespace()),
        }
    }

    /// Whether it stayed in the cgroup of its creator, with others.
    #[must_use]
    pub fn is_without_cgroup(&self) -> bool {
        let location = self.record.cgroup.as_ref();
        location.is_none_or(cgroup::Location::is_disabled)
    }

    /// The processes that see each other as the first one does; it alone when it shares its numbers
    /// with the host.
    fn processes_of_namespace(&self) -> Vec<i32> {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let first = self.record.pid;
        let own = namespace(&first.to_string());
        if own.is_none() || own == namespace("self") {
            return vec![first];
        }
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| namespace(&pid.to_string()) == own)
            .collect()
    }

    /// The open cgroup, for statistics and events.
    ///
    /// # Errors
    /// When the container has none.
    pub fn control_group(&self) -> Result<Cgroup> {
        self.cgroup()
    }

    /// Whether a killed command left it half-made.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.record.phase == Phase::Creating && self.directory.is_abandoned()
    }

    /// Removes everything that belongs to the container, and then its record.
    pub(crate) fn destroy(&self) -> Result<()> {
        if let Some(location) = &self.record.cgroup {
            location.destroy()?;
        }
        if let Some(group) = &self.record.intel_rdt {
            crate::intel_rdt::remove(group)?;
        }
        self.directory.remove()
    }

    /// Kills the container process and waits until the kernel has let go of it.
    fn stop(&self) -> Result<()> {
        let Ok(pidfd) = self.pidfd() else {
            return Ok(());
        };
        match pidfd_send_signal(pidfd.as_fd(), SIGKILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            other => other.step(|| "kill the container process")?,
        }
        // A frozen process does not die before it is thawed.
        if let Ok(Some(cgroup)) = self.open_cgroup() {
            drop(cgroup.thaw());
        }
        if is_dead_within(&pidfd, 200)? {
            return Ok(());
        }
        // Somebody may have moved it to a frozen cgroup elsewhere.
        cgroup::thaw_where_it_is(self.record.pid);
        if is_dead_within(&pidfd, 10_000)? {
            return Ok(());
        }
        Err(Error::new("the container process does not die of SIGKILL")
            .hint("see its state in ps: D waits for the kernel, often for a disk or the network"))
    }
}

/// Whether a process, which need not be our child, ends in time.
fn is_dead_within(pidfd: &OwnedFd, milliseconds: u32) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    let limit = Timespec {
        tv_sec: i64::from(milliseconds / 1000),
        tv_nsec: i64::from(milliseconds % 1000) * 1_000_000,
    };
    loop {
        match poll(&mut fds, Some(&limit)) {
            Err(Errno::INTR) => {}
            other => {
                return other
                    .map(|ended| ended > 0)
                    .step(|| "wait for the container process to end");
            }
        }
    }
}

/// Waits for the end of a process that need not be our child.
pub(crate) fn wait_until_dead(pidfd: &OwnedFd) -> Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    loop {
        match poll(&mut fds, None) {
            Err(Errno::INTR) => {}
            other => {
                return other
                    .map(drop)
                    .step(|| "wait for the container process to end");
            }
        }
    }
}

impl Runtime {
    /// Deletes a stopped container, or with `force` one in any state. Returns the failures of
    /// `poststop` hooks, which are warnings (runtime.md, Lifecycle 13).
    ///
    /// # Errors
    /// When it is not stopped; with `force` a container that does not exist is no error.
    pub fn delete(&self, id: &str, force: bool) -> Result<Vec<Error>> {
        let container = match self.load(id) {
            Err(error) if error.kind_of() == Kind::NotFound => {
                return self.delete_rest(id, force, error);
            }
            other => other?,
        };
        // One command at a time: `start` holds the same lock.
        flock(&container.directory.fd, FlockOperation::LockExclusive)
            .step(|| "lock the container")?;
        match container.record.phase {
            Phase::Creating => {}
            _ => container.end_before_delete(force)?,
        }
        container.destroy()?;
        let state = container.record.state(Status::Stopped);
        Ok(hook::run_all(
            "poststop",
            &container.record.poststop,
            &state,
        ))
    }

    /// A directory without a record is what a command killed at its first step leaves.
    fn delete_rest(&self, id: &str, force: bool, error: Error) -> Result<Vec<Error>> {
        match Directory::open(&self.root, id) {
            Ok(directory) if directory.is_abandoned() => directory.remove().map(|()| Vec::new()),
            _ if force => Ok(Vec::new()),
            _ => Err(error),
        }
    }
}

impl Container {
    fn end_before_delete(&self, force: bool) -> Result<()> {
        let status = self.status();
        // Created and never started: nothing of the user's runs, so it need not be killed first.
        let may_stop = force || status == Status::Created;
        match status {
            Status::Stopped => Ok(()),
            _ if may_stop => self.stop(),
            status => Err(Error::new(format!(
                "cannot delete container {:?} that is not stopped: {}",
                self.record.id,
                status.name()
            ))
            .hint("kill it first, or use --force")),
        }
    }
}
