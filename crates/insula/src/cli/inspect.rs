//! `insula inspect`: everything about a guest, or about an image.

use insula_node::ErrorKind;
use insula_node::guest;
use insula_node::image::Store;
use serde_json::{Value, json};

use super::store::{self, Location, engine_failure};
use crate::output::{Format, FormatArguments, print_document};
use crate::suggest::nearest;
use crate::{Failure, output};

/// Show everything about containers or images, as JSON or YAML
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A name is that of a container, else of an image. One container and a path of names with slashes
give one value of the tree.

Examples:
  insula inspect web
  insula inspect web state/health/status
  insula inspect debian:12 -o yaml
  insula inspect debian:12 -o jsonpath={.config.Cmd}")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough); or a container and a path
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Only this kind: container, image
    #[arg(long = "type", value_name = "KIND", value_parser = ["container", "image"])]
    #[arg(hide_possible_values = true)]
    kind: Option<String>,

    #[command(flatten)]
    output: FormatArguments,
}

impl Arguments {
    /// As `image inspect` means them.
    pub(super) fn of_images(self) -> Self {
        Self {
            kind: Some("image".to_owned()),
            ..self
        }
    }
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    if let [name, path] = arguments.names.as_slice()
        && arguments.kind.as_deref() != Some("image")
        && is_path(location, name, path)
    {
        return print_value(location, name, path, &arguments.output.format);
    }
    let mut documents = Vec::new();
    let mut names = Vec::new();
    for name in &arguments.names {
        let (kind, document) = find(arguments, location, name)?;
        names.push(format!("{kind}/{name}"));
        documents.push(document);
    }
    if arguments.output.format == Format::Name {
        for name in &names {
            output::data(format_args!("{name}\n"));
        }
        return Ok(0);
    }
    print_document(&Value::Array(documents), &arguments.output.format)?;
    Ok(0)
}

/// A second word that is no name of a guest or an image is a path in the first.
fn is_path(location: &Location, name: &str, path: &str) -> bool {
    let place = location.place();
    guest::find(&place, name).is_ok()
        && guest::find(&place, path).is_err()
        && location.images().resolve(path).is_err()
}

fn print_value(
    location: &Location,
    name: &str,
    path: &str,
    format: &Format,
) -> Result<u8, Failure> {
    let tree = guest::inspect(&location.place(), name).map_err(|error| engine_failure(&error))?;
    let value = guest::at_path(&tree, path).map_err(|(wrong, known)| {
        let failure = Failure::not_found(format!("`{name}` has nothing at `{path}`: no `{wrong}`"));
        match nearest(&wrong, known.iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => failure,
            None => failure.hint(format!("there are {}", known.join(", "))),
        }
    })?;
    match (value, format) {
        (Value::Object(_) | Value::Array(_), format) => print_document(value, format)?,
        (Value::String(text), Format::Table | Format::Wide) => {
            output::data(format_args!("{text}\n"));
        }
        (value, _) => output::data(format_args!("{value}\n")),
    }
    Ok(0)
}

fn find(
    arguments: &Arguments,
    location: &Location,
    name: &str,
) -> Result<(&'static str, Value), Failure> {
    let kind = arguments.kind.as_deref();
    if kind != Some("image") {
        match guest::inspect(&location.place(), name) {
            Ok(tree) => return Ok(("container", tree)),
            Err(error) if error.kind_of() == ErrorKind::NotFound && kind.is_none() => {}
            Err(error) => return Err(engine_failure(&error)),
        }
    }
    let image = image(&location.images(), name);
    image
        .map(|document| ("image", document))
        .map_err(|failure| match kind {
            Some(_) => failure,
            None => failure.hint("`insula ps -a` lists containers, `insula images` images"),
        })
}

/// An image as `insula image inspect` shows it.
pub(super) fn image(store: &Store, name: &str) -> Result<Value, Failure> {
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
