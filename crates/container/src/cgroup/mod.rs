//! Control groups: where a container's are, how they are made, limited, watched and removed.
//!
//! [`locate()`] decides on a [`Location`] without changing anything, so that it can be written to
//! the state record first. [`Location::begin`] makes the directory that a new process is born
//! into (v2: a descriptor for `clone3`), [`Making::complete`] the others, which the process
//! enters by itself (v1), and the limits. Version 1, version 2 and both at once (hybrid) are
//! one code path over a list of hierarchies; only the names of the limits differ
//! (`limits_v1.rs`, `limits_v2.rs`).
//!
//! Start at [`Location`]. Device rules are in `devices.rs`, systemd's scopes in `systemd/`.

mod below;
mod controllers;
mod cpuset;
mod create;
mod delegate;
mod destroy;
mod device_program;
mod devices;
mod directory;
mod divided;
mod freezer;
mod limits;
mod limits_v1;
mod limits_v2;
mod locate;
mod location;
mod mountinfo;
mod oom;
mod processes;
mod stats;
mod stats_v1;
mod stats_v2;
mod systemd;

#[cfg(test)]
mod tests;

pub use below::Below;
pub use create::{FirstProcess, Making, Settings};
pub(crate) use freezer::thaw_where_it_is;
pub use locate::{Request, locate};
pub use location::{Cgroup, Hierarchy, Location, Manager};
pub use oom::{OomEvent, OomWatch};
pub use stats::Stats;
