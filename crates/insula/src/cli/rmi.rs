//! `insula rmi`, the same as `insula image rm`.

use super::store::{self, Location};
use crate::{Failure, output};

/// Remove images, by name or identifier
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A name is taken away; the image goes with its last name.

Examples:
  insula rmi debian:12
  insula rmi -f 3f4ba5e0")]
pub(super) struct Arguments {
    /// Names, or identifiers (their first digits are enough)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    /// Also an image with several names, and one that containers use
    #[arg(short, long)]
    force: bool,
}

/// Goes on after a failure, so that one wrong name does not keep the others.
pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let store = location.images();
    let mut first_failure = None;
    for name in &arguments.images {
        let removed = store.remove(name, arguments.force, &|image| location.users_of(image));
        let removed = match removed {
            Ok(removed) => removed,
            Err(error) => {
                let failure = store::failure(&error);
                if let Some(earlier) = first_failure.replace(failure) {
                    output::failure(&earlier, false);
                }
                continue;
            }
        };
        for name in &removed.untagged {
            output::data(format_args!("image/{name} untagged\n"));
        }
        for id in &removed.deleted {
            output::data(format_args!("image/{id} deleted\n"));
        }
    }
    first_failure.map_or(Ok(0), Err)
}
