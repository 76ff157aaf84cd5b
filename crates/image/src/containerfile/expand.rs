//! Quotes, escapes and variables in the words of an instruction, as the Dockerfile reference has
//! them.
//!
//! `$name`, `${name}`, `${name:-word}`, `${name:+word}`, `${name:?word}` (each also without the
//! colon), `${name#pattern}`, `##`, `%`, `%%`, `${name/pattern/word}` and `//`. Nothing is expanded
//! between single quotes or behind the escape character.
//!
//! Start at [`Expander::word`].

use super::glob::{Dialect, Glob};

/// The kernel takes no argument or variable that is longer (`MAX_ARG_STRLEN`); without a limit a
/// few lines that double a variable would fill the memory.
const WORD_BYTES_MAX: usize = 128 << 10;
const DEPTH_MAX: usize = 32;
/// Steps for `${name/pattern/word}`, whose time grows with the square of the value.
const REPLACE_STEPS_MAX: usize = 1 << 24;

/// Expands words with the variables that `lookup` knows.
pub struct Expander<'a> {
    /// The escape character, `\` unless the file says otherwise.
    pub escape: char,
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Quotes stay and mean nothing: the content of a heredoc.
    pub keep_quotes: bool,
}

impl std::fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expander").finish_non_exhaustive()
    }
}

impl Expander<'_> {
    /// `text` as one word: spaces stay.
    ///
    /// # Errors
    /// What is wrong with the text, or that a variable it insists on is not set.
    pub fn word(&self, text: &str) -> Result<String, String> {
        let mut scan = Scan::new(self, text);
        scan.until(None, false)?;
        Ok(scan.out)
    }

    /// `text` as words: spaces outside of quotes separate, also those of a variable's value.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn words(&self, text: &str) -> Result<Vec<String>, String> {
        let mut scan = Scan::new(self, text);
        scan.words = Some(Vec::new());
        scan.until(None, false)?;
        let mut words = scan.words.take().unwrap_or_default();
        if scan.in_word {
            words.push(scan.out);
        }
        Ok(words)
    }
}

struct Scan<'a> {
    with: &'a Expander<'a>,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    out: String,
    /// Finished words, when words are asked for.
    words: Option<Vec<String>>,
    in_word: bool,
    depth: usize,
}

impl<'a> Scan<'a> {
    fn new(with: &'a Expander<'a>, text: &'a str) -> Self {
        Self {
            with,
            rest: text.chars().peekable(),
            out: String::new(),
            words: None,
            in_word: false,
            depth: 0,
        }
    }

    /// One character that is part of a word whatever it is.
    fn push(&mut self, character: char) -> Result<(), String> {
        self.in_word = true;
        self.out.push(character);
        if self.out.len() > WORD_BYTES_MAX {
            return Err("a word grows longer than 128 KiB by its variables".to_owned());
        }
        Ok(())
    }

    /// One character outside of quotes: a space may end the word.
    fn push_bare(&mut self, character: char) -> Result<(), String> {
        match &mut self.words {
            Some(words) if character.is_whitespace() => {
                if std::mem::take(&mut self.in_word) {
                    words.push(std::mem::take(&mut self.out));
                }
                Ok(())
            }
            _ => self.push(character),
        }
    }

    /// Up to the character `stop`, which is taken, or to the end. `raw` keeps escape characters:
    /// they belong to a pattern.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<(), String> {
        while let Some(character) = self.rest.next() {
            match character {
                _ if Some(character) == stop => return Ok(()),
                '\'' if !self.with.keep_quotes => self.single_quoted(raw)?,
                '"' if !self.with.keep_quotes => self.double_quoted()?,
                '$' => {
                    let value = self.dollar()?;
                    for character in value.chars() {
                        self.push_bare(character)?;
                    }
                }
                _ if character == self.with.escape => {
                    if raw {
                        self.push(character)?;
                    }
                    // At the very end it vanishes.
                    if let Some(escaped) = self.rest.next() {
                        self.push(escaped)?;
                    }
                }
                _ => self.push_bare(character)?,
            }
        }
        match stop {
            Some(stop) => Err(format!("`{stop}` is missing at the end of a substitution")),
            None => Ok(()),
        }
    }

    fn single_quoted(&mut self, raw: bool) -> Result<(), String> {
        self.in_word = true;
        for character in self.rest.by_ref() {
            if character == '\'' {
                return Ok(());
            }
            if raw && matches!(character, '*' | '?' | '\\') {
                self.out.push('\\');
            }
            self.out.push(character);
        }
        Err("a single quote is not closed".to_owned())
    }

    fn double_quoted(&mut self) -> Result<(), String> {
        self.in_word = true;
        while let Some(character) = self.rest.next() {
            match character {
                '"' => return Ok(()),
                '$' => {
                    for character in self.dollar()?.chars() {
                        self.push(character)?;
                    }
                }
                _ if character == self.with.escape => match self.rest.peek().copied() {
                    Some(next) if next == '"' || next == '$' || next == character => {
                        self.rest.next();
                        self.push(next)?;
                    }
                    Some(_) => self.push(character)?,
                    None => {}
                },
                _ => self.push(character)?,
            }
        }
        Err("a double quote is not closed".to_owned())
    }

    /// Behind a dollar sign: its value.
    fn dollar(&mut self) -> Result<String, String> {
        if self.rest.peek() != Some(&'{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok((self.with.lookup)(&name).unwrap_or_default());
        }
        self.rest.next();
        let name = self.name();
        if name.is_empty() {
            return Err("`${` is not followed by the name of a variable".to_owned());
        }
        let value = (self.with.lookup)(&name);
        let Some(mut operator) = self.rest.next() else {
            return Err(format!("`}}` is missing behind `${{{name}`"));
        };
        if operator == '}' {
            return Ok(value.unwrap_or_default());
        }
        let empty_is_unset = operator == ':';
        if empty_is_unset {
            operator = self.rest.next().unwrap_or('}');
        }
        let is_set = match &value {
            None => false,
            Some(value) => !(empty_is_unset && value.is_empty()),
        };
        match (operator, empty_is_unset) {
            ('-', _) => {
                let word = self.inner('}', false)?;
                Ok(value.filter(|_| is_set).unwrap_or(word))
            }
            ('+', _) => {
                let word = self.inner('}', false)?;
                Ok(if is_set { word } else { String::new() })
            }
            ('?', _) => self.insist(&name, value.filter(|_| is_set)),
            ('#' | '%', false) => self.strip(operator, &value.unwrap_or_default()),
            ('/', false) => self.replace(&value.unwrap_or_default()),
            _ => {
                let colon = if empty_is_unset { ":" } else { "" };
                Err(format!(
                    "`${{{name}{colon}{operator}` is not a substitution: there are \
                     :- :+ :? - + ? # ## % %% / and //"
                ))
            }
        }
    }

    /// A name, digits, or one of the shell's special characters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(&character) = self.rest.peek() {
            let is_digits = name.starts_with(|first: char| first.is_ascii_digit());
            let goes_on = match name.is_empty() {
                true if "@*#?-$!".contains(character) => {
                    self.rest.next();
                    return character.to_string();
                }
                true => character.is_alphanumeric() || character == '_',
                false if is_digits => character.is_ascii_digit(),
                false => character.is_alphanumeric() || character == '_',
            };
            if !goes_on {
                break;
            }
            name.push(character);
            self.rest.next();
        }
        name
    }

    /// A word inside of braces, expanded itself.
    fn inner(&mut self, stop: char, raw: bool) -> Result<String, String> {
        if self.depth == DEPTH_MAX {
            return Err("substitutions are nested more than 32 deep".to_owned());
        }
        self.depth += 1;
        let out = std::mem::take(&mut self.out);
        let words = self.words.take();
        let in_word = self.in_word;
        let result = self.until(Some(stop), raw);
        self.depth -= 1;
        self.words = words;
        self.in_word = in_word;
        let word = std::mem::replace(&mut self.out, out);
        result.map(|()| word)
    }

    fn insist(&mut self, name: &str, value: Option<String>) -> Result<String, String> {
        let word = self.inner('}', false)?;
        value.ok_or_else(|| {
            if word.is_empty() {
                format!("the variable `{name}` is not set")
            } else {
                format!("the variable `{name}` is not set: {word}")
            }
        })
    }

    fn strip(&mut self, operator: char, value: &str) -> Result<String, String> {
        let is_greedy = self.rest.peek() == Some(&operator);
        if is_greedy {
            self.rest.next();
        }
        let glob = self.pattern('}')?;
        let choose = |lengths: Vec<usize>| match is_greedy {
            true => lengths.last().copied(),
            false => lengths.first().copied(),
        };
        if operator == '#' {
            let length = choose(glob.prefixes(value)).unwrap_or(0);
            return Ok(value[length..].to_owned());
        }
        let reversed: String = value.chars().rev().collect();
        let length = choose(glob.reversed().prefixes(&reversed)).unwrap_or(0);
        Ok(value[..value.len() - length].to_owned())
    }

    fn pattern(&mut self, stop: char) -> Result<Glob, String> {
        let mut pattern = self.inner(stop, true)?;
        if self.with.escape != '\\' {
            // In the pattern itself the backslash is the escape character.
            pattern = pattern
                .replace('\\', "\\\\")
                .replace(self.with.escape, "\\");
        }
        Glob::new(&pattern, Dialect::Variable).map_err(str::to_owned)
    }

    fn replace(&mut self, value: &str) -> Result<String, String> {
        let all = self.rest.peek() == Some(&'/');
        if all {
            self.rest.next();
        }
        let glob = self.pattern('/')?;
        let replacement = self.inner('}', false)?;
        let mut out = String::new();
        let mut rest = value;
        let mut steps = 0;
        while let Some(first) = rest.chars().next() {
            steps += rest.len();
            if steps > REPLACE_STEPS_MAX || out.len() > WORD_BYTES_MAX {
                return Err("a substitution takes too long on so long a value".to_owned());
            }
            match glob.prefixes(rest).last() {
                Some(&length) if length > 0 => {
                    out.push_str(&replacement);
                    rest = &rest[length..];
                    if !all {
                        break;
                    }
                }
                _ => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "foo" => "bar",
            "empty" => "",
            "path" => "a/b/c.tar.gz",
            "two" => "x  y",
            "ü" => "umlaut",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn word(text: &str) -> Result<String, String> {
        let expander = Expander {
            escape: '\\',
            lookup: &lookup,
            keep_quotes: false,
        };
        expander.word(text)
    }

    #[test]
    fn words_of_the_reference() {
        for (text, expected) in [
            ("$foo", "bar"),
            ("${foo}x", "barx"),
            ("\\$foo", "$foo"),
            ("\\${foo}", "${foo}"),
            ("'$foo'", "$foo"),
            ("\"$foo\"", "bar"),
            ("\"\\$foo \\\" \\\\ \\n\"", "$foo \" \\ \\n"),
            ("a\\ b", "a b"),
            ("a b", "a b"),
            ("$unset|", "|"),
            ("${foo:-x}", "bar"),
            ("${unset:-x y}", "x y"),
            ("${empty:-x}", "x"),
            ("${empty-x}", ""),
            ("${unset-x}", "x"),
            ("${foo:+x}", "x"),
            ("${empty:+x}", ""),
            ("${empty+x}", "x"),
            ("${unset+x}", ""),
            ("${unset:-${foo}/$foo}", "bar/bar"),
            ("${unset:-\\}}", "}"),
            ("$", "$"),
            ("$ a", "$ a"),
            ("$$", ""),
            ("$1x", "x"),
            ("a\\", "a"),
            ("''", ""),
            ("${ü}", "umlaut"),
            ("${foo:?needed}", "bar"),
        ] {
            assert_eq!(word(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn prefixes_suffixes_and_replacements() {
        for (text, expected) in [
            ("${path#*/}", "b/c.tar.gz"),
            ("${path##*/}", "c.tar.gz"),
            ("${path%.*}", "a/b/c.tar"),
            ("${path%%.*}", "a/b/c"),
            ("${path#x}", "a/b/c.tar.gz"),
            ("${path%\\*}", "a/b/c.tar.gz"),
            ("${path/./_}", "a/b/c_tar.gz"),
            ("${path//./_}", "a/b/c_tar_gz"),
            ("${path//[/_}", "a/b/c.tar.gz"),
            ("${path/.*/}", "a/b/c"),
            ("${path/\\//-}", "a-b/c.tar.gz"),
            ("${unset#x}", ""),
        ] {
            assert_eq!(word(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (text, part) in [
            ("${", "name of a variable"),
            ("${foo", "missing"),
            ("${foo:-x", "missing"),
            ("${}", "name of a variable"),
            ("${foo:#x}", "substitution"),
            ("${foo^^}", "substitution"),
            ("'a", "single quote"),
            ("\"a", "double quote"),
            ("${unset:?say it}", "`unset` is not set: say it"),
        ] {
            let error = word(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn splitting() {
        let expander = Expander {
            escape: '\\',
            lookup: &lookup,
            keep_quotes: false,
        };
        let words = |text: &str| expander.words(text).unwrap();
        assert_eq!(
            words("  a  $two \"$two\" '' b\\ c"),
            ["a", "x", "y", "x  y", "", "b c"]
        );
        assert_eq!(words("$empty"), [""; 0]);
    }

    #[test]
    fn another_escape_character_and_heredocs() {
        let mut expander = Expander {
            escape: '`',
            lookup: &lookup,
            keep_quotes: false,
        };
        assert_eq!(expander.word("c:\\dir\\`$foo").unwrap(), "c:\\dir\\$foo");
        expander.keep_quotes = true;
        assert_eq!(expander.word("'$foo' \"x\"").unwrap(), "'bar' \"x\"");
    }

    #[test]
    fn growth_is_bounded() {
        let long = "x".repeat(100 << 10);
        let lookup = |_: &str| Some(long.clone());
        let expander = Expander {
            escape: '\\',
            lookup: &lookup,
            keep_quotes: false,
        };
        assert!(expander.word("$a").is_ok());
        assert!(expander.word("$a$a").unwrap_err().contains("128 KiB"));
        let deep = "${u:-".repeat(100) + &"}".repeat(100);
        assert!(word(&deep).unwrap_err().contains("nested"));
        assert!(
            expander
                .word("${a//*z/y}")
                .unwrap_err()
                .contains("too long")
        );
    }
}
