//! Guests of an ordinary user: one user namespace for all of them, in which the user is root.
//!
//! ```text
//!  enter()       before anything of the store or of a guest is touched
//!    home.rs     where the user's store and state are
//!    ids.rs      which ids the namespace has: subordinate ranges, or the user's own alone
//!    adapt.rs    what of a container cannot be in it
//!    keeper.rs   the process that keeps the namespace while it is used
//! ```
//!
//! All commands and monitors of a user must be in the same namespace: only its root may go into a
//! guest, join its files or end it. The first command makes it, others join it, and when the last
//! command and the last guest are gone it goes, too. Start at [`enter`].

mod adapt;
mod home;
mod ids;
mod keeper;

use std::fs::File;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use insula_container::error::{Context, Result};
use insula_sys::process::{CLONE_NEWNS, CLONE_NEWUSER, setns};
use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use insula_sys::user_namespace::Ids;

use crate::guest::{ProcessName, is_alive, living_process};

pub(crate) use adapt::adapt;
pub use home::{cgroup_manager, is_system, state_root, store_root};
pub(crate) use keeper::{ROLE, main};

/// Held shared by everybody who needs the namespace; the keeper ends it under the exclusive lock.
const LOCK_FILE: &str = "namespace.lock";
/// Held while the namespace is looked for or made.
const MAKING_FILE: &str = "namespace.new.lock";
/// The keeper: number and start of the process.
const KEEPER_FILE: &str = "namespace";

/// Makes an ordinary user root of the user's own namespace. Nothing happens for root. This process
/// must have one thread.
///
/// # Errors
/// The kernel or the host's policy gives the user no namespace.
pub fn enter() -> Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let state = home::make_state_root()?;
    use_namespace(&state)?;
    let making = open_lock(&state.join(MAKING_FILE))?;
    flock(&making, FlockOperation::LockExclusive).step(|| "wait for another command")?;
    let keeper = match find_keeper(&state) {
        Some(keeper) => keeper,
        None => keeper::start(&state)?,
    };
    drop(making);
    join(&keeper).map_err(|error| error.hint(home::advice()))
}

/// How many users and groups there are in the namespace that was entered.
#[must_use]
pub fn ids() -> (u32, u32) {
    match Ids::of_this_process() {
        Ids::Host => (u32::MAX, u32::MAX),
        Ids::Namespace { users, groups } => (users, groups),
    }
}

/// Holds the namespace until this process ends. Also done by monitors, which outlive their command.
pub(crate) fn use_namespace(state: &Path) -> Result<()> {
    let lock = open_lock(&state.join(LOCK_FILE))?;
    flock(&lock, FlockOperation::LockShared).step(|| "hold the user's namespace")?;
    // The kernel closes it with the process.
    let _ = lock.into_raw_fd();
    Ok(())
}

/// As [`use_namespace`], where there is one.
pub(crate) fn use_namespace_if_any(state: &Path) {
    if state.join(LOCK_FILE).exists() {
        // Without the lock the next command may make another namespace; the guest goes on.
        let _ = use_namespace(state);
    }
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
        .open(path)
        .step(|| format!("open {}", path.display()))
}

/// A process in the namespace that will stay for a while: the keeper, or one of a guest.
fn find_keeper(state: &Path) -> Option<OwnedFd> {
    let written = || {
        let text = std::fs::read_to_string(state.join(KEEPER_FILE)).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        Some(ProcessName {
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        })
    };
    // When the keeper was killed, guests still are where they were.
    let process = written()
        .filter(|process| is_alive(*process))
        .or_else(|| living_process(state))?;
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    is_alive(process).then_some(pidfd)
}

fn join(keeper: &OwnedFd) -> Result<()> {
    // Joining a mount namespace changes to its root directory.
    let directory = std::env::current_dir();
    setns(keeper.as_fd(), CLONE_NEWUSER | CLONE_NEWNS).step(|| "enter the user's namespace")?;
    match directory {
        Ok(directory) => std::env::set_current_dir(&directory)
            .step(|| format!("go back to {}", directory.display())),
        Err(_) => Ok(()),
    }
}
