//! The place of a container's cgroup ([`Location`]) and the handle on a made one ([`Cgroup`]).

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use insula_sys::rustix::fs::{CWD, Mode, OFlags, openat};
use insula_sys::rustix::io::write;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::limits::Purpose;
use super::limits_v2;
use super::systemd::{self, Bus, Unit};
use crate::error::{Context, Error, Result};
use crate::spec::Resources;

/// Where every distribution mounts the hierarchies.
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// Who makes the directories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// We do, in the mounted file systems.
    #[default]
    Cgroupfs,
    /// systemd does, as a transient scope.
    Systemd,
    /// Nobody: the container stays in the cgroup of its creator and has no limits.
    Disabled,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// The mount point: a name below the root, an absolute path, or nothing for the root itself.
    pub mount: String,
    /// The version 1 controllers or the `name=` of the hierarchy, where the mount point does not
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controllers: Option<String>,
    /// Whether it is version 2.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unified: bool,
}

impl Hierarchy {
    /// Whether this version 1 hierarchy has the controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        let names = self.controllers.as_deref().unwrap_or(&self.mount);
        !self.unified && names.split(',').any(|name| name == controller)
    }
}

/// Where the container's cgroup is. Made before the cgroup is, and kept in the state record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    pub(super) manager: Manager,
    /// The directory that holds the mount points.
    #[serde(default = "default_root", skip_serializing_if = "is_default_root")]
    pub(super) root: Cow<'static, str>,
    pub(super) hierarchies: Vec<Hierarchy>,
    /// The directory of the container in every hierarchy, without a leading slash.
    pub(super) path: String,
    /// What systemd calls it, when systemd makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<Unit>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) rootless: bool,
    /// Whether the configuration asked for this very path.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) path_given: bool,
}

fn default_root() -> Cow<'static, str> {
    Cow::Borrowed(ROOT)
}

fn is_default_root(root: &str) -> bool {
    root == ROOT
}

impl Location {
    /// Whether there is nothing: the container stays in the cgroup of its creator.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.manager == Manager::Disabled
    }

    /// The path of the container below each mount point, with its leading slash; `None` without
    /// cgroups.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        (!self.hierarchies.is_empty()).then(|| format!("/{}", self.path))
    }

    /// Every mount point with the container's directory below it, both absolute.
    pub fn places(&self) -> impl Iterator<Item = (String, String)> {
        let absolute = |path: &str| match path {
            path if path.starts_with('/') => path.to_owned(),
            "" => self.root.to_string(),
            path => format!("{}/{path}", self.root),
        };
        self.hierarchies.iter().map(move |hierarchy| {
            (
                absolute(&hierarchy.mount),
                absolute(&self.path_in(hierarchy)),
            )
        })
    }

    /// The directory in the hierarchy of a version 1 controller, or in version 2 for `""`. This is
    /// what state records and tools call "cgroup paths".
    #[must_use]
    pub fn directory(&self, controller: &str) -> Option<String> {
        let hierarchy = self.hierarchies.iter().find(|hierarchy| {
            hierarchy.unified && controller.is_empty() || hierarchy.has(controller)
        })?;
        Some(self.absolute(hierarchy))
    }

    /// The container's directory in every hierarchy.
    #[must_use]
    pub fn directories(&self) -> Vec<String> {
        self.hierarchies
            .iter()
            .map(|hierarchy| self.absolute(hierarchy))
            .collect()
    }

    fn absolute(&self, hierarchy: &Hierarchy) -> String {
        let path = self.path_in(hierarchy);
        if path.starts_with('/') {
            path
        } else {
            format!("{}/{path}", self.root)
        }
    }

    /// Whether the first process must exist (and wait) before [`Location::create`], which then puts
    /// it into the cgroup: systemd makes no scope without a process.
    #[must_use]
    pub fn needs_process(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| !unit.is_slice())
    }

    pub(super) fn is_unified(&self) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.unified)
    }

    pub(super) fn path_in(&self, hierarchy: &Hierarchy) -> String {
        if hierarchy.mount.is_empty() {
            return self.path.clone();
        }
        let mut path = String::with_capacity(hierarchy.mount.len() + 1 + self.path.len());
        path.push_str(&hierarchy.mount);
        path.push('/');
        path.push_str(&self.path);
        path
    }

    /// The cgroup of an existing container. Opens nothing but the root; processes join by
    /// [`Cgroup::attach`] or after [`Cgroup::open_to_join`].
    ///
    /// # Errors
    /// When the root of the hierarchies is gone.
    pub fn open(&self) -> Result<Cgroup> {
        Ok(Cgroup {
            root: self.open_root()?,
            location: self.clone(),
            clone_into: None,
            join: Vec::new(),
        })
    }

    pub(super) fn open_root(&self) -> Result<Option<OwnedFd>> {
        if self.hierarchies.is_empty() {
            return Ok(None);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, self.root.as_ref(), flags, Mode::empty())
            .step(|| format!("open {}", self.root))
            .map(Some)
    }
}

/// A container's cgroup that has been made.
#[derive(Debug)]
pub struct Cgroup {
    pub(super) root: Option<OwnedFd>,
    /// Only the hierarchies in which the container really has a directory, after `create`.
    pub(super) location: Location,
    pub(super) clone_into: Option<OwnedFd>,
    pub(super) join: Vec<OwnedFd>,
}

impl Cgroup {
    /// The version 2 directory, for `CLONE_INTO_CGROUP`. `None` when the hierarchy is among
    /// [`Cgroup::join_files`] instead.
    #[must_use]
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.clone_into.as_ref().map(AsFd::as_fd)
    }

    /// Files into which a single-threaded process writes `0` to join the hierarchies that
    /// [`Cgroup::clone_into`] does not cover.
    #[must_use]
    pub fn join_files(&self) -> &[OwnedFd] {
        &self.join
    }

    /// Moves a single-threaded process into what [`Cgroup::open_to_join`] has opened.
    ///
    /// # Errors
    /// When the process or a cgroup is gone, or the kernel refuses.
    pub fn attach_to_opened(&self, pid: i32) -> Result<()> {
        let pid = pid.to_string();
        let step = || "enter the container's cgroup";
        if let Some(directory) = &self.clone_into {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = openat(directory, "cgroup.procs", flags, Mode::empty()).step(step)?;
            write(&file, pid.as_bytes()).step(step)?;
        }
        for file in &self.join {
            write(file, pid.as_bytes()).step(step)?;
        }
        Ok(())
    }

    /// Lets go of [`Cgroup::join_files`].
    pub fn close_join_files(&mut self) {
        self.join.clear();
    }

    /// Where this cgroup is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    pub(super) fn directory_in(&self, hierarchy: &Hierarchy) -> Option<Directory<'_>> {
        let root = self.root.as_ref()?.as_fd();
        Some(Directory::new(root, self.location.path_in(hierarchy)))
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = (&Hierarchy, Directory<'_>)> {
        self.location
            .hierarchies
            .iter()
            .filter_map(|hierarchy| Some((hierarchy, self.directory_in(hierarchy)?)))
    }

    /// The directory of the version 1 hierarchy with this controller.
    pub(super) fn controller(&self, name: &str) -> Option<Directory<'_>> {
        let hierarchies = &self.location.hierarchies;
        let hierarchy = hierarchies.iter().find(|hierarchy| hierarchy.has(name))?;
        self.directory_in(hierarchy)
    }

    /// The version 2 directory.
    pub(super) fn unified(&self) -> Option<Directory<'_>> {
        let hierarchies = &self.location.hierarchies;
        let hierarchy = hierarchies.iter().find(|hierarchy| hierarchy.unified)?;
        self.directory_in(hierarchy)
    }

    /// The hierarchy whose lists of processes stand for the container.
    pub(super) fn any_directory(&self) -> Option<Directory<'_>> {
        self.unified()
            .or_else(|| self.controller("devices"))
            .or_else(|| self.directories().next().map(|(_, directory)| directory))
    }

    /// Changes limits of a live cgroup: what `resources` does not give stays as it is.
    ///
    /// # Errors
    /// The first limit that the kernel refuses, or that this host cannot hold.
    pub fn apply(&self, resources: &Resources) -> Result<()> {
        if self.location.manager == Manager::Disabled {
            return Err(Error::new("change limits of a container without a cgroup")
                .hint("it was created with --cgroup-manager=disabled"));
        }
        if let Some(unit) = &self.location.unit {
            if let (Some(directory), Some(memory)) = (self.unified(), &resources.memory) {
                limits_v2::check_before_update(&directory, memory)?;
            }
            let (unified, rootless) = (self.location.is_unified(), self.location.rootless);
            systemd::update(
                &mut Bus::connect(rootless)?,
                unit,
                resources,
                unified,
                rootless,
            )?;
        }
        self.set_limits(resources, Purpose::Update)
    }
}
