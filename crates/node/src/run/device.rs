//! Devices of the host in a container: those that were asked for, or all of them.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use insula_container::error::{Context, Error, Result};
use insula_container::spec::{Device, DeviceKind, DeviceRule};
use insula_sys::rustix::fs::{major, minor};

use super::options::{DeviceMapping, RunOptions};

/// Directories of /dev that hold no devices of hardware, or are the container's own.
const OTHERS: [&str; 5] = ["fd", "hugepages", "mqueue", "pts", "shm"];
/// What every container has of its own.
const OWN: [&str; 8] = [
    "console", "full", "null", "ptmx", "random", "tty", "urandom", "zero",
];
/// More levels than udev makes.
const DEPTH_MAX: usize = 4;

/// The device files to make.
///
/// # Errors
/// A device that was asked for is not there, or is none.
pub(super) fn nodes(options: &RunOptions) -> Result<Vec<Device>> {
    let mut nodes = Vec::new();
    if options.privileged {
        collect(Path::new("/dev"), 0, &mut nodes);
    }
    for mapping in &options.devices {
        let node = node(&mapping.host, &mapping.guest)?;
        nodes.retain(|known: &Device| known.path != node.path);
        nodes.push(node);
    }
    Ok(nodes)
}

/// Which devices may be used: none but the usual ones and those that were asked for.
///
/// # Errors
/// As for [`nodes`].
pub(super) fn rules(options: &RunOptions) -> Result<Vec<DeviceRule>> {
    let mut rules = vec![DeviceRule {
        allow: options.privileged,
        access: Some("rwm".to_owned()),
        ..DeviceRule::default()
    }];
    if options.privileged {
        return Ok(rules);
    }
    for DeviceMapping {
        host,
        guest,
        access,
    } in &options.devices
    {
        let node = node(host, guest)?;
        let kind = match node.kind {
            DeviceKind::Block => "b",
            _ => "c",
        };
        rules.push(DeviceRule {
            allow: true,
            kind: Some(kind.to_owned()),
            major: node.major,
            minor: node.minor,
            access: Some(access.clone()),
        });
    }
    Ok(rules)
}

fn node(host: &Path, guest: &Path) -> Result<Device> {
    let step = || format!("device {}", host.display());
    let metadata = std::fs::metadata(host).step(step)?;
    of(&metadata, guest).ok_or_else(|| {
        Error::new(format!("{} is not a device", host.display()))
            .hint("a file or directory is given to a container with -v")
    })
}

fn of(metadata: &std::fs::Metadata, guest: &Path) -> Option<Device> {
    let kind = metadata.file_type();
    let kind = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => DeviceKind::Character,
        (_, true) => DeviceKind::Block,
        _ => return None,
    };
    Some(Device {
        path: guest.to_owned(),
        kind,
        major: Some(major(metadata.rdev()).into()),
        minor: Some(minor(metadata.rdev()).into()),
        file_mode: Some(metadata.mode() & 0o777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

/// All devices of a directory. What goes meanwhile, or cannot be read, is not there.
fn collect(directory: &Path, depth: usize, nodes: &mut Vec<Device>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_named = |names: &[&str]| names.iter().any(|known| name == *known);
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() && depth < DEPTH_MAX && !(depth == 0 && is_named(&OTHERS)) {
            collect(&entry.path(), depth + 1, nodes);
        } else if !(depth == 0 && is_named(&OWN)) {
            nodes.extend(of(&metadata, &entry.path()));
        }
    }
}
