//! The figures one by one: what is run, against whom, and the bar.
//!
//! Start at [`list`].

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::build;
use crate::course::{Course, interleave, lifecycle};
use crate::entry::{Entry, entry, two_rows};
use crate::images;
use crate::launch::Program;
use crate::profile;
use crate::report::{Bar, Figure, Row};
use crate::sample::Sample;

/// All figures; those of the untouched host are fewer, for crun refuses hybrid cgroups.
pub(crate) fn list(host: bool) -> Vec<Entry> {
    use Bar::{None, RatioAtLeast, RatioAtMost, ValueAtMost, Works};
    if host {
        return vec![
            entry("oci run true (host)", "floor", RatioAtMost(1.5), run_floor),
            entry("oci run true (host)", "runc", None, run_runc),
        ];
    }
    let mut entries = vec![
        entry("oci run true", "crun", RatioAtMost(0.5), run_crun),
        entry("oci run true", "floor", RatioAtMost(1.5), run_floor),
        entry("oci run true", "runc", None, run_runc),
        entry(
            "create, start, wait, delete",
            "crun",
            RatioAtMost(0.55),
            life_crun,
        ),
        entry("exec true", "crun", RatioAtMost(0.5), exec_crun),
        entry(
            "starts per second, 4 at a time",
            "crun",
            RatioAtLeast(2.0),
            starts_crun,
        ),
        entry(
            "load Docker's seccomp profile",
            "",
            ValueAtMost(0.15),
            seccomp,
        ),
        entry(
            "peak memory of oci run",
            "crun",
            ValueAtMost(1.5),
            peak_memory,
        ),
        entry("pids.limit = 1", "", Works, one_process),
        entry("memory limit 1 MiB", "", Works, little_memory),
        entry("--version", "crun", None, version),
        entry(
            "run --rm IMAGE true",
            "podman",
            RatioAtMost(0.1),
            image_podman,
        ),
    ];
    entries.extend(build::list());
    entries.extend(images::list());
    entries
}

fn run_against(course: &Course, entry: Entry, peer: &Program, cpu_bar: Bar) -> Vec<Row> {
    let bundle = course.plain.as_str();
    let run = |program: &Program| program.measure(&["run", "--bundle", bundle, &course.fresh_id()]);
    let samples = interleave(course.runs, || run(&course.runtime), || run(peer));
    two_rows(entry, cpu_bar, samples)
}

fn run_crun(course: &Course, entry: Entry) -> Vec<Row> {
    run_against(course, entry, &course.crun, entry.bar)
}

fn run_runc(course: &Course, entry: Entry) -> Vec<Row> {
    run_against(course, entry, &course.runc, Bar::None)
}

/// The floor does no more than the kernel's part of the same container.
fn run_floor(course: &Course, entry: Entry) -> Vec<Row> {
    let run = || {
        let arguments = ["run", "--bundle", &course.plain, &course.fresh_id()];
        course.runtime.measure(&arguments)
    };
    let floor = || course.floor.measure(&[&course.rootfs]);
    two_rows(entry, Bar::None, interleave(course.runs, run, floor))
}

fn life_crun(course: &Course, entry: Entry) -> Vec<Row> {
    let samples = interleave(
        course.runs / 2,
        || lifecycle(course, &course.runtime),
        || lifecycle(course, &course.crun),
    );
    two_rows(entry, Bar::None, samples)
}

fn exec_crun(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let ours = course.start_sleeper(&course.runtime)?;
        let theirs = course.start_sleeper(&course.crun)?;
        interleave(
            course.runs,
            || course.runtime.measure(&["exec", &ours.id, "/bin/true"]),
            || course.crun.measure(&["exec", &theirs.id, "/bin/true"]),
        )
    };
    two_rows(entry, Bar::None, measured())
}

/// Rounds of many starts; each round's rate is one measurement.
fn starts_crun(course: &Course, entry: Entry) -> Vec<Row> {
    const ROUNDS: usize = 5;
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (program, rates) in [&course.runtime, &course.crun].into_iter().zip(&mut rates) {
            match four_at_a_time(course, program) {
                Ok(rate) => rates.push(rate),
                Err(error) => return vec![Row::failed(entry.name, entry.peer, entry.bar, &error)],
            }
        }
    }
    let [ours, peer] = rates.map(|mut rates| {
        rates.sort_unstable_by(f64::total_cmp);
        Some(Figure::plain(rates[ROUNDS / 2]))
    });
    vec![Row {
        name: entry.name.to_owned(),
        unit: "/s",
        peer_name: entry.peer,
        ours,
        peer,
        bar: entry.bar,
        failure: None,
    }]
}

fn four_at_a_time(course: &Course, program: &Program) -> Result<f64> {
    const WORKERS: u32 = 4;
    let each = u32::try_from(course.runs / 4).unwrap_or(u32::MAX).max(1);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let work = || {
            (0..each).try_for_each(|_| {
                let arguments = ["run", "--bundle", &course.plain, &course.fresh_id()];
                program.measure(&arguments).map(drop)
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_panic| anyhow::anyhow!("a worker panicked"))?
        })
    })?;
    Ok(f64::from(WORKERS * each) / start.elapsed().as_secs_f64())
}

fn seccomp(course: &Course, entry: Entry) -> Vec<Row> {
    match profile::measure(&course.profile, course.runs) {
        Ok((summary, instructions)) => vec![Row {
            name: format!("{} ({instructions} insns)", entry.name),
            unit: "ms",
            peer_name: "",
            ours: Some(Figure::milliseconds(summary)),
            peer: None,
            bar: entry.bar,
            failure: None,
        }],
        Err(error) => vec![Row::failed(entry.name, entry.peer, entry.bar, &error)],
    }
}

/// The container's program is the smallest there is, for the runtime's own memory is wanted.
fn peak_memory(course: &Course, entry: Entry) -> Vec<Row> {
    let of = |program: &Program| -> Result<Figure> {
        let bundle = course.bundle("smallest", &["/bin/smallest"], |_| ())?;
        let mut most = 0.0_f64;
        for _ in 0..10 {
            let id = course.fresh_id();
            most = most.max(course.peak_mib(program, &["run", "--bundle", &bundle, &id])?);
        }
        Ok(Figure::plain(most))
    };
    match (of(&course.runtime), of(&course.crun)) {
        (Ok(ours), peer) => vec![Row {
            name: entry.name.to_owned(),
            unit: "MiB",
            peer_name: entry.peer,
            ours: Some(ours),
            peer: peer.ok(),
            bar: entry.bar,
            failure: None,
        }],
        (Err(error), _) => vec![Row::failed(entry.name, entry.peer, entry.bar, &error)],
    }
}

fn works(course: &Course, entry: Entry, limits: serde_json::Value) -> Vec<Row> {
    let run = || -> Result<()> {
        let change = |config: &mut serde_json::Value| config["linux"]["resources"] = limits;
        let bundle = course.bundle("limited", &["/bin/smallest"], change)?;
        course
            .runtime
            .run(&["run", "--bundle", &bundle, &course.fresh_id()])
    };
    let failure = run().err().map(|error| format!("{error:#}"));
    let name = entry.name.to_owned();
    let (unit, peer_name) = ("", entry.peer);
    vec![Row {
        name,
        unit,
        peer_name,
        ours: None,
        peer: None,
        bar: entry.bar,
        failure,
    }]
}

fn one_process(course: &Course, entry: Entry) -> Vec<Row> {
    works(course, entry, json!({"pids": {"limit": 1}}))
}

fn little_memory(course: &Course, entry: Entry) -> Vec<Row> {
    works(course, entry, json!({"memory": {"limit": 1_048_576}}))
}

fn version(course: &Course, entry: Entry) -> Vec<Row> {
    let samples = interleave(
        course.runs,
        || course.insula.measure(&["--version"]),
        || course.crun.measure(&["--version"]),
    );
    two_rows(entry, Bar::None, samples)
}

/// Both have imported the same archive; both make a new writable layer and a new network.
fn image_podman(course: &Course, entry: Entry) -> Vec<Row> {
    let measured = || -> Result<(Sample, Sample)> {
        let archive: PathBuf = course.archive()?;
        let archive = archive
            .to_str()
            .context("the archive's name is not UTF-8")?;
        course
            .insula
            .run(&["image", "import", "--tag", "insula-bench:1", archive])?;
        course.podman.run(&["import", archive, "insula-bench:1"])?;
        let crun = course.crun.path();
        let podman = [
            "--runtime",
            crun.as_str(),
            "--cgroup-manager",
            "cgroupfs",
            "run",
            "--rm",
            "--network=none",
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1000:1000",
            "insula-bench:1",
            "true",
        ];
        let samples = interleave(
            (course.runs / 8).max(5),
            || {
                course.insula.measure(&[
                    "run",
                    "--rm",
                    "--network",
                    "none",
                    "insula-bench:1",
                    "true",
                ])
            },
            || course.podman.measure(&podman),
        );
        // The figures are what counts: an image that stays behind is told by the next run.
        let _ = course.insula.run(&["rmi", "insula-bench:1"]);
        let _ = course.podman.run(&["rmi", "insula-bench:1"]);
        samples
    };
    two_rows(entry, Bar::None, measured())
}
