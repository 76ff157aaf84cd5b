//! The emulated machine as seen from the host: starts it, reads its reports, ends it when it hangs.
//!
//! The guest reports one word per line (`@@test`, `@@ok`, `@@FAIL`, `@@skip`, `@@down`; see
//! `inside/run`), and a test's output between them. A guest counts as hung by its silence: longer
//! than any test may take, or with more processor time than any test needs. Short wall-clock limits
//! would fail on a busy host. Start at `boot`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{Outcome, Outcomes, repository};

/// The guest limits a test to 240 s by its own clock, which follows the host's.
const SILENCE_WALL: Duration = Duration::from_secs(600);
/// Processor time of the emulator without a report, in clock ticks of 10 ms.
const SILENCE_TICKS: u64 = 300 * 100;

/// The emulator, ended when this is dropped.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Emulator {
    /// Its processor time so far, in clock ticks.
    fn ticks(&self) -> u64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        // The fields after the command's name, which may hold spaces: utime and stime are 14 and 15.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let field = |index: usize| fields.get(index - 2).and_then(|f| f.parse::<u64>().ok());
        field(14).unwrap_or(0) + field(15).unwrap_or(0)
    }
}

/// Boots the machine, runs the tests in it and returns what became of each.
pub(crate) fn boot(names: &[String]) -> Outcomes {
    if names.is_empty() {
        return Outcomes::new();
    }
    let mut outcomes = Outcomes::new();
    let ending = match start(names) {
        Ok(mut emulator) => follow(&mut emulator, &mut outcomes),
        Err(error) => format!("scripts/outer-boot cannot be started: {error}"),
    };
    for name in names {
        let missing = || Outcome::Failed(format!("did not run: {ending}\n{}", console_tail()));
        outcomes.entry(name.clone()).or_insert_with(missing);
    }
    outcomes
}

fn start(names: &[String]) -> std::io::Result<Emulator> {
    let mut command = Command::new(repository().join("scripts/outer-boot"));
    if let Some(binary) = std::env::var_os("INSULA_BINARY") {
        command.arg("--binary").arg(binary);
    }
    if let Some(runtime) = std::env::var_os("OUTER_RUNTIME") {
        command.arg("--runtime").arg(runtime);
    }
    command.args(names.iter().map(|name| name.replace("::", ":")));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map(Emulator)
}

/// The lines of the guest, from a thread, so that waiting for one can have a limit.
fn lines_of(emulator: &mut Emulator) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(output) = emulator.0.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
    }
    receiver
}

/// Reads the reports until the guest is down; returns how it ended.
fn follow(emulator: &mut Emulator, outcomes: &mut Outcomes) -> String {
    let lines = lines_of(emulator);
    let mut output = String::new();
    let mut running: Option<String> = None;
    let (mut last_line, mut last_ticks) = (Instant::now(), 0);
    let ending = loop {
        match lines.recv_timeout(Duration::from_secs(2)) {
            Ok(line) => {
                (last_line, last_ticks) = (Instant::now(), emulator.ticks());
                if line.starts_with("@@down") {
                    break "the guest ended before it".to_owned();
                }
                report(&line, &mut running, &mut output, outcomes);
            }
            Err(RecvTimeoutError::Disconnected) => break "the emulator ended".to_owned(),
            Err(RecvTimeoutError::Timeout) => {
                let ticks = emulator.ticks().saturating_sub(last_ticks);
                if last_line.elapsed() > SILENCE_WALL || ticks > SILENCE_TICKS {
                    break format!(
                        "the guest hung in {}",
                        running.as_deref().unwrap_or("its boot")
                    );
                }
            }
        }
    };
    if let Some(name) = running {
        let text = format!(
            "{output}{ending}, in the middle of this test\n{}",
            console_tail()
        );
        outcomes.insert(name, Outcome::Failed(text));
    }
    ending
}

/// Takes one line of the guest.
fn report(line: &str, running: &mut Option<String>, output: &mut String, outcomes: &mut Outcomes) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = words.get(1).map(|name| name.replace(':', "::"));
    match (words.first().copied(), name) {
        (Some("@@test"), name) => {
            output.clear();
            *running = name;
        }
        (Some(word @ ("@@ok" | "@@skip" | "@@FAIL")), Some(name)) => {
            let text = std::mem::take(output);
            *running = None;
            outcomes.insert(
                name,
                match word {
                    "@@ok" => Outcome::Passed,
                    "@@skip" => Outcome::Skipped(text),
                    _ => Outcome::Failed(text),
                },
            );
        }
        _ => {
            output.push_str(line);
            output.push('\n');
        }
    }
}

/// The end of the guest's console, for a guest that did not come to report.
fn console_tail() -> String {
    let path: PathBuf = repository().join("target/outer/console.log");
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(25);
    format!(
        "--- console ---\n{}",
        lines.get(start..).unwrap_or_default().join("\n")
    )
}
