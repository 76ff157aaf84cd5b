//! `insula info`: the version, the kernel, the walls, where things are.

use insula_node::{host, rootless};
use serde_json::json;

use super::store::Location;
use crate::Failure;
use crate::output::{self, Format, FormatArguments, print_document};

/// Show the version, the host and where images are kept
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  insula info\n  insula info -o jsonpath={.cgroup}")]
pub(super) struct Arguments {
    #[command(flatten)]
    output: FormatArguments,
}

/// Whose guests these are, and in which namespace.
fn user() -> String {
    if rootless::is_system() {
        return "root".to_owned();
    }
    match rootless::ids() {
        (1, _) => "rootless (one user id; cgroups: none)".to_owned(),
        (users, groups) => {
            format!("rootless ({users} user ids, {groups} group ids; cgroups: none)")
        }
    }
}

pub(super) fn run(arguments: &Arguments, store: &Location) -> Result<u8, Failure> {
    let layers = store.images().form_choice();
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ociRuntimeSpec": insula_node::OCI_VERSION,
        "kernel": host::kernel_release(),
        "architecture": std::env::consts::ARCH,
        "cgroup": host::cgroup_layout(),
        "walls": ["container"],
        "layers": format!("{} ({})", layers.name(), layers.reason()),
        "user": user(),
        "store": store.path().display().to_string(),
    });
    match &arguments.output.format {
        Format::Table | Format::Wide | Format::Name => {
            for (name, value) in document.as_object().into_iter().flatten() {
                let value = match value {
                    serde_json::Value::String(text) => text.clone(),
                    serde_json::Value::Array(list) => {
                        let words = list.iter().filter_map(|word| word.as_str());
                        words.collect::<Vec<_>>().join(", ")
                    }
                    other => other.to_string(),
                };
                output::data(format_args!("{name:<16} {value}\n"));
            }
        }
        format => print_document(&document, format)?,
    }
    Ok(0)
}
