//! Mounts of file systems: flags, data, tmpfs modes, copying up, propagation.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::json;

use crate::Case;
use crate::harness::{Bundle, Outcome, ensure, ensure_read_only, ensure_writable, mount_on};

pub(crate) const CASES: &[Case] = &[
    ("flags_of_a_file_system_are_set", flags),
    ("a_tmpfs_takes_its_mode_from_the_image", tmpfs_mode),
    ("a_read_only_tmpfs_can_be_mounted_on", read_only_tmpfs),
    ("dev_can_be_read_only", read_only_dev),
    ("tmpcopyup_copies_what_it_hides", copy_up),
    ("propagation_of_a_file_system_is_as_asked", propagation),
    ("mount_points_inherit_setgid", setgid),
    ("an_unknown_file_system_is_named", unknown),
    ("an_overlay_can_be_a_mount", overlay),
    ("a_container_may_have_no_mounts", none),
];

fn flags() -> Outcome {
    let cases = [
        ("nosuid", "nosuid"),
        ("nodev", "nodev"),
        ("noexec", "noexec"),
        ("noatime", "noatime"),
        ("nodiratime", "nodiratime"),
        ("nosymfollow", "nosymfollow"),
        ("relatime", "relatime"),
        ("rnoexec", "noexec"),
        ("ro", "ro"),
        ("rro", "ro"),
        ("rw", "rw"),
    ];
    let superblock = [
        ("sync", "sync"),
        ("dirsync", "dirsync"),
        ("size=64k", "size=64k"),
    ];
    let mut bundle = Bundle::new();
    for (option, _) in cases.iter().chain(&superblock) {
        bundle.mount(json!({"destination": format!("/{option}"), "type": "tmpfs",
            "source": "tmpfs", "options": [option]}));
    }
    bundle.pass(|| {
        for (option, shown) in cases {
            let mount = mount_on(&format!("/{option}"))?;
            ensure(mount.has(shown), format!("{option} gave {}", mount.options))?;
        }
        for (option, shown) in superblock {
            let mount = mount_on(&format!("/{option}"))?;
            let has = mount.superblock.split(',').any(|present| present == shown);
            ensure(has, format!("{option} gave {}", mount.superblock))?;
        }
        Ok(())
    })
}

fn tmpfs_mode() -> Outcome {
    let mut bundle = Bundle::new();
    fs::create_dir(bundle.root("present")).unwrap();
    fs::set_permissions(bundle.root("present"), PermissionsExt::from_mode(0o710)).unwrap();
    let tmpfs = |destination: &str, options: &[&str]| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options});
    bundle.mount(tmpfs("/present", &["nodev"]));
    bundle.mount(tmpfs("/present/deep", &["mode=1500"]));
    bundle.mount(tmpfs("/absent/deep", &["nodev"]));
    bundle.pass(|| {
        let mode = |path: &str| fs::metadata(path).unwrap().mode() & 0o7777;
        ensure(mode("/present") == 0o710, "mode of the directory below")?;
        ensure(mode("/present/deep") == 0o1500, "explicit mode")?;
        ensure(mode("/absent/deep") == 0o1777, "default mode")?;
        let mount = mount_on("/absent/deep")?;
        ensure(!mount.superblock.contains("mode="), mount.superblock)
    })
}

fn read_only_tmpfs() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/a", "type": "tmpfs", "options": ["ro", "mode=755"]}));
    bundle.mount(json!({"destination": "/a/b", "type": "tmpfs", "options": ["rro"]}));
    bundle.mount(json!({"destination": "/a/b/c", "type": "tmpfs"}));
    bundle.pass(|| {
        ensure_read_only("/a/new")?;
        ensure_read_only("/a/b/new")?;
        ensure_read_only("/a/b/c/new")
    })
}

fn read_only_dev() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["mounts"][1]["options"]
        .as_array_mut()
        .unwrap()
        .push(json!("ro"));
    bundle.pass(|| {
        ensure_read_only("/dev/new")?;
        ensure(mount_on("/dev")?.has("ro"), "/dev")?;
        ensure_writable("/dev/shm/new")?;
        fs::write("/dev/null", "x").map_err(|error| error.to_string())
    })
}

fn copy_up() -> Outcome {
    let mut bundle = Bundle::new();
    fs::create_dir_all(bundle.root("data/open")).unwrap();
    fs::set_permissions(bundle.root("data/open"), PermissionsExt::from_mode(0o777)).unwrap();
    fs::write(bundle.root("data/open/file"), "text").unwrap();
    fs::set_permissions(
        bundle.root("data/open/file"),
        PermissionsExt::from_mode(0o4751),
    )
    .unwrap();
    std::os::unix::fs::lchown(bundle.root("data/open/file"), Some(3), Some(4)).unwrap();
    fs::set_permissions(
        bundle.root("data/open/file"),
        PermissionsExt::from_mode(0o4751),
    )
    .unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bundle.root("data/link")).unwrap();
    bundle.mount(json!({"destination": "/data", "type": "tmpfs", "options": ["tmpcopyup", "ro"]}));
    bundle.pass(|| {
        let file = fs::metadata("/data/open/file").map_err(|error| error.to_string())?;
        ensure(
            file.mode() & 0o7777 == 0o4751,
            format!("mode {:o}", file.mode()),
        )?;
        ensure((file.uid(), file.gid()) == (3, 4), "owner")?;
        ensure(
            fs::read_to_string("/data/open/file").unwrap() == "text",
            "content",
        )?;
        ensure(
            fs::metadata("/data/open").unwrap().mode() & 0o7777 == 0o777,
            "directory mode",
        )?;
        ensure(
            fs::read_link("/data/link").unwrap().to_str() == Some("/etc/passwd"),
            "link",
        )?;
        ensure(mount_on("/data")?.kind == "tmpfs", "no tmpfs")?;
        ensure_read_only("/data/new")
    })
}

fn propagation() -> Outcome {
    let mut bundle = Bundle::new();
    for (name, options) in [
        ("shared", vec!["shared"]),
        ("private", vec!["rprivate"]),
        ("both", vec!["shared", "rslave"]),
    ] {
        bundle.mount(json!({"destination": format!("/{name}"), "type": "tmpfs",
            "options": options}));
    }
    bundle.pass(|| {
        ensure(
            mount_on("/shared")?.propagation.contains("shared:"),
            "shared",
        )?;
        ensure(mount_on("/private")?.propagation.is_empty(), "private")?;
        ensure(
            !mount_on("/both")?.propagation.contains("shared:"),
            "slave after shared",
        )
    })
}

fn setgid() -> Outcome {
    let mut bundle = Bundle::new();
    fs::create_dir(bundle.root("top")).unwrap();
    fs::set_permissions(bundle.root("top"), PermissionsExt::from_mode(0o7755)).unwrap();
    bundle.mount(json!({"destination": "/top/a/b", "type": "tmpfs", "options": ["ro"]}));
    bundle.pass(|| Ok(()))?;
    for name in ["top/a", "top/a/b"] {
        let mode = fs::metadata(bundle.root(name)).unwrap().mode() & 0o7777;
        ensure(mode == 0o2755, format!("{name} has mode {mode:o}"))?;
    }
    Ok(())
}

fn unknown() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/x", "type": "nosuchfs", "source": "thing"}));
    bundle.refused("error mounting \"thing\" to rootfs at \"/x\": mount nosuchfs")
}

fn overlay() -> Outcome {
    let mut bundle = Bundle::new();
    let names = ["lower", "upper", "work"];
    names
        .iter()
        .for_each(|name| fs::create_dir(bundle.path(name)).unwrap());
    fs::write(bundle.path("lower/file"), "text").unwrap();
    let options = names.map(|name| format!("{name}dir={}", bundle.path(name).display()));
    bundle.mount(
        json!({"destination": "/o", "type": "overlay", "source": "overlay",
        "options": options}),
    );
    bundle.pass(|| {
        ensure(
            fs::read_to_string("/o/file").is_ok_and(|text| text == "text"),
            "no file",
        )
    })
}

fn none() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["mounts"] = json!([]);
    bundle.pass(|| ensure(fs::read("/dev/null").is_ok(), "no /dev/null"))
}
