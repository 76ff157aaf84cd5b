//! The container engine: an OCI bundle becomes namespaces, a cgroup, a root file system, a process.
//!
//! ```text
//!  runtime (create.rs, start.rs, exec.rs)      container process (init.rs)
//!    config.json → plan → record → cgroup
//!    clone3 ─────────────────────────────────▶ namespaces, root file system (rootfs/)
//!    record ◀────── channel.rs ──────────────  ready
//!                                              launch.rs: limits, ids, seccomp, execve
//! ```
//!
//! Start reading at [`Runtime`], then [`spec`] for what can be asked.

mod attributes;
pub mod capability;
pub mod cgroup;
mod channel;
mod container;
mod create;
pub mod error;
mod exec;
mod foreground;
pub mod format;
mod hook;
mod init;
mod intel_rdt;
mod launch;
mod listener;
pub mod mount;
mod namespace;
mod net_device;
pub mod rootfs;
mod runtime;
pub mod seccomp;
pub mod spec;
mod start;
mod store;
mod sysctl;
mod terminal;
mod user_namespace;

pub use container::Container;
pub use error::{Error, Result};
pub use exec::ExecOptions;
pub use launch::protect_program;
pub use runtime::{CreateOptions, Launched, Runtime, Source};
pub use store::process_start;

use std::sync::OnceLock;

static WARN: OnceLock<fn(&Error)> = OnceLock::new();

/// Where warnings go (runtime.md, Warnings). Without a place they are dropped.
pub fn set_warning_sink(sink: fn(&Error)) {
    // A second call changes nothing: the first place stays.
    let _ = WARN.set(sink);
}

static DEBUG: OnceLock<fn(&str)> = OnceLock::new();

/// Where the steps of the runtime's work are told. Without a place nothing is even put into words.
pub fn set_debug_sink(sink: fn(&str)) {
    let _ = DEBUG.set(sink);
}

/// Tells of one step. In a process of the container only as long as it is on the host's side: the
/// log is a file of the host's.
pub(crate) fn debug(text: impl FnOnce() -> String) {
    if let Some(sink) = DEBUG.get() {
        sink(&text());
    }
}

static NOTE: OnceLock<fn(&Error)> = OnceLock::new();

/// Where warnings go that engines' own templates cause at every start: a log, not a terminal.
pub fn set_note_sink(sink: fn(&Error)) {
    let _ = NOTE.set(sink);
}

pub(crate) fn note(warning: impl FnOnce() -> Error) {
    if let Some(sink) = NOTE.get() {
        sink(&warning());
    }
}

pub(crate) fn warn(warning: &Error) {
    if let Some(sink) = WARN.get() {
        sink(warning);
    }
}
