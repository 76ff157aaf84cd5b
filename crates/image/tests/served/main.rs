//! Layers served through FUSE: by root of the host, by root of a user namespace, by an ordinary
//! user. Needs root, to become all of them.
//!
//! A program of its own instead of `#[test]`s, because each case clones this process. It speaks
//! enough of the test harness's command line for `cargo test` and nextest.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test; results are its output"
)]

#[path = "../archive/mod.rs"]
mod archive;
mod cases;
#[path = "../layer/mod.rs"]
mod layer;
mod user;

use std::process::ExitCode;

type Case = (&'static str, fn());

fn main() -> ExitCode {
    let cases = cases::CASES;
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            cases.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let names: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |name: &str| {
        let is_named = |part: &&String| match has("--exact") {
            true => *part == name,
            false => name.contains(part.as_str()),
        };
        names.is_empty() || names.iter().any(is_named)
    };
    if !insula_sys::rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return ExitCode::SUCCESS;
    }
    if !std::path::Path::new(insula_sys::fuse::DEVICE).exists() {
        println!("skipped: this host has no /dev/fuse");
        return ExitCode::SUCCESS;
    }
    for (name, case) in cases.iter().filter(|(name, _)| wanted(name)) {
        println!("{name}");
        case();
    }
    ExitCode::SUCCESS
}
