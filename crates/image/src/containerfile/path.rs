//! Sources of COPY with wildcards: matched one directory at a time.

use super::glob::{Dialect, Glob};

/// Whether a source has to be looked for.
#[must_use]
pub fn has_wildcards(path: &str) -> bool {
    path.contains(['*', '?', '[', '\\'])
}

/// A path with wildcards, component by component, as none of them crosses a slash.
#[derive(Debug, Clone)]
pub struct PathPattern {
    components: Vec<Glob>,
}

impl PathPattern {
    /// # Errors
    /// Says what is wrong with the pattern.
    pub fn new(path: &str) -> Result<Self, &'static str> {
        let parts = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        let globs = parts.map(|part| Glob::new(part, Dialect::Path));
        Ok(Self {
            components: globs.collect::<Result<_, _>>()?,
        })
    }

    /// How many directories deep it goes.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.components.len()
    }

    /// Whether `name` matches the component at `depth`, from 0.
    #[must_use]
    pub fn matches(&self, depth: usize, name: &str) -> bool {
        self.components
            .get(depth)
            .is_some_and(|glob| glob.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components() {
        let pattern = PathPattern::new("./a*//b?.txt").unwrap();
        assert_eq!(pattern.depth(), 2);
        assert!(pattern.matches(0, "abc"));
        assert!(pattern.matches(1, "bx.txt"));
        assert!(!pattern.matches(1, "b.txt"));
        assert!(!pattern.matches(2, "x"));
        assert!(PathPattern::new("a/[").is_err());
        assert!(has_wildcards("a?b") && !has_wildcards("a/b"));
    }
}
