//! `update`: other limits for a container, live.

use std::io::Read;
use std::path::Path;

use insula_container::spec::{self, BlockIo, Cpu, Memory, Pids, Resources};

use super::engine;
use super::failure::{Failure, Result};
use super::invocation::Invocation;
use super::options::Parsed;

pub(crate) fn update(invocation: &Invocation<'_>) -> Result<u8> {
    let parsed = &invocation.parsed;
    let resources = match parsed.text("resources")?.filter(|file| !file.is_empty()) {
        Some(file) => read(file)?,
        None => from_options(parsed)?,
    };
    let container = engine::container(invocation)?;
    container.update(&resources)?;
    let schemata = [
        parsed.text("l3-cache-schema")?,
        parsed.text("mem-bw-schema")?,
    ];
    for line in schemata
        .into_iter()
        .flatten()
        .filter(|line| !line.is_empty())
    {
        let Some(group) = &container.record.intel_rdt else {
            return Err(Failure::new(
                "updating a non-existent Intel RDT configuration is not supported",
            )
            .hint("linux.intelRdt must be there when the container is created"));
        };
        write_schema(group, line)?;
    }
    Ok(0)
}

fn read(file: &str) -> Result<Resources> {
    let mut json = Vec::new();
    let done = if file == "-" {
        std::io::stdin().read_to_end(&mut json).map(drop)
    } else {
        std::fs::read(file).map(|bytes| json = bytes)
    };
    done.map_err(|error| Failure::new(format!("read resources from {file}: {error}")))?;
    let resources = spec::parse_resources(&json)
        .map_err(|error| Failure::new(format!("resources from {file}: {error}")))?;
    Ok(completed(resources))
}

fn write_schema(group: &Path, line: &str) -> Result<()> {
    let file = group.join("schemata");
    std::fs::write(&file, format!("{line}\n"))
        .map_err(|error| Failure::new(format!("write `{line}` to {}: {error}", file.display())))
}

fn from_options(parsed: &Parsed) -> Result<Resources> {
    let shares = match parsed.number("cpu-share")? {
        None => parsed.number("cpu-shares")?,
        some => some,
    };
    let cpu = Cpu {
        shares,
        quota: parsed.number("cpu-quota")?,
        burst: parsed.number("cpu-burst")?,
        period: parsed.number("cpu-period")?,
        realtime_runtime: parsed.number("cpu-rt-runtime")?,
        realtime_period: parsed.number("cpu-rt-period")?,
        cpus: parsed.text("cpuset-cpus")?.map(str::to_owned),
        mems: parsed.text("cpuset-mems")?.map(str::to_owned),
        idle: parsed.number("cpu-idle")?,
    };
    let memory = Memory {
        limit: bytes(parsed, "memory")?,
        reservation: bytes(parsed, "memory-reservation")?,
        swap: bytes(parsed, "memory-swap")?,
        kernel: bytes(parsed, "kernel-memory")?,
        kernel_tcp: bytes(parsed, "kernel-memory-tcp")?,
        ..Memory::default()
    };
    let weight = parsed.number("blkio-weight")?;
    let limit = parsed.number("pids-limit")?;
    let resources = Resources {
        cpu: Some(cpu),
        memory: Some(memory),
        pids: limit.map(|limit| Pids { limit: Some(limit) }),
        block_io: weight.map(|weight| BlockIo {
            weight: Some(weight),
            ..BlockIo::default()
        }),
        ..Resources::default()
    };
    resources
        .check()
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(completed(resources))
}

/// Memory without a limit means swap without one: the kernel refuses less of both together than
/// of memory alone.
fn completed(mut resources: Resources) -> Resources {
    if let Some(memory) = &mut resources.memory
        && memory.limit == Some(-1)
        && memory.swap.is_none()
    {
        memory.swap = Some(-1);
    }
    resources
}

/// A number of bytes with a unit in powers of 1024: `512M`, `1.5g`, `64KiB`, `-1`.
fn bytes(parsed: &Parsed, option: &'static str) -> Result<Option<i64>> {
    let Some(text) = parsed.text(option)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    parse_bytes(text).map(Some).ok_or_else(|| {
        Failure::new(format!("invalid value for {option}: `{text}`"))
            .hint("a number of bytes with a unit, such as 512M or 1.5G, or -1 for no limit")
    })
}

fn parse_bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|char: char| !char.is_ascii_digit() && char != '.');
    let (number, unit) = lower.split_at(digits.unwrap_or(lower.len()));
    let unit = unit.trim_start();
    let unit = unit.strip_suffix('b').unwrap_or(unit);
    let unit = unit
        .strip_suffix('i')
        .filter(|unit| !unit.is_empty())
        .unwrap_or(unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let factor = 1_u64 << shift;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    // Nine digits behind the point are more than a byte of a tebibyte needs.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(factor) / u128::from(scale);
    i64::try_from(whole.checked_add(u64::try_from(part).ok()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::parse_bytes;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, number) in [
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("4096b", Some(4096)),
            ("1k", Some(1024)),
            ("1KB", Some(1024)),
            ("64KiB", Some(65_536)),
            ("512M", Some(536_870_912)),
            ("1.5g", Some(1_610_612_736)),
            ("2 GiB", Some(2_147_483_648)),
            ("8P", Some(9_007_199_254_740_992)),
            ("9000P", None),
            ("-2", None),
            ("", None),
            ("M", None),
            ("1x", None),
            ("1ib", None),
            ("1.2.3k", None),
        ] {
            assert_eq!(parse_bytes(text), number, "{text}");
        }
    }
}
