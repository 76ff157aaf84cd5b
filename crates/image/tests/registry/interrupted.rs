//! Transfers that are cut, delayed, damaged or wanted twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use insula_image::Kind;
use insula_image::registry::{Cancel, ClientOptions, Event, Progress, PullOptions, pull};

use crate::fault::{Fault, Request, answer, proxy};
use crate::harness::{
    Packing, Registry, TestStore, check_blobs, client, client_with, image, layer,
};

/// Whether a request is for a layer, the first large blob of these tests.
fn is_blob_get(request: &Request) -> bool {
    request.line.starts_with("GET") && request.line.contains("/blobs/sha256:")
}

/// A registry with the image `a:1` of one large layer; its size.
fn with_image(registry: &Registry) -> u64 {
    let store = TestStore::new();
    let manifest = image(&store, "a", vec![layer(1, 6_000_000, Packing::Gzip)]);
    store.push(&client(), "a", &registry.name("a:1")).unwrap();
    store.store.manifest(&manifest).unwrap().layers[0].size
}

fn behind(address: &str) -> insula_image::Reference {
    format!("{address}/a:1").parse().unwrap()
}

#[test]
fn a_cut_transfer_goes_on_where_it_stopped() {
    let registry = Registry::plain();
    with_image(&registry);
    let proxy = proxy(Some(&registry.address), |request, before| {
        match (is_blob_get(request), before) {
            (true, 0) => Fault::CutAnswer(1_500_000),
            (true, 1) => answer("503 Service Unavailable", &[], ""),
            (true, 2) => Fault::CutAnswer(0),
            (true, 3) => Fault::CutAnswer(2_000_000),
            _ => Fault::Pass,
        }
    });
    let store = TestStore::new();
    store.pull(&client(), &behind(&proxy.address)).unwrap();
    check_blobs(&store, &format!("{}/a:1", proxy.address));
    let ranges: Vec<String> = proxy
        .seen("/blobs/")
        .iter()
        .filter_map(|request| Some(request.header("range")?.to_owned()))
        .collect();
    let expected = [
        "bytes=1500000-",
        "bytes=1500000-",
        "bytes=1500000-",
        "bytes=3500000-",
    ];
    assert_eq!(ranges, expected);
}

#[test]
fn what_an_earlier_attempt_brought_is_not_brought_again() {
    let registry = Registry::plain();
    let size = with_image(&registry);
    let store = TestStore::new();
    let broken = proxy(Some(&registry.address), |request, before| {
        match (is_blob_get(request), before) {
            (true, 0) => Fault::CutAnswer(4_000_000),
            (true, _) => Fault::CutAnswer(0),
            _ => Fault::Pass,
        }
    });
    let impatient = client_with(ClientOptions {
        retries: 2,
        ..ClientOptions::default()
    });
    let error = store
        .pull(&impatient, &behind(&broken.address))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{}", error.chain());
    assert!(store.store.list().unwrap().is_empty());
    assert_eq!(store.files("partial/sha256").len(), 1);
    assert!(store.files("staging").is_empty());

    let pulled = store.pull(&client(), &registry.name("a:1")).unwrap();
    assert_eq!(pulled.transferred_bytes, size - 4_000_000);
    assert!(store.files("partial/sha256").is_empty());
    check_blobs(&store, &registry.name("a:1").to_string());
}

#[test]
fn damage_on_the_way_is_found_and_leaves_nothing() {
    let registry = Registry::plain();
    with_image(&registry);
    let proxy = proxy(Some(&registry.address), |request, _| {
        match is_blob_get(request) {
            true => Fault::Corrupt(100_000),
            false => Fault::Pass,
        }
    });
    let store = TestStore::new();
    // The configuration is small: damage behind its end does not reach it.
    let error = store.pull(&client(), &behind(&proxy.address)).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid, "{}", error.chain());
    assert!(store.store.list().unwrap().is_empty());
    for part in ["partial/sha256", "staging", "layers/sha256", "blobs/sha256"] {
        assert!(store.files(part).is_empty(), "{part}");
    }
    store.pull(&client(), &registry.name("a:1")).unwrap();
}

#[test]
fn a_damaged_beginning_is_brought_anew() {
    let registry = Registry::plain();
    with_image(&registry);
    let store = TestStore::new();
    let broken = proxy(Some(&registry.address), |request, before| {
        match (is_blob_get(request), before) {
            (true, 0) => Fault::CutAnswer(4_000_000),
            (true, _) => Fault::CutAnswer(0),
            _ => Fault::Pass,
        }
    });
    let impatient = client_with(ClientOptions {
        retries: 1,
        ..ClientOptions::default()
    });
    store
        .pull(&impatient, &behind(&broken.address))
        .unwrap_err();
    let partial = store.directory.path().join("images/partial/sha256");
    let partial = partial.join(&store.files("partial/sha256")[0]);
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(&partial, bytes).unwrap();
    store.pull(&client(), &registry.name("a:1")).unwrap();
    check_blobs(&store, &registry.name("a:1").to_string());
}

#[test]
fn two_pulls_at_once_bring_a_layer_once() {
    let registry = Registry::plain();
    with_image(&registry);
    let proxy = proxy(Some(&registry.address), |_, _| Fault::Pass);
    let store = TestStore::new();
    let name = behind(&proxy.address);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.pull(&client(), &name).unwrap());
        }
    });
    let layer = store.store.resolve(&name.to_string()).unwrap().manifest;
    let layer = store.store.manifest(&layer).unwrap().layers[0].digest;
    let seen = proxy.seen(&format!("GET /v2/a/blobs/{layer}"));
    assert_eq!(seen.len(), 1);
}

/// Cancels in the middle of the layer.
struct Canceller(Cancel);

impl Progress for Canceller {
    fn hear(&self, event: &Event<'_>) {
        if let Event::Blob {
            state: insula_image::registry::BlobState::Moving(bytes),
            ..
        } = event
            && *bytes > 1_000_000
        {
            self.0.raise();
        }
    }
}

#[test]
fn a_cancelled_pull_leaves_only_what_can_be_resumed() {
    let registry = Registry::plain();
    let size = with_image(&registry);
    let cancel = Cancel::default();
    let options = ClientOptions {
        cancel: cancel.clone(),
        ..ClientOptions::default()
    };
    let store = TestStore::new();
    let name = registry.name("a:1");
    let progress = Canceller(cancel);
    let error = pull(
        &store.store,
        &client_with(options),
        &name,
        &PullOptions::default(),
        &progress,
    )
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled, "{}", error.chain());
    assert!(store.store.list().unwrap().is_empty());
    assert!(store.files("staging").is_empty());
    let pulled = store.pull(&client(), &name).unwrap();
    assert!(pulled.transferred_bytes < size);
}

#[test]
fn an_upload_that_is_cut_goes_on() {
    let registry = Registry::plain();
    let cuts = AtomicUsize::new(0);
    let proxy = proxy(Some(&registry.address), move |request, _| {
        let is_piece = request.line.starts_with("PATCH");
        match cuts.fetch_add(usize::from(is_piece), Ordering::Relaxed) {
            1 | 4 if is_piece => Fault::CutRequest(300_000),
            _ => Fault::Pass,
        }
    });
    let store = TestStore::new();
    let manifest = image(&store, "a", vec![layer(1, 6_000_000, Packing::Gzip)]);
    let in_pieces = client_with(ClientOptions {
        piece_bytes: 1 << 20,
        ..ClientOptions::default()
    });
    let pushed = store
        .push(&in_pieces, "a", &behind(&proxy.address))
        .unwrap();
    assert_eq!(pushed.digest, manifest);
    assert!(proxy.seen("PATCH").len() > 6);
    let other = TestStore::new();
    assert_eq!(
        other
            .pull(&client(), &registry.name("a:1"))
            .unwrap()
            .manifest,
        manifest
    );
}

#[test]
fn an_upload_that_is_cut_again_and_again_ends() {
    let registry = Registry::plain();
    let proxy = proxy(Some(&registry.address), |request, _| {
        match request.line.starts_with("PATCH") {
            true => Fault::CutRequest(300_000),
            false => Fault::Pass,
        }
    });
    let store = TestStore::new();
    image(&store, "a", vec![layer(1, 6_000_000, Packing::Gzip)]);
    let impatient = client_with(ClientOptions {
        retries: 2,
        piece_bytes: 1 << 20,
        ..ClientOptions::default()
    });
    let error = store
        .push(&impatient, "a", &behind(&proxy.address))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{}", error.chain());
    assert_eq!(proxy.seen("PATCH").len(), 3);
}

#[test]
fn a_registry_that_takes_no_second_piece_gets_the_whole() {
    let registry = Registry::plain();
    let proxy = proxy(Some(&registry.address), |request, _| {
        let range = request.header("content-range").unwrap_or("0-");
        if request.line.starts_with("PATCH") && !range.starts_with("0-") {
            return answer("416 Range Not Satisfiable", &[], "");
        }
        Fault::Pass
    });
    let store = TestStore::new();
    let manifest = image(&store, "a", vec![layer(1, 3_000_000, Packing::Gzip)]);
    let in_pieces = client_with(ClientOptions {
        piece_bytes: 1 << 20,
        ..ClientOptions::default()
    });
    store
        .push(&in_pieces, "a", &behind(&proxy.address))
        .unwrap();
    let other = TestStore::new();
    assert_eq!(
        other
            .pull(&client(), &registry.name("a:1"))
            .unwrap()
            .manifest,
        manifest
    );
}
