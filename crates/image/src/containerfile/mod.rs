//! Containerfiles (Dockerfiles): from text to stages of instructions. Nothing here touches a file.
//!
//! ```text
//!  text ──line.rs──▶ logical lines ──parse.rs──▶ Instruction ──stage.rs──▶ Plan: which stages, in
//!        comments, continuations, heredocs       unexpanded                which order, from what
//! ```
//!
//! The semantics are those of docker's Dockerfile reference. Variables are expanded when an
//! instruction is carried out ([`Instruction::expanded`]), because they depend on the base image.
//! Every error names file, line and text.
//!
//! Start reading at [`Containerfile::parse`].

mod expand;
mod glob;
mod ignore;
mod instruction;
mod line;
mod mount;
mod parse;
mod path;
mod stage;
mod word;

use crate::error::{Error, Result};

pub use expand::Expander;
pub use ignore::Ignore;
pub use instruction::{
    Command, Copy, CopySource, Healthcheck, Instruction, Program, Run, RunNetwork, exposed_ports,
};
pub use line::Heredoc;
pub use mount::{Mount, MountKind, Sharing};
pub use path::{PathPattern, has_wildcards};
pub use stage::{Base, Plan, PlannedStage, Platform};

use parse::{Statement, Wrong};

/// A larger file is not written by anybody.
const FILE_BYTES_MAX: usize = 4 << 20;
const SHOWN_CHARACTERS: usize = 100;

/// A whole file.
#[derive(Debug, Clone)]
pub struct Containerfile {
    /// What it is called in errors.
    pub file: String,
    /// The escape character.
    pub escape: char,
    /// ARG in front of the first FROM.
    pub globals: Vec<Located>,
    pub stages: Vec<Stage>,
}

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub line: u32,
    /// As written, in one line.
    pub text: String,
    pub instruction: Instruction,
}

/// From one FROM to the next.
#[derive(Debug, Clone)]
pub struct Stage {
    pub line: u32,
    pub text: String,
    /// Unexpanded.
    pub image: String,
    pub platform: Option<String>,
    pub name: Option<String>,
    pub instructions: Vec<Located>,
}

impl Containerfile {
    /// Reads the text of a file that is called `file` in errors.
    ///
    /// # Errors
    /// A line cannot be understood. The error names the file, the line, and its text.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Error::invalid(format!("{file}: larger than 4 MiB")));
        }
        let read = line::read(text, file)?;
        let mut parsed = Self {
            file: file.to_owned(),
            escape: read.escape,
            globals: Vec::new(),
            stages: Vec::new(),
        };
        for line in read.lines {
            let statement = parse::statement(&line.text, line.heredocs, parsed.escape)
                .map_err(|wrong| parsed.wrong(line.number, &line.text, wrong))?;
            parsed.add(line.number, line.text, statement)?;
        }
        if parsed.stages.is_empty() {
            return Err(Error::invalid(format!("{file}: there is no FROM"))
                .hint("the first instruction is FROM IMAGE, or FROM scratch for an empty image"));
        }
        Ok(parsed)
    }

    fn add(&mut self, line: u32, text: String, statement: Statement) -> Result<()> {
        match statement {
            Statement::From(from) => self.stages.push(Stage {
                line,
                text,
                image: from.image,
                platform: from.platform,
                name: from.name,
                instructions: Vec::new(),
            }),
            Statement::Instruction(instruction) => {
                let is_global = matches!(instruction, Instruction::Arg(_));
                let located = Located {
                    line,
                    text,
                    instruction,
                };
                match self.stages.last_mut() {
                    Some(stage) => stage.instructions.push(located),
                    None if is_global => self.globals.push(located),
                    None => {
                        let reason = format!("{} before FROM", located.instruction.name());
                        let wrong = Wrong::new(reason).hint("only ARG may stand before FROM");
                        return Err(self.wrong(line, &located.text, wrong));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the text of an ONBUILD of a base image, which stands at `line` of this file as FROM.
    ///
    /// # Errors
    /// It is no instruction.
    pub fn parse_trigger(&self, line: u32, text: &str) -> Result<Located> {
        let text = format!("ONBUILD {text}");
        let parsed = parse::statement(&text, Vec::new(), '\\')
            .map_err(|wrong| self.wrong(line, &text, wrong))?;
        let text = text["ONBUILD ".len()..].to_owned();
        match (parsed, parse::statement(&text, Vec::new(), '\\')) {
            (Statement::Instruction(_), Ok(Statement::Instruction(instruction))) => Ok(Located {
                line,
                text,
                instruction,
            }),
            _ => Err(self.wrong(line, &text, Wrong::new("not an instruction for ONBUILD"))),
        }
    }

    /// An error about an instruction: file, line, text and reason.
    #[must_use]
    pub fn error(&self, line: u32, text: &str, reason: impl std::fmt::Display) -> Error {
        let text = shortened(text);
        Error::invalid(format!("{}:{line}: `{text}`: {reason}", self.file))
    }

    fn wrong(&self, line: u32, text: &str, wrong: Wrong) -> Error {
        let error = self.error(line, text, wrong.reason);
        match wrong.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// An instruction's text for an error: its start.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many letters must be changed, added or left out; neighbours that changed places are one.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(64).collect();
    let right: Vec<char> = right.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let crossed = row > 0 && column > 0 && *letter == right[column - 1];
            if crossed && left[row - 1] == *other {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file() {
        let text = "ARG V=12\nFROM debian:$V AS build\nRUN make\n\nFROM scratch\n\
                    COPY --from=build /out /\nCMD [\"/out\"]\n";
        let parsed = Containerfile::parse(text, "Containerfile").unwrap();
        assert_eq!(parsed.globals.len(), 1);
        assert_eq!(parsed.stages.len(), 2);
        let second = &parsed.stages[1];
        assert_eq!((second.line, second.image.as_str()), (5, "scratch"));
        assert_eq!(second.instructions[1].line, 7);
    }

    #[test]
    fn errors_name_file_line_text_and_a_way_out() {
        for (text, message, hint) in [
            ("", "f: there is no FROM", "the first instruction"),
            ("RUN x", "f:1: `RUN x`: RUN before FROM", "only ARG"),
            (
                "FROM a\n\nRNU x",
                "f:3: `RNU x`: there is no instruction `RNU`",
                "did you mean `RUN`?",
            ),
            (
                "FROM a\nCOPY \\\n x",
                "f:2: `COPY  x`: COPY needs a source and a destination",
                "COPY src/ /app/",
            ),
        ] {
            let error = Containerfile::parse(text, "f").unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.hint_text().unwrap().contains(hint), "{error:?}");
        }
        let long = format!("FROM a\nRNU {}", "x".repeat(500));
        let error = Containerfile::parse(&long, "f").unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
    }

    #[test]
    fn triggers() {
        let parsed = Containerfile::parse("FROM a", "f").unwrap();
        let trigger = parsed.parse_trigger(1, "COPY . /app").unwrap();
        assert_eq!(trigger.instruction.name(), "COPY");
        for wrong in ["FROM x", "ONBUILD RUN x", "nothing", ""] {
            assert!(parsed.parse_trigger(1, wrong).is_err(), "{wrong}");
        }
    }
}
