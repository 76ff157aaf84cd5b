//! What guests use of the host, and their processes.

use std::time::Instant;

use insula_container::cgroup::Stats;
use insula_container::error::Result;

use super::find::{Guest, Status, find, look};
use super::list::records;
use super::live;
use super::place::Place;
use crate::oci::process_table_of;

/// Counters of a guest at one moment.
#[derive(Debug, Clone)]
pub struct Counters {
    at: Instant,
    cpu_ns: u64,
    pub memory_bytes: u64,
    /// Absent without a limit.
    pub memory_limit_bytes: Option<u64>,
    pub processes: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// A guest that runs, and what it uses.
#[derive(Debug, Clone)]
pub struct Usage {
    pub guest: Guest,
    pub counters: Counters,
}

impl Counters {
    /// Hundredths of one processor since an earlier moment.
    #[must_use]
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let elapsed = self.at.duration_since(before.at).as_secs_f64();
        let used = std::time::Duration::from_nanos(self.cpu_ns.saturating_sub(before.cpu_ns));
        if elapsed > 0.0 {
            100.0 * used.as_secs_f64() / elapsed
        } else {
            0.0
        }
    }

    /// The sums over the processes that live: of those that have ended nobody has kept count, but
    /// their parents (proc(5): `stat`, fields 14 to 17).
    fn of_processes(pids: &[i32], network: (u64, u64)) -> Self {
        const TICK_NS: u64 = 10_000_000;
        let mut sum = Self {
            at: Instant::now(),
            cpu_ns: 0,
            memory_bytes: 0,
            memory_limit_bytes: None,
            processes: pids.len() as u64,
            read_bytes: 0,
            written_bytes: 0,
            received_bytes: network.0,
            sent_bytes: network.1,
        };
        for pid in pids {
            let read = |file: &str| {
                std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
            };
            let (stat, status, io) = (read("stat"), read("status"), read("io"));
            let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let times = behind_name.split_ascii_whitespace().skip(11).take(4);
            let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
            sum.cpu_ns += ticks * TICK_NS;
            let kib = number_of(&status, "RssAnon") + number_of(&status, "RssShmem");
            sum.memory_bytes += kib << 10;
            sum.read_bytes += number_of(&io, "read_bytes");
            sum.written_bytes += number_of(&io, "write_bytes");
        }
        sum
    }

    fn of(stats: &Stats, network: (u64, u64)) -> Self {
        let moved = |operation: &str| {
            let entries = stats.blkio.io_service_bytes_recursive.iter();
            let of_it = entries.filter(|entry| entry.op.eq_ignore_ascii_case(operation));
            of_it.map(|entry| entry.value).sum()
        };
        let memory = &stats.memory;
        // As docker: what can be dropped at once is not in use.
        let inactive = ["total_inactive_file", "inactive_file"];
        let inactive = inactive.iter().find_map(|name| memory.raw.get(*name));
        // Kernels write "no limit" as a number that no machine has.
        const NO_LIMIT: u64 = 1 << 62;
        Self {
            at: Instant::now(),
            cpu_ns: stats.cpu.usage.total,
            memory_bytes: memory
                .usage
                .usage
                .saturating_sub(inactive.copied().unwrap_or(0)),
            memory_limit_bytes: Some(memory.usage.limit)
                .filter(|limit| (1..NO_LIMIT).contains(limit)),
            processes: stats.pids.current,
            read_bytes: moved("read"),
            written_bytes: moved("write"),
            received_bytes: network.0,
            sent_bytes: network.1,
        }
    }
}

/// A number of `/proc/PID/FILE` behind its name; 0 of a process that is gone.
fn number_of(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim_start_matches(':').split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the named guests use, or all that run. Those that end meanwhile are left out.
///
/// # Errors
/// A name is not that of a guest that runs.
pub fn usage(place: &Place, names: &[String]) -> Result<Vec<Usage>> {
    let mut all = Vec::new();
    if names.is_empty() {
        let ids = records(place)?.into_iter().map(|record| record.id);
        let guests = ids.filter_map(|id| look(place, &id).ok());
        all.extend(guests.filter_map(|guest| measure(place, guest).ok()));
        return Ok(all);
    }
    for name in names {
        all.push(measure(place, find(place, name)?)?);
    }
    Ok(all)
}

fn measure(place: &Place, guest: Guest) -> Result<Usage> {
    if !matches!(guest.status, Status::Running | Status::Paused) {
        return Err(live::not_running(&guest.record.name));
    }
    let container = place.runtime().load(&guest.record.id)?;
    let network = network_bytes(container.record.pid);
    let counters = match container.is_without_cgroup() {
        true => Counters::of_processes(&container.processes()?, network),
        false => Counters::of(&container.control_group()?.stats()?, network),
    };
    Ok(Usage { guest, counters })
}

/// Received and sent, of all interfaces but the loopback, as the process sees them.
fn network_bytes(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut sums = (0, 0);
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = numbers
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        // proc(5): received bytes come first, sent bytes ninth.
        sums.0 += numbers.first().copied().unwrap_or(0);
        sums.1 += numbers.get(8).copied().unwrap_or(0);
    }
    sums
}

/// The processes of a guest as ps(1) shows them, with the host's numbers.
///
/// # Errors
/// It does not run.
pub fn processes(place: &Place, name: &str) -> Result<String> {
    let guest = find(place, name)?;
    if !matches!(guest.status, Status::Running | Status::Paused) {
        return Err(live::not_running(&guest.record.name));
    }
    let mut pids = place.runtime().load(&guest.record.id)?.processes()?;
    pids.sort_unstable();
    Ok(process_table_of(&pids))
}
