//! Where images and containers are kept: the flag, the environment, the default; and what its
//! errors mean to a user.

use std::path::{Path, PathBuf};

use insula_node::guest::{self, Place};
use insula_node::image::{self, Kind, Store};
use insula_node::{Error, ErrorKind};

use crate::Failure;

/// The place of the store. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location(PathBuf);

impl Location {
    /// `--store`, then `INSULA_STORE`, then the user's own or `/var/lib/insula`.
    pub(crate) fn choose(flag: Option<PathBuf>) -> Self {
        let from_environment = || {
            let value = std::env::var_os("INSULA_STORE")?;
            (!value.is_empty()).then(|| PathBuf::from(value))
        };
        Self(
            flag.or_else(from_environment)
                .unwrap_or_else(insula_node::rootless::store_root),
        )
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn images(&self) -> Store {
        Store::new(&self.0)
    }

    /// The guests of this store.
    pub(crate) fn place(&self) -> Place {
        Place::new(&self.0)
    }

    /// Names of the guests that use the image with this manifest.
    pub(crate) fn users_of(&self, manifest: &image::Digest) -> Vec<String> {
        guest::users_of_image(&self.place(), manifest)
    }
}

/// An error of the container engine in a user's words.
pub(crate) fn engine_failure(error: &Error) -> Failure {
    let message = error.to_string();
    let failure = match error.kind_of() {
        ErrorKind::NotFound => Failure::not_found(message),
        ErrorKind::Exists => Failure::conflict(message),
        ErrorKind::ProgramNotFound => Failure::not_started(127, message),
        ErrorKind::ProgramNotExecutable => Failure::not_started(126, message),
        ErrorKind::Interrupted => Failure::failed(message).with_exit_code(130),
        ErrorKind::Other => Failure::failed(message),
    };
    let failure = failure.caused_by(error);
    match error.hint_text() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// An error of the image store in a user's words.
pub(crate) fn failure(error: &image::Error) -> Failure {
    let message = error.to_string();
    let failure = match error.kind() {
        Kind::NotFound => Failure::not_found(message),
        Kind::Ambiguous | Kind::Invalid => Failure::usage(message),
        Kind::InUse => Failure::conflict(message),
        Kind::Denied => Failure::not_permitted(message),
        Kind::Unreachable => Failure::unreachable(message),
        Kind::System if is_refused(error) => Failure::not_permitted(message),
        Kind::System | Kind::Transfer | Kind::Cancelled => Failure::failed(message),
    };
    let failure = failure.caused_by(error);
    match error.hint_text() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Whether "permission denied" is at the end of the chain.
fn is_refused(error: &image::Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        next = error.source();
    }
    false
}
