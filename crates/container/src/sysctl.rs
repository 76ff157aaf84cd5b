//! `linux.sysctl`: kernel parameters of the container's own namespaces.
//!
//! The specification's checks let through only parameters that a namespace of the container keeps
//! apart; any other would change the host. They are written below the container's /proc, once that
//! is known to be procfs.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use insula_sys::rustix::io::write;

use crate::error::{Context, Error, Result};
use crate::rootfs::tree::{Tree, is_on_proc};
use crate::spec::Linux;

/// One parameter: its path below /proc/sys and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    path: PathBuf,
    /// As in the configuration.
    name: String,
    value: String,
}

/// The settings of `linux`.
pub(crate) fn settings(linux: Option<&Linux>) -> Vec<Setting> {
    let entries = linux.map(|linux| linux.sysctl.iter()).into_iter().flatten();
    let setting = |(name, value): (&String, &String)| Setting {
        path: path_of(name),
        name: name.clone(),
        value: value.clone(),
    };
    entries.map(setting).collect()
}

/// Writes the settings; `root` is the container's root directory.
pub(crate) fn apply(settings: &[Setting], root: &Tree) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    let directory = root
        .find_literal(Path::new("proc/sys"))
        .step(|| "open /proc/sys")?;
    if !is_on_proc(&directory).step(|| "look at /proc/sys")? {
        return Err(
            Error::new("linux.sysctl: /proc of the container is not procfs")
                .hint("add a mount of type proc on /proc"),
        );
    }
    settings.iter().try_for_each(|setting| {
        write_setting(&directory, setting).step(|| {
            format!(
                "linux.sysctl: write {:?} to {}",
                setting.value, setting.name
            )
        })
    })
}

fn write_setting(directory: &OwnedFd, setting: &Setting) -> insula_sys::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let file = openat2(directory, &setting.path, flags, Mode::empty(), resolve)?;
    write(&file, setting.value.as_bytes()).map(drop)
}

/// Dots stand for slashes. Where slashes are used instead, a dot is part of a name:
/// `net/ipv4/conf/eno2.100/rp_filter` (sysctl.d(5)).
fn path_of(name: &str) -> PathBuf {
    let has_slashes = name
        .find(['.', '/'])
        .is_some_and(|first| name[first..].starts_with('/'));
    let swap = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    if has_slashes {
        PathBuf::from(name)
    } else {
        name.chars().map(swap).collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_lead_to_the_same_file() {
        let cases = [
            ("kernel.shmmni", "kernel/shmmni"),
            (
                "net/ipv4/conf/eno2.100/rp_filter",
                "net/ipv4/conf/eno2.100/rp_filter",
            ),
            (
                "net.ipv4.conf.eno2/100.rp_filter",
                "net/ipv4/conf/eno2.100/rp_filter",
            ),
        ];
        for (name, path) in cases {
            assert_eq!(path_of(name), Path::new(path), "{name}");
        }
    }
}
