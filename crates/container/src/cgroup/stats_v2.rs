//! Reads the counters of version 2 into the shape of version 1's.

use super::directory::Directory;
use super::oom::counter;
use super::stats::{
    BlkioEntry, Hugetlb, MemoryEntry, Pressure, PressureLine, Stats, named_numbers, number,
    optional_number,
};
use crate::error::Result;

const NANOSECONDS_PER_MICROSECOND: u64 = 1000;

pub(super) fn read(directory: &Directory<'_>, stats: &mut Stats) -> Result<()> {
    cpu(directory, stats)?;
    memory(directory, stats)?;
    pids(directory, stats)?;
    io(directory, stats)?;
    for size in page_sizes() {
        let name = |name: &str| format!("hugetlb.{size}.{name}");
        // Reservations are counted since kernel 5.7.
        let usage = match optional_number(directory, &name("rsvd.current"))? {
            None => optional_number(directory, &name("current"))?,
            usage => usage,
        };
        if let Some(usage) = usage {
            let events = directory
                .read_if_present(&name("events"))?
                .unwrap_or_default();
            let entry = Hugetlb {
                usage,
                max: 0,
                failcnt: counter(&events, "max"),
            };
            stats.hugetlb.insert(size, entry);
        }
    }
    Ok(())
}

fn cpu(directory: &Directory<'_>, stats: &mut Stats) -> Result<()> {
    let text = directory.read_if_present("cpu.stat")?.unwrap_or_default();
    let time = |name: &str| counter(&text, name) * NANOSECONDS_PER_MICROSECOND;
    stats.cpu.usage.total = time("usage_usec");
    stats.cpu.usage.user = time("user_usec");
    stats.cpu.usage.kernel = time("system_usec");
    stats.cpu.throttling.periods = counter(&text, "nr_periods");
    stats.cpu.throttling.throttled_periods = counter(&text, "nr_throttled");
    stats.cpu.throttling.throttled_time = time("throttled_usec");
    stats.cpu.psi = pressure(directory, "cpu.pressure")?;
    Ok(())
}

fn memory(directory: &Directory<'_>, stats: &mut Stats) -> Result<()> {
    stats.memory.psi = pressure(directory, "memory.pressure")?;
    let Some(text) = directory.read_if_present("memory.stat")? else {
        return Ok(());
    };
    let raw = named_numbers(&text).map(|(name, value)| (name.to_owned(), value));
    stats.memory.raw = raw.collect();
    stats.memory.cache = counter(&text, "file");
    let events = directory
        .read_if_present("memory.events")?
        .unwrap_or_default();
    let usage = MemoryEntry {
        limit: number(directory, "memory.max")?,
        usage: number(directory, "memory.current")?,
        max: number(directory, "memory.peak")?,
        failcnt: counter(&events, "max"),
    };
    // Version 1 counts memory and swap together, and has no such peak.
    if let Some(swap) = optional_number(directory, "memory.swap.current")? {
        let limit = number(directory, "memory.swap.max")?;
        stats.memory.swap = MemoryEntry {
            limit: limit.saturating_add(usage.limit),
            usage: swap.saturating_add(usage.usage),
            max: 0,
            failcnt: 0,
        };
    }
    stats.memory.usage = usage;
    Ok(())
}

fn pids(directory: &Directory<'_>, stats: &mut Stats) -> Result<()> {
    let Some(current) = optional_number(directory, "pids.current")? else {
        // Without the controller the list of processes is the best there is.
        let processes = directory
            .read_if_present("cgroup.procs")?
            .unwrap_or_default();
        stats.pids.current = u64::try_from(processes.lines().count()).unwrap_or(u64::MAX);
        return Ok(());
    };
    let limit = number(directory, "pids.max")?;
    stats.pids.current = current;
    stats.pids.limit = if limit == u64::MAX { 0 } else { limit };
    Ok(())
}

/// `io.stat`: `major:minor rbytes=1 wbytes=2 rios=3 wios=4 …` per device.
fn io(directory: &Directory<'_>, stats: &mut Stats) -> Result<()> {
    stats.blkio.psi = pressure(directory, "io.pressure")?;
    let text = directory.read_if_present("io.stat")?.unwrap_or_default();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let device = fields.next().and_then(|device| device.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (name, value) in fields.filter_map(|field| field.split_once('=')) {
            let (table, op) = match name {
                "rbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            table.push(BlkioEntry {
                major,
                minor,
                op: op.to_owned(),
                value: value.parse().unwrap_or(0),
            });
        }
    }
    Ok(())
}

/// Nothing where the kernel keeps no pressure (booted with psi=0: EOPNOTSUPP).
fn pressure(directory: &Directory<'_>, name: &str) -> Result<Option<Pressure>> {
    Ok(directory
        .read_if_present(name)?
        .map(|text| parse_pressure(&text)))
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`.
pub(super) fn parse_pressure(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let target = match fields.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        let mut parsed = PressureLine::default();
        for (name, value) in fields.filter_map(|field| field.split_once('=')) {
            match name {
                "avg10" => parsed.avg10 = value.parse().unwrap_or(0.0),
                "avg60" => parsed.avg60 = value.parse().unwrap_or(0.0),
                "avg300" => parsed.avg300 = value.parse().unwrap_or(0.0),
                "total" => parsed.total = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        *target = Some(parsed);
    }
    pressure
}

/// The sizes of huge pages, as the names of the files spell them (`2MB`).
pub(super) fn page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let sizes = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let kilobytes = name
            .to_str()?
            .strip_prefix("hugepages-")?
            .strip_suffix("kB")?;
        Some(size_name(kilobytes.parse().ok()?))
    });
    sizes.collect()
}

pub(super) fn size_name(kilobytes: u64) -> String {
    const KB_PER_MB: u64 = 1 << 10;
    const KB_PER_GB: u64 = 1 << 20;
    if kilobytes >= KB_PER_GB {
        format!("{}GB", kilobytes / KB_PER_GB)
    } else if kilobytes >= KB_PER_MB {
        format!("{}MB", kilobytes / KB_PER_MB)
    } else {
        format!("{kilobytes}KB")
    }
}
