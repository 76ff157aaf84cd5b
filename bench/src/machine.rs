//! Where the figures were taken: the machine, its kernel, its load, the versions.

use std::fs;

use crate::launch::Program;

/// Above this load of one minute per processor, figures say more about the neighbours.
const QUIET_LOAD_PER_CPU: f64 = 0.5;

/// Name and value, in the order to print.
pub(crate) fn describe(programs: &[(&str, &Program)]) -> Vec<(String, String)> {
    let mut lines = vec![
        (
            "processor".to_owned(),
            format!("{} x {}", processors(), processor_name()),
        ),
        ("kernel".to_owned(), word("/proc/sys/kernel/osrelease", 0)),
        ("load (1 minute)".to_owned(), word("/proc/loadavg", 0)),
        ("cgroups".to_owned(), cgroups().to_owned()),
    ];
    for (name, program) in programs {
        lines.push(((*name).to_owned(), program.version()));
    }
    lines
}

/// What to tell the user when others use the machine.
pub(crate) fn unquiet() -> Option<String> {
    let load: f64 = word("/proc/loadavg", 0).parse().ok()?;
    let processors = u32::try_from(processors()).map_or(1.0, f64::from);
    (load > QUIET_LOAD_PER_CPU * processors).then(|| {
        format!("the load is {load}: only ratios and minima mean something, not the times")
    })
}

fn cgroups() -> &'static str {
    let is = |path| fs::exists(path).unwrap_or(false);
    if is("/sys/fs/cgroup/cgroup.controllers") {
        "version 2"
    } else if is("/sys/fs/cgroup/unified/cgroup.controllers") {
        "hybrid (version 1 with an empty version 2 beside it)"
    } else {
        "version 1"
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn processor_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, name)| name)
        .to_owned()
}

fn word(path: &str, place: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace()
        .nth(place)
        .unwrap_or("unknown")
        .to_owned()
}
