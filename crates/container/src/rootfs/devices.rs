//! Device nodes: those of `linux.devices`, and those every container has (config-linux.md,
//! "Default Devices").
//!
//! Nodes are made with mknod(2). The kernel forbids that in a user namespace: there the runtime
//! makes those of `linux.devices` on a tmpfs of its own and they are bound (kernel 6.15), and for
//! all others the host's node of the same path is bound. If /dev is a bind mount it belongs to
//! someone else and is left alone. Start at [`Devices::make`].

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_sys::mount::{Attributes, Reach, attribute, flag, set_attributes};
use insula_sys::rustix::fs::{
    self, AtFlags, CWD, FileType, Gid, Mode, Uid, chmodat, chownat, makedev, mknodat, symlinkat,
    unlinkat,
};
use insula_sys::rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use insula_sys::{Errno, Result as SysResult};

use super::tree::{Leaf, Tree, relative};
use crate::error::{Context, Error, Result};
use crate::mount::{Mount, fresh_tmpfs};
use crate::spec::{Device, DeviceKind, IdMapping, Linux};

const DEFAULT_MODE: u32 = 0o666;

/// Name, major, minor below /dev.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links below /dev that the Linux ABI expects (runtime-linux.md, "Dev symbolic links").
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

#[derive(Debug, Default)]
pub(super) struct Devices {
    nodes: Vec<Node>,
    /// /dev is a bind mount.
    foreign: bool,
    user_namespace: bool,
}

/// One entry of `linux.devices`.
#[derive(Debug)]
struct Node {
    /// Relative to the root.
    path: PathBuf,
    kind: FileType,
    device: u64,
    mode: u32,
    /// Ids of the container.
    owner: (u32, u32),
    /// Made by the runtime for a container that cannot make it.
    made: Option<OwnedFd>,
}

impl Devices {
    pub(super) fn new(linux: Option<&Linux>, mounts: &[Mount], user_namespace: bool) -> Self {
        let foreign = mounts.iter().any(|mount| mount.is_bind_on("dev"));
        let nodes = linux.map(|linux| linux.devices.iter().map(Node::new).collect());
        let mut devices = Self {
            nodes: nodes.unwrap_or_default(),
            foreign,
            user_namespace,
        };
        if let Some(linux) = linux.filter(|_| user_namespace) {
            devices.make_beforehand(linux);
        }
        devices
    }

    /// Makes what the container may not make itself. What cannot be made is left to it.
    fn make_beforehand(&mut self, linux: &Linux) {
        let nodes = self
            .nodes
            .iter_mut()
            .filter(|node| node.kind != FileType::Fifo);
        let mut nodes = nodes.peekable();
        if nodes.peek().is_none() {
            return;
        }
        let Ok(directory) = fresh_tmpfs("mode=755", 0) else {
            return;
        };
        for (index, node) in nodes.enumerate() {
            node.made = node.make_on(&directory, &format!("{index}"), linux).ok();
        }
    }

    /// Makes every node and link. The file mode creation mask must be 0.
    pub(super) fn make(&self, root: &Tree) -> Result<()> {
        let nodes = self.nodes.iter();
        // /dev/ptmx is a link into the container's own devpts, whatever was asked for.
        for node in nodes.filter(|node| node.path != Path::new("dev/ptmx")) {
            if self.foreign && node.path.starts_with("dev") {
                continue;
            }
            self.make_node(root, node)
                .step(|| format!("make the device \"/{}\"", node.path.display()))?;
        }
        if self.foreign {
            return Ok(());
        }
        self.make_defaults(root)
            .step(|| "make the default devices in /dev")
    }

    fn make_node(&self, root: &Tree, node: &Node) -> Result<()> {
        let (directory, name) = root.make_parent(&node.path).step(|| "open its directory")?;
        if let Some(made) = &node.made {
            set_device_flags(made)?;
            return attach_file(made, directory.as_fd(), name);
        }
        let made = if self.user_namespace && node.kind != FileType::Fifo {
            Err(Errno::PERM)
        } else {
            mknodat(
                &directory,
                name,
                node.kind,
                Mode::from_raw_mode(node.mode),
                node.device,
            )
        };
        match made {
            Ok(()) if node.owner == (0, 0) => Ok(()),
            Ok(()) => change_owner(&directory, name, node.owner).step(|| "change its owner"),
            Err(Errno::EXIST) => node.check(&directory, name),
            Err(Errno::PERM) => {
                let host = Path::new("/").join(&node.path);
                bind_from_host(&directory, name, &host, (node.kind, node.device))
            }
            Err(error) => Err(error).step(|| "mknod"),
        }
    }

    fn make_defaults(&self, root: &Tree) -> Result<()> {
        let dev = match root.find_literal(Path::new("dev")) {
            Ok(dev) => dev,
            Err(Errno::NOENT) => root
                .make(Path::new("dev"), Leaf::Directory)
                .step(|| "make /dev")?,
            Err(error) => return Err(error).step(|| "open /dev"),
        };
        for (name, major, minor) in DEFAULTS {
            self.make_default(&dev, name, makedev(major, minor))
                .step(|| format!("make /dev/{name}"))?;
        }
        for (target, name) in LINKS {
            link(&dev, target, name)?;
        }
        // Only some kernels have it (CONFIG_PROC_KCORE).
        if fs::access("/proc/kcore", fs::Access::EXISTS).is_ok() {
            link(&dev, "/proc/kcore", "core")?;
        }
        link_ptmx(&dev)
    }

    fn make_default(&self, dev: &OwnedFd, name: &str, device: u64) -> Result<()> {
        let kind = FileType::CharacterDevice;
        let made = if self.user_namespace {
            Err(Errno::PERM)
        } else {
            mknodat(dev, name, kind, Mode::from_raw_mode(DEFAULT_MODE), device)
        };
        match made {
            Ok(()) => Ok(()),
            Err(Errno::EXIST | Errno::PERM) if is_node(dev, OsStr::new(name), kind, device)? => {
                Ok(())
            }
            // The image has something else there, or nodes cannot be made: the host's goes on top.
            Err(Errno::EXIST | Errno::PERM) => bind_from_host(
                dev,
                OsStr::new(name),
                &Path::new("/dev").join(name),
                (kind, device),
            ),
            Err(error) => Err(error).step(|| "mknod"),
        }
    }
}

impl Node {
    fn new(device: &Device) -> Self {
        let number = |number: Option<i64>| {
            number
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(0)
        };
        Self {
            path: relative(&device.path),
            kind: match device.kind {
                DeviceKind::Character | DeviceKind::Unbuffered => FileType::CharacterDevice,
                DeviceKind::Block => FileType::BlockDevice,
                DeviceKind::Fifo => FileType::Fifo,
            },
            device: match device.kind {
                DeviceKind::Fifo => 0,
                _ => makedev(number(device.major), number(device.minor)),
            },
            mode: device.file_mode.unwrap_or(DEFAULT_MODE) & 0o7777,
            owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)),
            made: None,
        }
    }

    /// Makes the node with ids of the host and gives a detached mount of it.
    fn make_on(&self, directory: &OwnedFd, name: &str, linux: &Linux) -> SysResult<OwnedFd> {
        let mode = Mode::from_raw_mode(self.mode);
        mknodat(directory, name, self.kind, mode, self.device)?;
        let uid = host_id(self.owner.0, &linux.uid_mappings).ok_or(Errno::INVAL)?;
        let gid = host_id(self.owner.1, &linux.gid_mappings).ok_or(Errno::INVAL)?;
        change_owner(directory, OsStr::new(name), (uid, gid))?;
        // The mask of the runtime's caller was applied, and a change of owner takes bits away.
        chmodat(directory, name, mode, AtFlags::empty())?;
        // Refused (EINVAL) before kernel 6.15, because the directory is not attached anywhere.
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        open_tree(directory, name, flags)
    }

    /// A file that is there already must be this very device.
    fn check(&self, directory: &OwnedFd, name: &OsStr) -> Result<()> {
        if is_node(directory, name, self.kind, self.device)? {
            return Ok(());
        }
        Err(Error::new("another file exists at that path"))
    }
}

/// Whether `directory/name` is that device; false if nothing is there.
fn is_node(directory: &OwnedFd, name: &OsStr, kind: FileType, device: u64) -> Result<bool> {
    let stat = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        other => other.step(|| "look at what is there already")?,
    };
    let same_device = kind == FileType::Fifo || stat.st_rdev == device;
    Ok(FileType::from_raw_mode(stat.st_mode) == kind && same_device)
}

fn change_owner(directory: &OwnedFd, name: &OsStr, owner: (u32, u32)) -> SysResult<()> {
    let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
    chownat(
        directory,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// The host's id for an id of the container.
fn host_id(id: u32, mappings: &[IdMapping]) -> Option<u32> {
    let contains = |map: &&IdMapping| id >= map.container_id && id - map.container_id < map.size;
    let map = mappings.iter().find(contains)?;
    map.host_id.checked_add(id - map.container_id)
}

/// Binds the host's node onto `directory/name`, which is made if missing.
fn bind_from_host(
    directory: &OwnedFd,
    name: &OsStr,
    host: &Path,
    (kind, device): (FileType, u64),
) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree =
        open_tree(CWD, host, flags).step(|| format!("bind {} of the host", host.display()))?;
    let stat = fs::fstat(&tree).step(|| "look at the host's device")?;
    if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != device {
        return Err(
            Error::new(format!("{} of the host is another device", host.display()))
                .hint("in a user namespace a device is either the host's or needs kernel 6.15"),
        );
    }
    set_device_flags(&tree)?;
    attach_file(&tree, directory.as_fd(), name)
}

fn set_device_flags(tree: &OwnedFd) -> Result<()> {
    let change = Attributes {
        set: attribute::NO_SUID | attribute::NO_EXEC,
        propagation: flag::PRIVATE,
        ..Attributes::default()
    };
    set_attributes(tree, Reach::One, &change).step(|| "set the flags of the device")
}

/// Puts a detached file onto `directory/name`, made if missing; never through a link.
fn attach_file(tree: &OwnedFd, directory: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    match mknodat(directory, name, FileType::RegularFile, Mode::empty(), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).step(|| "make the mount point"),
    }
    move_mount(
        tree,
        "",
        directory,
        name,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .step(|| "attach the device")
}

fn link(dev: &OwnedFd, target: &str, name: &str) -> Result<()> {
    match symlinkat(target, dev, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).step(|| format!("link /dev/{name}")),
    }
}

/// /dev/ptmx always leads to the container's own devpts.
fn link_ptmx(dev: &OwnedFd) -> Result<()> {
    let link = || symlinkat("pts/ptmx", dev, "ptmx");
    match link() {
        Err(Errno::EXIST) => unlinkat(dev, "ptmx", AtFlags::empty()).and_then(|()| link()),
        other => other,
    }
    .step(|| "link /dev/ptmx")
}

/// Binds the terminal onto /dev/console.
pub(super) fn mount_console(root: &Tree, terminal: &OwnedFd) -> Result<()> {
    let dev = root.find_literal(Path::new("dev")).step(|| "open /dev")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(terminal, "", flags).step(|| "clone the terminal")?;
    attach_file(&tree, dev.as_fd(), OsStr::new("console")).step(|| "mount /dev/console")
}
