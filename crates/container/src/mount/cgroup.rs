//! `type: cgroup`: the container's own cgroup directories, on v1, v2 and hybrid hosts.
//!
//! They are shown as clones of the host's directories rather than as new mounts of cgroupfs: the
//! cheapest way, the only one an unprivileged user namespace has, and with a cgroup namespace the
//! container sees each as the root all the same. Without a cgroup namespace v2 is mounted whole,
//! as other runtimes do.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use insula_sys::Errno;
use insula_sys::mount::{Attributes, Reach, attribute, flag, mount, set_attributes};
use insula_sys::rustix::fs::{CWD, Mode, mkdirat, symlinkat};
use insula_sys::rustix::mount::{OpenTreeFlags, open_tree};
use insula_sys::rustix::process::fchdir;

use super::attach::{Place, attach};
use super::file_system::fresh_tmpfs;
use super::{Mount, Root, Surroundings, attributes_of};
use crate::error::{Context, Error, Result};

/// One mounted cgroup hierarchy of the host and the container's place in it.
#[derive(Debug, Clone)]
pub(crate) struct CgroupHierarchy {
    /// Where the host has it: `/sys/fs/cgroup` on v2, `/sys/fs/cgroup/cpu,cpuacct` on v1.
    pub mount_point: PathBuf,
    /// The container's directory below `mount_point`, absolute.
    pub own: PathBuf,
}

const V2_MOUNT_POINT: &str = "/sys/fs/cgroup";

impl Mount {
    pub(super) fn mount_cgroup(&self, root: &mut Root, around: &Surroundings) -> Result<()> {
        let place = self.place(root, true, false)?;
        match around.hierarchies.as_slice() {
            [] => self.attach_v2(&place, root, Path::new(V2_MOUNT_POINT)),
            [only] if only.mount_point == Path::new(V2_MOUNT_POINT) => {
                let own = around.cgroup_namespace.then_some(only.own.as_path());
                self.mount_v2(&place, root, own)
            }
            _ => self.mount_v1(&place, root, around),
        }
    }

    /// The unified hierarchy: the own directory, or all of it if there is none. An unprivileged
    /// user's container may have none of its own and stay where its creator is, which its cgroup
    /// namespace makes the root of all of it.
    fn mount_v2(&self, place: &Place, root: &mut Root, own: Option<&Path>) -> Result<()> {
        if let Some(own) = own
            && let Some(tree) = clone_directory(own)?
        {
            return self.attach_tree(&tree, place, root);
        }
        let Place::On { fd, .. } = place else {
            return self.attach_v2(place, root, Path::new(V2_MOUNT_POINT));
        };
        fchdir(fd).step(|| "enter the mount point")?;
        match mount(
            Some(&self.source),
            ".",
            Some(c"cgroup2"),
            self.options.flags,
            None,
        ) {
            // A user namespace without a cgroup namespace may only see what the host mounted.
            Err(Errno::PERM | Errno::BUSY) => {
                self.attach_v2(place, root, Path::new(V2_MOUNT_POINT))
            }
            other => other.step(|| "mount cgroup2"),
        }
    }

    fn attach_v2(&self, place: &Place, root: &mut Root, own: &Path) -> Result<()> {
        let tree = clone_directory(own)?
            .ok_or_else(|| Error::new(format!("the cgroup {} is gone", own.display())))?;
        self.attach_tree(&tree, place, root)
    }

    fn attach_tree(&self, tree: &OwnedFd, place: &Place, root: &mut Root) -> Result<()> {
        self.set_cgroup_attributes(tree)?;
        attach(tree, place, root).step(|| "attach the cgroup directory")
    }

    /// One directory for each hierarchy. Read-only, they are the host's own mount points, bound
    /// without what is mounted on them; otherwise a tmpfs of the container's own.
    fn mount_v1(&self, place: &Place, root: &mut Root, around: &Surroundings) -> Result<()> {
        let is_read_only = self.options.flags & flag::READ_ONLY != 0;
        // In a user namespace the kernel does not part a mount from those on it.
        let host = (is_read_only && !around.user_namespace).then(|| host_directory(around));
        let (top, is_fresh) = match host.flatten() {
            Some(top) => (top, false),
            None => (
                fresh_tmpfs("mode=755", 0).step(|| "mount a tmpfs for the cgroups")?,
                true,
            ),
        };
        attach(&top, place, root).step(|| "attach the directory of the cgroups")?;
        fchdir(&top).step(|| "enter the directory of the cgroups")?;
        for hierarchy in &around.hierarchies {
            let name = hierarchy.mount_point.file_name().ok_or_else(|| {
                Error::new(format!(
                    "cgroup hierarchy {}: no name",
                    hierarchy.mount_point.display()
                ))
            })?;
            if is_fresh {
                make_directory(name)?;
            }
            show(name, &hierarchy.own)
                .step(|| format!("show the cgroup hierarchy {}", name.display()))?;
        }
        self.set_cgroup_attributes(&top)
    }

    /// Flags as asked for, and never a way out: set on all hierarchies with one call.
    fn set_cgroup_attributes(&self, tree: &OwnedFd) -> Result<()> {
        let always = attribute::NO_SUID | attribute::NO_DEV | attribute::NO_EXEC;
        let change = Attributes {
            set: always | (attributes_of(self.options.flags) & attribute::READ_ONLY),
            propagation: flag::PRIVATE,
            ..Attributes::default()
        };
        set_attributes(tree, Reach::Recursive, &change).step(|| "set the flags of the cgroups")
    }
}

/// `None` if there is no such directory.
fn clone_directory(path: &Path) -> Result<Option<OwnedFd>> {
    // Recursive, because a user namespace may not part a mount from what the host mounted on it.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    match open_tree(CWD, path, flags) {
        Ok(tree) => Ok(Some(tree)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).step(|| format!("open the cgroup {}", path.display())),
    }
}

/// The directory that holds the host's mount points, without the mounts.
fn host_directory(around: &Surroundings) -> Option<OwnedFd> {
    let mut parents = around
        .hierarchies
        .iter()
        .map(|hierarchy| hierarchy.mount_point.parent());
    let first = parents.next().flatten()?;
    if !parents.all(|parent| parent == Some(first)) {
        return None;
    }
    open_tree(
        CWD,
        first,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .ok()
}

/// Makes `name` in the working directory; `a,b` also gets the links `a` and `b`.
fn make_directory(name: &OsStr) -> Result<()> {
    let step = || format!("make the cgroup directory {}", name.display());
    mkdirat(CWD, name, Mode::from_raw_mode(0o755)).step(step)?;
    let controllers = name
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(OsStr::from_bytes);
    for controller in controllers.filter(|controller| *controller != name) {
        match symlinkat(name, CWD, controller) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).step(step),
        }
    }
    Ok(())
}

/// Binds `own` on `name` in the working directory, where nobody else can make links. A hierarchy
/// in which the container has no directory stays empty.
fn show(name: &OsStr, own: &Path) -> Result<()> {
    let own = CString::new(own.as_os_str().as_bytes()).step(|| "name its directory")?;
    match mount(Some(&own), name, None, flag::BIND, None) {
        Err(Errno::NOENT) => Ok(()),
        other => other.step(|| "bind it"),
    }
}
