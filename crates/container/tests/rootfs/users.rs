//! The same in a user namespace, where the kernel forbids more.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use insula_sys::mount::{flag, mount};
use insula_sys::process::{CLONE_NEWNS, unshare};
use insula_sys::rustix::mount::{UnmountFlags, unmount};
use serde_json::json;

use crate::Case;
use crate::harness::{Bundle, Made, Outcome, ensure, ensure_read_only, give, mount_on};

pub(crate) const CASES: &[Case] = &[
    ("the_default_bundle_works_for_users", defaults),
    ("sources_out_of_reach_can_be_bound", unreachable),
    ("locked_flags_stay_unless_asked_off", locked),
    ("ids_are_mapped_into_the_container", id_maps),
    ("a_host_network_shows_the_hosts_sys", host_network),
    ("devices_are_made_for_users", devices),
    ("a_group_that_does_not_exist_is_dropped", devpts_group),
];

fn defaults() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.with_user_namespace();
    fs::create_dir(bundle.root("masked")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/masked", "/proc/kcore", "/proc/keys"]);
    bundle.pass(|| {
        let null = fs::metadata("/dev/null").map_err(|error| error.to_string())?;
        ensure(
            null.file_type().is_char_device() && null.rdev() == 0x103,
            "/dev/null",
        )?;
        fs::write("/dev/null", "x").map_err(|error| error.to_string())?;
        let mount = mount_on("/dev/urandom")?;
        ensure(mount.has("nosuid") && mount.has("noexec"), mount.options)?;
        ensure_read_only("/masked/x")?;
        ensure(mount_on("/proc/sys")?.has("ro"), "/proc/sys")?;
        ensure(mount_on("/sys")?.kind == "sysfs", "/sys")
    })
}

fn unreachable() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.with_user_namespace();
    fs::create_dir_all(bundle.path("closed/inner")).unwrap();
    fs::write(bundle.path("closed/inner/file"), "text").unwrap();
    fs::set_permissions(bundle.path("closed"), PermissionsExt::from_mode(0o0)).unwrap();
    for (destination, source) in [
        ("/directory", "closed/inner"),
        ("/file", "closed/inner/file"),
    ] {
        bundle.mount(json!({"destination": destination, "source": source,
            "options": ["bind", "ro", "rprivate"]}));
    }
    bundle.pass(|| {
        ensure(
            fs::read("/directory/file").is_ok_and(|text| text == b"text"),
            "no directory",
        )?;
        ensure(
            fs::read("/file").is_ok_and(|text| text == b"text"),
            "no file",
        )?;
        ensure(mount_on("/file")?.has("ro"), "writable")
    })
}

/// What runc's tests of bind flags expect in a user namespace.
fn locked() -> Outcome {
    let source =
        flag::READ_ONLY | flag::NO_EXEC | flag::NO_SYMLINK_FOLLOW | flag::NO_DIRECTORY_ACCESS_TIME;
    unshare(CLONE_NEWNS).unwrap();
    mount(None, "/", None, flag::RECURSIVE | flag::PRIVATE, None).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path();
    mount(Some(c"none"), volume, Some(c"tmpfs"), 0, None).unwrap();
    let flags = flag::BIND | flag::REMOUNT | source;
    mount(None, volume, None, flags, None).unwrap();
    let outcome = locked_binds_of(volume);
    unmount(volume, UnmountFlags::DETACH).unwrap();
    outcome
}

fn locked_binds_of(volume: &Path) -> Outcome {
    let make = |options: &[&str]| {
        let mut bundle = Bundle::new();
        bundle.with_user_namespace();
        bundle.mount(json!({"destination": "/mnt", "source": volume, "options": options}));
        bundle
    };
    make(&["bind"]).pass(|| {
        let mount = mount_on("/mnt")?;
        ensure(mount.has("ro") && mount.has("nosymfollow"), mount.options)
    })?;
    make(&["bind", "nosuid"]).pass(|| {
        let mount = mount_on("/mnt")?;
        let kept = ["ro", "noexec", "nosuid", "nodiratime"]
            .iter()
            .all(|o| mount.has(o));
        ensure(kept && !mount.has("nosymfollow"), mount.options)
    })?;
    make(&["bind", "rw"]).refused("set the flags of the bind mount")?;
    make(&["bind", "strictatime"]).refused("set the flags of the bind mount")?;
    make(&["bind", "diratime"]).pass(|| ensure(mount_on("/mnt")?.has("nodiratime"), "changed"))
}

fn id_maps() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.with_user_namespace();
    fs::create_dir(bundle.path("source")).unwrap();
    fs::write(bundle.path("source/file"), "").unwrap();
    give(&bundle.path("source"), 100);
    let map = json!([{"containerID": 100, "hostID": 101_100, "size": 3}]);
    let mut add = |destination: &str, option: &str, map: serde_json::Value| {
        bundle.mount(json!({"destination": destination, "source": "source",
            "options": ["bind", option], "uidMappings": map, "gidMappings": map}));
    };
    add("/mapped", "idmap", map.clone());
    add("/implied", "idmap", json!([]));
    add("/all", "ridmap", map);
    add("/plain", "rw", json!([]));
    bundle.pass(|| {
        let owner = |path: &str| {
            let file = fs::metadata(path).unwrap();
            (file.uid(), file.gid())
        };
        ensure(
            owner("/mapped/file") == (1100, 1100),
            format!("{:?}", owner("/mapped/file")),
        )?;
        ensure(owner("/implied/file") == (100, 100), "implied mapping")?;
        ensure(owner("/all/file") == (1100, 1100), "ridmap")?;
        ensure(owner("/plain/file") == (65534, 65534), "no mapping")
    })
}

fn host_network() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.with_user_namespace();
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|entry| entry["type"] != "network");
    bundle.pass(|| {
        let sys = mount_on("/sys")?;
        ensure(
            sys.kind == "sysfs" && sys.has("ro") && sys.has("nodev"),
            sys.options,
        )
    })
}

fn devpts_group() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.with_user_namespace();
    let pts = &mut bundle.config["mounts"][2]["options"];
    pts.as_array_mut()
        .unwrap()
        .retain(|option| option != "gid=5");
    pts.as_array_mut().unwrap().push(json!("gid=70000"));
    bundle.pass(|| ensure(mount_on("/dev/pts")?.kind == "devpts", "no devpts"))
}

/// On kernels before 6.15 such a device cannot be made for a user namespace, and is refused.
fn devices() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.with_user_namespace();
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/foo", "type": "b", "major": 1, "minor": 5, "uid": 10, "gid": 11,
            "fileMode": 0o157},
        {"path": "/dev/pipe", "type": "p", "uid": 3},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
    ]);
    let made = bundle.run(|| {
        let device = fs::metadata("/dev/foo").map_err(|error| error.to_string())?;
        ensure(
            device.file_type().is_block_device() && device.rdev() == 0x105,
            "another device",
        )?;
        ensure(
            device.mode() & 0o7777 == 0o157,
            format!("mode {:o}", device.mode()),
        )?;
        ensure(
            (device.uid(), device.gid()) == (10, 11),
            format!("owner {}:{}", device.uid(), device.gid()),
        )?;
        let mount = mount_on("/dev/foo")?;
        ensure(mount.has("nosuid") && mount.has("noexec"), mount.options)?;
        ensure(
            fs::metadata("/dev/pipe").unwrap().uid() == 3,
            "owner of the pipe",
        )?;
        ensure(
            fs::metadata("/dev/null").unwrap().mode() & 0o7777 == 0o600,
            "mode of null",
        )
    });
    match made {
        Made::Ran(outcome) => outcome,
        Made::Refused(reason) if reason.contains("device") && !is_recent_kernel() => Ok(()),
        Made::Refused(reason) => Err(reason),
    }
}

fn is_recent_kernel() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}
