//! Relative links in Markdown lead to a file that exists, and every page of the book is in its
//! list of contents.

use std::path::Path;

use crate::Findings;
use crate::tree::{self, File};

pub(crate) fn run() -> Result<Findings, String> {
    let files = tree::files()?;
    let mut findings = Findings::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        findings.extend(broken_links(file));
    }
    findings.extend(pages_outside_the_book(&files));
    Ok(findings)
}

fn broken_links(file: &File) -> Findings {
    let directory = Path::new(&file.path)
        .parent()
        .unwrap_or_else(|| Path::new(""));
    let mut findings = Findings::new();
    for (number, line) in prose_lines(&file.text) {
        for target in targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            let is_elsewhere =
                path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !is_elsewhere && !tree::root().join(directory).join(path).exists() {
                findings.push(format!(
                    "{}:{number}: link to {path} leads nowhere",
                    file.path
                ));
            }
        }
    }
    findings
}

/// Lines outside fenced code, with their numbers.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)` in a line.
fn targets(line: &str) -> Vec<&str> {
    line.match_indices("](")
        .filter_map(|(start, _)| {
            let rest = &line[start + 2..];
            let end = rest.find(')')?;
            rest[..end].split(' ').next()
        })
        .collect()
}

fn pages_outside_the_book(files: &[File]) -> Findings {
    const BOOK: &str = "docs/";
    let contents = files.iter().find(|file| file.path == "docs/SUMMARY.md");
    let Some(contents) = contents else {
        return vec!["docs/SUMMARY.md is missing".into()];
    };
    let listed: Vec<&str> = contents.text.lines().flat_map(targets).collect();
    files
        .iter()
        .filter(|file| file.has_extension("md") && file.path != contents.path)
        .filter_map(|file| file.path.strip_prefix(BOOK))
        .filter(|page| !listed.contains(page))
        .map(|page| format!("{BOOK}{page}: not in SUMMARY.md"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn targets_are_found_without_their_titles() {
        assert_eq!(
            targets("a [b](c.md) and [d](e/f.md#g \"t\")"),
            ["c.md", "e/f.md#g"]
        );
        assert!(targets("no [link] (here)").is_empty());
    }
}
