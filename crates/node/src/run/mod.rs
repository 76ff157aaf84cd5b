//! From what a user asked for and what an image says to the configuration of a container.
//!
//! ```text
//!  options.rs, policy.rs      what was asked for, as plain facts
//!  spec.rs                    image's wishes + docker's defaults + options = configuration
//!  layers.rs                  the image's layers as lower directories
//!  device.rs                  devices of the host, one by one or all
//!  own_view.rs                a /proc that shows what is the container's
//!  secret.rs                  files that are shown and written down nowhere
//! ```
//!
//! The life of what is made of it is in [`crate::guest`]. Start reading at [`spec::build`].

pub(crate) mod capability;
mod device;
pub(crate) mod init;
pub(crate) mod layers;
pub(crate) mod network_files;
mod options;
pub(crate) mod own_view;
mod policy;
pub(crate) mod secret;
mod security;
pub(crate) mod spec;
pub(crate) mod system;
mod user;

use insula_container::error::{Error, Kind};

pub use options::{DeviceMapping, Limit, Network, RunOptions, Secret, Tmpfs, Volume, Weights};
pub use policy::{HealthCheck, LogDriver, LogSettings, ProcViewMode, RestartPolicy, SystemMode};

/// The host name of the guest with this identifier.
pub(crate) fn hostname(options: &RunOptions, id: &str) -> String {
    match (&options.hostname, options.network) {
        (Some(hostname), _) => hostname.clone(),
        (None, Network::None) => id[..12].to_owned(),
        (None, Network::Host) => {
            let system = insula_sys::rustix::system::uname();
            system.nodename().to_string_lossy().into_owned()
        }
    }
}

/// An error of the image store as one of this module.
pub(crate) fn image_error(error: insula_image::Error) -> Error {
    let hint = error.hint_text().map(str::to_owned);
    let kind = match error.kind() {
        insula_image::Kind::NotFound => Kind::NotFound,
        _ => Kind::Other,
    };
    let converted = Error::new(error.chain()).kind(kind);
    match hint {
        Some(hint) => converted.hint(hint),
        None => converted,
    }
}
