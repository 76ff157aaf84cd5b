//! `--security-opt`: the forms of docker and podman.
//!
//! A seccomp profile in a file may be docker's (with `includes`, `excludes` and `archMap`, which
//! depend on the container) or the runtime specification's; the first is turned into the second.

use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_container::seccomp::default_profile;
use insula_container::spec::{Capabilities, Seccomp};
use serde_json::{Value, json};

/// What the program is kept from beyond capabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Security {
    pub(super) no_new_privileges: bool,
    seccomp: SeccompChoice,
    pub(super) apparmor: Option<String>,
    pub(super) selinux: Option<String>,
    masked: Vec<PathBuf>,
    unmasked: Unmasked,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum SeccompChoice {
    #[default]
    Default,
    Unconfined,
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Unmasked {
    All,
    Paths(Vec<PathBuf>),
}

impl Default for Unmasked {
    fn default() -> Self {
        Self::Paths(Vec::new())
    }
}

impl Security {
    /// # Errors
    /// An option is unknown; the error lists what there is.
    pub(super) fn parse(options: &[String]) -> Result<Self> {
        let mut security = Self::default();
        let mut label = Label::default();
        for option in options {
            // docker still takes the colon of its first years.
            let (key, value) = option
                .split_once('=')
                .or_else(|| option.split_once(':'))
                .unwrap_or((option, ""));
            security.set(option, key, value, &mut label)?;
        }
        security.selinux = label.context();
        Ok(security)
    }

    fn set(&mut self, option: &str, key: &str, value: &str, label: &mut Label) -> Result<()> {
        let unknown = || {
            Error::new(format!("security option `{option}` is not known")).hint(
                "there are no-new-privileges, seccomp=unconfined|FILE, apparmor=PROFILE, \
                 label=disable|user:…|role:…|type:…|level:…, mask=PATH:…, unmask=ALL|PATH:…, \
                 systempaths=unconfined",
            )
        };
        match (key, value) {
            ("no-new-privileges", "" | "true") => self.no_new_privileges = true,
            ("no-new-privileges", "false") => self.no_new_privileges = false,
            ("seccomp", "") => return Err(unknown()),
            ("seccomp", "unconfined") => self.seccomp = SeccompChoice::Unconfined,
            ("seccomp", "builtin") => self.seccomp = SeccompChoice::Default,
            ("seccomp", file) => self.seccomp = SeccompChoice::File(file.into()),
            ("apparmor", "unconfined") => self.apparmor = None,
            ("apparmor", profile) if !profile.is_empty() => {
                self.apparmor = Some(profile.to_owned());
            }
            ("label", value) => label.set(value).ok_or_else(unknown)?,
            ("mask", paths) => self.masked.extend(absolute_paths(option, paths)?),
            ("unmask", all) if all.eq_ignore_ascii_case("all") => self.unmasked = Unmasked::All,
            ("systempaths", "unconfined") => self.unmasked = Unmasked::All,
            ("unmask", paths) => {
                let paths = absolute_paths(option, paths)?;
                if let Unmasked::Paths(unmasked) = &mut self.unmasked {
                    unmasked.extend(paths);
                }
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Nothing is hidden and nothing filtered, but for what was asked for by name.
    pub(super) fn open_all(&mut self) {
        self.unmasked = Unmasked::All;
        if self.seccomp == SeccompChoice::Default {
            self.seccomp = SeccompChoice::Unconfined;
        }
    }

    /// The paths of a default list that stay closed.
    pub(super) fn closed(&self, defaults: &[&str]) -> Vec<PathBuf> {
        let stays = |path: &&&str| match &self.unmasked {
            Unmasked::All => false,
            Unmasked::Paths(open) => !open.iter().any(|open| Path::new(path).starts_with(open)),
        };
        defaults.iter().filter(stays).map(PathBuf::from).collect()
    }

    /// Paths that were asked to be masked.
    pub(super) fn masked(&self) -> &[PathBuf] {
        &self.masked
    }

    /// The filter for a container with these capabilities.
    pub(super) fn seccomp(&self, capabilities: &Capabilities) -> Result<Option<Seccomp>> {
        let path = match &self.seccomp {
            SeccompChoice::Default => return Ok(Some(default_profile(&capabilities.bounding))),
            SeccompChoice::Unconfined => return Ok(None),
            SeccompChoice::File(path) => path,
        };
        let step = || format!("read the seccomp profile {}", path.display());
        let json = std::fs::read(path).step(step)?;
        let profile: Value = serde_json::from_slice(&json).step(step)?;
        let profile = settle(profile, &capabilities.bounding);
        serde_json::from_value(profile).step(step).map(Some)
    }
}

fn absolute_paths(option: &str, paths: &str) -> Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = paths.split(':').map(PathBuf::from).collect();
    if paths.iter().all(|path| path.is_absolute()) {
        return Ok(paths);
    }
    Err(Error::new(format!(
        "security option `{option}`: paths must be absolute"
    )))
}

/// The parts of an SELinux context.
#[derive(Debug, Default)]
struct Label {
    is_disabled: bool,
    user: Option<String>,
    role: Option<String>,
    kind: Option<String>,
    level: Option<String>,
}

impl Label {
    fn set(&mut self, text: &str) -> Option<()> {
        if text == "disable" {
            self.is_disabled = true;
            return Some(());
        }
        let (part, value) = text.split_once(':')?;
        let part = match part {
            "user" => &mut self.user,
            "role" => &mut self.role,
            "type" => &mut self.kind,
            "level" => &mut self.level,
            _ => return None,
        };
        *part = Some(value.to_owned());
        Some(())
    }

    fn context(self) -> Option<String> {
        let is_given = [&self.user, &self.role, &self.kind, &self.level]
            .into_iter()
            .any(Option::is_some);
        if self.is_disabled || !is_given {
            return None;
        }
        let or = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.to_owned());
        Some(format!(
            "{}:{}:{}:{}",
            or(self.user, "system_u"),
            or(self.role, "system_r"),
            or(self.kind, "container_t"),
            or(self.level, "s0")
        ))
    }
}

/// Decides docker's conditions for this container: rules that do not apply go, and `archMap`
/// becomes `architectures`.
fn settle(mut profile: Value, capabilities: &[String]) -> Value {
    if let Some(map) = profile.get_mut("archMap").map(Value::take)
        && profile.get("architectures").is_none_or(Value::is_null)
    {
        profile["architectures"] = json!(architectures(&map));
    }
    if let Some(object) = profile.as_object_mut() {
        object.remove("archMap");
    }
    if let Some(rules) = profile.get_mut("syscalls").and_then(Value::as_array_mut) {
        rules.retain(|rule| {
            holds(&rule["includes"], capabilities, true)
                && !holds(&rule["excludes"], capabilities, false)
        });
        for rule in rules {
            // The oldest form names one call instead of several.
            if let Some(name) = rule.get("name").cloned()
                && rule.get("names").is_none()
            {
                rule["names"] = json!([name]);
            }
        }
    }
    profile
}

fn architectures(map: &Value) -> Vec<Value> {
    let native = "SCMP_ARCH_X86_64";
    let entries = map.as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(own) = entries.iter().find(|entry| entry["architecture"] == native) else {
        return Vec::new();
    };
    let others = own["subArchitectures"].as_array().cloned();
    let mut list = vec![own["architecture"].clone()];
    list.extend(others.unwrap_or_default());
    list
}

/// Whether a condition holds. `includes` must hold in every part that it has; of `excludes` any
/// part is enough. An absent condition gives `empty`.
fn holds(condition: &Value, capabilities: &[String], all: bool) -> bool {
    let list = |key: &str| {
        let list = condition.get(key).and_then(Value::as_array);
        list.filter(|list| !list.is_empty())
    };
    let has = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        capabilities
            .iter()
            .any(|own| own.eq_ignore_ascii_case(name))
    };
    let caps = list("caps").map(|names| match all {
        true => names.iter().all(has),
        false => names.iter().any(has),
    });
    let arches = list("arches").map(|names| {
        let mut names = names.iter().filter_map(Value::as_str);
        names.any(|name| matches!(name, "amd64" | "x86_64"))
    });
    let kernel = condition.get("minKernel").and_then(Value::as_str);
    let kernel = kernel.map(kernel_is_at_least);
    let mut parts = [caps, arches, kernel].into_iter().flatten();
    if all {
        parts.all(|part| part)
    } else {
        parts.any(|part| part)
    }
}

fn kernel_is_at_least(wanted: &str) -> bool {
    let numbers = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split(|character: char| !character.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let own = insula_sys::rustix::system::uname();
    let own = own.release().to_str().ok().and_then(numbers);
    own >= numbers(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Security> {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        Security::parse(&options)
    }

    #[test]
    fn options() {
        let security = parse(&[
            "no-new-privileges",
            "label=type:mine_t",
            "label=level:s0:c1,c2",
            "mask=/a:/b",
            "unmask=/proc/kcore",
            "apparmor=profile",
        ])
        .unwrap();
        assert!(security.no_new_privileges);
        let context = "system_u:system_r:mine_t:s0:c1,c2";
        assert_eq!(security.selinux.as_deref(), Some(context));
        assert_eq!(security.masked(), [Path::new("/a"), Path::new("/b")]);
        let closed = security.closed(&["/proc/kcore", "/proc/keys"]);
        assert_eq!(closed, [Path::new("/proc/keys")]);
        assert_eq!(security.apparmor.as_deref(), Some("profile"));
        let open = parse(&["systempaths=unconfined", "seccomp:unconfined"]).unwrap();
        assert!(open.closed(&["/proc/kcore"]).is_empty());
        assert!(open.seccomp(&Capabilities::default()).unwrap().is_none());
    }

    #[test]
    fn unknown_options() {
        for option in [
            "x",
            "seccomp",
            "label=x",
            "mask=a",
            "no-new-privileges=2",
            "apparmor",
        ] {
            let error = parse(&[option]).unwrap_err();
            assert!(error.to_string().contains(option), "{option}");
        }
    }

    #[test]
    fn a_docker_profile_is_settled() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            ],
            "syscalls": [
                {"names": ["a"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
                {"names": ["c"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF"]}},
                {"names": ["d"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}},
                {"names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["f"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
                {"name": "g", "action": "SCMP_ACT_ALLOW", "includes": {}, "excludes": {}},
            ],
        });
        let settled = settle(profile, &["CAP_BPF".to_owned()]);
        let seccomp: Seccomp = serde_json::from_value(settled).unwrap();
        assert_eq!(seccomp.architectures.len(), 2);
        let names: Vec<_> = seccomp
            .syscalls
            .iter()
            .flat_map(|rule| &rule.names)
            .collect();
        assert_eq!(names, ["a", "b", "e", "g"]);
    }
}
