//! Gives the linker `hot.ld`, which puts what an OCI runtime call executes next to each other.
//!
//! `cargo xtask hot-functions` writes that file; docs/internals/start-up.md says why it is there.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=hot.ld");
    println!("cargo::rustc-link-arg-bin=insula=-Wl,-T,{directory}/hot.ld");
}
