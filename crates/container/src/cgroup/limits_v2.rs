//! The limits of version 2, and what the fields of the configuration (which are those of version 1)
//! mean there. What has no equivalent is an error (config-linux.md, Unified).

use insula_sys::Errno;

use super::directory::Directory;
use super::limits::{
    Purpose, number_or_max, swap_is_off, throttle_key, weight_line, write_interdependent,
};
use crate::error::{Context, Error, Result};
use crate::spec::{BlockIo, Cpu, Memory};

fn unsupported(field: &str) -> Error {
    Error::new(format!(
        "linux.resources.{field} has no equivalent in cgroup version 2"
    ))
}

pub(super) fn memory(directory: &Directory<'_>, memory: &Memory) -> Result<()> {
    if memory.swappiness.is_some() {
        return Err(unsupported("memory.swappiness"));
    }
    if memory.disable_oom_killer == Some(true) {
        return Err(unsupported("memory.disableOOMKiller"));
    }
    if memory.use_hierarchy == Some(false) {
        return Err(unsupported("memory.useHierarchy=false"));
    }
    let limit = memory.limit.filter(|limit| *limit != 0);
    let swap = memory.swap.filter(|swap| *swap != 0);
    check_before_update(directory, memory)?;
    let current_limit = || match directory.try_read("memory.max") {
        Ok(text) => text.trim_ascii().parse().unwrap_or(-1),
        Err(_) => -1,
    };
    let swap = match (limit, swap) {
        (limit, Some(swap)) => Some(swap_alone(swap, limit.unwrap_or_else(current_limit))?),
        (Some(-1), None) => Some(-1),
        _ => None,
    };
    if let Some(swap) = swap {
        let value = number_or_max(swap);
        if !directory.write_if_present("memory.swap.max", &value)? && swap > 0 && !swap_is_off() {
            return Err(Error::new("this kernel does not account swap")
                .hint("boot without swapaccount=0, or do not limit memory.swap"));
        }
    }
    if let Some(limit) = limit {
        directory.write("memory.max", &number_or_max(limit))?;
    }
    if let Some(reservation) = memory.reservation.filter(|reservation| *reservation != 0) {
        directory.write("memory.low", &number_or_max(reservation))?;
    }
    Ok(())
}

/// The configuration counts memory and swap together, version 2 swap alone.
pub(super) fn swap_alone(swap: i64, limit: i64) -> Result<i64> {
    if swap < 0 || limit < 0 {
        return Ok(swap);
    }
    if swap < limit {
        return Err(Error::new(format!(
            "memory.swap {swap} (memory and swap together) is below memory.limit {limit}"
        )));
    }
    Ok(swap - limit)
}

/// Version 1 refuses a limit below the usage; version 2 would kill for it.
pub(super) fn check_before_update(directory: &Directory<'_>, memory: &Memory) -> Result<()> {
    if !memory.check_before_update {
        return Ok(());
    }
    let text = directory.read_if_present("memory.current")?;
    let Some(usage) = text.and_then(|text| text.trim_ascii().parse::<i64>().ok()) else {
        return Ok(());
    };
    for (name, value) in [("memory.limit", memory.limit), ("memory.swap", memory.swap)] {
        if value.is_some_and(|value| value > 0 && value <= usage) {
            let value = value.unwrap_or(0);
            return Err(
                Error::new(format!("{name} {value} is not above the usage of {usage}"))
                    .hint("memory.checkBeforeUpdate demands that it is"),
            );
        }
    }
    Ok(())
}

pub(super) fn cpu(directory: &Directory<'_>, cpu: &Cpu, purpose: Purpose) -> Result<()> {
    if cpu.realtime_period.unwrap_or(0) != 0 || cpu.realtime_runtime.unwrap_or(0) != 0 {
        return Err(unsupported("cpu.realtimeRuntime"));
    }
    if let Some(idle) = cpu.idle {
        directory.write("cpu.idle", &idle.to_string())?;
    }
    // The weight of an idle group is fixed (EINVAL).
    let shares = cpu
        .shares
        .filter(|shares| *shares != 0 && cpu.idle.unwrap_or(0) == 0);
    if let Some(shares) = shares {
        directory.write("cpu.weight", &weight_of_shares(shares).to_string())?;
    }
    let mut values = Vec::with_capacity(2);
    if let Some(value) = bandwidth(directory, cpu, purpose) {
        values.push(("cpu.max", value));
    }
    if let Some(burst) = cpu.burst {
        values.push(("cpu.max.burst", burst.to_string()));
    }
    write_interdependent(directory, &values)
}

/// What goes to `cpu.max`. A quota alone leaves the period as it is; the kernel takes no period
/// alone.
fn bandwidth(directory: &Directory<'_>, cpu: &Cpu, purpose: Purpose) -> Option<String> {
    let quota = cpu.quota.filter(|quota| *quota != 0).map(number_or_max);
    let period = cpu.period.filter(|period| *period != 0);
    match (quota, period) {
        (Some(quota), Some(period)) => Some(format!("{quota} {period}")),
        (Some(quota), None) => Some(quota),
        (None, Some(period)) if purpose == Purpose::Create => Some(format!("max {period}")),
        (None, Some(period)) => {
            let text = directory.try_read("cpu.max").unwrap_or_default();
            let quota = text.split_ascii_whitespace().next().unwrap_or("max");
            Some(format!("{quota} {period}"))
        }
        (None, None) => None,
    }
}

/// Shares (2 to 262144, usually 1024) as weight (1 to 10000, usually 100): the quadratic through
/// the three pairs in logarithms, which other runtimes use too, so that neighbours stay in
/// proportion.
pub(super) fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    // Exact: below 2^18.
    let logarithm = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
    let exponent = (logarithm * logarithm + 125.0 * logarithm) / 612.0 - 7.0 / 34.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 10000 by the bounds above"
    )]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight
}

pub(super) fn block_io(directory: &Directory<'_>, io: &BlockIo) -> Result<()> {
    let given = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    let leaf = |weight: Option<u16>| given(weight).is_some();
    if leaf(io.leaf_weight)
        || io
            .weight_device
            .iter()
            .any(|device| leaf(device.leaf_weight))
    {
        return Err(unsupported("blockIO.leafWeight"));
    }
    if let Some(weight) = given(io.weight) {
        write_weight(directory, "", weight)?;
    }
    for device in &io.weight_device {
        if let Some(weight) = given(device.weight) {
            let line = weight_line(device, 0);
            let key = line.strip_suffix('0').unwrap_or(&line);
            write_weight(directory, key, weight)?;
        }
    }
    let throttles = [
        ("rbps", &io.throttle_read_bps_device),
        ("wbps", &io.throttle_write_bps_device),
        ("riops", &io.throttle_read_iops_device),
        ("wiops", &io.throttle_write_iops_device),
    ];
    for (name, devices) in throttles {
        for device in devices {
            // Version 2 knows no zero rate; in version 1 it lifted the limit.
            let rate = if device.rate == 0 {
                "max".to_owned()
            } else {
                device.rate.to_string()
            };
            directory.write("io.max", &format!("{} {name}={rate}", throttle_key(device)))?;
        }
    }
    Ok(())
}

/// BFQ takes the weight as it is; `io.weight` (iocost) has a wider range.
fn write_weight(directory: &Directory<'_>, key: &str, weight: u16) -> Result<()> {
    match directory.try_write("io.bfq.weight", &format!("{key}{weight}")) {
        // Kernels before 5.4 take no weight per device.
        Err(Errno::NOENT) => {}
        Err(Errno::INVAL) if !key.is_empty() => {}
        other => {
            return other.step(|| {
                format!(
                    "write \"{key}{weight}\" to io.bfq.weight of cgroup {}",
                    directory.path()
                )
            });
        }
    }
    let weight = io_weight(weight);
    directory.write("io.weight", &format!("{key}{weight}"))
}

/// A blkio weight (10 to 1000) as `io.weight` (1 to 10000), linearly.
pub(super) fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10) * 9999 / 990
}
