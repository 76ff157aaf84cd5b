//! Images that try to lead the runtime out of their root directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::Case;
use crate::harness::{Bundle, Outcome, ensure, mount_on, mounts_on};

pub(crate) const CASES: &[Case] = &[
    ("proc_and_sys_must_be_ordinary_directories", pseudo),
    ("dev_that_is_a_link_does_not_lead_out", dev_link),
    ("links_of_mount_points_stay_inside", links),
    ("dangling_links_are_made_inside", dangling),
    ("magic_links_are_not_followed", magic),
    ("nothing_is_mounted_below_proc", below_proc),
    ("a_fake_null_device_is_not_used_for_masks", fake_null),
    ("devices_do_not_go_through_links", device_link),
];

fn pseudo() -> Outcome {
    for name in ["proc", "sys"] {
        let bundle = Bundle::new();
        fs::create_dir(bundle.root("other")).unwrap();
        symlink("/other", bundle.root(name)).unwrap();
        bundle.refused("must be mounted on ordinary directory")?;
        let bundle = Bundle::new();
        symlink(name, bundle.root(name)).unwrap();
        bundle.refused("must be mounted on ordinary directory")?;
        let bundle = Bundle::new();
        fs::write(bundle.root(name), "").unwrap();
        bundle.refused("must be mounted on ordinary directory")?;
    }
    Ok(())
}

fn dev_link() -> Outcome {
    // Without a mount on /dev, the link itself would be filled with devices.
    let mut bundle = Bundle::new();
    for destination in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.without_mount(destination);
    }
    fs::create_dir(bundle.path("outside")).unwrap();
    fs::write(bundle.path("outside/ptmx"), "mark").unwrap();
    symlink(bundle.path("outside"), bundle.root("dev")).unwrap();
    bundle.refused("open /dev")?;
    let names = fs::read_dir(bundle.path("outside")).unwrap().count();
    ensure(
        names == 1 && fs::read(bundle.path("outside/ptmx")).unwrap() == b"mark",
        "led out",
    )
}

fn links() -> Outcome {
    let mut bundle = Bundle::new();
    symlink("/../../..", bundle.root("up")).unwrap();
    symlink("/etc", bundle.root("absolute")).unwrap();
    fs::create_dir_all(bundle.root("etc")).unwrap();
    for destination in [
        "/up/made-by-insula",
        "/absolute/made-by-insula",
        "/../../made-too",
    ] {
        bundle.mount(json!({"destination": destination, "type": "tmpfs"}));
    }
    bundle.pass(|| {
        for path in ["/made-by-insula", "/etc/made-by-insula", "/made-too"] {
            mount_on(path)?;
        }
        Ok(())
    })?;
    let outside = ["/made-by-insula", "/etc/made-by-insula", "/made-too"];
    ensure(
        !outside.iter().any(|path| Path::new(path).exists()),
        "made outside",
    )
}

fn dangling() -> Outcome {
    let mut bundle = Bundle::new();
    fs::create_dir(bundle.root("etc")).unwrap();
    symlink("/tmp/insula-foo/bar", bundle.root("jump")).unwrap();
    symlink("/jump/baz/hosts", bundle.root("etc/hosts")).unwrap();
    symlink("/tmp/insula-directory", bundle.root("etc/directory")).unwrap();
    fs::write(bundle.path("file"), "text").unwrap();
    bundle.mount(json!({"destination": "/etc/hosts", "source": "file", "options": ["bind"]}));
    bundle.mount(json!({"destination": "/etc/directory", "source": ".", "options": ["bind"]}));
    bundle.pass(|| {
        mount_on("/tmp/insula-foo/bar/baz/hosts")?;
        mount_on("/tmp/insula-directory").map(drop)
    })?;
    ensure(!Path::new("/tmp/insula-foo").exists(), "made on the host")
}

fn magic() -> Outcome {
    // A bind of the host's /proc into the image gives it links to everything that is open.
    let mut bundle = Bundle::new();
    symlink("/proc/self/root/tmp/insula-magic", bundle.root("escape")).unwrap();
    symlink("/proc/1/cwd", bundle.root("escape2")).unwrap();
    bundle.mount(json!({"destination": "/escape/x", "type": "tmpfs"}));
    bundle.refused("error mounting")?;
    ensure(!Path::new("/tmp/insula-magic").exists(), "made on the host")?;
    let mut bundle = Bundle::new();
    symlink("/proc/self/cwd", bundle.root("escape")).unwrap();
    bundle.mount(json!({"destination": "/escape", "type": "tmpfs"}));
    bundle.refused("error mounting")
}

fn below_proc() -> Outcome {
    for destination in ["/proc/self", "/proc/self/attr", "/proc/sys", "/proc"] {
        let mut bundle = Bundle::new();
        bundle.mount(json!({"destination": destination, "source": ".", "options": ["bind"]}));
        bundle.refused("cannot be mounted because it is")?;
    }
    let mut bundle = Bundle::new();
    symlink("/proc/sys", bundle.root("link")).unwrap();
    bundle.mount(json!({"destination": "/link", "type": "tmpfs"}));
    bundle.refused("inside /proc")?;
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/x/../proc/sys", "type": "tmpfs"}));
    fs::create_dir(bundle.root("x")).unwrap();
    bundle.refused("inside /proc")?;
    let mut bundle = Bundle::new();
    fs::write(bundle.path("uptime"), "fake").unwrap();
    bundle.mount(json!({"destination": "/proc/uptime", "source": "uptime", "options": ["bind"]}));
    bundle.pass(|| {
        ensure(
            fs::read("/proc/uptime").unwrap() == b"fake",
            "lxcfs would not work",
        )
    })
}

fn fake_null() -> Outcome {
    let mut bundle = Bundle::new();
    for destination in ["/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.without_mount(destination);
    }
    bundle.without_mount("/dev");
    fs::create_dir(bundle.path("dev")).unwrap();
    symlink("/etc/passwd", bundle.path("dev/null")).unwrap();
    bundle.mount(json!({"destination": "/dev", "source": "dev", "options": ["bind"]}));
    fs::write(bundle.root("secret"), "x").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.refused("mask \"/secret\"")
}

fn device_link() -> Outcome {
    let mut bundle = Bundle::new();
    symlink("/tmp/insula-device", bundle.root("thing")).unwrap();
    bundle.config["linux"]["devices"] =
        json!([{"path": "/thing", "type": "c", "major": 1, "minor": 3}]);
    bundle.refused("another file exists")?;
    ensure(
        mounts_on("/tmp/insula-device").is_empty(),
        "mounted outside",
    )
}
