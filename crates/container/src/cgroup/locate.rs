//! Decides where a container's cgroup goes, without making anything.
//!
//! One `statfs` of the root tells version 2 from version 1; the names of the mount points in the
//! root tell the version 1 hierarchies. Nothing is parsed on the usual host: `/proc/self/cgroup` is
//! read only for rootless containers, `/proc/self/mountinfo` only where the root looks odd.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use insula_sys::Errno;
use insula_sys::rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, fstatfs, openat};

use super::limits::in_user_namespace;
use super::location::{Hierarchy, Location, Manager, ROOT};
use super::mountinfo;
use super::systemd::{self, Bus, Unit};
use crate::error::{Context, Error, Result};

const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Below this every cgroup is put for which the configuration names no absolute path.
const DEFAULT_PARENT: &str = "insula";

/// What decides on the place of a cgroup.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    pub id: &'a str,
    /// `linux.cgroupsPath`.
    pub cgroups_path: Option<&'a str>,
    pub manager: Manager,
    /// Whether the runtime lacks the privileges of the host's root.
    pub rootless: bool,
}

/// Where the container's cgroup will be.
///
/// # Errors
/// When `cgroupsPath` is not acceptable, or the mounted hierarchies cannot be found out.
pub fn locate(request: &Request<'_>) -> Result<Location> {
    if request.manager == Manager::Disabled {
        return Ok(Location {
            manager: Manager::Disabled,
            root: Cow::Borrowed(ROOT),
            ..Location::default()
        });
    }
    let hierarchies = find_hierarchies(ROOT)?;
    let mut rootless = request.rootless;
    let (path, unit) = match request.manager {
        Manager::Systemd => {
            // It decides on whose systemd to ask.
            rootless = rootless || in_user_namespace();
            let (path, unit) = scope_path(
                &Request {
                    rootless,
                    ..*request
                },
                &hierarchies,
            )?;
            (path, Some(unit))
        }
        _ => (container_path(request, &hierarchies)?, None),
    };
    Ok(Location {
        manager: request.manager,
        root: Cow::Borrowed(ROOT),
        hierarchies,
        path,
        unit,
        rootless,
        path_given: request.cgroups_path.is_some_and(|path| !path.is_empty()),
    })
}

/// A user's systemd has its own place in the hierarchy, and only in version 2.
fn scope_path(request: &Request<'_>, hierarchies: &[Hierarchy]) -> Result<(String, Unit)> {
    let unit = Unit::new(request.cgroups_path, request.id, request.rootless)?;
    let path = unit.path()?;
    if !request.rootless {
        return Ok((path, unit));
    }
    if hierarchies.iter().any(|hierarchy| !hierarchy.unified) {
        return Err(
            Error::new("cgroups of a user's systemd need cgroup version 2 alone").hint(
                "boot with systemd.unified_cgroup_hierarchy=1, or use --cgroup-manager=disabled",
            ),
        );
    }
    let above = systemd::user_manager_path(&mut Bus::connect(true)?)?;
    Ok((clean(&format!("{above}/{path}"))?, unit))
}

fn container_path(request: &Request<'_>, hierarchies: &[Hierarchy]) -> Result<String> {
    let given = request.cgroups_path.unwrap_or("");
    if given.starts_with('/') {
        return clean(given);
    }
    let mut path = String::new();
    if request.rootless {
        path.push_str(&parent_of_own(hierarchies)?);
    }
    path.push_str(DEFAULT_PARENT);
    path.push('/');
    path.push_str(if given.is_empty() { request.id } else { given });
    clean(&path)
}

/// The cgroup above the one we are in, with a slash at its end. Ours has processes, so that by the
/// rule of "no internal processes" no controller can be enabled below it.
fn parent_of_own(hierarchies: &[Hierarchy]) -> Result<String> {
    if !hierarchies.iter().any(|hierarchy| hierarchy.unified) {
        return Ok(String::new());
    }
    let text = std::fs::read_to_string("/proc/self/cgroup").step(|| "read /proc/self/cgroup")?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(own
        .and_then(|own| own.rfind('/').map(|end| own[..=end].to_owned()))
        .unwrap_or_default())
}

/// Removes empty and `.` components; the path must not climb, nor be the mount point itself.
pub(super) fn clean(path: &str) -> Result<String> {
    let mut result = String::with_capacity(path.len());
    for component in path.split('/') {
        if component.is_empty() || component == "." {
            continue;
        }
        if component == ".." {
            return Err(Error::new(format!(
                "cgroupsPath \"{path}\" contains \"..\""
            )));
        }
        // A newline would break the lines of /proc/<pid>/cgroup; the kernel refuses it (EINVAL).
        if component.contains(['\n', '\0']) {
            return Err(Error::new(format!(
                "cgroupsPath {path:?} has a forbidden character"
            )));
        }
        if !result.is_empty() {
            result.push('/');
        }
        result.push_str(component);
    }
    if result.is_empty() {
        return Err(Error::new(format!(
            "cgroupsPath \"{path}\" is the root of the hierarchy"
        ))
        .hint("give a path of its own, such as /insula/<id>"));
    }
    Ok(result)
}

/// The hierarchies below `root`. A plain directory among the mount points is found out when the
/// cgroup is made in it.
fn find_hierarchies(root: &str) -> Result<Vec<Hierarchy>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match openat(CWD, root, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return mountinfo::hierarchies(),
        other => other.step(|| format!("open {root}"))?,
    };
    let kind = fstatfs(&directory)
        .step(|| format!("statfs {root}"))?
        .f_type;
    if kind == CGROUP2_MAGIC {
        return Ok(vec![Hierarchy {
            mount: String::new(),
            controllers: None,
            unified: true,
        }]);
    }
    let found = mount_points(&directory).step(|| format!("list {root}"))?;
    if found.is_empty() {
        mountinfo::hierarchies()
    } else {
        Ok(found)
    }
}

/// Each directory in the root is taken for a mount point, each link for a second name of one.
fn mount_points(root: &OwnedFd) -> insula_sys::Result<Vec<Hierarchy>> {
    let mut found = Vec::with_capacity(16);
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 2048];
    let mut entries = RawDir::new(root, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if entry.file_type() == FileType::Directory && !name.starts_with('.') {
            // Where version 2 is unmounted in one mount namespace only, its mount point stays.
            if name == "unified" && statfs_of(root, name)? != CGROUP2_MAGIC {
                continue;
            }
            found.push(Hierarchy {
                mount: name.to_owned(),
                controllers: None,
                unified: name == "unified",
            });
        }
    }
    Ok(found)
}

fn statfs_of(root: &OwnedFd, name: &str) -> insula_sys::Result<i64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(fstatfs(openat(root, name, flags, Mode::empty())?)?.f_type)
}
