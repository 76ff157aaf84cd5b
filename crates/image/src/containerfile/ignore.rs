//! `.containerignore` and `.dockerignore`: what of the context a build cannot see.
//!
//! Docker's rules: one pattern per line, `#` comments, `!` takes back, `**` for any directories. A
//! path is ignored when the last pattern that matches it or one of its parents says so.

use super::glob::{Dialect, Glob};
use crate::error::{Error, Result};

/// An ignore file with more lines than this is refused.
const PATTERNS_MAX: usize = 10_000;

/// The patterns of an ignore file, in order.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    glob: Glob,
    is_exception: bool,
}

impl Ignore {
    /// Reads an ignore file that is called `name` in errors.
    ///
    /// # Errors
    /// A pattern is malformed; the error names its line.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (is_exception, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            if pattern.is_empty() && !is_exception {
                continue;
            }
            let wrong = |reason: &str| {
                Error::invalid(format!("{name}:{}: `{line}`: {reason}", index + 1))
                    .hint("patterns have *, ?, [a-z], ** and, in front, ! for an exception")
            };
            let pattern = clean(pattern);
            if pattern.is_empty() {
                return Err(wrong("a pattern is missing"));
            }
            if patterns.len() == PATTERNS_MAX {
                return Err(wrong("more than 10000 patterns"));
            }
            let glob = Glob::new(&pattern, Dialect::Ignore).map_err(wrong)?;
            patterns.push(Pattern { glob, is_exception });
        }
        Ok(Self { patterns })
    }

    /// The patterns of `--exclude`: as the lines of an ignore file, but for comments.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn of_patterns(patterns: &[String]) -> Result<Self, String> {
        let pattern = |text: &String| {
            let (is_exception, pattern) = match text.strip_prefix('!') {
                Some(rest) => (true, clean(rest)),
                None => (false, clean(text)),
            };
            let glob = Glob::new(&pattern, Dialect::Ignore);
            let glob = glob.map_err(|reason| format!("the pattern `{text}`: {reason}"))?;
            Ok(Pattern { glob, is_exception })
        };
        let patterns = patterns
            .iter()
            .map(pattern)
            .collect::<Result<_, String>>()?;
        Ok(Self { patterns })
    }

    /// No pattern at all: nothing is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether something below an ignored directory may come back: it must be looked into.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_exception)
    }

    /// Whether `path`, relative to the context and without `.` and `..`, is ignored.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        if path.is_empty() {
            return false;
        }
        let ends = path.match_indices('/').map(|(index, _)| index);
        let ways: Vec<&str> = ends.chain([path.len()]).map(|end| &path[..end]).collect();
        let last = self
            .patterns
            .iter()
            .rev()
            .find(|pattern| ways.iter().any(|way| pattern.glob.matches(way)));
        last.is_some_and(|pattern| !pattern.is_exception)
    }
}

/// Go's `filepath.Clean` without a leading slash.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    if parts.is_empty() && pattern.contains('.') {
        return ".".to_owned();
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(text: &str, path: &str) -> bool {
        Ignore::parse(text, "x").unwrap().ignores(path)
    }

    #[test]
    fn docker_s_examples() {
        let text = "# comment\n*/temp*\n*/*/temp*\ntemp?\n";
        for path in [
            "somedir/temporary.txt",
            "somedir/sub/temporary.txt",
            "tempa",
        ] {
            assert!(ignored(text, path), "{path}");
        }
        for path in ["temporary", "temp", "a/b/c/temp", "# comment"] {
            assert!(!ignored(text, path), "{path}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let text = "*.md\n!README*.md\nREADME-secret.md\n";
        assert!(ignored(text, "a.md"));
        assert!(!ignored(text, "README.md"));
        assert!(ignored(text, "README-secret.md"));
        let text = "*.md\nREADME-secret.md\n!README*.md\n";
        assert!(!ignored(text, "README-secret.md"));
    }

    #[test]
    fn parents_count() {
        assert!(ignored("/node_modules/", "node_modules/a/b"));
        assert!(!ignored("node_modules", "x/node_modules/a"));
        assert!(ignored("**/node_modules", "x/node_modules/a"));
        let text = "*\n!src\n";
        assert!(!ignored(text, "src/main.rs"));
        assert!(ignored(text, "target/x"));
        assert!(ignored("\u{feff}a\r\n./b/../c\n", "a"));
        assert!(ignored("./b/../c\n", "c"));
    }

    #[test]
    fn malformed_lines_are_named() {
        let error = Ignore::parse("ok\n[\n", ".dockerignore").unwrap_err();
        assert!(error.to_string().starts_with(".dockerignore:2: `[`"));
        assert!(Ignore::parse("!\n", "x").is_err());
    }
}
