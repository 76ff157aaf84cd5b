//! Checks of a parsed [`Spec`] that its types cannot express.
//!
//! Every rule stops at the first violation and names the field by its full path, such as
//! `process.rlimits[1].type`. Paths are built only on failure: a good document costs comparisons.
//! What is merely unknown (a property, a capability) is not an error here.
//!
//! Start at [`check`]; `process.rs` serves `exec --process` too, `resources.rs` serves `update`.

mod linux;
mod process;
mod resources;
#[cfg(test)]
mod tests;
mod value;

use super::{Hook, Hooks, IdMapping, Mount, NamespaceKind, ParseError, Root, Spec};
use value::{absolute, environment, no_nul, no_nul_path};

pub(super) use process::check_process;
pub(super) use resources::check_resources;

pub(super) type Check = Result<(), ParseError>;

/// Checks the whole document.
pub(super) fn check(spec: &Spec) -> Check {
    oci_version(&spec.oci_version)?;
    root(spec.root.as_ref())?;
    if let Some(process) = &spec.process {
        check_process("process.", process)?;
    }
    host_names(spec)?;
    for (index, mount) in spec.mounts.iter().enumerate() {
        check_mount(mount, has_namespace(spec, NamespaceKind::User))
            .map_err(|error| error.within(|| format!("mounts[{index}]")))?;
    }
    if let Some(hooks) = &spec.hooks {
        check_hooks(hooks)?;
    }
    if spec.annotations.contains_key("") {
        return Err(ParseError::at("annotations", "a key must not be empty"));
    }
    if let Some(linux) = &spec.linux {
        linux::check_linux(spec, linux)?;
    }
    Ok(())
}

pub(super) fn has_namespace(spec: &Spec, kind: NamespaceKind) -> bool {
    spec.linux
        .as_ref()
        .is_some_and(|linux| linux.namespaces.iter().any(|entry| entry.kind == kind))
}

/// `ociVersion` is SemVer 2.0.0; versions of one major number are compatible (config.md).
fn oci_version(version: &str) -> Check {
    if version.is_empty() {
        return Err(ParseError::at("ociVersion", "must not be empty"));
    }
    let Some(major) = semantic_major(version) else {
        return Err(ParseError::at(
            "ociVersion",
            format!("`{version}` is not a SemVer 2.0.0 version"),
        ));
    };
    if major != "1" {
        return Err(ParseError::at(
            "ociVersion",
            format!(
                "`{version}` is not supported: this runtime implements {}",
                super::OCI_VERSION
            ),
        ));
    }
    Ok(())
}

/// The major number of a well-formed SemVer 2.0.0 version.
fn semantic_major(version: &str) -> Option<&str> {
    let (version, build) = cut(version, '+');
    let (triple, pre_release) = cut(version, '-');
    let identifiers_fit = |list: &str, numeric_rule: bool| {
        list.split('.').all(|identifier| {
            !identifier.is_empty()
                && identifier
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && (!numeric_rule
                    || !identifier.bytes().all(|byte| byte.is_ascii_digit())
                    || is_number(identifier))
        })
    };
    if build.is_some_and(|list| !identifiers_fit(list, false))
        || pre_release.is_some_and(|list| !identifiers_fit(list, true))
    {
        return None;
    }
    let mut numbers = triple.split('.');
    let major = numbers.next()?;
    let rest_fits = numbers.clone().count() == 2 && numbers.all(is_number);
    (is_number(major) && rest_fits).then_some(major)
}

fn cut(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Digits without a leading zero.
fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

fn root(root: Option<&Root>) -> Check {
    let Some(root) = root else {
        return Err(ParseError::at("root", "required, but missing"));
    };
    if root.path.as_os_str().is_empty() {
        return Err(ParseError::at("root.path", "must not be empty"));
    }
    no_nul_path(&root.path, || "root.path".to_owned())
}

/// Without a UTS namespace the names of the host itself would change.
fn host_names(spec: &Spec) -> Check {
    let names = [
        ("hostname", spec.hostname.as_deref()),
        ("domainname", spec.domainname.as_deref()),
    ];
    for (field, name) in names {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            continue;
        };
        no_nul(name, || field.to_owned())?;
        // __NEW_UTS_LEN of the kernel.
        if name.len() > 64 {
            return Err(ParseError::at(field, "must be at most 64 bytes long"));
        }
        if !has_namespace(spec, NamespaceKind::Uts) {
            return Err(ParseError::at(
                field,
                format!("unable to set {field} without a private UTS namespace"),
            ));
        }
    }
    Ok(())
}

fn check_mount(mount: &Mount, user_namespace: bool) -> Check {
    if mount.destination.as_os_str().is_empty() {
        return Err(ParseError::at("destination", "must not be empty"));
    }
    no_nul_path(&mount.destination, || "destination".to_owned())?;
    if let Some(source) = &mount.source {
        no_nul_path(source, || "source".to_owned())?;
    }
    if let Some(kind) = &mount.kind {
        no_nul(kind, || "type".to_owned())?;
    }
    for (index, option) in mount.options.iter().enumerate() {
        no_nul(option, || format!("options[{index}]"))?;
    }
    let has = |name: &str| mount.options.iter().any(|option| option == name);
    let bind = has("bind") || has("rbind") || mount.kind.as_deref() == Some("bind");
    if bind
        && mount
            .source
            .as_ref()
            .is_none_or(|path| path.as_os_str().is_empty())
    {
        return Err(ParseError::at("source", "required for a bind mount"));
    }
    if !bind && !has("remount") && mount.kind.as_deref().unwrap_or_default().is_empty() {
        return Err(ParseError::at(
            "type",
            "required unless `options` has `bind` or `rbind`",
        ));
    }
    mount_mappings(mount, user_namespace)
}

/// Both mappings or none; `idmap` without mappings falls back to those of the user namespace.
fn mount_mappings(mount: &Mount, user_namespace: bool) -> Check {
    match (mount.uid_mappings.is_empty(), mount.gid_mappings.is_empty()) {
        (false, true) => {
            return Err(ParseError::at(
                "gidMappings",
                "required along with uidMappings",
            ));
        }
        (true, false) => {
            return Err(ParseError::at(
                "uidMappings",
                "required along with gidMappings",
            ));
        }
        (true, true) => {
            let idmap = mount
                .options
                .iter()
                .position(|option| option == "idmap" || option == "ridmap");
            return match idmap {
                Some(index) if !user_namespace => Err(ParseError::at(
                    format!("options[{index}]"),
                    "an id-mapped mount needs uidMappings and gidMappings, or a user namespace",
                )),
                _ => Ok(()),
            };
        }
        (false, false) => {}
    }
    check_mappings("uidMappings", &mount.uid_mappings)?;
    check_mappings("gidMappings", &mount.gid_mappings)
}

/// What the kernel demands of `/proc/PID/uid_map`: ranges that are not empty, do not pass the last
/// id and overlap neither inside nor outside (user_namespaces(7)).
pub(super) fn check_mappings(field: &str, mappings: &[IdMapping]) -> Check {
    // UID_GID_MAP_MAX_EXTENTS since Linux 4.15.
    if mappings.len() > 340 {
        return Err(ParseError::at(field, "must have at most 340 entries"));
    }
    type Start = fn(&IdMapping) -> u32;
    let sides: [(&str, Start); 2] = [
        ("containerID", |mapping| mapping.container_id),
        ("hostID", |mapping| mapping.host_id),
    ];
    for (index, mapping) in mappings.iter().enumerate() {
        if mapping.size == 0 {
            return Err(ParseError::at(
                format!("{field}[{index}].size"),
                "must be above 0",
            ));
        }
        for (name, first) in sides {
            let start = first(mapping);
            let Some(last) = start.checked_add(mapping.size - 1) else {
                return Err(ParseError::at(
                    format!("{field}[{index}].size"),
                    format!("the range leaves the 32 bits of an id, counted from {name}"),
                ));
            };
            let overlaps = |other: &IdMapping| {
                first(other) <= last && start <= first(other).saturating_add(other.size - 1)
            };
            if let Some(earlier) = mappings[..index].iter().position(overlaps) {
                return Err(ParseError::at(
                    format!("{field}[{index}].{name}"),
                    format!("the range overlaps that of {field}[{earlier}]"),
                ));
            }
        }
    }
    Ok(())
}

fn check_hooks(hooks: &Hooks) -> Check {
    let kinds: [(&str, &[Hook]); 6] = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, list) in kinds {
        for (index, hook) in list.iter().enumerate() {
            check_hook(hook).map_err(|error| error.within(|| format!("hooks.{kind}[{index}]")))?;
        }
    }
    Ok(())
}

fn check_hook(hook: &Hook) -> Check {
    absolute(&hook.path, || "path".to_owned())?;
    for (index, argument) in hook.args.iter().enumerate() {
        no_nul(argument, || format!("args[{index}]"))?;
    }
    environment(&hook.env, || "env".to_owned())?;
    if hook.timeout.is_some_and(|seconds| seconds <= 0) {
        return Err(ParseError::at("timeout", "must be above 0 seconds"));
    }
    Ok(())
}
