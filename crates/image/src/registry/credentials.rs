//! Names and passwords for registries, where docker and podman keep them.
//!
//! ```text
//!  $REGISTRY_AUTH_FILE | $XDG_RUNTIME_DIR/containers/auth.json
//!                      | ~/.config/containers/auth.json
//!                      | $DOCKER_CONFIG/config.json or ~/.docker/config.json
//!    auths        { "HOST[/PATH]": { "auth": base64("user:password") } }
//!    credHelpers  { "HOST": NAME }   a program docker-credential-NAME of the user's choice
//!    credsStore   NAME               the same for every host
//! ```
//!
//! The first file that knows a registry wins. `login` writes to `$REGISTRY_AUTH_FILE`, or to
//! docker's file, or to the helper which that file names. What is in the file besides is kept.
//! Passwords never appear in `Debug` output or errors.

mod program;

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::error::{Context, Error, Kind, Result};

/// The key under which docker has always kept its own registry.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// Who the user is for one registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        username: String,
        password: String,
    },
    /// To be exchanged for a short-lived token (OAuth 2 refresh token).
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { username, .. } => f
                .debug_struct("Password")
                .field("username", username)
                .finish_non_exhaustive(),
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

/// Where a credential was put or taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    File(PathBuf),
    /// The program `docker-credential-NAME`.
    Helper(String),
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Helper(name) => write!(f, "docker-credential-{name}"),
        }
    }
}

/// The files of this user.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The first that knows a registry wins.
    readable: Vec<PathBuf>,
    /// Where `login` writes.
    writable: Option<PathBuf>,
}

impl Credentials {
    /// By the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = set("REGISTRY_AUTH_FILE") {
            return Self::in_file(Path::new(&path));
        }
        let docker = match set("DOCKER_CONFIG") {
            Some(directory) => Some(PathBuf::from(directory)),
            None => super::user_directory(".docker"),
        };
        let docker = docker.map(|directory| directory.join("config.json"));
        let runtime = set("XDG_RUNTIME_DIR")
            .map(|directory| Path::new(&directory).join("containers/auth.json"));
        let own = super::user_directory(".config/containers").map(|path| path.join("auth.json"));
        Self {
            readable: [runtime, own, docker.clone()]
                .into_iter()
                .flatten()
                .collect(),
            writable: docker,
        }
    }

    /// One file for everything.
    #[must_use]
    pub fn in_file(path: &Path) -> Self {
        Self {
            readable: vec![path.to_owned()],
            writable: Some(path.to_owned()),
        }
    }

    /// The credential for repository `path` of `registry`.
    ///
    /// # Errors
    /// A file is malformed, or a helper fails.
    pub fn find(&self, registry: &str, path: &str) -> Result<Option<Credential>> {
        for file in &self.readable {
            let document = read(file)?;
            if let Some(name) = helper_of(&document, registry) {
                let found = program::get(name, &helper_key(registry))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            let found =
                in_auths(&document, registry, path).step(|| format!("read {}", file.display()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Keeps a credential.
    ///
    /// # Errors
    /// The file cannot be read or written, or the helper fails.
    pub fn store(&self, registry: &str, credential: &Credential) -> Result<Keeper> {
        let file = self.writable()?;
        let mut document = read(file)?;
        let key = file_key(registry);
        if let Some(name) = helper_of(&document, registry).map(str::to_owned) {
            program::store(&name, &helper_key(registry), credential)?;
            // As docker does: the name alone says that there is a login.
            section(&mut document, "auths").insert(key, json!({}));
            write(file, &document)?;
            return Ok(Keeper::Helper(name));
        }
        section(&mut document, "auths").insert(key, encode(credential));
        write(file, &document)?;
        Ok(Keeper::File(file.clone()))
    }

    /// Forgets the credentials of a registry, wherever they are; returns where they were.
    ///
    /// # Errors
    /// A file cannot be read or written, or a helper fails.
    pub fn erase(&self, registry: &str) -> Result<Vec<Keeper>> {
        let mut erased = Vec::new();
        for file in &self.readable {
            let mut document = read(file)?;
            if let Some(name) = helper_of(&document, registry)
                && program::get(name, &helper_key(registry))?.is_some()
            {
                program::erase(name, &helper_key(registry))?;
                erased.push(Keeper::Helper(name.to_owned()));
            }
            let Some(auths) = document.get_mut("auths").and_then(Value::as_object_mut) else {
                continue;
            };
            let before = auths.len();
            let is_marker = |value: &Value| value.as_object().is_some_and(Map::is_empty);
            let only_markers = auths
                .iter()
                .filter(|(key, _)| host_of(key) == registry_host(registry))
                .all(|(_, value)| is_marker(value));
            auths.retain(|key, _| host_of(key) != registry_host(registry) || key_has_path(key));
            if auths.len() != before {
                write(file, &document)?;
                if !only_markers {
                    erased.push(Keeper::File(file.clone()));
                }
            }
        }
        Ok(erased)
    }

    fn writable(&self) -> Result<&PathBuf> {
        self.writable.as_ref().ok_or_else(|| {
            Error::new(Kind::System, "there is no place to keep credentials")
                .hint("set HOME, DOCKER_CONFIG or REGISTRY_AUTH_FILE")
        })
    }
}

/// A file that is not there, or empty, knows nothing.
fn read(file: &Path) -> Result<Value> {
    let named = || format!("read {}", file.display());
    let text = match std::fs::read(file) {
        Ok(text) if text.trim_ascii().is_empty() => return Ok(json!({})),
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(json!({})),
        Err(error) => return Err(error).step(named),
    };
    match serde_json::from_slice(&text) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(Error::invalid("it is not a JSON object")).step(named),
        // The text of the error could repeat a secret; its place cannot.
        Err(error) => Err(Error::invalid(format!(
            "malformed JSON at line {} column {}",
            error.line(),
            error.column()
        )))
        .step(named),
    }
}

/// Replaces the file by a rename; only this user can read it.
fn write(file: &Path, document: &Value) -> Result<()> {
    // A symbolic link stays one: its target is replaced.
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let directory = target.parent().unwrap_or_else(|| Path::new("/"));
    let temporary = target.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
        let mut options = std::fs::OpenOptions::new();
        let mut opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let mut text = serde_json::to_vec_pretty(document)?;
        text.push(b'\n');
        opened.write_all(&text)?;
        opened.sync_all()?;
        std::fs::rename(&temporary, &target)
    };
    write()
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        .step(|| format!("write {}", file.display()))
}

fn section<'d>(document: &'d mut Value, name: &str) -> &'d mut Map<String, Value> {
    if !document[name].is_object() {
        document[name] = json!({});
    }
    match &mut document[name] {
        Value::Object(section) => section,
        _ => unreachable!("it was just made an object"),
    }
}

fn helper_of<'d>(document: &'d Value, registry: &str) -> Option<&'d str> {
    let by_host = document.get("credHelpers").and_then(Value::as_object);
    let own = by_host.and_then(|helpers| {
        let mut helpers = helpers.iter();
        helpers.find(|(key, _)| host_of(key) == registry_host(registry))
    });
    let name = match own {
        Some((_, name)) => name.as_str(),
        None => document.get("credsStore").and_then(Value::as_str),
    };
    name.filter(|name| !name.is_empty())
}

/// The entry with the longest path that holds `path` (containers-auth.json(5)).
fn in_auths(document: &Value, registry: &str, path: &str) -> Result<Option<Credential>> {
    let Some(auths) = document.get("auths").and_then(Value::as_object) else {
        return Ok(None);
    };
    let full = format!("{}/{path}", registry_host(registry));
    let matching = auths.iter().filter(|(key, _)| {
        let key = plain_key(key);
        full.strip_prefix(&*key)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    match matching.max_by_key(|(key, _)| plain_key(key).len()) {
        Some((key, value)) => decode(value).step(|| format!("credentials of `{key}`")),
        None => Ok(None),
    }
}

fn encode(credential: &Credential) -> Value {
    match credential {
        Credential::Password { username, password } => {
            json!({"auth": BASE64_STANDARD.encode(format!("{username}:{password}"))})
        }
        Credential::IdentityToken(token) => json!({"identitytoken": token}),
    }
}

fn decode(entry: &Value) -> Result<Option<Credential>> {
    let text = |name| {
        let text = entry.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::IdentityToken(token.to_owned())));
    }
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(Credential::Password {
            username: username.to_owned(),
            password: password.to_owned(),
        }));
    }
    let Some(auth) = text("auth") else {
        return Ok(None);
    };
    let decoded = BASE64_STANDARD.decode(auth).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((username, password)) => Ok(Some(Credential::Password {
            username: username.to_owned(),
            // Docker once padded with zero bytes.
            password: password.trim_end_matches('\0').to_owned(),
        })),
        None => Err(Error::invalid(
            "`auth` is not user:password in base64; log in again",
        )),
    }
}

/// Without the scheme and version that old files have around the host.
fn plain_key(key: &str) -> String {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.trim_end_matches('/');
    let key = ["/v1", "/v2"]
        .iter()
        .find_map(|version| key.strip_suffix(version))
        .unwrap_or(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    match path {
        "" => registry_host(host).to_owned(),
        path => format!("{}/{path}", registry_host(host)),
    }
}

fn host_of(key: &str) -> String {
    let key = plain_key(key);
    key.split('/').next().unwrap_or_default().to_owned()
}

fn key_has_path(key: &str) -> bool {
    plain_key(key).contains('/')
}

/// One name for docker.io's many.
fn registry_host(registry: &str) -> &str {
    match registry {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

fn file_key(registry: &str) -> String {
    match registry_host(registry) {
        "docker.io" => DOCKER_KEY.to_owned(),
        other => other.to_owned(),
    }
}

fn helper_key(registry: &str) -> String {
    file_key(registry)
}

#[cfg(test)]
mod tests;
