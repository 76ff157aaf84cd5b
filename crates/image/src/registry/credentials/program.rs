//! The protocol of docker's credential helpers: a program, one word, a host or JSON on its input.
//!
//! The helper is a program that the user named in a configuration file: nothing is run that nobody
//! asked for, and Insula works without any.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::Credential;
use crate::error::{Context, Error, Kind, Result};

/// What the helpers of docker-credential-helpers say when they have nothing, with exit code 1.
const NOTHING: [&str; 2] = [
    "credentials not found in native keychain",
    "no credentials server URL",
];
/// The user name under which a helper keeps an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper for the credential of `server`.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Credential>> {
    let Some(answer) = call(name, "get", server.as_bytes())? else {
        return Ok(None);
    };
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_secret| {
        Error::new(
            Kind::System,
            format!("docker-credential-{name} get: the answer is not what a helper says"),
        )
    })?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(match answer.username {
        username if username == TOKEN_USER => Credential::IdentityToken(answer.secret),
        username => Credential::Password {
            username,
            password: answer.secret,
        },
    }))
}

/// Gives a credential to a helper.
pub(super) fn store(name: &str, server: &str, credential: &Credential) -> Result<()> {
    let (username, secret) = match credential {
        Credential::Password { username, password } => (username.as_str(), password),
        Credential::IdentityToken(token) => (TOKEN_USER, token),
    };
    let request = json!({"ServerURL": server, "Username": username, "Secret": secret});
    call(name, "store", request.to_string().as_bytes()).map(drop)
}

/// Takes a credential from a helper.
pub(super) fn erase(name: &str, server: &str) -> Result<()> {
    call(name, "erase", server.as_bytes()).map(drop)
}

/// `None` when the helper says that it has nothing.
fn call(name: &str, verb: &str, input: &[u8]) -> Result<Option<Vec<u8>>> {
    let program = format!("docker-credential-{name}");
    if name.contains('/') {
        return Err(Error::invalid(format!("`{name}` is not a helper's name")));
    }
    let step = || format!("run {program} {verb}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .step(step)
        .map_err(|error| error.hint("docker's config.json names this helper: is it in PATH?"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input says why by its exit code.
        drop(stdin.write_all(input));
    }
    let output = child.wait_with_output().step(step)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.trim();
    if NOTHING.iter().any(|nothing| said.contains(nothing)) {
        return Ok(None);
    }
    Err(Error::new(
        Kind::System,
        format!("{program} {verb} failed: {said}"),
    ))
}
