//! From a guest's record to its running program.

use std::os::fd::OwnedFd;
use std::time::Instant;

use insula_container::error::{Context, Result};
use insula_container::rootfs::Overlay;
use insula_container::spec::{Process, Spec};
use insula_container::{CreateOptions, Launched, Source};
use insula_image::{Image, Store, UnionView};
use insula_sys::fuse::Connection;

use super::super::place::Place;
use super::super::workspace::Workspace;
use super::streams::{Streams, leave_standard_streams};
use super::view::Interim;
use crate::run::{
    RunOptions, hostname, image_error, layers, network_files, own_view, secret, spec,
};
use crate::volume;

/// A program that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) streams: Streams,
    pub(super) since: Instant,
    /// When what was asked to stop is killed.
    pub(super) deadline: Option<Instant>,
    /// It was told to stop, or was sent a signal that ends it.
    pub(super) is_stopping: bool,
    /// What programs that check on it begin with; absent when it has been taken over.
    pub(super) process: Option<Process>,
    /// Of its view of `/proc`, where it has one.
    pub(super) view: Option<Connection>,
    /// Serves it until the holder does.
    pub(super) interim: Option<Interim>,
}

/// What the monitor keeps of an image.
#[derive(Debug, Clone, Default)]
pub(super) struct ImageFacts {
    pub(super) stop_signal: String,
    pub(super) health: Option<crate::run::HealthCheck>,
}

/// Starts the guest's program.
pub(super) fn launch(place: &Place, workspace: &Workspace) -> Result<(Running, ImageFacts)> {
    let mut options = options(place, workspace);
    volume::resolve(&mut options)?;
    let id = &workspace.record.id;
    let image = resolve(&options, workspace)?;
    let files = UnionView::open(&image.layers).map_err(image_error)?;
    let hostname = hostname(&options, id);
    let mut spec = spec::build(&options, (&image, &files), &hostname, id)?;
    secret::show(&options.secrets, &place.live(id), &mut spec)?;
    if !workspace.has_layer() {
        workspace.make_layer(&files, &network_files::make(&options, &hostname))?;
    }
    let (mut streams, far) = Streams::make(options.terminal, options.interactive)?;
    let process = spec.process.clone();
    let view = own_view::mount(&options, &image.config.config)?;
    let mut interim = None;
    if let Some(view) = &view {
        own_view::show(view, &mut spec);
        interim = Some(Interim::start(place, id, &view.connection)?);
    }
    let facts = facts(&image);
    let create = create_options(&options, workspace, spec, &image)?;
    far.stand_in()?;
    let launched = place.runtime().launch(&create);
    leave_standard_streams()?;
    let Launched {
        pid,
        pidfd,
        terminal,
    } = launched?;
    if let Some(terminal) = terminal {
        streams.set_terminal(terminal)?;
    }
    let running = Running {
        pid,
        pidfd,
        streams,
        since: Instant::now(),
        deadline: None,
        is_stopping: false,
        process,
        // The mount is the container's alone from now on.
        view: view.map(|view| view.connection),
        interim,
    };
    Ok((running, facts))
}

/// The record's options, with the places that are not written down.
pub(in crate::guest) fn options(place: &Place, workspace: &Workspace) -> RunOptions {
    let mut options = workspace.record.config.clone();
    options.store.clone_from(&place.store);
    options.state.clone_from(&place.state);
    options.cgroup_manager = place.manager;
    options
}

/// By the manifest: the name may mean another image by now.
pub(in crate::guest) fn resolve(options: &RunOptions, workspace: &Workspace) -> Result<Image> {
    let store = Store::new(&options.store);
    let lock = store.lock_shared().map_err(image_error)?;
    let manifest = workspace.record.manifest.to_string();
    let image = store.resolve(&manifest).map_err(image_error);
    drop(lock);
    image.step(|| format!("find image `{}`", options.image))
}

/// What an image says about its guests beyond the program.
pub(super) fn facts_of(place: &Place, workspace: &Workspace) -> ImageFacts {
    let options = options(place, workspace);
    // An image that is gone says nothing any more; the guest goes on.
    resolve(&options, workspace).map_or_else(|_| ImageFacts::default(), |image| facts(&image))
}

fn facts(image: &Image) -> ImageFacts {
    let config = &image.config.config;
    let check = config.other.get("Healthcheck");
    ImageFacts {
        stop_signal: config.stop_signal.clone(),
        health: check.and_then(crate::run::HealthCheck::of_image),
    }
}

fn create_options(
    options: &RunOptions,
    workspace: &Workspace,
    spec: Spec,
    image: &Image,
) -> Result<CreateOptions> {
    let mut create = CreateOptions::new(&workspace.record.id, &workspace.path);
    create.source = Source::Memory(Box::new(spec));
    create.overlay = Some(Overlay {
        lower: layers::open(image)?,
        upper: workspace.path.join("upper"),
        work: workspace.path.join("work"),
        volatile: options.remove,
    });
    Ok(create)
}
