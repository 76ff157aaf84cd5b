//! Layers that come in from elsewhere: brought once, resumed, checked, and visible only when whole.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use archive::Archive;
use insula_image::{
    AddedLayer, CONFIG_TYPE, Claim, Descriptor, Digest, ImageConfig, Kind, LAYER_GZIP_TYPE,
    MANIFEST_TYPE, Manifest, PendingLayer, PruneScope, RootFs, Store, Transaction,
};

/// A layer as a registry has it.
struct Remote {
    diff_id: Digest,
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

fn remote(tar: &[u8]) -> Remote {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).unwrap();
    let bytes = gzip.finish().unwrap();
    Remote {
        diff_id: Digest::of(tar),
        descriptor: Descriptor::new(LAYER_GZIP_TYPE, Digest::of(&bytes), bytes.len() as u64),
        bytes,
    }
}

/// Content that compression does not shrink much.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

fn documents(layers: &[AddedLayer]) -> (Vec<u8>, Vec<u8>) {
    let config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|layer| layer.diff_id).collect(),
        },
        ..ImageConfig::default()
    };
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config: Descriptor::new(CONFIG_TYPE, Digest::of(&config), config.len() as u64),
        layers: layers
            .iter()
            .map(|layer| layer.descriptor.clone())
            .collect(),
        other: Default::default(),
    };
    (serde_json::to_vec(&manifest).unwrap(), config)
}

fn commit(transaction: Transaction, layers: &[AddedLayer], name: &str) -> Digest {
    let (manifest, config) = documents(layers);
    let names = [name.parse().unwrap()];
    transaction.commit(&manifest, &config, &names).unwrap().id
}

fn claim(transaction: &Transaction, remote: &Remote) -> Claim {
    let claim = transaction.claim_layer(&remote.descriptor, Some(&remote.diff_id));
    claim.unwrap()
}

fn pending(transaction: &Transaction, remote: &Remote) -> PendingLayer {
    match claim(transaction, remote) {
        Claim::Missing(pending) => pending,
        Claim::Present(_) => panic!("the layer is here"),
    }
}

fn bring(transaction: &Transaction, remote: &Remote) -> AddedLayer {
    match claim(transaction, remote) {
        Claim::Present(layer) => layer,
        Claim::Missing(pending) => {
            let from = usize::try_from(pending.resume_from()).unwrap();
            let rest = Cursor::new(remote.bytes[from..].to_vec());
            pending.receive(Box::new(rest), &|_| {}).unwrap()
        }
    }
}

/// Everything below a store but its lock.
fn files(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![store.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else if entry.file_name() != "lock" && entry.file_name() != "spare" {
                let name = entry.path();
                found.push(name.strip_prefix(store).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Ends with an error, or with nothing, after its bytes.
struct Cut(Cursor<Vec<u8>>, bool);

impl Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if self.1 => Err(io::Error::other("connection reset")),
            count => Ok(count),
        }
    }
}

#[test]
fn an_image_appears_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let lower = remote(&Archive::default().file("a", b"1").file("b", b"2").end());
    let upper = remote(&Archive::default().file(".wh.a", b"").file("c", b"3").end());
    let transaction = store.begin().unwrap();
    let reported = AtomicU64::new(0);
    let progress = |bytes| reported.store(bytes, Ordering::Relaxed);
    let stream = Box::new(Cursor::new(lower.bytes.clone()));
    let first = pending(&transaction, &lower)
        .receive(stream, &progress)
        .unwrap();
    assert_eq!(reported.into_inner(), lower.descriptor.size);
    let layers = [first, bring(&transaction, &upper)];
    assert!(store.list().unwrap().is_empty());
    // What is not in the catalogue yet is safe from everybody's cleaning.
    store.prune(PruneScope::Unused, &|_| Vec::new()).unwrap();
    let id = commit(transaction, &layers, "app:1");
    let image = store.resolve("app:1").unwrap();
    assert_eq!((image.id, image.layers.len()), (id, 2));
    assert_eq!(image.layers[1].diff_id, upper.diff_id);
    let blob = store.read_blob(&lower.descriptor.digest).unwrap();
    assert_eq!(blob, lower.bytes);
    assert_eq!(store.list().unwrap()[0].size_bytes, 3);
    // A second image brings only what is new.
    let transaction = store.begin().unwrap();
    assert!(matches!(claim(&transaction, &lower), Claim::Present(_)));
    drop(transaction);
    store.remove("app:1", false, &|_| Vec::new()).unwrap();
    assert_eq!(files(&directory.path().join("images")), ["catalog.json"]);
}

#[test]
fn many_threads_bring_a_layer_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let layer = remote(&Archive::default().file("a", &noise(3 << 20)).end());
    let brought = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d", "e", "f"] {
            let (store, layer, brought) = (&store, &layer, &brought);
            scope.spawn(move || {
                let transaction = store.begin().unwrap();
                if let Claim::Missing(pending) = claim(&transaction, layer) {
                    brought.fetch_add(1, Ordering::Relaxed);
                    let stream = Box::new(Cursor::new(layer.bytes.clone()));
                    pending.receive(stream, &|_| {}).unwrap();
                }
                let layers = [bring(&transaction, layer)];
                commit(transaction, &layers, name);
            });
        }
    });
    assert_eq!(brought.into_inner(), 1);
    assert_eq!(store.list().unwrap()[0].references.len(), 6);
}

#[test]
fn a_cut_transfer_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let layer = remote(&Archive::default().file("a", &noise(3 << 20)).end());
    for (length, fails) in [(1_000_000, true), (2_000_001, false)] {
        let transaction = store.begin().unwrap();
        let pending = pending(&transaction, &layer);
        let from = usize::try_from(pending.resume_from()).unwrap();
        let stream = Cut(Cursor::new(layer.bytes[from..length].to_vec()), fails);
        let error = pending.receive(Box::new(stream), &|_| {}).unwrap_err();
        assert_eq!(error.kind(), Kind::Transfer, "{}", error.chain());
        assert_eq!(fails, error.chain().contains("connection reset"));
    }
    let transaction = store.begin().unwrap();
    let pending = pending(&transaction, &layer);
    assert_eq!(pending.resume_from(), 2_000_001);
    let rest = Cursor::new(layer.bytes[2_000_001..].to_vec());
    let added = pending.receive(Box::new(rest), &|_| {}).unwrap();
    // Given up when it was whole: the next attempt needs no transfer.
    drop(transaction);
    let transaction = store.begin().unwrap();
    let again = self::pending(&transaction, &layer);
    assert_eq!(again.resume_from(), layer.descriptor.size);
    let again = again.receive(Box::new(io::empty()), &|_| {}).unwrap();
    assert_eq!(again.diff_id, added.diff_id);
    commit(transaction, &[again], "resumed");
    assert!(store.resolve("resumed").is_ok());
}

#[test]
fn what_is_not_as_described_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let good = remote(&Archive::default().file("a", &noise(1 << 20)).end());
    let refused = |descriptor: &Descriptor, diff_id: &Digest, bytes: Vec<u8>, reason: &str| {
        let transaction = store.begin().unwrap();
        let claim = transaction.claim_layer(descriptor, Some(diff_id)).unwrap();
        let Claim::Missing(pending) = claim else {
            panic!("the layer is here")
        };
        let stream = Box::new(Cursor::new(bytes));
        let error = pending.receive(stream, &|_| {}).unwrap_err();
        assert!(error.chain().contains(reason), "{}", error.chain());
        assert_eq!(error.kind(), Kind::Invalid, "{}", error.chain());
        drop(transaction);
        assert_eq!(files(&directory.path().join("images")), [""; 0]);
    };
    let other = Digest::of(b"other");
    let descriptor = |digest, size| Descriptor::new(LAYER_GZIP_TYPE, digest, size);
    let (digest, size) = (good.descriptor.digest, good.descriptor.size);
    let wrong_digest = descriptor(other, size);
    refused(
        &wrong_digest,
        &good.diff_id,
        good.bytes.clone(),
        "not what its descriptor says",
    );
    let wrong_size = descriptor(digest, size - 1);
    refused(
        &wrong_size,
        &good.diff_id,
        good.bytes.clone(),
        "is longer than",
    );
    refused(
        &good.descriptor,
        &other,
        good.bytes.clone(),
        "not what the image configuration says",
    );
    for (bytes, reason) in [
        (good.bytes[..good.bytes.len() / 2].to_vec(), "cut off"),
        (
            [&good.bytes[..], b"garbage after the end"].concat(),
            "damaged",
        ),
    ] {
        let descriptor = descriptor(Digest::of(&bytes), bytes.len() as u64);
        refused(&descriptor, &good.diff_id, bytes, reason);
    }
}

#[test]
fn documents_that_contradict_each_other_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let layer = remote(&Archive::default().file("a", b"1").end());
    let refused = |change: &dyn Fn(&mut Manifest, &mut ImageConfig), reason: &str| {
        let transaction = store.begin().unwrap();
        let added = bring(&transaction, &layer);
        let (manifest, config) = documents(&[added]);
        let mut manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
        let mut config: ImageConfig = serde_json::from_slice(&config).unwrap();
        change(&mut manifest, &mut config);
        let config = serde_json::to_vec(&config).unwrap();
        if reason != "names the image configuration" {
            manifest.config.digest = Digest::of(&config);
        }
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let error = transaction.commit(&manifest, &config, &[]).unwrap_err();
        assert!(error.chain().contains(reason), "{}", error.chain());
    };
    refused(
        &|manifest, _| manifest.config.digest = Digest::of(b"other"),
        "names the image configuration",
    );
    refused(&|manifest, _| manifest.layers.clear(), "has 0 layers");
    refused(
        &|_, config| config.rootfs.diff_ids[0] = Digest::of(b"x"),
        "not what the image",
    );
    refused(
        &|manifest, _| manifest.layers[0].digest = Digest::of(b"x"),
        "was not brought",
    );
    let many = |manifest: &mut Manifest, config: &mut ImageConfig| {
        manifest.layers = vec![manifest.layers[0].clone(); 501];
        config.rootfs.diff_ids = vec![config.rootfs.diff_ids[0]; 501];
    };
    refused(&many, "the limit is 500");
    assert!(store.list().unwrap().is_empty());
}
