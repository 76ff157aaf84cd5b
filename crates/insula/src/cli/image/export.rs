//! `insula image export IMAGE…`.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use insula_node::image::ExportFormat;

use super::super::store::{self, Location};
use crate::{Failure, output};

/// Write images to a file or directory: OCI layout, docker archive, or root file system
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Formats:
  oci      an OCI image layout, tar; layers and manifest exactly as they came
  oci-dir  the same as a directory
  docker   what `docker load` and `podman load` read
  rootfs   the files of one image, as a container sees them, tar
  dir      the same as a directory

Examples:
  insula image export debian:12 -o debian.tar
  insula image export --format docker debian:12 | docker load
  insula image export --format dir -o ./rootfs debian:12")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Where to; - is stdout
    #[arg(short, long, value_name = "FILE|DIR|-", default_value = "-")]
    output: PathBuf,

    /// The form: oci, oci-dir, docker, rootfs, dir
    #[arg(long, value_name = "FORMAT", default_value = "oci")]
    #[arg(hide_possible_values = true)]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Oci,
    OciDir,
    Docker,
    Rootfs,
    Dir,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let store = location.images();
    let is_stdout = arguments.output.as_os_str() == "-";
    let format = match arguments.format {
        Form::Oci | Form::OciDir => ExportFormat::Oci,
        Form::Docker => ExportFormat::Docker,
        Form::Rootfs | Form::Dir => ExportFormat::Rootfs,
    };
    if matches!(arguments.format, Form::OciDir | Form::Dir) {
        if is_stdout {
            return Err(Failure::usage("a directory cannot be written to stdout")
                .hint("name one: -o DIRECTORY"));
        }
        return store
            .export_directory(&arguments.images, format, &arguments.output)
            .map_err(|error| store::failure(&error))
            .map(|_| 0);
    }
    if is_stdout {
        let mut stdout = std::io::stdout().lock();
        if stdout.is_terminal() {
            return Err(Failure::usage("stdout is a terminal")
                .hint("name a file: -o FILE, or pipe it to another program"));
        }
        let exported = store.export(&arguments.images, format, &mut stdout);
        return exported.map_err(|error| store::failure(&error)).map(|_| 0);
    }
    to_file(arguments, location, format)
}

/// Written beside the file and renamed: a failure leaves what was there.
fn to_file(
    arguments: &Arguments,
    location: &Location,
    format: ExportFormat,
) -> Result<u8, Failure> {
    let path = &arguments.output;
    let failed = |error: &std::io::Error| {
        Failure::failed(format!("write {}", path.display())).caused_by(error)
    };
    let is_special = path.exists() && !path.is_file();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = if is_special {
        path.clone()
    } else {
        PathBuf::from(name)
    };
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(!is_special)
        .open(&new)
        .map_err(|error| failed(&error))?;
    let exported = location
        .images()
        .export(&arguments.images, format, &mut file)
        .map_err(|error| store::failure(&error));
    let finished = exported.and_then(|exported| {
        file.flush().map_err(|error| failed(&error))?;
        if !is_special {
            std::fs::rename(&new, path).map_err(|error| failed(&error))?;
        }
        Ok(exported)
    });
    if finished.is_err() && !is_special {
        // The first failure is the one to tell.
        let _ = std::fs::remove_file(&new);
    }
    for name in finished.map(|_| &arguments.images)? {
        output::data(format_args!("image/{name} exported\n"));
    }
    Ok(0)
}
