//! `mounts[].options`: the table of config.md "Linux mount options", and how a list is read.
//!
//! Every name of the table, and the few that other runtimes understand, has one [`Effect`];
//! a name that is not here belongs to the file system and is passed on as data. Start at [`parse`].

use insula_sys::mount::{attribute, flag};

/// What one option name does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Sets a flag of mount(2).
    Set(u32),
    /// Clears a flag of mount(2).
    Clear(u32),
    /// Sets or clears an attribute on the whole tree (mount_setattr(2), `AT_RECURSIVE`).
    SetAll(u32),
    ClearAll(u32),
    /// One of the exclusive access-time settings on the whole tree.
    AccessTimeAll(u32),
    /// A change of propagation: type, and whether it is recursive.
    Propagation(u32, bool),
    /// Copy what is below the mount point into the new tmpfs.
    CopyUp,
    IdMap,
    IdMapAll,
    /// Do not follow a symbolic link at the end of the source.
    SourceNoFollow,
    /// Do not follow a symbolic link at the end of the destination.
    DestinationNoFollow,
    /// A source that is a symbolic link is made again instead of being mounted.
    CopySymlink,
    Nothing,
}

use Effect::{AccessTimeAll, Clear, ClearAll, Propagation, Set, SetAll};

/// Sorted by name, for the binary search of [`effect_of`].
const TABLE: &[(&str, Effect)] = &[
    ("async", Clear(flag::SYNCHRONOUS)),
    ("atime", Clear(flag::NO_ACCESS_TIME)),
    ("bind", Set(flag::BIND)),
    ("copy-symlink", Effect::CopySymlink),
    ("defaults", Effect::Nothing),
    ("dest-nofollow", Effect::DestinationNoFollow),
    ("dev", Clear(flag::NO_DEV)),
    ("diratime", Clear(flag::NO_DIRECTORY_ACCESS_TIME)),
    ("dirsync", Set(flag::DIRECTORY_SYNC)),
    ("exec", Clear(flag::NO_EXEC)),
    ("idmap", Effect::IdMap),
    ("iversion", Set(flag::INODE_VERSION)),
    ("lazytime", Set(flag::LAZY_TIME)),
    ("loud", Clear(flag::SILENT)),
    ("mand", Set(flag::MANDATORY_LOCK)),
    ("noatime", Set(flag::NO_ACCESS_TIME)),
    ("nodev", Set(flag::NO_DEV)),
    ("nodiratime", Set(flag::NO_DIRECTORY_ACCESS_TIME)),
    ("noexec", Set(flag::NO_EXEC)),
    ("noiversion", Clear(flag::INODE_VERSION)),
    ("nolazytime", Clear(flag::LAZY_TIME)),
    ("nomand", Clear(flag::MANDATORY_LOCK)),
    ("norelatime", Clear(flag::RELATIVE_ACCESS_TIME)),
    ("nostrictatime", Clear(flag::STRICT_ACCESS_TIME)),
    ("nosuid", Set(flag::NO_SUID)),
    ("nosymfollow", Set(flag::NO_SYMLINK_FOLLOW)),
    ("private", Propagation(flag::PRIVATE, false)),
    ("ratime", AccessTimeAll(attribute::RELATIVE_ACCESS_TIME)),
    ("rbind", Set(flag::BIND | flag::RECURSIVE)),
    ("rdev", ClearAll(attribute::NO_DEV)),
    ("rdiratime", ClearAll(attribute::NO_DIRECTORY_ACCESS_TIME)),
    ("relatime", Set(flag::RELATIVE_ACCESS_TIME)),
    ("remount", Set(flag::REMOUNT)),
    ("rexec", ClearAll(attribute::NO_EXEC)),
    ("ridmap", Effect::IdMapAll),
    ("rnoatime", AccessTimeAll(attribute::NO_ACCESS_TIME)),
    ("rnodev", SetAll(attribute::NO_DEV)),
    ("rnodiratime", SetAll(attribute::NO_DIRECTORY_ACCESS_TIME)),
    ("rnoexec", SetAll(attribute::NO_EXEC)),
    (
        "rnorelatime",
        AccessTimeAll(attribute::RELATIVE_ACCESS_TIME),
    ),
    (
        "rnostrictatime",
        AccessTimeAll(attribute::RELATIVE_ACCESS_TIME),
    ),
    ("rnosuid", SetAll(attribute::NO_SUID)),
    ("rnosymfollow", SetAll(attribute::NO_SYMLINK_FOLLOW)),
    ("ro", Set(flag::READ_ONLY)),
    ("rprivate", Propagation(flag::PRIVATE, true)),
    ("rrelatime", AccessTimeAll(attribute::RELATIVE_ACCESS_TIME)),
    ("rro", SetAll(attribute::READ_ONLY)),
    ("rrw", ClearAll(attribute::READ_ONLY)),
    ("rshared", Propagation(flag::SHARED, true)),
    ("rslave", Propagation(flag::SLAVE, true)),
    ("rstrictatime", AccessTimeAll(attribute::STRICT_ACCESS_TIME)),
    ("rsuid", ClearAll(attribute::NO_SUID)),
    ("rsymfollow", ClearAll(attribute::NO_SYMLINK_FOLLOW)),
    ("runbindable", Propagation(flag::UNBINDABLE, true)),
    ("rw", Clear(flag::READ_ONLY)),
    ("shared", Propagation(flag::SHARED, false)),
    ("silent", Set(flag::SILENT)),
    ("slave", Propagation(flag::SLAVE, false)),
    ("src-nofollow", Effect::SourceNoFollow),
    ("strictatime", Set(flag::STRICT_ACCESS_TIME)),
    ("suid", Clear(flag::NO_SUID)),
    ("symfollow", Clear(flag::NO_SYMLINK_FOLLOW)),
    ("sync", Set(flag::SYNCHRONOUS)),
    ("tmpcopyup", Effect::CopyUp),
    ("unbindable", Propagation(flag::UNBINDABLE, false)),
];

/// Every option name that is understood rather than passed on, for the `features` document.
pub fn known_options() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// A change of propagation: one of `flag::{PRIVATE, SLAVE, SHARED, UNBINDABLE}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PropagationChange {
    pub kind: u32,
    pub recursive: bool,
}

/// The propagation a name asks for; also the grammar of `linux.rootfsPropagation`.
pub(crate) fn propagation_of(name: &str) -> Option<PropagationChange> {
    match effect_of(name)? {
        Propagation(kind, recursive) => Some(PropagationChange { kind, recursive }),
        _ => None,
    }
}

/// A list of options, read from first to last: a later one wins over an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// Flags of mount(2) to set.
    pub flags: u32,
    /// Flags of mount(2) that were asked to be clear, which differs from not being asked for.
    pub cleared: u32,
    /// Attributes for the mount and everything below it.
    pub set_all: u32,
    pub clear_all: u32,
    /// In the order of the list: `["shared", "slave"]` is a mount that is both.
    pub propagation: Vec<PropagationChange>,
    /// `idmap` (false) or `ridmap` (true).
    pub id_map: Option<bool>,
    pub copy_up: bool,
    pub copy_symlink: bool,
    pub source_no_follow: bool,
    pub destination_no_follow: bool,
    /// What is left for the file system, joined by commas.
    pub data: String,
    /// The position of the first option in `data`, to name it in errors.
    pub data_index: usize,
}

/// Reads a list of options; never fails, because unknown names are the file system's.
pub(crate) fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for (index, name) in options.iter().enumerate() {
        match effect_of(name) {
            Some(effect) => parsed.apply(effect),
            None => parsed.add_data(index, name),
        }
    }
    parsed
}

fn effect_of(name: &str) -> Option<Effect> {
    let index = TABLE
        .binary_search_by(|(known, _)| (*known).cmp(name))
        .ok()?;
    TABLE.get(index).map(|(_, effect)| *effect)
}

impl MountOptions {
    /// Whether `name=…` is among the data.
    pub(crate) fn has_data_key(&self, name: &str) -> bool {
        self.data.split(',').any(|option| {
            option
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        })
    }

    pub(crate) fn is_bind(&self) -> bool {
        self.flags & flag::BIND != 0
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Set(flags) => {
                self.flags |= flags;
                self.cleared &= !flags;
            }
            Clear(flags) => {
                self.flags &= !flags;
                self.cleared |= flags;
            }
            SetAll(attributes) => {
                self.set_all |= attributes;
                self.clear_all &= !attributes;
            }
            ClearAll(attributes) => {
                self.set_all &= !attributes;
                self.clear_all |= attributes;
            }
            AccessTimeAll(setting) => {
                // mount_setattr(2): a new setting needs the whole mask in attr_clr.
                self.set_all = self.set_all & !attribute::ACCESS_TIME | setting;
                self.clear_all |= attribute::ACCESS_TIME;
            }
            Propagation(kind, recursive) => {
                self.propagation.push(PropagationChange { kind, recursive });
            }
            Effect::IdMap => self.id_map = Some(false),
            Effect::IdMapAll => self.id_map = Some(true),
            Effect::CopyUp => self.copy_up = true,
            Effect::CopySymlink => self.copy_symlink = true,
            Effect::SourceNoFollow => self.source_no_follow = true,
            Effect::DestinationNoFollow => self.destination_no_follow = true,
            Effect::Nothing => {}
        }
    }

    fn add_data(&mut self, index: usize, option: &str) {
        if self.data.is_empty() {
            self.data_index = index;
        } else {
            self.data.push(',');
        }
        self.data.push_str(option);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> MountOptions {
        parse(&options.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    /// The option column of config.md, "Linux mount options".
    const SPECIFICATION: &str = "async atime bind defaults dev diratime dirsync exec iversion \
        lazytime loud mand noatime nodev nodiratime noexec noiversion nolazytime norelatime \
        nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount \
        rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro \
        rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw \
        shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap \
        nomand";

    #[test]
    fn the_table_is_sorted_and_holds_every_name_of_the_specification() {
        assert!(TABLE.is_sorted_by(|(left, _), (right, _)| left < right));
        for name in SPECIFICATION.split_whitespace() {
            assert!(effect_of(name).is_some(), "{name} is missing");
            assert_eq!(read(&[name]).data, "", "{name} reached the file system");
        }
    }

    #[test]
    fn every_flag_sets_and_every_opposite_clears() {
        let pairs = [
            ("sync", "async", flag::SYNCHRONOUS),
            ("noatime", "atime", flag::NO_ACCESS_TIME),
            ("nodev", "dev", flag::NO_DEV),
            ("nodiratime", "diratime", flag::NO_DIRECTORY_ACCESS_TIME),
            ("noexec", "exec", flag::NO_EXEC),
            ("iversion", "noiversion", flag::INODE_VERSION),
            ("lazytime", "nolazytime", flag::LAZY_TIME),
            ("silent", "loud", flag::SILENT),
            ("mand", "nomand", flag::MANDATORY_LOCK),
            ("relatime", "norelatime", flag::RELATIVE_ACCESS_TIME),
            ("strictatime", "nostrictatime", flag::STRICT_ACCESS_TIME),
            ("nosuid", "suid", flag::NO_SUID),
            ("nosymfollow", "symfollow", flag::NO_SYMLINK_FOLLOW),
            ("ro", "rw", flag::READ_ONLY),
        ];
        for (set, clear, bit) in pairs {
            let both = read(&[clear, set]);
            assert_eq!((both.flags, both.cleared), (bit, 0), "{set}");
            let both = read(&[set, clear]);
            assert_eq!((both.flags, both.cleared), (0, bit), "{clear}");
        }
        assert_eq!(read(&["dirsync"]).flags, flag::DIRECTORY_SYNC);
        assert_eq!(read(&["bind"]).flags, flag::BIND);
        assert_eq!(read(&["rbind", "bind"]).flags, flag::BIND | flag::RECURSIVE);
        assert_eq!(read(&["remount"]).flags, flag::REMOUNT);
        assert_eq!(read(&["defaults"]), MountOptions::default());
    }

    #[test]
    fn every_recursive_attribute_sets_and_clears() {
        let pairs = [
            ("rro", "rrw", attribute::READ_ONLY),
            ("rnosuid", "rsuid", attribute::NO_SUID),
            ("rnodev", "rdev", attribute::NO_DEV),
            ("rnoexec", "rexec", attribute::NO_EXEC),
            (
                "rnodiratime",
                "rdiratime",
                attribute::NO_DIRECTORY_ACCESS_TIME,
            ),
            ("rnosymfollow", "rsymfollow", attribute::NO_SYMLINK_FOLLOW),
        ];
        for (set, clear, bit) in pairs {
            assert_eq!(
                (read(&[set]).set_all, read(&[set]).clear_all),
                (bit, 0),
                "{set}"
            );
            assert_eq!(
                (read(&[set, clear]).set_all, read(&[clear]).clear_all),
                (0, bit)
            );
        }
    }

    #[test]
    fn recursive_access_times_exclude_each_other() {
        let cases = [
            ("ratime", 0),
            ("rrelatime", 0),
            ("rnorelatime", 0),
            ("rnostrictatime", 0),
            ("rnoatime", attribute::NO_ACCESS_TIME),
            ("rstrictatime", attribute::STRICT_ACCESS_TIME),
        ];
        for (name, set) in cases {
            let parsed = read(&["rnoatime", "rstrictatime", name]);
            assert_eq!(
                (parsed.set_all, parsed.clear_all),
                (set, attribute::ACCESS_TIME),
                "{name}"
            );
        }
    }

    #[test]
    fn propagation_keeps_its_order() {
        let kinds = [
            ("private", flag::PRIVATE),
            ("slave", flag::SLAVE),
            ("shared", flag::SHARED),
            ("unbindable", flag::UNBINDABLE),
        ];
        for (name, kind) in kinds {
            let one = PropagationChange {
                kind,
                recursive: false,
            };
            let all = PropagationChange {
                kind,
                recursive: true,
            };
            assert_eq!(read(&[name, &format!("r{name}")]).propagation, [one, all]);
        }
        assert_eq!(propagation_of("rro"), None);
    }

    #[test]
    fn unknown_options_are_the_file_systems() {
        let parsed = read(&["nosuid", "mode=755", "ro", "size=64k", "newinstance"]);
        assert_eq!(
            (parsed.data.as_str(), parsed.data_index),
            ("mode=755,size=64k,newinstance", 1)
        );
        assert!(parsed.has_data_key("mode") && !parsed.has_data_key("newinstance"));
        assert_eq!(read(&["idmap"]).id_map, Some(false));
        assert_eq!(read(&["idmap", "ridmap"]).id_map, Some(true));
        assert!(read(&["tmpcopyup"]).copy_up && read(&["copy-symlink"]).copy_symlink);
        assert!(read(&["src-nofollow"]).source_no_follow);
        assert!(read(&["dest-nofollow"]).destination_no_follow);
    }
}
