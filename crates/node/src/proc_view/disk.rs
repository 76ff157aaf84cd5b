//! Disks: `diskstats`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::group::DiskUse;

/// What the container read and wrote, of the devices that the host's text names. How long it took
/// is not counted.
pub(super) fn diskstats(disks: &BTreeMap<(u32, u32), DiskUse>, host: &str) -> String {
    let mut text = String::new();
    for line in host.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(name)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        let Some(disk) = disks.get(&(major, minor)) else {
            continue;
        };
        let DiskUse {
            reads,
            read_bytes,
            writes,
            written_bytes,
        } = disk;
        let (read, written) = (read_bytes / 512, written_bytes / 512);
        // A write to a string cannot fail.
        let _ = writeln!(
            text,
            "{major:>4} {minor:>7} {name} {reads} 0 {read} 0 {writes} 0 {written} 0 0 0 0 0 0 0 0 0 0"
        );
    }
    text
}
