//! Making one mount in the container's mount namespace: [`Mount::make`].
//!
//! The destination is opened first, below the root (`rootfs::tree`), and the mount goes onto that
//! descriptor. procfs and sysfs must land on an ordinary directory of that very name, and nothing
//! but procfs may land on or below /proc, or a later write to /proc/self/attr or /proc/sys could
//! be caught by a file of the image (CVE-2019-19921, CVE-2023-27561).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_sys::mount::{Attributes, Reach, set_attributes};
use insula_sys::rustix::fs::{self, Mode, OFlags};
use insula_sys::rustix::io::fcntl_dupfd_cloexec;
use insula_sys::rustix::mount::{MoveMountFlags, move_mount};
use insula_sys::{Errno, Result as SysResult};

use super::{AskToMap, Kind, Mount, MountOptions, PropagationChange, Root, Surroundings, shown};
use crate::error::{Context, Error, Result};
use crate::rootfs::tree::{Found, Leaf, is_on_proc};

/// Files of /proc that may be mounted over: what lxcfs emulates, and two knobs of old.
const MOUNTABLE_IN_PROC: [&str; 10] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/meminfo",
    "proc/stat",
    "proc/swaps",
    "proc/uptime",
    "proc/loadavg",
    "proc/slabinfo",
    "proc/sys/kernel/ns_last_pid",
    "proc/sys/crypto/fips_enabled",
];

/// What a mount leaves to be done when the container's tree is complete.
#[derive(Debug)]
pub(crate) struct Delayed {
    pub destination: PathBuf,
    pub attributes: u32,
    pub recursive: bool,
}

/// Where a mount goes: an open destination, or the root itself, which the mount then replaces.
#[derive(Debug)]
pub(super) enum Place {
    On {
        fd: OwnedFd,
        /// It did not exist before.
        is_new: bool,
    },
    Root,
}

impl Mount {
    /// Makes the mount below `root`. `early` is its source if that had to be cloned beforehand.
    ///
    /// Changes the working directory.
    pub(crate) fn make(
        &self,
        root: &mut Root,
        around: &Surroundings,
        early: Option<OwnedFd>,
        ask_to_map: AskToMap<'_>,
    ) -> Result<Option<Delayed>> {
        self.make_kind(root, around, early, ask_to_map).step(|| {
            format!(
                "error mounting \"{}\" to rootfs at {}",
                self.source_name(),
                shown(&self.destination)
            )
        })
    }

    fn make_kind(
        &self,
        root: &mut Root,
        around: &Surroundings,
        early: Option<OwnedFd>,
        ask_to_map: AskToMap<'_>,
    ) -> Result<Option<Delayed>> {
        match &self.kind {
            Kind::Bind => self.bind(root, early, ask_to_map).map(|()| None),
            Kind::Remount => self.remount(root).map(|()| None),
            Kind::Cgroup => self.mount_cgroup(root, around).map(|()| None),
            Kind::FileSystem(kind) => self.mount_file_system(kind, root, around),
        }
    }

    /// Opens or makes the destination and checks that it may be mounted on.
    pub(super) fn place(&self, root: &Root, is_directory: bool, is_proc: bool) -> Result<Place> {
        if self.destination.as_os_str().is_empty() {
            return Ok(Place::Root);
        }
        if self.options.destination_no_follow {
            let fd = self.place_no_follow(root)?;
            return Ok(Place::On { fd, is_new: false });
        }
        let leaf = if is_directory {
            Leaf::Directory
        } else {
            Leaf::File
        };
        let (Found { fd, literal }, is_new) = root
            .find_or_make(&self.destination, leaf)
            .step(|| "open or make the mount point")?;
        self.check_proc(&fd, literal, is_proc)?;
        Ok(Place::On { fd, is_new })
    }

    /// The last name of the destination itself, even if it is a symbolic link.
    fn place_no_follow(&self, root: &Root) -> Result<OwnedFd> {
        let (parent, name) = root
            .make_parent(&self.destination)
            .step(|| "open the directory of the mount point")?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match fs::openat(&parent, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                fs::openat(&parent, name, create, Mode::from_raw_mode(0o644))
            }
            other => other,
        }
        .step(|| "open the mount point")?;
        self.check_proc(&parent, false, false)?;
        Ok(fd)
    }

    /// Refuses what would hide or fake a part of /proc.
    pub(super) fn check_proc(&self, place: &OwnedFd, literal: bool, is_proc: bool) -> Result<()> {
        if literal {
            if self.destination == Path::new("proc") {
                if is_proc {
                    return Ok(());
                }
                return Err(Error::new(
                    "\"/proc\" cannot be mounted because it is not of type proc",
                ));
            }
            if !self.destination.starts_with("proc")
                || MOUNTABLE_IN_PROC
                    .iter()
                    .any(|path| self.destination == Path::new(path))
            {
                return Ok(());
            }
        } else if !is_on_proc(place).step(|| "look at the mount point")? {
            return Ok(());
        }
        Err(Error::new(format!(
            "{} cannot be mounted because it is inside /proc",
            shown(&self.destination)
        )))
    }

    pub(super) fn set_recursive_attributes(&self, tree: impl AsFd) -> Result<()> {
        let MountOptions {
            set_all, clear_all, ..
        } = self.options;
        let change = Attributes {
            set: set_all,
            clear: clear_all,
            ..Attributes::default()
        };
        if change.is_empty() {
            return Ok(());
        }
        set_attributes(tree, Reach::Recursive, &change).step(|| "set the recursive options")
    }
}

/// Puts a detached tree in its place.
pub(super) fn attach(tree: &OwnedFd, place: &Place, root: &mut Root) -> SysResult<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    match place {
        Place::On { fd, .. } => move_mount(tree, "", fd, "", flags),
        Place::Root => {
            move_mount(tree, "", &root.root, "", flags)?;
            root.root = fcntl_dupfd_cloexec(tree, 0)?;
            Ok(())
        }
    }
}

pub(super) fn set_propagation(mount: impl AsFd, changes: &[PropagationChange]) -> Result<()> {
    for change in changes {
        let reach = if change.recursive {
            Reach::Recursive
        } else {
            Reach::One
        };
        let propagation = Attributes {
            propagation: change.kind,
            ..Attributes::default()
        };
        set_attributes(&mount, reach, &propagation).step(|| "set the propagation")?;
    }
    Ok(())
}
