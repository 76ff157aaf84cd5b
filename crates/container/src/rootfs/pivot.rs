//! Changing `/`: pivot_root(2), or one of the two ways for where that cannot be.

use std::path::Path;

use insula_sys::mount::{flag, mount};
use insula_sys::rustix::fs::{CWD, Mode, OFlags, open};
use insula_sys::rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use insula_sys::rustix::process::{chdir, chroot, fchdir, pivot_root};
use insula_sys::{Errno, Result as SysResult};

use super::tree::Tree;
use crate::error::{Context, Result};

/// The common way. Old and new root share one directory for a moment: the old one ends up on top
/// of the new one and is then detached, so the image needs no directory to put it in.
pub(super) fn pivot(root: &Tree, old_root_is_shared: bool) -> Result<()> {
    if old_root_is_shared {
        return pivot_from_shared(root);
    }
    fchdir(&root.root).step(|| "enter the root directory")?;
    pivot_root(".", ".").step(|| "pivot_root")?;
    unmount(".", UnmountFlags::DETACH).step(|| "detach the old root")
}

/// The same from a root that still propagates to the host: unmounting it as it is would unmount
/// the host's file systems there, too.
fn pivot_from_shared(root: &Tree) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = open("/", flags, Mode::empty()).step(|| "open the old root")?;
    fchdir(&root.root).step(|| "enter the root directory")?;
    pivot_root(".", ".").step(|| "pivot_root")?;
    fchdir(&old).step(|| "enter the old root")?;
    mount(None, ".", None, flag::SLAVE | flag::RECURSIVE, None)
        .step(|| "make the old root a slave")?;
    unmount(".", UnmountFlags::DETACH).step(|| "detach the old root")?;
    chdir("/").step(|| "enter the root directory")
}

/// Without a mount namespace there is nothing to pivot.
pub(super) fn change_root(root: &Tree) -> Result<()> {
    fchdir(&root.root).step(|| "enter the root directory")?;
    chroot(".").step(|| "chroot")?;
    chdir("/").step(|| "enter the root directory")
}

/// `--no-pivot`: the root is moved over `/`. The host's mounts stay below it, so whole procfs and
/// sysfs mounts go first: as long as the namespace holds one, the kernel lets a user namespace
/// inside mount another without the masks of this one.
pub(super) fn move_root(root: &Tree, rootfs: &Path) -> Result<()> {
    for mount_point in whole_pseudo_mounts(rootfs)? {
        remove_or_cover(&mount_point).step(|| format!("hide {mount_point} of the host"))?;
    }
    fchdir(&root.root).step(|| "enter the root directory")?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&root.root, "", CWD, "/", flags).step(|| "move the root directory to /")?;
    chroot(".").step(|| "chroot")?;
    chdir("/").step(|| "enter the root directory")
}

fn remove_or_cover(mount_point: &str) -> SysResult<()> {
    match mount(None, mount_point, None, flag::SLAVE | flag::RECURSIVE, None) {
        // Gone with a directory above it.
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    }
    match unmount(mount_point, UnmountFlags::DETACH) {
        Err(Errno::INVAL | Errno::PERM) => {
            mount(Some(c"tmpfs"), mount_point, Some(c"tmpfs"), 0, None)
        }
        other => other,
    }
}

/// Mount points of procfs and sysfs, whole ones only, outside `rootfs`; the last mounted first.
fn whole_pseudo_mounts(rootfs: &Path) -> Result<Vec<String>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").step(|| "read the mount table")?;
    let rootfs = rootfs.to_string_lossy();
    let whole = table.lines().filter_map(|line| {
        // 22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw
        let mut fields = line.split(' ');
        let (directory, mount_point) = (fields.nth(3)?, fields.next()?);
        let kind = fields.skip_while(|field| *field != "-").nth(1)?;
        let outside = !unescaped(mount_point).starts_with(&*rootfs);
        let pseudo = matches!(kind, "proc" | "sysfs");
        (directory == "/" && pseudo && outside).then(|| unescaped(mount_point))
    });
    let mut whole = whole.collect::<Vec<_>>();
    whole.reverse();
    Ok(whole)
}

/// mountinfo writes space, tab, newline and backslash as octal.
fn unescaped(field: &str) -> String {
    field
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}
