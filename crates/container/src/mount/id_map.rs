//! Id-mapped mounts: which mapping an entry asks for, and the user namespace that carries it.
//!
//! Equal mappings share one namespace, because making one costs a process. Start at
//! [`of_mount`].

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::user_namespace;

use super::{IdMap, MountOptions};
use crate::error::{Context, Error, Result};
use crate::spec::{self, IdMapping, NamespaceKind, Spec};

/// The namespaces made so far, and the container's own mapping.
#[derive(Debug)]
pub(crate) struct IdMaps<'a> {
    container: Option<Container<'a>>,
    made: Vec<(String, String, Rc<OwnedFd>)>,
}

/// The container's user namespace: one to join, or one that will have these mappings.
#[derive(Debug)]
enum Container<'a> {
    Joined(&'a std::path::Path),
    Mapped(&'a [IdMapping], &'a [IdMapping]),
}

impl<'a> IdMaps<'a> {
    pub(crate) fn new(spec: &'a Spec) -> Self {
        let container = spec.linux.as_ref().and_then(|linux| {
            let user = linux
                .namespaces
                .iter()
                .find(|n| n.kind == NamespaceKind::User)?;
            Some(match &user.path {
                Some(path) => Container::Joined(path),
                None => Container::Mapped(&linux.uid_mappings, &linux.gid_mappings),
            })
        });
        Self {
            container,
            made: Vec::new(),
        }
    }

    fn namespace(&mut self, uid: &[IdMapping], gid: &[IdMapping]) -> Result<Rc<OwnedFd>> {
        let (uid, gid) = (lines(uid), lines(gid));
        if let Some((_, _, made)) = self.made.iter().find(|(u, g, _)| *u == uid && *g == gid) {
            return Ok(Rc::clone(made));
        }
        let namespace = user_namespace::create(&uid, &gid)
            .step(|| "make a user namespace for an id-mapped mount")?;
        let namespace = Rc::new(namespace);
        self.made.push((uid, gid, Rc::clone(&namespace)));
        Ok(namespace)
    }

    /// The mapping of the container itself, or `None` if it has no user namespace.
    fn of_container(&mut self) -> Result<Option<Rc<OwnedFd>>> {
        match self.container {
            None => Ok(None),
            Some(Container::Joined(path)) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let namespace = open(path, flags, Mode::empty())
                    .step(|| format!("open the user namespace {}", path.display()))?;
                Ok(Some(Rc::new(namespace)))
            }
            Some(Container::Mapped(uid, gid)) => self.namespace(uid, gid).map(Some),
        }
    }
}

/// The mapping entry `index` asks for, if any.
pub(super) fn of_mount(
    index: usize,
    entry: &spec::Mount,
    options: &MountOptions,
    is_bind: bool,
    id_maps: &mut IdMaps<'_>,
) -> Result<Option<IdMap>> {
    let mapped = !entry.uid_mappings.is_empty() || !entry.gid_mappings.is_empty();
    if options.id_map.is_none() && !mapped {
        return Ok(None);
    }
    if !is_bind {
        return Err(Error::new(format!(
            "mounts[{index}]: id-mapped mounts are only supported for bind mounts"
        )));
    }
    let namespace = if mapped {
        for (field, mappings) in [
            ("uidMappings", &entry.uid_mappings),
            ("gidMappings", &entry.gid_mappings),
        ] {
            if mappings.is_empty() {
                return Err(Error::new(format!(
                    "mounts[{index}].{field}: missing: uidMappings and gidMappings go together"
                )));
            }
        }
        id_maps.namespace(&entry.uid_mappings, &entry.gid_mappings)?
    } else {
        id_maps.of_container()?.ok_or_else(|| {
            Error::new(format!(
                "mounts[{index}].options: an id-mapped mount needs a mapping"
            ))
            .hint("give uidMappings and gidMappings, or the container a user namespace")
        })?
    };
    Ok(Some(IdMap {
        namespace,
        recursive: options.id_map == Some(true),
    }))
}

/// The text of `/proc/PID/uid_map`.
fn lines(mappings: &[IdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut text, mapping| {
        let IdMapping {
            container_id,
            host_id,
            size,
        } = mapping;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{container_id} {host_id} {size}");
        text
    })
}
