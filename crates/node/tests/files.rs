//! A guest's files without its running: copies both ways, changes, images and archives of it, and
//! volumes. What a guest at rest shows is what the same calls show of one that runs.
//!
//! Needs root; without it the tests are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says when it is skipped"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use insula_image::{ImportOptions, Source, Store};
use insula_node::guest::files::{
    ChangeKind, CommitRequest, CopyOptions, commit, copy_in, copy_out, diff, export, read_stream,
    write_stream,
};
use insula_node::guest::{Place, Removal, Status, create, find, remove};
use insula_node::run::{RunOptions, Volume};
use insula_node::volume;
use insula_sys::mount::{flag, mount};
use insula_sys::process::{CLONE_NEWNS, unshare};
use insula_sys::rustix::fs::{XattrFlags, getxattr, setxattr};
use insula_sys::rustix::mount::{UnmountFlags, unmount};
use insula_sys::rustix::process::geteuid;

const PLAIN: CopyOptions = CopyOptions {
    follow: false,
    archive: false,
};

/// A store with one image, and a directory of the host beside it.
struct Host {
    directory: tempfile::TempDir,
}

fn host() -> Option<Host> {
    if !geteuid().is_root() {
        println!("skipped: needs root");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("rootfs");
    for name in ["bin", "etc", "srv/old", "var/lib/app", "host"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    for (name, text) in [
        ("bin/program", "x"),
        ("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
        ("srv/old/file", "old"),
        ("var/lib/app/seed", "seed"),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    symlink("/etc", root.join("link")).unwrap();
    let host = Host { directory };
    std::fs::create_dir(host.path("outside")).unwrap();
    symlink(host.path("outside"), root.join("escape")).unwrap();
    symlink("../../../../..", root.join("srv/up")).unwrap();
    let options = ImportOptions {
        tag: Some("image".parse().unwrap()),
        changes: vec!["CMD [\"/bin/program\"]".to_owned()],
        sync: false,
        ..ImportOptions::default()
    };
    Store::new(&host.path("store"))
        .import(Source::Path(root), &options)
        .unwrap();
    Some(host)
}

impl Host {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn place(&self) -> Place {
        let mut place = Place::new(self.path("store"));
        place.state = self.path("state");
        place
    }

    fn options(&self, name: &str) -> RunOptions {
        let mut options = RunOptions::new(self.path("store"), "image");
        options.state = self.path("state");
        options.name = Some(name.to_owned());
        options
    }

    fn create(&self, name: &str) -> Place {
        create(&self.options(name)).unwrap();
        self.place()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn put(place: &Place, source: &Path, destination: &str) -> insula_node::Error {
    copy_in(place, "box", (source, Path::new(destination)), PLAIN).unwrap_err()
}

#[test]
fn a_tree_comes_back_as_it_went_and_the_guest_has_still_never_run() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    let tree = host.path("tree");
    let name = OsStr::from_bytes(b"not \xff text");
    host.write("tree/dir/file", "content");
    std::fs::hard_link(tree.join("dir/file"), tree.join("dir/second")).unwrap();
    std::fs::write(tree.join(name), "bytes").unwrap();
    symlink("dir/file", tree.join("link")).unwrap();
    let sparse = std::fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(tree.join("dir/file"), mode).unwrap();
    setxattr(
        tree.join("dir/file"),
        "user.note",
        b"kept",
        XattrFlags::empty(),
    )
    .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();

    let into = copy_in(&place, "box", (&tree, Path::new("/srv")), PLAIN).unwrap();
    assert_eq!(into.left_out, 1, "the socket");
    drop(socket);
    let back = host.path("back");
    copy_out(&place, "box", (Path::new("/srv/tree"), &back), PLAIN).unwrap();

    let file = back.join("dir/file").metadata().unwrap();
    let before = tree.join("dir/file").metadata().unwrap();
    assert_eq!(file.mode(), before.mode());
    assert_eq!(
        (file.mtime(), file.mtime_nsec()),
        (before.mtime(), before.mtime_nsec())
    );
    assert_eq!(
        file.ino(),
        back.join("dir/second").metadata().unwrap().ino()
    );
    assert_eq!(std::fs::read(back.join(name)).unwrap(), b"bytes");
    assert_eq!(
        std::fs::read_link(back.join("link")).unwrap(),
        Path::new("dir/file")
    );
    let sparse = back.join("sparse").metadata().unwrap();
    assert!(
        sparse.len() == 64 << 20 && sparse.blocks() < 100,
        "{}",
        sparse.blocks()
    );
    let mut value = [0_u8; 8];
    let length = getxattr(back.join("dir/file"), "user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"kept");
    assert_eq!(find(&place, "box").unwrap().status, Status::Created);
    let mounts = std::fs::read_to_string("/proc/1/mountinfo").unwrap();
    assert!(
        !mounts.contains(host.path("store").to_str().unwrap()),
        "a mount was left"
    );
}

#[test]
fn slashes_and_dots_mean_what_they_mean_to_docker() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    let file = host.write("file", "1");
    host.write("tree/a", "2");
    let tree = host.path("tree");
    let dotted = host.path("tree/.");
    let into = |source: &Path, destination: &str| {
        copy_in(&place, "box", (source, Path::new(destination)), PLAIN).unwrap();
    };
    into(&file, "/srv");
    into(&file, "/srv/new");
    into(&file, "/srv/old/file");
    into(&tree, "/srv");
    into(&tree, "/srv/made");
    into(&dotted, "/srv/old");
    into(&tree, "relative");
    // The link leads to /etc of the guest.
    into(&file, "/link/by-link");
    let back = |path: &str, name: &str| {
        let ends = (Path::new(path), host.path(name));
        copy_out(&place, "box", (ends.0, &ends.1), PLAIN).unwrap();
        host.read(name)
    };
    assert_eq!(back("/srv/file", "o1"), "1");
    assert_eq!(back("/srv/new", "o2"), "1");
    assert_eq!(back("/srv/old/file", "o3"), "1");
    assert_eq!(back("/srv/tree/a", "o4"), "2");
    assert_eq!(back("/srv/made/a", "o5"), "2");
    assert_eq!(back("/srv/old/a", "o6"), "2");
    assert_eq!(back("relative/a", "o7"), "2");
    assert_eq!(back("/etc/by-link", "o8"), "1");
    for (source, destination, text) in [
        (&file, "/none/file", "does not exist"),
        (&file, "/srv/none/", "does not exist"),
        (&file, "/srv/file/x", "is not a directory"),
        (&tree, "/srv/file", "is not a directory"),
        (&host.path("absent"), "/srv", "does not exist"),
        (&host.path("file/"), "/srv", "is not a directory"),
    ] {
        let error = put(&place, source, destination).to_string();
        assert!(error.contains(text), "{destination}: {error}");
    }
    // A directory of the same name stays.
    let hidden = host.write("old", "file");
    let error = put(&place, &hidden, "/srv");
    assert!(error.chain().contains("directory"), "{}", error.chain());
    assert_eq!(back("/srv/old/file", "o9"), "1");
}

#[test]
fn no_link_of_a_guest_leads_out_of_it() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    let secret = host.write("outside/secret", "host");
    let file = host.write("file", "guest");
    // /escape leads to a path that the guest does not have.
    let error = put(&place, &file, "/escape/x");
    assert!(error.to_string().contains("does not exist"), "{error}");
    // Up from any depth is the guest's own root.
    copy_in(&place, "box", (&file, Path::new("/srv/up/landed")), PLAIN).unwrap();
    let ends = (Path::new("/landed"), host.path("landed"));
    copy_out(&place, "box", (ends.0, &ends.1), PLAIN).unwrap();
    assert_eq!(host.read("landed"), "guest");
    // A link that is copied stays a link; one that is followed leads nowhere.
    let ends = (Path::new("/escape"), host.path("escape"));
    copy_out(&place, "box", (ends.0, &ends.1), PLAIN).unwrap();
    assert!(host.path("escape").is_symlink());
    let followed = CopyOptions {
        follow: true,
        ..PLAIN
    };
    let ends = (Path::new("/escape"), host.path("followed"));
    assert!(copy_out(&place, "box", (ends.0, &ends.1), followed).is_err());
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "host");
    assert_eq!(std::fs::read_dir(host.path("outside")).unwrap().count(), 1);
}

#[test]
fn what_a_guest_gives_brings_no_rights_unless_that_is_asked_for() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    let program = host.write("program", "x");
    std::os::unix::fs::chown(&program, Some(7), Some(8)).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let archive = CopyOptions {
        archive: true,
        ..PLAIN
    };
    copy_in(&place, "box", (&program, Path::new("/srv/as-is")), archive).unwrap();
    copy_in(&place, "box", (&program, Path::new("/srv/roots")), PLAIN).unwrap();
    let out = |path: &str, name: &str, options| {
        copy_out(&place, "box", (Path::new(path), &host.path(name)), options).unwrap();
        let metadata = host.path(name).metadata().unwrap();
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    assert_eq!(out("/srv/as-is", "a", archive), (0o4755, 7, 8));
    assert_eq!(out("/srv/as-is", "b", PLAIN), (0o755, 0, 0));
    assert_eq!(out("/srv/roots", "c", archive), (0o4755, 0, 0));
}

#[test]
fn a_stream_of_one_guest_is_taken_by_another() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    host.create("other");
    let mut archive = Vec::new();
    write_stream(&place, "box", Path::new("/srv/old"), PLAIN, &mut archive).unwrap();
    let taken = |archive: Vec<u8>, path: &str| {
        read_stream(
            &place,
            "other",
            std::io::Cursor::new(archive),
            Path::new(path),
        )
    };
    assert_eq!(taken(archive.clone(), "/var").unwrap().entries, 2);
    let ends = (Path::new("/var/old/file"), host.path("file"));
    copy_out(&place, "other", (ends.0, &ends.1), PLAIN).unwrap();
    assert_eq!(host.read("file"), "old");
    assert!(
        taken(archive.clone(), "/none")
            .unwrap_err()
            .to_string()
            .contains("does not exist")
    );
    archive.truncate(archive.len() - 1024 - 100);
    let error = taken(archive, "/srv").unwrap_err().chain();
    assert!(error.contains("cut off"), "{error}");
}

#[test]
fn a_full_disk_leaves_no_half_file() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    let large = host.path("large");
    std::fs::write(&large, vec![1; 3 << 20]).unwrap();
    copy_in(&place, "box", (&large, Path::new("/srv/large")), PLAIN).unwrap();
    unshare(CLONE_NEWNS).unwrap();
    mount(None, "/", None, flag::PRIVATE | flag::RECURSIVE, None).unwrap();
    let small = host.path("small");
    std::fs::create_dir(&small).unwrap();
    mount(Some(c"tmpfs"), &small, Some(c"tmpfs"), 0, Some(c"size=1m")).unwrap();
    let error = copy_out(&place, "box", (Path::new("/srv/large"), &small), PLAIN).unwrap_err();
    assert!(error.chain().contains("No space left"), "{}", error.chain());
    assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0);
    // What is mounted on could not be removed with the rest.
    unmount(&small, UnmountFlags::DETACH).unwrap();
}

#[test]
fn changes_are_told_and_become_an_image_and_an_archive() {
    let Some(host) = host() else { return };
    let place = host.create("box");
    assert_eq!(diff(&place, "box").unwrap(), []);
    let file = host.write("file", "new");
    for path in ["/srv/old/file", "/srv/added"] {
        copy_in(&place, "box", (&file, Path::new(path)), PLAIN).unwrap();
    }
    let told: Vec<_> = diff(&place, "box")
        .unwrap()
        .into_iter()
        .map(|change| (change.kind, change.path.display().to_string()))
        .collect();
    let of = |kind, path: &str| (kind, path.to_owned());
    let expected = [
        of(ChangeKind::Changed, "/srv"),
        of(ChangeKind::Added, "/srv/added"),
        of(ChangeKind::Changed, "/srv/old"),
        of(ChangeKind::Changed, "/srv/old/file"),
    ];
    assert_eq!(told, expected);

    let request = CommitRequest {
        reference: Some("image:new".parse().unwrap()),
        message: Some("what it is".to_owned()),
        author: None,
        changes: vec!["ENV A=1".to_owned()],
        pause: true,
        sync: false,
    };
    let committed = commit(&place, "box", &request).unwrap();
    let store = Store::new(&place.store);
    let image = store.resolve("image:new").unwrap();
    assert_eq!(image.id, committed.id);
    assert_eq!(
        (image.layers.len(), image.config.config.env.as_slice()),
        (2, &["A=1".to_owned()][..])
    );
    assert_eq!(
        image.config.history.last().unwrap().comment.as_deref(),
        Some("what it is")
    );
    let mut options = host.options("again");
    options.image = "image:new".to_owned();
    create(&options).unwrap();
    assert_eq!(diff(&place, "again").unwrap(), []);
    let mut archive = Vec::new();
    export(&place, "again", &mut archive).unwrap();
    let text = String::from_utf8_lossy(&archive);
    for name in ["srv/added", "srv/old/file", "etc/hostname", "bin/program"] {
        assert!(text.contains(name), "{name}");
    }
    // A change that is wrong leaves nothing.
    let images = store.list().unwrap().len();
    let wrong = CommitRequest {
        changes: vec!["RUN x".to_owned()],
        reference: None,
        ..request
    };
    assert!(commit(&place, "box", &wrong).is_err());
    assert_eq!(store.list().unwrap().len(), images);
}

#[test]
fn a_volume_is_filled_at_its_first_use_and_one_of_its_own_goes_with_the_guest() {
    let Some(host) = host() else { return };
    let mut options = host.options("box");
    let volume = |source: &str, destination: &str, words: &[&str]| Volume {
        source: source.into(),
        destination: destination.into(),
        options: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    options.volumes = vec![
        volume("named", "/var/lib/app", &[]),
        volume("bare", "/srv/old", &["nocopy"]),
        volume("", "/etc", &[]),
    ];
    let record = create(&options).unwrap();
    let place = host.place();
    let within = |name: &str, file: &str| volume::data(&place.store, name).join(file);
    assert_eq!(
        std::fs::read_to_string(within("named", "seed")).unwrap(),
        "seed"
    );
    assert!(!within("bare", "file").exists());
    let own = record.config.volumes[2].name().unwrap().to_owned();
    assert!(within(&own, "passwd").exists());
    // Copies go through the guest's root into the volume.
    let file = host.write("file", "1");
    copy_in(&place, "box", (&file, Path::new("/var/lib/app")), PLAIN).unwrap();
    assert_eq!(
        std::fs::read_to_string(within("named", "file")).unwrap(),
        "1"
    );
    assert!(
        volume::remove(&place, "named")
            .unwrap_err()
            .to_string()
            .contains("used by `box`")
    );
    // What is there already is not filled again.
    std::fs::remove_file(within("named", "seed")).unwrap();
    options.name = Some("second".to_owned());
    options.volumes.truncate(1);
    create(&options).unwrap();
    assert!(!within("named", "seed").exists());
    let removal = Removal {
        volumes: true,
        ..Removal::default()
    };
    remove(&place, "box", removal).unwrap();
    remove(&place, "second", removal).unwrap();
    let left = volume::list(&place.store).unwrap();
    let left: Vec<_> = left.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(left, ["bare", "named"]);
    volume::remove(&place, "named").unwrap();
}
