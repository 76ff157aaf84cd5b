//! Making a guest and starting it.
//!
//! ```text
//!  resolve the image          under the store's shared lock, so that it cannot go
//!  workspace.rs               directory + record: from here on `prune` can clean up
//!  monitor                    a process of its own, which takes the record's lock over
//!    └ spec.rs, engine        image's wishes + docker's defaults + options = configuration
//! ```
//!
//! On this path nothing is hashed, nothing synced, and no thread is started.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use insula_container::error::{Context, Error, Result};
use insula_image::{Image, Store, UnionView};
use insula_sys::process::{SignalFd, block_signals};
use insula_sys::rustix::fs::Mode;
use insula_sys::rustix::process::umask;
use insula_sys::rustix::stdio::stdin;
use insula_sys::rustix::termios::tcgetwinsize;

use super::attach::{AttachOptions, Parting, Relay};
use super::find::{Guest, Status, find};
use super::format::GuestRecord;
use super::place::Place;
use super::protocol::{self, FrameKind, Reply};
use super::workspace::{Taken, Workspace};
use super::{check_name, event, monitor, name};
use crate::run::{RunOptions, Volume, hostname, image_error, spec, system};
use crate::volume;

/// How often a made-up name may turn out to be taken.
const NAME_ATTEMPTS: usize = 16;

/// A guest that ran in the foreground.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code, or 128 + signal when a signal ended it; `None` when nobody could tell.
    pub code: Option<i32>,
    /// The caller has left it running.
    pub is_detached: bool,
    /// Why something of it could not be removed; `prune` will find it.
    pub left_behind: Option<String>,
}

impl From<Parting> for Finished {
    fn from(parting: Parting) -> Self {
        match parting {
            Parting::Ended(end) => Self {
                code: end.exit_code,
                is_detached: false,
                left_behind: end.left_behind,
            },
            Parting::Detached => Self {
                code: Some(0),
                is_detached: true,
                left_behind: None,
            },
        }
    }
}

/// Makes a guest that does not run.
///
/// # Errors
/// The image is not here, the name is taken, or the options contradict themselves; nothing is made.
pub fn create(options: &RunOptions) -> Result<GuestRecord> {
    let workspace = make(options, true)?;
    event::tell(&Place::of(options), &workspace.record, "create", &[]);
    Ok(workspace.record.clone())
}

/// Runs a guest in the foreground until it ends or the user detaches.
///
/// Standard input, output and error are the program's; signals that reach this process go on to it.
/// With `remove`, the guest ends with this process. `known` is told its identifier. This process
/// blocks all signals and should end
/// when this returns.
///
/// # Errors
/// The guest could not be started; [`super::exit_code`] says with which code to end. Nothing of it
/// is left.
pub fn run(
    options: &RunOptions,
    attach: &AttachOptions,
    known: &mut dyn FnMut(&str),
) -> Result<Finished> {
    let how = match options.remove {
        true => monitor::START_BOUND,
        false => monitor::START_ATTACHED,
    };
    let (workspace, signals) = prepare(options)?;
    let place = Place::of(options);
    let id = workspace.record.id.clone();
    let config = &workspace.record.config;
    let (terminal, interactive) = (config.terminal, config.interactive);
    let (socket, mut child) = begin(&place, workspace, how)?;
    known(&id);
    let relay = Relay::new(socket, terminal, interactive, attach);
    let parting = relay.carry(&signals, &mut || None);
    // The monitor has said its last word: nothing of it is left when we end.
    if matches!(parting, Ok(Parting::Ended(_))) {
        let _ = child.wait();
    }
    parting.map(Finished::from)
}

/// Runs a guest in the background; returns its record as soon as its program has started.
///
/// # Errors
/// As for [`run`].
pub fn run_detached(options: &RunOptions) -> Result<GuestRecord> {
    let (workspace, _signals) = prepare(options)?;
    let record = workspace.record.clone();
    begin(&Place::of(options), workspace, monitor::START_DETACHED)?;
    Ok(record)
}

/// Starts a guest that does not run. One that is up is left as it is.
///
/// # Errors
/// There is none, or it cannot be started.
pub fn start(place: &Place, name: &str) -> Result<Guest> {
    let guest = find(place, name)?;
    match guest.status {
        Status::Created | Status::Exited => {}
        Status::Paused => {
            return Err(Error::new(format!("`{}` is paused", guest.record.name))
                .hint(format!("insula resume {}", guest.record.name)));
        }
        _ => return Ok(guest),
    }
    let workspace = Workspace::take(&place.store, &guest.record.id)?;
    spawn_and_hear(place, workspace, monitor::START_DETACHED)?;
    Ok(guest)
}

/// As [`start`], and stays with the guest until it ends or the user detaches.
///
/// # Errors
/// As for [`start`]; also that it is up.
pub fn start_attached(place: &Place, name: &str, attach: &AttachOptions) -> Result<Finished> {
    let guest = find(place, name)?;
    if guest.status.is_up() {
        return Err(Error::new(format!("`{}` is up already", guest.record.name))
            .hint(format!("insula attach {}", guest.record.name)));
    }
    let config = &guest.record.config;
    let signals = block_signals().step(|| "hold signals back")?;
    let workspace = Workspace::take(&place.store, &guest.record.id)?;
    let (socket, mut child) = spawn_and_hear(place, workspace, monitor::START_ATTACHED)?;
    let relay = Relay::new(socket, config.terminal, config.interactive, attach);
    let parting = relay.carry(&signals, &mut || None);
    if matches!(parting, Ok(Parting::Ended(_))) {
        let _ = child.wait();
    }
    parting.map(Finished::from)
}

fn prepare(options: &RunOptions) -> Result<(Workspace, SignalFd)> {
    if let Some(name) = &options.name {
        check_name(name)?;
    }
    // Up to here a signal ends us and leaves nothing; from here on it waits for the program.
    let signals = block_signals().step(|| "hold signals back")?;
    Ok((make(options, false)?, signals))
}

/// Makes a guest's directory. With `check` what the monitor would find wrong is found now.
fn make(options: &RunOptions, check: bool) -> Result<Workspace> {
    if let Some(name) = &options.name {
        check_name(name)?;
    }
    let mut config = options.clone();
    let size = tcgetwinsize(stdin()).ok();
    config.terminal_size = size.map(|size| (size.ws_row, size.ws_col));
    settle(&mut config)?;
    let store = Store::new(&options.store);
    let lock = store.lock_shared().map_err(image_error)?;
    let image = store.resolve(&options.image).map_err(image_error)?;
    let of_image = image.config.config.volumes.keys().map(PathBuf::from);
    volume::name_all(&mut config, &of_image.collect::<Vec<_>>())?;
    if check {
        check_configuration(&config, &image)?;
    }
    system::settle(&mut config, &image);
    umask(Mode::WGRP | Mode::WOTH);
    let made = make_workspace(&options.store, options.name.as_deref(), |id, name| {
        GuestRecord::new(id, name, config.clone(), image.manifest)
    });
    drop(lock);
    let workspace = made?;
    match make_volumes(&config, &image, &workspace) {
        Ok(()) => Ok(workspace),
        Err(error) => {
            // The first failure is the one to tell; what is left is found by `prune`.
            let _ = workspace.remove();
            Err(error)
        }
    }
}

/// Makes paths of the host absolute, before the working directory is left.
fn settle(config: &mut RunOptions) -> Result<()> {
    for volume in &mut config.volumes {
        volume.settle()?;
    }
    for secret in &mut config.secrets {
        secret.source = std::fs::canonicalize(&secret.source)
            .step(|| format!("secret `{}` from {}", secret.id, secret.source.display()))?;
    }
    Ok(())
}

fn check_configuration(config: &RunOptions, image: &Image) -> Result<()> {
    let mut config = config.clone();
    for volume in &mut config.volumes {
        if volume.is_named() {
            // Its directory is made with the guest.
            volume.source = PathBuf::from("/");
        }
    }
    let files = UnionView::open(&image.layers).map_err(image_error)?;
    let id = "0".repeat(64);
    let hostname = hostname(&config, &id);
    spec::build(&config, (image, &files), &hostname, &id).map(drop)
}

/// Makes the volumes of a new guest, which its record names, and fills those that are empty.
fn make_volumes(config: &RunOptions, image: &Image, workspace: &Workspace) -> Result<()> {
    if !config.volumes.iter().any(Volume::is_named) {
        return Ok(());
    }
    let mut resolved = config.clone();
    volume::resolve(&mut resolved)?;
    volume::fill((config, &resolved), image, &workspace.path)
}

/// Makes a directory with the record that `record` makes of an identifier and a name, which is made
/// up unless it is given. The caller holds the image store's lock.
pub(crate) fn make_workspace(
    store: &Path,
    given: Option<&str>,
    record: impl Fn(String, String) -> GuestRecord,
) -> Result<Workspace> {
    for _ in 0..NAME_ATTEMPTS {
        let (id, made_up) = name::make_up()?;
        let name = given.map_or(made_up, str::to_owned);
        match Workspace::create(store, record(id, name)) {
            Ok(workspace) => return Ok(workspace),
            Err(Taken::ByAnother(_)) if given.is_none() => {}
            Err(Taken::ByAnother(error) | Taken::Failed(error)) => return Err(error),
        }
    }
    Err(Error::new("no free name was found for the guest").hint("give one with --name"))
}

/// Starts a guest that was made for this; it goes again when it cannot be started.
fn begin(place: &Place, workspace: Workspace, how: &str) -> Result<(UnixStream, Child)> {
    let id = workspace.record.id.clone();
    event::tell(place, &workspace.record, "create", &[]);
    spawn_and_hear(place, workspace, how).inspect_err(|_| {
        // The first failure is the one to tell; what is left is found by `prune`.
        if let Ok(workspace) = Workspace::take(&place.store, &id) {
            let _ = workspace.remove();
        }
    })
}

/// Starts a monitor, leaves the guest to it, and waits for its word that the program runs.
fn spawn_and_hear(place: &Place, workspace: Workspace, how: &str) -> Result<(UnixStream, Child)> {
    let (mut socket, mut child) = spawn(place, &workspace.record.id, how)?;
    // The monitor waits for this lock.
    drop(workspace);
    let reply = protocol::receive(&mut socket).step(|| "hear from the guest's monitor")?;
    let result = match reply {
        Some((FrameKind::Reply, json)) => {
            let reply: Reply =
                serde_json::from_slice(&json).step(|| "read the answer of the guest's monitor")?;
            reply.into_result()
        }
        _ => Err(Error::new(
            "the guest's monitor ended before the guest had started",
        )),
    };
    match result {
        Ok(()) => Ok((socket, child)),
        Err(error) => {
            // It has given the guest up; its lock goes with it.
            let _ = child.wait();
            Err(error)
        }
    }
}

fn spawn(place: &Place, id: &str, how: &str) -> Result<(UnixStream, Child)> {
    let step = || "start the guest's monitor";
    let (ours, theirs) = UnixStream::pair().step(step)?;
    let child = command(place, id, how)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .step(step)?;
    Ok((ours, child))
}

/// Starts a monitor for a guest that runs without one.
pub(super) fn adopt(place: &Place, id: &str) -> Result<()> {
    let mut child = command(place, id, monitor::START_ADOPT)
        .stdin(Stdio::null())
        .spawn()
        .step(|| "start a monitor that takes over")?;
    // It ends at once when somebody else was faster, and else outlives us.
    let _ = child.try_wait();
    Ok(())
}

fn command(place: &Place, id: &str, how: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("insula")
        .arg(monitor::ROLE)
        .args(monitor::words(place, id, how))
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
