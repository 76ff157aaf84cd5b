//! What a registry may serve and nobody should take.

use insula_image::registry::{PullOptions, Silent, pull};
use insula_image::{Digest, Error, Kind};
use serde_json::{Value, json};

use crate::fault::{Fault, Proxy, answer, proxy};
use crate::harness::{TestStore, client};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry that serves these documents by `manifests/NAME`, with their media types, and blobs by
/// digest.
fn serving(manifests: Vec<(String, String, String)>, blobs: Vec<String>) -> Proxy {
    proxy(None, move |request, _| {
        let path = request.line.split(' ').nth(1).unwrap();
        let found = manifests
            .iter()
            .find(|(name, _, _)| path.ends_with(&format!("/manifests/{name}")));
        if let Some((_, kind, body)) = found {
            return answer("200 OK", &[&format!("Content-Type: {kind}")], body);
        }
        let blob = blobs
            .iter()
            .find(|blob| path.ends_with(&format!("/blobs/{}", Digest::of(blob.as_bytes()))));
        match blob {
            Some(blob) => answer("200 OK", &[], blob),
            None if path == "/v2/" => answer("200 OK", &[], "{}"),
            None => not_found(),
        }
    })
}

fn not_found() -> Fault {
    let body = json!({"errors": [{"code": "NAME_UNKNOWN", "message": "no such\u{7} thing"}]});
    answer("404 Not Found", &[], &body.to_string())
}

fn refusal(proxy: &Proxy) -> Error {
    let store = TestStore::new();
    let name = format!("{}/a:1", proxy.address).parse().unwrap();
    let options = PullOptions::default();
    let error = pull(&store.store, &client(), &name, &options, &Silent).unwrap_err();
    assert!(store.store.list().unwrap().is_empty());
    assert!(store.files("staging").is_empty());
    error
}

fn one(kind: &str, body: &Value) -> Proxy {
    let text = body.to_string();
    serving(vec![("1".to_owned(), kind.to_owned(), text)], Vec::new())
}

fn descriptor(kind: &str, content: &str) -> Value {
    let digest = Digest::of(content.as_bytes()).to_string();
    json!({"mediaType": kind, "digest": digest, "size": content.len()})
}

fn image_of(config: &str, layers: &[Value]) -> Value {
    let config = descriptor("application/vnd.oci.image.config.v1+json", config);
    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers})
}

#[test]
fn kinds_that_are_not_images_are_named() {
    let foreign = descriptor(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "",
    );
    let helm = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": descriptor("application/vnd.cncf.helm.config.v1+json", "{}")});
    for (kind, document, part) in [
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            json!({"schemaVersion": 1, "fsLayers": [], "history": []}),
            "docker.distribution.manifest.v1",
        ),
        (
            OCI_MANIFEST,
            helm,
            "application/vnd.cncf.helm.config.v1+json",
        ),
        (
            OCI_MANIFEST,
            image_of("{}", &[foreign]),
            "foreign.diff.tar.gzip",
        ),
        ("text/html", json!({"hello": "world"}), "no manifest"),
        (
            OCI_MANIFEST,
            json!({"manifests": [], "mediaType": OCI_MANIFEST}),
            "another content",
        ),
    ] {
        let error = refusal(&one(kind, &document));
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.chain().contains(part), "{}", error.chain());
    }
}

#[test]
fn sizes_are_limited_and_digests_held() {
    let long = " ".repeat(5 << 20);
    let error = refusal(&serving(
        vec![("1".into(), OCI_MANIFEST.into(), long)],
        Vec::new(),
    ));
    assert!(!error.chain().is_empty());

    let body = image_of("{}", &[]).to_string();
    let lying = proxy(None, move |_, _| {
        let digest = format!("Docker-Content-Digest: {}", Digest::of(b"other"));
        answer("200 OK", &[&digest], &body)
    });
    let error = refusal(&lying);
    assert!(error.chain().contains("instead of"), "{}", error.chain());

    // The configuration is not what the manifest names.
    let config =
        r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = image_of(config, &[]).to_string();
    let other = config.replace("amd64", "arm64");
    let digest = Digest::of(config.as_bytes());
    let lying = proxy(None, move |request, _| {
        let wants_blob = request.line.contains(&digest.to_string());
        answer("200 OK", &[], if wants_blob { &other } else { &manifest })
    });
    let error = refusal(&lying);
    assert!(error.chain().contains("instead of"), "{}", error.chain());
}

#[test]
fn a_tower_of_indexes_is_not_climbed() {
    let mut documents = Vec::new();
    let mut below = image_of("{}", &[]).to_string();
    let mut kind = OCI_MANIFEST;
    for _ in 0..8 {
        let name = Digest::of(below.as_bytes()).to_string();
        documents.push((name, kind.to_owned(), below.clone()));
        let entry = descriptor(kind, &below);
        below =
            json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string();
        kind = OCI_INDEX;
    }
    documents.push(("1".to_owned(), kind.to_owned(), below));
    let server = serving(documents, Vec::new());
    let error = refusal(&server);
    assert!(error.chain().contains("nested"), "{}", error.chain());
    assert!(server.seen("/manifests/").len() <= 6);
}

#[test]
fn an_index_entry_that_lies_is_refused() {
    let image = image_of("{}", &[]).to_string();
    let name = Digest::of(image.as_bytes()).to_string();
    for change in [json!({"size": 7}), json!({"mediaType": OCI_INDEX})] {
        let mut entry = descriptor(OCI_MANIFEST, &image);
        for (key, value) in change.as_object().unwrap() {
            entry[key] = value.clone();
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
        let documents = vec![
            (name.clone(), OCI_MANIFEST.to_owned(), image.clone()),
            ("1".to_owned(), OCI_INDEX.to_owned(), index.to_string()),
        ];
        let error = refusal(&serving(documents, Vec::new()));
        assert!(
            error.chain().contains("the index says"),
            "{}",
            error.chain()
        );
    }
}

#[test]
fn what_a_registry_says_cannot_steer_a_terminal() {
    let error = refusal(&proxy(None, |_, _| not_found()));
    assert!(error.chain().contains("no such thing"), "{}", error.chain());
}
