//! Figures of guests in the background: what a monitor costs, and the daily verbs beside podman's.
//!
//! Both have imported the same archive. Podman uses crun, conmon and a log file, as it does by
//! itself. Start at [`list`].

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use insula_sys::rustix::event::{Timespec, poll};

use crate::course::{Course, interleave};
use crate::entry::{Entry, entry, two_rows};
use crate::launch::Program;
use crate::report::{Bar, Figure, Row};
use crate::sample::{Cost, Sample};

const IMAGE: &str = "insula-bench-guests:1";
/// After which a guest is idle.
const SETTLING: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};
/// Guests at once.
const CROWD: usize = 500;
/// A guest that writes 4,000,000 lines as fast as it can: made beforehand, so that the program that
/// makes them is not what is measured.
const WRITER: &str = "yes a line of some length | head -n 200000 >/tmp/lines; \
                      for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; \
                      do cat /tmp/lines; done";
/// Lines of 1 GB together, 100 bytes each.
const GIGABYTE: &str = "yes 0123456789012345678901234567890123456789012345678901234567890123456789\
                        01234567890123456789012345678 | head -n 10000000";

pub(crate) fn list() -> [Entry; 8] {
    use Bar::{None, RatioAtMost, ValueAtMost};
    [
        entry("exec true in a guest", "podman", RatioAtMost(0.1), exec),
        entry(
            "stop a guest that listens",
            "podman",
            RatioAtMost(0.3),
            stop,
        ),
        entry(
            "private memory of an idle monitor",
            "conmon",
            ValueAtMost(1.0),
            idle_memory,
        ),
        entry("500 guests: one start", "", ValueAtMost(15.0), crowd_start),
        entry("500 guests: ps, CPU", "", ValueAtMost(50.0), crowd_list),
        entry(
            "500 guests: private memory for each",
            "",
            None,
            crowd_memory,
        ),
        entry(
            "a guest writes 4,000,000 lines",
            "conmon",
            RatioAtMost(0.5),
            write_log,
        ),
        entry("logs of 1 GB", "podman", RatioAtMost(0.5), read_log),
    ]
}

/// The image in both stores, for as long as this lives.
struct Ground<'a> {
    course: &'a Course,
    podman: Program,
}

impl<'a> Ground<'a> {
    fn new(course: &'a Course) -> Result<Self> {
        let archive = course.archive()?;
        let archive = archive
            .to_str()
            .context("the archive's name is not UTF-8")?;
        course
            .insula
            .run(&["image", "import", "--tag", IMAGE, archive])?;
        course.podman.run(&["import", archive, IMAGE])?;
        let crun = course.crun.path();
        let podman = course
            .podman
            .with(&["--runtime", &crun, "--cgroup-manager", "cgroupfs"]);
        Ok(Self { course, podman })
    }

    /// Starts a guest of both.
    fn start(&self, name: &str, options: &[&str], command: &[&str]) -> Result<()> {
        self.start_ours(name, options, command)?;
        self.start_theirs(name, &[], command)
    }

    fn start_ours(&self, name: &str, options: &[&str], command: &[&str]) -> Result<()> {
        let words = [&["run", "-d", "--name", name], options, &[IMAGE], command].concat();
        self.course.insula.run(&words)
    }

    fn start_theirs(&self, name: &str, options: &[&str], command: &[&str]) -> Result<()> {
        let fixed = [
            "run",
            "-d",
            "--network=none",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1000:1000",
            "--name",
            name,
        ];
        self.podman
            .run(&[&fixed, options, &[IMAGE], command].concat())
    }

    fn remove(&self, name: &str) {
        // What stays is told by `soak`; the figures are what counts here.
        let _ = self.course.insula.run(&["rm", "-f", name]);
        let _ = self.podman.run(&["rm", "-f", name]);
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        let _ = self.course.insula.run(&["rmi", IMAGE]);
        let _ = self.podman.run(&["rmi", "-f", IMAGE]);
    }
}

const SLEEP: [&str; 2] = ["sleep", "1000"];
const LISTEN: [&str; 3] = [
    "sh",
    "-c",
    "trap 'exit 0' TERM; while :; do sleep 0.01; done",
];

fn exec(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let ground = Ground::new(course)?;
        ground.start("bench-exec", &[], &SLEEP)?;
        let samples = interleave(
            (course.runs / 8).max(5),
            || course.insula.measure(&["exec", "bench-exec", "true"]),
            || ground.podman.measure(&["exec", "bench-exec", "true"]),
        );
        ground.remove("bench-exec");
        samples
    };
    two_rows(entry, Bar::None, measured())
}

fn stop(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let ground = Ground::new(course)?;
        ground.start("bench-stop", &[], &LISTEN)?;
        let turn = |program: &Program| -> Result<Cost> {
            let cost = program.measure(&["stop", "bench-stop"])?;
            program.run(&["start", "bench-stop"])?;
            Ok(cost)
        };
        let samples = interleave(
            (course.runs / 16).max(5),
            || turn(&course.insula),
            || turn(&ground.podman),
        );
        ground.remove("bench-stop");
        samples
    };
    two_rows(entry, Bar::None, measured())
}

/// What only these processes have in memory, in KiB.
fn private_kib(is_one: impl Fn(&str) -> bool) -> Result<f64> {
    let mut sum = 0.0;
    for process in fs::read_dir("/proc")?.flatten() {
        let path = process.path();
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if is_one(&command) {
            sum += private_of(&path);
        }
    }
    Ok(sum)
}

fn private_of(process: &Path) -> f64 {
    let text = fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    lines
        .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse::<f64>().ok())
        .sum()
}

fn idle_memory(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(f64, f64)> {
        let ground = Ground::new(course)?;
        ground.start("bench-idle", &[], &SLEEP)?;
        // Idle is what has had nothing to do for a while.
        poll(&mut [], Some(&SETTLING)).context("wait for idleness")?;
        let ours = private_kib(|command| command.starts_with("insula __monitor"))?;
        let theirs = private_kib(|command| command.contains("conmon ") && command.contains("-c "))?;
        ground.remove("bench-idle");
        ensure!(ours > 0.0, "no monitor was found");
        Ok((ours / 1024.0, theirs / 1024.0))
    };
    match measured() {
        Ok((ours, theirs)) => vec![Row {
            name: format!("{} and its holder", entry.name),
            unit: "MiB",
            peer_name: entry.peer,
            ours: Some(Figure::plain(ours)),
            peer: Some(Figure::plain(theirs)),
            bar: entry.bar,
            failure: None,
        }],
        Err(error) => vec![Row::failed(entry.name, entry.peer, entry.bar, &error)],
    }
}

/// What a crowd of idle guests costs.
struct Crowd {
    start_ms: f64,
    list_cpu_ms: f64,
    private_mib: f64,
}

fn crowd(course: &Course) -> Result<Crowd> {
    let archive = course.archive()?;
    let archive = archive
        .to_str()
        .context("the archive's name is not UTF-8")?;
    course
        .insula
        .run(&["image", "import", "--tag", IMAGE, archive])?;
    let start = Instant::now();
    for number in 0..CROWD {
        let name = format!("bench-crowd-{number}");
        let words = ["run", "-d", "--name", &name, IMAGE, "sleep", "1000"];
        course.insula.run(&words)?;
    }
    let start_ms = start.elapsed().as_secs_f64() * 1000.0 / count(CROWD);
    let mut lists = Sample::default();
    for _ in 0..5 {
        lists.add(course.insula.measure(&["ps"])?);
    }
    let private = private_kib(|command| command.starts_with("insula __monitor"))?;
    for number in 0..CROWD {
        course
            .insula
            .run(&["rm", "-f", &format!("bench-crowd-{number}")])?;
    }
    course.insula.run(&["rmi", IMAGE])?;
    Ok(Crowd {
        start_ms,
        list_cpu_ms: lists.cpu().median_us / 1000.0,
        private_mib: private / 1024.0 / count(CROWD),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn count(number: usize) -> f64 {
    number as f64
}

fn crowd_row(
    course: &Course,
    entry: Entry,
    unit: &'static str,
    value: fn(&Crowd) -> f64,
) -> Vec<Row> {
    static MEASURED: std::sync::OnceLock<Result<Crowd, String>> = std::sync::OnceLock::new();
    let measured = MEASURED.get_or_init(|| crowd(course).map_err(|error| format!("{error:#}")));
    match measured {
        Ok(crowd) => vec![Row {
            name: entry.name.to_owned(),
            unit,
            peer_name: entry.peer,
            ours: Some(Figure::plain(value(crowd))),
            peer: None,
            bar: entry.bar,
            failure: None,
        }],
        Err(text) => {
            let error = anyhow::Error::msg(text.clone());
            vec![Row::failed(entry.name, entry.peer, entry.bar, &error)]
        }
    }
}

fn crowd_start(course: &Course, entry: Entry) -> Vec<Row> {
    crowd_row(course, entry, "ms", |crowd| crowd.start_ms)
}

fn crowd_list(course: &Course, entry: Entry) -> Vec<Row> {
    crowd_row(course, entry, "ms", |crowd| crowd.list_cpu_ms)
}

fn crowd_memory(course: &Course, entry: Entry) -> Vec<Row> {
    crowd_row(course, entry, "MiB", |crowd| crowd.private_mib)
}

/// From the start of a guest that writes to its end: the program is the same, so what differs is
/// who takes its output.
fn write_log(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let ground = Ground::new(course)?;
        let name = "bench-write";
        let command = ["sh", "-c", WRITER];
        let ours = || -> Result<Cost> {
            let start = Instant::now();
            ground.start_ours(name, &["--log-opt", "max-size=2g"], &command)?;
            let cost = course.insula.measure(&["wait", name])?;
            let wall = start.elapsed();
            course.insula.run(&["rm", "-f", name])?;
            Ok(Cost { wall, ..cost })
        };
        let theirs = || -> Result<Cost> {
            let start = Instant::now();
            ground.start_theirs(name, &["--log-driver", "k8s-file"], &command)?;
            let cost = ground
                .podman
                .measure(&["wait", "--interval", "1ms", name])?;
            let wall = start.elapsed();
            ground.podman.run(&["rm", "-f", name])?;
            Ok(Cost { wall, ..cost })
        };
        let samples = interleave(3, ours, theirs);
        ground.remove(name);
        samples
    };
    two_rows(entry, Bar::None, measured())
}

fn read_log(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let ground = Ground::new(course)?;
        let name = "bench-read";
        let command = ["sh", "-c", GIGABYTE];
        ground.start_ours(name, &["--log-opt", "max-size=2g"], &command)?;
        ground.start_theirs(name, &["--log-driver", "k8s-file"], &command)?;
        course.insula.run(&["wait", name])?;
        ground.podman.run(&["wait", name])?;
        check_whole(&course.insula, name)?;
        let samples = interleave(
            3,
            || course.insula.measure(&["logs", name]),
            || ground.podman.measure(&["logs", name]),
        );
        ground.remove(name);
        samples
    };
    two_rows(entry, Bar::None, measured())
}

/// A figure of a log that has lost lines would be worth nothing.
fn check_whole(insula: &Program, name: &str) -> Result<()> {
    let mut child = insula
        .command(&["logs", name])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().context("no output")?;
    let bytes = std::io::copy(&mut output, &mut std::io::sink())?;
    child.wait()?;
    ensure!(bytes == 1_000_000_000, "the log has {bytes} bytes");
    Ok(())
}
