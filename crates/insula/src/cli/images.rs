//! `insula images`, the same as `insula image list`.

use std::time::{Duration, SystemTime};

use insula_node::image::Summary;
use serde_json::json;

use super::store::{self, Location};
use super::text;
use crate::Failure;
use crate::output::{Column, FormatArguments, Listing};

/// List images
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula images
  insula images -o wide
  insula images -o jsonpath={.id}
  insula images -q | xargs -r insula rmi")]
pub(super) struct Arguments {
    /// Print identifiers only
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("NAME"),
    Column::new("ID"),
    Column::wide("DIGEST"),
    Column::new("SIZE"),
    Column::wide("CREATED"),
    Column::new("AGE"),
];

/// What stands where a name would.
const NO_NAME: &str = "<none>";

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let summaries = location
        .images()
        .list()
        .map_err(|error| store::failure(&error))?;
    if arguments.quiet {
        for summary in &summaries {
            crate::output::data(format_args!("{}\n", short(&summary.id.hex())));
        }
        return Ok(0);
    }
    let mut listing = Listing::new("images", COLUMNS);
    for summary in &summaries {
        if summary.references.is_empty() {
            push(&mut listing, NO_NAME, summary);
        }
        for name in &summary.references {
            push(&mut listing, name, summary);
        }
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}

fn push(listing: &mut Listing, name: &str, summary: &Summary) {
    let id = summary.id.hex();
    let is_named = name != NO_NAME;
    let row = vec![
        name.to_owned(),
        short(&id).to_owned(),
        summary.manifest.to_string(),
        text::size(summary.size_bytes),
        summary.created.clone(),
        age(&summary.created),
    ];
    let object = json!({
        "name": is_named.then_some(name),
        "id": summary.id.to_string(),
        "digest": summary.manifest.to_string(),
        "sizeBytes": summary.size_bytes,
        "created": summary.created,
    });
    let address = if is_named { name } else { short(&id) };
    listing.push(format!("image/{address}"), row, object);
}

/// As many digits as people can tell apart.
fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

fn age(created: &str) -> String {
    let seconds = text::seconds_since_epoch(created);
    let moment = seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let age = moment.and_then(|moment| SystemTime::now().duration_since(moment).ok());
    age.map_or_else(|| "-".to_owned(), text::age)
}
