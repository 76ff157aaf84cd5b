//! Image builds against buildah: ten steps, everything cached and nothing cached.
//!
//! Both start from the same root file system and have a store of their own. buildah runs its steps
//! in the quickest way that it has, by chroot without namespaces, on the overlay driver.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::course::{Course, interleave};
use crate::entry::{Entry, entry, two_rows};
use crate::launch::Program;
use crate::report::{Bar, Row};
use crate::sample::Sample;

/// Ten steps that change files, behind FROM.
const STEPS: &str = "FROM base\nENV A=1\nWORKDIR /srv/app\nCOPY files /srv/app/files\n\
    RUN echo one >/one\nRUN mkdir -p /var/lib/x && cp -r /srv/app/files /var/lib/x\n\
    COPY one.txt /srv/app/\nRUN rm -r /var/lib/x\nLABEL a=b\nRUN cat /one >/two\n\
    CMD [\"/bin/true\"]\n";
/// Files of the context.
const FILES: usize = 200;

pub(crate) fn list() -> [Entry; 2] {
    use Bar::RatioAtMost;
    let peer = "buildah";
    [
        entry(
            "build of 10 steps, all cached",
            peer,
            RatioAtMost(0.2),
            cached,
        ),
        entry(
            "build of 10 steps, nothing cached",
            peer,
            RatioAtMost(0.7),
            uncached,
        ),
    ]
}

fn cached(course: &Course, entry: Entry) -> Vec<Row> {
    two_rows(entry, Bar::None, compare(course, course.runs / 8, &[]))
}

fn uncached(course: &Course, entry: Entry) -> Vec<Row> {
    let runs = course.runs / 20;
    two_rows(entry, Bar::None, compare(course, runs, &["--no-cache"]))
}

fn compare(course: &Course, runs: usize, flags: &[&str]) -> Result<(Sample, Sample)> {
    let directory = tempfile::Builder::new()
        .prefix("insula-bench-build-")
        .tempdir();
    let directory = directory.context("make a directory")?;
    let root = directory.path();
    let context = root.join("context");
    let context_path = context.to_string_lossy().into_owned();
    make_context(&context)?;
    let insula = course
        .insula
        .with(&["--store", &root.join("insula").to_string_lossy()]);
    let buildah = buildah(course, root);
    let archive = course.archive()?;
    insula.run(&[
        "image",
        "import",
        "--tag",
        "base",
        &archive.to_string_lossy(),
    ])?;
    let base = root.join("base");
    fs::create_dir(&base).context("make a directory")?;
    fs::copy(&archive, base.join("rootfs.tar")).context("copy the root file system")?;
    fs::write(
        base.join("Containerfile"),
        "FROM scratch\nADD rootfs.tar /\n",
    )?;
    buildah.run(&["bud", "--tag", "base", &base.to_string_lossy()])?;
    let ours = ["image", "build", "--network", "none", "--tag", "built"];
    let theirs = [
        "bud",
        "--layers",
        "--isolation",
        "chroot",
        "--pull-never",
        "--tag",
        "built",
    ];
    let arguments = |first: &[&str]| -> Vec<String> {
        let words = first.iter().chain(flags).copied();
        let words = words.chain([context_path.as_str()]);
        words.map(str::to_owned).collect()
    };
    let (ours, theirs) = (arguments(&ours), arguments(&theirs));
    let measure = |program: &Program, arguments: &[String]| {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        program.measure(&words)
    };
    let samples = interleave(
        runs.max(5),
        || measure(&insula, &ours),
        || measure(&buildah, &theirs),
    );
    // Its mounts would keep the directory; a failure shows as one that stays.
    let _ = buildah.run(&["rmi", "--all", "--force"]);
    samples
}

fn buildah(course: &Course, root: &Path) -> Program {
    let path = |name: &str| root.join(name).to_string_lossy().into_owned();
    course.buildah.with(&[
        "--root",
        &path("buildah"),
        "--runroot",
        &path("buildah-run"),
        "--storage-driver",
        "overlay",
    ])
}

fn make_context(context: &Path) -> Result<()> {
    let files = context.join("files");
    fs::create_dir_all(&files).context("make the context")?;
    for number in 0..FILES {
        let content = format!("file {number}\n").repeat(64 + number);
        fs::write(files.join(format!("{number}.txt")), content).context("fill the context")?;
    }
    fs::write(context.join("one.txt"), "one\n").context("fill the context")?;
    fs::write(context.join("Containerfile"), STEPS).context("write the Containerfile")
}
