//! `linux.resources`: limits that no controller would take (config-linux.md, Control groups).

use super::super::{BlockIo, Cpu, DeviceRule, Memory, Resources};
use super::value::{no_nul, number_list};
use super::{Check, ParseError};

/// Checks resources; `prefix` stands before each field name (`linux.resources.`, or nothing for
/// the document of `update`).
pub(in super::super) fn check_resources(prefix: &str, resources: &Resources) -> Check {
    check(resources).map_err(|error| ParseError {
        field: format!("{prefix}{}", error.field),
        reason: error.reason,
    })
}

fn check(resources: &Resources) -> Check {
    for (index, rule) in resources.devices.iter().enumerate() {
        device_rule(rule).map_err(|error| error.within(|| format!("devices[{index}]")))?;
    }
    if let Some(limits) = &resources.memory {
        memory(limits)?;
    }
    if let Some(limits) = &resources.cpu {
        cpu(limits)?;
    }
    if resources
        .pids
        .as_ref()
        .and_then(|pids| pids.limit)
        .is_some_and(|limit| limit < -1)
    {
        return Err(ParseError::at(
            "pids.limit",
            "must be -1 (no limit) or more",
        ));
    }
    if let Some(limits) = &resources.block_io {
        block_io(limits)?;
    }
    for (index, limit) in resources.hugepage_limits.iter().enumerate() {
        let field = || format!("hugepageLimits[{index}].pageSize");
        page_size(&limit.page_size, field)?;
        let same = |other: &super::super::HugepageLimit| other.page_size == limit.page_size;
        if resources.hugepage_limits[..index].iter().any(same) {
            return Err(ParseError::at(field(), "the same size is given twice"));
        }
    }
    if let Some(network) = &resources.network
        && let Some(index) = network
            .priorities
            .iter()
            .position(|entry| entry.name.is_empty() || entry.name.contains(['\0', '\n', ' ']))
    {
        return Err(ParseError::at(
            format!("network.priorities[{index}].name"),
            "not the name of a network interface",
        ));
    }
    for (device, limit) in &resources.rdma {
        no_nul(device, || format!("rdma.{device}"))?;
        if limit.hca_handles.is_none() && limit.hca_objects.is_none() {
            return Err(ParseError::at(
                format!("rdma.{device}"),
                "needs hcaHandles, hcaObjects or both",
            ));
        }
    }
    unified(resources)
}

fn device_rule(rule: &DeviceRule) -> Check {
    // Go producers write an absent type or access as an empty string.
    if let Some(kind) = rule.kind.as_deref()
        && !["", "a", "b", "c"].contains(&kind)
    {
        return Err(ParseError::at(
            "type",
            format!("`{kind}` is not `a`, `b` or `c`"),
        ));
    }
    if let Some(access) = rule.access.as_deref()
        && access.bytes().any(|letter| !b"rwm".contains(&letter))
    {
        return Err(ParseError::at(
            "access",
            format!("`{access}` is not made of `r`, `w` and `m`"),
        ));
    }
    for (field, number) in [("major", rule.major), ("minor", rule.minor)] {
        if number.is_some_and(|number| number < -1) {
            return Err(ParseError::at(field, "must be -1 (all) or more"));
        }
    }
    Ok(())
}

fn memory(limits: &Memory) -> Check {
    let fields = [
        ("limit", limits.limit),
        ("reservation", limits.reservation),
        ("swap", limits.swap),
        ("kernel", limits.kernel),
        ("kernelTCP", limits.kernel_tcp),
    ];
    for (field, value) in fields {
        if value.is_some_and(|bytes| bytes < -1) {
            return Err(ParseError::at(
                format!("memory.{field}"),
                "must be -1 (no limit) or more",
            ));
        }
    }
    // 200 since Linux 5.8 for zswap and zram.
    if limits.swappiness.is_some_and(|percent| percent > 200) {
        return Err(ParseError::at("memory.swappiness", "must be from 0 to 200"));
    }
    Ok(())
}

fn cpu(limits: &Cpu) -> Check {
    if limits.idle.is_some_and(|idle| !(0..=1).contains(&idle)) {
        return Err(ParseError::at("cpu.idle", "must be 0 or 1"));
    }
    for (field, list) in [("cpus", &limits.cpus), ("mems", &limits.mems)] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            number_list(list, || format!("cpu.{field}"))?;
        }
    }
    Ok(())
}

fn block_io(limits: &BlockIo) -> Check {
    let weight_fits = |weight: Option<u16>| weight.is_none_or(|weight| weight <= 1000);
    if !weight_fits(limits.weight) {
        return Err(ParseError::at("blockIO.weight", "must be at most 1000"));
    }
    if !weight_fits(limits.leaf_weight) {
        return Err(ParseError::at("blockIO.leafWeight", "must be at most 1000"));
    }
    for (index, device) in limits.weight_device.iter().enumerate() {
        let at = |field: &str, reason: &'static str| {
            ParseError::at(format!("blockIO.weightDevice[{index}]{field}"), reason)
        };
        device_numbers(device.major, device.minor)
            .map_err(|error| error.within(|| format!("blockIO.weightDevice[{index}]")))?;
        if device.weight.is_none() && device.leaf_weight.is_none() {
            return Err(at("", "needs weight, leafWeight or both"));
        }
        if !weight_fits(device.weight) {
            return Err(at(".weight", "must be at most 1000"));
        }
        if !weight_fits(device.leaf_weight) {
            return Err(at(".leafWeight", "must be at most 1000"));
        }
    }
    let throttles = [
        ("throttleReadBpsDevice", &limits.throttle_read_bps_device),
        ("throttleWriteBpsDevice", &limits.throttle_write_bps_device),
        ("throttleReadIOPSDevice", &limits.throttle_read_iops_device),
        (
            "throttleWriteIOPSDevice",
            &limits.throttle_write_iops_device,
        ),
    ];
    for (field, list) in throttles {
        for (index, device) in list.iter().enumerate() {
            device_numbers(device.major, device.minor)
                .map_err(|error| error.within(|| format!("blockIO.{field}[{index}]")))?;
        }
    }
    Ok(())
}

fn device_numbers(major: i64, minor: i64) -> Check {
    for (field, number) in [("major", major), ("minor", minor)] {
        if number < 0 {
            return Err(ParseError::at(field, "must not be negative"));
        }
    }
    Ok(())
}

fn page_size(size: &str, field: impl FnOnce() -> String) -> Check {
    let number = ["KB", "MB", "GB"]
        .iter()
        .find_map(|unit| size.strip_suffix(unit));
    let fits = number.is_some_and(|number| {
        !number.starts_with('0')
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !fits {
        let reason = format!("`{size}` is not a number followed by KB, MB or GB");
        return Err(ParseError::at(field(), reason));
    }
    Ok(())
}

/// Keys are names of files in the container's own cgroup directory.
fn unified(resources: &Resources) -> Check {
    for (key, value) in &resources.unified {
        let field = || format!("unified.{key}");
        if key.is_empty() || key.contains('/') || !key.contains('.') {
            return Err(ParseError::at(
                field(),
                "not the name of a cgroup file, such as memory.high",
            ));
        }
        no_nul(key, field)?;
        no_nul(value, field)?;
    }
    Ok(())
}
