//! Who `USER` is, by the image's own /etc/passwd and /etc/group (image-spec, config.md, `User`).
//!
//! No name service of the host has a say: a name means what the image says it means.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use insula_sys::rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use insula_sys::rustix::io::Errno;

use crate::error::{Context, Error, Kind, Result};

/// A user database larger than this is refused.
const DATABASE_BYTES_MAX: u64 = 4 << 20;

/// A user as the kernel wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, without duplicates, in the order of /etc/group.
    pub groups: Vec<u32>,
    pub home: String,
}

/// Reads `user` with the databases of the image whose root directory is `root`.
///
/// # Errors
/// As for [`resolve_user`], or a database cannot be read.
pub fn read_user(root: BorrowedFd<'_>, user: &str) -> Result<ResolvedUser> {
    let passwd = read_database(root, "etc/passwd")?.unwrap_or_default();
    let group = read_database(root, "etc/group")?.unwrap_or_default();
    resolve_user(user, &passwd, &group)
}

/// Reads a file such as `etc/passwd` below `root`; `None` when there is none. Links are followed
/// inside the image only; only a regular file is read, for reading a fifo would wait forever.
///
/// # Errors
/// It is no regular file, larger than 4 MiB, or cannot be read.
pub fn read_database(root: BorrowedFd<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(errno).step(|| format!("open /{path} of the image")),
    };
    let metadata = file
        .metadata()
        .step(|| format!("look at /{path} of the image"))?;
    if !metadata.is_file() || metadata.len() > DATABASE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "/{path} of the image is not a regular file of at most 4 MiB"
        )));
    }
    let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(DATABASE_BYTES_MAX)
        .read_to_end(&mut content)
        .step(|| format!("read /{path} of the image"))?;
    Ok(Some(content))
}

/// Resolves `user`, `uid`, `user:group`, `uid:gid` or a mixture; empty is root.
///
/// Without a group the user's own from `passwd` is taken, with the supplementary groups of `group`;
/// a number that `passwd` does not know gets group 0 and the home `/`. With a group there are no
/// supplementary groups.
///
/// # Errors
/// A name is not in its database, or a number is out of range.
pub fn resolve_user(user: &str, passwd: &[u8], group: &[u8]) -> Result<ResolvedUser> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let known = find_user(user, passwd);
    let (uid, own_gid) = match (&known, number(user)) {
        (Some(known), _) => (known.uid, known.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) => return Err(unknown("user", user, "/etc/passwd")),
    };
    let (gid, groups) = match wanted_group {
        Some(wanted) => (find_group(wanted, group)?, Vec::new()),
        None => {
            let name = known.as_ref().map(|known| known.name);
            (
                own_gid,
                name.map_or_else(Vec::new, |name| groups_of(name, group)),
            )
        }
    };
    let home = known
        .map(|known| known.home)
        .filter(|home| !home.is_empty());
    Ok(ResolvedUser {
        uid,
        gid,
        groups,
        home: match home {
            Some(home) => String::from_utf8_lossy(home).into_owned(),
            None => "/".to_owned(),
        },
    })
}

struct KnownUser<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

/// By name first: a name may consist of digits. Malformed lines are passed over.
fn find_user<'a>(wanted: &str, passwd: &'a [u8]) -> Option<KnownUser<'a>> {
    let users = || {
        lines(passwd).filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            let name = fields.next()?;
            let uid = number_bytes(fields.nth(1)?)?;
            let gid = number_bytes(fields.next()?)?;
            let home = fields.nth(1).unwrap_or_default();
            Some(KnownUser {
                name,
                uid,
                gid,
                home,
            })
        })
    };
    users()
        .find(|user| user.name == wanted.as_bytes())
        .or_else(|| {
            let wanted = number(wanted)?;
            users().find(|user| user.uid == wanted)
        })
}

fn find_group(wanted: &str, group: &[u8]) -> Result<u32> {
    let by_name = lines(group).find_map(|line| {
        let (name, gid, _) = group_fields(line)?;
        (name == wanted.as_bytes()).then_some(gid)
    });
    by_name
        .or_else(|| number(wanted))
        .ok_or_else(|| unknown("group", wanted, "/etc/group"))
}

fn groups_of(user: &[u8], group: &[u8]) -> Vec<u32> {
    let mut groups = Vec::new();
    for line in lines(group) {
        if let Some((_, gid, members)) = group_fields(line)
            && members
                .split(|&byte| byte == b',')
                .any(|member| member == user)
            && !groups.contains(&gid)
        {
            groups.push(gid);
        }
    }
    groups
}

fn group_fields(line: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let mut fields = line.split(|&byte| byte == b':');
    let name = fields.next()?;
    let gid = number_bytes(fields.nth(1)?)?;
    Some((name, gid, fields.next().unwrap_or_default()))
}

fn lines(database: &[u8]) -> impl Iterator<Item = &[u8]> {
    database
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && line[0] != b'#')
}

/// 2^32 - 1 means "leave as it is" to setuid(2) and its kin and is nobody's number.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value: u32 = if digits {
        text.parse().ok()?
    } else {
        return None;
    };
    (value != u32::MAX).then_some(value)
}

fn number_bytes(text: &[u8]) -> Option<u32> {
    number(std::str::from_utf8(text).ok()?)
}

fn unknown(what: &str, name: &str, database: &str) -> Error {
    Error::new(
        Kind::NotFound,
        format!("{what} `{name}` is not in the image's {database}"),
    )
    .hint(format!("give a number instead, or a {what} the image has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n# comment\nbroken\n\
        web:x:33:33:www:/var/www:/bin/sh\n1000:x:7:8::/odd:\nlast:x:70000:70001::/home/last";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:33:\nadm:x:4:syslog,web\nlog:x:5:web\nagain:x:5:web\n";

    fn resolved(user: &str) -> (u32, u32, Vec<u32>, String) {
        let user = resolve_user(user, PASSWD, GROUP).unwrap();
        (user.uid, user.gid, user.groups, user.home)
    }

    #[test]
    fn users() {
        let text = str::to_owned;
        assert_eq!(resolved(""), (0, 0, vec![], text("/root")));
        assert_eq!(resolved("web"), (33, 33, vec![4, 5], text("/var/www")));
        assert_eq!(resolved("33"), (33, 33, vec![4, 5], text("/var/www")));
        assert_eq!(resolved("web:adm"), (33, 4, vec![], text("/var/www")));
        assert_eq!(resolved("web:9"), (33, 9, vec![], text("/var/www")));
        assert_eq!(resolved("12345"), (12345, 0, vec![], text("/")));
        assert_eq!(resolved("12345:67890"), (12345, 67890, vec![], text("/")));
        assert_eq!(resolved("1000"), (7, 8, vec![], text("/odd")));
        assert_eq!(resolved("last"), (70000, 70001, vec![], text("/home/last")));
        assert_eq!(resolved(":4"), (0, 4, vec![], text("/root")));
    }

    #[test]
    fn unknown_users() {
        for user in [
            "nobody",
            "web:nogroup",
            "4294967295",
            "-1",
            "99999999999",
            "we:",
        ] {
            assert!(resolve_user(user, PASSWD, GROUP).is_err(), "{user}");
        }
    }
}
