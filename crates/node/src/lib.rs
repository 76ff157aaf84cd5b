//! Runs workloads on this host: the only place where the engines meet.
//!
//! Start reading at [`role`]: what the process is to be, decided before anything else.

pub use insula_sys::entry;

pub mod build;
pub mod event;
pub mod guest;
pub mod guest_log;
pub mod host;
pub mod interrupt;
pub mod moment;
pub mod oci;
pub mod proc_view;
pub mod role;
pub mod run;
pub mod terminal;
pub mod volume;

pub use insula_container::error::{Error, Kind as ErrorKind};
pub use insula_container::spec::OCI_VERSION;
/// The image store, for those above the node: the command line lists, imports and removes.
pub use insula_image as image;
