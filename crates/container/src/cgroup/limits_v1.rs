//! The limits of version 1, whose names and units are those of the configuration.

use insula_sys::Errno;

use super::directory::Directory;
use super::limits::{swap_is_off, throttle_key, weight_line, write_interdependent};
use crate::error::{Context, Error, Result};
use crate::spec::{BlockIo, Cpu, Memory};

const LIMIT: &str = "memory.limit_in_bytes";
const SWAP_LIMIT: &str = "memory.memsw.limit_in_bytes";

pub(super) fn memory(directory: &Directory<'_>, memory: &Memory) -> Result<()> {
    let given = |number: Option<i64>| number.filter(|number| *number != 0);
    let mut limits = Vec::with_capacity(2);
    let mut swap = given(memory.swap);
    if let Some(limit) = given(memory.limit) {
        limits.push((LIMIT, limit.to_string()));
        // Without a limit of memory, one of memory+swap that is left over would still hold.
        if limit == -1 && swap.is_none() && directory.try_read(SWAP_LIMIT).is_ok() {
            swap = Some(-1);
        }
    }
    if let Some(swap) = swap {
        // Without swap accounting the file is missing.
        if directory.try_read(SWAP_LIMIT).is_ok() || !swap_is_off() {
            limits.push((SWAP_LIMIT, swap.to_string()));
        }
    }
    write_interdependent(directory, &limits).map_err(|error| explain_busy(directory, error))?;
    if let Some(reservation) = given(memory.reservation) {
        directory.write("memory.soft_limit_in_bytes", &reservation.to_string())?;
    }
    if memory.disable_oom_killer == Some(true) {
        directory.write("memory.oom_control", "1")?;
    }
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            return Err(Error::new(format!(
                "memory.swappiness {swappiness} is above 100"
            )));
        }
        directory.write("memory.swappiness", &swappiness.to_string())?;
    }
    kernel_memory(directory, memory)
}

/// The limits of kernel memory went with kernel 6.1 and are not recommended by the specification;
/// every cgroup accounts hierarchically since kernel 5.11.
fn kernel_memory(directory: &Directory<'_>, memory: &Memory) -> Result<()> {
    let files = [
        (
            "memory.kmem.limit_in_bytes",
            memory.kernel.map(|n| n.to_string()),
        ),
        (
            "memory.kmem.tcp.limit_in_bytes",
            memory.kernel_tcp.map(|n| n.to_string()),
        ),
        (
            "memory.use_hierarchy",
            memory.use_hierarchy.map(|on| u8::from(on).to_string()),
        ),
    ];
    for (name, value) in files {
        let Some(value) = value.filter(|value| name.ends_with("hierarchy") || value != "0") else {
            continue;
        };
        match directory.try_write(name, &value) {
            Err(Errno::NOENT | Errno::OPNOTSUPP) => {}
            // The value it has already, which cannot be changed below a parent that has it.
            Err(Errno::BUSY | Errno::INVAL) if name.ends_with("hierarchy") => {}
            other => other
                .step(|| format!("write \"{value}\" to {name} of cgroup {}", directory.path()))?,
        }
    }
    Ok(())
}

fn explain_busy(directory: &Directory<'_>, error: Error) -> Error {
    if error.errno() != Some(Errno::BUSY) {
        return error;
    }
    let number = |name| directory.try_read(name).unwrap_or_default();
    let (usage, peak) = (
        number("memory.usage_in_bytes"),
        number("memory.max_usage_in_bytes"),
    );
    error.hint(format!(
        "the container uses {} bytes (peak {}), and not enough of it can be reclaimed",
        usage.trim_ascii(),
        peak.trim_ascii()
    ))
}

pub(super) fn asks_cpu(cpu: &Cpu) -> bool {
    let unsigned = [cpu.shares, cpu.period, cpu.realtime_period];
    unsigned.iter().flatten().any(|number| *number != 0)
        || [cpu.quota, cpu.realtime_runtime]
            .iter()
            .flatten()
            .any(|number| *number != 0)
        || cpu.burst.is_some()
        || cpu.idle.is_some()
}

pub(super) fn cpu(directory: &Directory<'_>, cpu: &Cpu) -> Result<()> {
    let unsigned = |number: Option<u64>| number.filter(|n| *n != 0).map(|n| n.to_string());
    let signed = |number: Option<i64>| number.filter(|n| *n != 0).map(|n| n.to_string());
    let idle = cpu.idle.filter(|idle| *idle != 0);
    // The weight of an idle group is fixed (EINVAL).
    let shares = cpu.shares.filter(|_| idle.is_none());
    let values = [
        ("cpu.idle", cpu.idle.map(|idle| idle.to_string())),
        ("cpu.shares", unsigned(shares)),
        ("cpu.cfs_period_us", unsigned(cpu.period)),
        ("cpu.cfs_quota_us", signed(cpu.quota)),
        ("cpu.cfs_burst_us", cpu.burst.map(|burst| burst.to_string())),
        ("cpu.rt_period_us", unsigned(cpu.realtime_period)),
        ("cpu.rt_runtime_us", signed(cpu.realtime_runtime)),
    ];
    let values: Vec<_> = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    write_interdependent(directory, &values)
}

pub(super) fn asks_io(io: &BlockIo) -> bool {
    let lists = [
        &io.throttle_read_bps_device,
        &io.throttle_write_bps_device,
        &io.throttle_read_iops_device,
        &io.throttle_write_iops_device,
    ];
    io.weight.unwrap_or(0) != 0
        || io.leaf_weight.unwrap_or(0) != 0
        || !io.weight_device.is_empty()
        || lists.iter().any(|list| !list.is_empty())
}

pub(super) fn block_io(directory: &Directory<'_>, io: &BlockIo) -> Result<()> {
    let given = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    if let Some(weight) = given(io.weight) {
        write_weight(directory, "weight", &weight.to_string())?;
    }
    if let Some(weight) = given(io.leaf_weight) {
        write_weight(directory, "leaf_weight", &weight.to_string())?;
    }
    for device in &io.weight_device {
        if let Some(weight) = given(device.weight) {
            write_weight(directory, "weight_device", &weight_line(device, weight))?;
        }
        if let Some(weight) = given(device.leaf_weight) {
            write_weight(
                directory,
                "leaf_weight_device",
                &weight_line(device, weight),
            )?;
        }
    }
    let throttles = [
        ("read_bps", &io.throttle_read_bps_device),
        ("write_bps", &io.throttle_write_bps_device),
        ("read_iops", &io.throttle_read_iops_device),
        ("write_iops", &io.throttle_write_iops_device),
    ];
    for (name, devices) in throttles {
        for device in devices {
            let line = format!("{} {}", throttle_key(device), device.rate);
            directory.write(&format!("blkio.throttle.{name}_device"), &line)?;
        }
    }
    Ok(())
}

/// The scheduler that can weigh was CFQ, and is BFQ since kernel 5.0.
fn write_weight(directory: &Directory<'_>, name: &str, value: &str) -> Result<()> {
    for file in [format!("blkio.{name}"), format!("blkio.bfq.{name}")] {
        if directory.write_if_present(&file, value)? {
            return Ok(());
        }
    }
    Err(Error::new(format!("this kernel has no blkio.{name}"))
        .hint("block devices are weighed by the BFQ scheduler, which this kernel lacks"))
}
