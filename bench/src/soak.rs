//! `insula-bench soak`: many starts, and then a count of everything a start makes.
//!
//! Four workers start containers, nine of ten by `run`, the tenth by single commands with an `exec`
//! in between. What the machine holds of each kind of thing is counted before and after; network
//! namespaces and open files by what the kernel has allocated, because a leaked one has no name.
//! The kernel clears up behind a container's back for a while, so the second count is repeated
//! until it is no higher than the first, or time is up.
//!
//! Start at [`soak`].

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use insula_sys::rustix::event::{Timespec, poll};

use crate::course::{Course, lifecycle};
use crate::launch::Program;

/// How long the kernel may take to let go of what the last containers used.
const SETTLE: Duration = Duration::from_secs(60);

/// One kind of thing, how to count it, and how much of it other programs may make meanwhile.
struct Kind {
    name: &'static str,
    count: fn() -> u64,
    slack: u64,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "cgroups",
        count: || directories(Path::new("/sys/fs/cgroup")),
        slack: 0,
    },
    Kind {
        name: "mounts",
        count: mounts,
        slack: 0,
    },
    Kind {
        name: "records in /run/insula",
        count: || directories(Path::new("/run/insula")),
        slack: 0,
    },
    Kind {
        name: "processes",
        count: processes,
        slack: 20,
    },
    Kind {
        name: "network namespaces",
        count: || allocated("net_namespace"),
        slack: 8,
    },
    Kind {
        name: "pid namespaces",
        count: || allocated("pid_namespace"),
        slack: 8,
    },
    Kind {
        name: "open files",
        count: open_files,
        slack: 500,
    },
];

/// Starts `starts` containers and says what is left of them.
///
/// # Errors
/// A start fails, or something leaks.
pub(crate) fn soak(course: &Course, starts: u64, mut say: impl FnMut(String)) -> Result<()> {
    let before: Vec<u64> = KINDS.iter().map(|kind| (kind.count)()).collect();
    let clock = Instant::now();
    let sleeper = course.start_sleeper(&course.runtime)?;
    start_many(course, &course.runtime, starts, &sleeper.id)?;
    drop(sleeper);
    let seconds = clock.elapsed().as_secs_f64();
    say(format!("{starts} starts in {seconds:.0} s"));
    let grown = |kind: &Kind, before: &u64| (kind.count)() > before + kind.slack;
    let settling = Instant::now();
    while settling.elapsed() < SETTLE && KINDS.iter().zip(&before).any(|(k, b)| grown(k, b)) {
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        poll(&mut [], Some(&second)).context("wait a second")?;
    }
    let mut leaks = Vec::new();
    for (kind, before) in KINDS.iter().zip(&before) {
        let after = (kind.count)();
        let verdict = if after > before + kind.slack {
            "LEAK"
        } else {
            "ok"
        };
        say(format!(
            "{:<24} {before:>8} {after:>8}  {verdict}",
            kind.name
        ));
        if verdict == "LEAK" {
            leaks.push(kind.name);
        }
    }
    if leaks.is_empty() {
        Ok(())
    } else {
        bail!("leaks: {}", leaks.join(", "))
    }
}

fn start_many(course: &Course, program: &Program, starts: u64, sleeper: &str) -> Result<()> {
    const WORKERS: u64 = 4;
    std::thread::scope(|scope| {
        let work = |worker: u64| {
            for number in (worker..starts).step_by(4) {
                if number % 10 < 9 {
                    program.run(&["run", "--bundle", &course.plain, &course.fresh_id()])?;
                } else {
                    lifecycle(course, program)?;
                    program.run(&["exec", sleeper, "/bin/true"])?;
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_panic| anyhow::anyhow!("a worker panicked"))?
        })
    })
}

fn directories(root: &Path) -> u64 {
    let entries = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.map(|entry| 1 + directories(&entry.path())).sum()
}

fn lines(path: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn mounts() -> u64 {
    lines("/proc/self/mountinfo").len() as u64
}

fn processes() -> u64 {
    let entries = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_process))
        .count() as u64
}

/// Objects of a slab cache in use.
fn allocated(cache: &str) -> u64 {
    let lines = lines("/proc/slabinfo");
    let line = lines
        .iter()
        .find(|line| line.split(' ').next() == Some(cache));
    let active = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    active.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn open_files() -> u64 {
    let text = fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    text.split_ascii_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
