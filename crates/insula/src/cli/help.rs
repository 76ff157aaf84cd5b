//! `insula help [COMMAND…|TOPIC]`.

use crate::suggest::nearest;
use crate::{Failure, help as text, output};

/// Explain a command or a topic (exit-codes, environment)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  insula help run\n  insula help image import\n  insula help exit-codes"
)]
pub(super) struct Arguments {
    /// A command, or a topic: exit-codes, environment
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let Some(first) = arguments.words.first() else {
        output::data(text::overview());
        return Ok(0);
    };
    if let Some(topic) = text::topic(first) {
        output::data(topic);
        return Ok(0);
    }
    let mut parser = super::parser();
    parser.build();
    let mut command = &mut parser;
    for word in &arguments.words {
        let names: Vec<String> = command
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        let Some(next) = command.find_subcommand_mut(word) else {
            return Err(nothing_about(word, &names));
        };
        command = next;
    }
    output::data(command.render_long_help());
    Ok(0)
}

fn nothing_about(word: &str, names: &[String]) -> Failure {
    let failure = Failure::not_found(format!("no help about `{word}`"));
    let mut known: Vec<&str> = names.iter().map(String::as_str).collect();
    for topic in text::topics() {
        known.push(topic);
    }
    match nearest(word, known) {
        Some(near) => failure.hint(format!("did you mean `insula help {near}`?")),
        None => failure.hint("all commands: insula help"),
    }
}
