//! The store under kills, full disks, many at once, and too little memory.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

mod archive;

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use archive::{Archive, header};
use insula_image::{
    AddedLayer, CONFIG_TYPE, Claim, Descriptor, Digest, ImageConfig, LAYER_GZIP_TYPE,
    MANIFEST_TYPE, Manifest, PruneScope, RootFs, Store, Transaction,
};

const CHILD_STORE: &str = "INSULA_STORM_STORE";
const CHILD_SEED: &str = "INSULA_STORM_SEED";

fn nobody(_: &Digest) -> Vec<String> {
    Vec::new()
}

/// Content that compression does not shrink much.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// A layer as a registry has it.
fn remote(seed: u64, length: usize) -> (Digest, Descriptor, Vec<u8>) {
    let tar = Archive::default()
        .file("noise", &noise(seed, length))
        .file(&format!("seed-{seed}"), b"")
        .end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let bytes = gzip.finish().unwrap();
    let descriptor = Descriptor::new(LAYER_GZIP_TYPE, Digest::of(&bytes), bytes.len() as u64);
    (Digest::of(&tar), descriptor, bytes)
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

fn commit(transaction: Transaction, layers: &[AddedLayer], name: &str) {
    let (manifest, config) = documents(layers);
    let names = [name.parse().unwrap()];
    transaction.commit(&manifest, &config, &names).unwrap();
}

/// There is no event to wait for: the moment is to be any.
#[expect(clippy::disallowed_methods, reason = "no event is meant")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A transfer that takes its time.
struct Slow(Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        pause(Duration::from_micros(300));
        let room = buffer.len().min(16 << 10);
        self.0.read(&mut buffer[..room])
    }
}

/// Pulls an image of three layers, which many share, under a name of its own.
fn pull(store: &Store, seed: u64) {
    let transaction = store.begin().unwrap();
    let mut layers = Vec::new();
    for number in 0..3 {
        let (diff_id, descriptor, bytes) = remote((seed + number) % 5, 400_000);
        let claim = transaction
            .claim_layer(&descriptor, Some(&diff_id))
            .unwrap();
        layers.push(match claim {
            Claim::Present(layer) => layer,
            Claim::Missing(pending) => {
                let from = usize::try_from(pending.resume_from()).unwrap();
                let rest = Slow(Cursor::new(bytes[from..].to_vec()));
                pending.receive(Box::new(rest), &|_| {}).unwrap()
            }
        });
    }
    commit(transaction, &layers, &format!("image:{seed}"));
}

/// Runs when another test starts this binary again.
#[test]
fn child_that_pulls_and_removes() {
    let (Some(store), Ok(seed)) = (std::env::var_os(CHILD_STORE), std::env::var(CHILD_SEED)) else {
        return;
    };
    let store = Store::new(Path::new(&store));
    let seed: u64 = seed.parse().unwrap();
    match seed % 4 {
        0 => drop(store.prune(PruneScope::Unnamed, &nobody).unwrap()),
        // It may not be there, or not any more.
        1 => drop(store.remove(&format!("image:{}", seed % 7), true, &nobody)),
        _ => pull(&store, seed % 7),
    }
}

fn child(store: &Path, seed: u64) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_pulls_and_removes"])
        .env(CHILD_STORE, store)
        .env(CHILD_SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Names below a directory of the store.
fn names(store: &Path, place: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(store.join("images").join(place));
    let entries = entries.into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// Whatever happened: what is in the catalogue is whole, and there is nothing else.
fn check(directory: &Path) {
    let store = Store::new(directory);
    store.prune(PruneScope::Leftovers, &nobody).unwrap();
    let verified = store.verify(&[], &|_| {}).unwrap();
    assert_eq!(verified.damages, []);
    let mut blobs = BTreeSet::new();
    let mut layers = BTreeSet::new();
    for summary in store.list().unwrap() {
        let image = store.resolve(&summary.manifest.to_string()).unwrap();
        blobs.extend([image.id.hex(), image.manifest.hex()]);
        let manifest = store.manifest(&image.manifest).unwrap();
        blobs.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
        layers.extend(image.layers.iter().map(|layer| layer.diff_id.hex()));
    }
    assert_eq!(names(directory, "blobs/sha256"), blobs);
    assert_eq!(names(directory, "layers/sha256"), layers);
    assert_eq!(names(directory, "partial/sha256"), BTreeSet::new());
    assert_eq!(names(directory, "staging"), BTreeSet::new());
}

#[test]
fn kills_at_any_moment_leave_a_whole_store() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..60_u64 {
        // Two at once, one of which dies somewhere on its way.
        let mut victim = child(directory.path(), 2 + 4 * (round % 7));
        let other = child(directory.path(), round);
        pause(Duration::from_millis(3 + (round * 7) % 90));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let output = other.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "round {round}: {text}");
        if round % 10 == 9 {
            check(directory.path());
        }
    }
}

#[test]
fn many_processes_at_once_disturb_nobody() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let children: Vec<_> = (0..12)
            .map(|number| child(directory.path(), round * 12 + number))
            .collect();
        for (number, child) in children.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "round {round}, {number}: {text}");
        }
        check(directory.path());
    }
}

/// A small file system, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("disk");
        std::fs::File::create(&image)
            .unwrap()
            .set_len(u64::from(megabytes) << 20)
            .unwrap();
        let place = directory.path().join("place");
        std::fs::create_dir(&place).unwrap();
        let mut make = Command::new("mkfs.ext4");
        let made = make
            .arg("-q")
            .arg(&image)
            .status()
            .is_ok_and(|status| status.success());
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&image).arg(&place);
        if !made || !mount.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: cannot make or mount a small file system");
            return None;
        }
        Some(Self(directory))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("place")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn everything(store: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![store.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap().flatten();
            pending.extend(entries.map(|entry| entry.path()));
        } else {
            found.insert(path);
        }
    }
    found
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let Some(disk) = SmallDisk::new(24) else {
        return;
    };
    let store = Store::new(&disk.path());
    pull(&store, 0);
    let before = everything(&disk.path());
    // The first layer fits, the second does not: neither is kept.
    let transaction = store.begin().unwrap();
    let (diff_id, descriptor, bytes) = remote(100, 2 << 20);
    let Claim::Missing(pending) = transaction
        .claim_layer(&descriptor, Some(&diff_id))
        .unwrap()
    else {
        panic!("nobody has it");
    };
    pending
        .receive(Box::new(Cursor::new(bytes)), &|_| {})
        .unwrap();
    let (diff_id, descriptor, bytes) = remote(101, 30 << 20);
    let Claim::Missing(pending) = transaction
        .claim_layer(&descriptor, Some(&diff_id))
        .unwrap()
    else {
        panic!("nobody has it");
    };
    let error = pending
        .receive(Box::new(Cursor::new(bytes)), &|_| {})
        .unwrap_err();
    assert!(error.is_storage_full(), "{}", error.chain());
    assert!(error.hint_text().unwrap().contains("free space"));
    drop(transaction);
    assert_eq!(everything(&disk.path()), before);
    assert!(store.resolve("image:0").is_ok());
}

/// A file system in memory whose size can be set, unmounted at the end.
struct Pages(tempfile::TempDir);

impl Pages {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(directory.path());
        if !mount.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: cannot mount a file system in memory");
            return None;
        }
        Some(Self(directory))
    }

    fn used(&self) -> u64 {
        let found = insula_sys::rustix::fs::statvfs(self.0.path()).unwrap();
        (found.f_blocks - found.f_bfree) * found.f_frsize
    }

    /// From now on so many bytes can be added.
    fn leave(&self, bytes: u64) {
        let size = format!("remount,size={}", self.used() + bytes);
        let mut mount = Command::new("mount");
        mount.args(["-o", &size]).arg(self.0.path());
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// What a user sees of a store, and every file in it.
fn contents(directory: &Path) -> (Vec<String>, BTreeSet<PathBuf>) {
    let store = Store::new(directory);
    let images = store.list().unwrap();
    let names = images.into_iter().flat_map(|image| image.references);
    (names.collect(), everything(directory))
}

/// Pulls like [`pull`], and says whether the disk was too small.
fn try_pull(store: &Store, seed: u64) -> Result<(), insula_image::Error> {
    let transaction = store.begin()?;
    let mut layers = Vec::new();
    for number in 0..3 {
        let (diff_id, descriptor, bytes) = remote(seed + number, 60_000);
        layers.push(
            match transaction.claim_layer(&descriptor, Some(&diff_id))? {
                Claim::Present(layer) => layer,
                Claim::Missing(pending) => {
                    let from = usize::try_from(pending.resume_from()).unwrap();
                    let rest = Cursor::new(bytes[from..].to_vec());
                    pending.receive(Box::new(rest), &|_| {})?
                }
            },
        );
    }
    let (manifest, config) = documents(&layers);
    let names = ["small:1".parse().unwrap()];
    transaction.commit(&manifest, &config, &names).map(drop)
}

fn try_import(store: &Store) -> Result<(), insula_image::Error> {
    let tar = Archive::default()
        .file("noise", &noise(77, 90_000))
        .file("more", &noise(78, 20_000))
        .end();
    let options = insula_image::ImportOptions {
        tag: Some("small:2".parse().unwrap()),
        ..insula_image::ImportOptions::default()
    };
    let source = insula_image::Source::Stream(Box::new(Cursor::new(tar)));
    store.import(source, &options).map(drop)
}

/// The disk is full after each number of pages in turn: whatever write it hits, the store is as
/// before, and with more room the same succeeds.
#[test]
fn a_disk_that_is_full_at_any_write_leaves_the_store_as_it_was() {
    type Change = fn(&Store) -> Result<(), insula_image::Error>;
    let changes: [(&str, Change); 2] = [
        ("pull", |store| try_pull(store, 300)),
        ("import", try_import),
    ];
    for (what, change) in changes {
        let Some(disk) = Pages::new() else {
            return;
        };
        let directory = disk.0.path();
        let store = Store::new(directory);
        pull(&store, 0);
        let before = contents(directory);
        let mut failures = 0;
        for pages in 0.. {
            disk.leave(pages * 4096);
            let outcome = change(&store);
            disk.leave(32 << 20);
            if outcome.is_ok() {
                break;
            }
            failures += 1;
            let error = outcome.unwrap_err();
            assert!(
                error.is_storage_full(),
                "{what}, {pages} pages: {}",
                error.chain()
            );
            // A process that could not even clean up is cleaned up after by the next change.
            store.prune(PruneScope::Leftovers, &nobody).unwrap();
            assert_eq!(contents(directory), before, "{what}, {pages} pages");
        }
        assert!(failures > 20, "{what} failed only {failures} times");
        assert_eq!(store.verify(&[], &|_| {}).unwrap().damages, []);
    }
}

/// Who has filled the disk removes something: that must not need what is not there.
#[test]
fn images_are_removed_from_a_full_disk() {
    for pages in 0..8 {
        let Some(disk) = Pages::new() else {
            return;
        };
        let directory = disk.0.path();
        let store = Store::new(directory);
        pull(&store, 0);
        try_import(&store).unwrap();
        disk.leave(pages * 4096);
        store
            .remove("small:2", false, &nobody)
            .unwrap_or_else(|error| {
                panic!("{pages} pages: {}", error.chain());
            });
        disk.leave(0);
        store.prune(PruneScope::Unused, &nobody).unwrap();
        assert_eq!(store.list().unwrap().len(), 0);
        disk.leave(32 << 20);
        check(directory);
        pull(&store, 0);
        check(directory);
    }
}

/// An endless number of small files, made while they are read.
struct ManyFiles {
    left: u32,
    block: Vec<u8>,
    position: usize,
}

impl Read for ManyFiles {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.block.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            let name = format!("d{}/f{}", self.left / 100, self.left);
            self.block = match self.left {
                0 => vec![0; 1024],
                number => {
                    let mut block = header(name.as_bytes(), b'0', 4000, b"").to_vec();
                    block.extend(noise(number.into(), 4000));
                    block.resize(512 + 4096, 0);
                    block
                }
            };
            self.position = 0;
        }
        let count = buffer.len().min(self.block.len() - self.position);
        buffer[..count].copy_from_slice(&self.block[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_large_layer_needs_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let transaction = store.begin().unwrap();
    let files = ManyFiles {
        left: 65_000,
        block: Vec::new(),
        position: 0,
    };
    // Compressed on the way, as an import does: one stage more than a pull has.
    let added = transaction.add_layer(Box::new(files)).unwrap();
    assert_eq!(added.unpacked.entries, 64_999);
    commit(transaction, &[added], "large");
    let peak = peak_kilobytes();
    assert!(peak <= 64 << 10, "{peak} KiB");
    let start = std::time::Instant::now();
    store.remove("large", false, &nobody).unwrap();
    eprintln!("removed in {:?}, peak {peak} KiB", start.elapsed());
}

#[test]
fn bombs_are_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    // A frame that asks for more history than anybody needs.
    let mut window = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    window.window_log(30).unwrap();
    window.long_distance_matching(true).unwrap();
    window.include_contentsize(false).unwrap();
    let tar = Archive::default().file("a", &vec![0; 3 << 20]).end();
    window.write_all(&tar).unwrap();
    let window = window.finish().unwrap();
    let transaction = store.begin().unwrap();
    let error = transaction
        .add_layer(Box::new(Cursor::new(window)))
        .unwrap_err();
    assert!(
        error.chain().contains("128 MiB of history"),
        "{}",
        error.chain()
    );
    drop(transaction);
    // Zeros without end: 1:1000 by gzip.
    let limits = insula_image::Limits {
        archive_bytes: 64 << 20,
        ..insula_image::Limits::default()
    };
    let transaction = store
        .begin_with(insula_image::TransactionOptions {
            unpack: insula_image::UnpackOptions {
                limits,
                ..insula_image::UnpackOptions::default()
            },
            ..insula_image::TransactionOptions::default()
        })
        .unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&header(b"zeros", b'0', 1 << 30, b""))
        .unwrap();
    for _ in 0..100 {
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    let error = transaction
        .add_layer(Box::new(Cursor::new(bomb)))
        .unwrap_err();
    assert!(error.chain().contains("the limit"), "{}", error.chain());
    drop(transaction);
    check(directory.path());
}
