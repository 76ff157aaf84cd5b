//! Where images, guests and what dies with the kernel are kept: for root and for ordinary users.
//!
//! The directories of users are those of the XDG Base Directory Specification 0.8.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use insula_container::cgroup::Manager;
use insula_container::error::{Context, Error, Result};
use insula_sys::rustix::fs::{Access, access};
use insula_sys::rustix::process::geteuid;
use insula_sys::user_namespace::outer_user;

use crate::guest::STATE_ROOT;

const SYSTEM_STORE: &str = "/var/lib/insula";

/// Whether guests of this process are the system's: it may write below /run. An ordinary user may
/// not, and neither may root of a user's namespace.
#[must_use]
pub fn is_system() -> bool {
    access("/run", Access::WRITE_OK).is_ok()
}

/// Where images and guests are kept when nothing else is said.
#[must_use]
pub fn store_root() -> PathBuf {
    if is_system() {
        return SYSTEM_STORE.into();
    }
    let data = directory("XDG_DATA_HOME");
    let data = data.or_else(|| directory("HOME").map(|home| home.join(".local/share")));
    data.map_or_else(|| SYSTEM_STORE.into(), |data| data.join("insula"))
}

/// Where monitors publish what they do: see [`STATE_ROOT`].
#[must_use]
pub fn state_root() -> PathBuf {
    if is_system() {
        return STATE_ROOT.into();
    }
    match directory("XDG_RUNTIME_DIR").filter(|path| is_private(path)) {
        Some(runtime) => runtime.join("insula"),
        // Not TMPDIR: all commands of a user must find the same place.
        None => format!("/tmp/insula-{}", outer_user(geteuid().as_raw())).into(),
    }
}

/// Who makes the cgroups of guests. An ordinary user's guests stay in the cgroup of their maker.
#[must_use]
pub fn cgroup_manager() -> Manager {
    match is_system() {
        true => Manager::default(),
        false => Manager::Disabled,
    }
}

/// Makes the user's [`state_root`].
pub(super) fn make_state_root() -> Result<PathBuf> {
    let path = state_root();
    let step = || format!("make {}", path.display());
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).step(step);
        }
        _ => {}
    }
    if !is_private(&path) {
        return Err(Error::new(format!(
            "{} is not a directory that only this user can write to",
            path.display()
        ))
        .hint("remove it, or set XDG_RUNTIME_DIR to a directory of yours"));
    }
    Ok(path)
}

fn directory(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    path.is_absolute().then_some(path)
}

/// A directory of this user that nobody else can write to.
fn is_private(path: &Path) -> bool {
    let metadata = path.symlink_metadata();
    metadata.is_ok_and(|found| {
        found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0
    })
}

/// What a user can do about a namespace that is refused.
pub(super) fn advice() -> String {
    let setting = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let advice = if setting("/proc/sys/user/max_user_namespaces").trim() == "0" {
        "user namespaces are switched off: sudo sysctl user.max_user_namespaces=65536"
    } else if setting("/proc/sys/kernel/unprivileged_userns_clone").trim() == "0" {
        "ordinary users may make none: sudo sysctl kernel.unprivileged_userns_clone=1"
    } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").trim() == "1" {
        "AppArmor forbids it: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "`insula doctor` says what this host gives to ordinary users; root needs no namespace"
    };
    advice.to_owned()
}
