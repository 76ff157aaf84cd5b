//! Builds an image without the command line of people, for tests:
//! `build STORE [KEY=VALUE…] CONTEXT`, where CONTEXT is a directory or - for standard input.
//!
//! Keys: arg, file, host-network, name, no-cache, secret, target, timestamp. Steps go to standard
//! error as `step` and `cached`, the output of programs to standard output, and at the end
//! `built ID MANIFEST`.

use std::io::Write as _;
use std::process::ExitCode;

use insula_node::build::{BuildOptions, ContextSource, Event, Progress, Secret, build};
use insula_node::run::Network;

struct Teller;

impl Progress for Teller {
    fn event(&mut self, event: Event<'_>) {
        let _ = match event {
            Event::Step {
                text, is_cached, ..
            } => {
                let word = if is_cached { "cached" } else { "step" };
                writeln!(std::io::stderr(), "{word} {text}")
            }
            Event::Output { bytes, .. } => std::io::stdout().write_all(bytes),
            Event::Warning(text) => writeln!(std::io::stderr(), "warning {text}"),
            Event::Done { .. } => Ok(()),
        };
    }
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let (Some(context), true) = (words.pop(), !words.is_empty()) else {
        return ExitCode::from(2);
    };
    let context = match context.as_str() {
        "-" => ContextSource::Stream(Box::new(std::io::stdin())),
        path => ContextSource::Directory(path.into()),
    };
    let mut options = BuildOptions::new(words.remove(0), context);
    options.network = Network::None;
    options.sync = false;
    for word in &words {
        if !set(&mut options, word) {
            let _ = writeln!(std::io::stderr(), "unknown key in {word}");
            return ExitCode::from(2);
        }
    }
    match build(options, &mut Teller) {
        Ok(built) => {
            let _ = writeln!(std::io::stderr(), "built {} {}", built.id, built.manifest);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let hint = error.hint_text().unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "error: {}\nhint: {hint}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn set(options: &mut BuildOptions, word: &str) -> bool {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    match key {
        "arg" => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            options.arguments.insert(name.to_owned(), value.to_owned());
        }
        "file" => options.file = Some(value.into()),
        "name" => match value.parse() {
            Ok(name) => options.names.push(name),
            Err(_) => return false,
        },
        "host-network" => options.network = Network::Host,
        "no-cache" => options.no_cache = true,
        "secret" => {
            let (id, path) = value.split_once(':').unwrap_or((value, ""));
            let secret = Secret::File(path.into());
            options.secrets.insert(id.to_owned(), secret);
        }
        "target" => options.target = Some(value.to_owned()),
        "timestamp" => options.timestamp = value.parse().ok(),
        _ => return false,
    }
    true
}
