//! `insula image history IMAGE`.

use insula_node::image::Manifest;
use serde_json::json;

use super::super::store::{self, Location};
use super::super::text;
use crate::Failure;
use crate::output::{Column, FormatArguments, Listing};

/// Show how an image came to be: a line for each step, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula image history debian:12
  insula image history debian:12 -o wide
  insula image history debian:12 -o json")]
pub(super) struct Arguments {
    /// A name, or an identifier (its first digits are enough)
    image: String,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("STEP"),
    Column::new("CREATED"),
    Column::new("SIZE"),
    Column::wide("LAYER"),
    Column::new("BY"),
];

/// As much of an instruction as one line shows.
const INSTRUCTION_CHARACTERS: usize = 60;

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let store = location.images();
    let image = store
        .resolve(&arguments.image)
        .map_err(|error| store::failure(&error))?;
    let manifest: Manifest = store
        .manifest(&image.manifest)
        .map_err(|error| store::failure(&error))?;
    let mut layers = manifest.layers.iter().zip(&image.layers);
    let mut steps = Vec::new();
    for history in &image.config.history {
        let is_empty = history
            .other
            .get("empty_layer")
            .and_then(serde_json::Value::as_bool);
        let layer = match is_empty {
            Some(true) => None,
            _ => layers.next(),
        };
        steps.push((history.clone(), layer));
    }
    // Layers that the history does not tell of.
    steps.extend(layers.map(|layer| (insula_node::image::History::default(), Some(layer))));
    let mut listing = Listing::new("steps", COLUMNS);
    for (number, (history, layer)) in steps.iter().enumerate().rev() {
        let by = history.created_by.as_deref().unwrap_or_default();
        let size = layer.map(|(descriptor, _)| descriptor.size);
        let digest = layer.map(|(_, layer)| layer.diff_id.to_string());
        let row = vec![
            (number + 1).to_string(),
            history.created.as_deref().map(plain).unwrap_or_default(),
            size.map(text::size).unwrap_or_default(),
            digest.clone().unwrap_or_default(),
            one_line(by),
        ];
        let object = json!({
            "step": number + 1,
            "created": history.created,
            "createdBy": history.created_by,
            "comment": history.comment,
            "layer": digest,
            "compressedBytes": size,
        });
        listing.push(format!("step/{}", number + 1), row, object);
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}

/// An image says what it likes: no control character reaches the terminal, and a table's cell has
/// no spaces that `awk` would split at.
fn one_line(text: &str) -> String {
    let short: String = text.chars().take(INSTRUCTION_CHARACTERS).collect();
    let mut line = plain(&short)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("_");
    if text.chars().count() > INSTRUCTION_CHARACTERS {
        line.push('…');
    }
    line
}

fn plain(text: &str) -> String {
    let replaced = |character: char| match character.is_control() {
        true => ' ',
        false => character,
    };
    text.chars().map(replaced).collect()
}
