//! The open root of a guest.
//!
//! One that runs has a root of its own, which `/proc` leads to: with its volumes and what it keeps
//! in memory. For one at rest the overlay is mounted here, in a mount namespace of this process, so
//! that nothing can be left behind, however the process ends; and its lock is held, so that nobody
//! starts it meanwhile.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use insula_container::error::{Context, Error, Result};
use insula_container::rootfs::{Overlay, mount_overlay};
use insula_image::UnionView;
use insula_sys::Errno;
use insula_sys::mount::{Attributes, Reach, attribute, flag, mount, set_attributes};
use insula_sys::process::{CLONE_NEWNS, unshare};
use insula_sys::rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdir, open, openat2};
use insula_sys::rustix::mount::{
    MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount,
};

use super::super::find::{Guest, Status, find, pause_briefly};
use super::super::live;
use super::super::monitor::launch;
use super::super::place::Place;
use super::super::workspace::Workspace;
use crate::run::{RunOptions, Volume, hostname, image_error, layers, network_files};
use crate::volume;

/// How often a guest that is just being started or worked on is given a moment.
const MOMENTS: u32 = 400;

/// What is seen of a guest at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Its root and the volumes in it.
    Whole,
    /// Its root alone.
    Root,
}

/// The root directory of a guest. As long as it is open, one at rest stays at rest.
#[derive(Debug)]
pub(crate) struct GuestRoot {
    root: OwnedFd,
    pub(crate) guest: Guest,
    hold: Option<Workspace>,
}

impl GuestRoot {
    /// Opens the root of a guest that runs, is paused, or rests. This process must have one thread:
    /// it gets mounts of its own.
    ///
    /// # Errors
    /// There is no such guest, it is about to be started, or its layers cannot be mounted.
    pub(crate) fn open(place: &Place, name: &str, sight: Sight) -> Result<Self> {
        let mut last = Status::Starting;
        for _ in 0..MOMENTS {
            let guest = find(place, name)?;
            last = guest.status;
            let opened = match guest.status {
                Status::Running | Status::Paused => open_running(&guest)?.map(|root| (root, None)),
                Status::Created | Status::Exited => open_at_rest(place, &guest, sight)?
                    .map(|(root, workspace)| (root, Some(workspace))),
                Status::Starting | Status::Restarting => None,
            };
            if let Some((root, hold)) = opened {
                return Ok(Self { root, guest, hold });
            }
            pause_briefly()?;
        }
        Err(Error::new(format!("`{name}` is {}", last.name()))
            .hint("wait until it runs, or stop it"))
    }

    /// Opens what is at `path` for whoever has this root. Links are followed inside of it.
    pub(crate) fn find(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(
                &self.root,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                // A rename anywhere on the host may have raced with `..`: the kernel asks to retry.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

impl Drop for GuestRoot {
    fn drop(&mut self) {
        if let Some(workspace) = &self.hold {
            // In this process's own view; it goes with the process in any case.
            let _ = unmount(workspace.path.join("root"), UnmountFlags::DETACH);
        }
    }
}

impl AsFd for GuestRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// `None` when the program has just ended.
fn open_running(guest: &Guest) -> Result<Option<OwnedFd>> {
    let process = guest.state.as_ref().and_then(|state| state.process);
    let Some(process) = process else {
        return Ok(None);
    };
    let path = format!("/proc/{}/root", process.pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = match open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        other => other.step(|| format!("open the root of `{}`", guest.record.name))?,
    };
    // The number may have gone to another process before it was opened.
    Ok(live::is_alive(process).then_some(root))
}

/// `None` when it is at rest no more.
fn open_at_rest(
    place: &Place,
    guest: &Guest,
    sight: Sight,
) -> Result<Option<(OwnedFd, Workspace)>> {
    let workspace = Workspace::take(&place.store, &guest.record.id)?;
    if live::read(&place.live(&guest.record.id)).is_some() {
        return Ok(None);
    }
    let mut options = launch::options(place, &workspace);
    let image = launch::resolve(&options, &workspace)?;
    if !workspace.has_layer() {
        let files = UnionView::open(&image.layers).map_err(image_error)?;
        let given = network_files::make(&options, &hostname(&options, &guest.record.id));
        workspace.make_layer(&files, &given)?;
    }
    take_own_mounts()?;
    // Not the directory of the guest's own mounts: what the kernel makes in it says that it ran.
    let work = workspace.path.join("work.files");
    match mkdir(&work, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).step(|| format!("make {}", work.display())),
    }
    let overlay = Overlay {
        lower: layers::open(&image)?,
        upper: workspace.path.join("upper"),
        work,
        volatile: false,
    };
    let target = workspace.path.join("root");
    let root = mount_overlay(&overlay, &target)?;
    move_mount(
        &root,
        "",
        CWD,
        &target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .step(|| format!("mount the root at {}", target.display()))?;
    if sight == Sight::Whole {
        volume::resolve(&mut options)?;
        attach_volumes(&root, &options)?;
    }
    Ok(Some((root, workspace)))
}

/// Leaves the host's mounts as they are, whatever is mounted from now on.
pub(super) fn take_own_mounts() -> Result<()> {
    unshare(CLONE_NEWNS)
        .step(|| "make a mount namespace")
        .map_err(|error| error.hint("looking into a container that does not run needs root"))?;
    mount(None, "/", None, flag::SLAVE | flag::RECURSIVE, None)
        .step(|| "separate the mounts of this command")
}

/// Shows volumes where the guest has them. One whose source has gone, or whose place the guest has
/// never seen, is left out.
fn attach_volumes(root: &OwnedFd, options: &RunOptions) -> Result<()> {
    let mut volumes: Vec<&Volume> = options.volumes.iter().collect();
    volumes.sort_by_key(|volume| volume.destination.components().count());
    for volume in volumes {
        let step = || format!("show the volume at {}", volume.destination.display());
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let onto = openat2(root, &volume.destination, flags, Mode::empty(), resolve);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(CWD, &volume.source, flags);
        let (onto, tree) = match (onto, tree) {
            (Err(Errno::NOENT), _) | (_, Err(Errno::NOENT)) => continue,
            (onto, tree) => (onto.step(step)?, tree.step(step)?),
        };
        if volume.options.iter().any(|option| option == "ro") {
            let read_only = Attributes {
                set: attribute::READ_ONLY,
                ..Attributes::default()
            };
            set_attributes(&tree, Reach::Recursive, &read_only).step(step)?;
        }
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, "", &onto, "", flags).step(step)?;
    }
    Ok(())
}
