//! Real archives, made by the tools people use, arrive whole; and the store keeps its promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use std::io::{Cursor, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use archive::{Archive, snapshot};
use insula_image::{Digest, FormChoice, ImportOptions, Kind, PruneScope, Source, Store};

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn options(tag: &str) -> ImportOptions {
    ImportOptions {
        tag: Some(tag.parse().unwrap()),
        sync: false,
        // What arrived is looked at where it lies; the other form is mounted in other tests.
        form: Some(FormChoice::Directory("a test looks at it")),
        ..ImportOptions::default()
    }
}

fn nobody(_: &Digest) -> Vec<String> {
    Vec::new()
}

fn stream(bytes: Vec<u8>) -> Source {
    Source::Stream(Box::new(Cursor::new(bytes)))
}

/// Files with holes, and one that fills several pieces.
fn make_large_files(root: &Path) {
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    for offset in [0_u64, 65536, 300_000, 700_000] {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[1; 5000], offset).unwrap();
    }
    let only_hole = std::fs::File::create(root.join("hole")).unwrap();
    only_hole.set_len(64 << 20).unwrap();
    let mut large = std::fs::File::create(root.join("large")).unwrap();
    for index in 0..400_000_u32 {
        large.write_all(&index.to_le_bytes()).unwrap();
    }
}

/// One of everything that a root file system may have.
fn make_tree(root: &Path) {
    std::fs::create_dir(root).unwrap();
    std::fs::create_dir_all(root.join("usr/bin")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    std::fs::write(root.join("usr/bin/su"), "program").unwrap();
    let set_mode = |path: &str, mode| {
        std::fs::set_permissions(root.join(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    std::fs::hard_link(root.join("usr/bin/su"), root.join("usr/bin/su2")).unwrap();
    std::fs::DirBuilder::new()
        .mode(0o711)
        .create(root.join("closed"))
        .unwrap();
    std::fs::write(root.join("closed/empty"), "").unwrap();
    let long = "directory-with-a-long-name/".repeat(12);
    std::fs::create_dir_all(root.join(&long)).unwrap();
    std::fs::write(root.join(&long).join("n".repeat(200)), "deep").unwrap();
    symlink("t".repeat(300), root.join("long-link")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"not-\xff-utf8\n");
    std::fs::write(root.join(odd), "odd").unwrap();
    make_large_files(root);
    run(Command::new("mkfifo").arg(root.join("fifo")));
    run(Command::new("mknod")
        .arg(root.join("null"))
        .args(["c", "1", "3"]));
    run(Command::new("mknod")
        .arg(root.join("disk"))
        .args(["b", "7", "200"]));
    for (path, uid, gid) in [
        ("usr/bin/su", 70_000, 3_000_000_000),
        ("closed", 33, 33),
        ("null", 1, 2),
    ] {
        std::os::unix::fs::lchown(root.join(path), Some(uid), Some(gid)).unwrap();
    }
    std::os::unix::fs::lchown(root.join("bin"), Some(5), Some(6)).unwrap();
    let xattr = |path: &str, name: &str, value: &[u8]| {
        let flags = insula_sys::rustix::fs::XattrFlags::empty();
        insula_sys::rustix::fs::lsetxattr(root.join(path), name, value, flags).unwrap();
    };
    // Version 2, CAP_NET_RAW permitted, effective.
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    std::fs::write(root.join("usr/bin/ping"), "ping").unwrap();
    xattr("usr/bin/ping", "security.capability", capability);
    xattr("usr/bin/ping", "user.binary", b"a\0b\n");
    xattr("closed", "user.directory", b"yes");
    xattr("bin", "trusted.link", b"on a link");
    set_mode("usr/bin/su", 0o4755);
    set_mode("usr/bin", 0o2775);
    set_mode("closed/empty", 0o000);
    for (path, time) in [
        ("usr/bin/su", "@-1.5"),
        ("bin", "@1000000000.123456789"),
        ("null", "@86400"),
        ("large", "@5000000000.25"),
        ("usr", "@1"),
        ("", "@2.000000001"),
    ] {
        run(Command::new("touch")
            .args(["-h", "-d", time])
            .arg(root.join(path)));
    }
}

/// Seconds only, for formats that have no more.
fn without_fractions(
    tree: std::collections::BTreeMap<Vec<u8>, String>,
) -> std::collections::BTreeMap<Vec<u8>, String> {
    tree.into_iter()
        .map(|(name, line)| {
            let mut parts: Vec<_> = line.split(' ').map(str::to_owned).collect();
            parts[2] = parts[2].split('.').next().unwrap().to_owned();
            (name, parts.join(" "))
        })
        .collect()
}

#[test]
fn archives_of_gnu_tar_arrive_whole() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    make_tree(&tree);
    let store = Store::new(&directory.path().join("root"));
    let expected = snapshot(&tree);
    for (format, flags) in [
        ("pax", &["--sparse", "--sparse-version=1.0"][..]),
        ("pax", &["--sparse", "--sparse-version=0.1"]),
        ("pax", &["--sparse", "--sparse-version=0.0"]),
        ("pax", &[]),
        ("gnu", &["--sparse"]),
    ] {
        let file = directory.path().join("archive.tar");
        run(Command::new("tar")
            .args(["--format", format, "--xattrs", "--xattrs-include=*"])
            .args(
                ["--pax-option=delete=atime,delete=ctime"]
                    .iter()
                    .filter(|_| format == "pax"),
            )
            .args(flags)
            .args(if format == "gnu" {
                &["--no-xattrs"][..]
            } else {
                &[]
            })
            .arg("-cf")
            .arg(&file)
            .arg("-C")
            .arg(&tree)
            .arg("."));
        let imported = store
            .import(Source::Path(file.clone()), &options("real:1"))
            .unwrap();
        assert_eq!(
            imported.layers[0],
            Digest::of(&std::fs::read(&file).unwrap())
        );
        let image = store.resolve("real:1").unwrap();
        let found = snapshot(image.layers[0].form.path());
        if format == "gnu" {
            let plain = |tree| -> std::collections::BTreeMap<_, _> {
                without_fractions(tree)
                    .into_iter()
                    .map(|(name, line): (Vec<u8>, String)| {
                        (name, line.split(" [").next().unwrap().to_owned())
                    })
                    .collect()
            };
            assert_eq!(plain(found), plain(expected.clone()), "{format} {flags:?}");
        } else {
            assert_eq!(found, expected, "{format} {flags:?}");
        }
        if !flags.is_empty() {
            let sparse = image.layers[0].form.path().join("hole").metadata().unwrap();
            assert_eq!((sparse.size(), sparse.blocks()), (64 << 20, 0));
        }
    }
}

#[test]
fn a_directory_arrives_whole_and_always_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    make_tree(&tree);
    let store = Store::new(&directory.path().join("root"));
    let first = store
        .import(Source::Path(tree.clone()), &options("tree:1"))
        .unwrap();
    let second = store
        .import(Source::Path(tree.clone()), &options("tree:2"))
        .unwrap();
    assert_eq!(first.layers[0], second.layers[0]);
    let image = store.resolve("tree:1").unwrap();
    assert_eq!(snapshot(image.layers[0].form.path()), snapshot(&tree));
    let hole = image.layers[0].form.path().join("hole").metadata().unwrap();
    assert_eq!(hole.blocks(), 0);
    // And what we write, others can read.
    assert_eq!(image.config.rootfs.diff_ids, [first.layers[0]]);
}

#[test]
fn archives_of_other_tools_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(&directory.path().join("root"));
    let script = r#"
import io, sys, tarfile
formats = {"v7": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
tar = tarfile.open(fileobj=sys.stdout.buffer, mode="w|" + sys.argv[2], format=formats[sys.argv[1]])
for name, kind, link in [("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, ""),
                         ("l", tarfile.SYMTYPE, "d/f"), ("h", tarfile.LNKTYPE, "d/f"),
                         ("x/" * 40 + "deep", tarfile.REGTYPE, "")]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mtime, info.mode = kind, link, 7, 0o755
    info.uid = 100000 if sys.argv[1] != "v7" else 1000
    info.size = 5 if kind == tarfile.REGTYPE else 0
    tar.addfile(info, io.BytesIO(b"hello") if info.size else None)
tar.close()
"#;
    for format in ["v7", "gnu", "pax"] {
        for compression in ["", "gz"] {
            let output = Command::new("python3")
                .args(["-c", script, format, compression])
                .stderr(Stdio::inherit())
                .output()
                .unwrap();
            let imported = store
                .import(stream(output.stdout), &options("python"))
                .unwrap();
            assert_eq!(imported.unpacked.entries, 5);
            let root = store.resolve("python").unwrap().layers[0]
                .form
                .path()
                .to_owned();
            let deep = format!("{}deep", "x/".repeat(40));
            assert_eq!(std::fs::read(root.join(deep)).unwrap(), b"hello");
            assert_eq!(std::fs::read(root.join("l")).unwrap(), b"hello");
            let file = root.join("h").metadata().unwrap();
            let uid = if format == "v7" { 1000 } else { 100_000 };
            assert_eq!((file.nlink(), file.uid(), file.mtime()), (2, uid, 7));
        }
    }
}

#[test]
fn compressed_streams_are_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(&directory.path().join("root"));
    let tar = Archive::default().file("a", b"1").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar[..600]).unwrap();
    let mut gzip = gzip.finish().unwrap();
    let mut rest = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    rest.write_all(&tar[600..]).unwrap();
    // Two members, as parallel compressors write.
    gzip.extend(rest.finish().unwrap());
    let mut zstd = zstd::encode_all(&tar[..600], 3).unwrap();
    zstd.extend(zstd::encode_all(&tar[600..], 3).unwrap());
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&tar).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    let mut forms = vec![tar.clone(), gzip, zstd, bzip2];
    let plain = directory.path().join("a.tar");
    std::fs::write(&plain, &tar).unwrap();
    // Two streams, as parallel compressors write.
    let xz = Command::new("xz").arg("--stdout").arg(&plain).output();
    forms.extend(xz.ok().map(|output| output.stdout));
    for bytes in forms {
        let imported = store.import(stream(bytes), &options("a")).unwrap();
        assert_eq!(imported.layers[0], Digest::of(&tar));
    }
    assert_eq!(
        store
            .list()
            .unwrap()
            .iter()
            .filter(|image| !image.references.is_empty())
            .count(),
        1
    );
}

#[test]
fn an_image_is_found_by_name_and_identifier() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    assert_eq!(store.resolve("a").unwrap_err().kind(), Kind::NotFound);
    let mut options = options("team/a:1");
    options.changes = vec!["CMD [\"bash\"]".to_owned(), "ENV A=b".to_owned()];
    options.message = Some("hello".to_owned());
    let tar = Archive::default().file("a", b"12345").end();
    let imported = store.import(stream(tar), &options).unwrap();
    let hex = imported.id.hex();
    for name in [
        "team/a:1",
        &hex,
        &hex[..12],
        &imported.id.to_string(),
        &imported.manifest.to_string(),
        &format!("team/a@{}", imported.manifest),
    ] {
        assert_eq!(store.resolve(name).unwrap().id, imported.id, "{name}");
    }
    for name in ["team/a", "a:1", "team/a:2", &hex[..2], "", "sha256:"] {
        let error = store.resolve(name).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{name}");
        assert!(error.hint_text().is_some());
    }
    let image = store.resolve("team/a:1").unwrap();
    assert_eq!(image.config.config.cmd, ["bash"]);
    assert_eq!(image.config.history[0].comment.as_deref(), Some("hello"));
    let manifest = store.manifest(&image.manifest).unwrap();
    assert_eq!(manifest.config.digest, image.id);
    let archive = store.read_blob(&manifest.layers[0].digest).unwrap();
    assert_eq!(Digest::of(&archive), manifest.layers[0].digest);
    let plain = zstd::decode_all(archive.as_slice()).unwrap();
    assert_eq!(Digest::of(&plain), imported.layers[0]);
    let listed = &store.list().unwrap()[0];
    assert_eq!((listed.size_bytes, listed.references.len()), (5, 1));
    store.tag("team/a:1", &"b".parse().unwrap()).unwrap();
    assert_eq!(store.resolve("b:latest").unwrap().id, imported.id);
}

#[test]
fn images_go_when_nobody_needs_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let tar = |name: &str| Archive::default().file(name, b"x").end();
    let one = store.import(stream(tar("1")), &options("one")).unwrap();
    store.import(stream(tar("2")), &options("two")).unwrap();
    store.tag("one", &"uno".parse().unwrap()).unwrap();
    let used = |manifest: &Digest| {
        let is_one = *manifest == one.manifest;
        is_one.then(|| "box".to_owned()).into_iter().collect()
    };
    let error = store.remove(&one.id.hex(), false, &nobody).unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    let removed = store.remove("uno", false, &used).unwrap();
    assert_eq!(
        (removed.untagged, removed.deleted.len()),
        (vec!["uno:latest".to_owned()], 0)
    );
    let error = store.remove("one", false, &used).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    assert!(error.to_string().contains("`box`"), "{error}");
    let layer = store.resolve("one").unwrap().layers[0]
        .form
        .path()
        .to_owned();
    let removed = store.remove("one", true, &used).unwrap();
    assert_eq!((removed.deleted, removed.freed_bytes), (vec![one.id], 1));
    assert!(!layer.exists());
    assert_eq!(store.list().unwrap().len(), 1);

    // A name that moves leaves an image without one.
    store.import(stream(tar("3")), &options("two")).unwrap();
    assert_eq!(store.list().unwrap().len(), 2);
    let pruned = store.prune(PruneScope::Leftovers, &nobody).unwrap();
    assert_eq!((pruned.deleted.len(), pruned.leftovers), (0, 0));
    let pruned = store.prune(PruneScope::Unnamed, &nobody).unwrap();
    assert_eq!((pruned.deleted.len(), pruned.leftovers), (1, 0));
    let pruned = store.prune(PruneScope::Unused, &nobody).unwrap();
    assert_eq!(pruned.deleted.len(), 1);
    assert_eq!(names(directory.path(), "images/layers/sha256"), 0);
    assert_eq!(names(directory.path(), "images/blobs/sha256"), 0);
    assert_eq!(names(directory.path(), "images/staging"), 0);
}

fn names(root: &Path, directory: &str) -> usize {
    std::fs::read_dir(root.join(directory)).unwrap().count()
}

#[test]
fn two_images_share_a_layer() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let tar = Archive::default().file("a", b"x").end();
    let mut second = options("second");
    second.changes = vec!["CMD [\"other\"]".to_owned()];
    store
        .import(stream(tar.clone()), &options("first"))
        .unwrap();
    store.import(stream(tar), &second).unwrap();
    assert_eq!(names(directory.path(), "images/layers/sha256"), 1);
    store.remove("first", false, &nobody).unwrap();
    assert!(
        store.resolve("second").unwrap().layers[0]
            .form
            .path()
            .join("a")
            .exists()
    );
}

#[test]
fn commands_at_the_same_time_do_not_meet() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    std::thread::scope(|scope| {
        for index in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..5 {
                    // Half of them the same archive.
                    let content = format!("{}", if index < 4 { 0 } else { index * 10 + round });
                    let tar = Archive::default().file("a", content.as_bytes()).end();
                    let tag = format!("image{index}");
                    store.import(stream(tar), &options(&tag)).unwrap();
                    let image = store.resolve(&tag).unwrap();
                    let found = std::fs::read(image.layers[0].form.path().join("a")).unwrap();
                    assert_eq!(found, content.as_bytes());
                    if round % 2 == 0 {
                        store.remove(&tag, false, &nobody).unwrap();
                    }
                    store.prune(PruneScope::Unnamed, &nobody).unwrap();
                }
            });
        }
    });
    assert_eq!(names(directory.path(), "images/staging"), 0);
}

const CHILD_STORE: &str = "INSULA_TEST_CHILD_STORE";

/// Not a test of its own: the process that the next test kills.
#[test]
fn child_that_imports_its_input() {
    let Some(root) = std::env::var_os(CHILD_STORE) else {
        return;
    };
    let source = Source::Stream(Box::new(std::io::stdin()));
    let _ = Store::new(Path::new(&root)).import(source, &options("killed"));
}

#[test]
fn a_killed_import_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_imports_its_input"])
        .env(CHILD_STORE, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let piece = Archive::default().file("f", &[1; 100_000]).0;
    let staged = || -> Option<PathBuf> {
        let staging = std::fs::read_dir(directory.path().join("images/staging")).ok()?;
        let made = std::fs::read_dir(staging.flatten().next()?.path()).ok()?;
        let mut made = made.flatten().map(|entry| entry.path());
        made.find(|path| path.join("fs/f").exists())
    };
    // Pieces of 512 KiB: fed until the first file is there.
    while staged().is_none() {
        input.write_all(&piece).unwrap();
    }
    // Somebody else's import does not touch what is being made.
    store
        .import(
            stream(Archive::default().file("a", b"").end()),
            &options("other"),
        )
        .unwrap();
    assert!(staged().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    let pruned = store.prune(PruneScope::Leftovers, &nobody).unwrap();
    assert_eq!(pruned.leftovers, 1);
    assert!(staged().is_none());
    assert_eq!(names(directory.path(), "images/staging"), 0);
    assert!(store.resolve("other").is_ok());
}

#[test]
fn what_a_crash_between_renames_left_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let tar = Archive::default().file("a", b"").end();
    store.import(stream(tar), &options("kept")).unwrap();
    let images = directory.path().join("images");
    let orphan = images.join("layers/sha256").join("0".repeat(64)).join("fs");
    std::fs::create_dir_all(orphan).unwrap();
    std::fs::write(images.join("blobs/sha256").join("1".repeat(64)), "{}").unwrap();
    std::fs::create_dir(images.join("staging/killed-before-its-owner")).unwrap();
    let pruned = store.prune(PruneScope::Leftovers, &nobody).unwrap();
    assert_eq!(pruned.leftovers, 3);
    assert_eq!(names(directory.path(), "images/layers/sha256"), 1);
    assert!(store.resolve("kept").is_ok());
}

#[test]
fn a_full_disk_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(directory.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("skipped: cannot mount a tmpfs");
        return;
    }
    let store = Store::new(directory.path());
    let small = Archive::default().file("a", b"x").end();
    store.import(stream(small), &options("small")).unwrap();
    let large = Archive::default().file("a", &vec![1; 4 << 20]).end();
    let error = store.import(stream(large), &options("large")).unwrap_err();
    let resolved = store.resolve("small");
    let staging = names(directory.path(), "images/staging");
    run(Command::new("umount").arg(directory.path()));
    assert!(error.chain().contains("No space left"), "{}", error.chain());
    assert!(error.hint_text().unwrap().contains("free space"));
    assert!(resolved.is_ok());
    assert_eq!(staging, 0);
}

#[test]
fn a_source_that_holds_the_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(&directory.path().join("root"));
    let source = Source::Path(directory.path().to_owned());
    let error = store.import(source, &options("loop")).unwrap_err();
    assert!(
        error.chain().contains("the image store itself"),
        "{}",
        error.chain()
    );
    let source = Source::Path(directory.path().join("missing"));
    let error = store.import(source, &options("missing")).unwrap_err();
    assert!(error.chain().contains("missing"), "{}", error.chain());
    assert_eq!(names(directory.path(), "root/images/staging"), 0);
}

/// An error on our side must not wait for a writer that has stopped writing.
#[test]
fn a_stuck_source_does_not_hold_an_error_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let fifo = directory.path().join("fifo");
    run(Command::new("mkfifo").arg(&fifo));
    let opened = std::fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(0)
        .open(&fifo)
        .unwrap();
    let mut writer = opened.try_clone().unwrap();
    let bad = Archive::default().file("../evil", b"").0;
    std::thread::spawn(move || {
        let mut filler = bad;
        filler.resize(600 << 10, 0);
        let _ = writer.write_all(&filler);
    });
    let source: Box<dyn Read + Send> = Box::new(opened);
    let error = store
        .import(Source::Stream(source), &options("stuck"))
        .unwrap_err();
    assert!(error.chain().contains("leads out"), "{}", error.chain());
}
