//! Which capabilities the program gets: docker's fourteen, and what was added and dropped.

use insula_container::capability::{NAMES, number};
use insula_container::error::{Context, Error, Result};
use insula_container::spec::Capabilities;
use insula_sys::rustix::thread::capabilities;

const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The default set without `dropped`, with `added`. `ALL` in either is handled first, so that
/// dropping all and adding one leaves that one.
pub(super) fn choose(added: &[String], dropped: &[String]) -> Result<Capabilities> {
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let mut mask = if dropped.iter().any(is_all) {
        0
    } else if added.iter().any(is_all) {
        own()?
    } else {
        mask_of(DEFAULT.iter().copied())?
    };
    mask |= mask_of(named(added))?;
    mask &= !mask_of(named(dropped))?;
    let names: Vec<String> = (0..NAMES.len())
        .filter(|number| mask >> number & 1 == 1)
        .map(|number| NAMES[number].to_owned())
        .collect();
    Ok(Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        ..Capabilities::default()
    })
}

/// Another user than root has only what its program brings, within these bounds, as after any
/// execve(2).
pub(crate) fn for_user(sets: Capabilities, uid: u32) -> Capabilities {
    if uid != 0 {
        return Capabilities {
            effective: Vec::new(),
            permitted: Vec::new(),
            ..sets
        };
    }
    Capabilities {
        effective: sets.bounding.clone(),
        permitted: sets.bounding.clone(),
        ..sets
    }
}

/// Every capability that this process has.
pub(crate) fn all() -> Result<Capabilities> {
    choose(&["ALL".to_owned()], &[])
}

/// Every capability that this process has without `dropped`.
pub(super) fn all_but(dropped: &[String]) -> Result<Capabilities> {
    choose(&["ALL".to_owned()], dropped)
}

fn named(names: &[String]) -> impl Iterator<Item = &str> {
    let names = names.iter().map(String::as_str);
    names.filter(|name| !name.eq_ignore_ascii_case("ALL"))
}

fn mask_of<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<u64> {
    names.try_fold(0, |mask, name| match number(name) {
        Some(number) => Ok(mask | 1 << number),
        None => Err(Error::new(format!("there is no capability `{name}`"))
            .hint("names are those of capabilities(7), such as NET_ADMIN; or ALL")),
    })
}

/// What this process has itself: it cannot give more, and on a host that lacks one, `ALL` means all
/// that there are.
fn own() -> Result<u64> {
    let sets = capabilities(None).step(|| "read this process' own capabilities")?;
    Ok(sets.permitted.bits() & ((1 << NAMES.len()) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(added: &[&str], dropped: &[&str]) -> Result<Vec<String>> {
        let text = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        choose(&text(added), &text(dropped)).map(|sets| sets.bounding)
    }

    #[test]
    fn added_and_dropped() {
        assert_eq!(chosen(&[], &[]).unwrap().len(), 14);
        assert_eq!(chosen(&[], &["all"]).unwrap(), [""; 0]);
        assert_eq!(chosen(&["net_admin"], &["ALL"]).unwrap(), ["CAP_NET_ADMIN"]);
        let chosen_all = chosen(&["ALL"], &["cap_net_raw"]).unwrap();
        assert!(!chosen_all.contains(&"CAP_NET_RAW".to_owned()));
        assert!(
            !chosen(&[], &["MKNOD"])
                .unwrap()
                .contains(&"CAP_MKNOD".to_owned())
        );
        let error = chosen(&["NO_SUCH"], &[]).unwrap_err();
        assert!(error.to_string().contains("`NO_SUCH`"));
    }
}
