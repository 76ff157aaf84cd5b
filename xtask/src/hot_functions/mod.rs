//! `cargo xtask hot-functions`: writes `crates/insula/hot.ld`, which puts next to each other what
//! an OCI runtime call executes.
//!
//! The kernel maps file pages in windows of 64 KiB around each fault, and all of them count as
//! resident. So what counts is not how much code runs but over how many windows it is spread. The
//! chore builds the release binary with a map of the linker, steps through the life of a container
//! (`lives`), finds the input section of every instruction (`map`), and writes the sections in
//! the order of their first use as patterns that do not depend on hashes (`pattern`).

mod lives;
mod map;
mod pattern;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Findings, tree};

const SCRIPT: &str = "crates/insula/hot.ld";

const HEAD: &str = "\
/* Written by `cargo xtask hot-functions`: what an OCI runtime call executes, in the order of first
   use. docs/internals/start-up.md says why. A pattern that matches nothing does no harm. */
";

/// Builds the binary and its map first.
pub(crate) fn run() -> Result<Findings, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tree::root().join("target"), PathBuf::from)
        .join("x86_64-unknown-linux-gnu/release");
    let map = target.join("insula.map");
    let status = Command::new("cargo")
        .current_dir(tree::root())
        .args(["rustc", "--locked", "--release", "--package", "insula"])
        .args(["--bin", "insula", "--", "-C"])
        .arg(format!("link-arg=-Wl,-Map={}", map.display()))
        .status()
        .map_err(|error| format!("run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("cargo rustc: {status}"));
    }
    run_with(&target.join("insula"), &map)
}

/// Uses a binary and the map of the linker that belongs to it.
pub(crate) fn run_with(binary: &Path, map: &Path) -> Result<Findings, String> {
    let text =
        std::fs::read_to_string(map).map_err(|error| format!("read {}: {error}", map.display()))?;
    let sections = map::code_sections(&text);
    if sections.is_empty() {
        return Err(format!("{} is no map written by lld", map.display()));
    }
    let mut used = HashSet::new();
    let mut order = Vec::new();
    lives::trace(binary, |address| {
        if let Some(index) = map::find(&sections, address)
            && used.insert(index)
        {
            order.push(&sections[index]);
        }
    })?;
    let path = tree::root().join(SCRIPT);
    std::fs::write(&path, script(&order)).map_err(|error| format!("write {SCRIPT}: {error}"))?;
    Ok(Findings::new())
}

fn script(order: &[&map::Section<'_>]) -> String {
    let exact = order.iter().map(|section| pattern::of(section));
    // Another processor takes other variants of the memory and string functions.
    let variants = order
        .iter()
        .filter_map(|section| pattern::of_variants(section));
    let constants = order
        .iter()
        .filter_map(|section| pattern::of_constants(section));
    let mut text = String::from(HEAD);
    add_section(&mut text, ".text", exact.chain(variants));
    add_section(&mut text, ".rodata", constants);
    text
}

/// An output section of `lines` in front of `name`; INSERT leaves the linker's own layout as it is.
fn add_section(text: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    let mut seen = HashSet::new();
    text.push_str(&format!("SECTIONS {{ {name}.hot : {{\n"));
    for line in lines {
        if seen.insert(line.clone()) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.push_str(&format!("}} }} INSERT BEFORE {name};\n"));
}
