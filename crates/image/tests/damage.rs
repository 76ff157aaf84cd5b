//! Bits that flip on the disk: each is found and named, and the next pull mends what they damaged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod layer;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Cursor, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use archive::Archive;
use insula_image::erofs::{FileKind, Reader};
use insula_image::{
    AddedLayer, CONFIG_TYPE, Claim, Damage, Descriptor, Digest, ImageConfig, LAYER_GZIP_TYPE,
    LayerForm, MANIFEST_TYPE, Manifest, RootFs, Store,
};
use layer::Random;

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

/// Files of every way to be kept: in blocks, with holes, and beside their inode.
fn layers() -> [Remote; 2] {
    let mut random = Random::new(5);
    let mut large = random.bytes(3 << 20);
    large[1 << 20..2 << 20].fill(0);
    let mut first = Archive::default().file("large", &large);
    for number in 0..60 {
        let length = random.index(9000);
        let content = random.bytes(length);
        first = first.file(&format!("d{}/f{number}", number % 7), &content);
    }
    let long = "t".repeat(3000);
    let second = Archive::default()
        .directory("usr")
        .file("usr/one", &random.bytes(100))
        .hard_link("usr/two", "usr/one")
        .symlink("usr/link", "one")
        .pax(&[("linkpath", long.as_bytes())])
        .symlink("usr/long", "x")
        .pax(&[("SCHILY.xattr.user.note", &random.bytes(300))])
        .file("usr/marked", b"");
    [first.end(), second.end()].map(|tar| remote(&tar))
}

/// Pulls: how many bytes had to come.
fn pull(store: &Store, layers: &[Remote]) -> u64 {
    let transaction = store.begin().unwrap();
    let mut came = 0;
    let mut added: Vec<AddedLayer> = Vec::new();
    for layer in layers {
        let claim = transaction.claim_layer(&layer.descriptor, Some(&layer.diff_id));
        added.push(match claim.unwrap() {
            Claim::Present(layer) => layer,
            Claim::Missing(pending) => {
                let from = pending.resume_from();
                came += layer.descriptor.size - from;
                let rest = layer.bytes[usize::try_from(from).unwrap()..].to_vec();
                let rest = Box::new(Cursor::new(rest));
                pending.receive(rest, &|_| {}).unwrap()
            }
        });
    }
    let config = ImageConfig {
        os: "linux".to_owned(),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: added.iter().map(|layer| layer.diff_id).collect(),
        },
        ..ImageConfig::default()
    };
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config: Descriptor::new(CONFIG_TYPE, Digest::of(&config), config.len() as u64),
        layers: added.iter().map(|layer| layer.descriptor.clone()).collect(),
        other: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let names = ["app:1".parse().unwrap()];
    transaction.commit(&manifest, &config, &names).unwrap();
    came
}

fn flip(path: &Path, at: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
}

fn damages(store: &Store) -> Vec<Damage> {
    store.verify(&[], &|_| {}).unwrap().damages
}

/// The files whose content has a byte of the image, by the reader alone.
fn owners(image: &Path, at: u64) -> BTreeSet<String> {
    let reader = Reader::open(File::open(image).unwrap()).unwrap();
    let mut owners = BTreeSet::new();
    for entry in reader.walk().map(Result::unwrap) {
        let mut offset = 0;
        while let Some(segment) = reader.segment(&entry.inode, offset).unwrap() {
            let start = segment.image_offset.unwrap_or(u64::MAX);
            let is_in = at >= start && at - start < segment.length;
            if entry.inode.kind == FileKind::File && is_in {
                owners.insert(format!("/{}", String::from_utf8_lossy(&entry.path)));
            }
            offset += segment.length;
        }
    }
    owners
}

struct Target {
    path: PathBuf,
    /// What must be named.
    kind: &'static str,
    digest: Digest,
    is_image: bool,
}

fn targets(store: &Store, root: &Path) -> Vec<Target> {
    let image = store.resolve("app:1").unwrap();
    let blob = |kind, digest: Digest| Target {
        path: root.join("images/blobs/sha256").join(digest.hex()),
        kind,
        digest,
        is_image: false,
    };
    let mut targets = vec![blob("manifest", image.manifest), blob("config", image.id)];
    for layer in store.manifest(&image.manifest).unwrap().layers {
        targets.push(blob("archive", layer.digest));
    }
    for layer in image.layers {
        let LayerForm::Erofs(path) = layer.form else {
            continue;
        };
        let record = path.with_file_name("layer.json");
        for (path, is_image) in [(path, true), (record, false)] {
            targets.push(Target {
                path,
                kind: "layer",
                digest: layer.diff_id,
                is_image,
            });
        }
    }
    targets
}

/// A bit in a file's content names this file, whatever stands beside it; any other bit of a layer
/// names what it describes, or the layer.
#[test]
fn a_flipped_bit_anywhere_is_found_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull(&store, &layers());
    assert_eq!(damages(&store), []);
    let targets = targets(&store, directory.path());
    let mut random = Random::new(9);
    for round in 0..160 {
        let target = &targets[round % targets.len()];
        let length = target.path.metadata().unwrap().len();
        // Every second one where the metadata is.
        let at = match random.below(2) {
            0 => random.below(length),
            _ => length - 1 - random.below(length.min(12_000)),
        };
        let owners = match target.is_image {
            true => owners(&target.path, at),
            false => BTreeSet::new(),
        };
        let bit = u8::try_from(random.below(8)).unwrap();
        let what = format!("round {round}: bit {bit} of byte {at}, {:?}", target.path);
        flip(&target.path, at, bit);
        let damages = damages(&store);
        flip(&target.path, at, bit);
        assert!(!damages.is_empty(), "{what}");
        let mut named = BTreeSet::new();
        for damage in &damages {
            assert_eq!(damage.part.digest(), &target.digest, "{what}: {damage:?}");
            assert_eq!(damage.images, ["app:1"], "{what}");
            match damage.part.path() {
                Some(path) => drop(named.insert(path.to_owned())),
                None => assert_eq!(damage.part.kind(), target.kind, "{what}"),
            }
        }
        if !owners.is_empty() {
            assert_eq!(named, owners, "{what}: {damages:?}");
        }
        // A byte is part of one thing; hard links give it several names.
        assert!(named.len() <= 2, "{what}: {damages:?}");
    }
    assert_eq!(damages(&store), []);
}

/// With the archive damaged as well nothing can be compared: everything near is named.
#[test]
fn where_the_archive_is_damaged_too_the_neighbourhood_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    pull(&store, &layers());
    let targets = targets(&store, directory.path());
    let image = targets.iter().find(|target| target.is_image).unwrap();
    let archive = targets.iter().find(|target| target.kind == "archive");
    flip(&archive.unwrap().path, 1000, 0);
    flip(&image.path, 5000, 0);
    let damages = damages(&store);
    let owners = owners(&image.path, 5000);
    let named: BTreeSet<_> = damages
        .iter()
        .filter_map(|damage| damage.part.path().map(str::to_owned))
        .collect();
    assert!(named.is_superset(&owners), "{named:?}");
    assert!(damages.iter().any(|damage| damage.part.kind() == "archive"));
}

#[test]
fn a_pull_after_the_check_mends_what_is_damaged_and_brings_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let layers = layers();
    let all: u64 = layers.iter().map(|layer| layer.descriptor.size).sum();
    assert_eq!(pull(&store, &layers), all);
    let targets = targets(&store, directory.path());
    let mut random = Random::new(3);
    for target in &targets {
        let length = target.path.metadata().unwrap().len();
        flip(&target.path, random.below(length), 1);
        assert!(!damages(&store).is_empty(), "{:?}", target.path);
        // A layer is made of its archive, which is here.
        let expected = match target.kind {
            "archive" => length,
            _ => 0,
        };
        assert_eq!(pull(&store, &layers), expected, "{:?}", target.path);
        assert_eq!(damages(&store), [], "{:?}", target.path);
    }
    // Who has the old layer open keeps it; nothing of the old ones is left.
    let notes = std::fs::read_dir(directory.path().join("images/damaged"));
    assert_eq!(notes.unwrap().count(), 0);
    let staging = std::fs::read_dir(directory.path().join("images/staging"));
    assert_eq!(staging.unwrap().count(), 0);
}

/// Nobody checked: what is obviously missing is brought all the same.
#[test]
fn a_layer_that_lost_its_file_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let layers = layers();
    pull(&store, &layers);
    for target in targets(&store, directory.path()) {
        if matches!(target.kind, "archive" | "layer") {
            std::fs::remove_file(&target.path).unwrap();
            pull(&store, &layers);
            assert_eq!(damages(&store), [], "{:?}", target.path);
        }
    }
}
