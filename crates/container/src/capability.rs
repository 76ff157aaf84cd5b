//! Capabilities: names, masks, and giving a process its five sets (capabilities(7)).

use insula_sys::Errno;
use insula_sys::rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use crate::error::{Context, Error, Result};
use crate::spec;

/// Names by number, as `linux/capability.h` counts them.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The five sets as bit masks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

/// The capability's number, with or without the prefix `CAP_`, in any case.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    let bare = |name: &str| name.len() > 4 && name.as_bytes()[..4].eq_ignore_ascii_case(b"CAP_");
    let short = if bare(name) { &name[4..] } else { name };
    NAMES
        .iter()
        .position(|known| known[4..].eq_ignore_ascii_case(short))
}

impl Sets {
    /// The sets a configuration asks for. What it names in vain is warned about, not refused
    /// (config.md, `capabilities`).
    pub(crate) fn of(config: Option<&spec::Capabilities>) -> Self {
        let Some(config) = config else {
            return Self::default();
        };
        let (sets, unknown) = Self::read(config);
        if !unknown.is_empty() {
            crate::warn(&ignored(&unknown.join(" ")));
        }
        let vain = sets.ambient & !(sets.permitted & sets.inheritable);
        if vain != 0 {
            crate::note(|| {
                let names: Vec<_> = names(vain).collect();
                Error::new(format!(
                    "process.capabilities.ambient: can't raise ambient capability {}: not both \
                     permitted and inheritable",
                    names.join(", ")
                ))
            });
        }
        sets
    }

    /// The sets, and the names that no kernel knows.
    fn read(config: &spec::Capabilities) -> (Self, Vec<String>) {
        let mut unknown = Vec::new();
        let mut mask = |names: &[String]| {
            names.iter().fold(0, |mask, name| match number(name) {
                Some(number) => mask | 1 << number,
                None => {
                    if !unknown.contains(name) {
                        unknown.push(name.clone());
                    }
                    mask
                }
            })
        };
        let sets = Self {
            bounding: mask(&config.bounding),
            effective: mask(&config.effective),
            permitted: mask(&config.permitted),
            inheritable: mask(&config.inheritable),
            ambient: mask(&config.ambient),
        };
        (sets, unknown)
    }

    /// The sets, less what this thread does not have and so cannot give. Returns what was taken
    /// away from the effective and permitted sets.
    pub(crate) fn limit_to_own(&mut self) -> Result<u64> {
        let own = capabilities(None)
            .step(|| "read the own capabilities")?
            .permitted
            .bits();
        let lost = (self.permitted | self.effective) & !own;
        self.permitted &= own;
        self.effective &= self.permitted;
        self.inheritable &= own;
        self.ambient &= self.permitted & self.inheritable;
        Ok(lost)
    }
}

/// The warning about capabilities that a container does not get.
pub(crate) fn ignored(names: &str) -> Error {
    Error::new(format!(
        "process.capabilities: ignoring unknown or unavailable capabilities: [{names}]"
    ))
}

/// The names of the capabilities in a mask.
pub(crate) fn names(mask: u64) -> impl Iterator<Item = &'static str> {
    let named = NAMES.iter().enumerate();
    named.filter_map(move |(number, name)| (mask & 1 << number != 0).then_some(*name))
}

/// Takes everything out of the bounding set that is not in `keep`.
pub(crate) fn drop_bounding(keep: u64) -> Result<()> {
    for number in 0..64 {
        if keep & (1 << number) != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // The kernel knows no capability of this number, so none above it either.
            Err(Errno::INVAL) => break,
            other => other.step(|| "drop a capability from the bounding set")?,
        }
    }
    Ok(())
}

/// Empties the ambient set, which an unprivileged caller may have passed on.
pub(crate) fn clear_ambient() -> Result<()> {
    clear_ambient_capability_set().step(|| "clear the ambient capabilities")
}

/// After a change of user with "keep capabilities" the effective set is empty: fills it again
/// from the permitted one, for the steps that are still to come.
pub(crate) fn raise_effective() -> Result<()> {
    let own = capabilities(None).step(|| "read the own capabilities")?;
    let sets = CapabilitySets {
        effective: own.permitted,
        ..own
    };
    set_capabilities(None, sets).step(|| "raise the effective capabilities")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_spelling() {
        assert_eq!(number("CAP_CHOWN"), Some(0));
        assert_eq!(number("cap_sys_admin"), Some(21));
        assert_eq!(number("NET_RAW"), Some(13));
        assert_eq!(number("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("CAP_TEST"), None);
        assert_eq!(number("CAP_"), None);
    }

    #[test]
    fn a_mask_has_its_names() {
        let seen: Vec<_> = names(1 << 5 | 1 << 40 | 1 << 63).collect();
        assert_eq!(seen, ["CAP_KILL", "CAP_CHECKPOINT_RESTORE"]);
    }

    #[test]
    fn unknown_names_are_collected_once() {
        let config = spec::Capabilities {
            bounding: vec!["CAP_KILL".into(), "CAP_NONE".into()],
            permitted: vec!["CAP_NONE".into()],
            ..spec::Capabilities::default()
        };
        let (sets, unknown) = Sets::read(&config);
        assert_eq!(sets.bounding, 1 << 5);
        assert_eq!(unknown, ["CAP_NONE"]);
    }
}
