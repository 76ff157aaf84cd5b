//! What this process is to be, decided before any other argument is looked at.
//!
//! Engines and the tools that drive OCI runtimes start the binary thousands of times: a role must
//! not pay for the command line of people. `insula oci …` is one role; the binary under the name of
//! a runtime (a link `insula-oci`, `runc`, `crun`, `youki`) is the same one, because podman,
//! containerd and CRI-O name a program and cannot add a word to it.

use std::ffi::OsString;
use std::path::Path;

use crate::guest::monitor;
use crate::{oci, rootless};

/// Names of the program that mean `insula oci`.
const RUNTIME_NAMES: [&str; 4] = ["insula-oci", "runc", "crun", "youki"];

/// Runs the role that `args` (with the program's own name in front) asks for, if they ask for one.
pub fn role(args: &[OsString]) -> Option<u8> {
    let name = args
        .first()
        .and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| RUNTIME_NAMES.iter().any(|known| name == *known)) {
        return Some(oci::run(&args[1..]));
    }
    match args.get(1)?.to_str()? {
        "oci" => Some(oci::run(&args[2..])),
        rootless::ROLE => Some(rootless::main(&args[2..])),
        monitor::ROLE => Some(monitor::main(&args[2..])),
        _ => None,
    }
}
