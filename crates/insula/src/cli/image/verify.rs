//! `insula image verify [IMAGE…]`.

use std::collections::BTreeSet;

use insula_node::image::{Damage, Verified};
use serde_json::json;

use super::super::store::{self, Location};
use super::super::text;
use crate::output::{self, Column, FormatArguments, Listing};
use crate::{Failure, output::Format};

/// Check that images are what they were: every blob, every layer, every byte
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Damage is listed, one line for each part or file, and the exit code is 1. What was found damaged is
brought anew by the next pull, import or build of the image; whole parts are not transferred again.

Examples:
  insula image verify debian:12
  insula image verify --all
  insula image verify --all -o json")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required_unless_present = "all", value_name = "IMAGE")]
    images: Vec<String>,

    /// Every image of the store
    #[arg(short, long, conflicts_with = "images")]
    all: bool,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("IMAGE"),
    Column::new("PART"),
    Column::new("DIGEST"),
    Column::new("FILE"),
    Column::wide("REASON"),
];

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let verified = location
        .images()
        .verify(&arguments.images, &|_| {})
        .map_err(|error| store::failure(&error))?;
    let mut listing = Listing::new("damage", COLUMNS);
    for damage in &verified.damages {
        push(&mut listing, damage);
    }
    let is_table = matches!(arguments.output.format, Format::Table | Format::Wide);
    if !is_table || !verified.damages.is_empty() {
        listing.print(&arguments.output.format)?;
    }
    if is_table {
        summarize(&verified);
        advise(&verified);
    }
    Ok(u8::from(!verified.damages.is_empty()))
}

fn push(listing: &mut Listing, damage: &Damage) {
    let digest = damage.part.digest().to_string();
    let row = vec![
        damage.images.join(","),
        damage.part.kind().to_owned(),
        digest.clone(),
        damage.part.path().unwrap_or_default().to_owned(),
        damage.reason.clone(),
    ];
    let object = json!({
        "images": damage.images,
        "part": damage.part.kind(),
        "digest": digest,
        "file": damage.part.path(),
        "reason": damage.reason,
    });
    listing.push(format!("{}/{digest}", damage.part.kind()), row, object);
}

/// How to make whole what is not.
fn advise(verified: &Verified) {
    let images = verified.damages.iter().flat_map(|damage| &damage.images);
    let images: BTreeSet<&str> = images.map(String::as_str).collect();
    for image in images {
        output::talk(format_args!(
            "hint: `insula pull {image}` brings only what is damaged; where the image did not come \
             from a registry, import or build it again"
        ));
    }
}

fn summarize(verified: &Verified) {
    let found = match verified.damages.len() {
        0 => "nothing is damaged".to_owned(),
        1 => "1 damage".to_owned(),
        count => format!("{count} damages"),
    };
    output::talk(format_args!(
        "{} images, {} parts, {}: {found}",
        verified.images,
        verified.parts,
        text::size(verified.bytes)
    ));
    if verified.unchecked > 0 {
        output::talk(format_args!(
            "{} layers are unpacked directories: their archives were checked, not their files",
            verified.unchecked
        ));
    }
}
