//! Paths: those that documents promise exist, and those of one person's machine do not appear.

use crate::Findings;
use crate::tree::{self, File};

pub(super) fn check(files: &[File]) -> Findings {
    let mut findings = Findings::new();
    for file in files {
        if file.path == "ARCHITECTURE.md" {
            findings.extend(where_is(file));
        }
        findings.extend(machine_paths(file));
    }
    findings
}

/// The rows of "Where is …?": every path in backquotes must exist.
fn where_is(file: &File) -> Findings {
    let mut findings = Findings::new();
    let lines = file.text.lines().enumerate();
    let rows = lines
        .skip_while(|(_, line)| !line.starts_with("| Where is"))
        .skip(2)
        .take_while(|(_, line)| line.starts_with('|'));
    let mut count = 0;
    for (index, row) in rows {
        count += 1;
        // Odd pieces stand between backquotes.
        for path in row
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|path| path.contains('/') || path.ends_with(".md"))
        {
            if !tree::root().join(path).exists() {
                findings.push(format!(
                    "{}:{}: {path} does not exist",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    if count == 0 {
        findings.push(format!(
            "{}: the table \"Where is …?\" is missing",
            file.path
        ));
    }
    findings
}

/// Places that exist on one machine only. Written in two halves, so that this file passes.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wor", "k/"),
    concat!("/tmp/", "t/"),
    concat!("/tmp/", "ref/"),
    concat!("/root/.", "cargo"),
    concat!("/home/", "runner"),
];

fn machine_paths(file: &File) -> Findings {
    let mut findings = Findings::new();
    for (index, line) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS {
            let is_own_word = |start: usize| {
                !line[..start].ends_with(|before: char| {
                    before.is_alphanumeric() || before == '}' || before == '.'
                })
            };
            if line
                .match_indices(path)
                .any(|(start, _)| is_own_word(start))
            {
                findings.push(format!(
                    "{}:{}: a path of one machine: {path}",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    findings
}
