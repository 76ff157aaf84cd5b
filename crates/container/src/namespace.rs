//! Namespaces: which are new, which are joined, and in what order.
//!
//! New ones come with the single clone3 of the container process. Joined ones are opened by the
//! runtime and entered by the container process, except the PID namespace (and the user
//! namespace), which a process can only give to its children: see `create.rs`.

use std::os::fd::{AsFd, OwnedFd};

use insula_sys::process::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME,
    CLONE_NEWUSER, CLONE_NEWUTS, setns,
};
use insula_sys::rustix::fs::{Mode, OFlags, open};

use crate::error::{Context, Error, Result};
use crate::spec::{Linux, NamespaceKind};

/// The flag of clone3(2) for a kind of namespace.
pub(crate) fn flag(kind: NamespaceKind) -> u64 {
    match kind {
        NamespaceKind::Pid => CLONE_NEWPID,
        NamespaceKind::Network => CLONE_NEWNET,
        NamespaceKind::Mount => CLONE_NEWNS,
        NamespaceKind::Ipc => CLONE_NEWIPC,
        NamespaceKind::Uts => CLONE_NEWUTS,
        NamespaceKind::User => CLONE_NEWUSER,
        NamespaceKind::Cgroup => CLONE_NEWCGROUP,
        NamespaceKind::Time => CLONE_NEWTIME,
    }
}

/// The specification's word for a kind.
pub(crate) fn name(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "pid",
        NamespaceKind::Network => "network",
        NamespaceKind::Mount => "mount",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::User => "user",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time",
    }
}

/// A namespace to join.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) kind: NamespaceKind,
    pub(crate) file: OwnedFd,
    path: String,
}

impl Joined {
    pub(crate) fn enter(&self) -> Result<()> {
        setns(self.file.as_fd(), flag(self.kind))
            .step(|| format!("join the {} namespace {}", name(self.kind), self.path))
    }
}

/// All namespaces of a container.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` flags of the new ones.
    pub(crate) new: u64,
    pub(crate) joined: Vec<Joined>,
}

impl Namespaces {
    /// Opens what is to be joined.
    pub(crate) fn of(linux: &Linux) -> Result<Self> {
        let mut namespaces = Self {
            new: 0,
            joined: Vec::new(),
        };
        for (index, namespace) in linux.namespaces.iter().enumerate() {
            let path = namespace
                .path
                .as_deref()
                .filter(|path| !path.as_os_str().is_empty());
            let Some(path) = path else {
                namespaces.new |= flag(namespace.kind);
                continue;
            };
            let shown = path.display().to_string();
            let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .step(|| format!("linux.namespaces[{index}].path: open {shown}"))?;
            check_type(&file, namespace.kind).step(|| {
                format!(
                    "linux.namespaces[{index}].path: {shown} is no {} namespace",
                    name(namespace.kind)
                )
            })?;
            namespaces.joined.push(Joined {
                kind: namespace.kind,
                file,
                path: shown,
            });
        }
        Ok(namespaces)
    }

    pub(crate) fn is_new(&self, kind: NamespaceKind) -> bool {
        self.new & flag(kind) != 0
    }

    /// New or joined: not the runtime's own.
    pub(crate) fn is_own(&self, kind: NamespaceKind) -> bool {
        self.is_new(kind) || self.join(kind).is_some()
    }

    pub(crate) fn join(&self, kind: NamespaceKind) -> Option<&Joined> {
        self.joined.iter().find(|joined| joined.kind == kind)
    }

    /// The flags of everything that is not the runtime's own: what `exec` has to join.
    pub(crate) fn own_flags(&self) -> u64 {
        self.joined
            .iter()
            .fold(self.new, |flags, joined| flags | flag(joined.kind))
    }
}

/// A file that is no namespace of this kind is refused before anything is made.
fn check_type(file: &OwnedFd, kind: NamespaceKind) -> Result<()> {
    let found = insula_sys::namespace::kind_of(file.as_fd()).step(|| "not a namespace file")?;
    if found == flag(kind) {
        return Ok(());
    }
    Err(Error::new("it is a namespace of another type"))
}
