//! Version 1 cpusets: a new one has no processor and no memory node, and lets nobody in (ENOSPC).
//!
//! A directory whose parent has `cgroup.clone_children` gets its parent's values from the kernel.
//! We set that on the parents we make; elsewhere the values are copied.

use super::directory::Directory;
use crate::error::Result;

const FILES: [[&str; 2]; 2] = [["cpuset.cpus", "cpus"], ["cpuset.mems", "mems"]];

/// Gives a new cpuset its parent's values. `mount` is the path of the mount point.
pub(super) fn inherit(directory: &Directory<'_>, mount: &str) -> Result<()> {
    for names in FILES {
        let (name, value) = read(directory, names)?;
        if !value.trim_ascii().is_empty() {
            // The kernel clones both or none.
            return Ok(());
        }
        let Some(parent) = directory.parent(mount) else {
            return Ok(());
        };
        let (_, mut value) = read(&parent, names)?;
        if value.trim_ascii().is_empty() {
            // Whoever made the parent by hand gave it nothing either.
            inherit(&parent, mount)?;
            (_, value) = read(&parent, names)?;
        }
        directory.write(name, value.trim_ascii())?;
    }
    Ok(())
}

/// Spares the containers below the copying. They are as well off without it.
pub(super) fn let_children_inherit(directory: &Directory<'_>) {
    let _ = directory.try_write("cgroup.clone_children", "1");
}

/// The second name is that of a hierarchy mounted with `noprefix`.
fn read<'n>(directory: &Directory<'_>, names: [&'n str; 2]) -> Result<(&'n str, String)> {
    match directory.read_if_present(names[0])? {
        Some(value) => Ok((names[0], value)),
        None => Ok((names[1], directory.read(names[1])?)),
    }
}
