//! `insula pull NAME`.

use insula_node::image::registry::{Platform, PullOptions, Pulled, pull, tags};
use insula_node::image::{Reference, Store};
use serde_json::json;

use super::registry::{Connection, TransferArguments, failure};
use super::store::Location;
use super::text;
use crate::Failure;
use crate::output::{self, Format, FormatArguments, print_document, progress};

/// Bring an image from a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was cut goes on where it stopped; layers that are here are not brought again. The digest under
which the registry has the image is printed to stdout, all else to stderr.

Examples:
  insula pull debian:12
  insula pull localhost:5000/team/app:1.2
  insula pull --platform linux/arm64 debian:12
  insula pull --progress json -q debian@sha256:…")]
pub(super) struct Arguments {
    #[arg(
        help = "The image: [HOST[:PORT]/]NAME[:TAG][@DIGEST]",
        value_name = "NAME"
    )]
    name: Reference,

    /// The platform: OS/ARCHITECTURE[/VARIANT] [default: this host's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    /// Every tag of the repository
    #[arg(short, long)]
    all_tags: bool,

    /// No progress and no talk
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    transfer: TransferArguments,

    #[command(flatten)]
    output: FormatArguments,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let connection = arguments.transfer.trust.connect()?;
    let names = if arguments.all_tags {
        all_tags(&connection, &arguments.name)?
    } else {
        vec![arguments.name.clone()]
    };
    for name in names {
        let pulled = pull_one(
            &location.images(),
            &connection,
            &name,
            arguments.platform.as_ref(),
            &arguments.transfer,
            arguments.quiet,
        )?;
        print(&pulled, &name, arguments)?;
    }
    Ok(0)
}

/// Pulls one image with progress, for `run` too.
pub(super) fn pull_one(
    store: &Store,
    connection: &Connection,
    name: &Reference,
    platform: Option<&Platform>,
    transfer: &TransferArguments,
    quiet: bool,
) -> Result<Pulled, Failure> {
    let options = PullOptions {
        platform: platform.cloned(),
        parallel: transfer.parallel,
        ..PullOptions::default()
    };
    let listener = progress::listener(transfer.progress, quiet);
    pull(store, &connection.client, name, &options, &*listener).map_err(|error| failure(&error))
}

fn all_tags(connection: &Connection, name: &Reference) -> Result<Vec<Reference>, Failure> {
    let found = tags(&connection.client, name).map_err(|error| failure(&error))?;
    let names = found.iter().map(|tag| name.retagged(tag));
    names
        .collect::<Result<_, _>>()
        .map_err(|error| failure(&error))
}

fn print(pulled: &Pulled, name: &Reference, arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.output.format {
        Format::Table | Format::Wide => {
            if !arguments.quiet {
                let size = text::size(pulled.transferred_bytes);
                output::talk(format_args!("image/{name} pulled, {size} transferred"));
            }
            output::data(format_args!("{}\n", pulled.digest));
            Ok(())
        }
        Format::Name => {
            output::data(format_args!("image/{name}\n"));
            Ok(())
        }
        format => {
            let document = json!({
                "name": name.to_string(),
                "from": pulled.reference.to_string(),
                "digest": pulled.digest.to_string(),
                "manifest": pulled.manifest.to_string(),
                "id": pulled.id.to_string(),
                "transferredBytes": pulled.transferred_bytes,
            });
            print_document(&document, format)
        }
    }
}
