//! Where the command line meets the engine: which runtime, which container, which messages.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use insula_container::cgroup::Manager;
use insula_container::{Container, Runtime};
use insula_sys::rustix::process::geteuid;

use super::failure::{Failure, Result};
use super::invocation::Invocation;
use super::log::{Level, Log};

/// Where containers are remembered when root asks; on the host's tmpfs.
const ROOT: &str = "/run/insula/oci";

static LOG: OnceLock<Log> = OnceLock::new();

/// From here on warnings of the engine go where errors go, and its steps where they are asked for.
pub(crate) fn send_messages_to(log: &Log) {
    if LOG.set(log.clone()).is_ok() {
        if log.takes(Level::Debug) {
            insula_container::set_debug_sink(|text| {
                if let Some(log) = LOG.get() {
                    log.write(Level::Debug, text, None);
                }
            });
        }
        insula_container::set_warning_sink(tell);
        if log.has_file() {
            insula_container::set_note_sink(tell);
        }
    }
}

fn tell(warning: &insula_container::Error) {
    if let Some(log) = LOG.get() {
        log.write(Level::Warning, &warning.chain(), warning.hint_text());
    }
}

pub(crate) fn runtime(invocation: &Invocation<'_>) -> Result<Runtime> {
    let root = match &invocation.root {
        Some(root) => root.clone(),
        None => default_root()?,
    };
    Ok(Runtime {
        root,
        manager: invocation.cgroup_manager,
        rootless: invocation.rootless == Some(true),
    })
}

/// Removes what killed commands left of containers in the default directory, and returns their ids.
///
/// # Errors
/// Something cannot be removed; the rest is removed all the same.
pub fn prune() -> insula_container::Result<Vec<String>> {
    // Without a place for state there is none to clean up.
    let Ok(root) = default_root() else {
        return Ok(Vec::new());
    };
    if root == Path::new(ROOT) && !crate::rootless::is_system() {
        return Ok(Vec::new());
    }
    let (manager, rootless) = (Manager::default(), false);
    Runtime {
        root,
        manager,
        rootless,
    }
    .prune()
}

pub(crate) fn container(invocation: &Invocation<'_>) -> Result<Container> {
    Ok(runtime(invocation)?.load_settled(invocation.id()?)?)
}

/// Root's own directory, or the user's below `$XDG_RUNTIME_DIR`.
pub(crate) fn default_root() -> Result<PathBuf> {
    let user = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let is_root = geteuid().is_root();
    match user {
        // Login sessions set the variable for root too; only in a user namespace it counts there.
        Some(directory) if !is_root || in_user_namespace() => {
            Ok(Path::new(&directory).join("insula/oci"))
        }
        _ if is_root => Ok(PathBuf::from(ROOT)),
        _ => Err(Failure::new(
            "no directory for the state of containers: XDG_RUNTIME_DIR is not set",
        )
        .hint("set it, or give --root DIR")),
    }
}

/// The first user namespace maps every id to itself (user_namespaces(7)).
fn in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| {
        let mut numbers = map.split_ascii_whitespace();
        let first = (numbers.next(), numbers.next(), numbers.next());
        first != (Some("0"), Some("0"), Some("4294967295"))
    })
}
