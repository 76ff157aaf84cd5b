//! Figures of images: a large layer pulled, mounted, read and deleted.
//!
//! Every contestant pulls into an empty store from a registry on loopback, and what it made is
//! removed before its next turn. Reading is compared on two mounts that stay: ours, and an overlay
//! on the same layer unpacked to directories.
//!
//! Start at [`list`].

mod corpus;
mod server;
mod shared;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::course::Course;
use crate::entry::{Entry, entry, two_rows};
use crate::launch::Program;
use crate::report::{Bar, Figure, Row};
use crate::sample::{Cost, Sample, sum};
use server::Server;

const PULLS: usize = 3;
const WALKS: usize = 5;

pub(crate) fn list() -> [Entry; 10] {
    use Bar::{RatioAtMost, ValueAtMost};
    let pull = RatioAtMost(0.4);
    // A speed of at least 0.95 of the peer's.
    let read = RatioAtMost(1.05);
    [
        entry("pull 900 MB, gzip", "podman", pull, pull_gzip),
        entry("pull 900 MB, zstd", "podman", pull, pull_zstd),
        entry("pull 900 MB, gzip", "umoci", pull, pull_gzip_umoci),
        entry("peak memory of the pull", "", ValueAtMost(64.0), peak),
        entry("delete the image", "", ValueAtMost(50.0), delete),
        entry("walk the image, warm", "overlay", read, walk_warm),
        entry("walk the image, cold", "overlay", read, walk_cold),
        entry("read the image, warm", "overlay", read, read_warm),
        entry("read the image, cold", "overlay", read, read_cold),
        entry(
            "second image, 9 of 10 layers",
            "",
            ValueAtMost(11.0),
            shared::measure,
        ),
    ]
}

/// A registry with the images, and a place for what is made of them.
struct Ground {
    server: Server,
    directory: PathBuf,
}

impl Drop for Ground {
    fn drop(&mut self) {
        // What cannot be removed is seen in the temporary directory.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Ground {
    fn new(course: &Course) -> Result<Self> {
        let layout = course.native.join("image");
        corpus::make(&layout).context("make the image")?;
        let ground = Self::empty(course)?;
        for form in corpus::FORMS {
            let from = format!("oci:{}:{form}", layout.display());
            let to = format!("docker://{}", ground.name(form));
            course
                .skopeo()
                .run(&["copy", "--dest-tls-verify=false", &from, &to])?;
        }
        Ok(ground)
    }

    /// Nothing is in the registry.
    fn empty(course: &Course) -> Result<Self> {
        let directory = course.fresh_directory("images")?;
        let server = Server::start(&course.peers.join("docker-registry"), &directory)?;
        Ok(Self { server, directory })
    }

    fn name(&self, form: &str) -> String {
        format!("{}/bench:{form}", self.server.address)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn clear(&self, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn pull_ours(course: &Course, ground: &Ground, form: &str) -> Result<Cost> {
    ground.clear("ours")?;
    settle();
    let arguments = [
        "--store",
        &ground.path("ours"),
        "pull",
        "--quiet",
        &ground.name(form),
    ];
    course.insula.measure(&arguments)
}

fn pull_podman(course: &Course, ground: &Ground, form: &str) -> Result<Cost> {
    let (root, run) = (ground.path("podman"), ground.path("podman-run"));
    let places = ["--root", &root, "--runroot", &run];
    // Only the engine itself knows how to take its storage apart.
    let reset = [&places[..], &["rmi", "--all", "--force"]].concat();
    let _ = course.podman.run(&reset);
    settle();
    let name = ground.name(form);
    let pull = [
        &places[..],
        &["pull", "--quiet", "--tls-verify=false", &name],
    ]
    .concat();
    course.podman.measure(&pull)
}

fn pull_umoci(course: &Course, ground: &Ground, form: &str) -> Result<Cost> {
    ground.clear("umoci")?;
    fs::create_dir_all(ground.directory.join("umoci"))?;
    settle();
    let from = format!("docker://{}", ground.name(form));
    let layout = ground.path("umoci/layout");
    let to = format!("oci:{layout}:{form}");
    let copied = course
        .skopeo()
        .measure(&["copy", "--src-tls-verify=false", &from, &to])?;
    let image = format!("{layout}:{form}");
    let bundle = ground.path("umoci/bundle");
    let unpacked = course
        .umoci()
        .measure(&["unpack", "--image", &image, &bundle])?;
    Ok(sum(&[copied, unpacked], std::time::Duration::ZERO))
}

/// Nothing of one contestant is written to disk at the cost of the next.
fn settle() {
    insula_sys::rustix::fs::sync();
}

type Pull = fn(&Course, &Ground, &str) -> Result<Cost>;

fn pull(course: &Course, entry: Entry, form: &str, peer: Pull) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let ground = Ground::new(course)?;
        let (mut ours, mut theirs) = (Sample::default(), Sample::default());
        for _ in 0..PULLS {
            ours.add(pull_ours(course, &ground, form)?);
            theirs.add(peer(course, &ground, form)?);
        }
        let _ = pull_podman_end(course, &ground);
        Ok((ours, theirs))
    };
    two_rows(entry, Bar::None, measured())
}

fn pull_podman_end(course: &Course, ground: &Ground) -> Result<()> {
    let (root, run) = (ground.path("podman"), ground.path("podman-run"));
    let places = ["--root", &root, "--runroot", &run];
    course
        .podman
        .run(&[&places[..], &["rmi", "--all", "--force"]].concat())
}

fn pull_gzip(course: &Course, entry: Entry) -> Vec<Row> {
    pull(course, entry, "gzip", pull_podman)
}

fn pull_zstd(course: &Course, entry: Entry) -> Vec<Row> {
    pull(course, entry, "zstd", pull_podman)
}

fn pull_gzip_umoci(course: &Course, entry: Entry) -> Vec<Row> {
    pull(course, entry, "gzip", pull_umoci)
}

/// The largest of one pull of each form.
fn peak(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<f64> {
        let ground = Ground::new(course)?;
        let mut most = 0.0_f64;
        for form in corpus::FORMS {
            ground.clear("ours")?;
            let store = ground.path("ours");
            let arguments = ["--store", &store, "pull", "--quiet", &ground.name(form)];
            most = most.max(course.peak_mib(&course.insula, &arguments)?);
        }
        Ok(most)
    };
    vec![one_row(entry, "MiB", measured())]
}

fn delete(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<f64> {
        let ground = Ground::new(course)?;
        let mut times = Vec::new();
        for _ in 0..PULLS {
            pull_ours(course, &ground, "zstd")?;
            settle();
            let arguments = ["--store", &ground.path("ours"), "rmi", &ground.name("zstd")];
            let cost = course.insula.measure(&arguments)?;
            times.push(cost.wall.as_secs_f64() * 1e3);
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok(times[PULLS / 2])
    };
    vec![one_row(entry, "ms", measured())]
}

fn one_row(entry: Entry, unit: &'static str, measured: Result<f64>) -> Row {
    match measured {
        Ok(value) => Row {
            name: entry.name.to_owned(),
            unit,
            peer_name: entry.peer,
            ours: Some(Figure::plain(value)),
            peer: None,
            bar: entry.bar,
            failure: None,
        },
        Err(error) => Row::failed(entry.name, entry.peer, entry.bar, &error),
    }
}

/// umoci of Debian 12 knows no zstd; mounted they are the same.
const FORM: &str = "gzip";

/// Two mounts of the same layer.
struct Mounts<'a> {
    course: &'a Course,
    ground: Ground,
    ours: String,
    theirs: String,
}

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        let store = self.ground.path("ours");
        let name = self.ground.name(FORM);
        let _ = self
            .course
            .insula
            .run(&["--store", &store, "image", "unmount", &name]);
        let _ = Command::new("umount").arg(&self.theirs).status();
    }
}

impl<'a> Mounts<'a> {
    fn new(course: &'a Course) -> Result<Self> {
        let ground = Ground::new(course)?;
        pull_ours(course, &ground, FORM)?;
        pull_umoci(course, &ground, FORM)?;
        for name in ["mount", "overlay", "empty"] {
            fs::create_dir_all(ground.directory.join(name))?;
        }
        let mounts = Self {
            course,
            ours: ground.path("mount"),
            theirs: ground.path("overlay"),
            ground,
        };
        let (store, name) = (mounts.ground.path("ours"), mounts.ground.name(FORM));
        let mount = ["--store", &store, "image", "mount", &name, &mounts.ours];
        mounts.course.insula.run(&mount)?;
        let (lower, empty) = (
            mounts.ground.path("umoci/bundle/rootfs"),
            mounts.ground.path("empty"),
        );
        let status = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o"])
            .arg(format!("lowerdir={empty}:{lower}"))
            .arg(&mounts.theirs)
            .status()
            .context("start mount")?;
        ensure!(status.success(), "mount the overlay of directories");
        Ok(mounts)
    }
}

/// Cold: nothing of either is in the page cache. Warm: everything was read once.
fn read(course: &Course, entry: Entry, is_cold: bool, words: &[&str]) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let mounts = Mounts::new(course)?;
        let program = Program::new(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        let once = |place: &str| -> Result<Cost> {
            if is_cold {
                settle();
                fs::write("/proc/sys/vm/drop_caches", "3").context("drop the page cache")?;
            }
            program.measure(&[place])
        };
        let (mut ours, mut theirs) = (Sample::default(), Sample::default());
        for round in 0..=WALKS {
            let (cost, peer) = (once(&mounts.ours)?, once(&mounts.theirs)?);
            if round > 0 {
                ours.add(cost);
                theirs.add(peer);
            }
        }
        Ok((ours, theirs))
    };
    two_rows(entry, Bar::None, measured())
}

/// A shell gets the directory as `$0`.
const WALK: [&str; 3] = ["/bin/sh", "-c", "find \"$0\" -newermt 2000-01-01 -size +0"];
const READ: [&str; 3] = [
    "/bin/sh",
    "-c",
    "find \"$0\" -type f -print0 | xargs -0 cat",
];

fn walk_warm(course: &Course, entry: Entry) -> Vec<Row> {
    read(course, entry, false, &WALK)
}

fn walk_cold(course: &Course, entry: Entry) -> Vec<Row> {
    read(course, entry, true, &WALK)
}

fn read_warm(course: &Course, entry: Entry) -> Vec<Row> {
    read(course, entry, false, &READ)
}

fn read_cold(course: &Course, entry: Entry) -> Vec<Row> {
    read(course, entry, true, &READ)
}
