//! `linux`: namespaces and everything that only makes sense inside one (config-linux.md).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::{
    Device, DeviceKind, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode,
    NamespaceKind, Spec,
};
use super::resources::check_resources;
use super::value::{absolute, interface_name, no_nul, number_list};
use super::{Check, ParseError, check_mappings, has_namespace};

pub(super) fn check_linux(spec: &Spec, linux: &Linux) -> Check {
    namespaces(linux)?;
    user_mappings(spec, linux)?;
    time_offsets(spec, linux)?;
    for (index, device) in linux.devices.iter().enumerate() {
        check_device(device).map_err(|error| error.within(|| format!("linux.devices[{index}]")))?;
    }
    network_devices(spec, linux)?;
    sysctl(spec, linux)?;
    paths(spec, linux)?;
    if let Some(path) = &linux.cgroups_path {
        cgroups_path(path)?;
    }
    if let Some(resources) = &linux.resources {
        check_resources("linux.resources.", resources)?;
    }
    if let Some(propagation) = &linux.rootfs_propagation {
        rootfs_propagation(propagation)?;
    }
    if let Some(label) = &linux.mount_label {
        no_nul(label, || "linux.mountLabel".to_owned())?;
    }
    if let Some(rdt) = &linux.intel_rdt {
        intel_rdt(rdt).map_err(|error| error.within(|| "linux.intelRdt".to_owned()))?;
    }
    if let Some(policy) = &linux.memory_policy {
        memory_policy(policy).map_err(|error| error.within(|| "linux.memoryPolicy".to_owned()))?;
    }
    if let Some(seccomp) = &linux.seccomp {
        for (index, rule) in seccomp.syscalls.iter().enumerate() {
            if rule.names.is_empty() {
                return Err(ParseError::at(
                    format!("linux.seccomp.syscalls[{index}].names"),
                    "at least one name is required",
                ));
            }
        }
    }
    if let Some(personality) = &linux.personality
        && let Some(flag) = personality.flags.first()
    {
        return Err(ParseError::at(
            "linux.personality.flags[0]",
            format!("`{flag}`: the specification defines no flags"),
        ));
    }
    Ok(())
}

fn namespaces(linux: &Linux) -> Check {
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let same = |other: &super::super::Namespace| other.kind == namespace.kind;
        if linux.namespaces[..index].iter().any(same) {
            return Err(ParseError::at(
                format!("linux.namespaces[{index}].type"),
                "the same type is given twice",
            ));
        }
        // Go producers write an absent path as an empty one.
        if let Some(path) = namespace
            .path
            .as_ref()
            .filter(|path| !path.as_os_str().is_empty())
        {
            absolute(path, || format!("linux.namespaces[{index}].path"))?;
        }
    }
    Ok(())
}

/// The path of a namespace to join, where there is one.
fn joined(linux: &Linux, kind: NamespaceKind) -> Option<&Path> {
    linux
        .namespaces
        .iter()
        .find(|namespace| namespace.kind == kind)
        .and_then(|namespace| namespace.path.as_deref())
        .filter(|path| !path.as_os_str().is_empty())
}

fn user_mappings(spec: &Spec, linux: &Linux) -> Check {
    let (uids, gids) = (&linux.uid_mappings, &linux.gid_mappings);
    if !has_namespace(spec, NamespaceKind::User) {
        let field = match (uids.is_empty(), gids.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => "linux.uidMappings",
            (true, false) => "linux.gidMappings",
        };
        return Err(ParseError::at(
            field,
            "user namespace mappings specified, but linux.namespaces has no user namespace",
        ));
    }
    check_mappings("linux.uidMappings", uids)?;
    check_mappings("linux.gidMappings", gids)
}

fn time_offsets(spec: &Spec, linux: &Linux) -> Check {
    if linux.time_offsets.is_empty() {
        return Ok(());
    }
    if !has_namespace(spec, NamespaceKind::Time) {
        return Err(ParseError::at(
            "linux.timeOffsets",
            "time offsets specified, but linux.namespaces has no time namespace",
        ));
    }
    if joined(linux, NamespaceKind::Time).is_some() {
        return Err(ParseError::at(
            "linux.timeOffsets",
            "the offsets of a joined time namespace cannot be set",
        ));
    }
    for (clock, offset) in &linux.time_offsets {
        if clock != "monotonic" && clock != "boottime" {
            return Err(ParseError::at(
                format!("linux.timeOffsets.{clock}"),
                "unknown clock: time namespaces have monotonic and boottime",
            ));
        }
        if offset.nanosecs > 999_999_999 {
            return Err(ParseError::at(
                format!("linux.timeOffsets.{clock}.nanosecs"),
                "must be at most 999999999",
            ));
        }
    }
    Ok(())
}

fn check_device(device: &Device) -> Check {
    absolute(&device.path, || "path".to_owned())?;
    if device.kind != DeviceKind::Fifo {
        // 12 and 20 bits: MAJOR and MINOR of the kernel's dev_t.
        for (field, value, most) in [
            ("major", device.major, 0xfff_i64),
            ("minor", device.minor, 0xf_ffff),
        ] {
            let Some(value) = value else {
                return Err(ParseError::at(
                    field,
                    "missing: a device has numbers".to_owned(),
                ));
            };
            if !(0..=most).contains(&value) {
                return Err(ParseError::at(field, format!("must be from 0 to {most}")));
            }
        }
    }
    // Producers pass the mode of stat(2), so the bits of the file type are let through.
    if device.file_mode.is_some_and(|mode| mode > 0o177_777) {
        return Err(ParseError::at(
            "fileMode",
            "must be at most 65535 (0177777)",
        ));
    }
    Ok(())
}

fn network_devices(spec: &Spec, linux: &Linux) -> Check {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    if !has_namespace(spec, NamespaceKind::Network) {
        return Err(ParseError::at(
            "linux.netDevices",
            "unable to move network devices without a network namespace",
        ));
    }
    for (name, device) in &linux.net_devices {
        interface_name(name, || format!("linux.netDevices.{name}"))?;
        if let Some(inside) = device.name.as_deref().filter(|inside| !inside.is_empty()) {
            interface_name(inside, || format!("linux.netDevices.{name}.name"))?;
        }
    }
    Ok(())
}

/// Only what a namespace of the container keeps apart may be set: everything else is the host's.
fn sysctl(spec: &Spec, linux: &Linux) -> Check {
    for (key, value) in &linux.sysctl {
        let at = |reason: &str| ParseError::at(format!("linux.sysctl.{key}"), reason);
        no_nul(key, || format!("linux.sysctl.{key}"))?;
        no_nul(value, || format!("linux.sysctl.{key}"))?;
        let name = dotted(key);
        // An empty part is also what `..` leaves: the name must stay inside /proc/sys.
        if name.split(['.', '/']).any(str::is_empty) {
            return Err(at("not the name of a sysctl"));
        }
        match sysctl_namespace(&name) {
            Some(NamespaceKind::Network) => {
                if !has_namespace(spec, NamespaceKind::Network)
                    || joined(linux, NamespaceKind::Network).is_some_and(is_own_network)
                {
                    return Err(at("not allowed in host network namespace"));
                }
            }
            Some(NamespaceKind::Uts) if name == "kernel.hostname" => {
                return Err(at("conflicts with the field hostname: use that"));
            }
            Some(NamespaceKind::Uts)
                if spec
                    .domainname
                    .as_ref()
                    .is_some_and(|name| !name.is_empty() && name != value) =>
            {
                return Err(at("conflicts with the field domainname"));
            }
            Some(kind) if !has_namespace(spec, kind) => {
                return Err(at("not allowed in the host's namespace of that kind"));
            }
            Some(_) => {}
            None => return Err(at("is not in a separate kernel namespace")),
        }
    }
    Ok(())
}

/// The kind of namespace that keeps a sysctl apart.
fn sysctl_namespace(name: &str) -> Option<NamespaceKind> {
    match name {
        "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced" => Some(NamespaceKind::Ipc),
        "kernel.domainname" | "kernel.hostname" => Some(NamespaceKind::Uts),
        _ if name.starts_with("fs.mqueue.") => Some(NamespaceKind::Ipc),
        _ if name.starts_with("net.") => Some(NamespaceKind::Network),
        _ if name.starts_with("user.") => Some(NamespaceKind::User),
        _ => None,
    }
}

/// sysctl(8) takes both separators; where `/` comes first, dots belong to the names.
fn dotted(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(index) if key.as_bytes()[index] == b'/' => key
            .chars()
            .map(|char| match char {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// Whether the path leads to the network namespace that the runtime itself is in. A path that
/// cannot be read fails later, where it is joined.
fn is_own_network(path: &Path) -> bool {
    let identity = |path: &Path| {
        std::fs::metadata(path)
            .map(|found| (found.dev(), found.ino()))
            .ok()
    };
    let own = identity(Path::new("/proc/self/ns/net"));
    own.is_some() && own == identity(path)
}

fn paths(spec: &Spec, linux: &Linux) -> Check {
    let lists = [
        ("maskedPaths", &linux.masked_paths),
        ("readonlyPaths", &linux.readonly_paths),
    ];
    for (field, list) in lists {
        for (index, path) in list.iter().enumerate() {
            // A relative read-only path is taken from `/`, as other runtimes do; a relative mask that
            // missed what it was meant for would give a secret away.
            if field == "maskedPaths" || path.as_os_str().is_empty() {
                absolute(path, || format!("linux.{field}[{index}]"))?;
            }
        }
        if !list.is_empty() && !has_namespace(spec, NamespaceKind::Mount) {
            return Err(ParseError::at(
                format!("linux.{field}"),
                "unable to restrict paths without a private mount namespace",
            ));
        }
    }
    Ok(())
}

fn cgroups_path(path: &str) -> Check {
    no_nul(path, || "linux.cgroupsPath".to_owned())?;
    if path.split('/').any(|part| part == "..") {
        return Err(ParseError::at("linux.cgroupsPath", "must not contain `..`"));
    }
    Ok(())
}

fn rootfs_propagation(propagation: &str) -> Check {
    let known = [
        "",
        "shared",
        "slave",
        "private",
        "unbindable",
        "rshared",
        "rslave",
        "rprivate",
        "runbindable",
    ];
    if !known.contains(&propagation) {
        return Err(ParseError::at(
            "linux.rootfsPropagation",
            format!("`{propagation}` is not shared, slave, private or unbindable"),
        ));
    }
    Ok(())
}

fn intel_rdt(rdt: &IntelRdt) -> Check {
    if let Some(id) = rdt.clos_id.as_deref()
        && (id == "." || id == ".." || (id.len() > 1 && id.contains('/')) || id.contains('\0'))
    {
        return Err(ParseError::at(
            "closID",
            format!("`{id}` is not the name of a directory, nor `/`"),
        ));
    }
    let one_line = |text: &str| !text.contains(['\n', '\0']);
    if rdt
        .l3_cache_schema
        .as_deref()
        .is_some_and(|text| !one_line(text))
    {
        return Err(ParseError::at("l3CacheSchema", "must be one line"));
    }
    if let Some(schema) = rdt
        .mem_bw_schema
        .as_deref()
        .filter(|schema| !schema.is_empty())
        && !(schema.starts_with("MB:") && one_line(schema))
    {
        return Err(ParseError::at(
            "memBwSchema",
            "must be one line that starts with `MB:`",
        ));
    }
    match rdt.schemata.iter().position(|line| !one_line(line)) {
        Some(index) => Err(ParseError::at(
            format!("schemata[{index}]"),
            "must be one line",
        )),
        None => Ok(()),
    }
}

/// The rules of set_mempolicy(2).
fn memory_policy(policy: &MemoryPolicy) -> Check {
    use MemoryPolicyMode::{Default, Local, Preferred};
    if policy.nodes.is_empty() {
        if !matches!(policy.mode, Default | Local | Preferred) {
            return Err(ParseError::at("nodes", "this mode needs at least one node"));
        }
    } else {
        number_list(&policy.nodes, || "nodes".to_owned())?;
        if matches!(policy.mode, Default | Local) {
            return Err(ParseError::at("nodes", "must be empty for this mode"));
        }
    }
    let has = |flag: MemoryPolicyFlag| policy.flags.contains(&flag);
    if has(MemoryPolicyFlag::StaticNodes) && has(MemoryPolicyFlag::RelativeNodes) {
        return Err(ParseError::at(
            "flags",
            "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other",
        ));
    }
    Ok(())
}
