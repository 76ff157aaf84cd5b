//! Manual pages from the parser: `insula.1` and one page per command.

use clap_mangen::Man;

use crate::Findings;
use crate::documents::{self, Mode};

pub(crate) fn run(mode: Mode) -> Result<Findings, String> {
    let mut parser = insula::cli::parser();
    parser.build();
    let mut pages = Vec::new();
    add_page(&parser, "insula", &mut pages)?;
    documents::keep("packaging/man", &pages, mode, "man")
}

fn add_page(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let mut bytes = Vec::new();
    // The page must not change from day to day, so it carries no date.
    let page = Man::new(command.clone())
        .title(name)
        .date("")
        .manual("Insula");
    page.render(&mut bytes)
        .map_err(|error| format!("render {name}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| format!("{name}: {error}"))?;
    pages.push((format!("{name}.1"), text));
    for child in command
        .get_subcommands()
        .filter(|child| child.get_name() != "help")
    {
        add_page(child, &format!("{name}-{}", child.get_name()), pages)?;
    }
    Ok(())
}
