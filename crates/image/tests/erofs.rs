//! Layers as EROFS: what an archive becomes is the same by our reader, by the kernel, and as a
//! directory; and what is damaged is found and named.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it is skipped"
)]

mod archive;
mod layer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Cursor;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use archive::{Archive, header, snapshot};
use insula_image::erofs::{FileKind, Located, PIECE_BYTES, Reader, checksum_of};
use insula_image::{Limits, UnpackOptions, Whiteouts, unpack_archive};
use layer::{Generator, Layer, Mounted, Random};

fn overlay() -> UnpackOptions {
    UnpackOptions {
        whiteouts: Whiteouts::Overlay,
        ..UnpackOptions::default()
    }
}

fn plain(archive: Archive) -> Layer {
    layer::write(&archive.end(), &UnpackOptions::default()).unwrap()
}

type Tree = BTreeMap<Vec<u8>, String>;

/// The archive as a directory, with what unpacking said.
fn unpacked(bytes: &[u8], options: &UnpackOptions) -> Result<(Tree, u64), String> {
    let target = tempfile::tempdir().unwrap();
    let directory = File::open(target.path()).unwrap();
    let input = Cursor::new(bytes.to_vec());
    let unpacked = unpack_archive(input, directory.as_fd(), options).map_err(|e| e.chain())?;
    Ok((snapshot(target.path()), unpacked.skipped))
}

/// Directories that the archive left out, and whiteouts, have the time of unpacking there.
fn without_times(tree: Tree, explicit: &[Vec<u8>]) -> Tree {
    let timeless = |(name, line): (Vec<u8>, String)| {
        let mut parts: Vec<_> = line.splitn(4, ' ').map(str::to_owned).collect();
        let is_implicit = parts[0].starts_with('4') && !explicit.contains(&name);
        if is_implicit || parts[0] == "20000" {
            parts[2] = "some time".to_owned();
        }
        (name, parts.join(" "))
    };
    tree.into_iter().map(timeless).collect()
}

#[track_caller]
fn assert_same(found: &Tree, expected: &Tree, what: &str) {
    for (name, line) in expected {
        let shown = String::from_utf8_lossy(name);
        assert_eq!(found.get(name), Some(line), "{what}: {shown:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

#[test]
fn random_layers_are_the_same_in_every_form() {
    let is_root = UnpackOptions::default().privileged;
    for seed in 0..24 {
        let options = if seed % 3 == 0 {
            overlay()
        } else {
            UnpackOptions::default()
        };
        let generator = Generator::new(seed, options.whiteouts == Whiteouts::Overlay);
        let (bytes, explicit) = generator.archive(150);
        let layer = layer::write(&bytes, &options).unwrap();
        assert_checksums(&layer);
        let ours = without_times(layer::snapshot(&layer), &explicit);
        if !is_root {
            continue;
        }
        let (expected, skipped) = unpacked(&bytes, &options).unwrap();
        let expected = without_times(expected, &explicit);
        assert_same(&ours, &expected, &format!("seed {seed}, reader"));
        // Unpacking does not count those of directories that are gone at the end.
        assert!(layer.written.skipped >= skipped, "seed {seed}");
        if let Some(mounted) = Mounted::new(&layer.path()) {
            let found = without_times(snapshot(mounted.path()), &explicit);
            assert_same(&found, &expected, &format!("seed {seed}, kernel"));
        }
    }
}

fn assert_checksums(layer: &Layer) {
    let file = File::open(layer.path()).unwrap();
    let length = layer.written.image_bytes;
    let expected: Vec<u64> = (0..length)
        .step_by(usize::try_from(PIECE_BYTES).unwrap())
        .map(|start| checksum_of(&file, start, PIECE_BYTES.min(length - start)).unwrap())
        .collect();
    assert_eq!(layer.written.checksums, expected);
}

#[test]
fn the_same_archive_gives_the_same_image() {
    let (bytes, _) = Generator::new(1, true).archive(100);
    let images = [0, 1].map(|_| layer::write(&bytes, &overlay()).unwrap().bytes());
    assert!(images[0] == images[1]);
}

/// Debian's erofs-utils as scripts/peers unpacks them, or those of this machine.
fn erofs_tool(name: &str) -> Option<Command> {
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin/");
    let found = [format!("{peers}{name}"), format!("/usr/bin/{name}")]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        eprintln!("skipped: no {name}; scripts/peers brings it");
    }
    found.map(Command::new)
}

#[test]
fn the_tools_of_erofs_accept_it() {
    for seed in 100..106 {
        let (bytes, _) = Generator::new(seed, true).archive(200);
        let layer = layer::write(&bytes, &overlay()).unwrap();
        for (tool, options) in [
            ("fsck.erofs", &["--extract"][..]),
            ("dump.erofs", &["-s", "-S"]),
        ] {
            let Some(mut command) = erofs_tool(tool) else {
                return;
            };
            let output = command.args(options).arg(layer.path()).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{tool}, seed {seed}: {text}");
            assert!(!text.contains("<E>"), "{tool}, seed {seed}: {text}");
        }
    }
}

#[test]
fn images_of_mkfs_can_be_read() {
    let Some(mut mkfs) = erofs_tool("mkfs.erofs") else {
        return;
    };
    if !UnpackOptions::default().privileged {
        eprintln!("skipped: the tree needs root");
        return;
    }
    let (bytes, _) = Generator::new(7, false).archive(200);
    let target = tempfile::tempdir().unwrap();
    let tree = target.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let directory = File::open(&tree).unwrap();
    let options = UnpackOptions::default();
    unpack_archive(Cursor::new(bytes.clone()), directory.as_fd(), &options).unwrap();
    let image = target.path().join("image");
    let output = mkfs.arg(&image).arg(&tree).output().unwrap();
    assert!(output.status.success());
    let reader = Reader::open(File::open(&image).unwrap()).unwrap();
    let mut entries = 0;
    for entry in reader.walk() {
        let entry = entry.unwrap();
        let path =
            tree.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&entry.path));
        let metadata = path.symlink_metadata().unwrap();
        assert_eq!(entry.inode.modified_seconds, metadata.mtime(), "{path:?}");
        if entry.inode.kind == FileKind::File {
            let content = layer::content(&reader, &entry.inode);
            assert!(content == std::fs::read(&path).unwrap(), "{path:?}");
        }
        reader.xattrs(&entry.inode).unwrap();
        entries += 1;
    }
    assert_eq!(entries, snapshot(&tree).len());
}

#[test]
fn large_directories_are_searched_and_listed() {
    let mut random = Random::new(5);
    let mut archive = Archive::default().directory("d");
    let mut names = Vec::new();
    for index in 0..3000 {
        let first = ['!', ' ', '-', '.', 'a', '\u{7f}'][random.index(6)];
        let length = random.index(90);
        let name = format!("{first}{index}{}", "n".repeat(length));
        archive = archive.file(&format!("d/{name}"), name.as_bytes());
        names.push(name);
    }
    let layer = plain(archive);
    let reader = layer.reader();
    let directory = reader.lookup(b"d").unwrap().unwrap();
    names.sort();
    let listed: Vec<_> = reader
        .read_directory(&directory, 0)
        .unwrap()
        .map(|entry| String::from_utf8(entry.unwrap().name).unwrap())
        .collect();
    assert_eq!(listed, names);
    // Going on in the middle.
    let middle = reader.read_directory(&directory, 0).unwrap().nth(1499);
    let rest = reader.read_directory(&directory, middle.unwrap().unwrap().next);
    let next = rest.unwrap().next().unwrap().unwrap();
    assert_eq!(next.name, names[1500].as_bytes());
    let mounted = Mounted::new(&layer.path());
    for name in &names {
        let found = reader.find(&directory, name.as_bytes()).unwrap().unwrap();
        assert_eq!(layer::content(&reader, &found), name.as_bytes());
        if let Some(mounted) = &mounted {
            let path = mounted.path().join("d").join(name);
            assert_eq!(std::fs::read(path).unwrap(), name.as_bytes());
        }
    }
    for missing in ["", ".", "..", "a", "zzz", "!", "\u{7f}\u{7f}"] {
        let found = reader.find(&directory, missing.as_bytes()).unwrap();
        assert_eq!(found, None, "{missing}");
    }
}

#[test]
fn zeros_and_holes_take_no_space() {
    let mut zeros = vec![0; 8 << 20];
    zeros[0] = 1;
    zeros[5 << 20] = 1;
    let real = (1_u64 << 40).to_string();
    let layer = plain(
        Archive::default()
            .file("zeros", &zeros)
            .file("only", &vec![0; 1 << 20])
            .pax(&[
                ("GNU.sparse.map", b"1000000000,5,900000000000,3"),
                ("GNU.sparse.size", real.as_bytes()),
            ])
            .file("huge", b"12345abc"),
    );
    // An inode of the terabyte file costs a map of some MiB.
    assert!(layer.written.image_bytes < 16 << 20, "{:?}", layer.written);
    let reader = layer.reader();
    let zeros_inode = reader.lookup(b"zeros").unwrap().unwrap();
    assert!(layer::content(&reader, &zeros_inode) == zeros);
    let huge = reader.lookup(b"huge").unwrap().unwrap();
    let mut part = [9; 7];
    reader.read(&huge, 899_999_999_999, &mut part).unwrap();
    assert_eq!(&part, b"\0abc\0\0\0");
    let only = reader.lookup(b"only").unwrap().unwrap();
    let hole = reader.segment(&only, 0).unwrap().unwrap();
    assert_eq!((hole.length, hole.image_offset), (1 << 20, None));
    if let Some(mounted) = Mounted::new(&layer.path()) {
        use std::os::unix::fs::FileExt as _;
        let file = File::open(mounted.path().join("huge")).unwrap();
        let mut part = [9; 7];
        file.read_exact_at(&mut part, 899_999_999_999).unwrap();
        assert_eq!(&part, b"\0abc\0\0\0");
        assert!(std::fs::read(mounted.path().join("zeros")).unwrap() == zeros);
    }
}

#[test]
fn whiteouts_hide_what_is_below() {
    let archive = Archive::default()
        .file("d/.wh.gone", b"")
        .file("d/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        // Deleted below and made anew here, in both orders: nothing of the old one shows.
        .file(".wh.first", b"")
        .directory("first")
        .directory("last")
        .file(".wh.last", b"")
        .file("kept", b"1")
        .file(".wh.kept", b"");
    let layer = layer::write(&archive.clone().end(), &overlay()).unwrap();
    let reader = layer.reader();
    let find = |path: &str| reader.lookup(path.as_bytes()).unwrap().unwrap();
    let gone = find("d/gone");
    assert_eq!((gone.kind, gone.device), (FileKind::Character, (0, 0)));
    assert_eq!(find("kept").kind, FileKind::File);
    let name: &[u8] = if overlay().privileged {
        b"trusted.overlay.opaque"
    } else {
        b"user.overlay.opaque"
    };
    let opaque = (name.to_vec(), b"y".to_vec());
    for path in ["first", "last"] {
        let xattrs = reader.xattrs(&find(path)).unwrap();
        assert_eq!(xattrs, std::slice::from_ref(&opaque), "{path}");
    }
    // Without this mark overlayfs lists the whiteout of a directory that is in this layer only.
    let origin = String::from_utf8_lossy(name).replace("opaque", "origin");
    let xattrs = reader.xattrs(&find("d")).unwrap();
    assert_eq!(xattrs, [opaque, (origin.into_bytes(), Vec::new())]);
    let rootless = UnpackOptions {
        privileged: false,
        ..overlay()
    };
    let layer = layer::write(&archive.end(), &rootless).unwrap();
    let reader = layer.reader();
    let directory = reader.lookup(b"d").unwrap().unwrap();
    let xattrs = reader.xattrs(&directory).unwrap();
    assert_eq!(xattrs[0].0, b"user.overlay.opaque");
    for name in [".wh.", ".wh..", ".wh..."] {
        let tar = Archive::default().file(name, b"").end();
        layer::write(&tar, &overlay()).err().unwrap();
    }
}

#[test]
fn links_inside_are_followed_and_never_out() {
    let layer = plain(
        Archive::default()
            .directory("usr/bin")
            .symlink("bin", "usr/bin")
            .symlink("usr/abs", "/usr/bin")
            .symlink("usr/up", "../../../../usr/bin")
            .file("bin/a", b"a")
            .file("usr/abs/b", b"b")
            .file("usr/up/c", b"c")
            .hard_link("d", "bin/a"),
    );
    let reader = layer.reader();
    for (path, content) in [
        ("usr/bin/a", b"a"),
        ("usr/bin/b", b"b"),
        ("usr/bin/c", b"c"),
    ] {
        let inode = reader.lookup(path.as_bytes()).unwrap().unwrap();
        assert_eq!(layer::content(&reader, &inode), content);
    }
    let both = ["d", "usr/bin/a"].map(|path| reader.lookup(path.as_bytes()).unwrap().unwrap());
    assert_eq!((both[0].links, both[0].nid), (2, both[1].nid));
    // Making room for the link removes what it leads to.
    let bytes = Archive::default()
        .file("d/f", b"")
        .hard_link("d", "d/f")
        .end();
    let error = layer::write(&bytes, &UnpackOptions::default())
        .err()
        .unwrap();
    assert!(error.contains("not in the archive before it"), "{error}");
}

#[test]
fn attributes_of_every_size_are_kept() {
    let large = vec![b'v'; 60_000];
    // Version 2: owner rwx, user 1000 r, group rx, mask rwx, others r.
    let acl: Vec<u8> = [
        (1_u16, 7_u16, u32::MAX),
        (2, 4, 1000),
        (4, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 4, u32::MAX),
    ]
    .iter()
    .flat_map(|(tag, permissions, id)| {
        [
            &tag.to_le_bytes()[..],
            &permissions.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    })
    .collect();
    let acl = [&[2, 0, 0, 0][..], &acl].concat();
    let long_name = format!("SCHILY.xattr.user.{}", "n".repeat(250));
    let bytes = Archive::default()
        .pax(&[
            ("SCHILY.xattr.user.large", &large),
            ("SCHILY.xattr.trusted.other", &large),
            (&long_name, b"1"),
        ])
        .file("large", &[1; 300])
        .pax(&[
            ("SCHILY.xattr.system.posix_acl_access", &acl),
            ("SCHILY.xattr.system.posix_acl_default", &acl),
        ])
        .directory("acl")
        .pax(&[("SCHILY.xattr.trusted.large", &large)])
        .symlink("link", "target")
        .end();
    let layer = layer::write(&bytes, &UnpackOptions::default()).unwrap();
    let ours = layer::snapshot(&layer);
    assert!(
        ours[b"large".as_slice()].contains("110, 110, 110"),
        "a long name"
    );
    if let Some(mounted) = Mounted::new(&layer.path()) {
        assert_same(&snapshot(mounted.path()), &ours, "kernel");
    }
    for (key, value, words) in [
        ("SCHILY.xattr.user.", &b"1"[..], "set attribute user."),
        ("SCHILY.xattr.user.x", &[0; 70_000], "set attribute user.x"),
        (
            "SCHILY.xattr.system.posix_acl_access",
            b"x",
            "set attribute system",
        ),
    ] {
        let bytes = Archive::default().pax(&[(key, value)]).file("f", b"").end();
        let error = layer::write(&bytes, &UnpackOptions::default())
            .err()
            .unwrap();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn equal_times_make_small_inodes() {
    let tree = |time: &dyn Fn(u32) -> String| {
        (0..2000).fold(Archive::default(), |archive, index| {
            let time = time(index);
            archive
                .pax(&[("mtime", time.as_bytes())])
                .file(&format!("file{index}"), b"")
        })
    };
    let same = plain(tree(&|_| "1.000000001".to_owned()));
    let different = plain(tree(&|index| index.to_string()));
    let metadata = |layer: &Layer| layer.written.image_bytes - layer.written.metadata_offset;
    assert!(metadata(&same) < 80_000, "{}", metadata(&same));
    assert!(metadata(&different) > 128_000, "{}", metadata(&different));
    let inode = same.reader().lookup(b"file7").unwrap().unwrap();
    assert_eq!((inode.modified_seconds, inode.modified_nanoseconds), (1, 1));
}

#[test]
fn what_a_damaged_place_belongs_to() {
    let layer = plain(
        Archive::default()
            .file("a", &[1; 10_000])
            .file("d/small", &[2; 30])
            .file("d/b", &vec![3; 500_000])
            .symlink("d/l", "a"),
    );
    let reader = layer.reader();
    let at = |offset: u64| reader.locate(offset..offset + 1).unwrap();
    let content_of = |path: &str| {
        let inode = reader.lookup(path.as_bytes()).unwrap().unwrap();
        let segment = reader.segment(&inode, inode.size - 1).unwrap().unwrap();
        segment.image_offset.unwrap()
    };
    assert_eq!(at(1024), [Located::Metadata]);
    for path in ["a", "d/small", "d/b"] {
        let expected = Located::Content(path.as_bytes().to_vec());
        assert_eq!(at(content_of(path)), [expected], "{path}");
    }
    let link = Located::Attributes(b"d/l".to_vec());
    assert_eq!(at(content_of("d/l")), [link]);
    assert_eq!(
        at(layer.written.metadata_offset),
        [Located::Attributes(Vec::new())]
    );
    let all = reader.locate(0..layer.written.image_bytes).unwrap();
    assert!(all.contains(&Located::Content(b"d/b".to_vec())), "{all:?}");
    // Every byte that differs is found by its piece, and the damage is survived.
    let good = layer.bytes();
    let mut random = Random::new(3);
    for _ in 0..300 {
        let mut bytes = good.clone();
        let place = random.index(bytes.len());
        bytes[place] ^= 1 << random.index(8);
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        let length = bytes.len() as u64;
        assert_ne!(
            checksum_of(&file, 0, length).unwrap(),
            layer.written.checksums[0]
        );
        if let Ok(reader) = Reader::open(&bytes[..]) {
            let place = place as u64;
            reader.locate(place..place + 1).unwrap();
        }
    }
}

/// What the fuzzer does, for a moment and from a seed: nothing panics, nothing runs without end.
#[test]
fn damaged_images_are_survived() {
    let (bytes, _) = Generator::new(11, true).archive(60);
    let good = layer::write(&bytes, &overlay()).unwrap();
    let metadata = usize::try_from(good.written.metadata_offset).unwrap();
    let good = good.bytes();
    let mut random = Random::new(12);
    for _ in 0..400 {
        let mut image = good.clone();
        for _ in 0..=random.index(8) {
            let place = metadata + random.index(image.len() - metadata);
            image[place] = [0, 1, 0xff, 0x80, 12][random.index(5)];
        }
        let Ok(reader) = Reader::open(&image[..]) else {
            continue;
        };
        let mut buffer = [0; 8192];
        for entry in reader.walk().take(10_000).flatten() {
            let _ = reader.xattrs(&entry.inode);
            let _ = reader.read_link(&entry.inode);
            let _ = reader.read(&entry.inode, 0, &mut buffer);
            let _ = reader.read(&entry.inode, entry.inode.size / 2, &mut buffer);
        }
    }
    for length in [0, 1, 1024, 4095, 4096, good.len() - 1] {
        Reader::open(&good[..length]).unwrap_err();
    }
    let mut wrong = good;
    wrong[1024 + 40] ^= 1;
    let error = Reader::open(&wrong[..]).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn limits_hold() {
    let mut many = Archive::default();
    for index in 0..1000 {
        many = many.file(&format!("f{index}"), b"");
    }
    let limited = |limits: Limits| {
        let options = UnpackOptions {
            limits,
            ..UnpackOptions::default()
        };
        layer::write(&many.clone().end(), &options).err().unwrap()
    };
    let error = limited(Limits {
        entries: 999,
        ..Limits::default()
    });
    assert!(error.contains("more than 999 entries"), "{error}");
    let error = limited(Limits {
        pending_bytes: 50_000,
        ..Limits::default()
    });
    assert!(error.contains("bytes of metadata"), "{error}");
    // A bomb of holes: nothing is written and nothing is kept for them.
    let real = (8_u64 << 40).to_string();
    let record = [
        ("GNU.sparse.map", &b""[..]),
        ("GNU.sparse.size", real.as_bytes()),
    ];
    let holes = (0..100).fold(Archive::default(), |archive, index| {
        archive.pax(&record).file(&format!("hole{index}"), b"")
    });
    let layer = plain(holes);
    assert!(layer.written.image_bytes < 1 << 20);
    let refused = Archive::default().raw(&header(b"f", b'1', 0, b"lower/file"));
    let error = layer::write(&refused.end(), &overlay()).err().unwrap();
    assert!(error.contains("not in the archive before it"), "{error}");
}
