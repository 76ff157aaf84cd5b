//! Documents of every kind, and those that lie about themselves.

use serde_json::json;

use super::*;
use crate::digest::Digest;

fn kind(document: &Value, header: Option<&str>) -> Result<String> {
    media_type(document.to_string().as_bytes(), header)
}

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(b"").to_string(), "size": 0})
}

fn manifest(config: &str, layer: &str) -> Manifest {
    let document = json!({
        "schemaVersion": 2,
        "config": descriptor(config),
        "layers": [descriptor(layer)],
    });
    serde_json::from_value(document).unwrap()
}

#[test]
fn a_document_says_what_it_is() {
    let image = json!({"config": {}, "layers": []});
    assert_eq!(kind(&image, None).unwrap(), OCI_MANIFEST);
    assert_eq!(
        kind(&image, Some(DOCKER_MANIFEST)).unwrap(),
        DOCKER_MANIFEST
    );
    assert_eq!(
        kind(&image, Some("application/json; charset=utf-8")).unwrap(),
        OCI_MANIFEST
    );
    let index = json!({"mediaType": DOCKER_LIST, "manifests": []});
    assert_eq!(kind(&index, None).unwrap(), DOCKER_LIST);
}

#[test]
fn what_is_two_things_or_none_is_refused() {
    for (document, header) in [
        (json!({"manifests": [], "layers": []}), None),
        (json!({"manifests": []}), Some(OCI_MANIFEST)),
        (
            json!({"mediaType": OCI_INDEX, "layers": [], "config": {}}),
            None,
        ),
        (
            json!({"mediaType": OCI_MANIFEST, "layers": [], "config": {}}),
            Some(DOCKER_MANIFEST),
        ),
        (json!({"schemaVersion": 1, "fsLayers": []}), None),
        (json!({}), None),
        (json!([]), None),
    ] {
        assert!(kind(&document, header).is_err(), "{document}");
    }
    let error = kind(&json!({"schemaVersion": 1}), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("manifest.v1+json"), "{error}");
}

#[test]
fn what_cannot_run_is_refused_by_its_type() {
    assert!(check_runnable(&manifest(OCI_CONFIG, LAYERS[2])).is_ok());
    assert!(check_runnable(&manifest(DOCKER_CONFIG, LAYERS[4])).is_ok());
    for (config, layer, part) in [
        (
            "application/vnd.cncf.helm.config.v1+json",
            LAYERS[0],
            "helm",
        ),
        ("application/vnd.oci.empty.v1+json", LAYERS[0], "artifact"),
        (
            OCI_CONFIG,
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "foreign",
        ),
        (
            OCI_CONFIG,
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "not serve",
        ),
        (OCI_CONFIG, "text/\u{1b}plain", "text/plain"),
    ] {
        let error = check_runnable(&manifest(config, layer))
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(parse(b"{}", "application/vnd.x").is_err());
}

#[test]
fn an_index_gives_the_best_or_lists_what_there_is() {
    let entry = |architecture: &str, variant: Option<&str>, size: u64| {
        let mut entry = descriptor(OCI_MANIFEST);
        entry["size"] = size.into();
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        if let Some(variant) = variant {
            entry["platform"]["variant"] = variant.into();
        }
        entry
    };
    let mut attestation = entry("unknown", None, 9);
    attestation["platform"]["os"] = "unknown".into();
    let document = json!({"manifests": [
        attestation, entry("arm", Some("v6"), 1), entry("arm", Some("v7"), 2), entry("amd64", None, 3)
    ]});
    let index: Index = serde_json::from_value(document).unwrap();
    let size = |platform: &str| index.choose(&platform.parse().unwrap()).unwrap().size;
    assert_eq!(size("linux/arm"), 2);
    assert_eq!(size("linux/arm/v6"), 1);
    assert_eq!(size("linux/amd64"), 3);
    let error = index.choose(&"linux/s390x".parse().unwrap()).unwrap_err();
    let hint = error.hint_text().unwrap();
    assert_eq!(hint, "there is: linux/arm/v6, linux/arm/v7, linux/amd64");
}
