//! Why a command did not do what was asked: message, hint, and the exit code that goes with it.

use insula_container::error::Error;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failed command. The message is one line: log readers take one line per error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The command line itself was wrong: the usage is shown too.
    pub(crate) usage: bool,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            usage: false,
            code: 1,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            usage: true,
            ..Self::new(message)
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with another exit code, and what was attempted in front.
    #[must_use]
    pub(crate) fn during(mut self, attempt: &str, code: u8) -> Self {
        self.message = format!("{attempt}: {}", self.message);
        self.code = code;
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            hint: error.hint_text().map(str::to_owned),
            ..Self::new(error.chain())
        }
    }
}
