//! Which cgroup hierarchies this host has, and whether they can be written.
//!
//! Three layouts exist: one v2 tree; one v1 tree per controller; and the hybrid, v1 trees with a v2
//! tree beside them that has what is left.

use insula_sys::rustix::fs::{Access, access};

use super::{Check, Verdict, read_trimmed};

/// A mounted hierarchy and the controllers it has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount_point: String,
    controllers: Vec<String>,
    is_v2: bool,
}

/// The controllers that limits of a container need, and what is lost without each.
const CONTROLLERS: [(&str, &str, &str); 7] = [
    ("memory", "memory", "-m and memory limits"),
    ("cpu", "cpu", "--cpus and processor shares"),
    ("cpuset", "cpuset", "binding containers to processors"),
    ("pids", "pids", "limits on the number of processes"),
    ("io", "blkio", "limits on block devices"),
    // In v2 these two are no controllers: BPF programs and a file of every cgroup do their work.
    ("", "devices", "the list of allowed devices"),
    ("", "freezer", "pause and resume"),
];

/// `v2`, `v1`, `hybrid` or `none`.
#[must_use]
pub fn layout() -> &'static str {
    layout_of(&mounted())
}

fn layout_of(hierarchies: &[Hierarchy]) -> &'static str {
    let has_v2 = hierarchies.iter().any(|hierarchy| hierarchy.is_v2);
    let has_v1 = hierarchies
        .iter()
        .any(|hierarchy| !hierarchy.is_v2 && !hierarchy.controllers.is_empty());
    match (has_v1, has_v2) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    }
}

pub(super) fn checks() -> Vec<Check> {
    let hierarchies = mounted();
    let layout = layout_of(&hierarchies);
    if layout == "none" {
        return vec![
            Check::new(
                "cgroup",
                Verdict::Fail,
                "no hierarchy is mounted",
                "limits, and ending all processes of a container",
            )
            .fix("mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
        ];
    }
    let mut checks = vec![writable(&hierarchies, layout)];
    for (v2_name, v1_name, lost) in CONTROLLERS {
        checks.push(controller(&hierarchies, v2_name, v1_name, lost));
    }
    checks
}

fn writable(hierarchies: &[Hierarchy], layout: &str) -> Check {
    let refused = hierarchies
        .iter()
        .find(|hierarchy| access(&hierarchy.mount_point, Access::WRITE_OK).is_err());
    let Some(hierarchy) = refused else {
        return Check::ok("cgroup", format!("{layout}, writable"));
    };
    let found = format!("{layout}, {} cannot be written", hierarchy.mount_point);
    let check = Check::new("cgroup", Verdict::Warn, found, "limits of containers");
    if super::process::is_root() {
        check.fix(format!("mount -o remount,rw {}", hierarchy.mount_point))
    } else {
        check.fix("sudo insula doctor")
    }
}

fn controller(hierarchies: &[Hierarchy], v2: &str, v1: &str, lost: &'static str) -> Check {
    let name = format!("cgroup-{}", if v2.is_empty() { v1 } else { v2 });
    let found = hierarchies.iter().find(|hierarchy| {
        let wanted = if hierarchy.is_v2 { v2 } else { v1 };
        hierarchy.controllers.iter().any(|found| found == wanted)
    });
    if let Some(hierarchy) = found {
        let version = if hierarchy.is_v2 { "v2" } else { "v1" };
        return Check::ok(name, format!("{version} at {}", hierarchy.mount_point));
    }
    let only_v2 = hierarchies.iter().all(|hierarchy| hierarchy.is_v2);
    if only_v2 && v2.is_empty() {
        return Check::ok(name, "part of v2");
    }
    Check::new(
        name,
        Verdict::Warn,
        "no hierarchy has this controller",
        lost,
    )
}

fn mounted() -> Vec<Hierarchy> {
    let mounts = read_trimmed("/proc/self/mountinfo").unwrap_or_default();
    let mut hierarchies = parse_mounts(&mounts);
    for hierarchy in hierarchies.iter_mut().filter(|hierarchy| hierarchy.is_v2) {
        let file = format!("{}/cgroup.controllers", hierarchy.mount_point);
        let controllers = read_trimmed(file).unwrap_or_default();
        hierarchy.controllers = controllers.split_whitespace().map(str::to_owned).collect();
    }
    hierarchies
}

/// Reads the cgroup lines of `/proc/self/mountinfo`. A v1 hierarchy names its controllers in the
/// options of its super block.
fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    let known = |option: &&str| CONTROLLERS.iter().any(|(_, v1, _)| v1 == option);
    let hierarchy = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mount_point = left.split(' ').nth(4)?.to_owned();
        let mut fields = right.split(' ');
        let is_v2 = match fields.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let options = fields.nth(1).filter(|_| !is_v2).unwrap_or_default();
        let controllers = options.split(',').filter(known).map(str::to_owned);
        Some(Hierarchy {
            mount_point,
            controllers: controllers.collect(),
            is_v2,
        })
    };
    mounts.lines().filter_map(hierarchy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,name=systemd";

    #[test]
    fn a_hybrid_layout_is_recognised_with_its_controllers() {
        let hierarchies = parse_mounts(HYBRID);
        assert_eq!(layout_of(&hierarchies), "hybrid");
        assert_eq!(hierarchies[1].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(hierarchies[1].controllers, ["cpu"]);
    }

    #[test]
    fn v2_alone_is_v2_and_nothing_is_none() {
        let v2 = "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(layout_of(&parse_mounts(v2)), "v2");
        assert_eq!(layout_of(&[]), "none");
    }

    #[test]
    fn a_missing_controller_says_what_is_lost() {
        let check = controller(&parse_mounts(HYBRID), "memory", "memory", "-m");
        assert_eq!((check.verdict, check.lost), (Verdict::Warn, "-m"));
    }
}
