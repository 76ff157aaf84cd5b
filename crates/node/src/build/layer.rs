//! The layers of a step: mounted to be changed, and written down afterwards by another thread.
//!
//! Each step changes a directory of its own, the upper one of an overlay. The next step takes it as
//! a lower one as it is, while [`Writer`] makes a layer of it for the store.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use insula_container::error::{Context, Error, Result};
use insula_container::rootfs::{Lower, Overlay, mount_changes};
use insula_image::{AddedLayer, Transaction};
use insula_sys::overlay::mount_read_only;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::mount::{
    MountAttrFlags, MoveMountFlags, UnmountFlags, move_mount, unmount,
};

use crate::run::image_error;

/// The union of a step, mounted at `root` of the build's directory. Unmounted when dropped.
#[derive(Debug)]
pub(super) struct Mounted {
    pub(super) root: PathBuf,
    pub(super) upper: PathBuf,
}

impl Mounted {
    /// Mounts `lower`, the uppermost first, with a new upper directory in `directory`.
    pub(super) fn new(lower: Vec<PathBuf>, directory: &Path, root: &Path) -> Result<Self> {
        let upper = directory.join("upper");
        let work = directory.join("work");
        for path in [directory, &upper, &work] {
            make(path)?;
        }
        like(&upper, lower.first().map(PathBuf::as_path))?;
        let overlay = Overlay {
            lower: lower.into_iter().map(Lower::Directory).collect(),
            upper,
            work,
            volatile: true,
        };
        let detached = mount_changes(&overlay)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&detached, "", insula_sys::rustix::fs::CWD, root, flags)
            .step(|| format!("mount the root at {}", root.display()))?;
        Ok(Self {
            root: root.to_owned(),
            upper: overlay.upper,
        })
    }

    /// Unmounts; the directory with the changes.
    pub(super) fn finish(self) -> PathBuf {
        self.upper.clone()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The mount is in this process's own namespace: it goes with it in any case.
        let _ = unmount(&self.root, UnmountFlags::DETACH);
    }
}

/// Whether an upper directory that is not mounted says anything else than the one below.
pub(super) fn has_changes(upper: &Path, below: Option<&Path>) -> Result<bool> {
    let step = || "look at what the step changed";
    if std::fs::read_dir(upper).step(step)?.next().is_some() {
        return Ok(true);
    }
    let attributes = |path: &Path| {
        let metadata = path.metadata().step(step)?;
        Ok::<_, Error>((metadata.mode(), metadata.uid(), metadata.gid()))
    };
    match below {
        Some(below) => Ok(attributes(upper)? != attributes(below)?),
        None => Ok(false),
    }
}

pub(super) fn make(path: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.step(|| format!("make directory {}", path.display()))
}

/// Gives a new root directory the owner and mode of the one below.
fn like(path: &Path, below: Option<&Path>) -> Result<()> {
    let step = || "make the root directory of the step";
    let (mode, uid, gid) = match below {
        Some(below) => {
            let metadata = below.metadata().step(step)?;
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
        }
        None => (0o755, 0, 0),
    };
    if (uid, gid) != (0, 0) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).step(step)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).step(step)
}

/// The root of a union that is only read, of layers from the uppermost to the lowest.
pub(super) fn read_union(lower: &[PathBuf]) -> Result<Option<OwnedFd>> {
    match lower {
        [] => Ok(None),
        [only] => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = open(only, flags, Mode::empty());
            opened.map(Some).step(|| format!("open {}", only.display()))
        }
        several => mount_read_only(several, MountAttrFlags::empty())
            .map(Some)
            .step(|| "mount layers to read them"),
    }
}

struct Job {
    upper: PathBuf,
    below: Option<OwnedFd>,
    modified: Option<i64>,
}

/// Makes layers of upper directories, in the order in which they come.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    results: Receiver<insula_image::Result<AddedLayer>>,
    finished: Vec<Option<AddedLayer>>,
    submitted: usize,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(transaction: Arc<Transaction>) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (done, results) = channel();
        let work = move || {
            for job in queue {
                let added = transaction.add_upper(job.upper, job.below, job.modified);
                let is_last = added.is_err();
                // Nobody listens any more when the build has failed.
                if done.send(added).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("write layers".to_owned())
            .spawn(work);
        Ok(Self {
            jobs: Some(jobs),
            results,
            finished: Vec::new(),
            submitted: 0,
            thread: Some(thread.step(|| "start a thread to write layers")?),
        })
    }

    /// Hands over an upper directory that nobody changes any more; its number.
    pub(super) fn submit(
        &mut self,
        upper: PathBuf,
        below: Option<OwnedFd>,
        modified: Option<i64>,
    ) -> usize {
        let job = Job {
            upper,
            below,
            modified,
        };
        if let Some(jobs) = &self.jobs {
            // A thread that has failed says why when its result is asked for.
            let _ = jobs.send(job);
        }
        self.submitted += 1;
        self.submitted - 1
    }

    /// Waits for a layer.
    pub(super) fn take(&mut self, number: usize) -> Result<AddedLayer> {
        while self.finished.len() <= number {
            let result = self.results.recv();
            let added = result.map_err(|_gone| Error::new("the layers cannot be written"))?;
            let added = added
                .map_err(image_error)
                .step(|| "write the layer of a step")?;
            self.finished.push(Some(added));
        }
        let added = self.finished[number].clone();
        added.ok_or_else(|| Error::new("a layer was taken twice"))
    }

    /// Ends the thread.
    pub(super) fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread aborts the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}
