//! Gives a version 2 cgroup to the user inside the container, who may then divide it further.

use insula_sys::Errno;
use insula_sys::rustix::fs::{AtFlags, OFlags, Uid, chownat};

use super::directory::Directory;
use crate::error::{Context, Result};

/// What may be handed over without letting the user raise the limits (cgroups(7)), where the kernel
/// (before 4.15) does not list it.
const FILES: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// Changes the owner of the directory and of the files that a delegate needs, and of no others.
pub(super) fn hand_over(directory: &Directory<'_>, owner: u32) -> Result<()> {
    let list = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let list = list.as_deref().unwrap_or(FILES);
    let step = || format!("give cgroup {} to user {owner}", directory.path());
    let fd = directory.open_itself(OFlags::PATH).step(step)?;
    let owner = Some(Uid::from_raw(owner));
    chownat(&fd, "", owner, None, AtFlags::EMPTY_PATH).step(step)?;
    for name in list.lines() {
        match chownat(&fd, name, owner, None, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT) => {}
            other => other.step(step)?,
        }
    }
    Ok(())
}
