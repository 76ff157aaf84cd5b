//! `insula doctor`: one line per thing that Insula uses of this host.

use insula_node::host::{self, Check, Verdict};
use serde_json::json;

use super::store::Location;
use crate::Failure;
use crate::output::{self, Format, FormatArguments, Paint, print_document};

/// Check what this host gives, and say how to mend what is missing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each line: ok, warn, fail or skip; what was checked; what was found; what is lost without it.
Ends with 1 if something fails.

Examples:
  insula doctor
  insula doctor -o json")]
pub(super) struct Arguments {
    #[command(flatten)]
    output: FormatArguments,
}

pub(super) fn run(arguments: &Arguments, store: &Location) -> Result<u8, Failure> {
    let checks = host::examine(store.path());
    match &arguments.output.format {
        Format::Table | Format::Wide => output::data(as_text(&checks)),
        Format::Name => checks
            .iter()
            .for_each(|check| output::data(format_args!("{}\n", check.name))),
        format => {
            let objects = checks.iter().map(as_object).collect();
            print_document(&serde_json::Value::Array(objects), format)?;
        }
    }
    let has_failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(u8::from(has_failed))
}

fn as_object(check: &Check) -> serde_json::Value {
    json!({
        "name": check.name,
        "verdict": check.verdict.word(),
        "found": check.found,
        "lost": check.lost,
        "fix": check.fix,
    })
}

fn as_text(checks: &[Check]) -> String {
    let painted = output::colour_on_stdout();
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let colour = match check.verdict {
            Verdict::Ok => Paint::Green,
            Verdict::Skip => Paint::Cyan,
            Verdict::Warn => Paint::Yellow,
            Verdict::Fail => Paint::Red,
        };
        let word = colour.on(&format!("{:<4}", check.verdict.word()), painted);
        text.push_str(&format!(
            "{word}  {:<width$}  {}\n",
            check.name, check.found
        ));
        if check.verdict == Verdict::Ok {
            continue;
        }
        if !check.lost.is_empty() {
            text.push_str(&format!(
                "      {:<width$}  without it: {}\n",
                "", check.lost
            ));
        }
        if let Some(fix) = &check.fix {
            text.push_str(&format!("      {:<width$}  to mend: {fix}\n", ""));
        }
    }
    text
}
