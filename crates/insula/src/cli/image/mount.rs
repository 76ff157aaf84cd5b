//! `insula image mount IMAGE [DIRECTORY]` and `insula image unmount`.

use std::path::PathBuf;

use insula_node::image::MountedImage;
use serde_json::json;

use super::super::store::{self, Location};
use crate::Failure;
use crate::output::{self, Column, Format, FormatArguments, Listing, print_document};

/// Mount an image's files read-only and print where; without an image, list what is mounted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The image stays, and counts as used, until it is unmounted.

Examples:
  ls $(insula image mount debian:12)
  insula image mount debian:12 /mnt
  insula image mount
  insula image unmount debian:12")]
pub(super) struct MountArguments {
    /// A name, or an identifier (its first digits are enough)
    image: Option<String>,

    /// Where [default: a directory of the store]
    directory: Option<PathBuf>,

    #[command(flatten)]
    output: FormatArguments,
}

/// Unmount images, by name, identifier or directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula image unmount debian:12
  insula image unmount /mnt
  insula image unmount --all")]
pub(super) struct UnmountArguments {
    /// Names, identifiers or directories
    #[arg(required_unless_present = "all", value_name = "IMAGE|DIRECTORY")]
    images: Vec<String>,

    /// Everything that is mounted
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("IMAGE"),
    Column::wide("DIGEST"),
    Column::new("DIRECTORY"),
];

pub(super) fn mount(arguments: &MountArguments, location: &Location) -> Result<u8, Failure> {
    let store = location.images();
    let format = &arguments.output.format;
    let Some(image) = &arguments.image else {
        let mut listing = Listing::new("mounted images", COLUMNS);
        for mounted in store.mounts() {
            let row = vec![
                mounted.image.clone(),
                mounted.manifest.to_string(),
                mounted.directory.display().to_string(),
            ];
            listing.push(format!("image/{}", mounted.image), row, document(&mounted));
        }
        listing.print(format)?;
        return Ok(0);
    };
    let mounted = store
        .mount(image, arguments.directory.as_deref())
        .map_err(|error| store::failure(&error))?;
    match format {
        Format::Table | Format::Wide => {
            output::data(format_args!("{}\n", mounted.directory.display()));
        }
        Format::Name => output::data(format_args!("image/{}\n", mounted.image)),
        format => print_document(&document(&mounted), format)?,
    }
    Ok(0)
}

fn document(mounted: &MountedImage) -> serde_json::Value {
    json!({
        "image": mounted.image,
        "digest": mounted.manifest.to_string(),
        "directory": mounted.directory.display().to_string(),
    })
}

pub(super) fn unmount(arguments: &UnmountArguments, location: &Location) -> Result<u8, Failure> {
    let store = location.images();
    let names: Vec<String> = if arguments.all {
        store
            .mounts()
            .into_iter()
            .map(|mounted| mounted.id)
            .collect()
    } else {
        arguments.images.clone()
    };
    for name in &names {
        let unmounted = store.unmount(name);
        for mounted in unmounted.map_err(|error| store::failure(&error))? {
            output::data(format_args!("image/{} unmounted\n", mounted.image));
        }
    }
    Ok(0)
}
