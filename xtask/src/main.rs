//! The project's own chores: `cargo xtask CHORE`.
//!
//! ```text
//!  tidy         the rules of STYLE.md that a machine can hold
//!  links        relative links in the documents lead somewhere
//!  man          writes packaging/man from the parser; --check compares
//!  commands     writes docs/reference/commands.md; --check compares
//!  completions  writes packaging/completions; --check compares
//!  hot-functions [FILE MAP]  writes crates/insula/hot.ld from a trace of the release binary
//!  symbols FILE what the release binary must not contain
//! ```

mod commands;
mod completions;
mod documents;
mod elf;
mod hot_functions;
mod links;
mod man;
mod symbols;
mod tidy;
mod tree;

use std::io::Write;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy|links|man [--check]|commands [--check]|\
     completions [--check]|hot-functions [FILE MAP]|symbols FILE";

/// What a chore found wrong, one line each; none is success.
type Findings = Vec<String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(),
        ["links"] => links::run(),
        ["man"] => man::run(documents::Mode::Write),
        ["man", "--check"] => man::run(documents::Mode::Check),
        ["commands"] => commands::run(documents::Mode::Write),
        ["commands", "--check"] => commands::run(documents::Mode::Check),
        ["completions"] => completions::run(documents::Mode::Write),
        ["completions", "--check"] => completions::run(documents::Mode::Check),
        ["hot-functions"] => hot_functions::run(),
        ["hot-functions", binary, map] => hot_functions::run_with(binary.as_ref(), map.as_ref()),
        ["symbols", file] => symbols::run(file),
        _ => Err(USAGE.into()),
    };
    report(&words, outcome)
}

fn report(words: &[&str], outcome: Result<Findings, String>) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let findings = outcome.unwrap_or_else(|error| vec![error]);
    for finding in &findings {
        // Nothing can be done about a closed stderr.
        drop(writeln!(stderr, "{finding}"));
    }
    if findings.is_empty() {
        return ExitCode::SUCCESS;
    }
    drop(writeln!(
        stderr,
        "xtask {}: {} finding(s)",
        words.join(" "),
        findings.len()
    ));
    ExitCode::FAILURE
}
