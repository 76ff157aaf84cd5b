//! The product's command line, as the tests of several binaries use it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::time::{Duration, Instant};

use insula_sys::rustix::event::{Timespec, poll};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The archive of a root file system of busybox.
pub(crate) fn busybox() -> PathBuf {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let script = repository().join("scripts/busybox-rootfs");
        let made = Command::new(script).output();
        assert!(made.is_ok_and(|output| output.status.success()));
    });
    repository().join("target/images/busybox.tar")
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("INSULA_BINARY")
        .map_or_else(|| repository().join("target/release/insula"), PathBuf::from)
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Makes a command of these words, without input, its output in pipes.
type Maker = dyn Fn(&[&str]) -> Command;

/// The command line of one user with one store.
pub(crate) struct Insula {
    maker: Box<Maker>,
}

impl Insula {
    pub(crate) fn new(maker: impl Fn(&[&str]) -> Command + 'static) -> Self {
        Self {
            maker: Box::new(maker),
        }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        (self.maker)(words)
    }

    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.command(words).output().unwrap().into()
    }

    /// What a command that works prints, without the last line's end.
    #[track_caller]
    pub(crate) fn succeed(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(0), "{words:?}: {}{}", said.out, said.err);
        said.out.trim_end().to_owned()
    }

    /// The error of a command that fails with this code.
    #[track_caller]
    pub(crate) fn fail(&self, code: i32, words: &[&str]) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(code), "{words:?}: {}{}", said.out, said.err);
        said.err
    }

    /// A guest as `ps` shows it to programs.
    #[track_caller]
    pub(crate) fn guest(&self, name: &str) -> Value {
        let list = self.succeed(&["ps", "-a", "-o", "json"]);
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        let found = list.into_iter().find(|guest| guest["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Removes all guests, whatever they do.
    pub(crate) fn clear(&self) {
        let said = self.run(&["ps", "-a", "-q"]);
        for id in said.out.lines() {
            self.run(&["rm", "-f", id]);
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn settle(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited for: {what}");
        poll(&mut [], Some(&MOMENT)).unwrap();
    }
}
