//! What this host gives: every check tries the thing itself instead of trusting a version.
//!
//! What cannot be undone in this process (a namespace, a mount) is tried in a child: the same
//! binary, started with the word [`PROBE_ROLE`] and the name of a probe. The child's end takes
//! everything it made with it.
//!
//! Start reading at [`examine`]; one file per area, each returning [`Check`]s.

mod cgroup;
mod file_system;
mod kernel;
mod probe;
mod process;
pub(crate) mod subordinate;

use std::path::Path;

pub use cgroup::layout as cgroup_layout;
pub use kernel::release as kernel_release;
pub use probe::{PROBE_ROLE, run as run_probe};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It works.
    Ok,
    /// Not looked for, because something it stands on is missing or it is optional here.
    Skip,
    /// Something is lost without it.
    Warn,
    /// Containers do not run without it.
    Fail,
}

impl Verdict {
    /// The word in reports: `ok`, `skip`, `warn`, `fail`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable name: `namespace-user`.
    pub name: String,
    pub verdict: Verdict,
    /// What was found: a version, an error of the kernel.
    pub found: String,
    /// What the user cannot do without it. Empty when nothing is lost.
    pub lost: &'static str,
    /// The exact command that mends it, if there is one.
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, found, "")
    }

    fn new(
        name: impl Into<String>,
        verdict: Verdict,
        found: impl Into<String>,
        lost: &'static str,
    ) -> Self {
        Self {
            name: name.into(),
            verdict,
            found: found.into(),
            lost,
            fix: None,
        }
    }

    fn fix(mut self, command: impl Into<String>) -> Self {
        self.fix = Some(command.into());
        self
    }
}

/// Tries everything Insula uses. `store` is where images are kept; it need not exist yet.
#[must_use]
pub fn examine(store: &Path) -> Vec<Check> {
    let mut checks = vec![kernel::version()];
    checks.extend(kernel::namespaces());
    checks.extend(cgroup::checks());
    checks.extend(file_system::checks(store));
    checks.push(kernel::seccomp());
    checks.push(kernel::security_modules());
    checks.extend(process::checks());
    checks.push(subordinate::check());
    checks.push(kernel::virtualisation());
    checks
}

/// The text of a small kernel file, without the newline at its end.
fn read_trimmed(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_end().to_owned())
}
