//! What is the same whoever mounts, and what happens when somebody goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use insula_image::served::{OverlayNames, ServedLayers, layer_directory, mount_layers};
use insula_image::{Digest, UnpackOptions, Whiteouts, unpack_archive};
use insula_sys::process::{Exit, clone3, exit_now, pidfd_send_signal, wait};
use insula_sys::rustix::fs::CWD;
use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use crate::archive::{Archive, snapshot};
use crate::layer::{self, Generator, Layer, Mounted};
use crate::user::{ORDINARY, Who, run_as};

pub(crate) const CASES: &[crate::Case] = &[
    (
        "every_file_is_as_the_kernel_and_the_archive_have_it",
        every_file_is_as_the_kernel_and_the_archive_have_it,
    ),
    (
        "a_user_has_what_belongs_to_owners_without_a_number",
        a_user_has_what_belongs_to_owners_without_a_number,
    ),
    (
        "an_overlay_in_a_user_namespace_joins_hides_and_writes",
        an_overlay_in_a_user_namespace_joins_hides_and_writes,
    ),
    (
        "many_readers_at_once_get_what_is_there",
        many_readers_at_once_get_what_is_there,
    ),
    (
        "large_directories_are_listed_whole",
        large_directories_are_listed_whole,
    ),
    ("a_server_ends_with_its_mount", a_server_ends_with_its_mount),
    (
        "a_killed_server_leaves_errors_and_a_mount_that_goes",
        a_killed_server_leaves_errors_and_a_mount_that_goes,
    ),
    (
        "a_damaged_layer_is_an_error_of_reading",
        a_damaged_layer_is_an_error_of_reading,
    ),
];

const KINDS: [Who; 2] = [Who::Root, Who::RootOfNamespace];

/// A mount of layers in a directory, served by a process of its own.
struct Serving {
    place: tempfile::TempDir,
}

impl Serving {
    fn new(layers: &[PathBuf]) -> Self {
        let served = mount_layers(layers, OverlayNames::of_this_process()).unwrap();
        served.server.start().unwrap();
        let place = tempfile::tempdir().unwrap();
        attach(&served.mount, place.path());
        Self { place }
    }

    fn layer(&self, number: usize) -> PathBuf {
        self.place.path().join(layer_directory(number))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = unmount(self.place.path(), UnmountFlags::DETACH);
    }
}

fn attach(mount: &OwnedFd, place: &Path) {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, "", CWD, place, flags).unwrap();
}

fn options(who: Who) -> UnpackOptions {
    UnpackOptions {
        whiteouts: Whiteouts::Overlay,
        privileged: who == Who::Root,
        ..UnpackOptions::default()
    }
}

/// Directories that the archive left out, and whiteouts, have the time of unpacking.
fn without_times(tree: BTreeMap<Vec<u8>, String>, given: &[Vec<u8>]) -> BTreeMap<Vec<u8>, String> {
    let timeless = |(name, line): (Vec<u8>, String)| {
        let mut parts: Vec<_> = line.splitn(4, ' ').map(str::to_owned).collect();
        let is_implicit = parts[0].starts_with('4') && !given.contains(&name);
        if is_implicit || parts[0] == "20000" {
            parts[2] = "some time".to_owned();
        }
        (name, parts.join(" "))
    };
    tree.into_iter().map(timeless).collect()
}

fn without_trusted(tree: BTreeMap<Vec<u8>, String>) -> BTreeMap<Vec<u8>, String> {
    let prefix = format!(" {:?}", b"trusted.").replace(']', "");
    let cut = |line: String| match line.find(&prefix) {
        None => line,
        // The value of the only one there is ends the next bracket.
        Some(start) => {
            let end = start + line[start..].find("]=[").unwrap();
            let end = end + line[end + 2..].find(']').unwrap() + 3;
            format!("{}{}", &line[..start], &line[end..])
        }
    };
    let lines = tree.into_iter();
    lines.map(|(name, line)| (name, cut(line))).collect()
}

#[track_caller]
fn assert_same(
    found: &BTreeMap<Vec<u8>, String>,
    expected: &BTreeMap<Vec<u8>, String>,
    what: &str,
) {
    for (name, line) in expected {
        let shown = String::from_utf8_lossy(name);
        assert_eq!(found.get(name), Some(line), "{what}: {shown:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
}

fn every_file_is_as_the_kernel_and_the_archive_have_it() {
    for who in KINDS {
        for seed in 0..8 {
            let (bytes, given) = Generator::new(seed, true).archive(150);
            let layer = layer::write(&bytes, &options(who)).unwrap();
            // Only root of the host can mount it and make devices.
            let kernel = Mounted::new(&layer.path()).map(|mounted| snapshot(mounted.path()));
            let directory = tempfile::tempdir().unwrap();
            let opened = File::open(directory.path()).unwrap();
            unpack_archive(Cursor::new(bytes), opened.as_fd(), &options(Who::Root)).unwrap();
            let unpacked = snapshot(directory.path());
            run_as(who, || {
                let serving = Serving::new(&[layer.path()]);
                let found = snapshot(&serving.layer(0));
                let seen = |tree| match who {
                    Who::Root => tree,
                    _ => without_trusted(tree),
                };
                if let Some(kernel) = kernel {
                    assert_same(&found, &seen(kernel), &format!("{who:?}, {seed}, kernel"));
                }
                if who == Who::Root {
                    let found = without_times(found, &given);
                    let unpacked = without_times(unpacked, &given);
                    assert_same(&found, &unpacked, &format!("{seed}, unpacked"));
                }
            });
        }
    }
}

/// Gives a layer to somebody else.
fn give(layer: &Layer) {
    let directory = layer.path();
    for path in [directory.parent().unwrap(), &directory] {
        std::os::unix::fs::chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}

fn a_user_has_what_belongs_to_owners_without_a_number() {
    let without_owner = |tree: BTreeMap<Vec<u8>, String>| -> BTreeMap<Vec<u8>, String> {
        let line = |(name, mut line): (Vec<u8>, String)| {
            // Files are looked at one by one: their other names do not show.
            if let Some(start) = line.find(" = [") {
                let end = start + line[start..].find(']').unwrap() + 1;
                line.replace_range(start..end, "");
            }
            let mut parts: Vec<_> = line.splitn(3, ' ').collect();
            parts[1] = "0:0";
            (name, parts.join(" "))
        };
        without_trusted(tree).into_iter().map(line).collect()
    };
    for seed in 20..24 {
        let (bytes, _) = Generator::new(seed, true).archive(150);
        let layer = layer::write(&bytes, &options(Who::OrdinaryUser)).unwrap();
        let expected = without_owner(layer::snapshot(&layer));
        give(&layer);
        run_as(Who::OrdinaryUser, || {
            let serving = Serving::new(&[layer.path()]);
            // All of it is the user's, and so all of it can be read.
            let found = snapshot_of(&serving.layer(0), expected.keys());
            assert!(found.values().all(|line| line.contains(" 0:0")));
            assert_same(&without_owner(found), &expected, &format!("seed {seed}"));
        });
    }
}

/// What is known by these names.
fn snapshot_of<'n>(
    root: &Path,
    names: impl Iterator<Item = &'n Vec<u8>>,
) -> BTreeMap<Vec<u8>, String> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut found = BTreeMap::new();
    for name in names {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        found.insert(name.clone(), crate::archive::line(&path));
    }
    found
}

fn an_overlay_in_a_user_namespace_joins_hides_and_writes() {
    let lower = Archive::default()
        .directory("d")
        .file("d/gone", b"lower")
        .file("d/kept", b"lower")
        .directory("opaque")
        .file("opaque/hidden", b"lower")
        .file("changed", b"lower")
        .symlink("link", "d/kept")
        .end();
    let upper = Archive::default()
        .file("d/.wh.gone", b"")
        .file("d/new", b"upper")
        .directory("opaque")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/seen", b"upper")
        .end();
    for (who, written_for) in [
        (Who::RootOfNamespace, Who::Root),
        (Who::RootOfNamespace, Who::OrdinaryUser),
        (Who::OrdinaryUser, Who::Root),
        (Who::OrdinaryUser, Who::OrdinaryUser),
        (Who::Root, Who::Root),
        (Who::Root, Who::OrdinaryUser),
    ] {
        let layers = [&lower, &upper].map(|tar| layer::write(tar, &options(written_for)).unwrap());
        layers.iter().for_each(give);
        run_as(who, || {
            let serving = Serving::new(&layers.each_ref().map(Layer::path));
            let place = tempfile::tempdir().unwrap();
            join(&serving, place.path());
            check_union(&place.path().join("root"));
            let _ = unmount(place.path().join("root"), UnmountFlags::DETACH);
            let _ = unmount(place.path(), UnmountFlags::DETACH);
        });
    }
}

/// A writable overlay over the layers, on a file system of this namespace.
fn join(serving: &Serving, place: &Path) {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_create(&context).unwrap();
    let none = MountAttrFlags::empty();
    let tmpfs = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, none).unwrap();
    attach(&tmpfs, place);
    for name in ["upper", "work", "root"] {
        fs::create_dir(place.join(name)).unwrap();
    }
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    let lower = format!(
        "{}:{}",
        serving.layer(1).display(),
        serving.layer(0).display()
    );
    fsconfig_set_string(&context, "lowerdir", lower).unwrap();
    fsconfig_set_string(&context, "upperdir", place.join("upper")).unwrap();
    fsconfig_set_string(&context, "workdir", place.join("work")).unwrap();
    if OverlayNames::of_this_process() == OverlayNames::User {
        fsconfig_set_flag(&context, "userxattr").unwrap();
    }
    fsconfig_create(&context).unwrap();
    let overlay = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, none).unwrap();
    attach(&overlay, &place.join("root"));
}

fn check_union(root: &Path) {
    let read = |name: &str| fs::read_to_string(root.join(name));
    assert_eq!(read("d/new").unwrap(), "upper");
    assert_eq!(read("link").unwrap(), "lower");
    assert!(read("d/gone").is_err(), "a whiteout hides it");
    assert!(
        read("opaque/hidden").is_err(),
        "an opaque directory hides it"
    );
    assert_eq!(read("opaque/seen").unwrap(), "upper");
    let mut names: Vec<_> = fs::read_dir(root.join("d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["kept", "new"]);
    fs::write(root.join("changed"), "written").unwrap();
    assert_eq!(read("changed").unwrap(), "written");
    fs::write(root.join("d/gone"), "again").unwrap();
    fs::remove_file(root.join("d/kept")).unwrap();
    assert!(read("link").is_err());
    fs::remove_dir_all(root.join("opaque")).unwrap();
    fs::create_dir(root.join("opaque")).unwrap();
    assert_eq!(fs::read_dir(root.join("opaque")).unwrap().count(), 0);
    fs::hard_link(root.join("changed"), root.join("linked")).unwrap();
    assert_eq!(root.join("linked").metadata().unwrap().nlink(), 2);
}

fn many_readers_at_once_get_what_is_there() {
    let (bytes, _) = Generator::new(77, false).archive(400);
    let layer = layer::write(&bytes, &options(Who::Root)).unwrap();
    let expected: BTreeMap<_, _> = layer
        .reader()
        .walk()
        .map(Result::unwrap)
        .filter(|entry| entry.inode.mode() & 0o170_000 == 0o100_000)
        .map(|entry| {
            let content = layer::content(&layer.reader(), &entry.inode);
            (entry.path, Digest::of(&content))
        })
        .collect();
    assert!(expected.len() > 50);
    run_as(Who::RootOfNamespace, || {
        let serving = Serving::new(&[layer.path()]);
        let root = serving.layer(0);
        let check = |start: usize| {
            use std::os::unix::ffi::OsStrExt as _;
            for (name, digest) in expected.iter().cycle().skip(start).take(expected.len()) {
                let content = fs::read(root.join(std::ffi::OsStr::from_bytes(name))).unwrap();
                assert_eq!(Digest::of(&content), *digest);
            }
        };
        std::thread::scope(|scope| {
            for reader in 0..8 {
                let check = &check;
                scope.spawn(move || check(reader * expected_share()));
            }
        });
    });
}

/// Readers begin at different files.
fn expected_share() -> usize {
    13
}

fn large_directories_are_listed_whole() {
    let mut archive = Archive::default().directory("d");
    let mut names = vec![String::from("!first")];
    names.extend((0..5000).map(|index| format!("{index}-{}", "n".repeat(index % 90))));
    names.push("~last".to_owned());
    for name in &names {
        archive = archive.file(&format!("d/{name}"), name.as_bytes());
    }
    names.sort();
    let layer = layer::write(&archive.end(), &options(Who::Root)).unwrap();
    run_as(Who::Root, || {
        let serving = Serving::new(&[layer.path()]);
        // The second time from the kernel's cache.
        for _ in 0..2 {
            let mut listed: Vec<_> = fs::read_dir(serving.layer(0).join("d"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            listed.sort();
            let missing: Vec<_> = names.iter().filter(|name| !listed.contains(name)).collect();
            assert!(missing.is_empty(), "{} are missing", missing.len());
            assert_eq!(listed.len(), names.len());
        }
    });
}

/// A layer with one file of some length.
fn one_file() -> Layer {
    let content = vec![b'x'; 300_000];
    let tar = Archive::default().file("f", &content).end();
    layer::write(&tar, &options(Who::Root)).unwrap()
}

fn a_server_ends_with_its_mount() {
    let layer = one_file();
    run_as(Who::Root, || {
        let ServedLayers { mount, server } =
            mount_layers(&[layer.path()], OverlayNames::Trusted).unwrap();
        let number = mount.as_raw_fd();
        let child = clone3(0, None, || {
            insula_sys::descriptor::close_copy(mount.as_fd());
            exit_now(i32::from(server.serve().is_err()))
        })
        .unwrap();
        drop(server);
        let path = format!("/proc/self/fd/{number}/0/f");
        assert_eq!(fs::read(path).unwrap().len(), 300_000);
        drop(mount);
        assert_eq!(wait(child.pidfd.as_fd()).unwrap(), Exit::Code(0));
    });
}

fn a_killed_server_leaves_errors_and_a_mount_that_goes() {
    let layer = one_file();
    run_as(Who::Root, || {
        let ServedLayers { mount, server } =
            mount_layers(&[layer.path()], OverlayNames::Trusted).unwrap();
        let child = clone3(0, None, || {
            let _ = server.serve();
            exit_now(0)
        })
        .unwrap();
        drop(server);
        let place = tempfile::tempdir().unwrap();
        attach(&mount, place.path());
        let file = place.path().join("0/f");
        assert_eq!(fs::metadata(&file).unwrap().len(), 300_000);
        pidfd_send_signal(child.pidfd.as_fd(), 9).unwrap();
        assert_eq!(wait(child.pidfd.as_fd()).unwrap(), Exit::Signal(9));
        let error = fs::read(&file).unwrap_err();
        let is_disconnected = matches!(error.raw_os_error(), Some(103 | 107));
        assert!(is_disconnected, "{error}");
        drop(mount);
        unmount(place.path(), UnmountFlags::empty()).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    });
}

fn a_damaged_layer_is_an_error_of_reading() {
    let (bytes, _) = Generator::new(5, true).archive(80);
    let layer = layer::write(&bytes, &options(Who::Root)).unwrap();
    let whole = layer.bytes();
    let start = usize::try_from(layer.written.metadata_offset).unwrap();
    let mut random = layer::Random::new(9);
    for _ in 0..20 {
        let mut damaged = whole.clone();
        for _ in 0..8 {
            let place = start + random.index(damaged.len() - start);
            damaged[place] ^= 1 << random.index(8);
        }
        fs::write(layer.path(), &damaged).unwrap();
        run_as(Who::Root, || {
            let serving = Serving::new(&[layer.path()]);
            walk(&serving.layer(0), 0);
        });
    }
}

/// Reads everything as far as it goes; what it gives does not matter.
fn walk(path: &Path, depth: usize) {
    let Ok(entries) = fs::read_dir(path) else {
        return;
    };
    for entry in entries.flatten().take(1000) {
        let path = entry.path();
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() && depth < 20 => walk(&path, depth + 1),
            Ok(found) if found.is_file() && found.len() < 1 << 24 => drop(fs::read(&path)),
            Ok(_) => drop(fs::read_link(&path)),
            Err(_) => {}
        }
    }
}
