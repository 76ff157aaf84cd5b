//! `insula commit`: an image of a guest.

use insula_node::guest::files::{self, CommitRequest};
use insula_node::image::Reference;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Make an image of a container as it is now
#[derive(Debug, clap::Args)]
#[command(override_usage = "insula commit [OPTION...] CONTAINER [IMAGE]")]
#[command(after_help = "\
What the container has written becomes a layer of the new image; what is in volumes does not. The
image runs as the container was asked to. Its identifier is printed.

Examples:
  insula commit web web:patched
  insula commit -m 'certificates renewed' -c 'CMD [\"nginx\"]' web registry.example/web:2")]
pub(super) struct Arguments {
    /// Name, or identifier (its first digits are enough)
    container: String,

    /// The new image's name [default: none]
    #[arg(value_name = "IMAGE")]
    reference: Option<Reference>,

    /// What was changed, for the image's history
    #[arg(short, long)]
    message: Option<String>,

    /// Who changed it
    #[arg(short, long)]
    author: Option<String>,

    /// Apply a line of a Dockerfile: 'CMD ["bash"]'
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    changes: Vec<String>,

    /// Hold the container still meanwhile [default: true]
    #[arg(short, long, value_name = "BOOL", default_value_t = true)]
    #[arg(action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    #[arg(
        require_equals = true,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pause: bool,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let request = CommitRequest {
        reference: arguments.reference,
        message: arguments.message,
        author: arguments.author,
        changes: arguments.changes,
        pause: arguments.pause,
        sync: true,
    };
    let committed = files::commit(&location.place(), &arguments.container, &request)
        .map_err(|error| engine_failure(&error))?;
    output::data(format_args!("{}\n", committed.id));
    Ok(0)
}
