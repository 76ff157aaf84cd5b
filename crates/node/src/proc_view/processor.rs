//! Processors and time: `cpuinfo`, `stat`, `uptime` and the list of processors.
//!
//! A container has as many processors as it may run on, and no more than its quota of time keeps
//! busy; they are numbered from 0.

use std::fmt::Write as _;

use super::group::{CpuTime, Group, parse_list};
use super::load::Tasks;

/// USER_HZ, the same on every architecture Linux has today.
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / 100;

/// The processors of a container, by the host's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Processors {
    /// Those that it may run on.
    allowed: Vec<u32>,
    /// How many it sees.
    pub(super) count: usize,
}

impl Processors {
    /// `online` is the host's list.
    pub(super) fn of(group: &Group, online: &str) -> Self {
        let online = parse_list(online).filter(|list| !list.is_empty());
        let online = online.unwrap_or_else(|| vec![0]);
        let allowed = match group.processors() {
            Some(list) => {
                let both: Vec<u32> = online
                    .iter()
                    .copied()
                    .filter(|n| list.contains(n))
                    .collect();
                if both.is_empty() { online } else { both }
            }
            None => online,
        };
        let quota = group.quota_processors().unwrap_or(u64::MAX);
        let count = usize::try_from(quota).unwrap_or(usize::MAX);
        let count = count.min(allowed.len());
        Self { allowed, count }
    }

    /// As the kernel writes lists of processors.
    pub(super) fn list(&self) -> String {
        match self.count {
            0 | 1 => "0\n".to_owned(),
            count => format!("0-{}\n", count - 1),
        }
    }

    /// The host's text without the processors that the container has not.
    pub(super) fn cpuinfo(&self, host: &str) -> String {
        let mut text = String::new();
        let mut seen = 0;
        for block in host.split_inclusive("\n\n") {
            let Some(number) = number_of_block(block) else {
                // What some architectures say of the machine as a whole.
                text.push_str(block);
                continue;
            };
            if seen == self.count || !self.allowed.contains(&number) {
                continue;
            }
            for line in block.split_inclusive('\n') {
                match line.split_once(':') {
                    Some((name, _)) if name.trim() == "processor" => {
                        // A write to a string cannot fail.
                        let _ = writeln!(text, "{name}: {seen}");
                    }
                    _ => text.push_str(line),
                }
            }
            seen += 1;
        }
        text
    }

    /// What each processor did for the container, in ticks: user and system time.
    fn shares(&self, time: &CpuTime) -> Vec<(u64, u64)> {
        let ticks = |(user, system): (u64, u64)| {
            (user / NANOSECONDS_PER_TICK, system / NANOSECONDS_PER_TICK)
        };
        if self.count == self.allowed.len() && !time.by_processor.is_empty() {
            let of = |number| time.by_processor.get(number).copied().unwrap_or_default();
            return self
                .allowed
                .iter()
                .map(|number| ticks(of(number)))
                .collect();
        }
        // Not counted, or spread over more processors than it sees.
        let count = self.count as u64;
        let share = ticks((time.user / count, time.system / count));
        vec![share; self.count]
    }

    /// `/proc/stat`. Of interrupts and context switches nothing is known; the time of boot stays the
    /// host's, from which the start of a process is counted.
    pub(super) fn stat(
        &self,
        time: &CpuTime,
        (host, uptime): (&str, u64),
        tasks: &Tasks,
    ) -> String {
        let elapsed = uptime / NANOSECONDS_PER_TICK;
        let shares = self.shares(time);
        let idle = |(user, system): (u64, u64)| elapsed.saturating_sub(user + system);
        let mut text = String::new();
        let mut line = |name: &str, (user, system): (u64, u64), idle: u64| {
            let _ = writeln!(text, "{name} {user} 0 {system} {idle} 0 0 0 0 0 0");
        };
        let sum = shares
            .iter()
            .fold((0, 0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
        line("cpu ", sum, shares.iter().map(|share| idle(*share)).sum());
        for (number, share) in shares.iter().enumerate() {
            line(&format!("cpu{number}"), *share, idle(*share));
        }
        let boot = host.lines().find(|line| line.starts_with("btime "));
        let _ = writeln!(text, "intr 0\nctxt 0\n{}", boot.unwrap_or("btime 0"));
        let _ = writeln!(text, "processes {}", tasks.total);
        let _ = writeln!(text, "procs_running {}", tasks.running.max(1));
        let _ = writeln!(text, "procs_blocked {}", tasks.blocked);
        text.push_str("softirq 0 0 0 0 0 0 0 0 0 0 0\n");
        text
    }

    /// `/proc/uptime`: since the first process started, and how long processors had nothing to do.
    pub(super) fn uptime(&self, time: &CpuTime, uptime: u64) -> String {
        let all = uptime.saturating_mul(self.count as u64);
        let idle = all.saturating_sub(time.user + time.system);
        format!("{} {}\n", hundredths(uptime), hundredths(idle))
    }
}

fn hundredths(nanoseconds: u64) -> String {
    let hundredths = nanoseconds / 10_000_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The host's number of a processor's block.
fn number_of_block(block: &str) -> Option<u32> {
    let lines = block.lines().filter_map(|line| line.split_once(':'));
    let mut numbers = lines.filter(|(name, _)| name.trim() == "processor");
    numbers.next()?.1.trim().parse().ok()
}
