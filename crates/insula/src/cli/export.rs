//! `insula export`: a guest's files as one archive.

use std::fs::File;
use std::path::{Path, PathBuf};

use insula_node::guest::files;

use super::cp::{refuse_terminal, warn};
use super::store::{Location, engine_failure};
use crate::Failure;

/// Write a container's files as a tar archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive is the container's root as it is, in one piece; what volumes hold is not in it. It comes
back as an image with: insula image import

Examples:
  insula export -o web.tar web
  insula export web | zstd > web.tar.zst")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    /// Write to a file [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    let written = match &arguments.output {
        None => {
            refuse_terminal("an archive")?;
            files::export(&place, &arguments.container, &mut std::io::stdout().lock())
                .map_err(|error| engine_failure(&error))?
        }
        Some(path) => {
            let failed = |error: &std::io::Error| {
                Failure::failed(format!("write {}", path.display())).caused_by(error)
            };
            let partial = beside(path);
            let mut file = File::create(&partial).map_err(|error| failed(&error))?;
            let written = files::export(&place, &arguments.container, &mut file)
                .map_err(|error| engine_failure(&error))
                .and_then(|written| {
                    std::fs::rename(&partial, path).map_err(|error| failed(&error))?;
                    Ok(written)
                });
            written.inspect_err(|_| {
                // Half an archive is worse than none. The first failure is the one to tell.
                let _ = std::fs::remove_file(&partial);
            })?
        }
    };
    warn(written.left_out, "sockets");
    Ok(0)
}

/// A name in the same directory, so that the finished file takes the place of an old one at once.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}
