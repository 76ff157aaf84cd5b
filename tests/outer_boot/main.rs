//! Tests that need what this host may lack: systemd, AppArmor, pure cgroup v2, KVM.
//!
//! Each test is a shell function `test_NAME` in `inside/AREA.sh` and appears here as `AREA::NAME`.
//! One machine, emulated by QEMU, is booted for all of them (`scripts/outer-boot`); it reports each
//! test over its second serial port (`guest.rs`). A test runner that gives each test a process of
//! its own (nextest) shares one boot through the results on disk (`shared.rs`).
//!
//! `INSULA_BINARY` names the binary under test; `OUTER_RUNTIME=crun` runs the same tests with
//! another runtime, to learn what is expected. Start at `main`.

mod guest;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

/// What became of each test, by name.
type Outcomes = BTreeMap<String, Outcome>;

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// The guest cannot serve it; the reason is in the text.
    Skipped(String),
    /// The test's output, or why it did not run.
    Failed(String),
}

/// The directory of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of all tests, `AREA::NAME`, in the order of the files.
fn test_names() -> std::io::Result<Vec<String>> {
    let directory = repository().join("tests/outer_boot/inside");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut names = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "sh"))
    {
        let area = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for line in std::fs::read_to_string(file)?.lines() {
            let test = line
                .strip_prefix("test_")
                .and_then(|rest| rest.split_once("() {"));
            names.extend(test.map(|(name, _)| format!("{area}::{name}")));
        }
    }
    Ok(names)
}

/// Whether the runner's filters let this test run; the same rules as the runner's own.
fn is_wanted(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &String| {
        if arguments.exact {
            name == filter
        } else {
            name.contains(filter.as_str())
        }
    };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

/// Turns what became of a test into the runner's verdict.
fn verdict(outcomes: &Outcomes, name: &str) -> Result<(), Failed> {
    match outcomes.get(name) {
        Some(Outcome::Passed) => Ok(()),
        Some(Outcome::Skipped(reason)) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{name}: skipped\n{reason}");
            Ok(())
        }
        Some(Outcome::Failed(output)) => Err(Failed::from(output)),
        None => Err(Failed::from("the guest did not report this test")),
    }
}

fn run(arguments: &Arguments, names: Vec<String>) -> Conclusion {
    let wanted: Vec<String> = names
        .iter()
        .filter(|name| is_wanted(arguments, name))
        .cloned()
        .collect();
    // Behind a runner that calls this program once per test, all of them share one boot.
    let all = names.clone();
    let boot = move || match std::env::var("NEXTEST_RUN_ID") {
        Ok(run) => shared::outcomes(&run, || guest::boot(&all)),
        Err(_) => guest::boot(&wanted),
    };
    let outcomes: Arc<OnceLock<Outcomes>> = Arc::default();
    let boot = Arc::new(boot);
    let trials = names
        .into_iter()
        .map(|name| {
            let (outcomes, boot) = (Arc::clone(&outcomes), Arc::clone(&boot));
            Trial::test(name.clone(), move || {
                verdict(outcomes.get_or_init(|| boot()), &name)
            })
        })
        .collect();
    libtest_mimic::run(arguments, trials)
}

fn main() -> std::io::Result<()> {
    let arguments = Arguments::from_args();
    run(&arguments, test_names()?).exit()
}
