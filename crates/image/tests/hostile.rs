//! Archives that mean harm. Whatever they say: nothing outside of the store is touched, nothing of
//! a refused image stays, and nothing panics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod layer;

use std::io::Cursor;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use archive::{Archive, header, sealed, snapshot};
use insula_image::{
    FormChoice, Image, ImportOptions, Limits, Source, Store, UnpackOptions, Whiteouts,
    unpack_archive,
};

/// A host with a secret beside the store.
struct Host {
    directory: tempfile::TempDir,
    store: Store,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        let store = Store::new(&directory.path().join("root"));
        Self { directory, store }
    }

    fn outside(&self) -> PathBuf {
        self.directory.path().join("outside")
    }

    fn import(&self, bytes: Vec<u8>, limits: Limits) -> Result<Image, String> {
        let options = ImportOptions {
            tag: Some("hostile".parse().unwrap()),
            unpack: UnpackOptions {
                limits,
                ..UnpackOptions::default()
            },
            form: Some(FormChoice::Directory("a test looks at it")),
            sync: false,
            ..ImportOptions::default()
        };
        let source = Source::Stream(Box::new(Cursor::new(bytes)));
        match self.store.import(source, &options) {
            Ok(_) => Ok(self.store.resolve("hostile").unwrap()),
            Err(error) => Err(error.chain()),
        }
    }

    /// Imports and checks that the host is as before.
    fn attack(&self, bytes: Vec<u8>) -> Result<Image, String> {
        self.attack_with(bytes, Limits::default())
    }

    fn attack_with(&self, bytes: Vec<u8>, limits: Limits) -> Result<Image, String> {
        let before = snapshot(&self.outside());
        let names = names_in(self.directory.path());
        let result = self.import(bytes.clone(), limits.clone());
        let verdict = result.as_ref().map(drop).map_err(String::clone);
        layer::same_verdict(&bytes, &limits, &verdict);
        assert_eq!(snapshot(&self.outside()), before);
        assert_eq!(
            names_in(self.directory.path())
                .into_iter()
                .filter(|name| name != "root")
                .collect::<Vec<_>>(),
            names
                .into_iter()
                .filter(|name| name != "root")
                .collect::<Vec<_>>()
        );
        if result.is_err() {
            self.assert_store_is_empty();
        }
        result
    }

    fn assert_store_is_empty(&self) {
        let images = self.directory.path().join("root/images");
        for directory in ["staging", "layers/sha256", "blobs/sha256"] {
            assert_eq!(
                names_in(&images.join(directory)),
                Vec::<String>::new(),
                "{directory}"
            );
        }
        assert!(self.store.list().unwrap().is_empty());
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Refused, with a message that has `words`.
#[track_caller]
fn refused(bytes: Vec<u8>, words: &str) {
    let error = Host::new().attack(bytes).unwrap_err();
    assert!(error.contains(words), "{error}");
}

#[test]
fn names_that_climb_out_are_refused() {
    for name in [
        "../evil",
        "a/../../evil",
        "/../evil",
        "a/b/../../../evil",
        "..",
    ] {
        refused(Archive::default().file(name, b"x").end(), "leads out");
    }
    refused(
        Archive::default()
            .pax(&[("path", b"../../outside/secret")])
            .file("harmless", b"x")
            .end(),
        "leads out",
    );
    refused(
        Archive::default()
            .extension(b'L', b"../../outside/secret\0")
            .file("harmless", b"x")
            .end(),
        "leads out",
    );
}

#[test]
fn absolute_names_stay_inside() {
    let host = Host::new();
    let target = host.outside().join("secret").display().to_string();
    let image = host
        .attack(Archive::default().file(&target, b"mine").end())
        .unwrap();
    let inside = image.layers[0]
        .form
        .path()
        .join(target.trim_start_matches('/'));
    assert_eq!(std::fs::read(inside).unwrap(), b"mine");
}

#[test]
fn links_to_the_host_lead_nowhere() {
    let host = Host::new();
    let outside = host.outside().display().to_string();
    for target in [
        outside.as_str(),
        "../../../../../outside",
        "/proc/self/cwd/../outside",
        "/proc/1/root/etc",
    ] {
        let through = Archive::default()
            .symlink("link", target)
            .file("link/secret", b"overwritten")
            .end();
        let error = Host::new().attack(through).unwrap_err();
        assert!(error.contains("leads nowhere"), "{error}");
        let chained = Archive::default()
            .symlink("a", "b")
            .symlink("b", target)
            .directory("a/made")
            .end();
        assert!(Host::new().attack(chained).is_err());
    }
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let host = Host::new();
    let secret = host.outside().join("secret").display().to_string();
    for archive in [
        Archive::default().symlink("f", &secret).file("f", b"new"),
        Archive::default()
            .symlink("l", &secret)
            .hard_link("f", "l")
            .file("f", b"new"),
        Archive::default()
            .symlink("f", "g")
            .symlink("g", &secret)
            .file("f", b"new"),
    ] {
        let image = host.attack(archive.end()).unwrap();
        let made = image.layers[0].form.path().join("f");
        assert!(made.symlink_metadata().unwrap().is_file());
        assert_eq!(std::fs::read(made).unwrap(), b"new");
    }
}

#[test]
fn a_directory_that_becomes_a_link_is_not_remembered() {
    let host = Host::new();
    let outside = host.outside().display().to_string();
    for archive in [
        Archive::default()
            .directory("d")
            .file("d/a", b"")
            .symlink("d", &outside)
            .file("d/secret", b"x"),
        Archive::default()
            .directory("d/e")
            .file("d/e/a", b"")
            .symlink("d", &outside)
            .file("d/e/evil", b"x"),
        Archive::default()
            .directory("real")
            .symlink("d", "real")
            .file("d/a", b"")
            .symlink("d", &outside)
            .file("d/secret", b"x"),
    ] {
        assert!(Host::new().attack(archive.end()).is_err());
    }
}

#[test]
fn late_metadata_does_not_follow_a_link() {
    let host = Host::new();
    let outside = host.outside().display().to_string();
    let archive = Archive::default().directory("d").symlink("d", &outside);
    let image = host.attack(archive.end()).unwrap();
    assert!(
        image.layers[0]
            .form
            .path()
            .join("d")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn hard_links_stay_inside() {
    let host = Host::new();
    let outside = host.outside().display().to_string();
    let secret = format!("{outside}/secret");
    refused(
        Archive::default().hard_link("h", &secret).end(),
        "not in the archive before it",
    );
    refused(
        Archive::default()
            .hard_link("h", "../../outside/secret")
            .end(),
        "leads out",
    );
    refused(
        Archive::default()
            .symlink("l", &outside)
            .hard_link("h", "l/secret")
            .end(),
        "not in the archive",
    );
    refused(
        Archive::default().directory("d").hard_link("h", "d").end(),
        "is a directory",
    );
    refused(Archive::default().hard_link("h", ".").end(), "directory");
    refused(
        Archive::default().file("h", b"x").hard_link("h", "h").end(),
        "leads to itself",
    );
}

#[test]
fn a_hard_link_that_is_there_already_stays() {
    let archive = Archive::default()
        .file("a", b"x")
        .hard_link("b", "a")
        .hard_link("b", "a")
        .symlink("d", ".")
        .hard_link("d/a", "a");
    let host = Host::new();
    let image = host.attack(archive.end()).unwrap();
    assert_eq!(
        std::fs::read(image.layers[0].form.path().join("a")).unwrap(),
        b"x"
    );
}

#[test]
fn the_root_is_a_directory() {
    for flag in [b'0', b'1', b'2', b'3', b'6'] {
        for name in ["./", "/", "a/.."] {
            // A regular file whose name ends in a slash is a directory: that is the v7 way.
            if flag == b'0' && name.ends_with('/') {
                continue;
            }
            let archive = Archive::default().raw(&header(name.as_bytes(), flag, 0, b"target"));
            refused(archive.end(), "the root of the image");
        }
    }
}

#[test]
fn impossible_parents_are_refused() {
    refused(
        Archive::default().file("f", b"").file("f/x", b"").end(),
        "`f` is not a directory",
    );
    refused(
        Archive::default()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/x", b"")
            .end(),
        "loop",
    );
    refused(
        Archive::default()
            .raw(&header(b"f", b'6', 0, b""))
            .file("f/x", b"")
            .end(),
        "is not a directory",
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let with = |range: std::ops::Range<usize>, value: &[u8]| {
        let mut block = header(b"f", b'0', 0, b"");
        block[range].copy_from_slice(value);
        Archive::default().raw(&sealed(block)).end()
    };
    // Negative, and more than 64 bits.
    refused(
        with(124..136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0"),
        "size",
    );
    refused(
        with(124..136, b"\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\0"),
        "size",
    );
    refused(with(108..116, b"\x80\0\0\0\xff\xff\xff\xff"), "uid");
    refused(with(116..124, b"\xff\xff\xff\xff\xff\xff\xff\xff"), "gid");
    refused(with(100..108, b"99999999"), "mode");
    for key in ["uid", "gid"] {
        for value in [&b"4294967295"[..], b"4294967296", b"-1", b"1e3"] {
            let archive = Archive::default().pax(&[(key, value)]).file("f", b"");
            refused(archive.end(), key);
        }
    }
    let archive = Archive::default().pax(&[("size", b"18446744073709551615")]);
    refused(archive.file("f", b"").end(), "out of range");
    let mut device = header(b"d", b'3', 0, b"");
    device[329..337].copy_from_slice(b"0010000\0");
    refused(Archive::default().raw(&sealed(device)).end(), "no device");
}

#[test]
fn lengths_that_lie_do_not_allocate() {
    for flag in [b'x', b'g', b'L', b'K', b'V'] {
        let archive = Archive::default().raw(&header(b"h", flag, 0o7_777_777_777, b""));
        refused(archive.end(), "the limit is");
    }
    let archive = Archive::default().raw(&header(b"f", b'0', 0o77_777_777, b""));
    refused(archive.end(), "cut off");
    for body in [
        &b"99 path=x\n"[..],
        b"path=x\n",
        b"7 path\n",
        b"0 a=b\n",
        b"11 path=a\0\n",
    ] {
        let archive = Archive::default().extension(b'x', body).file("f", b"");
        refused(archive.end(), "extended header");
    }
}

/// A reader that took the header's size here would see the content as headers.
#[test]
fn a_pax_size_cannot_smuggle_entries() {
    let smuggled = Archive::default().file("smuggled", b"x").0;
    let mut archive = Archive::default()
        .pax(&[("size", smuggled.len().to_string().as_bytes())])
        .raw(&header(b"carrier", b'0', 0, b""));
    archive.0.extend_from_slice(&smuggled);
    let host = Host::new();
    let image = host.attack(archive.end()).unwrap();
    assert!(!image.layers[0].form.path().join("smuggled").exists());
    assert_eq!(
        std::fs::read(image.layers[0].form.path().join("carrier")).unwrap(),
        smuggled
    );
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let old = |pairs: &[(u64, u64)], real: u64, stored: u64| {
        let mut block = header(b"s", b'S', stored, b"");
        block[257..265].copy_from_slice(b"ustar  \0");
        for (index, (offset, length)) in pairs.iter().enumerate() {
            let at = 386 + index * 24;
            block[at..at + 24]
                .copy_from_slice(format!("{offset:011o}\0{length:011o}\0").as_bytes());
        }
        block[483..495].copy_from_slice(format!("{real:011o}\0").as_bytes());
        Archive::default().raw(&sealed(block)).raw(&[7; 512]).end()
    };
    assert!(Host::new().attack(old(&[(512, 512)], 4096, 512)).is_ok());
    refused(old(&[(4096, 512)], 4096, 512), "leaves the file");
    refused(old(&[(256, 256), (0, 256)], 4096, 512), "overlaps");
    refused(old(&[(0, 100)], 4096, 512), "places 100 bytes");
    let pax = |map: &[u8]| {
        Archive::default()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"s"),
                ("GNU.sparse.realsize", b"4096"),
            ])
            .file(
                "x",
                &[map, &vec![0; map.len().next_multiple_of(512) - map.len()]].concat(),
            )
            .end()
    };
    refused(pax(b"99999999999\n"), "too many");
    refused(pax(b"1048577\n"), "too many");
    refused(pax(b"2\n0\n"), "malformed");
    refused(pax(&[b'1'; 600]), "malformed");
    refused(pax(b""), "cut off");
    let huge = Archive::default()
        .pax(&[
            ("GNU.sparse.map", b"0,1"),
            ("GNU.sparse.size", b"9223372036854775807"),
        ])
        .file("s", b"x");
    refused(huge.end(), "bytes in one file");
}

#[test]
fn limits_hold() {
    let deep = vec!["d"; 600].join("/");
    refused(
        Archive::default()
            .pax(&[("path", deep.as_bytes())])
            .file("x", b"")
            .end(),
        "600 components",
    );
    let long = "n".repeat(5000);
    refused(
        Archive::default()
            .pax(&[("path", long.as_bytes())])
            .file("x", b"")
            .end(),
        "4095 bytes",
    );
    let long = "n".repeat(300);
    refused(
        Archive::default()
            .pax(&[("path", long.as_bytes())])
            .file("x", b"")
            .end(),
        "make the file",
    );
    let mut many = Archive::default();
    for index in 0..20 {
        many = many.directory(&format!("d{index}"));
    }
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    for (change, words) in [
        (
            (|limits| limits.entries = 19) as fn(&mut Limits),
            "more than 19 entries",
        ),
        (|limits| limits.archive_bytes = 4096, "more than 4096 bytes"),
        (
            |limits| limits.pending_bytes = 1000,
            "metadata of directories",
        ),
    ] {
        let host = Host::new();
        let error = host
            .attack_with(many.clone().end(), limits(change))
            .unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_bomb_is_stopped_by_its_size() {
    let zeros = vec![0_u8; 32 << 20];
    let tar = Archive::default().file("zeros", &zeros).end();
    let bomb = zstd::encode_all(tar.as_slice(), 3).unwrap();
    assert!(bomb.len() < 10_000);
    let limits = Limits {
        archive_bytes: 16 << 20,
        ..Limits::default()
    };
    let error = Host::new().attack_with(bomb, limits).unwrap_err();
    assert!(error.contains("the limit"), "{error}");
}

#[test]
fn every_cut_is_noticed() {
    let whole = Archive::default()
        .directory("d")
        .pax(&[("mtime", b"-1.5")])
        .file("d/f", &[b'x'; 700])
        .symlink("l", "d/f")
        .end();
    let host = Host::new();
    for length in 0..whole.len() - 1024 + 512 {
        if length % 512 > 2 && length % 37 != 0 {
            continue;
        }
        let error = host.attack(whole[..length].to_vec()).unwrap_err();
        let expected = ["cut off", "empty", "not a tar"];
        assert!(
            expected.iter().any(|words| error.contains(words)),
            "{error}"
        );
    }
    for compress in [
        |tar: &[u8]| {
            use std::io::Write as _;
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        },
        |tar: &[u8]| zstd::encode_all(tar, 1).unwrap(),
    ] {
        let packed = compress(&whole);
        for length in 7..packed.len() {
            host.attack(packed[..length].to_vec()).unwrap_err();
        }
        host.attack(packed).unwrap();
        host.store.remove("hostile", true, &|_| Vec::new()).unwrap();
    }
}

#[test]
fn what_is_no_archive_is_said_so() {
    for bytes in [&b"hello"[..], b"#!/bin/sh\n", &[b'x'; 2000]] {
        let error = Host::new().attack(bytes.to_vec()).unwrap_err();
        assert!(
            error.contains("not a tar archive") || error.contains("cut off"),
            "{error}"
        );
    }
    refused(b"\xfd7zXZ\0 and more".to_vec(), "the xz stream is damaged");
    refused(b"BZh91AY&SY".to_vec(), "the bzip2 stream is cut off");
    let lz4 = Cursor::new(b"\x04\x22\x4d\x18 and more");
    let error = insula_image::Plain::detect(Box::new(lz4)).unwrap_err();
    assert!(error.chain().contains("compressed with lz4"));
    refused(Vec::new(), "empty");
    refused(
        Archive::default().raw(&header(b"f", b'?', 0, b"")).end(),
        "unknown type",
    );
    let mut wrong = Archive::default().file("a", b"").file("b", b"").end();
    wrong[512] = b'c';
    refused(wrong, "wrong checksum");
}

#[test]
fn messages_show_no_control_characters() {
    let archive = Archive::default().file("../a\x1b[2J\nroot", b"");
    let error = Host::new().attack(archive.end()).unwrap_err();
    assert!(!error.chars().any(char::is_control), "{error:?}");
    assert!(error.contains("entry 1 at byte 0"), "{error}");
}

#[test]
fn attributes_of_the_overlay_do_not_come_in() {
    let archive = Archive::default()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.metacopy", b""),
            ("SCHILY.xattr.security.selinux", b"system_u"),
            ("SCHILY.xattr.user.kept", b"1"),
        ])
        .directory("d");
    let host = Host::new();
    let image = host.attack(archive.end()).unwrap();
    let line = &snapshot(image.layers[0].form.path())[b"d".as_slice()];
    let kept = format!("{:?}", b"user.kept");
    assert!(
        line.contains(&kept) && line.matches('=').count() == 1,
        "{line}"
    );
}

#[test]
fn later_entries_win() {
    let archive = Archive::default()
        .file("a", b"1")
        .file("a", b"2")
        .directory("d")
        .file("d/x", b"")
        .directory("d")
        .directory("e/f/g")
        .file("e", b"now a file")
        .file("h", b"")
        .directory("h")
        .raw(&header(b"p", b'6', 0, b""))
        .file("p", b"was a fifo");
    let host = Host::new();
    let image = host.attack(archive.end()).unwrap();
    let root = image.layers[0].form.path();
    assert_eq!(std::fs::read(root.join("a")).unwrap(), b"2");
    assert!(root.join("d/x").is_file());
    assert_eq!(std::fs::read(root.join("e")).unwrap(), b"now a file");
    assert!(root.join("h").is_dir());
    assert_eq!(std::fs::read(root.join("p")).unwrap(), b"was a fifo");
}

#[test]
fn whiteouts_are_files_or_deletions() {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let tar = Archive::default()
        .directory("d")
        .file("d/.wh.gone", b"")
        .file("d/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .end();
    let target = tempfile::tempdir().unwrap();
    let directory = std::fs::File::open(target.path()).unwrap();
    let mut options = UnpackOptions::default();
    unpack_archive(Cursor::new(tar.clone()), directory.as_fd(), &options).unwrap();
    assert!(target.path().join("d/.wh.gone").is_file());
    if !options.privileged {
        return;
    }
    let target = tempfile::tempdir().unwrap();
    let directory = std::fs::File::open(target.path()).unwrap();
    options.whiteouts = Whiteouts::Overlay;
    unpack_archive(Cursor::new(tar), directory.as_fd(), &options).unwrap();
    let gone = target.path().join("d/gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let line = &snapshot(target.path())[b"d".as_slice()];
    assert!(
        line.contains(&format!("{:?}", b"trusted.overlay.opaque")),
        "{line}"
    );
    for name in [".wh.", ".wh..", ".wh..."] {
        let tar = Archive::default().file(name, b"").end();
        unpack_archive(Cursor::new(tar), directory.as_fd(), &options).unwrap_err();
    }
}

/// Damages a good archive in every way a seed can think of.
#[test]
fn random_damage_never_escapes() {
    let host = Host::new();
    let outside = host.outside().display().to_string();
    let good = Archive::default()
        .directory("d")
        .pax(&[("path", b"d/long"), ("SCHILY.xattr.user.a", b"1")])
        .file("x", b"content")
        .symlink("d/l", "../d")
        .symlink("out", &outside)
        .hard_link("d/h", "d/long")
        .extension(b'L', b"d/another\0")
        .file("y", &[1; 1500])
        .end();
    let before = snapshot(&host.outside());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % bound as u64).unwrap()
    };
    for _ in 0..600 {
        let mut bytes = good.clone();
        for _ in 0..=next(6) {
            let position = next(bytes.len());
            let interesting = b"\0/.017 \xff\x80LKxgS125.";
            bytes[position] = interesting[next(interesting.len())];
        }
        // Most damage would only meet the checksum.
        for block in bytes.chunks_exact_mut(512) {
            if &block[257..262] == b"ustar" {
                let mut header = [0; 512];
                header.copy_from_slice(block);
                block.copy_from_slice(&sealed(header));
            }
        }
        let target = tempfile::tempdir_in(host.directory.path()).unwrap();
        let directory = std::fs::File::open(target.path()).unwrap();
        let _ = unpack_archive(
            Cursor::new(bytes),
            directory.as_fd(),
            &UnpackOptions::default(),
        );
    }
    assert_eq!(snapshot(&host.outside()), before);
    assert_eq!(names_in(host.directory.path()), ["outside"]);
}
