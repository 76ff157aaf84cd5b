//! The container engine: an OCI bundle becomes namespaces, a cgroup, a root file system, a process.
//!
//! Start reading at [`spec`] for what can be asked.

pub mod capability;
pub mod cgroup;
pub mod error;
pub mod mount;
pub mod rootfs;
pub mod seccomp;
pub mod spec;
mod sysctl;

pub use error::{Error, Result};
