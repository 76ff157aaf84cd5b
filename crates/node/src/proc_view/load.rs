//! Load: how many of the container's tasks run or wait, on the average of 1, 5 and 15 minutes.
//!
//! The kernel looks every five seconds. Here that is done only while somebody reads the averages;
//! of the time between, in which nobody looked, the processor time that was used tells how many
//! tasks there were at least.

use std::path::{Path, PathBuf};

use super::group::text;

const PERIODS: [f64; 3] = [60.0, 300.0, 900.0];
/// As often as the kernel does.
pub(super) const INTERVAL_SECONDS: f64 = 5.0;
/// Two looks in less than this are one.
const PAUSE_SECONDS: f64 = 1.0;
/// So many tasks are looked at; more are taken to be like these.
const TASKS_MAX: usize = 2048;
const DIRECTORIES_MAX: usize = 512;

/// The tasks of a container at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tasks {
    pub(super) total: u64,
    pub(super) running: u64,
    /// Waiting for a disk.
    pub(super) blocked: u64,
    pub(super) last: u64,
}

/// Exponentially damped averages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    averages: [f64; 3],
    /// When it was updated, in seconds, and the processor time in seconds that was used then.
    at: f64,
    used: f64,
}

impl Load {
    /// Of a container that started at that time.
    pub(super) fn new(start: f64) -> Self {
        Self {
            averages: [0.0; 3],
            at: start,
            used: 0.0,
        }
    }

    /// When it was updated last.
    pub(super) fn at(&self) -> f64 {
        self.at
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&self, now: f64) -> bool {
        now - self.at >= PAUSE_SECONDS
    }

    /// Takes in what was found now. `used` is the processor time so far, in seconds.
    pub(super) fn update(&mut self, now: f64, used: f64, tasks: &Tasks) {
        let passed = (now - self.at).max(0.0);
        let recent = passed.min(INTERVAL_SECONDS);
        let unseen = passed - recent;
        if unseen > 0.0 {
            let mean = (used - self.used).max(0.0) / passed;
            self.advance(unseen, mean);
        }
        // Far below 2^52 tasks.
        #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "small")]
        let active = (tasks.running + tasks.blocked) as f64;
        self.advance(recent, active);
        self.at = now;
        self.used = used;
    }

    fn advance(&mut self, seconds: f64, active: f64) {
        for (average, period) in self.averages.iter_mut().zip(PERIODS) {
            let kept = (-seconds / period).exp();
            *average = *average * kept + active * (1.0 - kept);
        }
    }

    /// `/proc/loadavg`.
    pub(super) fn text(&self, tasks: &Tasks) -> String {
        let [one, five, fifteen] = self.averages;
        let Tasks { running, total, .. } = tasks;
        let last = tasks.last;
        format!("{one:.2} {five:.2} {fifteen:.2} {running}/{total} {last}\n")
    }
}

/// Looks at the tasks of a cgroup and of those below it; `list` is the name of their lists, `proc`
/// the file system that knows their states.
pub(super) fn look(directory: &Path, list: &str, proc: &Path) -> Tasks {
    let mut tasks = Tasks::default();
    let mut looked = 0_u64;
    let mut directories: Vec<PathBuf> = vec![directory.to_owned()];
    let mut visited = 0;
    while let Some(directory) = directories.pop() {
        visited += 1;
        if visited > DIRECTORIES_MAX {
            break;
        }
        let ids = text(&directory.join(list)).unwrap_or_default();
        for id in ids.lines().filter_map(|line| line.parse::<u64>().ok()) {
            tasks.total += 1;
            tasks.last = tasks.last.max(id);
            if tasks.total > TASKS_MAX as u64 {
                continue;
            }
            looked += 1;
            match state_of(&proc.join(id.to_string())) {
                Some('R') => tasks.running += 1,
                Some('D') => tasks.blocked += 1,
                _ => {}
            }
        }
        let below = std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten();
        let below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.extend(below.take(DIRECTORIES_MAX).map(|entry| entry.path()));
    }
    if tasks.total > looked && looked > 0 {
        tasks.running = tasks.running * tasks.total / looked;
        tasks.blocked = tasks.blocked * tasks.total / looked;
    }
    tasks
}

/// The letter after the name, which is in brackets and may hold anything.
fn state_of(process: &Path) -> Option<char> {
    let stat = text(&process.join("stat"))?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

/// When a process started: nanoseconds since boot.
pub(super) fn start_of(process: &Path) -> Option<u64> {
    let stat = text(&process.join("stat"))?;
    let (_, rest) = stat.rsplit_once(')')?;
    // Field 22; the state after the name is field 3.
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(ticks * (1_000_000_000 / 100))
}
