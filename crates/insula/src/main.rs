//! The one binary. What it is this time is decided before any argument is parsed.
//!
//! A role (an OCI runtime for podman or containerd, a probe of the host, the version) is recognised
//! by `insula::role` and entered at once, so that it pays for nothing it does not use. Everything
//! else is the command line of `src/cli/`.

#![no_main]

use std::ffi::OsString;
use std::io::Write;

insula_node::entry!(enter);

fn enter() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    insula::role::run(&arguments).unwrap_or_else(|| {
        let code = insula::cli::run(&arguments);
        // Nobody does it after us. A reader that has gone away is no failure.
        drop(std::io::stdout().flush());
        code
    })
}
