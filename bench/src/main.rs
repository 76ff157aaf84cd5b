//! `insula-bench`: every figure that is promised, against its peer, in one table.
//!
//! `bench/run` builds what is needed and starts this twice: once in a mount namespace where the
//! cgroups are such that crun accepts them, once with `--host` on the host as it is. Runs of the
//! contestants alternate, so that a change of the machine's mood hits both. No exit code depends on
//! a time: a table is read, not obeyed.
//!
//! Start at [`measure_all`], then `figures.rs`.

mod build;
mod bundle;
mod course;
mod entry;
mod figures;
mod guests;
mod images;
mod launch;
mod machine;
mod options;
mod profile;
mod report;
mod sample;
mod soak;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::course::Course;
use crate::options::Options;
use crate::report::Row;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| measure_all(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "insula-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(options: &Options) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let machine = machine::describe(&[
        ("insula", &options.insula),
        ("crun", &options.crun),
        ("runc", &options.runc),
        ("podman", &options.podman),
        ("buildah", &options.buildah),
    ]);
    for (name, value) in &machine {
        writeln!(out, "{name:<16} {value}")?;
    }
    if let Some(warning) = machine::unquiet() {
        writeln!(out, "warning: {warning}")?;
    }
    let course = Course::new(options)?;
    if let Some(starts) = options.soak {
        return soak::soak(&course, starts, |line| {
            // A closed output is no reason to stop.
            let _ = writeln!(out, "{line}");
        });
    }
    let mut rows: Vec<Row> = Vec::new();
    for figure in figures::list(options.host) {
        if options
            .only
            .as_ref()
            .is_none_or(|only| figure.name.contains(only.as_str()))
        {
            rows.extend((figure.measure)(&course, figure));
        }
    }
    writeln!(out, "\n{}", report::text(&rows))?;
    if let Some(path) = &options.json {
        let json = report::json(&rows, &machine);
        std::fs::write(path, format!("{json:#}\n"))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
