//! The client of registries against a real one: docker-registry of Debian on loopback, with skopeo
//! as the other client.
//!
//! `harness.rs` starts registries and makes images; `fault.rs` is a proxy that cuts, delays and
//! lies on request, and answers alone where a real registry cannot be made to.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests are built on must work, or they end"
)]

mod exchange;
mod fault;
mod harness;
mod interrupted;
mod plain;
mod refused;
mod secured;
