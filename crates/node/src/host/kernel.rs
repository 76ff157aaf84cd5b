//! Version, namespaces, seccomp, security modules, hardware virtualisation.

use insula_sys::rustix::fs::{Access, access};
use insula_sys::rustix::system::uname;

use super::probe::{NAMESPACES, try_in_child};
use super::{Check, Verdict, read_trimmed};

/// `6.18.44-cloud`, as uname(2) says it.
#[must_use]
pub fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// The first two numbers of a release.
fn numbers(release: &str) -> (u32, u32) {
    let mut parts = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

pub(super) fn version() -> Check {
    let release = release();
    let lost = match numbers(&release) {
        // openat2(2) holds every path below the root file system.
        older if older < (5, 6) => {
            return Check::new(
                "kernel",
                Verdict::Fail,
                release,
                "containers: 5.6 is the oldest kernel that resolves paths safely",
            );
        }
        older if older < (5, 12) => "id-mapped mounts (5.12)",
        older if older < (5, 14) => "killing a whole cgroup at once (5.14)",
        _ => return Check::ok("kernel", release),
    };
    Check::new("kernel", Verdict::Warn, release, lost)
}

pub(super) fn namespaces() -> Vec<Check> {
    NAMESPACES.iter().map(|(name, _)| namespace(name)).collect()
}

fn namespace(name: &'static str) -> Check {
    let check_name = format!("namespace-{name}");
    let Err(reason) = try_in_child("namespace", name) else {
        return Check::ok(check_name, "works");
    };
    // A container is at least a tree of mounts and of processes of its own; the rest is asked for.
    let (verdict, lost) = match name {
        "mount" | "pid" => (Verdict::Fail, "containers"),
        "user" => (
            Verdict::Warn,
            "containers whose root is not the host's root",
        ),
        "network" => (Verdict::Warn, "containers with a network of their own"),
        "time" => (Verdict::Warn, "containers with clocks of their own"),
        _ => (Verdict::Warn, "containers whose configuration asks for it"),
    };
    let check = Check::new(check_name, verdict, reason, lost);
    match name {
        "user" if read_trimmed("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") => {
            check.fix("sysctl -w user.max_user_namespaces=15000")
        }
        "user" => match read_trimmed("/proc/sys/kernel/unprivileged_userns_clone").as_deref() {
            Some("0") => check.fix("sysctl -w kernel.unprivileged_userns_clone=1"),
            _ => check,
        },
        _ if !super::process::is_root() => check.fix("sudo insula doctor"),
        _ => check,
    }
}

pub(super) fn seccomp() -> Check {
    let Some(actions) = read_trimmed("/proc/sys/kernel/seccomp/actions_avail") else {
        return Check::new(
            "seccomp",
            Verdict::Fail,
            "the kernel has no seccomp filters",
            "the system call filter that every container gets",
        );
    };
    if actions.split(' ').any(|action| action == "user_notif") {
        return Check::ok("seccomp", "filters and notification");
    }
    Check::new(
        "seccomp",
        Verdict::Warn,
        actions,
        "SCMP_ACT_NOTIFY (kernel 5.0)",
    )
}

/// AppArmor and SELinux are optional: a configuration that names a label fails without them.
pub(super) fn security_modules() -> Check {
    const LOST: &str = "AppArmor and SELinux labels";
    let Some(modules) = read_trimmed("/sys/kernel/security/lsm") else {
        let found = "securityfs is not mounted, or the kernel has no security modules";
        return Check::new("security-modules", Verdict::Skip, found, LOST);
    };
    let has_labels = modules
        .split(',')
        .any(|module| matches!(module, "apparmor" | "selinux"));
    if has_labels {
        Check::ok("security-modules", modules)
    } else {
        Check::new("security-modules", Verdict::Skip, modules, LOST)
    }
}

pub(super) fn virtualisation() -> Check {
    let name = "kvm";
    match access("/dev/kvm", Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => Check::ok(name, "/dev/kvm can be opened"),
        Err(error) if error == insula_sys::Errno::ACCESS => Check::new(
            name,
            Verdict::Skip,
            "/dev/kvm: permission denied",
            "nothing yet: machines are not built",
        )
        .fix("sudo usermod -aG kvm $USER"),
        Err(_) => Check::new(
            name,
            Verdict::Skip,
            "no /dev/kvm",
            "nothing yet: machines are not built",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn releases_are_compared_by_their_first_two_numbers() {
        assert_eq!(numbers("6.18.44-cloud-amd64"), (6, 18));
        assert_eq!(numbers("5.4"), (5, 4));
        assert_eq!(numbers("unknown"), (0, 0));
    }
}
