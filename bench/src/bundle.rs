//! The bundles that are run: the default `runc spec` with a static `/bin/true`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The root file system: busybox, which is what the reference figures were taken with, and the
/// smallest static program for where memory is counted.
pub(crate) fn make_rootfs(directory: &Path, busybox: &Path, smallest: &Path) -> Result<PathBuf> {
    let rootfs = directory.join("rootfs");
    let programs = rootfs.join("bin");
    fs::create_dir_all(&programs)?;
    for name in ["proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(rootfs.join(name))?;
    }
    fs::copy(busybox, programs.join("busybox")).context("copy the static busybox")?;
    fs::copy(smallest, programs.join("smallest")).context("copy the smallest program")?;
    for name in ["true", "sh", "sleep", "cat"] {
        symlink("busybox", programs.join(name))?;
    }
    Ok(rootfs)
}

/// Writes a bundle that runs `command` on the root file system; `change` may alter the config.
pub(crate) fn write(
    directory: &Path,
    rootfs: &Path,
    command: &[&str],
    change: impl FnOnce(&mut Value),
) -> Result<String> {
    fs::create_dir_all(directory)?;
    let mut config = standard(rootfs, command);
    change(&mut config);
    fs::write(directory.join("config.json"), config.to_string())?;
    Ok(directory
        .to_str()
        .context("the directory's name is not UTF-8")?
        .to_owned())
}

/// What `runc spec` of version 1.1 writes on a host with cgroups of version 1, not interactive.
fn standard(rootfs: &Path, command: &[&str]) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": command,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": rootfs, "readonly": true},
        "hostname": "bench",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
    ])
}
