//! One boot for many processes of one test run.
//!
//! The first process that takes the lock boots the machine and writes what became of each test
//! below `target/outer-results/RUN`; the others wait for the lock and read. Older runs are removed.
//! A result is one file: its first line is the verdict, the rest the text.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::{Outcome, Outcomes, repository};

/// The outcomes of this run: read when another process made them, else made by `boot`.
pub(crate) fn outcomes(run: &str, boot: impl FnOnce() -> Outcomes) -> Outcomes {
    let directory = repository().join("target/outer-results");
    match locked(&directory, run, boot) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let text = format!("cannot share results in {}: {error}", directory.display());
            std::iter::once((String::new(), Outcome::Failed(text))).collect()
        }
    }
}

fn locked(directory: &Path, run: &str, boot: impl FnOnce() -> Outcomes) -> io::Result<Outcomes> {
    fs::create_dir_all(directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.lock()?;
    let results = directory.join(run);
    if results.is_dir() {
        return read(&results);
    }
    for entry in fs::read_dir(directory)?.filter_map(Result::ok) {
        let _ = fs::remove_dir_all(entry.path());
    }
    let outcomes = boot();
    let unfinished = directory.join("unfinished");
    write(&unfinished, &outcomes)?;
    fs::rename(unfinished, results)?;
    Ok(outcomes)
}

fn write(directory: &Path, outcomes: &Outcomes) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, outcome) in outcomes {
        let text = match outcome {
            Outcome::Passed => "passed\n".to_owned(),
            Outcome::Skipped(reason) => format!("skipped\n{reason}"),
            Outcome::Failed(output) => format!("failed\n{output}"),
        };
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

fn read(directory: &Path) -> io::Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let content = fs::read_to_string(entry.path())?;
        let (verdict, text) = content.split_once('\n').unwrap_or((&content, ""));
        let outcome = match verdict {
            "passed" => Outcome::Passed,
            "skipped" => Outcome::Skipped(text.to_owned()),
            _ => Outcome::Failed(text.to_owned()),
        };
        outcomes.insert(entry.file_name().to_string_lossy().into_owned(), outcome);
    }
    Ok(outcomes)
}
