//! Version 2: a controller works in a cgroup when every cgroup above enables it for its children.

use super::directory::Directory;
use crate::error::{Error, Result};

/// What statistics need, even of a container without limits.
const USUAL: [&str; 4] = ["cpu", "io", "memory", "pids"];

/// Enables the controllers that every container should have; limits complain later if it fails.
pub(super) fn enable_usual(directory: &Directory<'_>) {
    let text = directory.try_read("cgroup.controllers").unwrap_or_default();
    if USUAL.iter().any(|name| !contains(&text, name)) {
        enable_all(directory);
    }
}

/// Makes sure that `controller` works in the cgroup.
pub(super) fn require(directory: &Directory<'_>, controller: &str) -> Result<()> {
    let enabled = || {
        let text = directory.try_read("cgroup.controllers").unwrap_or_default();
        contains(&text, controller)
    };
    if enabled() {
        return Ok(());
    }
    enable_all(directory);
    if enabled() {
        return Ok(());
    }
    Err(missing(controller).hint(format!(
        "a cgroup above {} does not pass the controller on: see its cgroup.subtree_control, and \
         for users Delegate= in systemd.resource-control(5)",
        directory.path()
    )))
}

/// The error for a limit that no hierarchy can hold.
pub(super) fn missing(controller: &str) -> Error {
    Error::new(format!(
        "cgroup controller \"{controller}\" is not available"
    ))
}

/// Passes every controller on that a cgroup above has. Where processes sit in one of them, the
/// kernel refuses the controllers that would have to divide between them and its children.
fn enable_all(directory: &Directory<'_>) {
    let mut above = Vec::new();
    let mut next = directory.parent("");
    while let Some(parent) = next {
        next = parent.parent("");
        above.push(parent);
    }
    for parent in above.iter().rev() {
        let has = parent.try_read("cgroup.controllers").unwrap_or_default();
        let passes = parent
            .try_read("cgroup.subtree_control")
            .unwrap_or_default();
        let lacking: Vec<String> = has
            .split_ascii_whitespace()
            .filter(|name| !contains(&passes, name))
            .map(|name| format!("+{name}"))
            .collect();
        if lacking.is_empty()
            || parent
                .try_write("cgroup.subtree_control", &lacking.join(" "))
                .is_ok()
        {
            continue;
        }
        for name in &lacking {
            // One that cannot be had must not keep the others away.
            let _ = parent.try_write("cgroup.subtree_control", name);
        }
    }
}

fn contains(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|word| word == name)
}
