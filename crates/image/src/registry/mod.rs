//! Registries: a client of the OCI distribution specification, and pull and push on top of it.
//!
//! ```text
//!  pull.rs, push.rs ─▶ repository.rs, blob.rs, upload.rs ─▶ client.rs ─▶ transport.rs ─▶ network
//!   what to transfer    one request of the specification     whole        one request
//!                                                            exchanges
//! ```
//!
//! Everything is synchronous: a few threads, one per layer under way. What the user configured is
//! in `configuration.rs` (names, mirrors), `credentials.rs` (passwords), `certificates.rs` and
//! `proxy.rs`. Start reading at [`pull()`].

mod authentication;
mod blob;
mod certificates;
mod client;
mod configuration;
mod credentials;
mod listing;
pub(crate) mod manifest;
mod parallel;
mod platform;
mod progress;
mod proxy;
mod pull;
mod push;
mod repository;
mod resolve;
mod retry;
mod tls;
mod transport;
mod upload;

use std::path::PathBuf;

pub use client::{Client, ClientOptions};
pub use configuration::Configuration;
pub use credentials::{Credential, Credentials, Keeper};
pub use listing::{Referrers, referrers, tags};
pub use manifest::{Document, Index, IndexEntry, check_runnable, read_document};
pub use platform::Platform;
pub use progress::{BlobState, Event, Progress, Silent};
pub use pull::{PARALLEL_DEFAULT, PullOptions, Pulled, pull};
pub use push::{PushOptions, Pushed, push};
pub use retry::Cancel;

/// A place below the home directory of whoever runs this, by the environment alone.
fn user_directory(path: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(path))
}
