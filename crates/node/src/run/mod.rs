//! `insula run`: an image becomes a running program, in the foreground.
//!
//! ```text
//!  resolve the image          under the store's shared lock, so that it cannot go
//!  workspace.rs               directory + record: from here on `prune` can clean up
//!  spec.rs                    image's wishes + docker's defaults + options = configuration
//!  container engine           overlay on the image's layers, namespaces, cgroup, program
//!  exit code                  and the workspace goes (--rm) or is kept with its record
//! ```
//!
//! No daemon, no other process: the caller becomes the container's monitor until the program ends.
//! On this path nothing is hashed, nothing synced, and no thread is started.
//!
//! Start reading at [`run`].

mod capability;
pub mod format;
mod layers;
mod name;
pub(crate) mod network_files;
mod options;
mod prune;
mod security;
pub(crate) mod spec;
mod user;
pub(crate) mod workspace;

use std::time::{SystemTime, UNIX_EPOCH};

use insula_container::error::{Context, Error, Kind, Result};
use insula_container::rootfs::Overlay;
use insula_container::{CreateOptions, Runtime, Source};
use insula_image::{Image, Store, UnionView};
use insula_sys::process::block_signals;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::process::umask;
use insula_sys::rustix::stdio::dup2_stdin;

use format::ContainerRecord;
pub use name::check_name;
pub use options::{Limit, Network, RunOptions, STATE_DIRECTORY, Tmpfs, Volume};
pub use prune::{Pruned, list, prune, remove, users_of_image};
use workspace::{Taken, Workspace};

/// How often a made-up name may turn out to be taken.
const NAME_ATTEMPTS: usize = 16;

/// A program that ran and ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code, or 128 + signal when a signal ended it.
    pub code: i32,
    /// Why something of the container could not be removed; `prune` will find it.
    pub left_behind: Option<Error>,
}

/// Runs a container until its program ends.
///
/// Standard input, output and error are the program's; signals that reach this process go on to it.
/// This process blocks all signals, takes the mask 022 and, unless `interactive`, gives up its
/// standard input: it should end when this returns.
///
/// # Errors
/// The container could not be started; [`exit_code`] says with which code to end. Nothing of it is
/// left.
pub fn run(options: &RunOptions) -> Result<Finished> {
    if let Some(name) = &options.name {
        check_name(name)?;
    }
    let store = Store::new(&options.store);
    let lock = store.lock_shared().map_err(image_error)?;
    let image = store.resolve(&options.image).map_err(image_error)?;
    // Up to here a signal ends us and leaves nothing; from here on it waits for the program.
    drop(block_signals().step(|| "hold signals back")?);
    // The program starts with docker's mask, and what we make for it has the modes we say.
    umask(Mode::WGRP | Mode::WOTH);
    let workspace = make_workspace(&options.store, options.name.as_deref(), |id, name| {
        ContainerRecord {
            version: format::VERSION,
            id,
            name,
            image: options.image.clone(),
            manifest: image.manifest,
            command: options.command.clone(),
            created: now(),
            remove: options.remove,
            ended: None,
        }
    })?;
    drop(lock);
    let result = run_in(options, &image, &workspace);
    let kept = match &result {
        Ok(code) if !options.remove => workspace.keep(Some(*code)),
        _ => workspace.remove(),
    };
    Ok(Finished {
        code: result?,
        left_behind: kept.err(),
    })
}

/// The exit code of `insula run` for a container that could not be started: 127 when there is no
/// such program, 126 when it cannot be run, 125 for everything else.
#[must_use]
pub fn exit_code(error: &Error) -> u8 {
    match error.kind_of() {
        Kind::ProgramNotFound => 127,
        Kind::ProgramNotExecutable => 126,
        _ => 125,
    }
}

fn run_in(options: &RunOptions, image: &Image, workspace: &Workspace) -> Result<i32> {
    let id = &workspace.record.id;
    let files = UnionView::open(&image.layers).map_err(image_error)?;
    let hostname = hostname(options, id);
    let spec = spec::build(options, (image, &files), &hostname)?;
    workspace.make_layer(&files, &network_files::make(options.network, &hostname))?;
    if !options.interactive {
        let nothing = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .step(|| "open /dev/null")?;
        dup2_stdin(&nothing).step(|| "replace standard input")?;
    }
    let mut create = CreateOptions::new(id, &workspace.path);
    create.source = Source::Memory(Box::new(spec));
    create.overlay = Some(Overlay {
        lower: layers::open(image)?,
        upper: workspace.path.join("upper"),
        work: workspace.path.join("work"),
        volatile: options.remove,
    });
    let runtime = runtime(options);
    runtime.run(&create, false, false)
}

fn runtime(options: &RunOptions) -> Runtime {
    Runtime {
        root: options.state.clone(),
        manager: options.cgroup_manager,
        rootless: false,
    }
}

/// Makes a directory with the record that `record` makes of an identifier and a name, which is made
/// up unless it is given. The caller holds the image store's lock.
pub(crate) fn make_workspace(
    store: &std::path::Path,
    given: Option<&str>,
    record: impl Fn(String, String) -> ContainerRecord,
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
    Err(Error::new("no free name was found for the container").hint("give one with --name"))
}

fn hostname(options: &RunOptions, id: &str) -> String {
    match (&options.hostname, options.network) {
        (Some(hostname), _) => hostname.clone(),
        (None, Network::None) => id[..12].to_owned(),
        (None, Network::Host) => {
            let system = insula_sys::rustix::system::uname();
            system.nodename().to_string_lossy().into_owned()
        }
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// An error of the image store as one of this module.
pub(crate) fn image_error(error: insula_image::Error) -> Error {
    let hint = error.hint_text().map(str::to_owned);
    let kind = match error.kind() {
        insula_image::Kind::NotFound => Kind::NotFound,
        _ => Kind::Other,
    };
    let converted = Error::new(error.chain()).kind(kind);
    match hint {
        Some(hint) => converted.hint(hint),
        None => converted,
    }
}
