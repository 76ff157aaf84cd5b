//! Limits as properties of a unit, so that systemd knows them and keeps them when it reloads.
//!
//! What systemd has no property for, or rounds, is written to the files afterwards all the same.

use std::collections::BTreeMap;

use super::super::devices::{Kind, MKNOD, READ, Rule, Table, WRITE, ordered};
use super::super::limits_v2::{io_weight, swap_alone, weight_of_shares};
use super::wire::Value;
use crate::error::{Error, Result};
use crate::spec::{Cpu, Memory, Resources};

pub(super) type Property = (String, Value);

const DEFAULT_PERIOD_US: u64 = 100_000;
/// systemd keeps quotas as whole percents of a processor.
const QUOTA_STEP_US: u64 = 10_000;

/// Processor numbers above this are no processor's, and would make a bitmap without bound.
const CPU_MAX: usize = 65_535;

/// The properties for `resources`, in a host's version.
pub(super) fn limits(resources: &Resources, unified: bool) -> Result<Vec<Property>> {
    let mut list = List::default();
    if let Some(memory) = &resources.memory {
        list.memory(memory, unified)?;
    }
    if let Some(cpu) = &resources.cpu {
        list.cpu(cpu, unified)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        // Zero is nothing systemd knows.
        list.number("TasksMax", or_infinity(limit).max(1));
    }
    let weight = resources.block_io.as_ref().and_then(|io| io.weight);
    if let Some(weight) = weight.filter(|weight| *weight != 0) {
        if unified {
            list.number("IOWeight", io_weight(weight));
        } else {
            list.number("BlockIOWeight", weight.into());
        }
    }
    for (name, value) in &resources.unified {
        list.unified(name, value.trim_ascii())?;
    }
    Ok(list.0)
}

fn or_infinity(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[derive(Default)]
struct List(Vec<Property>);

impl List {
    fn number(&mut self, name: &str, value: u64) {
        self.0.push((name.to_owned(), Value::U64(value)));
    }

    fn memory(&mut self, memory: &Memory, unified: bool) -> Result<()> {
        let given = |number: Option<i64>| number.filter(|number| *number != 0);
        let limit = given(memory.limit);
        if let Some(limit) = limit {
            let name = if unified { "MemoryMax" } else { "MemoryLimit" };
            self.number(name, or_infinity(limit));
        }
        if !unified {
            return Ok(());
        }
        if let Some(reservation) = given(memory.reservation) {
            self.number("MemoryLow", or_infinity(reservation));
        }
        match (limit, given(memory.swap)) {
            (Some(limit), Some(swap)) => {
                self.number("MemorySwapMax", or_infinity(swap_alone(swap, limit)?));
            }
            (None, Some(-1)) | (Some(-1), None) => self.number("MemorySwapMax", u64::MAX),
            _ => {}
        }
        Ok(())
    }

    fn cpu(&mut self, cpu: &Cpu, unified: bool) -> Result<()> {
        let idle = cpu.idle == Some(1);
        if idle && unified {
            // systemd 252 sets cpu.idle for this.
            self.number("CPUWeight", 0);
        }
        if let Some(shares) = cpu.shares.filter(|shares| *shares != 0 && !idle) {
            if unified {
                self.number("CPUWeight", weight_of_shares(shares));
            } else {
                self.number("CPUShares", shares);
            }
        }
        self.bandwidth(cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
        if unified {
            self.set_of("AllowedCPUs", cpu.cpus.as_deref())?;
            self.set_of("AllowedMemoryNodes", cpu.mems.as_deref())?;
        }
        Ok(())
    }

    fn bandwidth(&mut self, quota: i64, period: u64) {
        if period != 0 {
            self.number("CPUQuotaPeriodUSec", period);
        }
        if quota == 0 {
            return;
        }
        let period = if period == 0 {
            DEFAULT_PERIOD_US
        } else {
            period
        };
        let per_second = u64::try_from(quota).map_or(u64::MAX, |quota| {
            (quota.saturating_mul(1_000_000) / period)
                .checked_next_multiple_of(QUOTA_STEP_US)
                .unwrap_or(u64::MAX)
        });
        self.number("CPUQuotaPerSecUSec", per_second);
    }

    fn set_of(&mut self, name: &str, list: Option<&str>) -> Result<()> {
        if let Some(list) = list.filter(|list| !list.trim_ascii().is_empty()) {
            self.0.push((name.to_owned(), Value::Bytes(bitmap(list)?)));
        }
        Ok(())
    }

    fn unified(&mut self, name: &str, value: &str) -> Result<()> {
        let property = match name {
            "memory.high" => "MemoryHigh",
            "memory.low" => "MemoryLow",
            "memory.min" => "MemoryMin",
            "memory.max" => "MemoryMax",
            "memory.swap.max" => "MemorySwapMax",
            "pids.max" => "TasksMax",
            "cpu.weight" => "CPUWeight",
            "cpuset.cpus" => return self.set_of("AllowedCPUs", Some(value)),
            "cpuset.mems" => return self.set_of("AllowedMemoryNodes", Some(value)),
            "cpu.max" => {
                let mut words = value.split_ascii_whitespace();
                let quota = words
                    .next()
                    .and_then(|word| word.parse().ok())
                    .unwrap_or(-1);
                let period = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                self.bandwidth(quota, period);
                return Ok(());
            }
            // Written to the file alone.
            _ => return Ok(()),
        };
        let number = match value {
            "max" => Ok(u64::MAX),
            number => number.parse(),
        };
        match number {
            Ok(number) => self.number(property, number),
            Err(_) => {
                return Err(Error::new(format!(
                    "linux.resources.unified: {name} \"{value}\" is not a number"
                )));
            }
        }
        Ok(())
    }
}

/// `0-1,8` as bits, the lowest first.
pub(super) fn bitmap(list: &str) -> Result<Vec<u8>> {
    let invalid = || {
        Error::new(format!(
            "\"{list}\" is not a list of processors or memory nodes"
        ))
    };
    let mut bits = Vec::new();
    for range in list
        .split(',')
        .map(str::trim_ascii)
        .filter(|range| !range.is_empty())
    {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            return Err(invalid());
        };
        if first > last || last > CPU_MAX {
            return Err(invalid());
        }
        if bits.len() <= last / 8 {
            bits.resize(last / 8 + 1, 0_u8);
        }
        (first..=last).for_each(|number| bits[number / 8] |= 1 << (number % 8));
    }
    if bits.is_empty() {
        Err(invalid())
    } else {
        Ok(bits)
    }
}

/// systemd knows only lists of what is allowed. Rules that are none leave everything to the filter
/// (version 2) or deny everything until the files are written (version 1).
pub(super) fn devices(resources: &Resources, unified: bool) -> Result<Vec<Property>> {
    let clear = ("DeviceAllow".to_owned(), Value::Pairs(Vec::new()));
    let policy = |policy: &str| ("DevicePolicy".to_owned(), Value::Text(policy.to_owned()));
    let table = match Table::new(&ordered(&resources.devices)?) {
        Ok(table) => table,
        Err(_) if unified => return Ok(vec![clear, policy("auto")]),
        Err(error) => return Err(error),
    };
    if table.allow {
        let open = unified || table.exceptions.is_empty();
        return Ok(vec![clear, policy(if open { "auto" } else { "strict" })]);
    }
    let list = table.exceptions.iter().filter_map(device_entry).collect();
    Ok(vec![
        clear,
        policy("strict"),
        ("DeviceAllow".to_owned(), Value::Pairs(list)),
    ])
}

/// `/dev/char/1:3` or `char-136` or `char-*`; a minor of any major cannot be said.
fn device_entry(rule: &Rule) -> Option<(String, String)> {
    let kind = if rule.kind == Some(Kind::Block) {
        "block"
    } else {
        "char"
    };
    let node = match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{major}"),
        (None, None) => format!("{kind}-*"),
        (None, Some(_)) => return None,
    };
    let mut access = String::new();
    for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
        if rule.access & bit != 0 {
            access.push(letter);
        }
    }
    Some((node, access))
}

const ANNOTATION_PREFIX: &str = "org.systemd.property.";

/// Properties from annotations: `org.systemd.property.TimeoutStopUSec: uint64 5`.
pub(super) fn annotated(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(ANNOTATION_PREFIX) else {
            continue;
        };
        let invalid = |what| Error::new(format!("annotation {key}={text:?}: {what}"));
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(invalid("not the name of a property"));
        }
        let value = parse_value(text.trim_ascii()).ok_or_else(|| invalid("not a value"))?;
        // systemd documents "…Sec" and takes "…USec" on the bus.
        match name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')) {
            None => list.push((name.to_owned(), value)),
            Some(stem) => {
                let value =
                    microseconds(&value).ok_or_else(|| invalid("not a number of seconds"))?;
                list.push((format!("{stem}USec"), Value::U64(value)));
            }
        }
    }
    Ok(list)
}

fn microseconds(seconds: &Value) -> Option<u64> {
    let whole = match seconds {
        Value::I32(value) => u64::try_from(*value).ok()?,
        Value::I64(value) => u64::try_from(*value).ok()?,
        Value::U32(value) => (*value).into(),
        Value::U64(value) => *value,
        Value::F64(value) => {
            let text = format!("{:.0}", value * 1e6);
            return text.parse().ok();
        }
        _ => return None,
    };
    whole.checked_mul(1_000_000)
}

/// The text form of a value (as in `gdbus` and `busctl`): what units take, not all of it.
fn parse_value(text: &str) -> Option<Value> {
    if let "true" | "false" = text {
        return Some(Value::Bool(text == "true"));
    }
    if text.starts_with(['\'', '"']) {
        return quoted(text)
            .filter(|(_, rest)| rest.is_empty())
            .map(|(text, _)| Value::Text(text));
    }
    if let Some(list) = text.strip_prefix('[') {
        return parse_list(list.strip_suffix(']')?.trim_ascii());
    }
    match text
        .split_once(' ')
        .map(|(kind, number)| (kind, number.trim_ascii()))
    {
        Some(("byte" | "uint16" | "uint32", number)) => number.parse().ok().map(Value::U32),
        Some(("int16" | "int32", number)) => number.parse().ok().map(Value::I32),
        Some(("int64", number)) => number.parse().ok().map(Value::I64),
        Some(("uint64", number)) => number.parse().ok().map(Value::U64),
        Some(("double", number)) => number.parse().ok().map(Value::F64),
        Some(("string", text)) => parse_value(text),
        Some(_) => None,
        None if text.contains('.') => text.parse().ok().map(Value::F64),
        None => text.parse().ok().map(Value::I32),
    }
}

fn parse_list(mut rest: &str) -> Option<Value> {
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (text, after) = quoted(rest)?;
        texts.push(text);
        let after = after.trim_ascii_start();
        rest = if after.is_empty() {
            after
        } else {
            after.strip_prefix(',')?.trim_ascii_start()
        };
    }
    Some(Value::Texts(texts))
}

/// A text in quotes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'))?;
    let mut result = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => result.push(characters.next()?.1),
            end if end == quote => return Some((result, &text[at + 1..])),
            other => result.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: &str) -> Resources {
        serde_json::from_str(json).unwrap()
    }

    fn number(list: &[Property], name: &str) -> Option<u64> {
        list.iter()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| match value {
                Value::U64(value) => Some(*value),
                _ => None,
            })
    }

    #[test]
    fn limits_become_properties() {
        let asked = resources(
            r#"{"memory": {"limit": 1000, "swap": 1500}, "pids": {"limit": 0},
                "cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "0,9"},
                "unified": {"memory.high": "max", "io.max": "8:0 rbps=1"}}"#,
        );
        let list = limits(&asked, true).unwrap();
        for (name, value) in [
            ("MemoryMax", 1000),
            ("MemorySwapMax", 500),
            ("TasksMax", 1),
            ("CPUWeight", 100),
            ("CPUQuotaPeriodUSec", 100_000),
            ("CPUQuotaPerSecUSec", 130_000),
            ("MemoryHigh", u64::MAX),
        ] {
            assert_eq!(number(&list, name), Some(value), "{name}");
        }
        assert!(list.contains(&("AllowedCPUs".to_owned(), Value::Bytes(vec![1, 2]))));
        let list = limits(&asked, false).unwrap();
        assert_eq!(number(&list, "MemoryLimit"), Some(1000));
        assert_eq!(number(&list, "CPUShares"), Some(1024));
    }

    #[test]
    fn device_rules_become_a_list() {
        let asked = resources(
            r#"{"devices": [{"allow": false}, {"allow": true, "type": "b", "major": 8,
                             "access": "r"}]}"#,
        );
        let list = devices(&asked, true).unwrap();
        assert_eq!(list[1].1, Value::Text("strict".to_owned()));
        let Value::Pairs(pairs) = &list[2].1 else {
            panic!("{list:?}")
        };
        assert_eq!(pairs[0], ("block-8".to_owned(), "r".to_owned()));
        assert!(pairs.contains(&("/dev/char/1:3".to_owned(), "rwm".to_owned())));
        let everything = resources(r#"{"devices": [{"allow": true}]}"#);
        assert_eq!(
            devices(&everything, false).unwrap()[1].1,
            Value::Text("auto".to_owned())
        );
    }

    #[test]
    fn annotations_become_properties() {
        let annotate = |name: &str, value: &str| {
            let key = format!("org.systemd.property.{name}");
            annotated(&BTreeMap::from([(key, value.to_owned())]))
        };
        for (name, text, value) in [
            ("KillMode", "'mixed'", Value::Text("mixed".to_owned())),
            ("SendSIGKILL", "true", Value::Bool(true)),
            ("CollectMode", "\"it's\"", Value::Text("it's".to_owned())),
            (
                "After",
                "['a', \"b\"]",
                Value::Texts(vec!["a".to_owned(), "b".to_owned()]),
            ),
            ("CPUShares", "uint64 5", Value::U64(5)),
            ("OOMScoreAdjust", "-7", Value::I32(-7)),
        ] {
            assert_eq!(annotate(name, text).unwrap(), [(name.to_owned(), value)]);
        }
        let usec = [("TimeoutStopUSec".to_owned(), Value::U64(1_500_000))];
        assert_eq!(annotate("TimeoutStopSec", "1.5").unwrap(), usec);
        for (name, text) in [
            ("a.b", "1"),
            ("KillMode", "mixed"),
            ("KillMode", "'x"),
            ("A", "1"),
        ] {
            assert!(annotate(name, text).is_err(), "{name} {text}");
        }
    }

    #[test]
    fn lists_become_bitmaps_of_bounded_size() {
        assert_eq!(bitmap("0-2, 8").unwrap(), [0b111, 1]);
        for wrong in ["", ",", "2-1", "x", "0-4000000000"] {
            assert!(bitmap(wrong).is_err(), "{wrong}");
        }
    }
}
