//! One repository of one registry: its manifests, tags and referrers (distribution-spec, API).

use std::sync::Arc;

use serde::Deserialize;
use ureq::http::{HeaderName, Method, StatusCode, header};

use super::authentication::{Scope, encoded};
use super::client::{Answer, Call, Client, Fetched, Target, join, parse_address};
use super::configuration::Endpoint;
use super::manifest::{self, ACCEPTED, Document};
use super::transport::Payload;
use crate::config::Descriptor;
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::reference::Reference;

/// As registries themselves limit manifests (distribution-spec, pushing manifests).
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const LIST_BYTES_MAX: u64 = 4 << 20;
/// Pages of a list that are followed.
const PAGES_MAX: usize = 1000;

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Gets a page of a list, and which filters were applied to it.
type TakePage<'t> = dyn FnMut(&[u8], Option<&str>) -> Result<()> + 't;

/// A repository and the right to read or write it.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) client: Arc<Client>,
    pub(crate) endpoint: Endpoint,
    actions: &'static str,
}

/// A manifest whose digest is checked.
#[derive(Debug, Clone)]
pub(crate) struct FetchedManifest {
    pub(crate) json: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) document: Document,
}

impl Repository {
    pub(crate) fn to_pull(client: Arc<Client>, endpoint: Endpoint) -> Self {
        Self {
            client,
            endpoint,
            actions: "pull",
        }
    }

    pub(crate) fn to_push(client: Arc<Client>, endpoint: Endpoint) -> Self {
        Self {
            client,
            endpoint,
            actions: "pull,push",
        }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.endpoint.path)
    }

    pub(crate) fn scopes(&self) -> Vec<Scope> {
        vec![Scope {
            repository: self.endpoint.path.clone(),
            actions: self.actions,
        }]
    }

    /// A request for this repository without a body.
    pub(crate) fn call<'a>(&self, method: Method, target: Target<'a>) -> Call<'a> {
        Call {
            method,
            target,
            headers: Vec::new(),
            payload: Payload::None,
            scopes: self.scopes(),
        }
    }

    pub(crate) fn exchange(&self, call: &Call<'_>) -> Result<Answer> {
        self.client.exchange(&self.endpoint, call)
    }

    /// The manifest by tag or digest. A digest in the reference wins.
    ///
    /// # Errors
    /// There is none, it is not what its digest says, or it is not a manifest.
    pub(crate) fn manifest(&self, reference: &Reference) -> Result<FetchedManifest> {
        let wanted = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.tag().unwrap_or("latest").to_owned(),
        };
        self.manifest_by(&wanted, reference.digest())
    }

    pub(crate) fn manifest_by(
        &self,
        wanted: &str,
        digest: Option<&Digest>,
    ) -> Result<FetchedManifest> {
        let path = self.path(&format!("manifests/{wanted}"));
        let mut call = self.call(Method::GET, Target::Path(&path));
        call.headers.push((header::ACCEPT, ACCEPTED.join(", ")));
        let what = || format!("manifest of {}:{wanted}", self.endpoint.path);
        let fetched = self.client.fetch(&self.endpoint, &call, MANIFEST_BYTES_MAX);
        let (headers, json) = match fetched.step(what)? {
            Fetched::Body(headers, json) => (headers, json),
            Fetched::Refused(answer) => return Err(answer.into_error(&self.endpoint, &what())),
        };
        let found = Digest::of(&json);
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let promised = text(&CONTENT_DIGEST).and_then(|text| text.parse().ok());
        for expected in digest.iter().copied().chain(promised.as_ref()) {
            if *expected != found {
                return Err(Error::invalid(format!(
                    "{}: the registry sent {found} instead of {expected}",
                    what()
                )));
            }
        }
        let media_type = manifest::media_type(&json, text(&header::CONTENT_TYPE)).step(what)?;
        let document = manifest::parse(&json, &media_type).step(what)?;
        Ok(FetchedManifest {
            json,
            digest: found,
            media_type,
            document,
        })
    }

    /// The digest that a tag has there, without fetching the manifest; `None` when there is none.
    ///
    /// # Errors
    /// The registry does not answer, or refuses.
    pub(crate) fn manifest_digest(&self, wanted: &str) -> Result<Option<Digest>> {
        let path = self.path(&format!("manifests/{wanted}"));
        let mut call = self.call(Method::HEAD, Target::Path(&path));
        call.headers.push((header::ACCEPT, ACCEPTED.join(", ")));
        let answer = self.exchange(&call)?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                let digest = answer.header(&CONTENT_DIGEST);
                Ok(digest.and_then(|digest| digest.parse().ok()))
            }
            _ => Err(answer.into_error(&self.endpoint, "look at the manifest")),
        }
    }

    /// Puts a manifest under a tag or its digest.
    ///
    /// # Errors
    /// The registry refuses it, or took it for another.
    pub(crate) fn put_manifest(&self, name: &str, media_type: &str, json: &[u8]) -> Result<Digest> {
        let path = self.path(&format!("manifests/{name}"));
        let mut call = self.call(Method::PUT, Target::Path(&path));
        call.headers
            .push((header::CONTENT_TYPE, media_type.to_owned()));
        call.payload = Payload::Bytes(json);
        let answer = self.exchange(&call)?;
        let digest = Digest::of(json);
        if !answer.status().is_success() {
            return Err(answer.into_error(&self.endpoint, "push the manifest"));
        }
        let stored = answer.header(&CONTENT_DIGEST);
        match stored.and_then(|text| text.parse::<Digest>().ok()) {
            Some(stored) if stored != digest => Err(Error::new(
                Kind::Unreachable,
                format!("the registry keeps the manifest {digest} as {stored}"),
            )),
            _ => Ok(digest),
        }
    }

    /// Every tag, in the registry's order.
    ///
    /// # Errors
    /// The registry does not answer or refuses.
    pub(crate) fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        self.pages(&self.path("tags/list"), &mut |json, _| {
            let page: Page = serde_json::from_slice(json)
                .map_err(|error| Error::invalid(format!("the list of tags: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            Ok(())
        })?;
        Ok(tags)
    }

    /// What refers to a manifest: signatures, attestations and the like (distribution-spec,
    /// listing referrers). Registries without that API keep them under a tag of the digest.
    ///
    /// # Errors
    /// The registry does not answer, refuses, or lists something malformed.
    pub(crate) fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let query = artifact_type.map(|kind| format!("?artifactType={}", encoded(kind)));
        let path = self.path(&format!("referrers/{digest}{}", query.unwrap_or_default()));
        let mut found = Vec::new();
        let mut filtered = false;
        let listed = self.pages(&path, &mut |json, filters| {
            found.extend(read_referrers(json)?);
            filtered |= filters.is_some_and(|filters| filters.contains("artifactType"));
            Ok(())
        });
        match listed {
            Err(error) if error.kind() == Kind::NotFound => {
                found = self.referrers_by_tag(digest)?;
            }
            other => other?,
        }
        if let Some(kind) = artifact_type
            && !filtered
        {
            found.retain(|descriptor| artifact_type_of(descriptor) == Some(kind));
        }
        Ok(found)
    }

    fn referrers_by_tag(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let path = self.path(&format!("manifests/sha256-{}", digest.hex()));
        let mut call = self.call(Method::GET, Target::Path(&path));
        call.headers.push((header::ACCEPT, ACCEPTED.join(", ")));
        match self.client.fetch(&self.endpoint, &call, LIST_BYTES_MAX)? {
            Fetched::Body(_, json) => read_referrers(&json),
            Fetched::Refused(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(Vec::new()),
            Fetched::Refused(answer) => Err(answer.into_error(&self.endpoint, "list referrers")),
        }
    }

    /// Reads a list of any number of pages.
    fn pages(&self, path: &str, take: &mut TakePage<'_>) -> Result<()> {
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let place = next.as_deref().unwrap_or(path);
            let call = self.call(Method::GET, Target::Path(place));
            let fetched = self.client.fetch(&self.endpoint, &call, LIST_BYTES_MAX)?;
            let (headers, json) = match fetched {
                Fetched::Body(headers, json) => (headers, json),
                Fetched::Refused(answer) => {
                    return Err(answer.into_error(&self.endpoint, "read the list"));
                }
            };
            let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
            take(&json, text(&FILTERS_APPLIED))?;
            let link = text(&header::LINK).and_then(next_link);
            match link {
                Some(link) => next = Some(self.page_path(place, link)?),
                None => return Ok(()),
            }
        }
        Err(Error::invalid("the list has too many pages"))
    }

    /// The next page's path. A list stays with its registry, whatever it says about hosts.
    fn page_path(&self, place: &str, link: &str) -> Result<String> {
        let base = parse_address(&format!("https://{}{place}", self.endpoint.host))?;
        let next = join(&base, link)?;
        let path = next.path_and_query().map(ToString::to_string);
        path.ok_or_else(|| Error::invalid("the list's next page has no path"))
    }
}

/// `<ADDRESS>; rel="next"` (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let (address, parameters) = header.strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.contains("rel=\"next\"") || parameters.contains("rel=next");
    is_next.then_some(address)
}

fn read_referrers(json: &[u8]) -> Result<Vec<Descriptor>> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Option<Vec<Descriptor>>,
    }
    let index: Index = serde_json::from_slice(json)
        .map_err(|error| Error::invalid(format!("the list of referrers: {error}")))?;
    Ok(index.manifests.unwrap_or_default())
}

fn artifact_type_of(descriptor: &Descriptor) -> Option<&str> {
    descriptor.other.get("artifactType")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page() {
        let link = r#"</v2/a/tags/list?last=x&n=2>; rel="next""#;
        assert_eq!(next_link(link), Some("/v2/a/tags/list?last=x&n=2"));
        assert_eq!(next_link("</x>; rel=\"prev\""), None);
        assert_eq!(next_link("nonsense"), None);
    }
}
