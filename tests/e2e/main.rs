//! Engines of others that drive the binary as their OCI runtime: podman, buildah and containerd.
//!
//! The engines come from Debian's packages, unpacked by `scripts/peers`. Each test has a store of
//! its own in a temporary directory and leaves nothing behind. `INSULA_BINARY` names the binary
//! under test; `E2E_RUNTIME=/usr/sbin/runc` puts another runtime in its place, to learn what is
//! expected of one. Start at `engine.rs`, which says how an engine is called.

mod buildah;
mod containerd;
mod engine;
mod podman;
