//! Guests in the background: the verbs of their lives, their monitors, and what kills of any
//! process
//! leave. As a user sees it, through the command line.
//!
//! `INSULA_BINARY` names the binary under test; `INSULA_GUESTS_SEED` and `INSULA_GUESTS_ROUNDS`
//! replay and prolong what is random.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what a test needs for itself is there, or the test fails"
)]

#[path = "../shared/insula.rs"]
mod insula;
mod kills;
mod life;
mod model;
mod own_view;
mod streams;
mod world;
