//! `process`: what the program is and what the kernel will accept for it (config.md, Process).

use super::super::{Process, Rlimit, Scheduler, SchedulerPolicy};
use super::value::{absolute, environment, no_nul, number_list};
use super::{Check, ParseError};

/// The resources of getrlimit(2) on Linux.
const RLIMITS: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

/// Checks `process`; `prefix` stands before each field name (`process.`, or nothing for a file of
/// its own).
pub(in super::super) fn check_process(prefix: &str, process: &Process) -> Check {
    check(process).map_err(|error| ParseError {
        field: format!("{prefix}{}", error.field),
        reason: error.reason,
    })
}

fn check(process: &Process) -> Check {
    if process.args.is_empty() {
        return Err(ParseError::at("args", "args must not be empty"));
    }
    for (index, argument) in process.args.iter().enumerate() {
        no_nul(argument, || format!("args[{index}]"))?;
    }
    if process.args[0].is_empty() {
        return Err(ParseError::at("args[0]", "must not be empty"));
    }
    absolute(&process.cwd, || "cwd".to_owned())?;
    environment(&process.env, || "env".to_owned())?;
    rlimits(&process.rlimits)?;
    limits_of_numbers(process)?;
    if let Some(scheduler) = &process.scheduler {
        check_scheduler(scheduler)?;
    }
    let labels = [
        ("apparmorProfile", &process.apparmor_profile),
        ("selinuxLabel", &process.selinux_label),
    ];
    for (field, label) in labels {
        if let Some(label) = label {
            no_nul(label, || field.to_owned())?;
        }
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        let lists = [
            ("initial", &affinity.initial),
            ("final", &affinity.after_move),
        ];
        for (field, list) in lists {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                number_list(list, || format!("execCPUAffinity.{field}"))?;
            }
        }
    }
    Ok(())
}

fn limits_of_numbers(process: &Process) -> Check {
    if process.user.umask.is_some_and(|umask| umask > 0o777) {
        return Err(ParseError::at("user.umask", "must be at most 511 (0777)"));
    }
    // struct winsize has 16 bits; without a terminal the size must be ignored (config.md).
    if let Some(size) = process.console_size.filter(|_| process.terminal) {
        for (field, value) in [("height", size.height), ("width", size.width)] {
            if value > u32::from(u16::MAX) {
                return Err(ParseError::at(
                    format!("consoleSize.{field}"),
                    "must be at most 65535",
                ));
            }
        }
    }
    if process
        .oom_score_adj
        .is_some_and(|score| !(-1000..=1000).contains(&score))
    {
        return Err(ParseError::at("oomScoreAdj", "must be from -1000 to 1000"));
    }
    if process
        .io_priority
        .is_some_and(|io| !(0..=7).contains(&io.priority))
    {
        return Err(ParseError::at("ioPriority.priority", "must be from 0 to 7"));
    }
    Ok(())
}

fn rlimits(rlimits: &[Rlimit]) -> Check {
    for (index, limit) in rlimits.iter().enumerate() {
        if !RLIMITS.contains(&limit.kind.as_str()) {
            return Err(ParseError::at(
                format!("rlimits[{index}].type"),
                format!("`{}` is not a resource of getrlimit(2)", limit.kind),
            ));
        }
        if rlimits[..index]
            .iter()
            .any(|other| other.kind == limit.kind)
        {
            return Err(ParseError::at(
                format!("rlimits[{index}].type"),
                format!("`{}` is given twice", limit.kind),
            ));
        }
        if limit.soft > limit.hard {
            return Err(ParseError::at(
                format!("rlimits[{index}].soft"),
                format!("{} is above the hard limit {}", limit.soft, limit.hard),
            ));
        }
    }
    Ok(())
}

/// The rules of sched_setattr(2) and sched(7).
fn check_scheduler(scheduler: &Scheduler) -> Check {
    use SchedulerPolicy::{Batch, Deadline, Fifo, Idle, Iso, Other, RoundRobin};
    let at =
        |field: &str, reason: &'static str| ParseError::at(format!("scheduler.{field}"), reason);
    if !(-20..=19).contains(&scheduler.nice) {
        return Err(at("nice", "must be from -20 to 19"));
    }
    match scheduler.policy {
        Fifo | RoundRobin if !(1..=99).contains(&scheduler.priority) => {
            return Err(at(
                "priority",
                "must be from 1 to 99 for SCHED_FIFO and SCHED_RR",
            ));
        }
        Other | Batch | Idle | Iso | Deadline if scheduler.priority != 0 => {
            return Err(at(
                "priority",
                "can only be set for SCHED_FIFO and SCHED_RR",
            ));
        }
        _ => {}
    }
    let times = [
        ("runtime", scheduler.runtime),
        ("deadline", scheduler.deadline),
        ("period", scheduler.period),
    ];
    if scheduler.policy != Deadline {
        return match times.iter().find(|(_, value)| *value != 0) {
            Some((field, _)) => Err(at(field, "can only be set for SCHED_DEADLINE")),
            None => Ok(()),
        };
    }
    // DL_SCALE: the kernel refuses a runtime below 1024 ns.
    if scheduler.runtime < 1024 {
        return Err(at("runtime", "must be at least 1024 ns for SCHED_DEADLINE"));
    }
    if scheduler.deadline < scheduler.runtime {
        return Err(at("deadline", "must not be below runtime"));
    }
    if scheduler.period != 0 && scheduler.period < scheduler.deadline {
        return Err(at("period", "must be 0 or not below deadline"));
    }
    Ok(())
}
