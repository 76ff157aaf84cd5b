//! One error for the whole crate: what failed, on what, its cause, and a hint where one helps.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No image by that name.
    NotFound,
    /// Several images answer to that name, or the image has several names.
    Ambiguous,
    /// A container needs it.
    InUse,
    /// A registry wants other credentials, or none of this user's suffice.
    Denied,
    /// A registry cannot be reached or does not answer.
    Unreachable,
    /// Ended by the user.
    Cancelled,
    /// What the user gave is malformed: a name, an archive, an option.
    Invalid,
    /// The source of a transfer failed on the way. What has come is kept: the next attempt goes on
    /// from there.
    Transfer,
    /// The system refused: permission, space, input and output.
    System,
}

/// A failed step. `Display` is the step alone; the cause is `source()`.
#[derive(Debug)]
pub struct Error {
    step: Cow<'static, str>,
    kind: Kind,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure without a deeper cause. `step` is lower case, without a full stop.
    pub fn new(kind: Kind, step: impl Into<Cow<'static, str>>) -> Self {
        Self {
            step: step.into(),
            kind,
            hint: None,
            source: None,
        }
    }

    pub(crate) fn invalid(step: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Invalid, step)
    }

    /// Says of which kind it is, whatever its cause was.
    #[must_use]
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a file or an image was not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let source = self.source.as_deref();
        let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        self.kind == Kind::NotFound
            || source.is_some_and(|source| source.kind() == std::io::ErrorKind::NotFound)
    }

    /// Whether the disk, or this user's share of it, is full.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>()
                && matches!(
                    error.kind(),
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
                )
            {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// The hint of this error or of the first of its causes that has one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint
            .as_deref()
            .or_else(|| self.source.as_deref()?.downcast_ref::<Self>()?.hint_text())
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
pub(crate) trait Context<T> {
    /// Wraps the error; `step` runs only on failure.
    fn step<S: Into<Cow<'static, str>>>(self, step: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn step<S: Into<Cow<'static, str>>>(self, step: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| {
            let hint = hint_for(&source);
            // Only decoders say so, of what they were given.
            let kind = match source.kind() {
                std::io::ErrorKind::InvalidData => Kind::Invalid,
                _ => Kind::System,
            };
            Error {
                step: step().into(),
                kind,
                hint,
                source: Some(Box::new(source)),
            }
        })
    }
}

impl<T> Context<T> for insula_sys::Result<T> {
    fn step<S: Into<Cow<'static, str>>>(self, step: impl FnOnce() -> S) -> Result<T> {
        self.map_err(std::io::Error::from).step(step)
    }
}

impl<T> Context<T> for Result<T> {
    fn step<S: Into<Cow<'static, str>>>(self, step: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error {
            step: step().into(),
            kind: source.kind,
            hint: None,
            source: Some(Box::new(source)),
        })
    }
}

/// What a user can do about the errors that are not the archive's fault.
fn hint_for(error: &std::io::Error) -> Option<Cow<'static, str>> {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Some(
            "nothing was kept of this step; free space (`insula image prune`) and try again".into(),
        ),
        std::io::ErrorKind::QuotaExceeded => {
            Some("the disk quota of this user is used up; nothing was kept of this step".into())
        }
        std::io::ErrorKind::PermissionDenied => {
            Some("run as root, or give a store of your own with --store".into())
        }
        _ => None,
    }
}
