//! The container's view of the file system, looked at from inside: needs root.
//!
//! A program of its own instead of `#[test]`s, because each case clones this process. It speaks
//! enough of the test harness's command line for `cargo test` and nextest: `--list`, `--exact`,
//! and names to filter by.

#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::print_stdout, reason = "results are its output")]

mod binds;
mod defaults;
mod devices;
mod file_systems;
mod harness;
mod hostile;
mod users;

use std::process::ExitCode;

use harness::Outcome;

type Case = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    let cases: Vec<Case> = [
        defaults::CASES,
        binds::CASES,
        file_systems::CASES,
        devices::CASES,
        hostile::CASES,
        users::CASES,
    ]
    .concat();
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            cases.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let names = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect::<Vec<_>>();
    let wanted = |name: &str| {
        names.is_empty()
            || names.iter().any(|part| {
                if has("--exact") {
                    *part == name
                } else {
                    name.contains(part.as_str())
                }
            })
    };
    if !insula_sys::rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in cases.iter().filter(|(name, _)| wanted(name)) {
        match case() {
            Ok(()) => println!("test {name} ... ok"),
            Err(problem) => {
                failed += 1;
                println!("test {name} ... FAILED\n    {problem}");
            }
        }
    }
    println!("{failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
