//! Containers that hold a whole system: systemd, sysvinit or OpenRC as their first process.
//!
//! Such a system wants a cgroup subtree of its own that it may write to, file systems in memory
//! where it keeps what dies with it, a console, and to be told that it is in a container
//! (<https://systemd.io/CONTAINER_INTERFACE>). How it is asked to end is in [`super::init`].

use std::path::Path;

use insula_container::spec::{Mount, Namespace, NamespaceKind, Spec};
use insula_image::{Config, Image};

use super::options::RunOptions;
use super::policy::SystemMode;
use super::spec::arguments;

/// Programs that are a system's first process.
const INITS: [&str; 5] = ["init", "systemd", "openrc-init", "runit-init", "s6-svscan"];

/// What a system may do beyond a program. In a PID namespace reboot(2) ends the namespace and
/// nothing else; without it a reboot could not be told from an end.
const CAPABILITIES: [&str; 1] = ["CAP_SYS_BOOT"];

/// Places of a system's own state that is not kept.
const IN_MEMORY: [(&str, &[&str]); 3] = [
    ("/run", &["nosuid", "nodev", "mode=755"]),
    ("/run/lock", &["nosuid", "nodev", "noexec", "mode=1777"]),
    ("/tmp", &["nosuid", "nodev", "mode=1777"]),
];

/// Whether these options and this program mean a system.
pub(crate) fn is_meant(mode: SystemMode, arguments: &[String]) -> bool {
    match mode {
        SystemMode::Yes => true,
        SystemMode::No => false,
        SystemMode::Auto => {
            let name = arguments
                .first()
                .and_then(|program| Path::new(program).file_name());
            name.is_some_and(|name| INITS.iter().any(|init| name == *init))
        }
    }
}

/// Gives a system its console, whether or not somebody sits at it from the beginning.
pub(crate) fn settle(options: &mut RunOptions, image: &Image) {
    if is_asked_for(options, &image.config.config) {
        options.terminal = true;
        options.interactive = true;
    }
}

/// Whether a container of these options and this image holds a system.
pub(crate) fn is_asked_for(options: &RunOptions, image: &Config) -> bool {
    // What names no program is refused elsewhere.
    arguments(options, image).is_ok_and(|arguments| is_meant(options.system, &arguments))
}

/// The capabilities that a system has more than a program.
pub(super) fn capabilities(dropped: &[String]) -> Vec<String> {
    let is_all = dropped.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let added = CAPABILITIES.iter().filter(|_| !is_all);
    added.map(|name| (*name).to_owned()).collect()
}

/// Gives the container with this identifier what a system needs.
pub(crate) fn adapt(spec: &mut Spec, id: &str) {
    add_mounts(&mut spec.mounts);
    if let Some(process) = &mut spec.process {
        process.env.push("container=insula".to_owned());
        if let Some(uuid) = uuid(id) {
            process.env.push(format!("container_uuid={uuid}"));
        }
    }
    if let Some(linux) = &mut spec.linux {
        let has = |kind| {
            linux
                .namespaces
                .iter()
                .any(|namespace| namespace.kind == kind)
        };
        if !has(NamespaceKind::Cgroup) {
            linux.namespaces.push(Namespace {
                kind: NamespaceKind::Cgroup,
                path: None,
            });
        }
    }
}

/// What systemd makes `/etc/machine-id` of: the same in each run of a guest, another one for each.
fn uuid(id: &str) -> Option<String> {
    let digits = id.get(..32)?;
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts: Vec<&str> = parts
        .iter()
        .filter_map(|(from, to)| digits.get(*from..*to))
        .collect();
    Some(parts.join("-"))
}

fn add_mounts(mounts: &mut Vec<Mount>) {
    for mount in mounts.iter_mut() {
        // Its own subtree, which the cgroup namespace makes the root of.
        if mount.kind.as_deref() == Some("cgroup") {
            mount.options.retain(|option| option != "ro");
            mount.options.push("rw".to_owned());
        }
    }
    for (place, options) in IN_MEMORY {
        let destination = Path::new(place);
        if mounts.iter().any(|mount| mount.destination == destination) {
            continue;
        }
        let mount = Mount {
            destination: destination.to_owned(),
            kind: Some("tmpfs".to_owned()),
            source: Some("tmpfs".into()),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        };
        // Before what the user mounts below it.
        let below = mounts
            .iter()
            .position(|mount| mount.destination.starts_with(destination));
        mounts.insert(below.unwrap_or(mounts.len()), mount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inits_are_known_by_name() {
        let words = |program: &str| vec![program.to_owned(), "--x".to_owned()];
        for init in ["/sbin/init", "/lib/systemd/systemd", "openrc-init"] {
            assert!(is_meant(SystemMode::Auto, &words(init)), "{init}");
        }
        assert!(!is_meant(SystemMode::Auto, &words("/bin/sh")));
        assert!(!is_meant(SystemMode::Auto, &[]));
        assert!(is_meant(SystemMode::Yes, &words("/bin/sh")));
        assert!(!is_meant(SystemMode::No, &words("/sbin/init")));
    }

    #[test]
    fn what_the_user_mounts_stays_and_is_not_covered() {
        let mount = |destination: &str| Mount {
            destination: destination.into(),
            kind: Some("bind".to_owned()),
            ..Mount::default()
        };
        let mut mounts = vec![mount("/run"), mount("/tmp/socket")];
        add_mounts(&mut mounts);
        let places = mounts
            .iter()
            .map(|mount| mount.destination.display().to_string());
        assert_eq!(
            places.collect::<Vec<_>>(),
            ["/run", "/tmp", "/tmp/socket", "/run/lock"]
        );
    }

    #[test]
    fn a_guest_s_identifier_is_its_machine_s() {
        let id = "0123456789abcdef0123456789abcdef".repeat(2);
        assert_eq!(uuid(&id).unwrap(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(uuid("short"), None);
    }

    #[test]
    fn who_drops_all_capabilities_gets_none() {
        assert_eq!(capabilities(&["NET_RAW".to_owned()]), ["CAP_SYS_BOOT"]);
        assert_eq!(capabilities(&["all".to_owned()]), [""; 0]);
    }
}
