//! `insula inspect`, the same as `insula image inspect`.

use insula_node::image::Store;
use serde_json::{Value, json};

use super::store::{self, Location};
use crate::Failure;
use crate::output::{Format, FormatArguments, print_document};

/// Show everything about images, as JSON or YAML
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula inspect debian:12
  insula inspect debian:12 -o yaml
  insula inspect debian:12 -o jsonpath={.config.Cmd}")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    output: FormatArguments,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let store = location.images();
    let mut documents = Vec::new();
    for name in &arguments.images {
        documents.push(document(&store, name)?);
    }
    if arguments.output.format == Format::Name {
        for name in &arguments.images {
            crate::output::data(format_args!("image/{name}\n"));
        }
        return Ok(0);
    }
    print_document(&Value::Array(documents), &arguments.output.format)?;
    Ok(0)
}

fn document(store: &Store, name: &str) -> Result<Value, Failure> {
    let image = store
        .resolve(name)
        .map_err(|error| store::failure(&error))?;
    let summaries = store.list().map_err(|error| store::failure(&error))?;
    let summary = summaries
        .iter()
        .find(|summary| summary.manifest == image.manifest);
    Ok(json!({
        "id": image.id.to_string(),
        "digest": image.manifest.to_string(),
        "names": summary.map(|summary| &summary.references),
        "created": summary.map(|summary| &summary.created),
        "sizeBytes": summary.map(|summary| summary.size_bytes),
        "architecture": image.config.architecture,
        "os": image.config.os,
        "author": image.config.author,
        "config": image.config.config,
        "layers": image.config.rootfs.diff_ids,
        "directories": image.layers.iter().map(|layer| layer.form.path()).collect::<Vec<_>>(),
        "history": image.config.history,
    }))
}
