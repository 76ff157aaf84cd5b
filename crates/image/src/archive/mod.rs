//! Images as files: OCI image layouts and the archives of `docker save`, in and out.
//!
//! ```text
//!  layout: directory, tar ──┐                              ┌─▶ layout, exact
//!  docker-archive ──────────┼─ contents.rs ─▶ transaction ─┼─▶ docker-archive
//!  rootfs tar, directory ───┘  (any order)      store      └─▶ rootfs tar, directory
//! ```
//!
//! What comes in is recognised by its first member, so that it may come through a pipe. An archive
//! of images is read in the order of its documents, not of its members: one that is compressed or
//! comes through a pipe is written to the staging directory first.
//!
//! Start reading at [`Store::import_images`] and [`Store::export`].
//!
//! [`Store::import_images`]: crate::Store::import_images
//! [`Store::export`]: crate::Store::export

mod contents;
mod docker;
mod export;
mod import;
mod layout;

pub use export::{ExportFormat, Exported};
pub use import::ImportFormat;
