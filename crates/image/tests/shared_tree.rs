//! Trees where others are at work: what is read and written stays inside, whatever they put in its
//! way, and what is there already is respected.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use insula_image::{Kept, Target, TreeForm, UnpackOptions, Unpacked, unpack_archive, write_tree};
use insula_sys::rustix::fs::{CWD, Mode, OFlags, RenameFlags, open, renameat_with};

fn place(path: &Path) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).unwrap()
}

fn archive(path: &Path, form: &TreeForm) -> Vec<u8> {
    let mut archive = Vec::new();
    // A file that goes while it is looked at may be an error; it never is another file.
    let _ = write_tree(place(path), form, &mut archive);
    archive
}

fn unpack(archive: &[u8], target: &Path, kept: Kept) -> insula_image::Result<Unpacked> {
    let options = UnpackOptions {
        target: Target::Populated,
        kept,
        ..UnpackOptions::default()
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = open(target, flags, Mode::empty()).unwrap();
    unpack_archive(Cursor::new(archive.to_vec()), target.as_fd(), &options)
}

/// Calls `act` again and again while a directory and a link to the outside take each other's place.
fn while_swapping(tree: &Path, outside: &Path, mut act: impl FnMut()) {
    symlink(outside, tree.join("link")).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let (one, other) = (tree.join("d"), tree.join("link"));
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..300 {
            act();
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_directory_that_becomes_a_link_leads_no_reader_out() {
    let host = tempfile::tempdir().unwrap();
    let (tree, outside) = (host.path().join("tree"), host.path().join("outside"));
    std::fs::create_dir_all(tree.join("d")).unwrap();
    std::fs::write(tree.join("d/file"), "inside").unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "SECRET").unwrap();
    while_swapping(&tree, &outside, || {
        let archive = archive(&tree, &TreeForm::default());
        assert!(!archive.windows(6).any(|window| window == b"SECRET"));
    });
}

#[test]
fn a_directory_that_becomes_a_link_leads_no_writer_out() {
    let host = tempfile::tempdir().unwrap();
    let (tree, outside) = (host.path().join("tree"), host.path().join("outside"));
    let source = host.path().join("source");
    for directory in [&source, &tree] {
        std::fs::create_dir_all(directory.join("d")).unwrap();
    }
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(source.join("d/planted"), "x").unwrap();
    let form = TreeForm {
        contents_only: true,
        ..TreeForm::default()
    };
    let archive = archive(&source, &form);
    while_swapping(&tree, &outside, || {
        // A link in the place of a directory is refused; a directory takes the file.
        let _ = unpack(&archive, &tree, Kept::default());
    });
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_directory_and_a_file_never_take_each_other_s_place() {
    let host = tempfile::tempdir().unwrap();
    let path = |name: &str| host.path().join(name);
    for name in ["a/x", "b", "into/b/kept"] {
        std::fs::create_dir_all(path(name)).unwrap();
    }
    std::fs::remove_dir(path("b")).unwrap();
    std::fs::write(path("b"), "file").unwrap();
    std::fs::write(path("into/a"), "file").unwrap();
    let form = |name: &str| TreeForm {
        name: name.into(),
        ..TreeForm::default()
    };
    let directory = archive(&path("a"), &form("a"));
    assert!(unpack(&directory, &path("into"), Kept::default()).is_err());
    let file = archive(&path("b"), &form("b"));
    assert!(unpack(&file, &path("into"), Kept::default()).is_err());
    assert_eq!(std::fs::read_to_string(path("into/a")).unwrap(), "file");
    assert!(path("into/b/kept").is_dir());
}

#[test]
fn rights_stay_behind_and_the_target_keeps_its_mode() {
    let host = tempfile::tempdir().unwrap();
    let path = |name: &str| host.path().join(name);
    std::fs::create_dir(path("from")).unwrap();
    std::fs::create_dir(path("into")).unwrap();
    std::fs::write(path("from/program"), "x").unwrap();
    let mode = |name: &str| path(name).metadata().unwrap().permissions().mode() & 0o7777;
    let set_mode = |name: &str, mode: u32| {
        std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode("from/program", 0o6755);
    set_mode("from", 0o700);
    set_mode("into", 0o711);
    let archive = archive(&path("from"), &TreeForm::default());
    let kept = Kept {
        privileges: false,
        ..Kept::default()
    };
    unpack(&archive, &path("into"), kept).unwrap();
    assert_eq!((mode("into"), mode("into/program")), (0o711, 0o755));
    unpack(&archive, &path("into"), Kept::default()).unwrap();
    assert_eq!(mode("into/program"), 0o6755);
}
