//! What the kernel lets be set on a process from inside or from outside: resource limits,
//! scheduler, I/O priority, memory policy, personality, OOM score.

use insula_sys::rustix::process::Resource;
use insula_sys::rustix::thread::{CpuSet, sched_setaffinity};
use insula_sys::scheduling::{self, SchedulerAttributes};

use crate::error::{Context, Error, Result};
use crate::spec::{self, IoPriorityClass, MemoryPolicy, MemoryPolicyFlag, SchedulerFlag};

/// Names of getrlimit(2).
const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

/// The resource of a name such as `RLIMIT_NOFILE`.
#[must_use]
pub(crate) fn resource(name: &str) -> Option<Resource> {
    RESOURCES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, resource)| *resource)
}

/// The processors that the runtime happens to be bound to are not meant for the container: those of
/// its cgroup are.
pub(crate) fn forget_affinity() {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|number| all.set(number));
    // Where that is forbidden the container runs on the processors of its creator.
    let _ = sched_setaffinity(None, &all);
}

/// Scheduler and I/O priority of a process; `pid` 0 is the caller.
pub(crate) fn apply_scheduling(pid: i32, process: &spec::Process) -> Result<()> {
    if let Some(scheduler) = &process.scheduler {
        scheduling::set_scheduler(pid, &scheduler_attributes(scheduler))
            .step(|| "process.scheduler: set the scheduler")?;
    }
    if let Some(priority) = &process.io_priority {
        let class = match priority.class {
            IoPriorityClass::RealTime => 1,
            IoPriorityClass::BestEffort => 2,
            IoPriorityClass::Idle => 3,
        };
        scheduling::set_io_priority(pid, class, priority.priority)
            .step(|| "process.ioPriority: set the I/O priority")?;
    }
    Ok(())
}

fn scheduler_attributes(scheduler: &spec::Scheduler) -> SchedulerAttributes {
    let flag = |flags: u64, flag: &SchedulerFlag| flags | *flag as u64;
    SchedulerAttributes {
        policy: scheduler.policy as u32,
        flags: scheduler.flags.iter().fold(0, flag),
        nice: scheduler.nice,
        priority: scheduler.priority.unsigned_abs(),
        runtime_ns: scheduler.runtime,
        deadline_ns: scheduler.deadline,
        period_ns: scheduler.period,
        ..SchedulerAttributes::default()
    }
}

/// The NUMA memory policy of the caller, which its program inherits.
pub(crate) fn apply_memory_policy(policy: &MemoryPolicy) -> Result<()> {
    let nodes = parse_list(&policy.nodes).ok_or_else(|| {
        Error::new(format!(
            "linux.memoryPolicy.nodes: {:?} is no list of nodes",
            policy.nodes
        ))
    })?;
    let flag = |mode: i32, flag: &MemoryPolicyFlag| mode | *flag as i32;
    let mode = policy.flags.iter().fold(policy.mode as i32, flag);
    scheduling::set_memory_policy(mode, &nodes).step(|| "linux.memoryPolicy: set the memory policy")
}

/// Reads a list such as `0-3,7` into a bit mask. An empty text is an empty mask.
pub(crate) fn parse_list(text: &str) -> Option<Vec<u64>> {
    const LAST_MAX: usize = 8191;
    let mut mask = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > LAST_MAX {
            return None;
        }
        mask.resize(mask.len().max(last / 64 + 1), 0);
        (first..=last).for_each(|number| mask[number / 64] |= 1 << (number % 64));
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_masks() {
        assert_eq!(parse_list("0-3,7"), Some(vec![0b1000_1111]));
        assert_eq!(parse_list("64"), Some(vec![0, 1]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list("a"), None);
        assert_eq!(parse_list("99999999"), None);
    }
}
