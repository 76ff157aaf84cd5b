//! From text to logical lines: directives, comments, continuations and heredocs.
//!
//! A logical line is one instruction, with the number of its first line. Comments vanish, also
//! between the lines of one instruction; the text behind an escape character at the end of a line
//! goes on in the next one.

use super::word::split_raw;
use crate::error::{Error, Result};

/// One instruction as it was written, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Of its first line, from 1.
    pub(super) number: u32,
    pub(super) text: String,
    pub(super) heredocs: Vec<Heredoc>,
}

/// The text between `<<NAME` and the line `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// As written, with its tabs and the last line break.
    pub content: String,
    /// Variables are expanded: the name was not quoted.
    pub expands: bool,
    /// `<<-`: tabs at the start of lines do not count.
    pub strips_tabs: bool,
}

impl Heredoc {
    /// The content without the tabs that do not count.
    #[must_use]
    pub fn stripped(&self) -> String {
        if !self.strips_tabs {
            return self.content.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The lines of a file and its escape character.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    pub(super) escape: char,
}

/// Reads the whole text of a file that is called `file` in errors.
pub(super) fn read(text: &str, file: &str) -> Result<Lines> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut source = Source {
        file,
        rest: text,
        number: 0,
    };
    let escape = directives(&mut source.clone())?;
    let mut lines = Vec::new();
    while let Some(first) = source.next() {
        if is_comment(first) || first.trim().is_empty() {
            continue;
        }
        let number = source.number;
        let mut text = String::new();
        let mut goes_on = append(&mut text, first.trim_start(), escape);
        while goes_on {
            let Some(next) = source.next() else { break };
            if !is_comment(next) && !next.trim().is_empty() {
                goes_on = append(&mut text, next, escape);
            }
        }
        let text = text.trim().to_owned();
        if text.is_empty() {
            continue;
        }
        let heredocs = source.heredocs(&text, number, escape)?;
        lines.push(Line {
            number,
            text,
            heredocs,
        });
    }
    Ok(Lines { lines, escape })
}

/// The physical lines that are still to come.
#[derive(Clone)]
struct Source<'a> {
    file: &'a str,
    rest: &'a str,
    number: u32,
}

impl<'a> Source<'a> {
    /// The next line, without its end.
    fn next(&mut self) -> Option<&'a str> {
        let line = self.next_whole()?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    fn next_whole(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        Some(line)
    }

    /// Reads the heredocs that a line announces.
    fn heredocs(&mut self, text: &str, number: u32, escape: char) -> Result<Vec<Heredoc>> {
        let mut heredocs = announced(text, escape);
        for heredoc in &mut heredocs {
            loop {
                let Some(line) = self.next_whole() else {
                    return Err(Error::invalid(format!(
                        "{}:{number}: `{}`: the heredoc `{}` has no end",
                        self.file,
                        super::shortened(text),
                        heredoc.name
                    ))
                    .hint(format!(
                        "end it with a line that is `{}` and nothing else",
                        heredoc.name
                    )));
                };
                let mut end = line.trim_end_matches(['\n', '\r']);
                if heredoc.strips_tabs {
                    end = end.trim_start_matches('\t');
                }
                if end == heredoc.name {
                    break;
                }
                heredoc.content.push_str(line);
            }
        }
        Ok(heredocs)
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Appends a physical line; says whether the next one belongs to it. Two escape characters at the
/// end are one that is meant.
fn append(text: &mut String, line: &str, escape: char) -> bool {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => {
            text.push_str(rest);
            true
        }
        _ => {
            text.push_str(line);
            false
        }
    }
}

/// Reads `# name=value` at the top. Anything else, an unknown name too, ends them.
fn directives(source: &mut Source<'_>) -> Result<char> {
    let mut escape = None;
    let mut seen: Vec<String> = Vec::new();
    while let Some((name, value)) = source.next().and_then(directive) {
        let wrong =
            |reason: String| Error::invalid(format!("{}:{}: {reason}", source.file, source.number));
        if !matches!(name.as_str(), "syntax" | "escape" | "check") {
            break;
        }
        if seen.contains(&name) {
            return Err(wrong(format!("the directive `{name}` is there twice")));
        }
        if name == "escape" {
            escape = match value {
                "\\" => Some('\\'),
                "`" => Some('`'),
                _ => {
                    return Err(wrong(format!("`{value}` cannot be the escape character"))
                        .hint("it is \\ or `"));
                }
            };
        }
        seen.push(name);
    }
    Ok(escape.unwrap_or('\\'))
}

fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let name = name.trim();
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| (name.to_ascii_lowercase(), value.trim()))
}

/// The heredocs of a line, without content: only RUN, COPY and ADD have them, and not in the JSON
/// form.
fn announced(text: &str, escape: char) -> Vec<Heredoc> {
    let split = |text: &'_ str| -> (String, String) {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        (word.to_ascii_uppercase(), rest.trim().to_owned())
    };
    let (mut instruction, mut rest) = split(text);
    if instruction == "ONBUILD" {
        (instruction, rest) = split(&rest);
    }
    let may_have = matches!(instruction.as_str(), "RUN" | "COPY" | "ADD");
    if !may_have || !rest.contains("<<") || super::word::json_list(&rest).is_some() {
        return Vec::new();
    }
    let words = split_raw(&rest, escape);
    let heredocs = words.iter().filter_map(|word| heredoc(word, escape));
    heredocs.collect()
}

/// `<<NAME`, `<<-NAME`, `3<<"NAME"`.
pub(super) fn heredoc(word: &str, escape: char) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (strips_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let mut name = String::new();
    let mut characters = rest.chars();
    let mut quote = None;
    while let Some(character) = characters.next() {
        match quote {
            Some(open) if open == character => quote = None,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if character == escape => name.extend(characters.next()),
            _ => name.push(character),
        }
    }
    (quote.is_none() && !name.is_empty()).then(|| Heredoc {
        expands: name == rest,
        name,
        content: String::new(),
        strips_tabs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(u32, String)> {
        let lines = read(text, "f").unwrap().lines;
        let pair = |line: Line| (line.number, line.text);
        lines.into_iter().map(pair).collect()
    }

    #[test]
    fn comments_and_continuations() {
        let text = "\u{feff}# one\n\nRUN a \\\n  # inside\n\n  b \\ \t\r\n  c\n  # two\n CMD x \\";
        let expected = [(3, "RUN a   b   c".to_owned()), (9, "CMD x".to_owned())];
        assert_eq!(texts(text), expected);
        let expected = [(1, "RUN a\\\\".to_owned()), (2, "b".to_owned())];
        assert_eq!(texts("RUN a\\\\\nb\n"), expected);
        assert_eq!(texts("RUN echo # no comment")[0].1, "RUN echo # no comment");
        assert_eq!(texts("\\\n\\\n"), []);
    }

    #[test]
    fn directives_stand_on_top() {
        let lines = read(
            "# syntax=docker/dockerfile:1\n# EsCape = `\nRUN a `\nb",
            "f",
        )
        .unwrap();
        assert_eq!(lines.lines[0].text, "RUN a b");
        for text in [
            "\n# escape=`\nRUN a \\\nb",
            "# about this\n# escape=`\nRUN a \\\nb",
            "# other=1\n# escape=`\nRUN a \\\nb",
        ] {
            assert_eq!(read(text, "f").unwrap().lines[0].text, "RUN a b", "{text}");
        }
        let error = read("#escape=x\n", "f").unwrap_err().to_string();
        assert_eq!(error, "f:1: `x` cannot be the escape character");
        let error = read("#escape=`\n#escape=`\n", "f").unwrap_err().to_string();
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn heredocs() {
        let text = "RUN <<A cat <<-'B' 3<<C\n$a\n# kept\nA\n\tb\n\t\tB\nC\nCMD <<X\n";
        let lines = read(text, "f").unwrap().lines;
        let heredocs = &lines[0].heredocs;
        assert_eq!(heredocs[0].content, "$a\n# kept\n");
        assert!(heredocs[0].expands);
        assert_eq!(heredocs[1].content, "\tb\n");
        assert_eq!(heredocs[1].stripped(), "b\n");
        assert!(!heredocs[1].expands);
        assert_eq!(
            (heredocs[2].name.as_str(), heredocs[2].content.as_str()),
            ("C", "")
        );
        assert_eq!((lines[1].number, lines[1].text.as_str()), (8, "CMD <<X"));
        for none in [
            "RUN echo $((1<<2))",
            "RUN [\"<<EOF\"]",
            "RUN a << b",
            "RUN cat <<<EOF",
        ] {
            assert!(
                read(none, "f").unwrap().lines[0].heredocs.is_empty(),
                "{none}"
            );
        }
        let error = read("\nONBUILD COPY <<EOF /x\nabc", "f").unwrap_err();
        assert_eq!(
            error.to_string(),
            "f:2: `ONBUILD COPY <<EOF /x`: the heredoc `EOF` has no end"
        );
    }
}
