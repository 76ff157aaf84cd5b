//! Which device nodes a container may make and open.
//!
//! The rules of the configuration apply in their order, on top of "nothing"; [`DEFAULTS`] come last
//! and cannot be taken away, as containers expect. Version 2 gets a program that knows the order
//! (`device_program.rs`). Version 1 knows only one default and a set of exceptions, which [`Table`]
//! computes; rules that such a set cannot express are an error.

use std::os::fd::{AsFd, OwnedFd};

use insula_sys::bpf;
use insula_sys::rustix::fs::OFlags;
use insula_sys::{Errno, Result as SysResult};

use super::device_program;
use super::directory::{Directory, write_whole};
use crate::error::{Context, Error, Result};
use crate::spec::DeviceRule;

/// Bits of `access`, as the kernel numbers them for programs (`BPF_DEVCG_ACC_*`).
pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
pub(super) const EVERYTHING: u8 = MKNOD | READ | WRITE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Block,
    Character,
}

/// One rule; `None` is "any".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) kind: Option<Kind>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) access: u8,
}

const fn allowed(kind: Kind, major: Option<u32>, minor: Option<u32>, access: u8) -> Rule {
    Rule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    }
}

const fn character(major: u32, minor: Option<u32>) -> Rule {
    allowed(Kind::Character, Some(major), minor, EVERYTHING)
}

/// What every container may do: make any node (opening it is another matter), and use the devices
/// of config-linux.md, Default Devices; consoles and terminals; and /dev/net/tun, which tools ask
/// for without a rule.
pub(super) const DEFAULTS: [Rule; 12] = [
    allowed(Kind::Character, None, None, MKNOD),
    allowed(Kind::Block, None, None, MKNOD),
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(1)),
    character(5, Some(2)),
    character(136, None),
    character(10, Some(200)),
];

impl Rule {
    fn parse(rule: &DeviceRule) -> Result<Self> {
        let invalid = |what: &str, value: &str| {
            Error::new(format!(
                "linux.resources.devices: {what} \"{value}\" is not valid"
            ))
        };
        let kind = match rule.kind.as_deref() {
            None | Some("" | "a") => None,
            Some("b") => Some(Kind::Block),
            // "u" is mknod's unbuffered character device.
            Some("c" | "u") => Some(Kind::Character),
            Some(other) => return Err(invalid("type", other)),
        };
        let number = |what: &str, number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(value) => i32::try_from(value)
                .ok()
                .and_then(|value| u32::try_from(value).ok())
                .map(Some)
                .ok_or_else(|| invalid(what, &value.to_string())),
        };
        let mut access = 0;
        for letter in rule.access.as_deref().unwrap_or("").bytes() {
            access |= match letter {
                b'r' => READ,
                b'w' => WRITE,
                b'm' => MKNOD,
                _ => return Err(invalid("access", rule.access.as_deref().unwrap_or(""))),
            };
        }
        Ok(Self {
            allow: rule.allow,
            kind,
            major: number("major", rule.major)?,
            minor: number("minor", rule.minor)?,
            // Like the other fields, an absent one means all.
            access: if access == 0 { EVERYTHING } else { access },
        })
    }

    /// Whether the rule decides about everything.
    pub(super) fn is_total(&self) -> bool {
        (self.kind, self.major, self.minor) == (None, None, None) && self.access == EVERYTHING
    }

    fn covers(&self, other: &Self) -> bool {
        (self.kind.is_none() || self.kind == other.kind)
            && (self.major.is_none() || self.major == other.major)
            && (self.minor.is_none() || self.minor == other.minor)
    }

    fn overlaps(&self, other: &Self) -> bool {
        fn meet<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        meet(self.kind, other.kind)
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access & other.access != 0
    }

    /// `c 1:3 rwm`, as devices.allow takes it.
    fn line(&self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".into(), |n| n.to_string());
        let kind = if self.kind == Some(Kind::Block) {
            'b'
        } else {
            'c'
        };
        let mut line = format!("{kind} {}:{} ", number(self.major), number(self.minor));
        for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
            if self.access & bit != 0 {
                line.push(letter);
            }
        }
        line
    }
}

/// All rules in the order in which they apply.
pub(super) fn ordered(rules: &[DeviceRule]) -> Result<Vec<Rule>> {
    let mut all = Vec::with_capacity(rules.len() + DEFAULTS.len());
    for rule in rules {
        all.push(Rule::parse(rule)?);
    }
    all.extend_from_slice(&DEFAULTS);
    Ok(all)
}

/// What version 1 can hold: a default and exceptions from it, each of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) allow: bool,
    pub(super) exceptions: Vec<Rule>,
}

impl Table {
    pub(super) fn new(rules: &[Rule]) -> Result<Self> {
        let mut table = Self::default();
        for rule in rules {
            table.add(rule)?;
        }
        Ok(table)
    }

    fn add(&mut self, rule: &Rule) -> Result<()> {
        if rule.is_total() {
            self.allow = rule.allow;
            self.exceptions.clear();
            return Ok(());
        }
        if rule.allow == self.allow {
            return self.remove(rule);
        }
        let kinds = match rule.kind {
            Some(kind) => [Some(kind), None],
            None => [Some(Kind::Block), Some(Kind::Character)],
        };
        for kind in kinds.into_iter().flatten() {
            let new = Rule {
                kind: Some(kind),
                ..*rule
            };
            let same = |old: &&mut Rule| old.covers(&new) && new.covers(old);
            if let Some(old) = self.exceptions.iter_mut().find(same) {
                old.access |= new.access;
            } else {
                self.exceptions.push(new);
            }
        }
        Ok(())
    }

    /// Gives what `rule` covers back to the default.
    fn remove(&mut self, rule: &Rule) -> Result<()> {
        for exception in &mut self.exceptions {
            if rule.covers(exception) {
                exception.access &= !rule.access;
            } else if rule.overlaps(exception) {
                return Err(Error::new(format!(
                    "device rule \"{}\" makes a hole in \"{}\", which cgroup version 1 cannot hold",
                    rule.line(),
                    exception.line()
                ))
                .hint("put the narrower rule after a rule for all devices, or list the devices"));
            }
        }
        self.exceptions.retain(|exception| exception.access != 0);
        Ok(())
    }

    /// What `devices.list` says; `None` for "all, with unknown exceptions".
    pub(super) fn parse(list: &str) -> Option<Self> {
        let mut table = Self::default();
        for line in list.lines() {
            let mut fields = line.split([' ', ':']);
            let kind = match fields.next()? {
                "b" => Kind::Block,
                "c" => Kind::Character,
                _ => return None,
            };
            let mut number = || match fields.next()? {
                "*" => Some(None),
                number => number.parse().ok().map(Some),
            };
            let (major, minor) = (number()?, number()?);
            let access = fields.next()?.bytes().fold(0, |access, letter| {
                access
                    | match letter {
                        b'r' => READ,
                        b'w' => WRITE,
                        _ => MKNOD,
                    }
            });
            table.exceptions.push(allowed(kind, major, minor, access));
        }
        Some(table)
    }
}

/// Version 1. A live cgroup gets only the differences, so that no device in use is denied for a
/// moment.
pub(super) fn restrict_v1(
    directory: &Directory<'_>,
    rules: &[DeviceRule],
    live: bool,
) -> Result<()> {
    let target = Table::new(&ordered(rules)?)?;
    let files = Files { directory };
    if live
        && !target.allow
        && let Some(current) = Table::parse(&directory.read("devices.list")?)
    {
        let lacks = |table: &Table, rule: &Rule| !table.exceptions.contains(rule);
        files.write_all(
            "devices.allow",
            target.exceptions.iter().filter(|r| lacks(&current, r)),
        )?;
        let surplus = current
            .exceptions
            .iter()
            .filter(|rule| lacks(&target, rule));
        files.write_all("devices.deny", surplus)?;
        // A surplus rule may have taken bits away that another one gives.
        return files.write_all("devices.allow", target.exceptions.iter());
    }
    let (whole, single) = if target.allow {
        ("devices.allow", "devices.deny")
    } else {
        ("devices.deny", "devices.allow")
    };
    directory.write(whole, "a")?;
    files.write_all(single, target.exceptions.iter())
}

struct Files<'a, 'd> {
    directory: &'a Directory<'d>,
}

impl Files<'_, '_> {
    /// One open, and one write per rule: the kernel takes one line at a time.
    fn write_all<'r>(&self, name: &str, rules: impl Iterator<Item = &'r Rule>) -> Result<()> {
        let mut file = None;
        for rule in rules {
            let line = rule.line();
            match self.write_one(&mut file, name, &line) {
                // A parent that has less cannot give the defaults; nobody asked for them.
                Err(Errno::PERM) if DEFAULTS.contains(rule) => {}
                other => other.step(|| {
                    format!(
                        "write \"{line}\" to {name} of cgroup {}",
                        self.directory.path()
                    )
                })?,
            }
        }
        Ok(())
    }

    fn write_one(&self, file: &mut Option<OwnedFd>, name: &str, line: &str) -> SysResult<()> {
        let file = match file {
            Some(file) => file,
            None => file.insert(self.directory.open(name, OFlags::WRONLY)?),
        };
        write_whole(file, line)
    }
}

/// Version 2: a program decides.
pub(super) fn restrict_v2(
    directory: &Directory<'_>,
    rules: &[DeviceRule],
    live: bool,
) -> Result<()> {
    let instructions = device_program::build(&ordered(rules)?)?;
    let step = || format!("restrict the devices of cgroup {}", directory.path());
    let cgroup = directory.open_itself(OFlags::RDONLY).step(step)?;
    let program = bpf::load_device_filter(&instructions, None).step(step)?;
    if live {
        bpf::replace_device_filter(cgroup.as_fd(), program.as_fd())
    } else {
        bpf::attach_device_filter(cgroup.as_fd(), program.as_fd())
    }
    .step(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: Option<&str>, numbers: (i64, i64), access: &str) -> DeviceRule {
        DeviceRule {
            allow,
            kind: kind.map(str::to_owned),
            major: (numbers.0 >= 0).then_some(numbers.0),
            minor: (numbers.1 >= 0).then_some(numbers.1),
            access: Some(access.to_owned()),
        }
    }

    #[test]
    fn usual_rules_become_a_list_of_allowed_devices() {
        let rules = [
            rule(false, None, (-1, -1), "rwm"),
            rule(true, Some("b"), (8, 0), "r"),
            rule(true, Some("b"), (8, 0), "w"),
            rule(true, None, (7, -1), "rw"),
        ];
        let table = Table::new(&ordered(&rules).unwrap()).unwrap();
        assert!(!table.allow);
        let lines: Vec<_> = table.exceptions.iter().map(Rule::line).collect();
        assert_eq!(lines[..3], ["b 8:0 rw", "b 7:* rw", "c 7:* rw"]);
        assert_eq!(lines.len(), 3 + DEFAULTS.len());
        assert!(lines.contains(&"c 136:* rwm".to_owned()));
    }

    #[test]
    fn a_later_total_rule_forgets_the_earlier_ones() {
        let rules = [
            rule(true, Some("b"), (8, 0), "r"),
            rule(true, Some("a"), (-1, -1), "rwm"),
        ];
        let table = Table::new(&ordered(&rules).unwrap()).unwrap();
        assert!(table.allow && table.exceptions.is_empty());
    }

    #[test]
    fn holes_are_refused_in_version_1() {
        let rules = [
            rule(true, Some("b"), (8, -1), "rw"),
            rule(false, Some("b"), (8, 1), "w"),
        ];
        let error = Table::new(&ordered(&rules).unwrap()).unwrap_err();
        assert!(error.to_string().contains("b 8:1 w"), "{error}");
    }

    #[test]
    fn wrong_values_are_named() {
        for wrong in [
            rule(true, Some("x"), (1, 1), "r"),
            rule(true, Some("c"), (i64::MAX, 1), "r"),
            rule(true, Some("c"), (1, 1), "rx"),
        ] {
            assert!(ordered(&[wrong]).is_err());
        }
    }

    #[test]
    fn the_kernels_list_is_read_back() {
        let table = Table::parse("c 1:3 rwm\nb *:* m\n").unwrap();
        assert_eq!(table.exceptions[0], character(1, Some(3)));
        assert_eq!(table.exceptions[1], DEFAULTS[1]);
        assert_eq!(Table::parse("a *:* rwm\n"), None);
    }
}
