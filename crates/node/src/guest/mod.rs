//! Guests: what `insula run` and `insula create` make, and the verbs of their lives.
//!
//! There is no daemon. A guest that is up has one monitor process (`monitor/`); commands read what
//! it publishes, talk to it over its socket, or go to the engine by themselves.
//!
//! ```text
//!  created ──start──▶ running ◀──resume── paused
//!     ▲                │  ▲  └────pause─────▲
//!     └── never ran    │  └─back-off── restarting
//!                      ▼                  ▲
//!                    exited ──policy──────┘
//! ```
//!
//! Start at [`run`] for the life of `insula run`, at [`find()`] for how a guest is looked up, and
//! at `monitor/mod.rs` for what goes on meanwhile.

mod attach;
mod configure;
mod event;
mod exec;
pub mod files;
mod find;
pub mod format;
mod inspect;
mod list;
mod live;
mod logs;
pub(crate) mod monitor;
mod name;
mod place;
mod protocol;
mod prune;
mod remove;
mod signal;
mod start;
mod usage;
pub(crate) mod workspace;

use std::time::{SystemTime, UNIX_EPOCH};

use insula_container::error::{Error, Kind, Result};

pub use attach::{AttachOptions, Parting, attach};
pub use configure::{Change, rename, update};
pub use exec::{ExecRequest, exec};
pub use find::{Guest, Status, find};
pub(crate) use format::ProcessName;
pub use inspect::{at_path, inspect};
pub use list::{guests_of_volume, list, names, users_of_image};
pub(crate) use live::{is_alive, living_process, process_name};
pub use logs::{LogRequest, logs};
pub(crate) use monitor::leave_standard_streams;
pub use name::check_name;
pub use place::{Place, STATE_ROOT};
pub use prune::{Pruned, prune};
pub use remove::{Removal, remove};
pub use signal::{StopRequest, kill, pause, restart, resume, stop, wait};
pub(crate) use start::make_workspace;
pub use start::{Finished, create, run, run_detached, start, start_attached};
pub use usage::{Counters, Usage, processes, usage};

/// The exit code of `insula run` for a guest that could not be started: 127 when there is no such
/// program, 126 when it cannot be run, 125 for everything else.
#[must_use]
pub fn exit_code(error: &Error) -> u8 {
    match error.kind_of() {
        Kind::ProgramNotFound => 127,
        Kind::ProgramNotExecutable => 126,
        _ => 125,
    }
}

/// An identifier that nothing else has.
pub(crate) fn make_up_id() -> Result<String> {
    Ok(name::make_up()?.0)
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

pub(crate) fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}
