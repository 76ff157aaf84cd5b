//! Whether an ordinary user can map more than one id: ranges of subordinate ids, and the programs
//! of shadow-utils that write such a map.
//!
//! The kernel lets a user without privilege map only the own id. `newuidmap` and `newgidmap` write
//! what `/etc/subuid` and `/etc/subgid` grant. Start at [`check`].

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::getxattr;
use insula_sys::rustix::process::getuid;

use super::{Check, Verdict, read_trimmed};

const NAME: &str = "subordinate-ids";
const LOST: &str = "more than one user id in a user namespace that you make yourself";
/// Where shadow-utils begin to give ranges away, and how many ids they give to each user.
const FIRST: u64 = 100_000;
const WIDTH: u64 = 65_536;
const SET_USER_ID: u32 = 0o4000;

pub(super) fn check() -> Check {
    let uid = getuid().as_raw();
    if uid == 0 {
        return Check::new(NAME, Verdict::Skip, "root maps any id", "");
    }
    let user = Granted::read(uid);
    if user.uids == 0 || user.gids == 0 {
        let found = format!("{} user ids, {} group ids", user.uids, user.gids);
        let check = Check::new(NAME, Verdict::Warn, found, LOST);
        return match user.proposal(uid) {
            Some(command) => check.fix(command),
            None => check,
        };
    }
    for program in ["newuidmap", "newgidmap"] {
        if let Err(reason) = privileged(program) {
            return Check::new(NAME, Verdict::Warn, reason, LOST)
                .fix("sudo apt install --reinstall uidmap");
        }
    }
    Check::ok(
        NAME,
        format!("{} user ids, {} group ids", user.uids, user.gids),
    )
}

/// The ranges of user ids and of group ids that this user has and can map; `None` without any.
pub(crate) fn granted() -> Option<(Ranges, Ranges)> {
    let uid = getuid().as_raw();
    if ["newuidmap", "newgidmap"]
        .iter()
        .any(|program| privileged(program).is_err())
    {
        return None;
    }
    let text = |path: &str| read_trimmed(path).unwrap_or_default();
    let name = name_of(&text("/etc/passwd"), uid);
    let of = |path: &str| -> Ranges {
        let text = text(path);
        owned(&text, name.as_deref(), uid).collect()
    };
    let (users, groups) = (of("/etc/subuid"), of("/etc/subgid"));
    (!users.is_empty() && !groups.is_empty()).then_some((users, groups))
}

/// First id and number of ids of each range.
pub(crate) type Ranges = Vec<(u32, u32)>;

/// What the host's files grant a user.
struct Granted {
    name: Option<String>,
    uids: u64,
    gids: u64,
    /// The first id that belongs to no range of anybody.
    free: u64,
}

impl Granted {
    fn read(uid: u32) -> Self {
        let text = |path: &str| read_trimmed(path).unwrap_or_default();
        let (users, groups) = (text("/etc/subuid"), text("/etc/subgid"));
        let name = name_of(&text("/etc/passwd"), uid);
        Self {
            uids: count(&users, name.as_deref(), uid),
            gids: count(&groups, name.as_deref(), uid),
            free: first_free(&users).max(first_free(&groups)),
            name,
        }
    }

    /// The command that grants a range which nobody has; none when no such range is left.
    fn proposal(&self, uid: u32) -> Option<String> {
        let last = u32::try_from(self.free + WIDTH).ok()? - 1;
        let range = format!("{}-{last}", self.free);
        let number = uid.to_string();
        let name = self.name.as_deref().unwrap_or(&number);
        Some(format!(
            "sudo usermod --add-subuids {range} --add-subgids {range} {name}"
        ))
    }
}

/// The name of a user in the text of a passwd file.
fn name_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found = fields.nth(1)?.parse::<u32>().ok()?;
        (found == uid).then(|| name.to_owned())
    })
}

/// The ranges in the text of a subuid file: whose, first id, number of ids. A line that is none is
/// passed over, as shadow-utils do.
fn ranges(text: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((owner, first.parse().ok()?, count.parse().ok()?))
    })
}

/// The ranges of one user. An owner is given by name or by number.
fn owned(text: &str, name: Option<&str>, uid: u32) -> impl Iterator<Item = (u32, u32)> {
    let number = uid.to_string();
    ranges(text)
        .filter(move |(owner, ..)| Some(*owner) == name || *owner == number)
        .map(|(_, first, count)| (first, count))
}

/// How many ids a user has.
fn count(text: &str, name: Option<&str>, uid: u32) -> u64 {
    owned(text, name, uid)
        .map(|(_, count)| u64::from(count))
        .sum()
}

fn first_free(text: &str) -> u64 {
    let ends = ranges(text).map(|(_, first, count)| u64::from(first) + u64::from(count));
    ends.max().unwrap_or(0).max(FIRST)
}

/// Where shadow-utils have their programs.
pub(crate) fn path(program: &str) -> PathBuf {
    Path::new("/usr/bin").join(program)
}

/// Whether a program is installed with the privilege to write maps: set-user-id root, or a file
/// capability.
fn privileged(program: &str) -> Result<(), String> {
    let path = path(program);
    let Ok(metadata) = path.metadata() else {
        return Err(format!("no {}", path.display()));
    };
    let is_set_user_id = metadata.uid() == 0 && metadata.permissions().mode() & SET_USER_ID != 0;
    let mut value = [0_u8; 64];
    if is_set_user_id || getxattr(&path, "security.capability", &mut value).is_ok() {
        return Ok(());
    }
    Err(format!("{} has no privilege to write maps", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: &str = "ann:100000:65536\n# a remark\n1001:300000:10\nann:400000:4\nbob:x:1\n";

    #[test]
    fn ranges_belong_to_a_user_by_name_or_by_number() {
        assert_eq!(count(RANGES, Some("ann"), 1000), 65_540);
        assert_eq!(count(RANGES, None, 1001), 10);
        assert_eq!(count(RANGES, Some("bob"), 1002), 0);
    }

    #[test]
    fn the_range_that_is_proposed_is_above_all_that_are_taken() {
        assert_eq!(first_free(RANGES), 400_004);
        assert_eq!(first_free(""), FIRST);
        assert_eq!(first_free("ann:4294967295:4294967295"), 8_589_934_590);
    }

    #[test]
    fn a_range_is_proposed_only_where_ids_are_left() {
        let name = Some("ann".to_owned());
        let mut user = Granted {
            name,
            uids: 0,
            gids: 0,
            free: FIRST,
        };
        let command = user.proposal(1000).unwrap();
        assert!(
            command.ends_with("--add-subgids 100000-165535 ann"),
            "{command}"
        );
        user.free = u64::from(u32::MAX);
        assert_eq!(user.proposal(1000), None);
    }

    #[test]
    fn a_name_is_read_from_the_password_file() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 7), None);
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let reason = privileged("no-such-program").unwrap_err();
        assert_eq!(reason, "no /usr/bin/no-such-program");
    }
}
