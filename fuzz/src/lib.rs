//! What each fuzz target does with its bytes: an error, or something that holds together; never a
//! panic, never much more memory than the bytes ask for.
//!
//! `fuzz_targets/` hands these to libFuzzer; `tests/fuzz_replay` runs them with the seeds and with
//! changes of them on every toolchain. Start at [`TARGETS`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use std::os::fd::AsFd;

use insula_container::{seccomp, spec};
use insula_image::containerfile::{Containerfile, Expander, Ignore, Platform};
use insula_image::erofs::{Reader, write_layer};
use insula_image::registry::{Configuration, Document, check_runnable, read_document};
use insula_image::{
    ImportFormat, ImportOptions, Limits, Plain, Reference, Source, Store, UnpackOptions, Whiteouts,
    unpack_archive,
};

/// What is done with an input.
pub type Target = fn(&[u8]);

/// By the name of the directory below `seeds/`.
pub const TARGETS: [(&str, Target); 13] = [
    ("bzip2", bzip2),
    ("config_json", config_json),
    ("containerfile", containerfile),
    ("erofs", erofs),
    ("gzip", gzip),
    ("image_archive", image_archive),
    ("layer_write", layer_write),
    ("manifest", manifest),
    ("reference", reference),
    ("registries_conf", registries_conf),
    ("tar_import", tar_import),
    ("xz", xz),
    ("zstd", zstd),
];

/// More than any seed becomes; what a bomb becomes is not looked at to its end.
const OUTPUT_BYTES_MAX: u64 = 8 << 20;

fn limits() -> Limits {
    Limits {
        archive_bytes: 1 << 22,
        entries: 1000,
        file_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// As `config.json`: what is read survives being written and read again, and its seccomp part
/// compiles or is refused.
pub fn config_json(bytes: &[u8]) {
    let Ok(parsed) = spec::parse(bytes) else {
        return;
    };
    if let Some(profile) = parsed
        .linux
        .as_ref()
        .and_then(|linux| linux.seccomp.as_ref())
        && let Ok(filter) = seccomp::compile(profile)
    {
        // The kernel's BPF_MAXINSNS.
        assert!(
            filter.instructions.len() <= 4096,
            "a filter the kernel refuses"
        );
    }
    let written = serde_json::to_vec(&parsed).expect("a configuration can be written");
    if let Err(error) = spec::parse(&written) {
        panic!("what was written is refused: {error}");
    }
}

/// As a Containerfile and as an ignore file: an error, or a plan.
pub fn containerfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(ignore) = Ignore::parse(text, "ignore") {
        for path in ["a", "a/b.c", "src/main.rs"] {
            let _decided = ignore.ignores(path);
        }
    }
    let Ok(file) = Containerfile::parse(text, "Containerfile") else {
        return;
    };
    let arguments = BTreeMap::from([("A".to_owned(), "value".to_owned())]);
    let _plan = file.plan(None, &arguments, &Platform::host());
    let lookup = |name: &str| (name.len() < 3).then(|| format!("{name}/value.of"));
    let expander = Expander {
        escape: file.escape,
        lookup: &lookup,
        keep_quotes: false,
    };
    for located in file.stages.iter().flat_map(|stage| &stage.instructions) {
        if let Ok(expanded) = located.instruction.expanded(&expander) {
            let _program = format!("{expanded:?}");
        }
        let _trigger = file.parse_trigger(located.line, &located.text);
    }
}

/// As an EROFS image: a tree that can be walked to its end and read.
pub fn erofs(bytes: &[u8]) {
    let mut image = bytes.to_vec();
    // Says that the superblock has no checksum, or hardly any input would get behind it.
    if let Some(features) = image.get_mut(1024 + 8) {
        *features &= !1;
    }
    let Ok(reader) = Reader::open(&image[..]) else {
        return;
    };
    let mut buffer = [0; 8192];
    for entry in reader.walk().take(10_000) {
        let Ok(entry) = entry else {
            break;
        };
        let inode = &entry.inode;
        let _attributes = reader.xattrs(inode);
        let _target = reader.read_link(inode);
        for offset in [0, inode.size / 2, inode.size.saturating_sub(1)] {
            if let Ok(count) = reader.read(inode, offset, &mut buffer) {
                assert!(count <= buffer.len());
            }
        }
        let _found = reader.lookup(&entry.path);
    }
    let _place = reader.locate(0..image.len() as u64);
}

/// As the archive of a layer: what is written is an image that reads back whole.
pub fn layer_write(bytes: &[u8]) {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let options = UnpackOptions {
        limits: limits(),
        whiteouts: Whiteouts::Overlay,
        privileged: true,
        ..UnpackOptions::default()
    };
    let Ok(written) = write_layer(bytes, &file, &options) else {
        return;
    };
    let mut image = Vec::new();
    file.rewind().expect("the start of the file");
    file.read_to_end(&mut image).expect("the image is there");
    assert_eq!(image.len() as u64, written.image_bytes);
    let reader = Reader::open(&image[..]).expect("what was written is an image");
    let mut inodes = std::collections::BTreeSet::new();
    for entry in reader.walk() {
        let entry = entry.expect("every entry can be read");
        let found = reader.lookup(&entry.path).expect("a sound image");
        assert_eq!(found.map(|inode| inode.nid), Some(entry.inode.nid));
        inodes.insert(entry.inode.nid);
        let _attributes = reader.xattrs(&entry.inode).expect("sound attributes");
    }
    assert_eq!(inodes.len() as u64, reader.inodes());
}

/// As what a registry serves for a tag: an image or an index, of which one entry is chosen.
pub fn manifest(bytes: &[u8]) {
    let headers = [
        None,
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"),
    ];
    for header in headers {
        match read_document(bytes, header) {
            Err(error) => assert!(!error.chain().chars().any(char::is_control)),
            Ok(Document::Image(manifest)) => {
                let _verdict = check_runnable(&manifest);
                let written = serde_json::to_vec(&manifest).expect("a manifest can be written");
                let again = serde_json::from_slice(&written).expect("and read again");
                assert_eq!(manifest, again);
            }
            Ok(Document::Index(index)) => {
                let platforms = index.platforms();
                assert!(platforms.len() <= index.manifests.len());
                for platform in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
                    let platform = platform.parse().expect("a platform");
                    if let Ok(chosen) = index.choose(&platform) {
                        let mut entries = index.manifests.iter();
                        assert!(entries.any(|entry| entry.descriptor == *chosen));
                    }
                }
            }
        }
    }
}

/// As the name of an image: what is accepted is written as something that means the same.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    let written = reference.to_string();
    let again: Reference = written.parse().expect("what was written is a name");
    assert_eq!(again, reference, "{written}");
    assert!(reference.name().len() <= 255);
    assert!(!reference.tagged().contains(['@', ' ', '\n']));
    if let Some(host) = reference.host() {
        assert_eq!(format!("{host}/{}", reference.path()), reference.name());
    }
    let renamed = reference.with_name("other/name").expect("a bare name");
    assert_eq!(
        (renamed.tag(), renamed.digest()),
        (reference.tag(), reference.digest())
    );
    let _candidates = Configuration::default().candidates(&reference);
}

/// As `registries.conf`.
pub fn registries_conf(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("write it");
    let mut configuration = Configuration::default();
    if configuration.add_file(file.path()).is_err() {
        return;
    }
    for name in [
        "debian",
        "localhost:5000/a/b:1",
        "docker.io/library/x",
        "a.example/b",
    ] {
        let reference = name.parse().expect("a name");
        if let Ok(candidates) = configuration.candidates(&reference) {
            assert!(
                candidates
                    .iter()
                    .all(|candidate| candidate.host().is_some())
            );
        }
    }
}

pub fn gzip(bytes: &[u8]) {
    stream(&[0x1f, 0x8b, 0x08], bytes);
}

pub fn zstd(bytes: &[u8]) {
    stream(&[0x28, 0xb5, 0x2f, 0xfd], bytes);
}

pub fn xz(bytes: &[u8]) {
    stream(b"\xfd7zXZ\0", bytes);
}

pub fn bzip2(bytes: &[u8]) {
    stream(b"BZh9", bytes);
}

/// As a compressed stream: an error or its content, and the same whatever the pieces it is read in.
fn stream(magic: &[u8], bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    if !whole.starts_with(magic) {
        whole.splice(0..0, magic.iter().copied());
    }
    let at_once = decompress(&whole, 1 << 16);
    if whole.len() < 4096 && at_once.0.len() < 1 << 16 {
        let in_pieces = decompress(&whole, 7);
        assert_eq!(
            at_once.1, in_pieces.1,
            "one reading fails, the other does not"
        );
        if at_once.1 {
            assert!(at_once.0 == in_pieces.0, "two readings differ");
        }
    }
}

/// What comes out, and whether it ends well.
fn decompress(bytes: &[u8], piece_bytes: usize) -> (Vec<u8>, bool) {
    let Ok(plain) = Plain::detect(Box::new(Cursor::new(bytes.to_vec()))) else {
        return (Vec::new(), false);
    };
    let mut plain = plain.take(OUTPUT_BYTES_MAX);
    let mut output = Vec::new();
    let mut piece = vec![0; piece_bytes];
    loop {
        match plain.read(&mut piece) {
            Ok(0) => return (output, true),
            Ok(count) => output.extend_from_slice(&piece[..count]),
            Err(_) => return (output, false),
        }
    }
}

/// As what `insula image import` is given: an image that checks as whole, or nothing at all.
pub fn image_archive(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::new(directory.path());
    let options = ImportOptions {
        unpack: UnpackOptions {
            limits: limits(),
            privileged: false,
            ..UnpackOptions::default()
        },
        sync: false,
        ..ImportOptions::default()
    };
    let source = Source::Stream(Box::new(Cursor::new(bytes.to_vec())));
    let outcome = store.import_images(source, ImportFormat::Auto, &options);
    let images = store.list().expect("the store can be read").len();
    match outcome {
        Ok(imported) => assert!(images <= imported.len()),
        // Those before the one that fails are there.
        Err(error) => assert!(!error.chain().is_empty()),
    }
    let verified = store
        .verify(&[], &|_| {})
        .expect("the store can be checked");
    assert_eq!(verified.damages, []);
}

/// As an archive that is unpacked: a tree below the target; nothing beside it changes.
pub fn tar_import(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let target = directory.path().join("target");
    std::fs::create_dir(&target).expect("the target");
    std::fs::write(directory.path().join("witness"), "untouched").expect("the witness");
    let options = UnpackOptions {
        limits: limits(),
        // No owners and no devices: the fuzzer may run as root.
        privileged: false,
        ..UnpackOptions::default()
    };
    let handle = File::open(&target).expect("open the target");
    let _outcome = unpack_archive(Cursor::new(bytes.to_vec()), handle.as_fd(), &options);
    let witness = std::fs::read(directory.path().join("witness")).expect("the witness stays");
    assert_eq!(witness, b"untouched");
    let beside = std::fs::read_dir(directory.path()).expect("list").count();
    assert_eq!(beside, 2, "something was made beside the target");
}
