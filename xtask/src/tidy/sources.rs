//! Rust files: a header, no unsafe outside the fence, no calls that leave the static binary, no
//! notes to oneself, sizes.

use crate::Findings;
use crate::tree::{self, File};

/// The crates and directories that may say `unsafe`.
const FENCES: [&str; 1] = ["crates/sys/"];

/// Lines of a file without its tests.
const LINE_LIMIT: usize = 800;

/// Files that were longer when the limit came, with the length they may not pass: `LINES PATH`.
const RATCHET: &str = "xtask/ratchet.txt";

/// Calls that need the host's files or libraries.
const DYNAMIC_CALLS: [&str; 6] = [
    concat!("libc::", "dlopen"),
    concat!("libc::", "dlsym"),
    concat!("libc::", "getaddrinfo"),
    concat!("libc::", "getpwnam"),
    concat!("libc::", "getgrnam"),
    concat!("libc::", "iconv_open"),
];

pub(super) fn check(files: &[File]) -> Findings {
    let mut findings = Findings::new();
    let ratchet = std::fs::read_to_string(tree::root().join(RATCHET)).unwrap_or_default();
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        if !file.text.starts_with("//!") {
            findings.push(format!("{}: does not open with `//!`", file.path));
        }
        findings.extend(size(file, &ratchet));
        for (index, line) in file.text.lines().enumerate() {
            for reason in line_findings(file, line.trim()) {
                findings.push(format!("{}:{}: {reason}", file.path, index + 1));
            }
        }
    }
    findings
}

fn line_findings(file: &File, line: &str) -> Vec<String> {
    let mut reasons = Vec::new();
    let is_comment = line.starts_with("//");
    let is_fence = FENCES.iter().any(|fence| file.path.starts_with(fence));
    if !is_comment && !is_fence && opens_unsafe(line) {
        reasons.push("`unsafe` belongs into crates/sys".to_owned());
    }
    for call in DYNAMIC_CALLS.iter().filter(|call| line.contains(**call)) {
        reasons.push(format!("{call} does not belong into a static binary"));
    }
    for note in [concat!("TO", "DO"), concat!("FIX", "ME")] {
        if line.contains(note) {
            reasons.push(format!("{note}: finish it, or write an issue"));
        }
    }
    if is_comment && line.chars().count() > 100 {
        reasons.push("a comment longer than 100 columns".to_owned());
    }
    reasons
}

fn opens_unsafe(line: &str) -> bool {
    [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe extern",
        "unsafe trait",
    ]
    .iter()
    .any(|form| line.starts_with(form) || line.contains(&format!(" {form}")))
        && !line.contains('"')
}

fn size(file: &File, ratchet: &str) -> Option<String> {
    if file.stem() == "tests" || file.path.contains("/tests/") {
        return None;
    }
    let tests = file.text.find("#[cfg(test)]\nmod tests {");
    let lines = file.text[..tests.unwrap_or(file.text.len())]
        .lines()
        .count();
    let recorded = ratchet.lines().find_map(|line| {
        let (count, path) = line.split_once(' ')?;
        (path == file.path).then(|| count.parse::<usize>().ok())?
    });
    match recorded {
        Some(limit) if lines > limit => Some(format!(
            "{}: {lines} lines, it may only shrink from {limit}: take a part out",
            file.path
        )),
        Some(limit) if lines + 20 < limit => Some(format!(
            "{}: {lines} lines: lower its number in {RATCHET}, or remove it below {LINE_LIMIT}",
            file.path
        )),
        None if lines > LINE_LIMIT => Some(format!(
            "{}: {lines} lines without tests, the limit is {LINE_LIMIT}: take a part out",
            file.path
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn unsafe_is_found_outside_the_fence_only() {
        let line = "let x = unsafe { read() };";
        assert_eq!(
            line_findings(&file("crates/node/src/a.rs", ""), line).len(),
            1
        );
        assert_eq!(
            line_findings(&file("crates/sys/src/a.rs", ""), line).len(),
            0
        );
        assert_eq!(
            line_findings(&file("crates/node/src/a.rs", ""), "// unsafe { }").len(),
            0
        );
    }

    #[test]
    fn tests_do_not_count_as_length() {
        let mut text = "//! x\n".repeat(700);
        text.push_str("#[cfg(test)]\nmod tests {\n");
        text.push_str(&"// t\n".repeat(700));
        assert_eq!(size(&file("a.rs", &text), ""), None);
        let long = file("b.rs", &"//! x\n".repeat(900));
        assert!(size(&long, "").is_some());
        assert!(size(&long, "900 b.rs").is_none());
        assert!(size(&long, "850 b.rs").is_some());
        assert!(size(&long, "990 b.rs").is_some());
    }
}
