//! `insula logout [REGISTRY]`.

use insula_node::image::registry::Credentials;

use super::login::host;
use super::registry::failure;
use crate::{Failure, output};

/// Forget the name and password for a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula logout localhost:5000")]
pub(super) struct Arguments {
    #[arg(
        help = "The registry: HOST[:PORT]",
        value_name = "REGISTRY",
        default_value = "docker.io"
    )]
    registry: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let registry = host(&arguments.registry)?;
    let erased = Credentials::from_environment()
        .erase(registry)
        .map_err(|error| failure(&error))?;
    if erased.is_empty() {
        return Err(Failure::not_found(format!("not logged in to {registry}")));
    }
    for keeper in erased {
        output::talk(format_args!(
            "registry/{registry} logged out, forgotten by {keeper}"
        ));
    }
    Ok(0)
}
