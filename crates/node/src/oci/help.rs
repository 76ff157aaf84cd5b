//! The help texts, made from the tables.

use super::command::{COMMANDS, Command, GLOBAL};
use super::options::{Opt, Takes};

/// `insula oci help`.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "Runs containers from OCI bundles.\n\n\
         usage: insula oci [GLOBAL OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n\ncommands:\n",
    );
    for command in &COMMANDS {
        line(&mut text, command.name, command.summary);
    }
    text.push_str("\nglobal options, before or after the command:\n");
    options(&mut text, GLOBAL);
    line(
        &mut text,
        "-h, --help",
        "explain a command: insula oci help COMMAND",
    );
    line(&mut text, "-v, --version", "print the version");
    text.push_str("\nexample: insula oci run --bundle /srv/web web\n");
    text
}

/// `insula oci help COMMAND`.
pub(crate) fn command(command: &Command) -> String {
    let mut text = format!("{}\n", usage(command));
    text.push_str("\n  ");
    text.push_str(command.summary);
    text.push('\n');
    if !command.options.is_empty() {
        text.push_str("\noptions:\n");
        options(&mut text, command.options);
    }
    text.push_str("\nglobal options: insula oci help\n");
    text
}

/// One line: how a command is written.
pub(crate) fn usage(command: &Command) -> String {
    let options = if command.options.is_empty() {
        ""
    } else {
        " [OPTION...]"
    };
    let space = if command.usage.is_empty() { "" } else { " " };
    format!(
        "usage: insula oci {}{options}{space}{}",
        command.name, command.usage
    )
}

fn options(text: &mut String, table: &[Opt]) {
    for option in table {
        let mut left = match option.short {
            0 => format!("    --{}", option.long),
            letter => format!("-{}, --{}", char::from(letter), option.long),
        };
        match option.takes {
            Takes::Nothing => {}
            Takes::Value(name) => {
                left.push(' ');
                left.push_str(name);
            }
            Takes::JoinedValue(name) => {
                left.push_str("[=");
                left.push_str(name);
                left.push(']');
            }
        }
        line(text, &left, option.help);
    }
}

fn line(text: &mut String, left: &str, right: &str) {
    text.push_str("  ");
    text.push_str(left);
    let width = left.len() + 2;
    // Descriptions stand in one column; a long left side pushes only its own.
    for _ in width..34.max(width + 2) {
        text.push(' ');
    }
    text.push_str(right);
    text.push('\n');
}
