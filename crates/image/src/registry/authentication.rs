//! What a registry wants to know about us, and how to prove it.
//!
//! ```text
//!  request ──▶ registry ──401 WWW-Authenticate──▶ challenge
//!     Basic    user:password in the header of every request
//!     Bearer   realm, service, scope ──▶ token server ──▶ token, kept until it expires
//! ```
//!
//! The token protocol is docker's (distribution, spec/auth): GET with name and password, or POST as
//! OAuth 2 with an identity token. Tokens are kept per registry and scope, so that the many
//! requests of one pull ask once. Start at [`parse_challenges`] and [`Sessions::header`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::credentials::Credential;

/// A token without a lifetime is good for this long (distribution, spec/auth/token.md).
const LIFETIME_DEFAULT_SECONDS: u64 = 60;
/// A token is not used in its last moments: the request takes time, and clocks differ.
const LIFETIME_MARGIN_SECONDS: u64 = 10;
const CLIENT_ID: &str = "insula";

/// What is to be done with a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scope {
    pub(crate) repository: String,
    pub(crate) actions: &'static str,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repository:{}:{}", self.repository, self.actions)
    }
}

/// One way in that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// A value of `Authorization` and how long it may be used.
#[derive(Clone)]
pub(crate) struct Proof {
    value: String,
    good_until: Option<Instant>,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// The proofs that a client has, by registry and scope.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<(String, Vec<Scope>), Proof>>);

impl Sessions {
    /// What to send along, when something is known to work.
    pub(crate) fn header(&self, host: &str, scopes: &[Scope]) -> Option<String> {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = proofs.get(&(host.to_owned(), scopes.to_vec()))?;
        let is_good = proof.good_until.is_none_or(|until| Instant::now() < until);
        is_good.then(|| proof.value.clone())
    }

    pub(crate) fn keep(&self, host: &str, scopes: &[Scope], proof: Proof) {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.insert((host.to_owned(), scopes.to_vec()), proof);
    }
}

/// The value of `Authorization` for the Basic scheme (RFC 7617).
pub(crate) fn basic(username: &str, password: &str) -> String {
    let pair = BASE64_STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {pair}")
}

impl Proof {
    pub(crate) fn basic(username: &str, password: &str) -> Self {
        Self {
            value: basic(username, password),
            good_until: None,
        }
    }

    /// From what a token server answers.
    pub(crate) fn from_answer(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let answer: Answer = serde_json::from_slice(json).ok()?;
        let tokens = [answer.token, answer.access_token];
        let token = tokens
            .into_iter()
            .flatten()
            .find(|token| !token.is_empty())?;
        let is_plain = |byte: u8| byte.is_ascii_graphic();
        if !token.bytes().all(is_plain) {
            return None;
        }
        let seconds = answer.expires_in.unwrap_or(LIFETIME_DEFAULT_SECONDS);
        let margin = LIFETIME_MARGIN_SECONDS.min(seconds / 2);
        let lifetime = Duration::from_secs((seconds - margin).min(86_400));
        Some(Self {
            value: format!("Bearer {token}"),
            good_until: Some(Instant::now() + lifetime),
        })
    }

    pub(crate) fn into_value(self) -> String {
        self.value
    }
}

/// How a token is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenRequest {
    /// With the query in the address, and the Basic header when there is a password.
    Get {
        address: String,
        basic: Option<String>,
    },
    /// With a form as body.
    Post { address: String, form: String },
}

/// The request for a token: what the challenge names and what we know we need.
pub(crate) fn token_request(
    realm: &str,
    service: Option<&str>,
    scopes: &[String],
    credential: Option<&Credential>,
) -> TokenRequest {
    let service = service.unwrap_or_default();
    if let Some(Credential::IdentityToken(token)) = credential {
        let fields = [
            ("grant_type", "refresh_token"),
            ("service", service),
            ("client_id", CLIENT_ID),
            ("scope", &scopes.join(" ")),
            ("refresh_token", token),
        ];
        let fields = fields.map(|(name, value)| format!("{name}={}", encoded(value)));
        return TokenRequest::Post {
            address: realm.to_owned(),
            form: fields.join("&"),
        };
    }
    let mut query = Vec::new();
    if !service.is_empty() {
        query.push(format!("service={}", encoded(service)));
    }
    query.extend(
        scopes
            .iter()
            .map(|scope| format!("scope={}", encoded(scope))),
    );
    let mut basic_header = None;
    if let Some(Credential::Password { username, password }) = credential {
        query.push(format!("account={}", encoded(username)));
        basic_header = Some(basic(username, password));
    }
    let joint = if realm.contains('?') { '&' } else { '?' };
    TokenRequest::Get {
        address: format!("{realm}{joint}{}", query.join("&")),
        basic: basic_header,
    }
}

/// Every scope once: those we need, and those the registry asked for.
pub(crate) fn wanted_scopes(needed: &[Scope], asked: Option<&str>) -> Vec<String> {
    let mut scopes: Vec<String> = needed.iter().map(ToString::to_string).collect();
    for scope in asked.unwrap_or_default().split(' ') {
        if !scope.is_empty() && !covers(&scopes, scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// Whether one of `scopes` has the same resource and at least the same actions.
fn covers(scopes: &[String], asked: &str) -> bool {
    let Some((resource, actions)) = asked.rsplit_once(':') else {
        return scopes.iter().any(|scope| scope == asked);
    };
    scopes.iter().any(|scope| {
        scope.rsplit_once(':').is_some_and(|(name, given)| {
            let given: Vec<&str> = given.split(',').collect();
            name == resource && actions.split(',').all(|action| given.contains(&action))
        })
    })
}

/// Percent-encoded for a query or a form (RFC 3986, 2.3; a space is `%20`).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// All challenges of a `WWW-Authenticate` header (RFC 9110, 11.6.1). Schemes that are not known
/// and what cannot be understood are left out.
pub(crate) fn parse_challenges(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut scheme = String::new();
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let (word, after) = split_word(rest);
        if word.is_empty() {
            // Not a word here: skip what it is, by whole characters.
            rest = after.trim_start_matches([',', ' ']);
            let mut characters = rest.chars();
            if rest.len() == after.len() && characters.next().is_some() {
                rest = characters.as_str();
            }
            continue;
        }
        if let Some(after) = after.trim_start().strip_prefix('=') {
            let (text, after) = split_value(after.trim_start());
            parameters.push((word.to_ascii_lowercase(), text));
            rest = after.trim_start_matches([',', ' ']);
        } else {
            challenges.extend(challenge(&scheme, &parameters));
            parameters.clear();
            scheme = word.to_ascii_lowercase();
            rest = after.trim_start_matches([',', ' ']);
        }
    }
    challenges.extend(challenge(&scheme, &parameters));
    challenges
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let parameter = |wanted: &str| {
        let mut found = parameters.iter().filter(|(name, _)| name == wanted);
        found.next().map(|(_, value)| value.clone())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        }),
        _ => None,
    }
}

/// A token (RFC 9110, 5.6.2) and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A token or a quoted string without its quotes, and what follows it.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = split_word(text);
        return (word.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests;
