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
pub mod rootless;
pub mod run;
pub mod screen;
pub mod terminal;
pub mod volume;

/// Lets some time pass.
///
/// # Errors
/// As poll(2).
pub fn wait(time: std::time::Duration) -> Result<(), Error> {
    use insula_container::error::Context;
    let limit = insula_sys::rustix::event::Timespec::try_from(time).unwrap_or_default();
    insula_sys::rustix::event::poll(&mut [], Some(&limit))
        .map(drop)
        .step(|| "wait")
}

pub use insula_container::error::{Error, Kind as ErrorKind};
pub use insula_container::spec::OCI_VERSION;
/// The image store, for those above the node: the command line lists, imports and removes.
pub use insula_image as image;
