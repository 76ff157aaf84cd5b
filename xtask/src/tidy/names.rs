//! Names that say nothing are refused, as modules, types and functions.

use std::path::Path;

use crate::Findings;
use crate::tree::File;

/// As the name of a module or crate.
const MODULES: [&str; 13] = [
    "base", "common", "core", "data", "handler", "helper", "helpers", "info", "manager", "misc",
    "types", "util", "utils",
];

/// As the whole name of a type or its last word.
const TYPE_WORDS: [&str; 5] = ["Helper", "Misc", "Util", "Utils", "Impl"];

pub(super) fn check(files: &[File]) -> Findings {
    let mut findings = Findings::new();
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        findings.extend(module_name(file));
        for (index, line) in file.text.lines().enumerate() {
            if let Some(reason) = declared_name(line.trim_start()) {
                findings.push(format!("{}:{}: {reason}", file.path, index + 1));
            }
        }
    }
    findings
}

/// A file, or the directory of a `mod.rs`. The files of `cli/` are called as their commands are.
fn module_name(file: &File) -> Option<String> {
    if file.path.starts_with("crates/insula/src/cli/") {
        return None;
    }
    let directory = Path::new(&file.path).parent().and_then(Path::file_name);
    let name = match file.stem() {
        "mod" => directory.and_then(|name| name.to_str()).unwrap_or_default(),
        stem => stem,
    };
    MODULES
        .contains(&name)
        .then(|| format!("{}: `{name}` says nothing about what is inside", file.path))
}

fn declared_name(line: &str) -> Option<String> {
    let (keyword, name) = declaration(line)?;
    let is_banned = match keyword {
        "fn" => name.starts_with("do_") || name.ends_with("_impl"),
        "mod" => MODULES.contains(&name) && name != "info",
        _ => TYPE_WORDS.iter().any(|word| name.ends_with(word)),
    };
    is_banned.then(|| format!("`{name}` says nothing: name what it does or is"))
}

/// The keyword and the name of `pub(crate) struct Name<…>` and the like.
fn declaration(line: &str) -> Option<(&str, &str)> {
    const KEYWORDS: [&str; 6] = ["fn", "struct", "enum", "trait", "type", "mod"];
    let words: Vec<&str> = line.split_whitespace().take(6).collect();
    let position = words.iter().position(|word| KEYWORDS.contains(word))?;
    // Anything but modifiers in front means that the keyword is part of something else.
    let is_modifier = |word: &&str| {
        word.starts_with("pub") || ["const", "unsafe", "async", "extern", "\"C\""].contains(word)
    };
    if !words[..position].iter().all(is_modifier) {
        return None;
    }
    let name = words.get(position + 1)?;
    let end = name.find(|character: char| !(character.is_alphanumeric() || character == '_'));
    Some((words[position], &name[..end.unwrap_or(name.len())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_refused_and_full_ones_are_not() {
        assert!(declared_name("pub(crate) fn do_mount(x: u8) {").is_some());
        assert!(declared_name("struct PathUtils;").is_some());
        assert!(declared_name("pub mod util;").is_some());
        assert!(declared_name("fn mount() {}").is_none());
        assert!(declared_name("pub enum CgroupManager {").is_none());
        assert!(declared_name("let x = fn do_x;").is_none());
    }
}
