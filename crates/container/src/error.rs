//! One error for the whole engine: the step that failed, its cause, and a hint where one helps.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller may want to tell apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Other,
    /// No container of this name.
    NotFound,
    /// The name is taken.
    Exists,
    /// The user's program does not exist in the container (exit code 127 by convention).
    ProgramNotFound,
    /// It exists and cannot be run (126).
    ProgramNotExecutable,
    /// The user asked for the end of it (130).
    Interrupted,
}

/// A failed step. `Display` is the step alone; the cause is `source()`.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    step: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure that has no deeper cause. `step` is lower case, without a full stop.
    pub fn new(step: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: Kind::Other,
            step: step.into(),
            hint: None,
            source: None,
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// This failure as the cause of a step.
    #[must_use]
    pub fn within(self, step: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: Kind::Other,
            step: step.into(),
            hint: None,
            source: Some(Box::new(self)),
        }
    }

    /// Says what sort of failure it is.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The kind of this error or of the first of its causes that has one.
    #[must_use]
    pub fn kind_of(&self) -> Kind {
        if self.kind != Kind::Other {
            return self.kind;
        }
        let cause = self
            .source
            .as_deref()
            .and_then(|source| source.downcast_ref::<Self>());
        cause.map_or(Kind::Other, Self::kind_of)
    }

    /// The hint of this error or of the first of its causes that has one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| {
            self.source
                .as_deref()?
                .downcast_ref::<Self>()
                .and_then(Self::hint_text)
        })
    }

    /// The chain on one line: `step: cause: cause`.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.step.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// The system call error at the end of the chain, if it ends in one.
    #[must_use]
    pub fn errno(&self) -> Option<insula_sys::Errno> {
        let source = self.source.as_deref()?;
        if let Some(errno) = source.downcast_ref::<insula_sys::Errno>() {
            return Some(*errno);
        }
        source.downcast_ref::<Self>().and_then(Self::errno)
    }
}

impl From<insula_sys::Errno> for Error {
    fn from(errno: insula_sys::Errno) -> Self {
        Self::new(errno.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| {
            let source: &(dyn StdError + 'static) = source;
            source
        })
    }
}

/// Says which step a lower error belongs to.
pub trait Context<T> {
    /// Wraps the error; `step` runs only on failure.
    ///
    /// # Errors
    /// The same failure, with the step in front.
    fn step<S: Into<Cow<'static, str>>>(self, step: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> Context<T> for std::result::Result<T, E> {
    fn step<S: Into<Cow<'static, str>>>(self, step: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error {
            kind: Kind::Other,
            step: step().into(),
            hint: None,
            source: Some(Box::new(source)),
        })
    }
}
