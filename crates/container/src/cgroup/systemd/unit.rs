//! The names of a container's scope and of the slice above it, from `slice:prefix:name`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the scope of a container without a `cgroupsPath` begins with.
const DEFAULT_PREFIX: &str = "insula";

/// A transient unit of systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Unit {
    /// `<prefix>-<name>.scope`; or a slice, where the name is one.
    pub(in super::super) name: String,
    /// The slice above it, by its own name.
    pub(in super::super) slice: String,
}

impl Unit {
    /// `system.slice` holds what no slice is given for, `user.slice` the same of a user.
    pub(in super::super) fn new(given: Option<&str>, id: &str, rootless: bool) -> Result<Self> {
        let default = if rootless {
            "user.slice"
        } else {
            "system.slice"
        };
        let given = given.filter(|given| !given.is_empty());
        let mut parts = given.unwrap_or("").split(':');
        let (slice, prefix, name) = match (given, parts.next(), parts.next(), parts.next()) {
            (None, ..) => (default, DEFAULT_PREFIX, id),
            (_, Some(slice), Some(prefix), Some(name)) if parts.next().is_none() => {
                (if slice.is_empty() { default } else { slice }, prefix, name)
            }
            _ => {
                return Err(Error::new(format!(
                    "cgroupsPath \"{}\" is not of the form slice:prefix:name",
                    given.unwrap_or("")
                ))
                .hint("systemd takes no paths; for them use --cgroup-manager=cgroupfs"));
            }
        };
        if name.is_empty() || [prefix, name].iter().any(|part| part.contains('/')) {
            return Err(Error::new(format!(
                "\"{prefix}-{name}\" is not the name of a unit"
            )));
        }
        let name = match (prefix, name) {
            (_, name) if name.ends_with(".slice") => name.to_owned(),
            ("", name) => format!("{name}.scope"),
            (prefix, name) => format!("{prefix}-{name}.scope"),
        };
        expand(slice)?;
        Ok(Self {
            name,
            slice: slice.to_owned(),
        })
    }

    pub(in super::super) fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }

    /// The unit's directory below that of its systemd.
    pub(in super::super) fn path(&self) -> Result<String> {
        let slice = expand(&self.slice)?;
        Ok(if slice.is_empty() {
            self.name.clone()
        } else {
            format!("{slice}/{}", self.name)
        })
    }
}

/// `a-b.slice` lies in `a.slice`, and so on; `-.slice` is the root.
fn expand(slice: &str) -> Result<String> {
    let invalid = || Error::new(format!("\"{slice}\" is not the name of a slice"));
    let stem = slice.strip_suffix(".slice").ok_or_else(invalid)?;
    if stem == "-" {
        return Ok(String::new());
    }
    let mut path = String::with_capacity(slice.len() * 2);
    let mut end = 0;
    for part in stem.split('-') {
        if part.is_empty() || part.contains(['/', '\0']) {
            return Err(invalid());
        }
        end += part.len();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&stem[..end]);
        path.push_str(".slice");
        end += 1;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        for (given, path) in [
            (
                Some("machine.slice:libpod:abc"),
                "machine.slice/libpod-abc.scope",
            ),
            (
                Some("a-b-c.slice:cri:x"),
                "a.slice/a-b.slice/a-b-c.slice/cri-x.scope",
            ),
            (Some("::x"), "system.slice/x.scope"),
            (Some("-.slice:p:x"), "p-x.scope"),
            (Some("a.slice::a-b.slice"), "a.slice/a-b.slice"),
            (None, "system.slice/insula-c1.scope"),
        ] {
            assert_eq!(
                Unit::new(given, "c1", false).unwrap().path().unwrap(),
                path,
                "{given:?}"
            );
        }
        let rootless = Unit::new(None, "c1", true).unwrap();
        assert_eq!(rootless.path().unwrap(), "user.slice/insula-c1.scope");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "/a/b",
            "a:b",
            "a.slice:b:c:d",
            "a.slice:b:",
            "a/b.slice:c:d",
            "../x.slice:c:d",
            "a--b.slice:c:d",
            "-a.slice:c:d",
            "a.slice:../b:c",
            "scope:b:c",
        ] {
            assert!(Unit::new(Some(wrong), "c1", false).is_err(), "{wrong}");
        }
    }
}
