//! `insula version`.

use serde_json::json;

use crate::Failure;
use crate::output::{self, Format, FormatArguments, print_document};

/// Print the version
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula version\n  insula version -o json")]
pub(super) struct Arguments {
    #[command(flatten)]
    output: FormatArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    match &arguments.output.format {
        Format::Table | Format::Wide | Format::Name => {
            output::data(format_args!(
                "insula version {}\nspec: {}\n",
                env!("CARGO_PKG_VERSION"),
                insula_node::OCI_VERSION
            ));
        }
        format => {
            let document = json!({
                "name": "insula",
                "version": env!("CARGO_PKG_VERSION"),
                "ociRuntimeSpec": insula_node::OCI_VERSION,
                "architecture": std::env::consts::ARCH,
            });
            print_document(&document, format)?;
        }
    }
    Ok(0)
}
