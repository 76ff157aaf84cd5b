//! What a user sees when something fails: the sentence, its causes, what can be done, a code.
//!
//! Library errors carry facts; here they become words. The exit codes are listed by
//! `insula help exit-codes`; the names are stable and listed in `docs/reference/errors.md`.

use std::error::Error;
use std::fmt::Write as _;

use serde_json::json;

use crate::output::Paint;

/// A command that did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: &'static str,
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
    fn with_code(code: &'static str, exit_code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            exit_code,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// The request was understood and could not be done.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::with_code("failed", 1, message)
    }

    /// The request itself is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::with_code("usage", 2, message)
    }

    /// The request is right and this version cannot do it.
    #[must_use]
    pub fn not_built(message: impl Into<String>) -> Self {
        Self::with_code("not-built", 2, message)
    }

    /// What was named does not exist.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::with_code("not-found", 3, message)
    }

    /// The caller may not do this.
    #[must_use]
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self::with_code("not-permitted", 4, message)
    }

    /// What is to be made exists, or what is to be removed is in use.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::with_code("conflict", 5, message)
    }

    /// A registry does not answer, or not with what was asked for.
    #[must_use]
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::with_code("unreachable", 6, message)
    }

    /// The workload could not be started: the codes 125, 126 and 127 of `run`.
    #[must_use]
    pub fn not_started(exit_code: u8, message: impl Into<String>) -> Self {
        let code = match exit_code {
            126 => "command-not-executable",
            127 => "command-not-found",
            _ => "run-failed",
        };
        Self::with_code(code, exit_code, message)
    }

    /// Adds an error and everything below it as causes. A cause that only repeats the line above
    /// it is left out.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            let above = self.causes.last().unwrap_or(&self.message);
            if !above.ends_with(&text) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds one thing the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Changes what the process ends with: `run` speaks with 125.
    #[must_use]
    pub const fn with_exit_code(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// `error:`, `  caused by:` and `hint:` lines, without a newline at the end.
    pub(crate) fn as_text(&self, painted: bool) -> String {
        let mut text = format!("{} {}", Paint::Red.on("error:", painted), self.message);
        for cause in &self.causes {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "\n  caused by: {cause}");
        }
        for hint in &self.hints {
            let _infallible = write!(text, "\n{} {hint}", Paint::Cyan.on("hint:", painted));
        }
        text
    }

    /// The same as one JSON object on one line.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "causes": self.causes,
            "hints": self.hints,
        }})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_lines_that_need_no_colour() {
        let cause = std::io::Error::from_raw_os_error(2);
        let failure = Failure::failed("cannot open the image store")
            .caused_by(&cause)
            .hint("run as root");
        assert_eq!(
            failure.as_text(false),
            "error: cannot open the image store\n  caused by: No such file or directory (os error 2)\
             \nhint: run as root"
        );
        assert_eq!(failure.as_json()["error"]["code"], "failed");
    }

    #[test]
    fn a_cause_that_repeats_the_message_is_left_out() {
        let cause = std::io::Error::other("disk full");
        assert!(
            Failure::failed("write x: disk full")
                .caused_by(&cause)
                .causes
                .is_empty()
        );
    }
}
