//! Makes the directories of a container in every hierarchy and sets their limits.
//!
//! The usual cost per version 1 hierarchy is one `mkdirat` and one `openat` of `tasks`: the process
//! joins by writing to that itself. Writing "0" to `tasks` moves only the calling thread, for which
//! the kernel takes no lock against forks (`cgroup_procs_write_start`), unlike `cgroup.procs`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use insula_sys::Errno;
use insula_sys::rustix::fs::OFlags;

use super::below::Below;
use super::controllers;
use super::cpuset;
use super::delegate;
use super::directory::Directory;
use super::limits::{Purpose, in_user_namespace, is_for_privilege};
use super::location::{Cgroup, Hierarchy, Location, Manager};
use super::systemd::{self, Bus, Start, Unit};
use crate::error::{Context, Error, Result};
use crate::spec::Resources;

/// What a new cgroup gets besides its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    pub resources: Option<&'a Resources>,
    /// The host's user who may manage the cgroup from inside (config-linux.md, Cgroup ownership);
    /// version 2 only.
    pub owner: Option<u32>,
}

/// What a cgroup made by systemd begins with.
#[derive(Debug, Clone, Copy)]
pub struct FirstProcess<'a> {
    /// It waits, still without a cgroup namespace of its own.
    pub pid: i32,
    /// Those named `org.systemd.property.<name>` become properties of the scope.
    pub annotations: &'a BTreeMap<String, String>,
}

/// A cgroup in the making. A process can be born into what [`Location::begin`] made of it, and get
/// on with its namespaces while [`Making::complete`] makes the rest.
#[derive(Debug)]
pub struct Making<'a> {
    wanted: &'a Location,
    settings: Settings<'a>,
    cgroup: Cgroup,
    new: Vec<&'a Hierarchy>,
    /// Why the first hierarchy was left out.
    refused: Option<Error>,
    scope: Option<(Bus, &'a Unit)>,
}

impl Location {
    /// Makes the cgroup, with its limits. Hierarchies that may not be written to, or are not
    /// mounted, are left out as long as no limit needs them.
    ///
    /// # Errors
    /// When a directory cannot be made, is in use or frozen, or a limit cannot be set. What was
    /// made is removed again. Where [`Location::needs_process`], use [`Location::create_around`].
    pub fn create(&self, settings: &Settings<'_>) -> Result<Cgroup> {
        self.begin(settings)?.finish(None)
    }

    /// Makes what a process is born into: the version 2 directory, where there is one.
    ///
    /// # Errors
    /// As [`Location::create`].
    pub fn begin<'a>(&'a self, settings: &Settings<'a>) -> Result<Making<'a>> {
        if self.needs_process() {
            return Err(Error::new("systemd makes no scope without a process"));
        }
        let mut making = Making::start(self, settings, None)?;
        match making.make(|hierarchy| hierarchy.unified) {
            Ok(()) => Ok(making),
            Err(error) => {
                making.undo();
                Err(error)
            }
        }
    }

    /// As [`Location::create`], and puts the process into the cgroup, whoever makes it. Nothing is
    /// left for the process to join.
    ///
    /// # Errors
    /// As [`Location::create`], or when systemd cannot be reached or refuses.
    pub fn create_around(
        &self,
        settings: &Settings<'_>,
        process: &FirstProcess<'_>,
    ) -> Result<Cgroup> {
        Making::start(self, settings, Some(process))?.finish(Some(process.pid))
    }

    fn start_scope(
        &self,
        unit: &Unit,
        resources: &Resources,
        process: Option<&FirstProcess<'_>>,
    ) -> Result<Bus> {
        let mut bus = Bus::connect(self.rootless)?;
        let start = Start {
            unit,
            pid: process.map_or(0, |process| process.pid),
            resources,
            annotations: process.map(|process| process.annotations),
            unified: self.is_unified(),
            rootless: self.rootless,
        };
        systemd::start(&mut bus, &start)?;
        Ok(bus)
    }
}

impl<'a> Making<'a> {
    fn start(
        wanted: &'a Location,
        settings: &Settings<'a>,
        process: Option<&FirstProcess<'_>>,
    ) -> Result<Self> {
        let root = wanted.open_root()?;
        let none = Resources::default();
        let resources = settings.resources.unwrap_or(&none);
        let scope = match &wanted.unit {
            Some(unit) => Some((wanted.start_scope(unit, resources, process)?, unit)),
            None => None,
        };
        let count = wanted.hierarchies.len();
        Ok(Self {
            wanted,
            settings: *settings,
            cgroup: Cgroup {
                root,
                location: Location {
                    hierarchies: Vec::with_capacity(count),
                    root: wanted.root.clone(),
                    path: wanted.path.clone(),
                    unit: wanted.unit.clone(),
                    ..*wanted
                },
                clone_into: None,
                join: Vec::with_capacity(count),
            },
            new: Vec::with_capacity(count),
            refused: None,
            scope,
        })
    }

    /// So much of the cgroup as there is.
    #[must_use]
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Makes what [`Location::begin`] left, and sets the limits.
    ///
    /// # Errors
    /// As [`Location::create`], but what was made stays until [`Making::undo`].
    pub fn complete(&mut self) -> Result<()> {
        self.make(|hierarchy| !hierarchy.unified)?;
        if self.cgroup.location.manager == Manager::Disabled {
            return Ok(());
        }
        let none = Resources::default();
        let resources = self.settings.resources.unwrap_or(&none);
        // Where the controller is missing because its directory could not be made, that is why.
        let limited = self.cgroup.set_limits(resources, Purpose::Create);
        limited.map_err(|error| match self.refused.take() {
            Some(refused) if error.errno().is_none() => refused,
            _ => error,
        })?;
        if let (Some(owner), Some(directory)) = (self.settings.owner, self.cgroup.unified()) {
            delegate::hand_over(&directory, owner)?;
        }
        Ok(())
    }

    /// The cgroup, when it is complete.
    #[must_use]
    pub fn into_cgroup(self) -> Cgroup {
        self.cgroup
    }

    /// Removes what was made. No process may be in it any more.
    pub fn undo(mut self) {
        // The failure that led here is the one to report.
        if let Some((bus, unit)) = &mut self.scope {
            let _ = systemd::stop(bus, unit);
        }
        for hierarchy in self.new {
            let directory = self.cgroup.directory_in(hierarchy);
            let _ = directory.map(|directory| directory.remove());
        }
    }

    fn finish(mut self, process: Option<i32>) -> Result<Cgroup> {
        let made = match process {
            // Around a process nothing was begun.
            Some(pid) => self
                .make(|hierarchy| hierarchy.unified)
                .and_then(|()| self.complete())
                .and_then(|()| self.cgroup.take_in(pid)),
            None => self.complete(),
        };
        match made {
            Ok(()) => Ok(self.cgroup),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    fn make(&mut self, which: impl Fn(&Hierarchy) -> bool) -> Result<()> {
        let resources = self.settings.resources;
        // With pids.max=0 every fork fails (EAGAIN), but moving in is not counted as one.
        let pids = resources.and_then(|resources| resources.pids.as_ref());
        let forks = pids.and_then(|pids| pids.limit) != Some(0);
        for hierarchy in self.wanted.hierarchies.iter().filter(|one| which(one)) {
            match self.cgroup.make_in(hierarchy, forks, &mut self.new) {
                Ok(()) => self.cgroup.location.hierarchies.push(hierarchy.clone()),
                Err(error) if may_be_left_out(self.wanted, &error) => {
                    self.refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Cgroup {
    /// systemd has moved the process in its own hierarchies; in version 1 not in all of the others.
    fn take_in(&mut self, pid: i32) -> Result<()> {
        self.join.clear();
        self.clone_into = None;
        let by_systemd = self.location.unit.is_some();
        let pid = pid.to_string();
        self.directories()
            .filter(|(hierarchy, _)| {
                !by_systemd || !(hierarchy.unified || hierarchy.has("systemd"))
            })
            .try_for_each(|(_, directory)| directory.write("cgroup.procs", &pid))
    }

    /// Makes the directory in one hierarchy, with its parents, and opens what lets a process join.
    fn make_in<'a>(
        &mut self,
        hierarchy: &'a Hierarchy,
        forks: bool,
        new: &mut Vec<&'a Hierarchy>,
    ) -> Result<()> {
        let Some(directory) = self.directory_in(hierarchy) else {
            return Ok(());
        };
        let made = match directory.make() {
            Err(Errno::NOENT) => {
                check_mounted(&directory, hierarchy)?;
                make_parents(&directory, hierarchy)?;
                directory.make()
            }
            other => other,
        };
        match made {
            Ok(()) => new.push(hierarchy),
            // systemd has made it, with our process in it.
            Err(Errno::EXIST) if self.location.unit.is_some() => {}
            Err(Errno::EXIST) => check_unused(&directory, hierarchy)?,
            other => other.step(|| format!("make cgroup {}", directory.path()))?,
        }
        if hierarchy.has("cpuset") {
            cpuset::inherit(&directory, &hierarchy.mount)?;
        }
        if hierarchy.unified && hierarchy.mount.is_empty() {
            controllers::enable_usual(&directory);
        }
        let opened = open_to_join(&directory, hierarchy, forks)?;
        self.keep(opened);
        Ok(())
    }

    /// Opens what [`Cgroup::clone_into`] and [`Cgroup::join_files`] hand out, for a process that
    /// shall join an existing cgroup, or one of those `below` it.
    ///
    /// What an unprivileged user could not make is left out again.
    ///
    /// # Errors
    /// When a directory of the cgroup is gone, or `below` names what is not there.
    pub fn open_to_join(&mut self, below: &[Below]) -> Result<()> {
        below.iter().try_for_each(|one| one.check(&self.location))?;
        let is_unified = self.location.is_unified();
        let may_be_absent = !self.location.path_given && self.location.rootless;
        let mut all = Vec::with_capacity(self.location.hierarchies.len());
        let mut present = Vec::with_capacity(self.location.hierarchies.len());
        let mut missing = None;
        for (hierarchy, directory) in self.directories() {
            let mut chosen = below.iter().rev();
            let chosen = chosen.find(|one| one.is_for(hierarchy, is_unified));
            let opened = match chosen.filter(|chosen| !chosen.path.is_empty()) {
                None => open_to_join(&directory, hierarchy, true),
                Some(chosen) => {
                    let lower = open_to_join(&directory.child(&chosen.path), hierarchy, true);
                    match lower {
                        // Of a path for all, whoever made it may have made it in some only.
                        Err(error)
                            if error.errno() == Some(Errno::NOENT) && chosen.is_for_all() =>
                        {
                            if missing.is_none() {
                                missing = Some(Err(error));
                            }
                            open_to_join(&directory, hierarchy, true)
                        }
                        other => {
                            missing = Some(Ok(()));
                            other
                        }
                    }
                }
            };
            match opened {
                Ok(opened) => {
                    all.push(opened);
                    present.push(hierarchy.clone());
                }
                Err(error) if may_be_absent && error.errno() == Some(Errno::NOENT) => {}
                // A plain directory among the mount points, as it was when the container was made.
                Err(error)
                    if error.errno() == Some(Errno::NOENT)
                        && check_mounted(&directory, hierarchy).is_err() => {}
                Err(error) => return Err(error),
            }
        }
        missing.unwrap_or(Ok(()))?;
        self.join.clear();
        self.location.hierarchies = present;
        all.into_iter().for_each(|opened| self.keep(opened));
        Ok(())
    }

    fn keep(&mut self, opened: Opened) {
        match opened {
            Opened::CloneInto(fd) => self.clone_into = Some(fd),
            Opened::Join(fd) => self.join.push(fd),
        }
    }
}

enum Opened {
    CloneInto(OwnedFd),
    Join(OwnedFd),
}

fn open_to_join(directory: &Directory<'_>, hierarchy: &Hierarchy, forks: bool) -> Result<Opened> {
    let step = |name: &str| format!("open {name} of cgroup {}", directory.path());
    if hierarchy.unified && forks {
        let fd = directory.open_itself(OFlags::PATH).step(|| step("."))?;
        return Ok(Opened::CloneInto(fd));
    }
    let name = if hierarchy.unified {
        "cgroup.procs"
    } else {
        "tasks"
    };
    let fd = directory.open(name, OFlags::WRONLY).step(|| step(name))?;
    Ok(Opened::Join(fd))
}

/// A plain directory among the mount points has none of the kernel's files.
fn check_mounted(directory: &Directory<'_>, hierarchy: &Hierarchy) -> Result<()> {
    let mut top = directory.clone();
    while let Some(parent) = top.parent(&hierarchy.mount) {
        top = parent;
    }
    top.open("cgroup.procs", OFlags::PATH)
        .step(|| format!("find a hierarchy mounted at {}", top.path()))
        .map(drop)
}

/// No privilege, a read-only mount, or a directory that is no mount point.
fn may_be_left_out(wanted: &Location, error: &Error) -> bool {
    let is_missing = matches!(
        error.errno(),
        Some(Errno::ROFS | Errno::OPNOTSUPP | Errno::NOENT)
    );
    let may_be_refused = || !wanted.path_given && (wanted.rootless || in_user_namespace());
    is_missing || is_for_privilege(error) && may_be_refused()
}

/// Makes every missing directory between the mount point and `directory`. They stay when the
/// container goes, for the next ones.
fn make_parents(directory: &Directory<'_>, hierarchy: &Hierarchy) -> Result<()> {
    let Some(parent) = directory.parent(&hierarchy.mount) else {
        return Err(Errno::NOENT)
            .step(|| format!("find the mount point of cgroup {}", directory.path()));
    };
    let made = match parent.make() {
        Err(Errno::NOENT) => {
            make_parents(&parent, hierarchy)?;
            parent.make()
        }
        other => other,
    };
    match made {
        // Somebody else was faster.
        Err(Errno::EXIST) => return Ok(()),
        other => other.step(|| format!("make cgroup {}", parent.path()))?,
    }
    if hierarchy.has("cpuset") {
        cpuset::inherit(&parent, &hierarchy.mount)?;
        cpuset::let_children_inherit(&parent);
    }
    Ok(())
}

/// A cgroup that another container's processes are in, or that would freeze ours, is an error.
fn check_unused(directory: &Directory<'_>, hierarchy: &Hierarchy) -> Result<()> {
    let in_use = |why: &str| {
        Err(
            Error::new(format!("container's cgroup {why}: {}", directory.path()))
                .hint("another container uses this cgroupsPath, or has left it: delete it first"),
        )
    };
    if directory
        .read_if_present("cgroup.procs")?
        .is_some_and(|processes| !processes.is_empty())
    {
        return in_use("is not empty");
    }
    let frozen = if hierarchy.unified {
        directory
            .read_if_present("cgroup.freeze")?
            .is_some_and(|state| state.starts_with('1'))
    } else {
        hierarchy.has("freezer")
            && directory
                .read_if_present("freezer.state")?
                .is_some_and(|state| !state.starts_with("THAWED"))
    };
    if frozen {
        in_use("unexpectedly frozen")
    } else {
        Ok(())
    }
}
