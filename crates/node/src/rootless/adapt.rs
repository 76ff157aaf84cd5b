//! What of a container's configuration cannot be in a user's namespace.

use insula_container::cgroup::Manager;
use insula_container::error::{Error, Result};
use insula_container::spec::Spec;
use insula_sys::user_namespace::Ids;

use super::home;
use crate::run::RunOptions;

/// The group of terminals in devpts.
const TTY_GROUP: u32 = 5;

/// Fits a configuration to the namespace, or says what it asks for in vain.
pub(crate) fn adapt(options: &RunOptions, is_system: bool, spec: &mut Spec) -> Result<()> {
    if home::is_system() {
        return Ok(());
    }
    if is_system && options.cgroup_manager == Manager::Disabled {
        return Err(
            Error::new("a whole system needs cgroups, which this user may not make")
                .hint("run it as root, or switch it off: --systemd=never"),
        );
    }
    check_limits(options)?;
    let ids = Ids::of_this_process();
    check_user(spec, ids)?;
    if !ids.contain((0, TTY_GROUP)) {
        for mount in &mut spec.mounts {
            if mount.kind.as_deref() == Some("devpts") {
                mount.options.retain(|option| !option.starts_with("gid="));
            }
        }
    }
    let setting = std::fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
    if setting.trim() == "deny"
        && let Some(process) = &mut spec.process
    {
        process.user.additional_gids.clear();
    }
    Ok(())
}

/// A limit that nobody holds would be worse than none.
fn check_limits(options: &RunOptions) -> Result<()> {
    if options.cgroup_manager != Manager::Disabled {
        return Ok(());
    }
    let weights = &options.weights;
    let asked = [
        ("--memory", options.memory_bytes.is_some()),
        ("--cpus", options.cpu_millis.is_some()),
        ("--pids-limit", options.pids.is_some_and(|limit| limit > 0)),
        (
            "--memory-reservation",
            weights.memory_reservation_bytes.is_some(),
        ),
        ("--memory-swap", weights.memory_swap_bytes.is_some()),
        ("--cpu-shares", weights.cpu_shares.is_some()),
        ("--cpuset-cpus", weights.cpus.is_some()),
    ];
    match asked.into_iter().find(|(_, is_asked)| *is_asked) {
        Some((option, _)) => Err(Error::new(format!(
            "{option} cannot be held: this user may not make cgroups"
        ))
        .hint("run it as root, or leave the limit out")),
        None => Ok(()),
    }
}

/// The user and the groups must have a number in the namespace.
fn check_user(spec: &Spec, ids: Ids) -> Result<()> {
    let Some(process) = &spec.process else {
        return Ok(());
    };
    let (uid, gid) = (process.user.uid, process.user.gid);
    let Ids::Namespace { users, groups } = ids else {
        return Ok(());
    };
    if ids.contain((uid, gid)) {
        return Ok(());
    }
    Err(Error::new(format!(
        "user {uid}:{gid} does not exist here: this user has {users} user ids and {groups} group ids"
    ))
    .hint("ranges of /etc/subuid and /etc/subgid give more: `insula doctor` shows the command"))
}

#[cfg(test)]
mod tests {
    use insula_container::spec::{Process, User};

    use super::*;

    #[test]
    fn limits_that_nobody_holds_are_refused() {
        let mut options = RunOptions::new("/", "i");
        options.cgroup_manager = Manager::Disabled;
        assert!(check_limits(&options).is_ok());
        options.memory_bytes = Some(1 << 20);
        let error = check_limits(&options).unwrap_err();
        assert!(error.chain().contains("--memory"), "{}", error.chain());
        options.cgroup_manager = Manager::Cgroupfs;
        assert!(check_limits(&options).is_ok());
    }

    #[test]
    fn users_without_a_number_are_refused() {
        let spec = |uid: u32| Spec {
            process: Some(Process {
                user: User {
                    uid,
                    ..User::default()
                },
                ..Process::default()
            }),
            ..Spec::default()
        };
        let one = Ids::Namespace {
            users: 1,
            groups: 1,
        };
        assert!(check_user(&spec(0), one).is_ok());
        let error = check_user(&spec(1000), one).unwrap_err();
        assert!(error.chain().contains("user 1000:0"), "{}", error.chain());
        let many = Ids::Namespace {
            users: 65_537,
            groups: 65_537,
        };
        assert!(check_user(&spec(1000), many).is_ok());
    }
}
