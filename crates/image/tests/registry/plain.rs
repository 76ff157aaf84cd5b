//! Push and pull with a registry that wants nothing special, alone and beside skopeo.

use std::process::Command;

use insula_image::registry::{ClientOptions, PullOptions, PushOptions, Silent, pull, push, tags};
use insula_image::{Digest, Kind};
use serde_json::{Value, json};

use crate::harness::{
    Heard, Packing, Registry, TestStore, check_blobs, client, client_with, image, layer,
    layer_type, run, skopeo,
};

#[test]
fn what_is_pushed_comes_back_with_the_same_digests() {
    let registry = Registry::plain();
    let (from, to, client) = (TestStore::new(), TestStore::new(), client());
    let layers = vec![
        layer(1, 300_000, Packing::Gzip),
        layer(2, 5_000_000, Packing::Zstd),
        layer(3, 10, Packing::Gzip),
    ];
    let manifest = image(&from, "local:1", layers);
    let name = registry.name("team/app:1.2");
    let pushed = from.push(&client, "local:1", &name).unwrap();
    assert_eq!(pushed.digest, manifest);
    let pulled = to.pull(&client, &name).unwrap();
    assert_eq!((pulled.manifest, pulled.digest), (manifest, manifest));
    assert!(pulled.transferred_bytes > 5_000_000);
    check_blobs(&to, &name.to_string());
    let layers = to.store.manifest(&manifest).unwrap().layers;
    let kinds: Vec<&str> = layers.iter().map(|layer| &*layer.media_type).collect();
    let expected = [Packing::Gzip, Packing::Zstd, Packing::Gzip].map(layer_type);
    assert_eq!(kinds, expected);
    // Nothing moves the second time, by tag or by digest.
    let again = to.pull(&client, &name).unwrap();
    assert_eq!(again.transferred_bytes, 0);
    let by_digest = to.pull(&client, &name.pinned(manifest)).unwrap();
    assert_eq!(by_digest.manifest, manifest);
    assert!(to.store.resolve(&name.pinned(manifest).to_string()).is_ok());
    assert!(to.files("partial/sha256").is_empty() && to.files("staging").is_empty());
    // What was pulled is pushed as it was.
    let copy = registry.name("other/copy:2");
    assert_eq!(
        to.push(&client, &name.to_string(), &copy).unwrap().digest,
        manifest
    );
}

#[test]
fn blobs_are_pushed_once_and_mounted_elsewhere() {
    let registry = Registry::plain();
    let (store, client) = (TestStore::new(), client());
    let base = registry.name("base:1");
    image(
        &store,
        &base.to_string(),
        vec![layer(1, 100_000, Packing::Gzip)],
    );
    let layers = vec![
        layer(1, 100_000, Packing::Gzip),
        layer(2, 1000, Packing::Gzip),
    ];
    image(&store, "app", layers);
    store.push(&client, &base.to_string(), &base).unwrap();
    let push_to = |name: &str| {
        let heard = Heard::default();
        let to = registry.name(name);
        let options = PushOptions::default();
        push(&store.store, &client, "app", &to, &options, &heard).unwrap();
        heard
    };
    let first = push_to("app:1");
    assert_eq!(first.count("Mounted(\"base\")"), 1, "{:?}", first.0);
    assert_eq!(first.count("Done"), 2);
    let second = push_to("app:2");
    assert_eq!(second.count("Present"), 3);
    let mut listed = tags(&client, &registry.name("app")).unwrap();
    listed.sort();
    assert_eq!(listed, ["1", "2"]);
}

#[test]
fn an_image_that_shares_layers_brings_only_the_rest() {
    let registry = Registry::plain();
    let (from, to, client) = (TestStore::new(), TestStore::new(), client());
    let shared = || (1..10).map(|seed| layer(seed, 50_000, Packing::Gzip));
    image(&from, "a", shared().collect());
    let own = layer(99, 50_000, Packing::Gzip);
    let own_size = own.len() as u64;
    image(&from, "b", shared().chain([own]).collect());
    for name in ["a", "b"] {
        from.push(&client, name, &registry.name(name)).unwrap();
    }
    to.pull(&client, &registry.name("a")).unwrap();
    let pulled = to.pull(&client, &registry.name("b")).unwrap();
    assert_eq!(pulled.transferred_bytes, own_size);
}

#[test]
fn what_skopeo_brings_comes_and_goes_unchanged() {
    let registry = Registry::plain();
    let client = client();
    let source = TestStore::new();
    image(
        &source,
        "x",
        vec![
            layer(7, 200_000, Packing::Gzip),
            layer(8, 9_000, Packing::Gzip),
        ],
    );
    source.push(&client, "x", &registry.name("x:1")).unwrap();
    let from = format!("docker://{}/x:1", registry.address);
    let work = tempfile::tempdir().unwrap();
    for (tag, options) in [
        ("docker", &["--format", "v2s2"][..]),
        ("oci", &["--format", "oci"]),
        (
            "zstd",
            &["--format", "oci", "--dest-compress-format", "zstd"],
        ),
    ] {
        // Through a directory, where skopeo compresses anew what it is told to.
        let layout = format!("dir:{}", work.path().join(tag).display());
        let to = format!("docker://{}/skopeo:{tag}", registry.address);
        let tls = ["--src-tls-verify=false"];
        skopeo(&[&["copy"], &tls[..], &["--dest-decompress", &from, &layout]].concat());
        let tls = ["--dest-tls-verify=false", "--dest-compress"];
        skopeo(&[&["copy"], &tls[..], options, &[&layout, &to]].concat());
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &to]);
        let store = TestStore::new();
        let name = registry.name(&format!("skopeo:{tag}"));
        let pulled = store.pull(&client, &name).unwrap();
        assert_eq!(pulled.manifest, Digest::of(&raw), "{tag}");
        check_blobs(&store, &name.to_string());
        let back = registry.name(&format!("back:{tag}"));
        store.push(&client, &name.to_string(), &back).unwrap();
        let back = format!("docker://{}/back:{tag}", registry.address);
        assert_eq!(
            skopeo(&["inspect", "--raw", "--tls-verify=false", &back]),
            raw,
            "{tag}"
        );
        // skopeo takes it apart again: every digest holds for it too.
        let copied = format!(
            "dir:{}",
            work.path().join(format!("{tag}-copied")).display()
        );
        skopeo(&["copy", "--src-tls-verify=false", &back, &copied]);
    }
}

/// Puts a list of two platforms into the registry as `many:1`: its digest and its entries.
fn push_list(registry: &Registry, source: &TestStore) -> (Digest, Vec<Value>) {
    let client = client();
    let work = tempfile::tempdir().unwrap();
    let layout = work.path().join("layout");
    let mut entries = Vec::new();
    for (number, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let name = format!("one-{architecture}");
        image(
            source,
            &name,
            vec![layer(number as u64, 1000, Packing::Gzip)],
        );
        source.push(&client, &name, &registry.name(&name)).unwrap();
        let from = format!("docker://{}/{name}", registry.address);
        let to = format!("oci:{}:{architecture}", layout.display());
        skopeo(&["copy", "--src-tls-verify=false", &from, &to]);
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &from]);
        entries.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::of(&raw).to_string(), "size": raw.len(),
            "platform": {"os": "linux", "architecture": architecture},
        }));
    }
    let index = json!({"schemaVersion": 2, "manifests": entries,
        "mediaType": "application/vnd.oci.image.index.v1+json"});
    let index = index.to_string();
    let digest = Digest::of(index.as_bytes());
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), &index).unwrap();
    let top: Value = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": digest.to_string(), "size": index.len()}]});
    std::fs::write(layout.join("index.json"), top.to_string()).unwrap();
    let from = format!("oci:{}", layout.display());
    let to = format!("docker://{}/many:1", registry.address);
    skopeo(&["copy", "--all", "--dest-tls-verify=false", &from, &to]);
    (digest, entries)
}

#[test]
fn from_a_list_the_platform_s_image_is_chosen() {
    let registry = Registry::plain();
    let (source, client) = (TestStore::new(), client());
    let (digest, entries) = push_list(&registry, &source);
    let name = registry.name("many:1");
    let store = TestStore::new();
    let pull_for = |platform: Option<&str>| {
        let options = PullOptions {
            platform: platform.map(|text| text.parse().unwrap()),
            ..PullOptions::default()
        };
        pull(&store.store, &client, &name, &options, &Silent)
    };
    let own = pull_for(None).unwrap();
    assert_eq!(own.digest, digest);
    assert_eq!(
        own.manifest.to_string(),
        entries[0]["digest"].as_str().unwrap()
    );
    // The image answers to the digest of the list too.
    let pinned = name.pinned(digest).to_string();
    assert_eq!(store.store.resolve(&pinned).unwrap().manifest, own.manifest);
    let other = pull_for(Some("linux/arm64")).unwrap();
    assert_eq!(
        other.manifest.to_string(),
        entries[1]["digest"].as_str().unwrap()
    );
    let error = pull_for(Some("linux/s390x")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.hint_text(),
        Some("there is: linux/amd64, linux/arm64")
    );
    // One platform is here: who pushes it hears that the others do not go with it.
    for (image, warnings) in [(own.manifest, 1), (other.manifest, 1)] {
        let heard = Heard::default();
        let to = registry.name("one:1");
        let image = image.to_string();
        push(
            &store.store,
            &client,
            &image,
            &to,
            &PushOptions::default(),
            &heard,
        )
        .unwrap();
        assert_eq!(heard.count("index of several platforms"), warnings);
    }
    let heard = Heard::default();
    let to = registry.name("two:1");
    push(
        &source.store,
        &client,
        "one-amd64",
        &to,
        &PushOptions::default(),
        &heard,
    )
    .unwrap();
    assert_eq!(heard.count("warning"), 0);
}

#[test]
fn a_name_that_is_not_there_is_said() {
    let registry = Registry::plain();
    let error = TestStore::new()
        .pull(&client(), &registry.name("nothing:1"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(
        error.chain().contains("manifest unknown"),
        "{}",
        error.chain()
    );
    let gone = registry.address.clone();
    drop(registry);
    // With a second try this would never end.
    let tireless = client_with(ClientOptions {
        retries: u32::MAX,
        ..ClientOptions::default()
    });
    let error = TestStore::new()
        .pull(&tireless, &format!("{gone}/x:1").parse().unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.chain().contains("refused"), "{}", error.chain());
}

#[test]
fn umoci_and_skopeo_read_what_was_pushed() {
    // Both check the manifest, the configuration and the layers for themselves.
    let registry = Registry::plain();
    let (store, client) = (TestStore::new(), client());
    image(&store, "x", vec![layer(1, 10_000, Packing::Zstd)]);
    store.push(&client, "x", &registry.name("x:1")).unwrap();
    let work = tempfile::tempdir().unwrap();
    let to = format!("oci:{}:x", work.path().join("layout").display());
    let from = format!("docker://{}/x:1", registry.address);
    skopeo(&["copy", "--src-tls-verify=false", &from, &to]);
    let mut umoci = Command::new(crate::harness::peer("umoci"));
    let layout = format!("{}:x", work.path().join("layout").display());
    let stat = run(umoci.args(["stat", "--json", "--image", &layout]));
    let stat: Value = serde_json::from_slice(&stat.stdout).unwrap();
    assert!(stat["history"].is_array() || stat.is_object());
}
