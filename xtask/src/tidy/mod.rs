//! The rules of STYLE.md and ARCHITECTURE.md that a machine can hold.
//!
//! Each file here is one kind of rule: it reads the tree, or `cargo metadata`, and returns
//! findings.

mod crates;
mod names;
mod paths;
mod sources;

use serde_json::Value;

use crate::{Findings, tree};

pub(crate) fn run() -> Result<Findings, String> {
    let files = tree::files()?;
    let metadata = metadata()?;
    let mut findings = crates::check(&metadata, &files)?;
    findings.extend(names::check(&files));
    findings.extend(paths::check(&files));
    findings.extend(sources::check(&files));
    Ok(findings)
}

fn metadata() -> Result<Value, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_unset| "cargo".to_owned());
    let text = tree::output(std::process::Command::new(cargo).args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
    ]))?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}
