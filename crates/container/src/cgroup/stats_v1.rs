//! Reads the counters of version 1.

use super::directory::Directory;
use super::location::Cgroup;
use super::oom::counter;
use super::stats::{
    Blkio, BlkioEntry, CpuUsage, Cpuset, Hugetlb, Memory, MemoryEntry, Stats, named_numbers,
    number, optional_number,
};
use super::stats_v2::page_sizes;
use crate::error::Result;

/// `cpuacct.stat` counts in USER_HZ, which is 100 on every architecture Linux has today.
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / 100;

pub(super) fn read(cgroup: &Cgroup, stats: &mut Stats) -> Result<()> {
    if let Some(directory) = cgroup.controller("cpuacct") {
        stats.cpu.usage = cpu_usage(&directory)?;
    }
    if let Some(text) = text_of(cgroup, "cpu", "cpu.stat")? {
        stats.cpu.throttling.periods = counter(&text, "nr_periods");
        stats.cpu.throttling.throttled_periods = counter(&text, "nr_throttled");
        stats.cpu.throttling.throttled_time = counter(&text, "throttled_time");
    }
    if let Some(directory) = cgroup.controller("cpuset") {
        stats.cpuset = cpuset(&directory)?;
    }
    if let Some(directory) = cgroup.controller("memory") {
        stats.memory = memory(&directory)?;
    }
    if let Some(directory) = cgroup.controller("pids") {
        stats.pids.current = number(&directory, "pids.current")?;
        let limit = number(&directory, "pids.max")?;
        stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
    }
    if let Some(directory) = cgroup.controller("blkio") {
        stats.blkio = block_io(&directory)?;
    }
    if let Some(directory) = cgroup.controller("hugetlb") {
        for size in page_sizes() {
            let entry = hugepages(&directory, &size)?;
            stats.hugetlb.insert(size, entry);
        }
    }
    Ok(())
}

fn text_of(cgroup: &Cgroup, controller: &str, name: &str) -> Result<Option<String>> {
    match cgroup.controller(controller) {
        Some(directory) => directory.read_if_present(name),
        None => Ok(None),
    }
}

fn cpu_usage(directory: &Directory<'_>) -> Result<CpuUsage> {
    let ticks = directory
        .read_if_present("cpuacct.stat")?
        .unwrap_or_default();
    let percpu = directory
        .read_if_present("cpuacct.usage_percpu")?
        .unwrap_or_default();
    let mut usage = CpuUsage {
        total: number(directory, "cpuacct.usage")?,
        percpu: percpu
            .split_ascii_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect(),
        kernel: counter(&ticks, "system") * NANOSECONDS_PER_TICK,
        user: counter(&ticks, "user") * NANOSECONDS_PER_TICK,
        ..CpuUsage::default()
    };
    // A header `cpu user system`, and a line of these per processor.
    let all = directory
        .read_if_present("cpuacct.usage_all")?
        .unwrap_or_default();
    for line in all.lines().skip(1) {
        let mut fields = line
            .split_ascii_whitespace()
            .skip(1)
            .map(|n| n.parse().unwrap_or(0));
        if let (Some(user), Some(kernel)) = (fields.next(), fields.next()) {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(kernel);
        }
    }
    Ok(usage)
}

fn cpuset(directory: &Directory<'_>) -> Result<Cpuset> {
    let read = |name: &str| number(directory, &format!("cpuset.{name}"));
    let level = directory.read_if_present("cpuset.sched_relax_domain_level")?;
    Ok(Cpuset {
        cpus: list(
            &directory
                .read_if_present("cpuset.cpus")?
                .unwrap_or_default(),
        ),
        cpu_exclusive: read("cpu_exclusive")?,
        mems: list(
            &directory
                .read_if_present("cpuset.mems")?
                .unwrap_or_default(),
        ),
        mem_hardwall: read("mem_hardwall")?,
        mem_exclusive: read("mem_exclusive")?,
        memory_migrate: read("memory_migrate")?,
        memory_spread_page: read("memory_spread_page")?,
        memory_spread_slab: read("memory_spread_slab")?,
        memory_pressure: read("memory_pressure")?,
        sched_load_balance: read("sched_load_balance")?,
        sched_relax_domain_level: level.and_then(|n| n.trim_ascii().parse().ok()).unwrap_or(0),
    })
}

/// `0-3,7` as numbers.
pub(super) fn list(text: &str) -> Vec<u16> {
    let mut numbers = Vec::new();
    for range in text
        .trim_ascii()
        .split(',')
        .filter(|range| !range.is_empty())
    {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            numbers.extend(first..=last);
        }
    }
    numbers
}

fn memory(directory: &Directory<'_>) -> Result<Memory> {
    let text = directory
        .read_if_present("memory.stat")?
        .unwrap_or_default();
    Ok(Memory {
        cache: counter(&text, "cache"),
        usage: memory_entry(directory, "memory")?,
        swap: memory_entry(directory, "memory.memsw")?,
        kernel: memory_entry(directory, "memory.kmem")?,
        kernel_tcp: memory_entry(directory, "memory.kmem.tcp")?,
        raw: named_numbers(&text)
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        psi: None,
    })
}

fn memory_entry(directory: &Directory<'_>, prefix: &str) -> Result<MemoryEntry> {
    let read = |name: &str| number(directory, &format!("{prefix}.{name}"));
    Ok(MemoryEntry {
        limit: read("limit_in_bytes")?,
        usage: read("usage_in_bytes")?,
        max: read("max_usage_in_bytes")?,
        failcnt: read("failcnt")?,
    })
}

fn block_io(directory: &Directory<'_>) -> Result<Blkio> {
    let weighed = |name: &str| entries(directory, &format!("blkio.bfq.{name}_recursive"));
    let mut io = Blkio {
        io_service_bytes_recursive: weighed("io_service_bytes")?,
        io_serviced_recursive: weighed("io_serviced")?,
        io_queued_recursive: weighed("io_queued")?,
        io_service_time_recursive: weighed("io_service_time")?,
        io_wait_time_recursive: weighed("io_wait_time")?,
        io_merged_recursive: weighed("io_merged")?,
        io_time_recursive: weighed("time")?,
        sectors_recursive: weighed("sectors")?,
        psi: None,
    };
    // Devices under another scheduler are counted where they are throttled.
    if io.io_serviced_recursive.is_empty() {
        let throttled =
            |name: &str| entries(directory, &format!("blkio.throttle.{name}_recursive"));
        io.io_service_bytes_recursive = throttled("io_service_bytes")?;
        io.io_serviced_recursive = throttled("io_serviced")?;
    }
    Ok(io)
}

/// Lines `major:minor [operation] number`; the last one is the sum over devices.
fn entries(directory: &Directory<'_>, name: &str) -> Result<Vec<BlkioEntry>> {
    let text = directory.read_if_present(name)?.unwrap_or_default();
    Ok(text.lines().filter_map(entry).collect())
}

fn entry(line: &str) -> Option<BlkioEntry> {
    let mut fields = line.split_ascii_whitespace();
    let (major, minor) = fields.next()?.split_once(':')?;
    let next = fields.next()?;
    let (op, value) = match fields.next() {
        Some(value) => (next, value),
        None => ("", next),
    };
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn hugepages(directory: &Directory<'_>, size: &str) -> Result<Hugetlb> {
    let read = |name: &str| optional_number(directory, &format!("hugetlb.{size}.{name}"));
    // Reservations are counted since kernel 5.7.
    let prefix = if read("rsvd.usage_in_bytes")?.is_some() {
        "rsvd."
    } else {
        ""
    };
    let read = |name: &str| read(&format!("{prefix}{name}")).map(Option::unwrap_or_default);
    Ok(Hugetlb {
        usage: read("usage_in_bytes")?,
        max: read("max_usage_in_bytes")?,
        failcnt: read("failcnt")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_expanded() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list("\n"), [0_u16; 0]);
    }

    #[test]
    fn device_lines_have_an_operation_or_not() {
        let read = entry("254:0 Read 4096").unwrap();
        assert_eq!(
            (read.major, read.op.as_str(), read.value),
            (254, "Read", 4096)
        );
        assert_eq!(entry("254:0 7").unwrap().value, 7);
        assert_eq!(entry("Total 4096"), None);
    }
}
