//! The store of a guest's output: no line lost, bounded, binary safe, read while it is written.
//!
//! ```text
//!  the monitor ─▶ writer.rs ─▶ <directory>/00000001.log, 00000002.log, …
//!                                                 │
//!  insula logs  ◀─ show.rs ◀─ select.rs ◀─ reader.rs (segment.rs: one file; follow.rs: inotify)
//! ```
//!
//! What was read from the guest at once is one chunk: no work is done for each line, neither when
//! it is written nor, without times, when it is read. Start at `format.rs` for the bytes on disk.

mod follow;
pub mod format;
mod health;
mod options;
mod reader;
mod recover;
mod segment;
mod segments;
mod select;
mod show;
#[cfg(test)]
mod tests;
mod writer;

pub use follow::LogWatch;
pub use format::Stream;
pub use health::LogHealth;
pub use options::LogOptions;
pub use reader::{LogReader, Notice, Step};
pub use segment::Chunk;
pub use select::{Selection, Selector, Streams, Wanted};
pub use show::{Show, describe};
pub use writer::LogWriter;
