//! How a guest is kept: when it is started again, how its health is checked, what of its output
//! stays.

use std::str::FromStr;

use insula_container::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// When a guest that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    /// Also after a reboot of the host.
    Always,
    /// As `Always`, but not when a user stopped it.
    UnlessStopped,
    /// When its exit code is not 0, at most so many times (0: without limit).
    OnFailure(u32),
}

impl RestartPolicy {
    /// Whether the guest is started again after its `restarts`th restart ended with `code`.
    #[must_use]
    pub fn asks_for(self, code: Option<i32>, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure(limit) => code != Some(0) && (limit == 0 || restarts < limit),
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(format!("`{text}` is no restart policy"))
                .hint("no, always, unless-stopped, on-failure or on-failure:COUNT")
        };
        match text.split_once(':') {
            None => match text {
                "no" => Ok(Self::No),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                "on-failure" => Ok(Self::OnFailure(0)),
                _ => Err(wrong()),
            },
            Some(("on-failure", count)) => match count.parse() {
                Ok(count) => Ok(Self::OnFailure(count)),
                Err(_) => Err(wrong()),
            },
            Some(_) => Err(wrong()),
        }
    }
}

impl std::fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure(0) => f.write_str("on-failure"),
            Self::OnFailure(count) => write!(f, "on-failure:{count}"),
        }
    }
}

/// A command that tells whether the guest is well: it ends with 0 then. What is absent is the
/// image's, or docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// `CMD` and words, `CMD-SHELL` and a line, or `NONE`; empty for the image's.
    pub test: Vec<String>,
    pub interval_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    /// Failures this soon after the start do not count.
    pub start_period_ms: Option<u64>,
    pub retries: Option<u32>,
}

impl HealthCheck {
    #[must_use]
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms.filter(|ms| *ms > 0).unwrap_or(30_000)
    }

    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms.filter(|ms| *ms > 0).unwrap_or(30_000)
    }

    #[must_use]
    pub fn start_period_ms(&self) -> u64 {
        self.start_period_ms.unwrap_or(0)
    }

    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries.filter(|count| *count > 0).unwrap_or(3)
    }

    /// The program and its arguments; `None` when there is nothing to check.
    #[must_use]
    pub fn program(&self) -> Option<Vec<String>> {
        let (kind, words) = self.test.split_first()?;
        match kind.as_str() {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" if !words.is_empty() => {
                let mut program = vec!["/bin/sh".to_owned(), "-c".to_owned()];
                program.extend(words.iter().cloned());
                Some(program)
            }
            _ => None,
        }
    }

    /// This check where it says something, and `image`'s elsewhere.
    #[must_use]
    pub fn over(self, image: Option<Self>) -> Self {
        let image = image.unwrap_or_default();
        Self {
            test: match self.test.is_empty() {
                true => image.test,
                false => self.test,
            },
            interval_ms: self.interval_ms.or(image.interval_ms),
            timeout_ms: self.timeout_ms.or(image.timeout_ms),
            start_period_ms: self.start_period_ms.or(image.start_period_ms),
            retries: self.retries.or(image.retries),
        }
    }

    /// The check of an image's configuration (`Healthcheck`, docker's; durations in nanoseconds).
    #[must_use]
    pub fn of_image(value: &serde_json::Value) -> Option<Self> {
        let milliseconds = |name: &str| {
            let nanoseconds = value.get(name)?.as_u64()?;
            Some(nanoseconds / 1_000_000).filter(|ms| *ms > 0)
        };
        let words = value.get("Test")?.as_array()?;
        let retries = value.get("Retries").and_then(serde_json::Value::as_u64);
        Some(Self {
            test: words
                .iter()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect(),
            interval_ms: milliseconds("Interval"),
            timeout_ms: milliseconds("Timeout"),
            start_period_ms: milliseconds("StartPeriod"),
            retries: retries.and_then(|count| u32::try_from(count).ok()),
        })
    }
}

/// What of a guest's output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogSettings {
    pub driver: LogDriver,
    /// Of one file; [`crate::guest_log`] says what holds otherwise.
    pub max_bytes: Option<u64>,
    pub max_files: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogDriver {
    #[default]
    File,
    None,
}

/// Whether a container holds a whole system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemMode {
    /// When its program is an init: `/sbin/init`, `systemd`, `openrc-init`, …
    #[default]
    Auto,
    Yes,
    No,
}

/// Whether a container sees its own processors, memory, load and uptime in `/proc` and `/sys`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcViewMode {
    /// When it holds a whole system.
    #[default]
    Auto,
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_shown() {
        for text in [
            "no",
            "always",
            "unless-stopped",
            "on-failure",
            "on-failure:5",
        ] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        for wrong in ["", "never", "on-failure:", "on-failure:-1", "always:3"] {
            assert!(wrong.parse::<RestartPolicy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn failures_are_counted() {
        let policy = RestartPolicy::OnFailure(2);
        assert!(policy.asks_for(Some(1), 0) && policy.asks_for(None, 1));
        assert!(!policy.asks_for(Some(1), 2) && !policy.asks_for(Some(0), 0));
        assert!(RestartPolicy::Always.asks_for(Some(0), 1000));
    }

    #[test]
    fn an_image_s_check_is_read_and_overridden() {
        let image = serde_json::json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64,
            "Retries": 2});
        let image = HealthCheck::of_image(&image).unwrap();
        let mine = HealthCheck {
            retries: Some(7),
            ..HealthCheck::default()
        };
        let check = mine.over(Some(image));
        assert_eq!(check.program().unwrap(), ["/bin/sh", "-c", "true"]);
        assert_eq!((check.interval_ms(), check.retries()), (5000, 7));
        assert_eq!(check.timeout_ms(), 30_000);
    }
}
