//! The ids of the user's namespace: 0 is the user, and the ranges of `/etc/subuid` and
//! `/etc/subgid` follow from 1 on, where the host grants any. Without them there is the user alone.

use std::path::Path;
use std::process::Command;

use insula_container::error::{Context, Error, Result};
use insula_sys::rustix::process::{getegid, geteuid};

use crate::host::subordinate;

/// Gives ids to the new namespace of the process `pid`, which waits.
pub(super) fn map(pid: i32) -> Result<()> {
    let granted = subordinate::granted();
    match granted {
        Some((users, groups)) => {
            run("newuidmap", pid, geteuid().as_raw(), &users)?;
            run("newgidmap", pid, getegid().as_raw(), &groups)
        }
        None => map_one(pid),
    }
}

/// Only the user: the kernel lets nobody without privilege map more (user_namespaces(7)).
fn map_one(pid: i32) -> Result<()> {
    let process = Path::new("/proc").join(pid.to_string());
    let write = |file: &str, text: String| {
        std::fs::write(process.join(file), text)
            .step(|| format!("write {file} of the user's namespace"))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {} 1", geteuid().as_raw()))?;
    write("gid_map", format!("0 {} 1", getegid().as_raw()))
}

/// Runs one of shadow-utils' programs, which have the privilege to map what was granted.
fn run(program: &str, pid: i32, own: u32, ranges: &[(u32, u32)]) -> Result<()> {
    let mut command = Command::new(subordinate::path(program));
    command.arg(pid.to_string());
    let mut next = 1_u64;
    let own = (0, own, 1);
    let ranges = ranges.iter().map(|(first, count)| {
        let inner = next;
        next += u64::from(*count);
        (inner, *first, *count)
    });
    for (inner, outer, count) in std::iter::once(own).chain(ranges) {
        command.args([inner.to_string(), outer.to_string(), count.to_string()]);
    }
    let output = command.output().step(|| format!("run {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("{program}: {}", text.trim()))
        .hint("look at your lines of /etc/subuid and /etc/subgid; `insula doctor` shows them"))
}
