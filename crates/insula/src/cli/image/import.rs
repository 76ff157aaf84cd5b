//! `insula image import FILE|DIRECTORY|-`.

use std::io::IsTerminal;
use std::path::PathBuf;

use insula_node::image::{ImportFormat, ImportOptions, Imported, Reference, Source};
use serde_json::{Value, json};

use super::super::store::{self, Location};
use super::super::text;
use crate::Failure;
use crate::output::{self, Format, FormatArguments, print_document};

/// Bring images in: a root file system, an OCI layout or a docker archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What it is and how it is compressed (plain, gzip, zstd) is found out. OCI layouts and docker
archives bring their names and configuration; a root file system becomes an image of one layer.

Examples:
  insula image import --tag debian:12 rootfs.tar.zst
  docker save team/app:1 | insula image import -
  insula image import --tag mine ./rootfs --change 'CMD [\"bash\"]' --change 'ENV LANG=C.UTF-8'
  tar -C rootfs -c . | insula image import --tag mine -")]
pub(super) struct Arguments {
    /// An archive, a directory, or - for stdin
    #[arg(value_name = "FILE|DIRECTORY|-")]
    source: PathBuf,

    /// The image's name, with or without a tag; taken from the image that has it
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Option<Reference>,

    /// What it is: auto, oci, docker, rootfs
    #[arg(long = "format", value_name = "FORMAT", default_value = "auto")]
    #[arg(hide_possible_values = true)]
    archive_format: Form,

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Auto,
    Oci,
    Docker,
    Rootfs,
}

impl From<Form> for ImportFormat {
    fn from(form: Form) -> Self {
        match form {
            Form::Auto => Self::Auto,
            Form::Oci => Self::Oci,
            Form::Docker => Self::Docker,
            Form::Rootfs => Self::Rootfs,
        }
    }
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let source = source(&arguments)?;
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
    let imported = location
        .images()
        .import_images(source, arguments.archive_format.into(), &options)
        .map_err(|error| store::failure(&error))?;
    let format = &arguments.output.format;
    if arguments.quiet {
        for imported in &imported {
            output::data(format_args!("{}\n", imported.id));
        }
    } else if matches!(format, Format::Table | Format::Wide | Format::Name) {
        imported.iter().for_each(|imported| print(imported, format));
    } else {
        // One image as an object, as ever; several as a list.
        match imported.as_slice() {
            [one] => print_document(&document(one), format)?,
            several => print_document(&several.iter().map(document).collect(), format)?,
        }
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

fn print(imported: &Imported, format: &Format) {
    let id = imported.id.to_string();
    let names = match imported.names.as_slice() {
        [] => std::slice::from_ref(&id),
        names => names,
    };
    if *format == Format::Name {
        for name in names {
            output::data(format_args!("image/{name}\n"));
        }
        return;
    }
    for name in names {
        output::data(format_args!("image/{name} imported\n"));
    }
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
}

fn document(imported: &Imported) -> Value {
    json!({
        "name": imported.names.first(),
        "names": imported.names,
        "id": imported.id.to_string(),
        "digest": imported.manifest.to_string(),
        "layers": imported.layers,
        "entries": imported.unpacked.entries,
        "sizeBytes": imported.unpacked.content_bytes,
        "skipped": imported.unpacked.skipped,
    })
}
