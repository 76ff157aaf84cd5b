//! One entry of `mounts`: read and checked by the runtime, then made inside the container.
//!
//! [`plan`] turns the entry into a [`Mount`]: options parsed, source made absolute, everything that
//! can be refused refused. [`Mount::make`] (in `attach.rs`) runs in the container's mount
//! namespace. Binds are detached trees (open_tree) that are configured first and attached last;
//! file systems are mounted with one mount(2) on ".", so that neither can be led astray by a name.

mod attach;
mod bind;
mod cgroup;
mod copy_up;
mod file_system;
mod id_map;
mod options;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use insula_sys::mount::{Attributes, Reach, attribute, flag, set_attributes};
use insula_sys::rustix::fs::CWD;
use insula_sys::rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::{Context, Error, Result};
use crate::rootfs::tree::{Tree, relative};
use crate::spec;

pub(crate) use attach::Delayed;
pub(crate) use cgroup::CgroupHierarchy;
pub(crate) use file_system::fresh_tmpfs;
pub(crate) use id_map::IdMaps;
pub use options::known_options;
pub(crate) use options::{MountOptions, PropagationChange, propagation_of};

/// What the entries of `mounts` have in common.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Absolute.
    pub bundle: PathBuf,
    /// The directory that becomes `/`, absolute.
    pub rootfs: PathBuf,
    pub user_namespace: bool,
    /// Whether the container has namespaces of its own for these.
    pub pid_namespace: bool,
    pub cgroup_namespace: bool,
    /// The group ids that exist in the container; `None` if any may.
    pub group_ids: Option<Vec<spec::IdMapping>>,
    pub hierarchies: Vec<CgroupHierarchy>,
    /// The SELinux context of mounts, if the kernel has SELinux.
    pub label: Option<String>,
}

/// Has the ids of a detached mount mapped by the runtime, where the container's process lacks the
/// privilege; takes the index of the entry.
pub(crate) type AskToMap<'a> = &'a dyn Fn(usize, &OwnedFd) -> Result<()>;

/// An entry of `mounts` that is ready to be made.
#[derive(Debug)]
pub(crate) struct Mount {
    /// Which entry it is.
    index: usize,
    /// Relative to the root, clean; empty for the root itself.
    pub destination: PathBuf,
    kind: Kind,
    /// For binds absolute.
    source: CString,
    options: MountOptions,
    id_map: Option<IdMap>,
    /// The source, opened before the container existed. Used where the container may not.
    early: Option<OwnedFd>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Bind,
    /// An existing mount gets new flags.
    Remount,
    /// `type: cgroup`: whatever the host has.
    Cgroup,
    FileSystem(CString),
}

/// The mapping of an id-mapped mount.
#[derive(Debug)]
struct IdMap {
    namespace: Rc<OwnedFd>,
    recursive: bool,
}

/// Checks entry `index` and prepares what the container itself could not do.
pub(crate) fn plan(
    index: usize,
    entry: &spec::Mount,
    around: &Surroundings,
    id_maps: &mut IdMaps<'_>,
) -> Result<Mount> {
    let options = options::parse(&entry.options);
    let kind = kind_of(index, entry, &options)?;
    if kind == Kind::Bind && !options.data.is_empty() {
        let option = options.data.split(',').next().unwrap_or_default();
        return Err(Error::new(format!(
            "mounts[{index}].options[{}]: bind mounts cannot have the file system option {option:?}",
            options.data_index
        )));
    }
    // Some tools write where the destination is on the host.
    let inside = entry
        .destination
        .strip_prefix(&around.rootfs)
        .unwrap_or(&entry.destination);
    let destination = relative(inside);
    let source = match (&entry.source, &kind) {
        (Some(source), Kind::Bind) => around.bundle.join(source),
        (Some(source), _) => source.clone(),
        (None, Kind::Bind) => {
            return Err(Error::new(format!(
                "mounts[{index}].source: missing for a bind mount"
            )));
        }
        (None, _) => PathBuf::from(entry.kind.as_deref().unwrap_or("none")),
    };
    let id_map = id_map::of_mount(index, entry, &options, kind == Kind::Bind, id_maps)?;
    let mut mount = Mount {
        index,
        destination,
        kind,
        source: c_string(index, "source", source.as_os_str().as_bytes())?,
        options,
        id_map,
        early: None,
    };
    c_string(
        index,
        "destination",
        entry.destination.as_os_str().as_bytes(),
    )?;
    if around.user_namespace && mount.kind == Kind::Bind && !source.starts_with(&around.rootfs) {
        mount.open_early()?;
    }
    Ok(mount)
}

fn kind_of(index: usize, entry: &spec::Mount, options: &MountOptions) -> Result<Kind> {
    let kind = entry.kind.as_deref().unwrap_or_default();
    if options.flags & flag::REMOUNT != 0 {
        return Ok(Kind::Remount);
    }
    if options.is_bind() || kind == "bind" {
        return Ok(Kind::Bind);
    }
    match kind {
        "" | "none" => Err(Error::new(format!("mounts[{index}].type: missing"))
            .hint("give a file system type, or the option \"bind\" or \"rbind\"")),
        "cgroup" => Ok(Kind::Cgroup),
        kind => Ok(Kind::FileSystem(c_string(index, "type", kind.as_bytes())?)),
    }
}

fn c_string(index: usize, field: &str, text: &[u8]) -> Result<CString> {
    CString::new(text)
        .ok()
        .ok_or_else(|| Error::new(format!("mounts[{index}].{field}: holds a NUL character")))
}

impl Mount {
    /// Whether it is a bind mount on `path` (relative), under which nothing must be made.
    pub(crate) fn is_bind_on(&self, path: &str) -> bool {
        self.kind == Kind::Bind && self.destination == Path::new(path)
    }

    /// Whether the bind shall stay in the peer group of its source, so that mounts made by either
    /// side appear on the other. Such a tree must be cloned before the host's mounts are made
    /// slaves, which is the one thing a propagation cannot be restored from.
    pub(crate) fn is_shared_with_host(&self) -> bool {
        self.kind == Kind::Bind
            && self
                .options
                .propagation
                .iter()
                .any(|p| p.kind == flag::SHARED)
    }

    fn open_flags(&self) -> OpenTreeFlags {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if self.options.flags & flag::RECURSIVE != 0 {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        if self.options.source_no_follow {
            flags |= OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        }
        flags
    }

    /// A detached copy of the source, before it has its options.
    pub(crate) fn open_source(&self) -> insula_sys::Result<OwnedFd> {
        open_tree(CWD, self.source.as_c_str(), self.open_flags())
    }

    /// Opens the source with the runtime's own rights: the container's user may not be able to
    /// reach it, and only the runtime may map its ids. A source that does not exist yet is left to
    /// the container, which may make it.
    fn open_early(&mut self) -> Result<()> {
        let tree = match self.open_source() {
            Ok(tree) => tree,
            Err(_) if self.id_map.is_none() => return Ok(()),
            Err(error) => return Err(error).step(|| format!("open {}", self.source_name())),
        };
        // As the kernel does for all mounts that it copies into a user namespace: what the
        // container mounts there must not appear on the host.
        let slave = Attributes {
            propagation: flag::SLAVE,
            ..Attributes::default()
        };
        set_attributes(&tree, Reach::Recursive, &slave)
            .step(|| format!("make {} a slave mount", self.source_name()))?;
        self.apply_id_map(&tree)?;
        self.early = Some(tree);
        Ok(())
    }

    /// Gives a detached tree the ids of `uidMappings` and `gidMappings`.
    pub(crate) fn apply_id_map(&self, tree: &OwnedFd) -> Result<()> {
        let Some(id_map) = &self.id_map else {
            return Ok(());
        };
        let reach = if id_map.recursive {
            Reach::Recursive
        } else {
            Reach::One
        };
        let change = Attributes {
            id_map: Some(std::os::fd::AsFd::as_fd(&*id_map.namespace)),
            ..Attributes::default()
        };
        set_attributes(tree, reach, &change)
            .step(|| format!("map the ids of {}", self.source_name()))
            .map_err(|error| match error.errno() {
                Some(insula_sys::Errno::INVAL) => {
                    error.hint("this kernel cannot map the ids of that file system")
                }
                _ => error,
            })
    }

    fn source_name(&self) -> std::borrow::Cow<'_, str> {
        self.source.to_string_lossy()
    }
}

/// The attributes of a mount that mount(2) flags ask for.
fn attributes_of(flags: u32) -> u32 {
    const SAME: [(u32, u32); 6] = [
        (flag::READ_ONLY, attribute::READ_ONLY),
        (flag::NO_SUID, attribute::NO_SUID),
        (flag::NO_DEV, attribute::NO_DEV),
        (flag::NO_EXEC, attribute::NO_EXEC),
        (flag::NO_SYMLINK_FOLLOW, attribute::NO_SYMLINK_FOLLOW),
        (
            flag::NO_DIRECTORY_ACCESS_TIME,
            attribute::NO_DIRECTORY_ACCESS_TIME,
        ),
    ];
    let plain = SAME.iter().filter(|(bit, _)| flags & bit != 0);
    plain.fold(0, |all, (_, attribute)| all | attribute) | access_time_of(flags)
}

/// The access-time attribute of mount(2) flags, with the kernel's precedence.
fn access_time_of(flags: u32) -> u32 {
    if flags & flag::STRICT_ACCESS_TIME != 0 {
        attribute::STRICT_ACCESS_TIME
    } else if flags & flag::NO_ACCESS_TIME != 0 {
        attribute::NO_ACCESS_TIME
    } else {
        attribute::RELATIVE_ACCESS_TIME
    }
}

/// A detached copy of something of the host, to stand in for a file system that may not be mounted.
fn clone_of_host(path: &str) -> insula_sys::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags | OpenTreeFlags::AT_RECURSIVE)
}

/// Where in the container an entry goes, as errors say it.
fn shown(destination: &Path) -> String {
    format!("\"/{}\"", destination.display())
}

/// The root directory of the container while mounts are made; a mount on `/` replaces it.
pub(crate) type Root = Tree;
