//! `spec`: writes a `config.json` to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use insula_container::spec::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, OCI_VERSION,
    Process, Resources, Rlimit, Root, Spec,
};
use insula_sys::rustix::process::{getegid, geteuid};

use super::failure::{Failure, Result};
use super::invocation::Invocation;

pub(crate) fn write(invocation: &Invocation<'_>) -> Result<u8> {
    let options = &invocation.parsed;
    let mut spec = example();
    if options.flag("rootless") {
        make_rootless(&mut spec, geteuid().as_raw(), getegid().as_raw());
    }
    let directory = options
        .value("bundle")
        .map(Path::new)
        .unwrap_or_else(|| Path::new(""));
    let path = directory.join(
        options
            .value("file")
            .unwrap_or_else(|| "config.json".as_ref()),
    );
    let fail = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Failure::new(format!("File {} exists. Remove it first", path.display()));
        }
        Failure::new(format!("write {}: {error}", path.display()))
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(fail)?;
    file.write_all(&tabbed(&spec)).map_err(fail)?;
    Ok(0)
}

/// JSON with one tab per level, as this file is usually written.
fn tabbed(spec: &Spec) -> Vec<u8> {
    use serde_json::ser::{PrettyFormatter, Serializer};
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    let mut serializer = Serializer::with_formatter(&mut text, formatter);
    // Maps have text keys and a vector takes every write: nothing here can fail.
    let written = serde::Serialize::serialize(spec, &mut serializer);
    debug_assert!(written.is_ok());
    text.push(b'\n');
    text
}

fn texts<const N: usize>(list: [&str; N]) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

fn paths<const N: usize>(list: [&str; N]) -> Vec<PathBuf> {
    list.into_iter().map(PathBuf::from).collect()
}

/// A shell with few capabilities in namespaces of its own, on a read-only root.
fn example() -> Spec {
    let few = || texts(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Spec {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(Process {
            terminal: true,
            args: texts(["sh"]),
            env: texts([
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ]),
            cwd: PathBuf::from("/"),
            capabilities: Some(Capabilities {
                bounding: few(),
                effective: few(),
                permitted: few(),
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit {
                kind: "RLIMIT_NOFILE".to_owned(),
                soft: 1024,
                hard: 1024,
            }],
            no_new_privileges: true,
            ..Process::default()
        }),
        root: Some(Root {
            path: PathBuf::from("rootfs"),
            readonly: true,
        }),
        hostname: Some("insula".to_owned()),
        mounts: mounts(),
        linux: Some(linux()),
        ..Spec::default()
    }
}

fn mounts() -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(source.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn linux() -> Linux {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let mut kinds = vec![Pid, Network, Ipc, Uts, Mount];
    // Version 1 hierarchies show the host's paths without one too, and tools expect them there.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        kinds.push(Cgroup);
    }
    Linux {
        resources: Some(Resources {
            devices: vec![DeviceRule {
                allow: false,
                access: Some("rwm".to_owned()),
                ..DeviceRule::default()
            }],
            ..Resources::default()
        }),
        namespaces: kinds.into_iter().map(new_namespace).collect(),
        masked_paths: paths([
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
        readonly_paths: paths([
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger",
        ]),
        ..Linux::default()
    }
}

fn new_namespace(kind: NamespaceKind) -> Namespace {
    Namespace { kind, path: None }
}

/// Root inside is the caller outside. A user namespace of one id can neither own a network nor
/// mount sysfs without it, know other groups, or set limits.
fn make_rootless(spec: &mut Spec, uid: u32, gid: u32) {
    for mount in &mut spec.mounts {
        if mount.destination == Path::new("/sys") {
            mount.kind = Some("none".to_owned());
            mount.source = Some(PathBuf::from("/sys"));
            mount.options = texts(["rbind", "nosuid", "noexec", "nodev", "ro"]);
        } else {
            mount
                .options
                .retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
        }
    }
    let linux = spec.linux.get_or_insert_default();
    linux
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(new_namespace(NamespaceKind::User));
    let only = |host_id| IdMapping {
        container_id: 0,
        host_id,
        size: 1,
    };
    linux.uid_mappings = vec![only(uid)];
    linux.gid_mappings = vec![only(gid)];
    linux.resources = None;
}

#[cfg(test)]
mod tests {
    use super::{example, make_rootless, tabbed};

    #[test]
    fn what_is_written_is_valid() {
        let mut spec = example();
        let text = tabbed(&spec);
        assert!(text.starts_with(b"{\n\t\"ociVersion\": \"1."));
        insula_container::spec::parse(&text).unwrap();
        make_rootless(&mut spec, 1000, 1000);
        insula_container::spec::parse(&tabbed(&spec)).unwrap();
    }
}
