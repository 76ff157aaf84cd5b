//! Images go out and come back, through this program and through others, and every file of the
//! union is what an independent model says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

mod archive;
mod model;

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use archive::{Archive, snapshot};
use insula_image::{
    AddedLayer, CONFIG_TYPE, Descriptor, Digest, ExportFormat, FormChoice, ImageConfig,
    ImportFormat, ImportOptions, MANIFEST_TYPE, Manifest, RootFs, Source, Store,
    TransactionOptions,
};
use model::{Model, layers};

fn documents(layers: &[AddedLayer]) -> (Vec<u8>, Vec<u8>) {
    let config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        created: Some("2026-11-20T21:00:00Z".to_owned()),
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

/// For programs that turn layers of zstd into nothing else.
const GZIP_ONLY: &str = "localhost/team/app:1";

/// Makes an image of layers, the odd ones gzip.
fn make(store: &Store, form: Option<FormChoice>, tars: &[Vec<u8>], name: &str) -> Digest {
    let options = TransactionOptions {
        sync: false,
        form,
        ..TransactionOptions::default()
    };
    let transaction = store.begin_with(options).unwrap();
    let add = |(number, tar): (usize, &Vec<u8>)| {
        let bytes = match number % 2 {
            0 if name != GZIP_ONLY => tar.clone(),
            _ => {
                let level = flate2::Compression::fast();
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
                gzip.write_all(tar).unwrap();
                gzip.finish().unwrap()
            }
        };
        transaction.add_layer(Box::new(Cursor::new(bytes))).unwrap()
    };
    let layers: Vec<AddedLayer> = tars.iter().enumerate().map(add).collect();
    let (manifest, config) = documents(&layers);
    let names = [name.parse().unwrap()];
    transaction
        .commit(&manifest, &config, &names)
        .unwrap()
        .manifest
}

/// What a container would see; `None` where nothing can be mounted.
fn seen(store: &Store, name: &str) -> Option<BTreeMap<Vec<u8>, String>> {
    let mounted = match store.mount(name, None) {
        Ok(mounted) => mounted,
        Err(error) => {
            eprintln!("skipped: {}", error.chain());
            return None;
        }
    };
    let found = snapshot(&mounted.directory);
    store.unmount(&mounted.id).unwrap();
    Some(found)
}

fn quick() -> ImportOptions {
    ImportOptions {
        sync: false,
        ..ImportOptions::default()
    }
}

/// Three layers with one of everything that makes a union more than a tree.
fn example() -> Vec<Vec<u8>> {
    let (tars, _) = layers(7, 3, false);
    tars
}

#[test]
fn the_union_is_what_the_model_says() {
    for seed in 0..80 {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let (tars, model) = layers(seed, 1 + usize::try_from(seed % 5).unwrap(), seed % 2 == 0);
        let expected = Model::describe(&model);
        for (form, name) in [
            (None, "best"),
            (Some(FormChoice::Directory("a test")), "directory"),
        ] {
            // In a store of its own: a layer has one form.
            let store = Store::new(&directory.path().join(name));
            make(&store, form, &tars, name);
            let Some(found) = seen(&store, name) else {
                return;
            };
            for (path, line) in &expected {
                let path_text = String::from_utf8_lossy(path);
                assert_eq!(
                    found.get(path),
                    Some(line),
                    "seed {seed} {name} {path_text}"
                );
            }
            assert_eq!(found.len(), expected.len(), "seed {seed} {name}: {found:?}");
        }
        drop(store);
    }
}

#[test]
fn every_form_goes_out_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(&directory.path().join("first"));
    let manifest = make(&store, None, &example(), "team/app:1");
    let id = store.resolve("team/app:1").unwrap().id;
    let Some(expected) = seen(&store, "team/app:1") else {
        return;
    };
    let names = ["team/app:1".to_owned()];
    let tar = |format: ExportFormat| {
        let mut bytes = Vec::new();
        store.export(&names, format, &mut bytes).unwrap();
        bytes
    };
    let layout = directory.path().join("layout");
    store
        .export_directory(&names, ExportFormat::Oci, &layout)
        .unwrap();
    let compressed = zstd::encode_all(tar(ExportFormat::Docker).as_slice(), 1).unwrap();
    let file = directory.path().join("file.tar");
    std::fs::write(&file, tar(ExportFormat::Oci)).unwrap();
    let stream = |bytes: Vec<u8>| Source::Stream(Box::new(Cursor::new(bytes)));
    let sources = [
        ("oci stream", stream(tar(ExportFormat::Oci)), true),
        ("oci file", Source::Path(file), true),
        ("oci directory", Source::Path(layout), true),
        ("docker stream", stream(tar(ExportFormat::Docker)), false),
        ("docker compressed", stream(compressed), false),
    ];
    for (number, (what, source, is_exact)) in sources.into_iter().enumerate() {
        let other = Store::new(&directory.path().join(format!("other-{number}")));
        let imported = other
            .import_images(source, ImportFormat::Auto, &quick())
            .unwrap();
        assert_eq!(imported[0].names, names, "{what}");
        assert_eq!(imported[0].id, id, "{what}");
        assert_eq!(imported[0].manifest == manifest, is_exact, "{what}");
        assert_eq!(seen(&other, "team/app:1").unwrap(), expected, "{what}");
        assert_eq!(
            std::fs::read_dir(
                directory
                    .path()
                    .join(format!("other-{number}/images/staging"))
            )
            .unwrap()
            .count(),
            0
        );
    }
    // The files alone, as one layer.
    let flat = directory.path().join("flat");
    store
        .export_directory(&names, ExportFormat::Rootfs, &flat)
        .unwrap();
    assert_eq!(
        without_root(snapshot(&flat)),
        without_root(expected.clone())
    );
    let options = ImportOptions {
        tag: Some("flat".parse().unwrap()),
        ..quick()
    };
    store
        .import_images(
            stream(tar(ExportFormat::Rootfs)),
            ImportFormat::Auto,
            &options,
        )
        .unwrap();
    assert_eq!(seen(&store, "flat").unwrap(), expected);
    assert!(store.mounts().is_empty());
}

fn without_root(mut tree: BTreeMap<Vec<u8>, String>) -> BTreeMap<Vec<u8>, String> {
    tree.remove(&Vec::new());
    tree
}

/// A program that `scripts/peers` unpacked, or of this machine.
fn peer(name: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin");
    let places = [here.join(name), Path::new("/usr/bin").join(name)];
    let found = places.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name}");
    }
    found
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

#[test]
fn skopeo_and_umoci_read_ours_and_we_read_theirs() {
    let (Some(skopeo), Some(umoci)) = (peer("skopeo"), peer("umoci")) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let store = Store::new(&directory.path().join("store"));
    make(&store, None, &example(), GZIP_ONLY);
    let Some(expected) = seen(&store, GZIP_ONLY) else {
        return;
    };
    let names = [GZIP_ONLY.to_owned()];
    for (name, format) in [
        ("oci.tar", ExportFormat::Oci),
        ("docker.tar", ExportFormat::Docker),
    ] {
        let mut file = std::fs::File::create(path(name)).unwrap();
        store.export(&names, format, &mut file).unwrap();
    }
    let policy = path("policy.json");
    std::fs::write(
        &policy,
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    )
    .unwrap();
    let copy = |from: String, to: String, more: &[&str]| {
        let tmp = ["--tmpdir", directory.path().to_str().unwrap()];
        run(Command::new(&skopeo)
            .args(["--policy", &policy])
            .args(tmp)
            .arg("copy")
            .args(more)
            .args([from, to]));
    };
    let oci = format!("oci-archive:{}:localhost/team/app:1", path("oci.tar"));
    let docker = format!("docker-archive:{}:localhost/team/app:1", path("docker.tar"));
    copy(oci.clone(), format!("oci:{}:tag", path("by-oci")), &[]);
    copy(docker, format!("oci:{}:tag", path("by-docker")), &[]);
    copy(
        oci,
        format!("docker-archive:{}:localhost/team/app:1", path("theirs.tar")),
        &[],
    );
    copy(
        format!("oci:{}:tag", path("by-oci")),
        format!("oci:{}:tag", path("zstd")),
        &["--dest-compress-format", "zstd"],
    );
    for (number, source) in ["by-oci", "by-docker", "theirs.tar", "zstd"]
        .iter()
        .enumerate()
    {
        let other = Store::new(&directory.path().join(format!("other-{number}")));
        let source = Source::Path(directory.path().join(source));
        let imported = other
            .import_images(source, ImportFormat::Auto, &quick())
            .unwrap();
        let name = &imported[0].names[0];
        assert!(["by-oci:tag", "by-docker:tag", GZIP_ONLY, "zstd:tag"].contains(&&**name));
        assert_eq!(seen(&other, name).unwrap(), expected, "{name}");
    }
    for layout in ["by-oci", "by-docker"] {
        let theirs = unpacked_by(&umoci, directory.path(), layout);
        assert_eq!(
            without_root(theirs),
            without_root(without_lonely_links(&expected))
        );
    }
}

/// What umoci makes of a layout.
fn unpacked_by(umoci: &Path, directory: &Path, layout: &str) -> BTreeMap<Vec<u8>, String> {
    let bundle = directory.join(format!("{layout}-bundle"));
    let image = format!("{}:tag", directory.join(layout).display());
    run(Command::new(umoci)
        .args(["unpack", "--image", &image])
        .arg(&bundle));
    snapshot(&bundle.join("rootfs"))
}

/// A file whose other names are hidden keeps its count of links in the union, but not in a copy.
fn without_lonely_links(tree: &BTreeMap<Vec<u8>, String>) -> BTreeMap<Vec<u8>, String> {
    let mark = |line: &str| line.rfind(" = [").map(|at| line[at..].to_owned());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in tree.values() {
        if let Some(mark) = mark(line) {
            *counts.entry(mark).or_default() += 1;
        }
    }
    let plain = |line: &String| match mark(line) {
        Some(mark) if counts[&mark] == 1 => line.replace(&mark, ""),
        _ => line.clone(),
    };
    tree.iter()
        .map(|(path, line)| (path.clone(), plain(line)))
        .collect()
}

#[test]
fn podman_reads_ours_and_we_read_theirs() {
    let Some(podman) = peer("podman") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let podman = |arguments: &[&str]| {
        let mut command = Command::new(&podman);
        command
            .args(["--root", &path("root"), "--runroot", &path("run")])
            .args(["--storage-driver", "vfs"])
            .env("TMPDIR", directory.path())
            .args(arguments);
        command
    };
    if !podman(&["info"]).output().unwrap().status.success() {
        eprintln!("skipped: podman does not work here");
        return;
    }
    let store = Store::new(&directory.path().join("store"));
    make(&store, None, &example(), GZIP_ONLY);
    let Some(expected) = seen(&store, "localhost/team/app:1") else {
        return;
    };
    let names = ["localhost/team/app:1".to_owned()];
    for (number, format) in [ExportFormat::Oci, ExportFormat::Docker]
        .into_iter()
        .enumerate()
    {
        let mut file = std::fs::File::create(path("ours.tar")).unwrap();
        store.export(&names, format, &mut file).unwrap();
        run(&mut podman(&["load", "-i", &path("ours.tar")]));
        for theirs in ["oci-archive", "docker-archive", "oci-dir"] {
            let file = path(&format!("{theirs}-{number}"));
            run(&mut podman(&[
                "save", "--format", theirs, "-o", &file, &names[0],
            ]));
            let other = Store::new(&directory.path().join(format!("{theirs}-store-{number}")));
            let options = ImportOptions {
                tag: Some(names[0].parse().unwrap()),
                ..quick()
            };
            let source = Source::Path(PathBuf::from(&file));
            other
                .import_images(source, ImportFormat::Auto, &options)
                .unwrap();
            assert_eq!(seen(&other, &names[0]).unwrap(), expected, "{theirs}");
        }
        run(&mut podman(&["rmi", "-f", &names[0]]));
    }
}

#[test]
fn several_images_come_from_one_archive() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(&directory.path().join("first"));
    let tars = example();
    make(&store, None, &tars[..2], "one:1");
    make(&store, None, &tars, "two:2");
    store.tag("two:2", &"three:3".parse().unwrap()).unwrap();
    let names = ["one:1".to_owned(), "two:2".to_owned()];
    for (number, format) in [ExportFormat::Oci, ExportFormat::Docker]
        .into_iter()
        .enumerate()
    {
        let mut bytes = Vec::new();
        store.export(&names, format, &mut bytes).unwrap();
        let other = Store::new(&directory.path().join(format!("other-{number}")));
        let source = Source::Stream(Box::new(Cursor::new(bytes)));
        let imported = other
            .import_images(source, ImportFormat::Auto, &quick())
            .unwrap();
        let found: Vec<&String> = imported.iter().flat_map(|image| &image.names).collect();
        assert_eq!(found, ["one:1", "two:2"]);
        let one = other.resolve("one:1").unwrap();
        let two = other.resolve("two:2").unwrap();
        assert_eq!(one.layers[..], two.layers[..2]);
    }
    let mut both = Vec::new();
    store.export(&names, ExportFormat::Oci, &mut both).unwrap();
    let options = ImportOptions {
        tag: Some("x".parse().unwrap()),
        ..quick()
    };
    let source = Source::Stream(Box::new(Cursor::new(both)));
    let error = store
        .import_images(source, ImportFormat::Auto, &options)
        .unwrap_err();
    assert!(error.chain().contains("has 2 images"), "{}", error.chain());
}

/// An uncompressed layout, from its documents.
fn layout(index: &str, blobs: &[&[u8]]) -> Vec<u8> {
    let mut tar = Archive::default()
        .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", index.as_bytes());
    for blob in blobs {
        tar = tar.file(&format!("blobs/sha256/{}", Digest::of(blob).hex()), blob);
    }
    tar.end()
}

fn entry(media_type: &str, blob: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
        Digest::of(blob),
        blob.len()
    )
}

/// Archives that look like images and are not, and why.
fn hostile() -> Vec<(Vec<u8>, &'static str)> {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let index = |entries: &str| format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
    // A chain of indexes, each a blob of the next.
    let mut chain = vec![index("")];
    for _ in 0..6 {
        let last = chain.last().unwrap();
        chain.push(index(&entry(INDEX, last.as_bytes())));
    }
    let blobs: Vec<&[u8]> = chain.iter().map(String::as_bytes).collect();
    let lie = entry(MANIFEST_TYPE, b"good").replace("\"size\":4", "\"size\":3");
    let docker = |json: &[u8]| Archive::default().file("manifest.json", json);
    let oci = |entries: &str, blobs: &[&[u8]]| layout(&index(entries), blobs);
    vec![
        (layout("{", &[]), "malformed"),
        (oci("", &[]), "no image"),
        (oci(&entry(MANIFEST_TYPE, b"missing"), &[]), "no member"),
        (oci(&entry(MANIFEST_TYPE, b"{}"), &[b"{}"]), "no manifest"),
        (
            layout(chain.last().unwrap(), &blobs),
            "indexes lead to indexes",
        ),
        (oci(&lie, &[b"good"]), "is not what its name"),
        (docker(b"[]").end(), "no image"),
        (
            docker(br#"[{"Config":"../x","Layers":[]}]"#).end(),
            "no member",
        ),
        (
            docker(br#"[{"Config":"a.json","Layers":[]}]"#)
                .symlink("a.json", "a.json")
                .end(),
            "no member",
        ),
        (
            docker(br#"[{"Config":"a.json","Layers":["b"]}]"#)
                .file(
                    "a.json",
                    br#"{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}"#,
                )
                .end(),
            "lists 1 layers",
        ),
        (Archive::default().file("blobs/x", b"").end(), "neither"),
    ]
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    for (bytes, reason) in hostile() {
        let source = Source::Stream(Box::new(Cursor::new(bytes)));
        let result = store.import_images(source, ImportFormat::Auto, &quick());
        let error = result.unwrap_err().chain();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    for place in ["blobs/sha256", "layers/sha256", "partial/sha256", "staging"] {
        let entries = std::fs::read_dir(directory.path().join("images").join(place));
        assert_eq!(entries.map_or(0, Iterator::count), 0, "{place}");
    }
}

#[test]
fn a_flipped_bit_is_found_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let content: Vec<u8> = (0..6_000_000_u32)
        .map(|n| n.to_be_bytes()[3] ^ n.to_be_bytes()[1])
        .collect();
    let tar = Archive::default()
        .directory("usr")
        .file("usr/large", &content)
        .file("usr/small", &[7; 5000])
        .end();
    make(&store, None, &[tar], "app:1");
    let verified = store.verify(&[], &|_| {}).unwrap();
    assert_eq!(
        (verified.images, verified.parts, verified.damages.len()),
        (1, 4, 0)
    );
    let flip = |path: &Path, at: u64| {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    };
    let image = store.resolve("app:1").unwrap();
    let archive = store.manifest(&image.manifest).unwrap().layers[0].digest;
    let blobs = directory.path().join("images/blobs/sha256");
    for (digest, kind) in [
        (archive, "archive"),
        (image.id, "config"),
        (image.manifest, "manifest"),
    ] {
        flip(&blobs.join(digest.hex()), 20);
        let verified = store.verify(&["app:1".to_owned()], &|_| {}).unwrap();
        assert_eq!(verified.damages.len(), 1);
        assert_eq!(verified.damages[0].part.kind(), kind);
        assert_eq!(verified.damages[0].part.digest(), &digest);
        assert_eq!(verified.damages[0].images, ["app:1"]);
        flip(&blobs.join(digest.hex()), 20);
    }
    let insula_image::LayerForm::Erofs(layer) = &image.layers[0].form else {
        return;
    };
    flip(layer, 2 << 20);
    let verified = store.verify(&[], &|_| {}).unwrap();
    let files: Vec<_> = verified
        .damages
        .iter()
        .filter_map(|damage| damage.part.path())
        .collect();
    assert_eq!(files, ["/usr/large"]);
    std::fs::remove_file(layer).unwrap();
    let verified = store.verify(&[], &|_| {}).unwrap();
    assert_eq!(verified.damages[0].part.kind(), "layer");
}
