//! `insula image referrers NAME`.

use insula_node::image::Reference;
use insula_node::image::registry::referrers;
use serde_json::{Value, json};

use super::super::registry::{TrustArguments, failure};
use super::super::text;
use crate::Failure;
use crate::output::{Column, FormatArguments, Listing};

/// List what a registry keeps about an image: signatures, attestations, …
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula image referrers localhost:5000/team/app:1.2
  insula image referrers --artifact-type application/spdx+json -o json debian:12")]
pub(in crate::cli) struct Arguments {
    #[arg(
        help = "The image: [HOST[:PORT]/]NAME[:TAG][@DIGEST]",
        value_name = "NAME"
    )]
    name: Reference,

    /// Only those of this type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,

    #[command(flatten)]
    trust: TrustArguments,

    #[command(flatten)]
    output: FormatArguments,
}

const COLUMNS: &[Column] = &[
    Column::new("DIGEST"),
    Column::new("TYPE"),
    Column::new("SIZE"),
];

pub(in crate::cli) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let connection = arguments.trust.connect()?;
    let kind = arguments.artifact_type.as_deref();
    let found =
        referrers(&connection.client, &arguments.name, kind).map_err(|error| failure(&error))?;
    let mut listing = Listing::new("referrers", COLUMNS);
    for descriptor in &found.descriptors {
        let kind = descriptor.other.get("artifactType").and_then(Value::as_str);
        let kind = printable(kind.unwrap_or(&descriptor.media_type));
        let row = vec![
            descriptor.digest.to_string(),
            kind.clone(),
            text::size(descriptor.size),
        ];
        let object = json!({
            "digest": descriptor.digest.to_string(),
            "mediaType": descriptor.media_type,
            "artifactType": kind,
            "sizeBytes": descriptor.size,
            "annotations": descriptor.other.get("annotations"),
        });
        listing.push(format!("manifest/{}", descriptor.digest), row, object);
    }
    listing.print(&arguments.output.format)?;
    Ok(0)
}

/// A registry's words must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .collect()
}
