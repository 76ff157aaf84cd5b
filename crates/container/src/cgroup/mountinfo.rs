//! The slow way to the hierarchies: `/proc/self/mountinfo`, for hosts without the usual root.

use super::location::Hierarchy;
use crate::error::{Context, Result};

pub(super) fn hierarchies() -> Result<Vec<Hierarchy>> {
    let text = match std::fs::read_to_string("/proc/self/mountinfo") {
        // Without /proc there is nothing to find out, and a container without limits needs none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.step(|| "read /proc/self/mountinfo")?,
    };
    Ok(text.lines().filter_map(parse_line).collect())
}

/// `36 35 98:0 /root /mount options [tags…] - type source super-options` (proc_pid_mountinfo(5)).
fn parse_line(line: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mount = unescape(mount.split(' ').nth(4)?);
    let mut fields = file_system.split(' ');
    let kind = fields.next()?;
    let options = fields.nth(1)?;
    match kind {
        "cgroup2" => Some(Hierarchy {
            mount,
            controllers: None,
            unified: true,
        }),
        "cgroup" => Some(Hierarchy {
            mount,
            controllers: Some(controllers(options)),
            unified: false,
        }),
        _ => None,
    }
}

/// The options that name controllers, or the name of a hierarchy without any.
fn controllers(options: &str) -> String {
    let general = [
        "rw",
        "ro",
        "xattr",
        "noprefix",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
    ];
    let names = options
        .split(',')
        .filter(|option| !general.contains(option) && !option.starts_with("release_agent="))
        .map(|option| option.strip_prefix("name=").unwrap_or(option));
    names.collect::<Vec<_>>().join(",")
}

/// Undoes `\040` and its like.
fn unescape(text: &str) -> String {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (
            b'\\',
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ],
        ) = (first, tail)
        {
            result.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            result.push(*first);
        }
    }
    String::from_utf8_lossy(&result).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions_and_escapes() {
        let line = "32 31 0:29 / /mnt/a\\040b rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let found = parse_line(line).unwrap();
        assert_eq!(found.mount, "/mnt/a b");
        assert!(found.has("cpuacct") && !found.has("memory") && !found.unified);
        let line = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        assert!(parse_line(line).unwrap().unified);
        let line = "40 31 0:37 / /c/systemd rw - cgroup none rw,xattr,name=systemd";
        assert!(parse_line(line).unwrap().has("systemd"));
        assert_eq!(parse_line("40 31 0:37 / /c rw - tmpfs none rw"), None);
    }
}
