//! Image names: `[host[:port]/]path[:tag][@digest]`, by the distribution grammar.
//!
//! Short names stay as they are: `debian:12` means what this host imported as `debian:12` and no
//! registry. Without tag and digest the tag is `latest`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, Result};

const NAME_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;

/// A well-formed image name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    name: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host and path, without tag and digest.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry, with its port, where the name has one: `localhost:5000`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let (host, _) = self.name.split_once('/')?;
        is_host(host).then_some(host)
    }

    /// The name without its registry.
    #[must_use]
    pub fn path(&self) -> &str {
        match self.name.split_once('/') {
            Some((host, path)) if is_host(host) => path,
            _ => &self.name,
        }
    }

    /// The same tag and digest of another name.
    ///
    /// # Errors
    /// `name` is malformed.
    pub fn with_name(&self, name: &str) -> Result<Self> {
        let named: Self = name.parse()?;
        let is_bare = named.digest.is_none() && !name[named.name.len()..].starts_with(':');
        if !is_bare {
            return Err(Error::invalid(format!(
                "`{name}` is not a name without tag and digest"
            )));
        }
        Ok(Self {
            name: named.name,
            tag: self.tag.clone(),
            digest: self.digest,
        })
    }

    /// The same name with this digest alone.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            name: self.name.clone(),
            tag: None,
            digest: Some(digest),
        }
    }

    /// The same name and tag, and this digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The same name with this tag alone.
    ///
    /// # Errors
    /// `tag` is malformed.
    pub fn retagged(&self, tag: &str) -> Result<Self> {
        check_tag(tag).map_err(|reason| Error::invalid(format!("tag `{tag}`: {reason}")))?;
        Ok(Self {
            name: self.name.clone(),
            tag: Some(tag.to_owned()),
            digest: None,
        })
    }

    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// `name:tag`, the form under which the store keeps a reference. The tag of a name that has only
    /// a digest is `latest`.
    #[must_use]
    pub fn tagged(&self) -> String {
        let tag = self.tag.as_deref().unwrap_or("latest");
        format!("{}:{tag}", self.name)
    }
}

impl Reference {
    /// The form under which the store keeps it: `name:tag`, or `name@digest` without a tag.
    pub(crate) fn kept(&self) -> String {
        match (&self.tag, &self.digest) {
            (None, Some(digest)) => format!("{}@{digest}", self.name),
            _ => self.tagged(),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: &str| {
            Error::invalid(format!("`{text}` is not an image name: {reason}"))
                .hint("a name looks like debian:12, team/app:1.0 or localhost:5000/team/app:1.0")
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if let Some(tag) = tag {
            check_tag(tag).map_err(wrong)?;
        }
        check_name(name).map_err(wrong)?;
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self {
            name: name.to_owned(),
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A colon after the last slash starts the tag; one before it belongs to the port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last_component = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last_component..].find(':') {
        Some(colon) => {
            let colon = last_component + colon;
            (&text[..colon], Some(&text[colon + 1..]))
        }
        None => (text, None),
    }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    match bytes.next() {
        None => return Err("the tag is empty"),
        Some(first) if !word(first) => return Err("a tag starts with a letter, a digit or _"),
        Some(_) => {}
    }
    if !bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-') {
        return Err("a tag has letters, digits, _, . and - only");
    }
    if tag.len() > TAG_LENGTH_MAX {
        return Err("the tag is longer than 128 characters");
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("the name is empty");
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err("the name is longer than 255 characters");
    }
    // Such a name could not be told from an image's identifier.
    if Digest::from_hex(name).is_some() {
        return Err("64 hexadecimal digits are an identifier, not a name");
    }
    let path = match name.split_once('/') {
        Some((host, path)) if is_host(host) => {
            check_host(host)?;
            path
        }
        _ => name,
    };
    path.split('/').try_for_each(check_component)
}

/// The first component is a host when it could not be a path or says that it is this machine.
fn is_host(component: &str) -> bool {
    component == "localhost"
        || component
            .bytes()
            .any(|byte| matches!(byte, b'.' | b':' | b'[') || byte.is_ascii_uppercase())
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let (host, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("`[` without `]`")?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("no IPv6 address between [ and ]");
        }
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port),
            None if port.is_empty() => None,
            None => return Err("after ] there may only be a port"),
        };
        ("localhost", port)
    } else {
        match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        }
    };
    if let Some(port) = port
        && (port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err("the port is not a number");
    }
    let label_is_valid = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if host.split('.').all(label_is_valid) {
        Ok(())
    } else {
        Err("the host is malformed")
    }
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn check_component(component: &str) -> Result<(), &'static str> {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if component.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("it must be lower case");
    }
    let bytes = component.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) if alphanumeric(first) && alphanumeric(last) => {}
        (None, _) => return Err("a part between slashes is empty"),
        _ => return Err("each part starts and ends with a letter or a digit"),
    }
    for separator in component.split(|character: char| character.is_ascii_alphanumeric()) {
        let valid = matches!(separator, "" | "." | "_" | "__")
            || separator.bytes().all(|byte| byte == b'-');
        if !valid {
            return Err("parts are letters and digits, joined by ., _, __ or -");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_names() {
        let digest = Digest::of(b"");
        let cases = [
            ("debian", "debian", Some("latest")),
            ("debian:12", "debian", Some("12")),
            ("a/b-c__d.e/f:V_1.0-x", "a/b-c__d.e/f", Some("V_1.0-x")),
            ("localhost:5000/a/b:tag", "localhost:5000/a/b", Some("tag")),
            ("localhost/a", "localhost/a", Some("latest")),
            (
                "Registry.Example.com/a",
                "Registry.Example.com/a",
                Some("latest"),
            ),
            ("[::1]:5000/a:1", "[::1]:5000/a", Some("1")),
            ("a---b", "a---b", Some("latest")),
        ];
        for (text, name, tag) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.name(), reference.tag()), (name, tag), "{text}");
        }
        let reference: Reference = format!("a:1@{digest}").parse().unwrap();
        assert_eq!(reference.digest(), Some(&digest));
        assert_eq!(reference.to_string(), format!("a:1@{digest}"));
        let reference: Reference = format!("a@{digest}").parse().unwrap();
        assert_eq!(reference.tag(), None);
    }

    #[test]
    fn a_name_is_a_registry_and_a_path() {
        let cases = [
            ("debian:12", None, "debian"),
            ("team/app", None, "team/app"),
            ("localhost/a", Some("localhost"), "a"),
            ("localhost:5000/a/b:t", Some("localhost:5000"), "a/b"),
            ("[::1]:5000/a", Some("[::1]:5000"), "a"),
            ("quay.io/a/b", Some("quay.io"), "a/b"),
        ];
        for (text, host, path) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!((reference.host(), reference.path()), (host, path), "{text}");
        }
        let reference: Reference = "a:1".parse().unwrap();
        let other = reference.with_name("quay.io/b").unwrap();
        assert_eq!(other.to_string(), "quay.io/b:1");
        assert!(reference.with_name("quay.io/b:2").is_err());
        assert_eq!(reference.retagged("2").unwrap().to_string(), "a:2");
        let digest = Digest::of(b"");
        assert_eq!(reference.pinned(digest).to_string(), format!("a@{digest}"));
    }

    #[test]
    fn malformed_names() {
        let long = "a".repeat(256);
        let long_tag = format!("a:{}", "t".repeat(129));
        let identifier = "0".repeat(64);
        for text in [
            "",
            ":",
            "a:",
            ":tag",
            "A",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a:-t",
            "a:t t",
            "a b",
            "a@sha256:12",
            "a@",
            "host:port/a",
            "../a",
            "a/../b",
            "a:b:c",
            "é",
            "a.-b",
            "[::1/a",
            "[x]/a",
            &long,
            &long_tag,
            &identifier,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
