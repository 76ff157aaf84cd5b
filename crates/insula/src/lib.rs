//! The command line of Insula: parsing, output, errors, help.
//!
//! `main.rs` chooses a role; [`cli`] is the role a person meets. Nothing here knows how a workload
//! runs: that is the crate `node`.
//!
//! Start reading at [`cli::run`].

pub mod cli;
pub mod role;

mod completion;
mod failure;
mod help;
mod output;
mod suggest;

pub use completion::{Shell, script as completion_script};
pub use failure::Failure;
