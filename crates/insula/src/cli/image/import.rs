//! `insula image import FILE|DIRECTORY|-`.

use std::io::IsTerminal;
use std::path::PathBuf;

use insula_node::image::{ImportOptions, Imported, Reference, Source};
use serde_json::json;

use super::super::store::{self, Location};
use super::super::text;
use crate::Failure;
use crate::output::{self, Format, FormatArguments, print_document};

/// Make an image of a root file system: a tar archive, a directory, or stdin
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive may be plain, gzip or zstd; which one is found out.

Examples:
  insula image import --tag debian:12 rootfs.tar.zst
  insula image import --tag mine ./rootfs --change 'CMD [\"bash\"]' --change 'ENV LANG=C.UTF-8'
  tar -C rootfs -c . | insula image import --tag mine -")]
pub(super) struct Arguments {
    /// An archive, a directory, or - for stdin
    #[arg(value_name = "FILE|DIRECTORY|-")]
    source: PathBuf,

    /// The image's name, with or without a tag; taken from the image that has it
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Option<Reference>,

    /// Set part of the configuration, as a line of a Dockerfile (CMD, ENTRYPOINT, ENV, EXPOSE,
    /// LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR); may be repeated
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,

    /// A sentence for the image's history
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// The architecture the image is for [default: this host's]
    #[arg(long, value_name = "NAME")]
    architecture: Option<String>,

    /// Do not wait for the disk: faster, and a power failure may lose the image
    #[arg(long)]
    no_sync: bool,

    /// Print the identifier only
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    output: FormatArguments,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let source = source(&arguments)?;
    let name = arguments.tag.as_ref().map(Reference::tagged);
    let options = ImportOptions {
        tag: arguments.tag,
        changes: arguments.changes,
        message: arguments.message,
        architecture: arguments.architecture,
        sync: !arguments.no_sync,
        ..ImportOptions::default()
    };
    if !arguments.quiet && std::io::stderr().is_terminal() {
        output::talk(format_args!("importing {} …", arguments.source.display()));
    }
    let imported = location.images().import(source, &options);
    let imported = imported.map_err(|error| store::failure(&error))?;
    if arguments.quiet {
        output::data(format_args!("{}\n", imported.id));
    } else {
        print(&imported, name.as_deref(), &arguments.output.format)?;
    }
    Ok(0)
}

fn source(arguments: &Arguments) -> Result<Source, Failure> {
    if arguments.source.as_os_str() != "-" {
        return Ok(Source::Path(arguments.source.clone()));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage("stdin is a terminal, not an archive")
            .hint("tar -C rootfs -c . | insula image import --tag NAME -"));
    }
    Ok(Source::Stream(Box::new(stdin)))
}

fn print(imported: &Imported, name: Option<&str>, format: &Format) -> Result<(), Failure> {
    let id = imported.id.to_string();
    let address = name.unwrap_or(&id);
    match format {
        Format::Table | Format::Wide => {
            output::data(format_args!("image/{address} imported\n"));
            output::talk(format_args!(
                "{} entries, {}",
                imported.unpacked.entries,
                text::size(imported.unpacked.content_bytes)
            ));
            if imported.unpacked.skipped > 0 {
                output::talk(format_args!(
                    "left out {} owners, devices or attributes that this user or file system cannot have",
                    imported.unpacked.skipped
                ));
            }
            Ok(())
        }
        Format::Name => {
            output::data(format_args!("image/{address}\n"));
            Ok(())
        }
        format => {
            let document = json!({
                "name": name,
                "id": id,
                "digest": imported.manifest.to_string(),
                "layer": imported.diff_id.to_string(),
                "entries": imported.unpacked.entries,
                "sizeBytes": imported.unpacked.content_bytes,
                "skipped": imported.unpacked.skipped,
            });
            print_document(&document, format)
        }
    }
}
