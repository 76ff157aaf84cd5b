//! How a transfer looks: bars on a terminal, lines elsewhere, JSON for programs.
//!
//! Everything goes to stderr; stdout has the result alone. `json` is one object per line:
//!
//! ```text
//!  {"event":"resolved","name":"docker.io/library/debian:12","digest":"sha256:…"}
//!  {"event":"blob","digest":"sha256:…","state":"moving","bytes":1048576,"sizeBytes":52428800}
//!  {"event":"warning","text":"…"}
//! ```
//!
//! A blob's state is `waiting`, `present`, `moving` (with `bytes`), `mounted` (with `from`) or
//! `done`. A moving blob is told of ten times a second at most.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use insula_node::image::Digest;
use insula_node::image::registry::{BlobState, Event, Progress, Silent};
use serde_json::json;

use super::talk;

const JSON_INTERVAL: Duration = Duration::from_millis(100);
/// More bars than this do not fit on a screen: the rest share one line.
const BARS_MAX: usize = 40;

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// A line for each layer that is there
    Plain,
    /// One JSON object per line
    Json,
    /// Nothing
    None,
}

/// The chosen form, ready to hear.
pub(crate) fn listener(form: Form, quiet: bool) -> Box<dyn Progress> {
    let is_watched = || {
        let wanted = std::env::var_os("INSULA_NO_PROGRESS").is_none();
        wanted && std::io::stderr().is_terminal()
    };
    match form {
        Form::Json => Box::new(Json::default()),
        Form::None => Box::new(Silent),
        _ if quiet => Box::new(Silent),
        Form::Auto if is_watched() => Box::new(Bars::new()),
        Form::Auto | Form::Plain => Box::new(Plain),
    }
}

fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

/// A sentence for each thing that is finished.
struct Plain;

impl Progress for Plain {
    fn hear(&self, event: &Event<'_>) {
        match event {
            Event::Resolved { reference, digest } => talk(format_args!("{reference} is {digest}")),
            Event::Warning(text) => talk(format_args!("warning: {text}")),
            Event::Blob {
                digest,
                size_bytes,
                state,
            } => {
                let what = match state {
                    BlobState::Waiting | BlobState::Moving(_) => return,
                    BlobState::Present => "is there already".to_owned(),
                    BlobState::Mounted(from) => format!("is taken from {from}"),
                    BlobState::Done => format!("done, {size_bytes} bytes"),
                };
                talk(format_args!("{}: {what}", short(digest)));
            }
        }
    }
}

/// When each moving blob was last told of.
#[derive(Default)]
struct Json(Mutex<HashMap<Digest, Instant>>);

impl Json {
    /// Whether it is time to tell of a moving blob again.
    fn is_due(&self, digest: &Digest) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = told
            .get(digest)
            .is_none_or(|before| now.duration_since(*before) >= JSON_INTERVAL);
        if is_due {
            told.insert(*digest, now);
        }
        is_due
    }
}

impl Progress for Json {
    fn hear(&self, event: &Event<'_>) {
        let object = match event {
            Event::Resolved { reference, digest } => json!({
                "event": "resolved",
                "name": reference.to_string(),
                "digest": digest.to_string(),
            }),
            Event::Warning(text) => json!({"event": "warning", "text": text}),
            Event::Blob {
                digest,
                size_bytes,
                state,
            } => {
                let mut object = json!({
                    "event": "blob",
                    "digest": digest.to_string(),
                    "sizeBytes": size_bytes,
                });
                object["state"] = match state {
                    BlobState::Waiting => "waiting".into(),
                    BlobState::Present => "present".into(),
                    BlobState::Done => "done".into(),
                    BlobState::Mounted(from) => {
                        object["from"] = (*from).into();
                        "mounted".into()
                    }
                    BlobState::Moving(bytes) => {
                        if !self.is_due(digest) {
                            return;
                        }
                        object["bytes"] = (*bytes).into();
                        "moving".into()
                    }
                };
                object
            }
        };
        talk(object);
    }
}

/// A bar for each layer.
struct Bars {
    screen: MultiProgress,
    bars: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self {
            screen: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            bars: Mutex::default(),
        }
    }

    fn bar(&self, digest: &Digest, size_bytes: u64) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let count = bars.len();
        let make = || {
            let bar = ProgressBar::new(size_bytes).with_style(style());
            bar.set_prefix(short(digest));
            if count < BARS_MAX {
                self.screen.add(bar)
            } else {
                bar.set_draw_target(ProgressDrawTarget::hidden());
                bar
            }
        };
        bars.entry(*digest).or_insert_with(make).clone()
    }

    /// A line above the bars.
    fn say(&self, text: &str) {
        // A terminal that has gone away needs no words.
        drop(self.screen.println(text));
    }
}

fn style() -> ProgressStyle {
    let is_coloured = super::colour_wanted(&std::io::stderr());
    let bar = if is_coloured {
        "{bar:24.cyan}"
    } else {
        "{bar:24}"
    };
    let template =
        format!("{{prefix}} {bar} {{binary_bytes:>10}} / {{binary_total_bytes:<10}} {{msg}}");
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_malformed| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Progress for Bars {
    fn hear(&self, event: &Event<'_>) {
        let (digest, size_bytes, state) = match event {
            Event::Resolved { reference, digest } => {
                return self.say(&format!("{reference} is {digest}"));
            }
            Event::Warning(text) => return self.say(&format!("warning: {text}")),
            Event::Blob {
                digest,
                size_bytes,
                state,
            } => (digest, *size_bytes, state),
        };
        let bar = self.bar(digest, size_bytes);
        match state {
            BlobState::Waiting => bar.set_message("waiting"),
            BlobState::Moving(bytes) => {
                bar.set_position(*bytes);
                let is_whole = *bytes >= size_bytes;
                bar.set_message(if is_whole { "finishing" } else { "" });
            }
            BlobState::Present => finish(&bar, size_bytes, "already there".to_owned()),
            BlobState::Mounted(from) => finish(&bar, size_bytes, format!("taken from {from}")),
            BlobState::Done => finish(&bar, size_bytes, "done".to_owned()),
        }
    }
}

fn finish(bar: &ProgressBar, size_bytes: u64, message: String) {
    bar.set_position(size_bytes);
    bar.abandon_with_message(message);
}
