//! For which machine an image is: `os/architecture[/variant]`, in Go's words as OCI has them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Platform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// This host.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }

    /// How well an image for `offered` does where this is wanted: the lower the better, `None` for
    /// not at all.
    pub(crate) fn rank(&self, offered: &Self) -> Option<u8> {
        if (&self.os, &self.architecture) != (&offered.os, &offered.architecture) {
            return None;
        }
        let given = offered.variant.as_deref().unwrap_or_default();
        match self.variant.as_deref() {
            Some(wanted) => {
                // v8 is the only arm64 there is, v1 every amd64: saying so or not is the same.
                let is_default = matches!(
                    (&*self.architecture, wanted),
                    ("arm64", "v8") | ("amd64", "v1")
                );
                match given {
                    given if given == wanted => Some(0),
                    "" if is_default => Some(1),
                    _ => None,
                }
            }
            // The plainest variant runs on every machine of the architecture.
            None => Some(match (&*self.architecture, given) {
                (_, "") => 0,
                ("arm64", "v8") | ("amd64", "v1") | ("arm", "v7") => 1,
                ("arm", "v6") => 2,
                ("arm", "v5") => 3,
                _ => 4,
            }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<String> = text.split('/').map(str::to_ascii_lowercase).collect();
        let is_word = |part: &String| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        match parts.as_slice() {
            [os, architecture, variant @ ..] if variant.len() <= 1 && parts.iter().all(is_word) => {
                Ok(Self {
                    os: os.clone(),
                    architecture: normal(architecture).to_owned(),
                    variant: variant.first().cloned(),
                })
            }
            _ => Err(Error::invalid(format!("`{text}` is not a platform"))
                .hint("a platform looks like linux/amd64 or linux/arm/v7")),
        }
    }
}

/// Go's word for an architecture that people know by another.
fn normal(architecture: &str) -> &str {
    match architecture {
        "x8664" | "x64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" | "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_back() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(platform(text).to_string(), text);
        }
        assert_eq!(platform("Linux/aarch64").to_string(), "linux/arm64");
        for text in ["", "linux", "linux/", "linux/arm/v7/x", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_plainest_variant_is_preferred() {
        let rank = |wanted: &str, given: &str| platform(wanted).rank(&platform(given));
        assert_eq!(rank("linux/amd64", "linux/amd64"), Some(0));
        assert!(rank("linux/amd64", "linux/amd64/v3") > rank("linux/amd64", "linux/amd64/v1"));
        assert!(rank("linux/arm", "linux/arm/v5") > rank("linux/arm", "linux/arm/v7"));
        assert_eq!(rank("linux/arm64/v8", "linux/arm64"), Some(1));
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
        assert_eq!(rank("linux/amd64", "linux/arm64"), None);
    }
}
