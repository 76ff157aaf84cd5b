//! OCI images on this host: import, store, resolve, remove.
//!
//! ```text
//!  file, stdin ──decompress──┐                         ┌─▶ layers/sha256/<diff id>/fs
//!  directory ──archive──────▶├─▶ hash ─▶ parse, unpack ┤
//!                            └─ one thread ─┴─ another ┴─▶ blobs/, catalog.json
//! ```
//!
//! An archive is read once: the digest and the unpacked tree come out of the same pass. Everything
//! is made in a staging directory and becomes visible by a rename, so a crash, a full disk or a
//! hostile archive leaves nothing half-made.
//!
//! Start reading at [`Store`]; what protects the host from an archive is in `unpack/tree.rs`.
//! Layers are kept unpacked only: an image cannot be written back as the archive it came from.

mod change;
mod config;
pub mod containerfile;
mod decompress;
mod digest;
pub mod erofs;
mod error;
mod format;
mod reference;
mod store;
mod stream;
mod tar;
mod timestamp;
mod unpack;
mod user;

pub use change::apply_change;
pub use config::{Config, Descriptor, History, ImageConfig, Manifest, RootFs};
pub use digest::Digest;
pub use error::{Error, Kind, Result};
pub use reference::Reference;
pub use store::{
    Image, ImportOptions, Imported, PruneScope, Pruned, Removed, Source, Store, StoreLock, Summary,
};
pub use unpack::{Limits, UnpackOptions, Unpacked, Whiteouts, unpack_archive};
pub use user::{ResolvedUser, read_database, read_user, resolve_user};
