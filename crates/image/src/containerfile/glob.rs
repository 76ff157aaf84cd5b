//! Patterns with `*`, `?`, `[a-z]`, `\x` and, in ignore files, `**`.
//!
//! A pattern becomes a list of nodes; matching keeps the set of nodes that can come next, so its
//! time is the product of both lengths whatever the pattern is: no pattern can make it explode.

/// A pattern longer than this is refused: it would only be there to cost time.
const PATTERN_CHARACTERS_MAX: usize = 4096;

/// Where a pattern stands decides what `*` and `/` mean in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// An ignore file: `*` stops at a slash, `**` does not.
    Ignore,
    /// A source of COPY (Go's `filepath.Match`): `*` stops at a slash.
    Path,
    /// `${name#pattern}`: `*` takes everything, brackets are themselves.
    Variable,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    One(char),
    /// Any one character, perhaps not a slash.
    Any {
        slash: bool,
    },
    /// Any number of characters, perhaps no slash among them.
    Many {
        slash: bool,
    },
    /// The way around [`Node::Directories`]: nothing, or go into it.
    MaybeDirectories,
    /// Any characters up to and with a slash.
    Directories,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    /// # Errors
    /// Says what is wrong with the pattern.
    pub(super) fn new(pattern: &str, dialect: Dialect) -> Result<Self, &'static str> {
        if pattern.len() > PATTERN_CHARACTERS_MAX {
            return Err("the pattern is longer than 4096 bytes");
        }
        let mut nodes = Vec::new();
        let slash = dialect == Dialect::Variable;
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '*' if dialect == Dialect::Ignore && characters.peek() == Some(&'*') => {
                    characters.next();
                    if characters.peek() == Some(&'/') {
                        characters.next();
                    }
                    if characters.peek().is_none() {
                        nodes.push(Node::Many { slash: true });
                    } else {
                        nodes.extend([Node::MaybeDirectories, Node::Directories]);
                    }
                }
                '*' if nodes.last() == Some(&Node::Many { slash }) => {}
                '*' => nodes.push(Node::Many { slash }),
                '?' => nodes.push(Node::Any { slash }),
                '\\' => match characters.next() {
                    Some(escaped) => nodes.push(Node::One(escaped)),
                    None => return Err("a backslash ends the pattern"),
                },
                '[' if dialect != Dialect::Variable => nodes.push(class(&mut characters)?),
                other => nodes.push(Node::One(other)),
            }
        }
        Ok(Self { nodes })
    }

    /// Whether the whole of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut state = State::new(&self.nodes);
        for character in text.chars() {
            state.step(&self.nodes, character);
            if state.is_dead() {
                return false;
            }
        }
        state.is_accepting()
    }

    /// Byte lengths of all prefixes of `text` that match, ascending.
    pub(super) fn prefixes(&self, text: &str) -> Vec<usize> {
        let mut state = State::new(&self.nodes);
        let mut lengths = Vec::new();
        if state.is_accepting() {
            lengths.push(0);
        }
        for (offset, character) in text.char_indices() {
            state.step(&self.nodes, character);
            if state.is_dead() {
                break;
            }
            if state.is_accepting() {
                lengths.push(offset + character.len_utf8());
            }
        }
        lengths
    }

    /// The pattern that matches the reverse of what this one matches. For [`Dialect::Variable`].
    pub(super) fn reversed(mut self) -> Self {
        self.nodes.reverse();
        self
    }
}

fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Node, &'static str> {
    const UNCLOSED: &str = "a bracket `[` is not closed";
    let negated = characters.peek() == Some(&'^');
    if negated {
        characters.next();
    }
    let mut ranges = Vec::new();
    loop {
        let low = match characters.next().ok_or(UNCLOSED)? {
            ']' if !ranges.is_empty() => return Ok(Node::Class { negated, ranges }),
            ']' => return Err("brackets `[]` with nothing between them"),
            '\\' => characters.next().ok_or(UNCLOSED)?,
            other => other,
        };
        let mut high = low;
        if characters.peek() == Some(&'-') {
            characters.next();
            high = match characters.next().ok_or(UNCLOSED)? {
                '\\' => characters.next().ok_or(UNCLOSED)?,
                ']' => return Err("a range in brackets has no end"),
                other => other,
            };
        }
        if low > high {
            return Err("a range in brackets ends before it starts");
        }
        ranges.push((low, high));
    }
}

/// Which nodes may take the next character; the one past the last means that all is matched.
struct State {
    here: Vec<bool>,
    next: Vec<bool>,
}

impl State {
    fn new(nodes: &[Node]) -> Self {
        let mut state = Self {
            here: vec![false; nodes.len() + 1],
            next: vec![false; nodes.len() + 1],
        };
        enter(&mut state.here, nodes, 0);
        state
    }

    fn step(&mut self, nodes: &[Node], character: char) {
        self.next.fill(false);
        for (index, node) in nodes.iter().enumerate() {
            if !self.here[index] {
                continue;
            }
            match node {
                Node::One(one) if *one == character => enter(&mut self.next, nodes, index + 1),
                Node::Any { slash } if *slash || character != '/' => {
                    enter(&mut self.next, nodes, index + 1);
                }
                Node::Many { slash } if *slash || character != '/' => {
                    enter(&mut self.next, nodes, index);
                }
                Node::Directories => {
                    self.next[index] = true;
                    if character == '/' {
                        enter(&mut self.next, nodes, index + 1);
                    }
                }
                Node::Class { negated, ranges } => {
                    let range = |(low, high): &(char, char)| (*low..=*high).contains(&character);
                    if ranges.iter().any(range) != *negated && character != '/' {
                        enter(&mut self.next, nodes, index + 1);
                    }
                }
                _ => {}
            }
        }
        std::mem::swap(&mut self.here, &mut self.next);
    }

    fn is_dead(&self) -> bool {
        !self.here.contains(&true)
    }

    fn is_accepting(&self) -> bool {
        self.here.last() == Some(&true)
    }
}

/// Marks a node and those behind it that need no character to be passed.
fn enter(set: &mut [bool], nodes: &[Node], mut index: usize) {
    while !set[index] {
        set[index] = true;
        match nodes.get(index) {
            Some(Node::Many { .. }) => index += 1,
            Some(Node::MaybeDirectories) => {
                set[index + 1] = true;
                index += 2;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dialect: Dialect, pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::new(pattern, dialect).unwrap();
        for text in yes {
            assert!(glob.matches(text), "{pattern} {text}");
        }
        for text in no {
            assert!(!glob.matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn paths() {
        use Dialect::Path;
        check(Path, "a*c", &["ac", "abbc"], &["a/c", "abcd", ""]);
        check(Path, "?.[ch]", &["a.c", "b.h"], &["ab.c", "a.x", "/.c"]);
        check(Path, "[^a-c]x", &["dx"], &["ax", "cx", "/x"]);
        check(Path, "\\*", &["*"], &["a"]);
        check(Path, "arr[[]0].txt", &["arr[0].txt"], &["arr0.txt"]);
    }

    #[test]
    fn ignore_files() {
        use Dialect::Ignore;
        check(Ignore, "**/x", &["x", "a/x", "a/b/x"], &["ax", "a/xy"]);
        check(Ignore, "a/**", &["a/b", "a/b/c"], &["a", "b/a"]);
        check(
            Ignore,
            "a/**/z",
            &["a/z", "a/b/z", "a/b/c/z"],
            &["az", "a/bz"],
        );
        check(Ignore, "**", &["a", "a/b", ""], &[]);
        check(Ignore, "*.md", &["README.md"], &["docs/README.md"]);
        check(Ignore, "**/*.rs", &["a.rs", "a/b.rs"], &["a.rsx"]);
    }

    #[test]
    fn prefixes_and_their_reverse() {
        let glob = Glob::new("*/", Dialect::Variable).unwrap();
        assert_eq!(glob.prefixes("a/b/c"), [2, 4]);
        let glob = Glob::new("*", Dialect::Variable).unwrap();
        assert_eq!(glob.prefixes("äb"), [0, 2, 3]);
        let glob = Glob::new(".*", Dialect::Variable).unwrap().reversed();
        assert_eq!(glob.prefixes("zg.rat.a"), [3, 7]);
    }

    #[test]
    fn malformed() {
        for pattern in ["[", "[]", "[b-a]", "a\\", "[a-]", "[a"] {
            assert!(Glob::new(pattern, Dialect::Path).is_err(), "{pattern}");
        }
        let long = "*a".repeat(3000);
        assert!(Glob::new(&long, Dialect::Path).is_err());
    }

    #[test]
    fn hostile_patterns_take_linear_steps() {
        let glob = Glob::new(&"**/*a".repeat(200), Dialect::Ignore).unwrap();
        assert!(!glob.matches(&"a/".repeat(2000)));
    }
}
