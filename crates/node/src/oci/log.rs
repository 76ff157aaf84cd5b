//! Where messages go, and in which form.
//!
//! Tools that drive a runtime give it `--log FILE --log-format json` and read the last line of
//! level `error` when a command fails. With a log file an error also goes to standard error,
//! without a word around it: those tools show it, and it may be the container's own standard error.
//! The file is opened by the first message: a command that succeeds never touches it.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use super::failure::{Failure, Result};
use super::time::rfc3339_seconds;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

impl Level {
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "error" | "fatal" | "panic" => Ok(Self::Error),
            "warning" | "warn" => Ok(Self::Warning),
            "info" => Ok(Self::Info),
            "debug" | "trace" => Ok(Self::Debug),
            _ => Err(Failure::new(format!("invalid log-level: {name}"))
                .hint("error, warning, info or debug")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// `None` is standard error.
    file: Option<OsString>,
    json: bool,
    level: Level,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            file: None,
            json: false,
            level: Level::Warning,
        }
    }
}

impl Log {
    /// `file` may have crun's prefix `file:`.
    pub(crate) fn new(file: Option<OsString>, json: bool, level: Level) -> Result<Self> {
        let file = match file {
            Some(file) => destination(file)?,
            None => None,
        };
        Ok(Self { file, json, level })
    }

    /// Whether messages go to a file.
    pub(crate) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether messages of the level are written at all.
    pub(crate) fn takes(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Writes one message; `hint` is what the reader can do about it.
    pub(crate) fn write(&self, level: Level, message: &str, hint: Option<&str>) {
        if !self.takes(level) {
            return;
        }
        let to_file = self.file.is_some();
        // What tells of the runtime's work, not of its outcome, has its time beside it.
        if to_file || self.json || level > Level::Warning {
            let line = if self.json {
                json_line(level, message, hint)
            } else {
                text_line(level, message, hint)
            };
            self.append(line.as_bytes());
        }
        // One write, so that lines of processes that share standard error do not mix.
        if to_file && level == Level::Error {
            let _ = std::io::stderr().write_all(format!("{message}\n").as_bytes());
        } else if !to_file && !self.json && level <= Level::Warning {
            let mut plain = format!("{}: {message}\n", level.name());
            if let Some(hint) = hint {
                plain.push_str("hint: ");
                plain.push_str(hint);
                plain.push('\n');
            }
            let _ = std::io::stderr().write_all(plain.as_bytes());
        }
    }

    fn append(&self, line: &[u8]) {
        let Some(path) = &self.file else {
            let _ = std::io::stderr().write_all(line);
            return;
        };
        let opened = OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = opened.and_then(|mut file| file.write_all(line)) {
            let complaint = format!(
                "warning: write log {}: {error}\n",
                Path::new(path).display()
            );
            let _ = std::io::stderr().write_all(complaint.as_bytes());
        }
    }
}

/// The file that a `--log` value names; `None` is standard error.
fn destination(given: OsString) -> Result<Option<OsString>> {
    let bytes = given.as_bytes();
    if bytes.is_empty() || bytes == b"/dev/stderr" {
        return Ok(None);
    }
    if let Some(path) = bytes.strip_prefix(b"file:") {
        return Ok(Some(std::ffi::OsStr::from_bytes(path).to_owned()));
    }
    if bytes.starts_with(b"journald:") || bytes.starts_with(b"syslog:") {
        return Err(Failure::new(format!(
            "log destination `{}` is not supported",
            given.display()
        ))
        .hint("give a file: --log=PATH"));
    }
    Ok(Some(given))
}

fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    rfc3339_seconds(since.unwrap_or_default().as_secs())
}

/// Keys in alphabetical order, as the readers' own logger writes them.
fn json_line(level: Level, message: &str, hint: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let hint = hint
        .map(|hint| format!("\"hint\":{},", quoted(hint)))
        .unwrap_or_default();
    format!(
        "{{{hint}\"level\":\"{}\",\"msg\":{},\"time\":\"{}\"}}\n",
        level.name(),
        quoted(message),
        now()
    )
}

fn text_line(level: Level, message: &str, hint: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let hint = hint
        .map(|hint| format!(" hint={}", quoted(hint)))
        .unwrap_or_default();
    format!(
        "time=\"{}\" level={} msg={}{hint}\n",
        now(),
        level.name(),
        quoted(message)
    )
}

#[cfg(test)]
mod tests {
    use super::{Level, Log, json_line, text_line};

    #[test]
    fn a_json_line_is_json_whatever_the_message() {
        let line = json_line(Level::Error, "open \"a\"\n\u{1}", Some("try `b`"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["msg"], "open \"a\"\n\u{1}");
        assert_eq!(value["hint"], "try `b`");
        assert_eq!(value["time"].as_str().unwrap().len(), 20);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_text_line_quotes_the_message() {
        let line = text_line(Level::Warning, "a \"b\"", None);
        assert!(line.starts_with("time=\""));
        assert!(
            line.ends_with(" level=warning msg=\"a \\\"b\\\"\"\n"),
            "{line}"
        );
    }

    #[test]
    fn lines_are_added_to_the_file_and_the_level_holds() {
        let path = std::env::temp_dir().join(format!("insula-log-{}", std::process::id()));
        let given = format!("file:{}", path.display());
        let log = Log::new(Some(given.into()), true, Level::Error).unwrap();
        log.write(Level::Error, "one", None);
        log.write(Level::Warning, "not this", None);
        log.write(Level::Error, "two", None);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("\"msg\":\"two\""));
    }

    #[test]
    fn only_files_are_a_destination() {
        assert!(Log::new(Some("syslog:x".into()), true, Level::Error).is_err());
    }
}
