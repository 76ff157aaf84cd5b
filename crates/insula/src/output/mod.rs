//! What leaves the program: data on stdout, talk on stderr.
//!
//! Everything goes through [`data`] and [`talk`], which end quietly when the reader has gone (a
//! closed pipe is not an error). Listings are built as [`Listing`] and printed in the form that
//! `-o` asks for.

mod jsonpath;
mod listing;
pub(crate) mod progress;
mod yaml;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use jsonpath::JsonPath;
pub(crate) use listing::{
    Column, Format, FormatArguments, Listing, colour_on_stdout, print_document,
};

use crate::Failure;

/// Writes data for the next program or the reader.
pub(crate) fn data(text: impl fmt::Display) {
    // A reader that has closed its end has seen enough; nothing is left to tell it.
    drop(write!(io::stdout().lock(), "{text}"));
}

/// Writes a sentence for a person.
pub(crate) fn talk(text: impl fmt::Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints a failure in the form of `-o`, to stderr in each of them.
pub(crate) fn failure(failure: &Failure, as_json: bool) {
    if as_json {
        talk(failure.as_json());
        return;
    }
    let painted = colour_wanted(&io::stderr());
    talk(failure.as_text(painted));
}

/// When to colour: `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[repr(u8)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto = 0,
    /// In every case
    Always = 1,
    /// Never
    Never = 2,
}

static COLOUR: AtomicU8 = AtomicU8::new(Colour::Auto as u8);

/// Sets what `--color` said, once, before anything is printed.
pub(crate) fn set_colour(colour: Colour) {
    COLOUR.store(colour as u8, Ordering::Relaxed);
}

/// `--color`, then `NO_COLOR`, then `CLICOLOR_FORCE`, then whether a person is looking.
pub(crate) fn colour_wanted(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match COLOUR.load(Ordering::Relaxed) {
        1 => true,
        2 => false,
        _ if is_set("NO_COLOR") => false,
        _ if is_set("CLICOLOR_FORCE") => {
            std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0")
        }
        _ => stream.is_terminal(),
    }
}

/// The few colours with a meaning. Text stays readable without them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Paint {
    /// `text` in this colour, or as it is.
    pub(crate) fn on(self, text: &str, painted: bool) -> String {
        let code = match self {
            Self::Red => "31;1",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
        };
        if painted {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
