//! Containers that hold a whole system: systemd, sysvinit or OpenRC as their first process.
//!
//! Such a system wants a cgroup subtree of its own that it may write to, file systems in memory
//! where it keeps what dies with it, and to be told that it is in a container
//! (<https://systemd.io/CONTAINER_INTERFACE>).

use std::path::Path;

use insula_container::spec::{Mount, Namespace, NamespaceKind, Spec};

use super::policy::SystemMode;

/// Programs that are a system's first process.
const INITS: [&str; 5] = ["init", "systemd", "openrc-init", "runit-init", "s6-svscan"];

/// Places of a system's own state that is not kept.
const IN_MEMORY: [(&str, &str); 3] = [
    ("/run", "mode=755"),
    ("/run/lock", "mode=1777"),
    ("/tmp", "mode=1777"),
];

/// Whether these options and this program mean a system.
pub(crate) fn is_meant(mode: SystemMode, arguments: Option<&[String]>) -> bool {
    match mode {
        SystemMode::Yes => true,
        SystemMode::No => false,
        SystemMode::Auto => {
            let program = arguments.and_then(<[String]>::first);
            let name = program.and_then(|program| Path::new(program).file_name());
            name.is_some_and(|name| INITS.iter().any(|init| name == *init))
        }
    }
}

pub(crate) fn is_wanted(mode: SystemMode, spec: &Spec) -> bool {
    let process = spec.process.as_ref();
    is_meant(mode, process.map(|process| process.args.as_slice()))
}

/// Gives the container what a system needs.
pub(crate) fn adapt(spec: &mut Spec) {
    add_mounts(&mut spec.mounts);
    if let Some(process) = &mut spec.process {
        process.env.push("container=insula".to_owned());
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

fn add_mounts(mounts: &mut Vec<Mount>) {
    for mount in mounts.iter_mut() {
        // Its own subtree, which the cgroup namespace makes the root of.
        if mount.kind.as_deref() == Some("cgroup") {
            mount.options.retain(|option| option != "ro");
            mount.options.push("rw".to_owned());
        }
    }
    for (place, mode) in IN_MEMORY {
        let destination = Path::new(place);
        if mounts.iter().any(|mount| mount.destination == destination) {
            continue;
        }
        mounts.push(Mount {
            destination: destination.to_owned(),
            kind: Some("tmpfs".to_owned()),
            source: Some("tmpfs".into()),
            options: ["nosuid", "nodev", mode].map(str::to_owned).to_vec(),
            ..Mount::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inits_are_known_by_name() {
        let words = |program: &str| vec![program.to_owned(), "--x".to_owned()];
        for init in ["/sbin/init", "/lib/systemd/systemd", "openrc-init"] {
            assert!(is_meant(SystemMode::Auto, Some(&words(init))), "{init}");
        }
        assert!(!is_meant(SystemMode::Auto, Some(&words("/bin/sh"))));
        assert!(is_meant(SystemMode::Yes, Some(&words("/bin/sh"))));
        assert!(!is_meant(SystemMode::No, Some(&words("/sbin/init"))));
    }

    #[test]
    fn what_the_user_mounts_stays() {
        let mut mounts = vec![Mount {
            destination: "/run".into(),
            kind: Some("bind".to_owned()),
            ..Mount::default()
        }];
        add_mounts(&mut mounts);
        let places = mounts
            .iter()
            .map(|mount| mount.destination.display().to_string());
        assert_eq!(places.collect::<Vec<_>>(), ["/run", "/run/lock", "/tmp"]);
    }
}
