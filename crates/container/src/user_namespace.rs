//! Giving a new user namespace its identities (user_namespaces(7)).

use std::fmt::Write;

use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::process::{getegid, geteuid};

use crate::error::{Context, Result};
use crate::spec::{IdMapping, Linux, Namespace, NamespaceKind};

/// Gives a new user namespace without mappings those of its creator: every id is itself for root,
/// and the own id becomes root for anyone else. Other runtimes do likewise.
pub(crate) fn fill_in_maps(linux: &mut Linux) -> Result<()> {
    let is_new =
        |namespace: &Namespace| namespace.kind == NamespaceKind::User && namespace.path.is_none();
    if !linux.namespaces.iter().any(is_new) {
        return Ok(());
    }
    if linux.uid_mappings.is_empty() {
        linux.uid_mappings = own_map("/proc/self/uid_map", geteuid().as_raw())?;
    }
    if linux.gid_mappings.is_empty() {
        linux.gid_mappings = own_map("/proc/self/gid_map", getegid().as_raw())?;
    }
    Ok(())
}

fn own_map(path: &str, id: u32) -> Result<Vec<IdMapping>> {
    if !geteuid().is_root() {
        return Ok(vec![IdMapping {
            container_id: 0,
            host_id: id,
            size: 1,
        }]);
    }
    let text = std::fs::read_to_string(path).step(|| format!("read {path}"))?;
    let identity = text.lines().filter_map(|line| {
        let mut numbers = line
            .split_whitespace()
            .map_while(|number| number.parse().ok());
        let (container_id, _, size) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(IdMapping {
            container_id,
            host_id: container_id,
            size,
        })
    });
    Ok(identity.collect())
}

/// Writes the maps of the process `pid`, which sits in its new namespace and waits.
pub(crate) fn write_maps(pid: i32, linux: &Linux) -> Result<()> {
    let is_privileged = geteuid().is_root();
    if !is_privileged {
        // Without privileges the kernel wants setgroups forbidden before it takes a group map.
        write(pid, "setgroups", "deny")?;
    }
    write_map(pid, "uid_map", "linux.uidMappings", &linux.uid_mappings)?;
    write_map(pid, "gid_map", "linux.gidMappings", &linux.gid_mappings)
}

fn write_map(pid: i32, file: &str, field: &str, mappings: &[IdMapping]) -> Result<()> {
    if mappings.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for mapping in mappings {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {}",
            mapping.container_id, mapping.host_id, mapping.size
        );
    }
    write(pid, file, &text).step(|| format!("{field}: write /proc/{pid}/{file}")).map_err(|error| {
        match error.errno() {
            Some(Errno::PERM) => error.hint(
                "an ordinary user may map only its own id, once, or ranges of /etc/subuid with newuidmap",
            ),
            Some(Errno::INVAL) => error.hint("ranges must not overlap and sizes must be above 0"),
            _ => error,
        }
    })
}

fn write(pid: i32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    let file = open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| format!("open {path}"))?;
    insula_sys::rustix::io::write(&file, text.as_bytes())
        .map(drop)
        .step(|| format!("write {path}"))
}

/// Sets the offsets of the time namespace that this process's next child will be in.
pub(crate) fn write_time_offsets(linux: &Linux) -> Result<()> {
    if linux.time_offsets.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for (clock, offset) in &linux.time_offsets {
        let _ = writeln!(text, "{clock} {} {}", offset.secs, offset.nanosecs);
    }
    let path = "/proc/self/timens_offsets";
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| format!("linux.timeOffsets: open {path}"))?;
    insula_sys::rustix::io::write(&file, text.as_bytes())
        .map(drop)
        .step(|| format!("linux.timeOffsets: write {path}"))
}
