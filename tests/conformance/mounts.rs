//! config.md, "Mounts": order, kinds, and every row of the table of options.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};

use serde_json::json;

use crate::bundle::Bundle;

/// The line of /proc/self/mountinfo for a mount point.
fn line_of(text: &str, point: &str) -> String {
    let line = text
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some(point));
    line.unwrap_or_else(|| panic!("nothing is mounted at {point}: {text}"))
        .to_owned()
}

/// What is mounted at `/mnt` in a container that has one tmpfs with these options there.
fn tmpfs_with(options: &[&str]) -> String {
    let bundle =
        Bundle::of(&["cat", "/proc/self/mountinfo"]).mount("/mnt", "tmpfs", "tmpfs", options);
    line_of(bundle.run().text(), "/mnt")
}

/// The same for a bind mount of a directory.
fn bind_with(options: &[&str]) -> String {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"]);
    let source = bundle.beside("source");
    fs::create_dir(&source).unwrap();
    let bundle = bundle.mount("/mnt", "bind", &source, options);
    line_of(bundle.run().text(), "/mnt")
}

/// The options of the mount point itself, not of the file system.
fn flags(line: &str) -> Vec<&str> {
    line.split(' ').nth(5).unwrap().split(',').collect()
}

#[test]
fn mounts_are_made_in_order() {
    let bundle = Bundle::sh("ls /mnt; cat /mnt/in/file");
    let source = bundle.beside("source");
    fs::create_dir(&source).unwrap();
    fs::write(format!("{source}/file"), "deep\n").unwrap();
    let bundle =
        bundle
            .mount("/mnt", "tmpfs", "tmpfs", &[])
            .mount("/mnt/in", "bind", &source, &["bind"]);
    assert_eq!(bundle.run().text(), "in\ndeep");
}

#[test]
fn a_later_mount_hides_an_earlier_one() {
    let bundle = Bundle::sh("df /mnt | tail -1 | tr -s ' ' | cut -d' ' -f2")
        .mount("/mnt", "tmpfs", "tmpfs", &["size=4k"])
        .mount("/mnt", "tmpfs", "tmpfs", &["size=8k"]);
    assert_eq!(bundle.run().text(), "8");
}

/// "it MAY be a relative path, in which case it MUST be interpreted as relative to '/'".
#[test]
fn a_relative_destination_is_below_the_root() {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"]).mount("mnt/x", "tmpfs", "tmpfs", &[]);
    line_of(bundle.run().text(), "/mnt/x");
}

/// "Path values for bind mounts are either absolute or relative to the bundle."
#[test]
fn a_relative_source_is_below_the_bundle() {
    let bundle = Bundle::of(&["cat", "/mnt/file"]);
    fs::create_dir(bundle.path().join("relative")).unwrap();
    fs::write(bundle.path().join("relative/file"), "found").unwrap();
    assert_eq!(
        bundle
            .mount("/mnt", "bind", "relative", &["bind"])
            .run()
            .text(),
        "found"
    );
}

/// "A mount is a bind mount if it has either bind or rbind in the options": the type is a dummy.
#[test]
fn the_type_of_a_bind_mount_is_a_dummy() {
    for kind in ["none", "bind", "ext4", ""] {
        let bundle = Bundle::of(&["cat", "/mnt/file"]);
        let source = bundle.beside("source");
        fs::create_dir(&source).unwrap();
        fs::write(format!("{source}/file"), "found").unwrap();
        assert_eq!(
            bundle.mount("/mnt", kind, &source, &["rbind"]).run().text(),
            "found",
            "{kind}"
        );
    }
}

#[test]
fn a_file_may_be_bound_on_a_file() {
    let bundle = Bundle::of(&["cat", "/etc/new"]);
    let source = bundle.beside("file");
    fs::write(&source, "bound").unwrap();
    assert_eq!(
        bundle
            .mount("/etc/new", "bind", &source, &["bind", "ro"])
            .run()
            .text(),
        "bound"
    );
}

#[test]
fn a_missing_source_is_named() {
    let bundle = Bundle::sh("true").mount("/mnt", "bind", "/nonexistent/source", &["bind"]);
    let finished = bundle.run();
    assert!(
        finished.fails().contains("/nonexistent/source"),
        "{finished:?}"
    );
}

#[test]
fn an_unknown_type_is_named() {
    let finished = Bundle::sh("true")
        .mount("/mnt", "nonesuchfs", "x", &[])
        .run();
    assert!(finished.fails().contains("nonesuchfs"), "{finished:?}");
}

/// A symlink in the root file system never leads out of it.
#[test]
fn a_destination_is_resolved_inside_the_root() {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"]);
    let outside = bundle.beside("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, bundle.rootfs().join("link")).unwrap();
    let bundle = bundle.mount("/link/x", "tmpfs", "tmpfs", &[]);
    let finished = bundle.run();
    assert_eq!(
        fs::read_dir(&outside).unwrap().count(),
        0,
        "something was made outside"
    );
    if finished.code == 0 {
        assert!(
            finished.stdout.contains(&format!("{outside}/x")),
            "{finished:?}"
        );
    }
}

#[test]
fn a_symlink_inside_the_root_is_followed() {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"]);
    fs::create_dir_all(bundle.rootfs().join("real")).unwrap();
    symlink("/real", bundle.rootfs().join("link")).unwrap();
    line_of(
        bundle.mount("/link", "tmpfs", "tmpfs", &[]).run().text(),
        "/real",
    );
}

/// The rows whose effect is a flag of the mount point.
#[test]
fn options_that_set_a_flag() {
    for (option, flag) in [
        ("ro", "ro"),
        ("rw", "rw"),
        ("nosuid", "nosuid"),
        ("nodev", "nodev"),
        ("noexec", "noexec"),
        ("noatime", "noatime"),
        ("nodiratime", "nodiratime"),
        ("relatime", "relatime"),
    ] {
        let line = tmpfs_with(&[option]);
        assert!(flags(&line).contains(&flag), "tmpfs {option}: {line}");
        let line = bind_with(&["bind", option]);
        assert!(flags(&line).contains(&flag), "bind {option}: {line}");
    }
    let line = tmpfs_with(&["nosymfollow"]);
    assert!(flags(&line).contains(&"nosymfollow"), "{line}");
    for options in [&["strictatime"][..], &["bind", "strictatime"]] {
        let line = if options.len() == 1 {
            tmpfs_with(options)
        } else {
            bind_with(options)
        };
        let found = flags(&line);
        assert!(
            !found.contains(&"relatime") && !found.contains(&"noatime"),
            "{line}"
        );
    }
}

/// The rows that take a flag back.
#[test]
fn options_that_clear_a_flag() {
    for (set, clear, flag) in [
        ("ro", "rw", "ro"),
        ("nosuid", "suid", "nosuid"),
        ("nodev", "dev", "nodev"),
        ("noexec", "exec", "noexec"),
        ("noatime", "atime", "noatime"),
        ("nodiratime", "diratime", "nodiratime"),
        ("nosymfollow", "symfollow", "nosymfollow"),
    ] {
        let line = tmpfs_with(&[set, clear]);
        assert!(!flags(&line).contains(&flag), "{set},{clear}: {line}");
    }
}

/// The rows that have no effect on a tmpfs of this kernel, but must be taken.
#[test]
fn options_that_are_taken() {
    for option in [
        "async",
        "sync",
        "defaults",
        "dirsync",
        "iversion",
        "noiversion",
        "lazytime",
        "nolazytime",
        "loud",
        "silent",
        "norelatime",
        "nostrictatime",
        "mand",
        "nomand",
    ] {
        tmpfs_with(&[option]);
    }
    for option in ["sync", "dirsync", "lazytime"] {
        let line = tmpfs_with(&[option]);
        let of_file_system = line.rsplit(' ').next().unwrap();
        assert!(
            of_file_system.split(',').any(|flag| flag == option),
            "{option}: {line}"
        );
    }
}

/// "private", "shared", "slave", "unbindable" and their recursive forms.
#[test]
fn options_of_propagation() {
    for (option, field) in [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let line = bind_with(&["bind", option]);
        let optional = line
            .split(" - ")
            .next()
            .unwrap()
            .split(' ')
            .skip(6)
            .collect::<String>();
        if field.is_empty() {
            assert_eq!(optional, "", "{option}: {line}");
        } else {
            assert!(optional.contains(field), "{option}: {line}");
        }
    }
    for option in ["slave", "rslave"] {
        bind_with(&["bind", option]);
    }
}

#[test]
fn rbind_takes_the_mounts_below_and_bind_does_not() {
    for (option, found) in [("rbind", "yes"), ("bind", "no")] {
        let bundle = Bundle::sh("test -e /mnt/pts/ptmx && echo yes || echo no");
        let bundle = bundle.mount("/mnt", "bind", "/dev", &[option]);
        let on_host = fs::exists("/dev/pts/ptmx").unwrap();
        if on_host {
            assert_eq!(bundle.run().text(), found, "{option}");
        }
    }
}

/// The recursive rows: they reach the mounts below.
#[test]
fn recursive_options() {
    for (option, flag, set) in [
        ("rro", "ro", true),
        ("rnosuid", "nosuid", true),
        ("rnodev", "nodev", true),
        ("rnoexec", "noexec", true),
        ("rnoatime", "noatime", true),
        ("rnodiratime", "nodiratime", true),
        ("rrelatime", "relatime", true),
        ("rnosymfollow", "nosymfollow", true),
        ("rrw", "ro", false),
        ("rsuid", "nosuid", false),
        ("rdev", "nodev", false),
        ("rexec", "noexec", false),
        ("ratime", "noatime", false),
        ("rdiratime", "nodiratime", false),
        ("rsymfollow", "nosymfollow", false),
        ("rstrictatime", "relatime", false),
        ("rnorelatime", "nodev_", false),
        ("rnostrictatime", "nodev_", false),
    ] {
        let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"]).mount(
            "/mnt",
            "bind",
            "/sys",
            &["rbind", option],
        );
        let finished = bundle.run();
        let below = line_of(finished.text(), "/mnt/fs/cgroup");
        assert_eq!(flags(&below).contains(&flag), set, "{option}: {below}");
    }
}

#[test]
fn remount_changes_the_flags() {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"])
        .mount("/mnt", "tmpfs", "tmpfs", &[])
        .mount("/mnt", "tmpfs", "tmpfs", &["remount", "ro"]);
    let line = line_of(bundle.run().text(), "/mnt");
    assert!(flags(&line).contains(&"ro"), "{line}");
}

/// "Runtimes SHOULD treat unknown options as filesystem-specific ones".
#[test]
fn unknown_options_go_to_the_file_system() {
    let line = tmpfs_with(&["size=64k", "mode=711", "nr_inodes=10"]);
    assert!(
        line.contains("size=64k") && line.contains("mode=711") && line.contains("nr_inodes=10"),
        "{line}"
    );
    let finished = Bundle::sh("true")
        .mount("/mnt", "tmpfs", "tmpfs", &["nonesuch=1"])
        .run();
    assert!(finished.fails().contains("/mnt"), "{finished:?}");
}

/// "tmpcopyup: copy up the contents to a tmpfs".
#[test]
fn tmpcopyup_keeps_the_contents() {
    let bundle = Bundle::sh(
        "cat /data/a /data/deep/b; readlink /data/l; stat -c %a /data/a; touch /data/new",
    );
    let data = bundle.rootfs().join("data");
    fs::create_dir_all(data.join("deep")).unwrap();
    fs::write(data.join("a"), "A\n").unwrap();
    fs::write(data.join("deep/b"), "B\n").unwrap();
    symlink("a", data.join("l")).unwrap();
    let bundle = bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(bundle.run().text(), "A\nB\na\n644");
    assert!(!data.join("new").exists(), "it was written through");
}

/// "uidMappings", "gidMappings", `idmap`: ids of the source are shifted.
#[test]
fn idmapped_mounts() {
    let bundle = Bundle::sh("stat -c '%u %g' /mnt/file");
    let source = bundle.beside("source");
    fs::create_dir(&source).unwrap();
    fs::write(format!("{source}/file"), "").unwrap();
    chown(format!("{source}/file"), Some(1), Some(2)).unwrap();
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 100}]);
    let mount = json!({"destination": "/mnt", "type": "bind", "source": source, "options": ["bind", "idmap"],
                       "uidMappings": map, "gidMappings": map});
    let bundle = bundle.push("/mounts", mount);
    let finished = bundle.run();
    assert_eq!(finished.text(), "1001 1002");
}

/// "it MUST be specified along with gidMappings".
#[test]
fn one_mapping_without_the_other_is_an_error() {
    let mount = json!({"destination": "/mnt", "type": "bind", "source": "/tmp", "options": ["bind", "idmap"],
                       "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]});
    let finished = Bundle::sh("true").push("/mounts", mount).run();
    assert!(finished.fails().contains("mounts"), "{finished:?}");
}

/// Directories that a mount needs are made; as root's, readable for all.
#[test]
fn missing_mount_points_are_made() {
    let bundle = Bundle::sh("stat -c '%u %a' /made/deep").mount(
        "/made/deep",
        "tmpfs",
        "tmpfs",
        &["mode=700"],
    );
    assert_eq!(bundle.run().text(), "0 700");
    let made = bundle.rootfs().join("made");
    assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn proc_and_sys_and_mqueue() {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"]).mount(
        "/dev/mqueue",
        "mqueue",
        "mqueue",
        &["nosuid", "noexec", "nodev"],
    );
    let finished = bundle.run();
    for (point, kind) in [
        ("/proc", " - proc "),
        ("/sys", " - sysfs "),
        ("/dev/pts", " - devpts "),
        ("/dev/shm", " - tmpfs "),
        ("/dev/mqueue", " - mqueue "),
    ] {
        assert!(
            line_of(finished.text(), point).contains(kind),
            "{finished:?}"
        );
    }
}

/// An overlay given as a plain mount.
#[test]
fn an_overlay_as_a_mount() {
    let bundle = Bundle::sh("cat /mnt/low && echo new > /mnt/high");
    for name in ["lower", "upper", "work"] {
        fs::create_dir(bundle.path().join(name)).unwrap();
    }
    fs::write(bundle.path().join("lower/low"), "low\n").unwrap();
    let options: Vec<_> = ["lowerdir=lower", "upperdir=upper", "workdir=work"]
        .iter()
        .map(|option| {
            let (name, directory) = option.split_once('=').unwrap();
            format!("{name}={}", bundle.beside(directory))
        })
        .collect();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let bundle = bundle.mount("/mnt", "overlay", "overlay", &options);
    assert_eq!(bundle.run().text(), "low");
    assert!(bundle.path().join("upper/high").exists());
}
