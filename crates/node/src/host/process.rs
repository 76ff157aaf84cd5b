//! What this process may do: user, capabilities, limits.

use insula_sys::rustix::process::{Resource, geteuid, getrlimit};

use super::{Check, Verdict, read_trimmed};

/// Bit numbers of linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;

pub(super) fn is_root() -> bool {
    geteuid().is_root()
}

pub(super) fn checks() -> Vec<Check> {
    let capabilities = effective_capabilities();
    vec![
        user(capabilities),
        sys_resource(capabilities),
        open_files(),
        user_namespaces(),
    ]
}

/// The effective set, as `/proc/self/status` prints it.
fn effective_capabilities() -> u64 {
    let status = read_trimmed("/proc/self/status").unwrap_or_default();
    parse_capabilities(&status).unwrap_or(0)
}

fn parse_capabilities(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn user(capabilities: u64) -> Check {
    if is_root() && capabilities & (1 << CAP_SYS_ADMIN) != 0 {
        return Check::ok("user", "root");
    }
    let found = if is_root() {
        "root without CAP_SYS_ADMIN"
    } else {
        "not root"
    };
    Check::new(
        "user",
        Verdict::Warn,
        found,
        "containers without a user namespace, the shared store",
    )
    .fix("sudo insula doctor")
}

fn sys_resource(capabilities: u64) -> Check {
    if capabilities & (1 << CAP_SYS_RESOURCE) != 0 {
        return Check::ok("cap-sys-resource", "held");
    }
    Check::new(
        "cap-sys-resource",
        Verdict::Warn,
        "not held",
        "raising hard limits: --ulimit above the caller's own hard limit fails",
    )
}

fn open_files() -> Check {
    const FEW: u64 = 1024;
    let limit = getrlimit(Resource::Nofile).current;
    let found = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    if limit.is_some_and(|limit| limit < FEW) {
        return Check::new(
            "open-files",
            Verdict::Warn,
            found,
            "images with deep directories",
        )
        .fix(format!("ulimit -n {FEW}"));
    }
    Check::ok("open-files", found)
}

fn user_namespaces() -> Check {
    match read_trimmed("/proc/sys/user/max_user_namespaces").as_deref() {
        Some("0") => Check::new(
            "max-user-namespaces",
            Verdict::Warn,
            "0",
            "containers whose root is not the host's root",
        )
        .fix("sysctl -w user.max_user_namespaces=15000"),
        Some(limit) => Check::ok("max-user-namespaces", limit),
        None => Check::new(
            "max-user-namespaces",
            Verdict::Skip,
            "the kernel does not say",
            "",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read_from_the_status_file() {
        let status = "Name:\tx\nCapPrm:\t0000000000000001\nCapEff:\t000001fffeffffff\n";
        let set = parse_capabilities(status).unwrap();
        assert_eq!(set & (1 << CAP_SYS_RESOURCE), 0);
        assert_ne!(set & (1 << CAP_SYS_ADMIN), 0);
        assert_eq!(parse_capabilities("Name: x"), None);
    }
}
