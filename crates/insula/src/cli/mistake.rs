//! A command line that could not be parsed: what was meant, in one sentence and a hint.
//!
//! clap knows what is wrong; here it becomes our words, with the nearest name and, for people who
//! come from docker, what a flag or command is called here.

use std::ffi::OsString;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::Failure;
use crate::suggest::{docker_command, docker_flag, nearest};

/// Whether the user asked for JSON, judged without a parser: the line may not parse.
pub(super) fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<&str> = arguments
        .iter()
        .skip(1)
        .map_while(|word| word.to_str())
        .collect();
    // `run` has no -o; what follows its image belongs to the image's program.
    if words.iter().find(|word| !word.starts_with('-')) == Some(&"run") {
        return false;
    }
    words.iter().enumerate().any(|(index, word)| match *word {
        "-ojson" | "-o=json" | "--output=json" => true,
        "-o" | "--output" => words.get(index + 1) == Some(&"json"),
        _ => false,
    })
}

/// Turns clap's error into ours.
pub(super) fn explain(error: &Error, arguments: &[OsString]) -> Failure {
    let invalid = text_of(error, ContextKind::InvalidArg);
    let failure = match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(error, invalid.as_deref().unwrap_or("?")),
        ErrorKind::InvalidSubcommand => {
            let word = text_of(error, ContextKind::InvalidSubcommand);
            return unknown_command(word.as_deref().unwrap_or("?"), arguments);
        }
        ErrorKind::MissingRequiredArgument => Failure::usage(format!(
            "{} missing",
            invalid.map_or_else(
                || "an argument is".to_owned(),
                |names| format!("{} is", names.replace(['<', '>'], ""))
            )
        )),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Failure::usage("a command is missing")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::NoEquals => {
            invalid_value(error, invalid.as_deref().unwrap_or("an argument"))
        }
        ErrorKind::ArgumentConflict => argument_conflict(error, invalid.as_deref()),
        ErrorKind::InvalidUtf8 => Failure::usage("an argument is not valid UTF-8"),
        _ => Failure::usage(first_line(error)),
    };
    failure.hint(format!("see: {} --help", called_command(arguments)))
}

fn unknown_argument(error: &Error, flag: &str) -> Failure {
    if !flag.starts_with('-') {
        return Failure::usage(format!("unexpected argument `{flag}`"));
    }
    let failure = Failure::usage(format!("unknown flag `{flag}`"));
    if let Some(hint) = docker_flag(flag) {
        return failure.hint(hint);
    }
    match text_of(error, ContextKind::SuggestedArg) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure,
    }
}

/// `insula imags`, `insula search`: the first tells a slip, the second a habit.
fn unknown_command(word: &str, arguments: &[OsString]) -> Failure {
    let parser = super::parser();
    let parent = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str())
        // What stands behind the unknown word is its own affair: `buildx build`.
        .take_while(|argument| *argument != word)
        .find_map(|name| parser.find_subcommand(name))
        .unwrap_or(&parser);
    let failure = Failure::usage(format!("unknown command `{word}`"));
    let is_top = parent.get_name() == parser.get_name();
    if is_top && let Some(hint) = docker_command(word) {
        return failure.hint(hint);
    }
    let names = parent.get_subcommands().map(clap::Command::get_name);
    let path = if is_top { "insula" } else { "insula image" };
    match nearest(word, names) {
        Some(near) => failure.hint(format!("did you mean `{path} {near}`?")),
        None => failure.hint(format!("all commands: {path} --help")),
    }
}

fn invalid_value(error: &Error, argument: &str) -> Failure {
    let value = text_of(error, ContextKind::InvalidValue).unwrap_or_default();
    // `--tag <NAME>`: the flag is enough; `<IMAGE>`: the word is.
    let name = argument.split(' ').next().unwrap_or(argument);
    let name = name.trim_matches(['<', '>', '.']);
    let mut failure = if value.is_empty() {
        Failure::usage(format!("`{name}` needs a value"))
    } else {
        Failure::usage(format!("`{name}` cannot be `{value}`"))
    };
    if let Some(source) = std::error::Error::source(error) {
        failure = failure.caused_by(source);
    }
    if value.contains("{{") {
        failure = failure.hint("Go templates are not read here: -o jsonpath={.id}");
    }
    match text_of(error, ContextKind::ValidValue) {
        Some(valid) => failure.hint(format!("possible values: {valid}")),
        None => failure,
    }
}

fn argument_conflict(error: &Error, invalid: Option<&str>) -> Failure {
    let invalid = invalid.unwrap_or("an argument");
    match text_of(error, ContextKind::PriorArg) {
        Some(prior) if prior != invalid => {
            Failure::usage(format!("`{invalid}` cannot be used with `{prior}`"))
        }
        _ => Failure::usage(format!("`{invalid}` is given more than once")),
    }
}

fn text_of(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// `insula image import`, as far as the words name commands.
fn called_command(arguments: &[OsString]) -> String {
    let mut path = "insula".to_owned();
    let parser = super::parser();
    let mut command = &parser;
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(next) = command.find_subcommand(word) {
            path.push(' ');
            path.push_str(next.get_name());
            command = next;
        }
    }
    path
}
