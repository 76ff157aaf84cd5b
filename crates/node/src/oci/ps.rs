//! `ps`: the processes of a container, as ps(1) shows them, read from `/proc` without it.

use std::ffi::OsString;

use super::failure::{Failure, Result};
use super::invocation::Invocation;
use super::process_table::{Column, FULL, SIMPLE, Table, USER, WITH_STATE, column};
use super::{engine, output};

pub(crate) fn ps(invocation: &Invocation<'_>) -> Result<u8> {
    let mut format = invocation.parsed.text("format")?.unwrap_or("table");
    let mut options = invocation.rest;
    // Behind the id words belong to ps(1); a format that it does not have is ours all the same.
    let ours = |words: &'static [&'static str]| {
        options
            .iter()
            .map(OsString::as_os_str)
            .eq(words.iter().map(std::ffi::OsStr::new))
    };
    for (name, forms) in [
        (
            "json",
            [
                &["-f", "json"][..],
                &["--format", "json"],
                &["--format=json"],
            ],
        ),
        (
            "table",
            [
                &["-f", "table"],
                &["--format", "table"],
                &["--format=table"],
            ],
        ),
    ] {
        if forms.into_iter().any(ours) {
            format = name;
            options = &[];
            break;
        }
    }
    let mut pids = engine::container(invocation)?.processes()?;
    pids.sort_unstable();
    let text = match format {
        "json" => {
            let json = serde_json::Value::from(pids);
            format!("{json}\n")
        }
        "table" => Table::read(&pids, &columns(options)?).to_string(),
        other => {
            return Err(
                Failure::new(format!("invalid format option: {other}")).hint("table or json")
            );
        }
    };
    output::print(text.as_bytes()).map(|()| 0)
}

/// The columns that options of ps(1) choose: `-ef` (the default), `-e -x`, `aux`, `-o pid,args` …
fn columns(options: &[OsString]) -> Result<Vec<Column>> {
    let mut chosen: Vec<Column> = Vec::new();
    let mut preset = if options.is_empty() { FULL } else { SIMPLE };
    let mut words = options.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if let Some(list) = word.strip_prefix("--format=") {
            chosen.extend(named(list)?);
            continue;
        }
        if word == "--format" {
            chosen.extend(named(&words.next().unwrap_or_default())?);
            continue;
        }
        let has_dash = word.starts_with('-');
        let letters = word.trim_start_matches('-');
        for (index, letter) in letters.char_indices() {
            match letter {
                'e' | 'A' | 'w' | 'H' => {}
                'f' => preset = FULL,
                'u' if !has_dash => preset = USER,
                'a' | 'x' => {
                    if preset == SIMPLE {
                        preset = WITH_STATE;
                    }
                }
                'o' => {
                    let joined = &letters[index + 1..];
                    let list = if joined.is_empty() {
                        words.next().unwrap_or_default().into_owned()
                    } else {
                        joined.to_owned()
                    };
                    chosen.extend(named(&list)?);
                    break;
                }
                _ => {
                    return Err(
                        Failure::new(format!("option `{word}` for ps is not supported"))
                            .hint("-ef, -e -x, aux, -o COLUMN,… or --format json"),
                    );
                }
            }
        }
    }
    Ok(if chosen.is_empty() {
        preset.to_vec()
    } else {
        chosen
    })
}

fn named(list: &str) -> Result<Vec<Column>> {
    list.split([',', ' '])
        .filter(|name| !name.is_empty())
        .map(|name| {
            // `pid=` asks for no heading; the heading is what callers look for.
            let name = name.split('=').next().unwrap_or(name);
            column(name).ok_or_else(|| Failure::new(format!("unknown column `{name}` for ps")))
        })
        .collect()
}
