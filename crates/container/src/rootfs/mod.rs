//! The container's view of the file system: root, mounts, devices, masks.
//!
//! Four steps. [`Prepared::new`] runs in the runtime, before the container's process exists: it
//! checks everything it can and opens what only the runtime may open. The other three run in the
//! new process, in its mount namespace: [`Prepared::build`] makes the tree on the old root (hooks
//! of kind `createContainer` come after it), [`Prepared::pivot`] makes it `/` and lets go of the
//! host, [`Prepared::finish`] closes it: sysctls, read-only and masked paths, read-only root.
//!
//! Everything below the root is reached through [`tree`], which cannot be led out of it.

mod devices;
mod masks;
mod overlay;
mod pivot;
pub(crate) mod tree;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use insula_sys::mount::{Attributes, Reach, attribute, flag, mount, set_attributes};
use insula_sys::rustix::fs::{CWD, Mode};
use insula_sys::rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use insula_sys::rustix::process::{chdir, fchdir, umask};

use crate::cgroup::Location;
use crate::error::{Context, Error, Result};
use crate::mount::CgroupHierarchy;
use crate::mount::{
    AskToMap, Delayed, IdMaps, Mount, PropagationChange, Surroundings, plan, propagation_of,
};
use crate::spec::Spec;
use crate::sysctl;

pub use overlay::{Lower, Overlay, mount as mount_overlay, mount_changes, mount_lower};
use tree::{Leaf, Tree, relative};

/// What `config.json` does not say about the file system, or not in one place. A namespace counts
/// as the container's whether it is new or joined.
#[derive(Debug)]
pub struct RootfsOptions<'a> {
    /// Move the root onto `/` and chroot(2), for a host root that pivot_root(2) refuses (ramfs).
    pub no_pivot: bool,
    pub has_mount_namespace: bool,
    pub has_user_namespace: bool,
    pub has_cgroup_namespace: bool,
    pub has_network_namespace: bool,
    pub has_pid_namespace: bool,
    /// The container's cgroup: what `type: cgroup` mounts show.
    pub cgroup: &'a Location,
    /// A layered root, mounted on `root.path` in the container's mount namespace only.
    pub overlay: Option<Overlay>,
}

/// A file system view, checked and ready to be built.
#[derive(Debug)]
pub struct Prepared {
    around: Surroundings,
    /// Both used up by [`build`](Self::build), which so closes what was opened for them: the
    /// program's limit on descriptors may be low.
    mounts: RefCell<Vec<Mount>>,
    devices: RefCell<devices::Devices>,
    masks: masks::Masks,
    sysctls: Vec<sysctl::Setting>,
    overlay: Option<Overlay>,
    propagation: Option<PropagationChange>,
    read_only: bool,
    /// The program's working directory, relative to the root.
    directory: PathBuf,
    mount_namespace: bool,
    no_pivot: bool,
    built: RefCell<Option<Built>>,
}

/// What [`Prepared::build`] leaves for the steps after it.
#[derive(Debug)]
struct Built {
    root: Tree,
    delayed: Vec<Delayed>,
    /// Whether unmounting the old root could still reach the host.
    old_root_is_shared: bool,
}

impl Prepared {
    /// Checks what `spec` asks of the file system and opens what the container could not.
    /// Runs in the runtime; `bundle` is absolute.
    ///
    /// # Errors
    /// A field of `spec` that cannot be served, by its name; a source only the runtime could open.
    pub fn new(spec: &Spec, bundle: &Path, options: &RootfsOptions<'_>) -> Result<Self> {
        let root = spec
            .root
            .as_ref()
            .ok_or_else(|| Error::new("root: missing"))?;
        let linux = spec.linux.as_ref();
        let around = Surroundings {
            bundle: bundle.to_owned(),
            rootfs: bundle.join(&root.path),
            user_namespace: options.has_user_namespace,
            pid_namespace: options.has_pid_namespace,
            cgroup_namespace: options.has_cgroup_namespace,
            group_ids: linux
                .filter(|linux| options.has_user_namespace && !linux.gid_mappings.is_empty())
                .map(|linux| linux.gid_mappings.clone()),
            hierarchies: hierarchies(spec, options.cgroup),
            label: linux
                .and_then(|linux| linux.mount_label.clone())
                .filter(|_| has_selinux()),
        };
        let masks = masks::Masks::new(linux, options.has_mount_namespace)?;
        let propagation = propagation(linux.and_then(|linux| linux.rootfs_propagation.as_deref()))?;
        let sysctls = sysctl::settings(linux);
        let mut id_maps = IdMaps::new(spec);
        let mounts = spec.mounts.iter().enumerate();
        let mounts = mounts.map(|(index, entry)| plan(index, entry, &around, &mut id_maps));
        let mounts = mounts.collect::<Result<Vec<_>>>()?;
        let devices = devices::Devices::new(linux, &mounts, options.has_user_namespace);
        Ok(Self {
            around,
            mounts: RefCell::new(mounts),
            devices: RefCell::new(devices),
            masks,
            sysctls,
            overlay: options.overlay.clone(),
            propagation,
            read_only: root.readonly,
            directory: spec
                .process
                .as_ref()
                .map(|process| relative(&process.cwd))
                .unwrap_or_default(),
            mount_namespace: options.has_mount_namespace,
            no_pivot: options.no_pivot,
            built: RefCell::new(None),
        })
    }
}

/// The container's cgroup directories, if some mount shows them.
fn hierarchies(spec: &Spec, cgroup: &Location) -> Vec<CgroupHierarchy> {
    let shown = spec
        .mounts
        .iter()
        .any(|mount| mount.kind.as_deref() == Some("cgroup"));
    if !shown {
        return Vec::new();
    }
    let place = |(mount_point, own): (String, String)| CgroupHierarchy {
        mount_point: mount_point.into(),
        own: own.into(),
    };
    cgroup.places().map(place).collect()
}

fn propagation(name: Option<&str>) -> Result<Option<PropagationChange>> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    propagation_of(name).map(Some).ok_or_else(|| {
        Error::new(format!("linux.rootfsPropagation: unknown value {name:?}"))
            .hint("one of shared, slave, private, unbindable, or each with an r in front")
    })
}

/// Whether mounts can carry an SELinux context at all.
fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

impl Prepared {
    /// Makes the whole tree below the old root, and leaves the working directory in the bundle.
    ///
    /// # Errors
    /// The mount, device or directory that could not be made.
    pub fn build(&self) -> Result<()> {
        self.build_asking(&|index, _| {
            Err(Error::new(format!(
                "mounts[{index}]: only the host's root may map its ids"
            )))
        })
    }

    /// As [`build`](Self::build), with somebody to ask for what this process may not do.
    pub(crate) fn build_asking(&self, ask_to_map: AskToMap<'_>) -> Result<()> {
        // Modes of directories and devices are as written here.
        let old_mask = umask(Mode::empty());
        let result = self.build_tree(ask_to_map);
        umask(old_mask);
        *self.built.borrow_mut() = Some(result?);
        Ok(())
    }

    /// In the runtime: what [`AskToMap`] asks for.
    pub(crate) fn map_ids(&self, index: usize, tree: &OwnedFd) -> Result<()> {
        match self.mounts.borrow().get(index) {
            Some(mount) => mount.apply_id_map(tree),
            None => Err(Error::new(
                "the container asks for a mount that is not there",
            )),
        }
    }

    fn build_tree(&self, ask_to_map: AskToMap<'_>) -> Result<Built> {
        let mounts = self.mounts.take();
        // Trees that stay in their peer group are cloned before the host's mounts become slaves.
        let keep_shared = self.mount_namespace && !self.around.user_namespace;
        let early = mounts.iter().map(|mount| {
            let shared = keep_shared && mount.is_shared_with_host();
            shared.then(|| mount.open_source().ok()).flatten()
        });
        let early = early.collect::<Vec<_>>();
        let old_root_is_shared = self.part_from_host()?;
        let mut root = Tree {
            root: self.mount_root()?,
        };
        let mut delayed = Vec::new();
        for (mount, early) in mounts.into_iter().zip(early) {
            delayed.extend(mount.make(&mut root, &self.around, early, ask_to_map)?);
        }
        self.devices.take().make(&root)?;
        // Where createContainer hooks are used to run; a user namespace may not reach it.
        if chdir(&self.around.bundle).is_err() {
            fchdir(&root.root).step(|| "enter the root directory")?;
        }
        Ok(Built {
            root,
            delayed,
            old_root_is_shared,
        })
    }

    /// Sets the propagation of the host's mounts in this namespace, so that nothing made here can
    /// appear on the host. Says whether the old root may still propagate there.
    fn part_from_host(&self) -> Result<bool> {
        if !self.mount_namespace {
            return Ok(false);
        }
        let change = match self.propagation.map(|change| change.kind) {
            Some(flag::SHARED) => {
                // Only what the root stands on must not be shared: pivot_root(2) refuses that, and
                // the root's own mounts would propagate.
                self.make_parent_private()?;
                return Ok(true);
            }
            // A private or unbindable host tree could not be bound from.
            Some(flag::PRIVATE | flag::UNBINDABLE) => flag::PRIVATE,
            // The kernel made every mount a slave when it copied them into the user namespace.
            _ if self.around.user_namespace => return Ok(false),
            _ => flag::SLAVE,
        };
        mount(None, "/", None, flag::RECURSIVE | change, None)
            .step(|| "part the mounts of the container from the host's")?;
        Ok(false)
    }

    /// Makes the mount that holds the root directory private.
    fn make_parent_private(&self) -> Result<()> {
        let mut path = self.around.rootfs.as_path();
        loop {
            match (mount(None, path, None, flag::PRIVATE, None), path.parent()) {
                // Not the root of a mount: further up.
                (Err(insula_sys::Errno::INVAL), Some(parent)) => path = parent,
                (result, _) => {
                    return result.step(|| format!("make the mount {} private", path.display()));
                }
            }
        }
    }

    /// Mounts the root on itself (or its layers on it), since `/` must be a mount.
    fn mount_root(&self) -> Result<OwnedFd> {
        let rootfs = &self.around.rootfs;
        let tree = match &self.overlay {
            Some(overlay) => overlay::mount(overlay, rootfs)?,
            None => {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                open_tree(CWD, rootfs, flags | OpenTreeFlags::AT_RECURSIVE)
                    .step(|| format!("open the root directory {}", rootfs.display()))?
            }
        };
        if !self.mount_namespace {
            let private = Attributes {
                propagation: flag::PRIVATE,
                ..Attributes::default()
            };
            set_attributes(&tree, Reach::Recursive, &private)
                .step(|| "make the root directory's mounts private")?;
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        move_mount(&tree, "", CWD, rootfs, flags)
            .step(|| format!("mount the root directory on {}", rootfs.display()))?;
        Ok(tree)
    }

    /// Makes the new root `/` and lets go of the old one. The working directory becomes `/`.
    ///
    /// # Errors
    /// The kernel's refusal; also if [`build`](Self::build) has not been run.
    pub fn pivot(&self) -> Result<()> {
        let built = self.built.borrow();
        let built = built
            .as_ref()
            .ok_or_else(|| Error::new("pivot before build"))?;
        if !self.mount_namespace {
            pivot::change_root(&built.root)
        } else if self.no_pivot {
            pivot::move_root(&built.root, &self.around.rootfs)
        } else {
            pivot::pivot(&built.root, built.old_root_is_shared)
        }
    }

    /// Binds the container's terminal onto /dev/console, between [`pivot`](Self::pivot) and
    /// [`finish`](Self::finish). The terminal is of this mount namespace.
    ///
    /// # Errors
    /// There is no /dev, or the kernel refuses.
    pub fn mount_console(&self, terminal: &OwnedFd) -> Result<()> {
        let built = self.built.borrow();
        let built = built
            .as_ref()
            .ok_or_else(|| Error::new("console before build"))?;
        devices::mount_console(&built.root, terminal)
    }

    /// The last touches, after [`pivot`](Self::pivot): sysctls, masked and read-only paths, the
    /// read-only root, its propagation.
    ///
    /// # Errors
    /// The path or setting that could not be applied.
    pub fn finish(&self) -> Result<()> {
        let built = self.built.borrow();
        let built = built
            .as_ref()
            .ok_or_else(|| Error::new("finish before build"))?;
        if !self.directory.as_os_str().is_empty() {
            // While the root can still be written to; whoever enters it says why it cannot.
            drop(built.root.find_or_make(&self.directory, Leaf::Directory));
        }
        sysctl::apply(&self.sysctls, &built.root)?;
        self.masks.apply(&built.root)?;
        for delayed in &built.delayed {
            set_delayed(&built.root, delayed)?;
        }
        if self.read_only {
            let read_only = Attributes {
                set: attribute::READ_ONLY,
                ..Attributes::default()
            };
            set_attributes(&built.root.root, Reach::One, &read_only)
                .step(|| "make the root directory read-only")?;
        }
        // Private and slave were applied before the root was made.
        if let Some(PropagationChange {
            kind: kind @ (flag::SHARED | flag::UNBINDABLE),
            recursive,
        }) = self.propagation
            && self.mount_namespace
        {
            let reach = if recursive {
                Reach::Recursive
            } else {
                Reach::One
            };
            let change = Attributes {
                propagation: kind,
                ..Attributes::default()
            };
            set_attributes(&built.root.root, reach, &change)
                .step(|| "set linux.rootfsPropagation")?;
        }
        Ok(())
    }

    /// The root directory, once built.
    #[must_use]
    pub fn rootfs(&self) -> &Path {
        &self.around.rootfs
    }
}

fn set_delayed(root: &Tree, delayed: &Delayed) -> Result<()> {
    let step = || format!("make \"/{}\" read-only", delayed.destination.display());
    let found = root.find(&delayed.destination).step(step)?;
    let reach = if delayed.recursive {
        Reach::Recursive
    } else {
        Reach::One
    };
    let change = Attributes {
        set: delayed.attributes,
        ..Attributes::default()
    };
    set_attributes(&found.fd, reach, &change).step(step)
}
