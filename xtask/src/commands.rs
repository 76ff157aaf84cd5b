//! The book's page of commands, from the parser: what `--help` prints, one section per command.

use std::fmt::Write as _;

use crate::documents::Mode;
use crate::{Findings, tree};

const PAGE: &str = "docs/reference/commands.md";

pub(crate) fn run(mode: Mode) -> Result<Findings, String> {
    let mut parser = insula::cli::parser().term_width(100);
    parser.build();
    let mut page = String::from(
        "# Commands\n\nThis page is written by `cargo xtask commands` from the parser. The OCI \
         runtime, `insula oci`, has a [page of its own](oci-runtime.md).\n",
    );
    add_section(&parser, "insula", &mut page);
    let path = tree::root().join(PAGE);
    if mode == Mode::Write {
        std::fs::write(&path, page).map_err(|error| format!("write {PAGE}: {error}"))?;
        return Ok(Findings::new());
    }
    if std::fs::read_to_string(&path).is_ok_and(|present| present == page) {
        return Ok(Findings::new());
    }
    Ok(vec![format!(
        "{PAGE}: not up to date; run: cargo xtask commands"
    )])
}

fn add_section(command: &clap::Command, name: &str, page: &mut String) {
    for child in command.get_subcommands() {
        let child_name = child.get_name();
        if child_name == "oci" {
            continue;
        }
        let path = format!("{name} {child_name}");
        // The options of every command are explained once, by the environment page.
        let mut shown = child.clone().term_width(100).mut_args(|argument| {
            if argument.is_global_set() {
                argument.hide(true)
            } else {
                argument
            }
        });
        let help = shown.render_help().to_string();
        // Writing to a string cannot fail.
        let _infallible = write!(page, "\n## {path}\n\n```text\n{}\n```\n", help.trim_end());
        add_section(child, &path, page);
    }
}
