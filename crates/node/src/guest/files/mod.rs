//! A guest's files, seen from the host: copied in and out, compared with the image, made an image
//! of, taken out as a whole.
//!
//! ```text
//!  root.rs     the open root of a guest, running or not
//!  end.rs      one end of a copy: a path that is there, or is to be
//!  copy.rs     from one end to the other, as an archive
//!  lower.rs    what lies below the writable layer
//!  diff.rs     what the writable layer changes
//!  commit.rs   the writable layer becomes a layer of an image
//!  export.rs   the root as an archive
//! ```
//!
//! Whoever runs in the guest may change everything meanwhile. So each path is resolved by the
//! kernel with the guest's root as its root, and what was found is held by a descriptor. Start at
//! [`root::GuestRoot`].

mod commit;
mod copy;
mod diff;
mod end;
mod export;
mod lower;
mod root;

pub use commit::{CommitRequest, commit};
pub use copy::{Copied, CopyOptions, copy_in, copy_out, read_stream, write_stream};
pub use diff::{Change, ChangeKind, diff};
pub use export::export;
pub(crate) use lower::open as open_lower;
