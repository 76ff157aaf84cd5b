//! The first process of a system that runs: which it is, and by which signal it ends all others
//! and then itself.
//!
//! | first process | signal | told by |
//! |---|---|---|
//! | systemd | RTMIN+3 | its `halt.target` |
//! | openrc-init, s6-svscan | TERM | their signal handlers |
//! | busybox | USR2 | its signal handler |
//! | sysvinit | PWR or INT | `/etc/inittab` in the container |
//!
//! What counts is what runs, not what the image said: a system may have changed its init.

use std::os::fd::AsFd;
use std::path::Path;

use insula_image::read_database;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::process::Signal;

/// The first of the real-time signals, as all programs but libc count them.
const SIGRTMIN: i32 = 34;

/// The signal that has the system with this first process end.
pub(crate) fn stop_signal(pid: i32) -> i32 {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match name {
        "openrc-init" | "s6-svscan" => Signal::TERM.as_raw(),
        "busybox" => Signal::USR2.as_raw(),
        "init" => by_inittab(&inittab(pid).unwrap_or_default()),
        _ => SIGRTMIN + 3,
    }
}

fn inittab(pid: i32) -> Option<String> {
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(&root, flags, Mode::empty()).ok()?;
    let content = read_database(root.as_fd(), "etc/inittab").ok()??;
    Some(String::from_utf8_lossy(&content).into_owned())
}

/// sysvinit has no signal that means a stop. A power failure does where its table shuts down then;
/// otherwise the three keys do: the restart they ask for is an end for who waits for one.
fn by_inittab(table: &str) -> i32 {
    let entries = table
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let mut by_power = false;
    for entry in entries {
        // id:runlevels:action:process
        let mut fields = entry.splitn(4, ':').skip(2);
        let (Some(action), Some(process)) = (fields.next(), fields.next()) else {
            continue;
        };
        let ends = ["shutdown", "halt", "poweroff", "init 0"];
        let is_end = ends.iter().any(|word| process.contains(word));
        by_power |= is_end && matches!(action, "powerfail" | "powerwait" | "powerfailnow");
    }
    match by_power {
        true => Signal::POWER.as_raw(),
        false => Signal::INT.as_raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_whether_a_power_failure_ends_the_system() {
        let debian = "# pf::powerwait:/sbin/halt\n\
            ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now\n\
            pf::powerwait:/etc/init.d/powerfail start\n";
        assert_eq!(by_inittab(debian), Signal::INT.as_raw());
        let lxc = "p0::powerfail:/sbin/init 0\nbroken\n:::\n";
        assert_eq!(by_inittab(lxc), Signal::POWER.as_raw());
        assert_eq!(by_inittab(""), Signal::INT.as_raw());
    }

    #[test]
    fn what_is_not_known_is_asked_as_systemd_is() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(
            stop_signal(own),
            crate::oci::parse_signal("RTMIN+3").unwrap()
        );
    }
}
