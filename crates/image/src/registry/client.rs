//! Requests to registries, with everything around them: scheme, credentials, redirects, retries.
//!
//! ```text
//!  exchange ─▶ attempt ─▶ authorized ─▶ follow ─▶ Transport::send
//!     │           │           │            └ redirects; another host sees no credentials
//!     │           │           └ 401: answer the challenge, once
//!     │           └ which scheme: https, or what a local registry turns out to speak
//!     └ again after a pause when the failure may pass
//! ```

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ureq::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use ureq::{Body, http};

use super::authentication::{
    Challenge, Proof, Scope, Sessions, TokenRequest, parse_challenges, token_request, wanted_scopes,
};
use super::certificates::Certificates;
use super::configuration::{Configuration, Endpoint, api_host};
use super::credentials::{Credential, Credentials};
use super::proxy::Proxies;
use super::retry::{Attempts, Cancel, retry_after};
use super::transport::{Failed, Origin, Payload, Transport};
use crate::error::{Error, Kind, Result};

const REDIRECTS_MAX: usize = 8;
const TOKEN_BYTES_MAX: u64 = 1 << 20;
const ERROR_BYTES_MAX: u64 = 64 << 10;
/// Of what a registry says in an error, this much is shown.
const ERROR_TEXT_MAX: usize = 300;
const RETRIES_DEFAULT: u32 = 5;
/// What is lost at most when an upload is cut.
const PIECE_BYTES_DEFAULT: u64 = 64 << 20;

/// How to speak with registries.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    pub configuration: Configuration,
    pub credentials: Credentials,
    /// `Some(false)` takes any certificate, and plain HTTP; `Some(true)` takes neither, whatever is
    /// configured.
    pub tls_verify: Option<bool>,
    /// Certificates for the registry, instead of those in `certs.d`.
    pub certificates: Option<PathBuf>,
    /// How often a failed request is tried again.
    pub retries: u32,
    /// Blobs are uploaded in pieces of this size.
    pub piece_bytes: u64,
    pub cancel: Cancel,
}

impl Default for ClientOptions {
    /// Nothing configured, nobody known.
    fn default() -> Self {
        Self {
            configuration: Configuration::default(),
            credentials: Credentials::default(),
            tls_verify: None,
            certificates: None,
            retries: RETRIES_DEFAULT,
            piece_bytes: PIECE_BYTES_DEFAULT,
            cancel: Cancel::default(),
        }
    }
}

impl ClientOptions {
    /// What this host and this user have configured.
    ///
    /// # Errors
    /// `registries.conf` is malformed.
    pub fn load() -> Result<Self> {
        Ok(Self {
            configuration: Configuration::load()?,
            credentials: Credentials::from_environment(),
            ..Self::default()
        })
    }
}

/// A client of any number of registries. Threads share it.
#[derive(Debug)]
pub struct Client {
    pub(crate) options: ClientOptions,
    transport: Transport,
    sessions: Sessions,
    /// Whether a host speaks TLS, for those that need not.
    schemes: Mutex<HashMap<String, bool>>,
    /// Hosts that answered: their failures are passing ones.
    reached: Mutex<HashSet<Origin>>,
    /// A credential that is being tried, for its registry alone.
    trial: Option<(String, Credential)>,
}

/// One request.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Below `/v2/`, or a whole address that the registry gave.
    pub(crate) target: Target<'a>,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) payload: Payload<'a>,
    pub(crate) scopes: Vec<Scope>,
}

pub(crate) enum Target<'a> {
    Path(&'a str),
    Address(&'a Uri),
}

/// An answer, and the address that gave it.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) address: Uri,
}

/// What came of [`Client::fetch`].
pub(crate) enum Fetched {
    Body(HeaderMap, Vec<u8>),
    Refused(Answer),
}

impl Client {
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let certificates = Certificates::new(options.certificates.clone());
        Self {
            transport: Transport::new(certificates, Proxies::from_environment()),
            options,
            sessions: Sessions::default(),
            schemes: Mutex::default(),
            reached: Mutex::default(),
            trial: None,
        }
    }

    /// Checks a credential against a registry, as `login` does before it keeps one.
    ///
    /// # Errors
    /// The registry cannot be reached or refuses the credential.
    pub fn check_login(mut self, registry: &str, credential: &Credential) -> Result<()> {
        let endpoint = self.endpoint_of(registry);
        self.trial = Some((endpoint.host.clone(), credential.clone()));
        let answer = self.exchange(&endpoint, &Call::get("/v2/"))?;
        match answer.response.status() {
            status if status.is_success() => Ok(()),
            _ => Err(answer.into_error(&endpoint, "log in")),
        }
    }

    /// A registry without a repository.
    fn endpoint_of(&self, registry: &str) -> Endpoint {
        Endpoint {
            host: api_host(registry).to_owned(),
            path: String::new(),
            insecure: self.options.configuration.is_insecure(registry),
            is_mirror: false,
        }
    }

    /// Sends a request until there is an answer that is not a passing failure.
    ///
    /// # Errors
    /// There is none after all attempts, or the client was cancelled.
    pub(crate) fn exchange(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Answer> {
        self.exchange_with(endpoint, call, &Ok)
    }

    /// The same with the whole body of a good answer, which may be cut and come again.
    ///
    /// # Errors
    /// As above, or the body is longer than `limit`.
    pub(crate) fn fetch(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<Fetched> {
        self.exchange_with(endpoint, call, &|answer| {
            if !answer.status().is_success() {
                return Ok(Fetched::Refused(answer));
            }
            let headers = answer.response.headers().clone();
            let body = read_body(answer.response, limit)?;
            Ok(Fetched::Body(headers, body))
        })
    }

    fn exchange_with<T>(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        finish: &dyn Fn(Answer) -> Result<T, Failed>,
    ) -> Result<T> {
        let mut attempts = Attempts::new(self.options.retries);
        loop {
            self.options.cancel.check()?;
            let failed = match self.attempt(endpoint, call).and_then(finish) {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            // An answer that was cut by the cancelling is not the registry's fault.
            self.options.cancel.check()?;
            let asked = match &failed {
                Failed::Busy { retry_after, .. } => *retry_after,
                _ => None,
            };
            let is_hopeless = failed.is_absent() && !self.has_answered(endpoint);
            let wait = if failed.is_passing() && !is_hopeless {
                attempts.next_wait(asked)
            } else {
                None
            };
            match wait {
                Some(wait) => self.options.cancel.wait(wait)?,
                None => return Err(failed.explain(endpoint.display_host())),
            }
        }
    }

    /// Sends a request once. An answer that says "not now" is a failure.
    pub(crate) fn attempt(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Answer, Failed> {
        let address = match call.target {
            Target::Address(address) => address.clone(),
            Target::Path(path) => self.address(endpoint, path)?,
        };
        let answer = self.authorized(endpoint, call, &address)?;
        let status = answer.response.status();
        let is_busy = matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504);
        if !is_busy {
            return Ok(answer);
        }
        let asked = answer.header(&header::RETRY_AFTER).and_then(retry_after);
        Err(Failed::Busy {
            status: status.as_u16(),
            retry_after: asked,
            text: error_text(answer.response),
        })
    }

    /// The address of a path below the registry's root.
    fn address(&self, endpoint: &Endpoint, path: &str) -> Result<Uri, Failed> {
        let scheme = if self.speaks_tls(endpoint)? {
            "https"
        } else {
            "http"
        };
        parse_address(&format!("{scheme}://{}{path}", endpoint.host)).map_err(Failed::Final)
    }

    /// Whether unknown certificates and plain HTTP are refused there.
    fn verifies(&self, endpoint: &Endpoint) -> bool {
        self.options.tls_verify.unwrap_or(!endpoint.insecure)
    }

    /// TLS for every host, except that one which is known to be insecure, or is this machine, may
    /// turn out to speak plain HTTP: as docker does, TLS is tried first.
    fn speaks_tls(&self, endpoint: &Endpoint) -> Result<bool, Failed> {
        let is_strict = self.options.tls_verify == Some(true);
        let may_be_plain = !self.verifies(endpoint) || is_this_machine(&endpoint.host);
        if is_strict || !may_be_plain {
            return Ok(true);
        }
        let lock = || self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&endpoint.host) {
            return Ok(*known);
        }
        let speaks_tls = match self.probe(endpoint, "https") {
            Ok(()) => true,
            Err(failed) if failed.is_certificate() => return Err(failed),
            Err(Failed::Final(error)) => return Err(Failed::Final(error)),
            Err(_) => {
                self.probe(endpoint, "http")?;
                false
            }
        };
        lock().insert(endpoint.host.clone(), speaks_tls);
        Ok(speaks_tls)
    }

    fn probe(&self, endpoint: &Endpoint, scheme: &str) -> Result<(), Failed> {
        let address = parse_address(&format!("{scheme}://{}/v2/", endpoint.host))?;
        let request = Request::get(&address).body(()).map_err(malformed)?;
        let verify = self.verifies(endpoint);
        let response = self.transport.send(request, Payload::None, verify)?;
        // Go's servers answer so when they speak TLS and are spoken to without.
        if scheme == "http" && response.status() == StatusCode::BAD_REQUEST {
            return Err(Failed::Final(Error::new(
                Kind::Unreachable,
                format!("registry {} does not speak plain HTTP", endpoint.host),
            )));
        }
        Ok(())
    }

    /// Sends with what is known to be wanted, and once more when the registry wants more.
    fn authorized(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        address: &Uri,
    ) -> Result<Answer, Failed> {
        // Where a registry points us to, by a redirect or for an upload, is not the registry.
        let registry = Origin::of(&self.address(endpoint, "/")?)?;
        if Origin::of(address)? != registry {
            return self.follow(endpoint, call, address, None);
        }
        let known = self.sessions.header(&endpoint.host, &call.scopes);
        let answer = self.follow(endpoint, call, address, known.as_deref())?;
        let is_registry = Origin::of(&answer.address)? == registry;
        if answer.response.status() != StatusCode::UNAUTHORIZED || !is_registry {
            return Ok(answer);
        }
        let values = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges: Vec<Challenge> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(parse_challenges)
            .collect();
        let Some(proof) = self.prove(endpoint, call, &challenges)? else {
            return Ok(answer);
        };
        let value = proof.clone().into_value();
        let second = self.follow(endpoint, call, address, Some(&value))?;
        if second.response.status() != StatusCode::UNAUTHORIZED {
            self.sessions.keep(&endpoint.host, &call.scopes, proof);
        }
        Ok(second)
    }

    fn credential(&self, endpoint: &Endpoint) -> Result<Option<Credential>> {
        match &self.trial {
            Some((host, credential)) if *host == endpoint.host => Ok(Some(credential.clone())),
            Some(_) => Ok(None),
            None => self
                .options
                .credentials
                .find(endpoint.display_host(), &endpoint.path),
        }
    }

    /// Answers a challenge; `None` when we have nothing to answer with.
    fn prove(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        challenges: &[Challenge],
    ) -> Result<Option<Proof>, Failed> {
        let credential = self.credential(endpoint)?;
        // A token says less about us than a password, so it is preferred.
        let mut by_token = challenges.iter().filter_map(|challenge| match challenge {
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => Some((realm, service, scope)),
            Challenge::Basic => None,
        });
        if let Some((realm, service, scope)) = by_token.next() {
            let scopes = wanted_scopes(&call.scopes, scope.as_deref());
            let request = token_request(realm, service.as_deref(), &scopes, credential.as_ref());
            return self.fetch_token(endpoint, realm, request).map(Some);
        }
        if !challenges.contains(&Challenge::Basic) {
            return Ok(None);
        }
        match credential {
            Some(Credential::Password { username, password }) => {
                Ok(Some(Proof::basic(&username, &password)))
            }
            _ => Ok(None),
        }
    }

    fn fetch_token(
        &self,
        endpoint: &Endpoint,
        realm: &str,
        request: TokenRequest,
    ) -> Result<Proof, Failed> {
        self.check_realm(endpoint, realm)?;
        let (address, authorization, form) = match request {
            TokenRequest::Get { address, basic } => (address, basic, None),
            TokenRequest::Post { address, form } => (address, None, Some(form)),
        };
        let address = parse_address(&address)?;
        let mut call = Call {
            method: Method::GET,
            target: Target::Address(&address),
            headers: Vec::new(),
            payload: Payload::None,
            scopes: Vec::new(),
        };
        if let Some(form) = &form {
            call.method = Method::POST;
            call.payload = Payload::Bytes(form.as_bytes());
            let kind = "application/x-www-form-urlencoded".to_owned();
            call.headers.push((header::CONTENT_TYPE, kind));
        }
        let answer = self.follow(endpoint, &call, &address, authorization.as_deref())?;
        let status = answer.response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let asked = answer.header(&header::RETRY_AFTER).and_then(retry_after);
            return Err(Failed::Busy {
                status: status.as_u16(),
                retry_after: asked,
                text: "its token server is busy".to_owned(),
            });
        }
        if !status.is_success() {
            return Err(Failed::Final(answer.into_error(endpoint, "get a token")));
        }
        let json = read_body(answer.response, TOKEN_BYTES_MAX)?;
        Proof::from_answer(&json).ok_or_else(|| {
            let host = endpoint.display_host();
            let what = format!("the token server of {host} answers without a token");
            Failed::Final(Error::new(Kind::Unreachable, what))
        })
    }

    /// A password goes to a token server over TLS, or within this machine, or where the user said
    /// that it does not matter.
    fn check_realm(&self, endpoint: &Endpoint, realm: &str) -> Result<()> {
        let address = parse_address(realm)?;
        let origin = Origin::of(&address)?;
        let is_plain_fine = !self.verifies(endpoint) || is_this_machine(&origin.host);
        if origin.is_tls || is_plain_fine {
            return Ok(());
        }
        let host = endpoint.display_host();
        Err(Error::new(
            Kind::Denied,
            format!("registry {host} wants credentials sent without encryption to {realm}"),
        )
        .hint("if that is right, --tls-verify=false allows it"))
    }

    /// Sends, and goes where the answers point. Credentials stay with the first origin.
    fn follow(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        start: &Uri,
        authorization: Option<&str>,
    ) -> Result<Answer, Failed> {
        let origin = Origin::of(start)?;
        let mut address = start.clone();
        for _ in 0..REDIRECTS_MAX {
            let here = Origin::of(&address)?;
            let may_know = authorization.filter(|_| here == origin);
            let request = request(call, &address, may_know)?;
            let verify = if here.host == origin.host {
                self.verifies(endpoint)
            } else {
                let registry = format!("{}:{}", here.host, here.port);
                let configured = || !self.options.configuration.is_insecure(&registry);
                self.options.tls_verify.unwrap_or_else(configured)
            };
            let response = self.transport.send(request, call.payload, verify)?;
            self.note_answer(here.clone());
            let Some(next) = redirect(&response, &address)? else {
                return Ok(Answer { response, address });
            };
            let is_downgrade = here.is_tls && !Origin::of(&next)?.is_tls;
            if is_downgrade && self.verifies(endpoint) {
                return Err(Failed::Final(Error::new(
                    Kind::Denied,
                    format!("registry {} points from https to {next}", here.host),
                )));
            }
            address = next;
        }
        let host = endpoint.display_host();
        let what = format!("registry {host} redirects more than {REDIRECTS_MAX} times");
        Err(Failed::Final(Error::new(Kind::Unreachable, what)))
    }

    fn note_answer(&self, origin: Origin) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.insert(origin);
    }

    fn has_answered(&self, endpoint: &Endpoint) -> bool {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        ["https", "http"].iter().any(|scheme| {
            let address = parse_address(&format!("{scheme}://{}/", endpoint.host));
            let origin = address.and_then(|address| Origin::of(&address));
            origin.is_ok_and(|origin| reached.contains(&origin))
        })
    }
}

impl Call<'_> {
    /// A request for `path` that needs no scope.
    pub(crate) fn get(path: &str) -> Call<'_> {
        Call {
            method: Method::GET,
            target: Target::Path(path),
            headers: Vec::new(),
            payload: Payload::None,
            scopes: Vec::new(),
        }
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// What an unwelcome status means.
    pub(crate) fn into_error(self, endpoint: &Endpoint, what: &str) -> Error {
        let status = self.response.status();
        let host = endpoint.display_host().to_owned();
        let text = error_text(self.response);
        let said = if text.is_empty() {
            format!("{what}: registry {host} answers {status}")
        } else {
            format!("{what}: registry {host} answers {status}: {text}")
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::new(Kind::Denied, said).hint(format!("log in: insula login {host}"))
            }
            StatusCode::NOT_FOUND => Error::new(Kind::NotFound, said),
            _ => Error::new(Kind::Unreachable, said),
        }
    }
}

fn request(
    call: &Call<'_>,
    address: &Uri,
    authorization: Option<&str>,
) -> Result<Request<()>, Failed> {
    let mut builder = Request::builder().method(&call.method).uri(address);
    for (name, value) in &call.headers {
        builder = builder.header(name, value);
    }
    if let Some(value) = authorization {
        let mut value = HeaderValue::from_str(value).map_err(malformed)?;
        value.set_sensitive(true);
        builder = builder.header(header::AUTHORIZATION, value);
    }
    builder.body(()).map_err(malformed)
}

/// Where the answer points, when it is a redirect of the kind that keeps the method.
fn redirect(response: &Response<Body>, from: &Uri) -> Result<Option<Uri>, Failed> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    match location {
        Some(location) => Ok(Some(join(from, location)?)),
        None => Ok(None),
    }
}

/// Resolves what a `Location` header says (RFC 3986, 5.2, without dot segments).
pub(crate) fn join(base: &Uri, location: &str) -> Result<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") {
        return parse_address(location);
    }
    let scheme = base.scheme_str().unwrap_or("https");
    let authority = base.authority().map_or("", http::uri::Authority::as_str);
    let path = base.path();
    let joined = if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{path}{location}")
    } else {
        let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
        format!("{scheme}://{authority}{directory}{location}")
    };
    parse_address(&joined)
}

pub(crate) fn parse_address(text: &str) -> Result<Uri> {
    text.parse()
        .map_err(|error| Error::invalid(format!("`{text}` is not an address: {error}")))
}

fn malformed(error: impl ToString) -> Failed {
    Failed::Final(Error::invalid(error.to_string()))
}

/// Names and addresses of this machine.
fn is_this_machine(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = bare.parse::<std::net::IpAddr>();
    bare == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn read_body(response: Response<Body>, limit: u64) -> Result<Vec<u8>, Failed> {
    // One byte more than allowed tells the two apart.
    let config = response.into_body().into_with_config().limit(limit + 1);
    let bytes = config.read_to_vec().map_err(Failed::Transport)?;
    if bytes.len() as u64 > limit {
        let what = format!("the answer is longer than {limit} bytes");
        return Err(Failed::Final(Error::invalid(what)));
    }
    Ok(bytes)
}

/// What a registry says about an error, short and without control characters.
fn error_text(response: Response<Body>) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(body) = read_body(response, ERROR_BYTES_MAX) else {
        return String::new();
    };
    let Ok(said) = serde_json::from_slice::<Said>(&body) else {
        return String::new();
    };
    let texts = said.errors.into_iter().map(|one| match one {
        One { code, message } if message.is_empty() => code,
        One { message, .. } => message,
    });
    let text = texts.collect::<Vec<String>>().join("; ");
    let printable = text.chars().filter(|character| !character.is_control());
    printable.take(ERROR_TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_every_form() {
        let base = parse_address("https://h:5000/v2/a/blobs/uploads/x?y=1").unwrap();
        for (location, expected) in [
            ("http://o/p?q", "http://o/p?q"),
            ("//o/p", "https://o/p"),
            ("/v2/z?w=2#f", "https://h:5000/v2/z?w=2"),
            ("?k=v", "https://h:5000/v2/a/blobs/uploads/x?k=v"),
            ("next", "https://h:5000/v2/a/blobs/uploads/next"),
        ] {
            assert_eq!(join(&base, location).unwrap(), expected, "{location}");
        }
        assert!(join(&base, "http://\u{7f}").is_err());
    }

    #[test]
    fn this_machine_has_many_names() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example",
            "10.0.0.1:5000",
            "[fd00::1]",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
