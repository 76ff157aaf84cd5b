//! Behaviour of registries that docker-registry cannot be made to show: limits of their rate,
//! redirects to other hosts, referrers, pages.

use std::time::{Duration, Instant};

use insula_image::registry::{
    ClientOptions, Configuration, Credential, Credentials, referrers, tags,
};
use insula_image::{Digest, Kind};
use serde_json::{Value, json};

use crate::fault::{Fault, answer, proxy};
use crate::harness::{
    Packing, Registry, TestStore, check_blobs, client, client_with, image, layer,
};

#[test]
fn a_registry_that_asks_for_patience_gets_it() {
    let registry = Registry::plain();
    let store = TestStore::new();
    image(&store, "a", vec![layer(1, 1000, Packing::Gzip)]);
    store.push(&client(), "a", &registry.name("a:1")).unwrap();
    let limited = proxy(Some(&registry.address), |request, before| {
        match request.line.contains("/manifests/1") && before == 0 {
            true => answer("429 Too Many Requests", &["Retry-After: 2"], ""),
            false => Fault::Pass,
        }
    });
    let started = Instant::now();
    let name = format!("{}/a:1", limited.address).parse().unwrap();
    TestStore::new().pull(&client(), &name).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2));

    let closed = proxy(None, |_, _| {
        answer("429 Too Many Requests", &["Retry-After: 99999"], "")
    });
    let name = format!("{}/a:1", closed.address).parse().unwrap();
    let error = TestStore::new().pull(&client(), &name).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.chain().contains("429"), "{}", error.chain());
}

#[test]
fn another_host_sees_no_credentials() {
    let registry = Registry::plain();
    let store = TestStore::new();
    image(&store, "a", vec![layer(1, 200_000, Packing::Gzip)]);
    store.push(&client(), "a", &registry.name("a:1")).unwrap();
    let elsewhere = proxy(Some(&registry.address), |_, _| Fault::Pass);
    let target = elsewhere.address.clone();
    let front = proxy(Some(&registry.address), move |request, _| {
        if request.header("authorization").is_none() {
            return answer(
                "401 Unauthorized",
                &["WWW-Authenticate: Basic realm=\"x\""],
                "",
            );
        }
        if request.line.starts_with("GET") && request.line.contains("/blobs/") {
            let path = request.line.split(' ').nth(1).unwrap();
            let location = format!("Location: http://{target}{path}");
            return answer("307 Temporary Redirect", &[&location], "");
        }
        Fault::Pass
    });
    let work = tempfile::tempdir().unwrap();
    let credentials = Credentials::in_file(&work.path().join("auth.json"));
    let me = Credential::Password {
        username: "me".to_owned(),
        password: "secret".to_owned(),
    };
    credentials.store(&front.address, &me).unwrap();
    let client = client_with(ClientOptions {
        credentials,
        ..ClientOptions::default()
    });
    let (store, name) = (TestStore::new(), format!("{}/a:1", front.address));
    store.pull(&client, &name.parse().unwrap()).unwrap();
    check_blobs(&store, &name);
    let asked = elsewhere.seen("GET");
    assert_eq!(asked.len(), 2);
    assert!(
        asked
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert!(
        front
            .seen("/blobs/")
            .iter()
            .any(|request| request.header("authorization").is_some())
    );
}

#[test]
fn a_circle_of_redirects_ends() {
    let circle = proxy(None, |request, _| {
        let path = request.line.split(' ').nth(1).unwrap();
        answer("302 Found", &[&format!("Location: {path}")], "")
    });
    let name = format!("{}/a:1", circle.address).parse().unwrap();
    let error = TestStore::new().pull(&client(), &name).unwrap_err();
    assert!(error.chain().contains("redirects"), "{}", error.chain());
}

#[test]
fn a_mirror_is_asked_first_and_may_lack_things() {
    let (registry, mirror) = (Registry::plain(), Registry::plain());
    let store = TestStore::new();
    for name in ["both:1", "one:1"] {
        image(&store, name, vec![layer(1, 100_000, Packing::Gzip)]);
        store.push(&client(), name, &registry.name(name)).unwrap();
    }
    let mirrored = format!("{}/copies/both:1", mirror.address).parse().unwrap();
    store.push(&client(), "both:1", &mirrored).unwrap();
    let origin = proxy(Some(&registry.address), |_, _| Fault::Pass);
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("registries.conf");
    let text = format!(
        "unqualified-search-registries = ['{0}']\n\
         [[registry]]\nlocation = '{0}'\n\
         [[registry.mirror]]\nlocation = '127.0.0.1:1'\n\
         [[registry.mirror]]\nlocation = '{1}/copies'\n",
        origin.address, mirror.address
    );
    std::fs::write(&file, text).unwrap();
    let mut configuration = Configuration::default();
    configuration.add_file(&file).unwrap();
    let client = client_with(ClientOptions {
        configuration,
        ..ClientOptions::default()
    });
    let store = TestStore::new();
    // A short name, too: it is kept as the user wrote it.
    let pulled = store.pull(&client, &"both:1".parse().unwrap()).unwrap();
    assert_eq!(
        pulled.reference.to_string(),
        format!("{}/both:1", origin.address)
    );
    assert!(origin.seen("GET").is_empty());
    assert!(store.store.resolve("both:1").is_ok());
    store.pull(&client, &"one:1".parse().unwrap()).unwrap();
    assert!(!origin.seen("/one/").is_empty());
}

#[test]
fn tags_come_in_pages() {
    let pages = proxy(None, |request, _| {
        match request.line.split(' ').nth(1).unwrap() {
            "/v2/a/tags/list" => answer(
                "200 OK",
                &["Link: </v2/a/tags/list?n=2&last=b>; rel=\"next\""],
                r#"{"name":"a","tags":["a","b"]}"#,
            ),
            "/v2/a/tags/list?n=2&last=b" => answer("200 OK", &[], r#"{"name":"a","tags":["c"]}"#),
            _ => answer("404 Not Found", &[], ""),
        }
    });
    let name = format!("{}/a", pages.address).parse().unwrap();
    assert_eq!(tags(&client(), &name).unwrap(), ["a", "b", "c"]);
}

fn referring(kind: &str) -> Value {
    json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
        "digest": Digest::of(kind.as_bytes()).to_string(), "artifactType": kind})
}

#[test]
fn referrers_are_listed_by_the_api_or_by_the_tag() {
    let subject = Digest::of(b"subject");
    let index =
        json!({"schemaVersion": 2, "manifests": [referring("sbom"), referring("signature")]});
    let index = index.to_string();
    for has_api in [true, false] {
        let index = index.clone();
        let server = proxy(None, move |request, _| {
            let path = request.line.split(' ').nth(1).unwrap().to_owned();
            let api = format!("/v2/a/referrers/{subject}");
            let tag = format!("/v2/a/manifests/sha256-{}", subject.hex());
            if (has_api && path.starts_with(&api)) || (!has_api && path == tag) {
                return answer("200 OK", &[], &index);
            }
            answer("404 Not Found", &[], "")
        });
        let name = format!("{}/a@{subject}", server.address).parse().unwrap();
        let all = referrers(&client(), &name, None).unwrap();
        assert_eq!((all.digest, all.descriptors.len()), (subject, 2));
        let some = referrers(&client(), &name, Some("signature")).unwrap();
        assert_eq!(
            some.descriptors.len(),
            1,
            "the filter is applied here when it is not there"
        );
    }
    // docker-registry 2.8 has neither the API nor the tag: nothing refers to the image.
    let registry = Registry::plain();
    let store = TestStore::new();
    image(&store, "a", vec![layer(1, 10, Packing::Gzip)]);
    let pushed = store.push(&client(), "a", &registry.name("a:1")).unwrap();
    let found = referrers(&client(), &registry.name("a:1"), None).unwrap();
    assert_eq!((found.digest, found.descriptors.len()), (pushed.digest, 0));
}
