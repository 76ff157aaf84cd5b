//! A second image that shares nine of ten layers with one that is here: what of it comes over the
//! network, and by how much the store grows, in hundredths of the whole image.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Ground, one_row};
use crate::course::Course;
use crate::entry::Entry;
use crate::report::Row;

const LAYERS: usize = 10;
const LAYER_BYTES: usize = 4 << 20;

/// A pull into a store: bytes that came, and by which the store grew.
struct Pulled {
    transferred: f64,
    stored: f64,
}

pub(super) fn measure(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<[Pulled; 2]> {
        let ground = Ground::empty(course)?;
        for (name, last) in [("first", 0), ("second", 1)] {
            push(course, &ground, name, last)?;
        }
        Ok([
            pull(course, &ground, "first")?,
            pull(course, &ground, "second")?,
        ])
    };
    let shares = measured().map(|[first, second]| {
        let of_whole = |second: f64, first: f64| 100.0 * second / first;
        [
            (
                "transferred",
                of_whole(second.transferred, first.transferred),
            ),
            ("stored", of_whole(second.stored, first.stored)),
        ]
    });
    match shares {
        Err(error) => vec![one_row(entry, "%", Err(error))],
        Ok(shares) => shares
            .map(|(what, share)| Row {
                name: format!("{}: {what}", entry.name),
                ..one_row(entry, "%", Ok(share))
            })
            .into(),
    }
}

/// Builds an image of ten layers and brings it to the registry; `last` makes its last layer.
fn push(course: &Course, ground: &Ground, name: &str, last: u64) -> Result<()> {
    let context = ground.directory.join("context");
    fs::create_dir_all(&context)?;
    let mut text = "FROM scratch\n".to_owned();
    for number in 0..LAYERS {
        let is_last = number == LAYERS - 1;
        let seed = number as u64 + if is_last { 100 * last } else { 0 };
        fs::write(context.join(format!("layer-{number}")), noise(seed))?;
        text += &format!("COPY layer-{number} /\n");
    }
    fs::write(context.join("Containerfile"), text)?;
    let (store, name) = (ground.path("maker"), ground.name(name));
    let context = context.display().to_string();
    let build = ["--store", &store, "build", "--quiet", "-t", &name, &context];
    course.insula.run(&build)?;
    course
        .insula
        .run(&["--store", &store, "push", "--quiet", &name])
}

/// Nothing shrinks it.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(LAYER_BYTES);
    while bytes.len() < LAYER_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn pull(course: &Course, ground: &Ground, name: &str) -> Result<Pulled> {
    let store = ground.path("ours");
    let before = disk_bytes(Path::new(&store))?;
    let name = ground.name(name);
    let arguments = ["--store", &store, "pull", "--quiet", "-o", "json", &name];
    let mut command = course.insula.command(&arguments);
    let output = command.stdout(Stdio::piped()).output();
    let output = output.with_context(|| format!("start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}",
        output.status
    );
    let said: Value = serde_json::from_slice(&output.stdout).context("read what the pull says")?;
    let transferred = said["transferredBytes"].as_f64();
    Ok(Pulled {
        transferred: transferred.context("the pull does not say how much came")?,
        stored: disk_bytes(Path::new(&store))? - before,
    })
}

/// What everything below `directory` takes, in blocks.
fn disk_bytes(directory: &Path) -> Result<f64> {
    let mut blocks = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(entries) = fs::read_dir(&path) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let metadata = entry.metadata()?;
            blocks += metadata.blocks();
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    // No figure here has more than 53 bits.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share is shown with one digit"
    )]
    let bytes = (blocks * 512) as f64;
    Ok(bytes)
}
