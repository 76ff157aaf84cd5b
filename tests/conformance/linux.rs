//! config-linux.md: devices, network devices, sysctl, propagation of the root, masked and
//! read-only paths, personality, memory policy.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;

use crate::bundle::Bundle;

/// "type, path, major, minor, fileMode, uid, gid".
#[test]
fn devices_are_made_as_asked() {
    let devices = json!([
        {"path": "/dev/one", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8},
        {"path": "/dev/two", "type": "u", "major": 1, "minor": 5, "fileMode": 0o600},
        {"path": "/dev/block", "type": "b", "major": 7, "minor": 0, "fileMode": 0o660},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
        {"path": "/elsewhere/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666},
    ]);
    let script =
        "stat -c '%F %t %T %a %u %g' /dev/one /dev/two /dev/block /dev/pipe /elsewhere/null";
    let finished = Bundle::sh(script).set("/linux/devices", devices).run();
    let wanted = [
        "character special file 1 3 640 7 8",
        "character special file 1 5 600 0 0",
        "block special file 7 0 660 0 0",
        "fifo 0 0 622 0 0",
        "character special file 1 3 666 0 0",
    ];
    assert_eq!(finished.text().lines().collect::<Vec<_>>(), wanted);
}

/// "If a file already exists at path that does not match the requested device, … error".
#[test]
fn a_file_in_the_way_of_a_device_is_an_error() {
    let devices = json!([{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}]);
    let finished = Bundle::sh("true").set("/linux/devices", devices).run();
    assert!(finished.fails().contains("/etc/passwd"), "{finished:?}");
}

/// A device that is there already and matches is taken.
#[test]
fn a_default_device_may_be_listed() {
    let devices =
        json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]);
    assert_eq!(
        Bundle::sh("echo x > /dev/null && echo ok")
            .set("/linux/devices", devices)
            .run()
            .text(),
        "ok"
    );
}

#[test]
fn sysctl_of_each_namespace() {
    let sysctl = json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "1234567", "kernel.domainname": "sys.example"});
    let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmax kernel/domainname";
    let finished = Bundle::sh(script).set("/linux/sysctl", sysctl).run();
    assert_eq!(finished.text(), "1\n1234567\nsys.example");
    let slashes = Bundle::sh("cat /proc/sys/net/ipv4/ip_forward")
        .set("/linux/sysctl", json!({"net/ipv4/ip_forward": "1"}));
    assert_eq!(slashes.run().text(), "1");
}

/// What is not the container's own must not change the host.
#[test]
fn sysctl_of_the_host_is_an_error() {
    for (name, value) in [
        ("vm.swappiness", "1"),
        ("kernel.panic", "77"),
        ("net.ipv4.nonesuch", "1"),
        ("net.ipv4.ip_forward", "x"),
    ] {
        let finished = Bundle::sh("true")
            .set("/linux/sysctl", json!({name: value}))
            .run();
        assert!(finished.fails().contains(name), "{finished:?}");
    }
    let finished = Bundle::sh("true")
        .without_namespace("network")
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .run();
    assert!(
        finished.fails().contains("net.ipv4.ip_forward"),
        "{finished:?}"
    );
}

fn root_line(propagation: &str) -> String {
    let bundle = Bundle::of(&["cat", "/proc/self/mountinfo"])
        .set("/linux/rootfsPropagation", json!(propagation));
    let finished = bundle.run();
    let line = finished
        .text()
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    line.unwrap_or_else(|| panic!("no root in {finished:?}"))
        .to_owned()
}

#[test]
fn root_propagation() {
    assert!(root_line("shared").contains(" shared:"));
    assert!(!root_line("private").contains(" shared:"));
    assert!(!root_line("private").contains(" master:"));
    assert!(root_line("unbindable").contains(" unbindable"));
    assert!(!root_line("slave").contains(" shared:"));
    Bundle::sh("true")
        .set("/linux/rootfsPropagation", json!("nonesuch"))
        .run()
        .fails();
}

/// "maskedPaths … so that they cannot be read".
#[test]
fn masked_files_and_directories() {
    let script =
        "wc -c < /etc/passwd; ls /masked | wc -l; touch /masked/x 2>&1 | grep -c Read-only";
    let bundle = Bundle::sh(script).set(
        "/linux/maskedPaths",
        json!(["/etc/passwd", "/masked", "/nonexistent"]),
    );
    fs::create_dir(bundle.rootfs().join("masked")).unwrap();
    fs::write(bundle.rootfs().join("masked/secret"), "x").unwrap();
    let finished = bundle.run();
    assert_eq!(finished.text(), "0\n0\n1");
}

/// A masked path that is a symlink of the image must not reach the host.
#[test]
fn a_masked_symlink_stays_inside() {
    let bundle = Bundle::sh("echo ok").set("/linux/maskedPaths", json!(["/link"]));
    let outside = bundle.beside("outside");
    fs::write(&outside, "host").unwrap();
    symlink(&outside, bundle.rootfs().join("link")).unwrap();
    let _either_way = bundle.run();
    assert_eq!(fs::read_to_string(outside).unwrap(), "host");
}

#[test]
fn readonly_paths() {
    let bundle =
        Bundle::sh("touch /etc/x; touch /tmp/y && echo ok; echo 1 > /proc/sys/kernel/hostname")
            .set(
                "/linux/readonlyPaths",
                json!(["/etc", "/proc/sys", "/nonexistent"]),
            );
    let finished = bundle.run();
    assert!(finished.stdout.contains("ok"), "{finished:?}");
    assert_eq!(
        finished.stderr.matches("Read-only file system").count(),
        2,
        "{finished:?}"
    );
}

#[test]
fn personality_of_32_bits() {
    let bundle = Bundle::sh("uname -m").set("/linux/personality", json!({"domain": "LINUX32"}));
    assert_eq!(bundle.run().text(), "i686");
    let bundle = Bundle::sh("uname -m").set("/linux/personality", json!({"domain": "LINUX"}));
    assert_eq!(bundle.run().text(), "x86_64");
    let finished = Bundle::sh("true")
        .set("/linux/personality", json!({"domain": "AMIGA"}))
        .run();
    assert!(finished.fails().contains("personality"), "{finished:?}");
}

#[test]
fn memory_policy() {
    let bind = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    let finished = Bundle::of(&["head", "-1", "/proc/self/numa_maps"])
        .set("/linux/memoryPolicy", bind)
        .run();
    // The host may have no NUMA at all: then the error names the member.
    if finished.code == 0 {
        assert!(finished.stdout.contains("bind"), "{finished:?}");
    } else {
        assert!(
            finished.stderr.contains("memoryPolicy") || finished.stderr.contains("numa_maps"),
            "{finished:?}"
        );
    }
    for (policy, what) in [
        (json!({"mode": "MPOL_NONE"}), "mode"),
        (json!({"mode": "MPOL_BIND"}), "nodes"),
        (
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NONE"]}),
            "flags",
        ),
        (json!({"mode": "MPOL_BIND", "nodes": "x"}), "nodes"),
    ] {
        let finished = Bundle::sh("true").set("/linux/memoryPolicy", policy).run();
        assert!(
            finished.fails().contains("memoryPolicy"),
            "{what}: {finished:?}"
        );
    }
}

/// A device of the host, made for the test; `None` where the kernel has no such type.
fn host_device(name: &str) -> bool {
    let add = [
        "link",
        "add",
        name,
        "type",
        "veth",
        "peer",
        "name",
        &format!("{name}p"),
    ];
    Command::new("ip")
        .args(add)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn remove_device(name: &str) {
    // It is gone with the container's network, as it should be.
    drop(Command::new("ip").args(["link", "delete", name]).output());
}

/// "netDevices": moved, renamed, addresses kept, up.
#[test]
fn network_devices_are_moved() {
    let name = "insulat0";
    if !host_device(name) {
        return;
    }
    let addressed = Command::new("ip")
        .args(["addr", "add", "192.0.2.77/24", "dev", name])
        .output();
    assert!(addressed.is_ok_and(|output| output.status.success()));
    let bundle = Bundle::sh("ip -o addr show inside; cat /sys/class/net/inside/flags")
        .set("/linux/netDevices", json!({name: {"name": "inside"}}));
    let finished = bundle.run();
    remove_device(name);
    remove_device(&format!("{name}p"));
    assert!(finished.text().contains("192.0.2.77/24"), "{finished:?}");
    let flags = finished
        .text()
        .lines()
        .last()
        .unwrap()
        .trim_start_matches("0x")
        .to_owned();
    assert_eq!(
        u32::from_str_radix(&flags, 16).unwrap() & 1,
        1,
        "it is not up: {finished:?}"
    );
}

#[test]
fn a_network_device_that_is_not_there_is_named() {
    let finished = Bundle::sh("true")
        .set("/linux/netDevices", json!({"nonesuch0": {}}))
        .run();
    assert!(finished.fails().contains("nonesuch0"), "{finished:?}");
}

/// "If a network device with the specified name already exists …, the runtime MUST generate an
/// error".
#[test]
fn a_network_device_name_in_use_is_an_error() {
    let name = "insulat1";
    if !host_device(name) {
        return;
    }
    let finished = Bundle::sh("true")
        .set("/linux/netDevices", json!({name: {"name": "lo"}}))
        .run();
    let still_here = fs::exists(format!("/sys/class/net/{name}")).unwrap();
    remove_device(name);
    assert!(finished.fails().contains("lo"), "{finished:?}");
    assert!(still_here, "the device is lost");
}
