//! The monitor: the one process that looks after a guest.
//!
//! It starts the guest's program and is its parent; it keeps what the program writes, carries
//! input and output between it and attached commands, checks its health, starts it again when its
//! policy says so, and writes down how it ended. It has one thread and sleeps in poll(2).
//!
//! ```text
//!  command ──fork, exec──▶ monitor ──▶ guest's program
//!     ▲                     │  └─copy─▶ holder.rs: sleeps; starts a new monitor if this one is
//! killed
//!     └──protocol.rs────────┘
//! ```
//!
//! Start at [`main`], then [`Monitor::serve`].

mod client;
mod end;
mod health;
mod holder;
pub(super) mod launch;
mod serve;
mod streams;
mod view;

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Instant;

use insula_container::cgroup::Manager;
use insula_container::error::{Context, Result};
use insula_sys::descriptor::inherit;
use insula_sys::fuse::Connection;
use insula_sys::process::block_signals;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::fs::Mode;
use insula_sys::rustix::io::fcntl_dupfd_cloexec;
use insula_sys::rustix::process::{Pid, PidfdFlags, chdir, getppid, pidfd_open, setsid, umask};
use insula_sys::rustix::stdio::stdin;

use super::format::{GuestState, LogFailure, Phase, ProcessName, STATE_VERSION};
use super::place::Place;
use super::protocol::{FrameKind, Reply};
use super::workspace::Workspace;
use super::{event, live, now_ns};
use crate::guest_log::{LogOptions, LogWriter};
use crate::rootless;
use crate::run::LogDriver;
pub(crate) use streams::leave_standard_streams;

use client::{Client, Role};
use health::Health;
use holder::Holder;
use launch::{ImageFacts, Running};

/// The first word of a process that is a monitor. The words of [`words`] follow.
pub(crate) const ROLE: &str = "__monitor";
/// Start the guest; standard input is a socket to who wants to know that it has started.
pub(crate) const START_DETACHED: &str = "start";
/// As [`START_DETACHED`], and that socket is the first attached client.
pub(crate) const START_ATTACHED: &str = "attached";
/// As [`START_ATTACHED`], and the guest ends with the command that started it.
pub(crate) const START_BOUND: &str = "bound";
/// Take over a guest that runs. `NAME=DESCRIPTOR` follow.
pub(crate) const START_ADOPT: &str = "adopt";

/// One read of the guest's output.
const BUFFER_BYTES: usize = 64 << 10;

/// The words after [`ROLE`].
pub(crate) fn words<'a>(place: &'a Place, id: &'a str, how: &'a str) -> [&'a OsStr; 5] {
    let manager = match place.manager {
        Manager::Cgroupfs => "cgroupfs",
        Manager::Systemd => "systemd",
        Manager::Disabled => "disabled",
    };
    [
        place.store.as_os_str(),
        place.state.as_os_str(),
        manager.as_ref(),
        id.as_ref(),
        how.as_ref(),
    ]
}

/// The process itself. `arguments` are the words after [`ROLE`].
pub(crate) fn main(arguments: &[OsString]) -> u8 {
    let [store, state, manager, id, how, held @ ..] = arguments else {
        return 2;
    };
    let place = Place {
        store: store.into(),
        state: state.into(),
        manager: match manager.to_str() {
            Some("systemd") => Manager::Systemd,
            Some("disabled") => Manager::Disabled,
            _ => Manager::Cgroupfs,
        },
    };
    let (Some(id), Some(how)) = (id.to_str(), how.to_str()) else {
        return 2;
    };
    rootless::use_namespace_if_any(&place.state);
    let done = if how == START_ADOPT {
        take_over(place, id, held)
    } else {
        start(place, id, how)
    };
    u8::from(done.is_err())
}

/// Leaves whoever started this process: its session, its directory, its signals.
fn leave() -> Result<()> {
    // A process that leads a session already has nothing to leave.
    let _ = setsid();
    chdir("/").step(|| "change to /")?;
    umask(Mode::WGRP | Mode::WOTH);
    // Only SIGKILL ends a monitor: all else would end a guest that nobody asked to end.
    drop(block_signals().step(|| "hold signals back")?);
    Ok(())
}

fn start(place: Place, id: &str, how: &str) -> Result<()> {
    // A copy: were the number itself given up, the next file would get it and lose it again.
    let socket = fcntl_dupfd_cloexec(stdin(), 3).step(|| "take the socket of the command")?;
    let command = getppid().map(|parent| live::process_name(parent.as_raw_pid()));
    // A command that is gone has closed its end before its children got another parent.
    if how == START_BOUND && is_hung_up(&socket) {
        return abandon(&place, id);
    }
    leave()?;
    leave_standard_streams()?;
    let is_attached = how != START_DETACHED;
    let role = if is_attached {
        Role::Attached
    } else {
        Role::Starting
    };
    let mut client = Client::new(UnixStream::from(socket), role).step(|| "serve the command")?;
    let made = Workspace::take(&place.store, id)
        .and_then(|workspace| {
            let bound_to = command.filter(|_| how == START_BOUND);
            Monitor::new(place, workspace, None, bound_to)
        })
        .and_then(|mut monitor| match monitor.run_program() {
            Ok(()) => Ok(monitor),
            Err(error) => Err(monitor.give_up(error)),
        });
    match made {
        Ok(mut monitor) => {
            let reply = serde_json::to_vec(&Reply::default()).unwrap_or_default();
            client.send(FrameKind::Reply, &reply);
            if is_attached {
                monitor.clients.push(client);
            } else {
                client.flush();
                drop(client);
            }
            monitor.serve();
            Ok(())
        }
        Err(error) => {
            let reply = serde_json::to_vec(&Reply::of(&error)).unwrap_or_default();
            client.send(FrameKind::Reply, &reply);
            client.flush();
            Err(error)
        }
    }
}

fn is_hung_up(socket: &OwnedFd) -> bool {
    let now = Timespec::default();
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, Some(&now)).is_ok_and(|_| fds[0].revents().contains(PollFlags::HUP))
}

/// The command that the guest was to end with has ended before it began.
fn abandon(place: &Place, id: &str) -> Result<()> {
    Workspace::take(&place.store, id)?.remove()
}

fn take_over(place: Place, id: &str, held: &[OsString]) -> Result<()> {
    let mut streams = streams::Streams::default();
    let mut view = None;
    for word in held.iter().filter_map(|word| word.to_str()) {
        let Some((name, number)) = word.split_once('=') else {
            continue;
        };
        let number = number.parse().step(|| "read a descriptor's number")?;
        let fd = inherit(number).step(|| format!("take on the guest's {name}"))?;
        match name {
            holder::VIEW => view = Some(Connection::from(fd)),
            _ => streams.put(name, fd),
        }
    }
    leave()?;
    let Some(workspace) = Workspace::try_take(&place.store, id)? else {
        // Somebody else was faster.
        return Ok(());
    };
    let previous = live::read(&place.live(id));
    let bound_to = previous.as_ref().and_then(|state| state.bound_to);
    let mut monitor = Monitor::new(place, workspace, previous, bound_to)?;
    monitor.adopt(streams, view)?;
    monitor.serve();
    Ok(())
}

/// What the user wants the guest to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Up,
    /// Stopped, by a user.
    Down,
}

/// A guest and all that its monitor holds of it.
#[derive(Debug)]
struct Monitor {
    place: Place,
    workspace: Workspace,
    state: GuestState,
    live: PathBuf,
    listener: UnixListener,
    clients: Vec<Client>,
    wanted: Wanted,
    running: Option<Running>,
    health: Option<Health>,
    facts: ImageFacts,
    log: Option<LogWriter>,
    holder: Option<Holder>,
    /// When it is started again.
    again_at: Option<Instant>,
    /// How long the next restart waits, in milliseconds.
    back_off_ms: u64,
    /// The command that the guest ends with.
    bound: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Monitor {
    fn new(
        place: Place,
        workspace: Workspace,
        previous: Option<GuestState>,
        bound_to: Option<ProcessName>,
    ) -> Result<Self> {
        let record = &workspace.record;
        let is_first = previous.is_none();
        let live = place.live(&record.id);
        live::make_directory(&live)?;
        let listener = live::listen(&live)?;
        let state = GuestState {
            version: STATE_VERSION,
            store: place.store.clone(),
            phase: Phase::Starting,
            monitor: live::this_process(),
            holder: None,
            process: None,
            started: previous.as_ref().map_or_else(now_ns, |state| state.started),
            restarts: previous.map_or(0, |state| state.restarts),
            exit_code: None,
            bound_to,
            adopted: false,
            output_lost: false,
            health: None,
            log_failure: None,
        };
        let log = match record.config.log.driver {
            LogDriver::None => None,
            LogDriver::File => Some(open_log(&place, &workspace)?),
        };
        let monitor = Self {
            bound: state.bound_to.and_then(watch),
            place,
            workspace,
            state,
            live,
            listener,
            clients: Vec::new(),
            wanted: Wanted::Up,
            running: None,
            health: None,
            facts: ImageFacts::default(),
            log,
            holder: None,
            again_at: None,
            back_off_ms: serve::BACK_OFF_MS_MIN,
            buffer: Vec::new(),
        };
        // What the one before has published holds until this one has taken over.
        if is_first {
            monitor.publish();
        }
        Ok(monitor)
    }

    fn id(&self) -> &str {
        &self.workspace.record.id
    }

    /// Starts the guest's program.
    fn run_program(&mut self) -> Result<()> {
        let (running, facts) = launch::launch(&self.place, &self.workspace)?;
        self.facts = facts;
        self.begin(running, now_ns());
        self.tell("start", &[]);
        Ok(())
    }

    /// A program runs: from now on it is looked after.
    fn begin(&mut self, running: Running, started: u64) {
        let check = self.workspace.record.config.health.clone();
        let check = check.unwrap_or_default().over(self.facts.health.clone());
        self.health = Health::new(check, running.process.as_ref());
        self.state.phase = Phase::Running;
        self.state.process = Some(live::process_name(running.pid));
        self.state.started = started;
        self.state.exit_code = None;
        self.state.health = self.health.as_ref().map(|health| health.state.clone());
        self.running = Some(running);
        self.again_at = None;
        self.hold();
        self.publish();
        // It ended before it could be watched.
        if self.state.bound_to.is_some() && self.bound.is_none() {
            self.end_with_command();
        }
    }

    /// Has a second process hold what must not be lost with this one.
    fn hold(&mut self) {
        self.holder = None;
        let Some(running) = &self.running else { return };
        let named = running.streams.named();
        let view = running.view.as_ref().map(|view| (view, running.pid));
        // Without it a killed monitor is replaced by the next command, and output is lost.
        self.holder = Holder::start(&self.place, &self.workspace.record.id, named, view).ok();
        if self.holder.is_some()
            && let Some(running) = &mut self.running
        {
            running.interim = None;
        }
        self.state.holder = self
            .holder
            .as_ref()
            .map(|holder| live::process_name(holder.child.pid));
    }

    /// A program that runs already is looked after from now on.
    fn adopt(&mut self, streams: streams::Streams, view: Option<Connection>) -> Result<()> {
        let container = self.place.runtime().load(self.id())?;
        let pidfd = container.pidfd()?;
        self.state.output_lost = streams.sources().next().is_none();
        self.state.adopted = true;
        self.facts = launch::facts_of(&self.place, &self.workspace);
        let process = container.spec().ok().and_then(|spec| spec.process);
        let running = Running {
            pid: container.record.pid,
            pidfd,
            streams,
            since: Instant::now(),
            deadline: None,
            is_stopping: false,
            process,
            view,
            interim: None,
        };
        let started = self.state.started;
        self.begin(running, started);
        self.tell("adopt", &[]);
        Ok(())
    }

    /// Writes down what this monitor does, for all commands to read.
    fn publish(&self) {
        // A full disk must not end the guest; the file from before stays.
        let _ = live::write(&self.live, &self.state);
    }

    fn tell(&self, action: &str, attributes: &[(&str, String)]) {
        event::tell(&self.place, &self.workspace.record, action, attributes);
    }
}

fn open_log(place: &Place, workspace: &Workspace) -> Result<LogWriter> {
    let settings = &workspace.record.config.log;
    let mut options = LogOptions::default();
    options.max_bytes = settings.max_bytes.or(options.max_bytes);
    options.max_files = settings.max_files.unwrap_or(options.max_files);
    let directory = place.log(&workspace.record.id);
    live::make_directory(&directory)?;
    LogWriter::open(&directory, options)
}

/// A descriptor that tells of the end of a process; `None` when it has ended.
fn watch(process: ProcessName) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    (live::process_name(process.pid) == process).then_some(pidfd)
}

fn log_failure(log: &LogWriter) -> Option<LogFailure> {
    let health = log.health();
    Some(LogFailure {
        lost_bytes: health.lost_bytes,
        reason: health.reason?.to_owned(),
    })
}
