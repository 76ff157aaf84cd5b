//! Layers: how they come in, and the forms in which they are kept.
//!
//! ```text
//!  transfer ─▶ receive.rs: spool, check ─▶ inflate ─▶ digest, apply ─▶ a form of form.rs
//!  archive  ─▶ receive.rs: read, digest ─▶ apply ─▶ compress, spool
//! ```
//!
//! Start reading at [`receive::transfer`]; who owns the result is in `store/`.

mod form;
mod lookup;
mod probe;
mod receive;

pub(crate) use form::{Applied, apply, parts};
pub use form::{Layer, LayerForm};
pub use lookup::{PlaceInfo, UnionView};
pub use probe::FormChoice;
pub(crate) use probe::choose;
pub(crate) use receive::{Incoming, Received, archive, transfer};
