//! Starts programs and takes their time.
//!
//! The clock runs from before the fork to after the wait, in this process: no shell and no timing
//! program lies between. The standard library forks with `CLONE_VFORK`, so that this program's own
//! memory does not count.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use insula_sys::usage::wait_with_usage;

use crate::sample::Cost;

/// A program and the arguments it always gets: `target/release/insula oci`.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    words: Vec<OsString>,
}

impl Program {
    /// Split at blanks: neither a path with a blank nor quoting is known.
    pub(crate) fn parse(text: &str) -> Self {
        Self {
            words: text.split_ascii_whitespace().map(OsString::from).collect(),
        }
    }

    pub(crate) fn new(words: &[&OsStr]) -> Self {
        Self {
            words: words.iter().map(OsString::from).collect(),
        }
    }

    /// The same, with arguments that it always gets.
    pub(crate) fn with(&self, arguments: &[&str]) -> Self {
        let mut words = self.words.clone();
        words.extend(arguments.iter().map(OsString::from));
        Self { words }
    }

    /// The same, started by `starter`, which searches no path.
    pub(crate) fn after(&self, starter: &Path) -> Self {
        let mut words = vec![OsString::from(starter), OsString::from(self.path())];
        words.extend(self.words.iter().skip(1).cloned());
        Self { words }
    }

    /// Where the program itself is, as an absolute path.
    pub(crate) fn path(&self) -> String {
        let program = self.words.first().map(PathBuf::from).unwrap_or_default();
        std::fs::canonicalize(&program)
            .unwrap_or(program)
            .to_string_lossy()
            .into_owned()
    }

    /// The program with its arguments and `more`, its output thrown away.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let (program, arguments) = self.words.split_first().map_or_else(
            || (OsString::from("/nonexistent"), &[][..]),
            |(program, arguments)| (program.clone(), arguments),
        );
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.stderr(Stdio::null());
        command
    }

    /// The first line of what the program says about itself.
    pub(crate) fn version(&self) -> String {
        let said = self.command(&["--version"]).stdout(Stdio::piped()).output();
        let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default()
            .lines()
            .next()
            .unwrap_or("unknown")
            .to_owned()
    }

    /// Runs it once and takes the time.
    ///
    /// # Errors
    /// It cannot be started, or it fails; then it is run once more to learn what it says.
    pub(crate) fn measure(&self, arguments: &[&str]) -> Result<Cost> {
        let mut command = self.command(arguments);
        let start = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let ended = wait_with_usage(child.id()).context("wait for the program")?;
        let wall = start.elapsed();
        if !ended.status.success() {
            self.run(arguments)?;
            bail!("{command:?} ended with {}", ended.status);
        }
        Ok(Cost {
            wall,
            cpu: ended.cpu,
        })
    }

    /// Runs it once and asks for success.
    ///
    /// # Errors
    /// With what the program said on standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<()> {
        self.output(arguments).map(drop)
    }

    /// Runs it once and returns its standard error on success.
    ///
    /// # Errors
    /// With what the program said on standard error.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<String> {
        // A file, not a pipe: a container left running would hold a pipe open.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("insula-bench-{}-{number}.err", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut command = self.command(arguments);
        let status = command.stderr(File::create(&path)?).status();
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::remove_file(&path)?;
        let status = status.with_context(|| format!("start {command:?}"))?;
        if !status.success() {
            bail!("{command:?} ended with {status}: {}", said.trim());
        }
        Ok(said)
    }
}
