//! config.md: version, root, hostname, annotations, unknown members.

use std::fs;

use serde_json::json;

use crate::bundle::Bundle;

/// "ociVersion … MUST be in SemVer v2.0.0 format".
#[test]
fn oci_versions() {
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"] {
        let bundle = Bundle::sh("echo ok").set("/ociVersion", json!(version));
        assert_eq!(bundle.run().text(), "ok", "{version}");
    }
}

/// "root.path is either an absolute path or a relative path to the bundle."
#[test]
fn root_path_may_be_absolute() {
    let bundle = Bundle::sh("echo ok");
    let path = bundle.rootfs();
    assert_eq!(bundle.set("/root/path", json!(path)).run().text(), "ok");
}

#[test]
fn root_path_must_exist() {
    let finished = Bundle::sh("true").set("/root/path", json!("nowhere")).run();
    assert!(finished.fails().contains("nowhere"), "{finished:?}");
}

#[test]
fn root_readonly() {
    let finished = Bundle::sh("touch /x")
        .set("/root/readonly", json!(true))
        .run();
    assert!(
        finished.fails().contains("Read-only file system"),
        "{finished:?}"
    );
    assert_eq!(Bundle::sh("touch /x && echo ok").run().text(), "ok");
}

/// The old root is gone, not hidden: nothing of the host is reachable.
#[test]
fn nothing_of_the_host_is_mounted() {
    let mounts = Bundle::of(&["cat", "/proc/self/mountinfo"]).run();
    for line in mounts.text().lines() {
        let point = line.split(' ').nth(4).unwrap();
        let own = ["/", "/proc", "/dev", "/sys"].contains(&point) || point.starts_with("/dev/");
        assert!(own, "{line}");
    }
}

#[test]
fn hostname_and_domainname() {
    let bundle = Bundle::sh("hostname; cat /proc/sys/kernel/domainname")
        .set("/hostname", json!("mine"))
        .set("/domainname", json!("example.org"));
    assert_eq!(bundle.run().text(), "mine\nexample.org");
}

/// A hostname needs a uts namespace: the host's name must not change.
#[test]
fn hostname_without_a_uts_namespace_is_an_error() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    Bundle::sh("true").without_namespace("uts").run().fails();
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        before
    );
}

/// "Extensibility: … MUST NOT generate an error if they encounter an unknown property."
#[test]
fn unknown_members_are_ignored() {
    let bundle = Bundle::sh("echo ok")
        .set("/x-unknown", json!({"a": [1]}))
        .set("/process/x-unknown", json!(1))
        .set("/linux/x-unknown", json!("x"));
    assert_eq!(bundle.run().text(), "ok");
}

/// Members of other platforms are none of ours.
#[test]
fn other_platforms_are_ignored() {
    let bundle = Bundle::sh("echo ok").set("/solaris", json!({"milestone": "x"}));
    assert_eq!(bundle.run().text(), "ok");
}

/// "Annotations: … Keys MUST be strings, values MUST be strings."
#[test]
fn annotations_may_be_anything() {
    let bundle =
        Bundle::sh("echo ok").set("/annotations", json!({"com.example.key": "", "ü": "ö"}));
    assert_eq!(bundle.run().text(), "ok");
}

/// "Default Filesystems" and "Default Devices".
#[test]
fn default_devices() {
    let script = "for d in null zero full random urandom tty; do stat -c '%n %t %T %a' /dev/$d; done;\
        for l in ptmx fd stdin stdout stderr; do readlink /dev/$l; done; test -c /dev/pts/ptmx && echo pts";
    let finished = Bundle::sh(script).run();
    let text = finished.text();
    for line in [
        "/dev/null 1 3 666",
        "/dev/zero 1 5 666",
        "/dev/full 1 7 666",
        "/dev/random 1 8 666",
        "/dev/urandom 1 9 666",
        "/dev/tty 5 0 666",
        "pts/ptmx",
        "/proc/self/fd",
        "/proc/self/fd/0",
        "pts",
    ] {
        assert!(
            text.lines().any(|seen| seen == line),
            "{line} is missing in {text}"
        );
    }
    let script = "echo x > /dev/null && head -c1 /dev/zero | wc -c && echo x > /dev/full";
    let finished = Bundle::sh(script).run();
    assert!(
        finished.stdout.starts_with('1') && finished.stderr.contains("No space"),
        "{finished:?}"
    );
}
