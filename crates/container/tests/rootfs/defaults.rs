//! What `runc spec` asks for, and what the whole root directory can be asked.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;

use insula_container::rootfs::{Lower, Overlay};
use insula_sys::mount::{flag, mount};
use insula_sys::process::{CLONE_NEWNS, unshare};
use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen,
};
use serde_json::json;

use crate::Case;
use crate::harness::{
    Bundle, Outcome, ensure, ensure_read_only, ensure_writable, mount_on, mounts_on,
};

pub(crate) const CASES: &[Case] = &[
    ("the_default_bundle_has_all_its_mounts", default_mounts),
    ("the_default_devices_and_links_are_there", default_devices),
    ("nothing_of_the_host_is_left", nothing_left),
    ("masks_hide_and_share_one_file_system", masks),
    ("a_mask_that_is_a_loop_or_relative_is_refused", bad_masks),
    ("read_only_paths_keep_their_other_flags", read_only_paths),
    ("the_root_can_be_read_only", read_only_root),
    ("root_propagation_is_as_asked", propagation),
    ("nothing_propagates_to_a_shared_host", shared_host),
    ("an_unknown_propagation_is_named", unknown_propagation),
    ("layers_become_the_root", overlay),
    ("layers_of_one_mount_become_the_root", overlay_of_one_mount),
    ("the_root_can_be_moved_instead_of_pivoted", no_pivot),
    ("sysctls_are_written_or_refused", sysctls),
];

fn default_mounts() -> Outcome {
    Bundle::new().pass(|| {
        for (path, kind) in [
            ("/proc", "proc"),
            ("/dev", "tmpfs"),
            ("/dev/pts", "devpts"),
            ("/dev/shm", "tmpfs"),
            ("/dev/mqueue", "mqueue"),
            ("/sys", "sysfs"),
        ] {
            let mount = mount_on(path)?;
            ensure(mount.kind == kind, format!("{path} is {}", mount.kind))?;
            ensure(
                mount.propagation.is_empty(),
                format!("{path}: {}", mount.propagation),
            )?;
        }
        let dev = mount_on("/dev")?;
        ensure(
            dev.has("nosuid") && dev.has("rw") && !dev.has("relatime"),
            dev.options,
        )?;
        ensure(
            dev.superblock.contains("size=65536k,mode=755"),
            dev.superblock,
        )?;
        let sys = mount_on("/sys")?;
        ensure(
            ["ro", "nosuid", "nodev", "noexec"]
                .iter()
                .all(|o| sys.has(o)),
            sys.options,
        )?;
        ensure(mount_on("/sys/fs/cgroup")?.has("ro"), "cgroup is writable")?;
        ensure(mode_of("/dev/shm") == 0o1777, "mode of /dev/shm")?;
        ensure(mode_of("/proc") == 0o555, "mode of /proc")?;
        ensure(
            fs::metadata("/proc/1").is_ok(),
            "/proc is not of this pid namespace",
        )
    })
}

fn mode_of(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn default_devices() -> Outcome {
    Bundle::new().pass(|| {
        let devices = [
            ("null", 1, 3),
            ("zero", 1, 5),
            ("full", 1, 7),
            ("random", 1, 8),
            ("urandom", 1, 9),
            ("tty", 5, 0),
        ];
        for (name, major, minor) in devices {
            let node = fs::symlink_metadata(format!("/dev/{name}")).map_err(|e| e.to_string())?;
            ensure(
                node.file_type().is_char_device(),
                format!("{name}: no device"),
            )?;
            ensure(
                node.rdev() == (major << 8 | minor),
                format!("{name}: other device"),
            )?;
            ensure(
                node.permissions().mode() & 0o7777 == 0o666,
                format!("{name}: mode"),
            )?;
        }
        let links = [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ];
        for (name, target) in links {
            let link = fs::read_link(format!("/dev/{name}")).map_err(|e| e.to_string())?;
            ensure(
                link == Path::new(target),
                format!("{name} leads to {link:?}"),
            )?;
        }
        fs::File::open("/dev/ptmx")
            .map(drop)
            .map_err(|e| format!("/dev/ptmx: {e}"))
    })
}

fn nothing_left() -> Outcome {
    let bundle = Bundle::new();
    fs::write(bundle.root("marker"), "").unwrap();
    bundle.pass(|| {
        ensure(Path::new("/marker").exists(), "another root")?;
        ensure(!Path::new("/work").exists(), "the host's root is visible")?;
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let outside = table.lines().find(|line| {
            let path = line.split(' ').nth(4).unwrap();
            path != "/"
                && !["/proc", "/dev", "/sys"]
                    .iter()
                    .any(|top| path.starts_with(top))
        });
        ensure(outside.is_none(), format!("{outside:?}"))?;
        ensure(mounts_on("/").len() == 1, "several mounts on /")?;
        let working_directory = std::env::current_dir().unwrap();
        ensure(
            working_directory == Path::new("/"),
            format!("in {working_directory:?}"),
        )
    })
}

fn masks() -> Outcome {
    let mut bundle = Bundle::new();
    for name in ["one/below", "two", "empty"] {
        fs::create_dir_all(bundle.root(name)).unwrap();
    }
    fs::write(bundle.root("one/secret"), "x").unwrap();
    fs::write(bundle.root("file"), "secret").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!([
        "/one",
        "/two",
        "/two/",
        "/file",
        "/file",
        "/one/below",
        "/absent",
        "/file/absent"
    ]);
    bundle.pass(|| {
        ensure(
            fs::read_dir("/one").unwrap().next().is_none(),
            "/one is not empty",
        )?;
        ensure_read_only("/one/new")?;
        ensure(fs::read("/file").unwrap().is_empty(), "/file can be read")?;
        let device = |path: &str| fs::metadata(path).unwrap().dev();
        ensure(device("/one") == device("/two"), "two file systems")?;
        ensure(device("/one") != device("/empty"), "no mask")?;
        ensure(
            fs::metadata("/one").unwrap().nlink() >= 2,
            "a directory without links",
        )?;
        ensure(mounts_on("/file").len() == 1, "two masks on /file")?;
        ensure(mounts_on("/two").len() == 1, "two masks on /two")
    })
}

fn bad_masks() -> Outcome {
    let mut bundle = Bundle::new();
    std::os::unix::fs::symlink("../loop", bundle.root("loop")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/loop"]);
    bundle.refused("mask \"/loop\"")?;
    bundle.config["linux"]["maskedPaths"] = json!(["/x", "../relative"]);
    bundle.refused("linux.maskedPaths[1]")?;
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/loop"]);
    bundle.refused("make \"/loop\" read-only")
}

fn read_only_paths() -> Outcome {
    let mut bundle = Bundle::new();
    fs::create_dir_all(bundle.root("directory/below")).unwrap();
    fs::write(bundle.root("directory/file"), "").unwrap();
    bundle.mount(json!({"destination": "/tmp", "type": "tmpfs", "options": ["nosuid", "noexec"]}));
    bundle
        .mount(json!({"destination": "/tmp/in", "type": "tmpfs", "options": ["nodev", "noexec"]}));
    bundle.config["linux"]["readonlyPaths"] = json!([
        "/directory",
        "/tmp/in",
        "/proc/sys",
        "/absent",
        "relative",
        "directory/file",
        "/proc/bus"
    ]);
    bundle.pass(|| {
        ensure_read_only("/directory/file")?;
        ensure_read_only("/directory/below/new")?;
        ensure_writable("/new")?;
        ensure_writable("/tmp/new")?;
        ensure_read_only("/tmp/in/new")?;
        let mount = mount_on("/tmp/in")?;
        ensure(
            ["ro", "nodev", "noexec"].iter().all(|o| mount.has(o)),
            mount.options,
        )?;
        ensure(mount_on("/proc/sys")?.has("ro"), "/proc/sys")
    })
}

fn read_only_root() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["root"]["readonly"] = json!(true);
    bundle.pass(|| {
        ensure_read_only("/new")?;
        ensure_writable("/dev/shm/new")?;
        ensure_writable("/dev/new")
    })?;
    // The directory itself was not made read-only.
    fs::write(bundle.root("after"), "").map_err(|error| error.to_string())
}

fn propagation() -> Outcome {
    for (name, field) in [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("private", ""),
        ("unbindable", "unbindable"),
    ] {
        let mut bundle = Bundle::new();
        bundle.config["linux"]["rootfsPropagation"] = json!(name);
        bundle
            .pass(|| {
                let root = mount_on("/")?;
                let fits = if field.is_empty() {
                    root.propagation.is_empty()
                } else {
                    root.propagation.contains(field)
                };
                ensure(fits, format!("is {:?}", root.propagation))
            })
            .map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}

/// With everything shared, as systemd leaves it: nothing may appear on the host or vanish there.
fn shared_host() -> Outcome {
    unshare(CLONE_NEWNS).unwrap();
    mount(None, "/", None, flag::RECURSIVE | flag::PRIVATE, None).unwrap();
    mount(None, "/", None, flag::RECURSIVE | flag::SHARED, None).unwrap();
    let table = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = table();
    for name in [
        "",
        "slave",
        "rslave",
        "shared",
        "rshared",
        "private",
        "rprivate",
        "unbindable",
    ] {
        for no_pivot in [false, true] {
            let mut bundle = Bundle::new();
            bundle.config["linux"]["rootfsPropagation"] = json!(name);
            bundle.no_pivot = no_pivot;
            let outcome = bundle.pass(|| {
                let root = mount_on("/")?.propagation;
                let fits = match name {
                    "" | "slave" | "rslave" => root.contains("master:") && !root.contains("shared"),
                    "private" | "rprivate" => root.is_empty(),
                    "unbindable" => root == "unbindable",
                    _ => root.contains("shared:"),
                };
                ensure(fits, format!("is {root:?}"))?;
                ensure(
                    mount_on("/proc")?.propagation.is_empty() || name.contains("shared"),
                    "/proc",
                )
            });
            outcome.map_err(|problem| format!("{name:?}, no pivot {no_pivot}: {problem}"))?;
            ensure(
                table() == before,
                format!("{name:?}: the host's mounts changed"),
            )?;
        }
    }
    Ok(())
}

fn unknown_propagation() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["rootfsPropagation"] = json!("mine");
    bundle.refused("linux.rootfsPropagation")
}

fn overlay() -> Outcome {
    let mut bundle = Bundle::new();
    for (layer, file) in [
        ("low:er", "a"),
        ("middle", "b"),
        ("upper", "c"),
        ("work", "d"),
    ] {
        fs::create_dir(bundle.path(layer)).unwrap();
        fs::write(bundle.path(layer).join(file), layer).unwrap();
    }
    fs::remove_file(bundle.path("work/d")).unwrap();
    bundle.overlay = Some(Overlay {
        lower: ["middle", "low:er"]
            .map(|name| Lower::Directory(bundle.path(name)))
            .to_vec(),
        upper: bundle.path("upper"),
        work: bundle.path("work"),
        volatile: true,
    });
    bundle.pass(|| {
        for (file, layer) in [("/a", "low:er"), ("/b", "middle"), ("/c", "upper")] {
            let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            ensure(text == layer, format!("{file} is of {text}"))?;
        }
        ensure_writable("/a")
    })?;
    ensure(
        bundle.path("upper/a").exists(),
        "the write did not reach the upper layer",
    )?;
    ensure(
        mounts_on(bundle.root("").to_str().unwrap().trim_end_matches('/')).is_empty(),
        "leaked",
    )
}

fn overlay_of_one_mount() -> Outcome {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_create(&context).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let mount = Rc::new(fsmount(&context, flags, MountAttrFlags::empty()).unwrap());
    let root = format!("/proc/self/fd/{}", mount.as_raw_fd());
    for (layer, file) in [("0", "below"), ("1", "above")] {
        let directory = Path::new(&root).join(layer).join("d");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(file), layer).unwrap();
    }
    let mut bundle = Bundle::new();
    for name in ["upper", "work"] {
        fs::create_dir(bundle.path(name)).unwrap();
    }
    bundle.overlay = Some(Overlay {
        lower: ["1", "0"]
            .map(|name| Lower::Inside(Rc::clone(&mount), name.to_owned()))
            .to_vec(),
        upper: bundle.path("upper"),
        work: bundle.path("work"),
        volatile: true,
    });
    bundle.pass(|| {
        let read = |name: &str| fs::read_to_string(name).unwrap_or_default();
        let is_joined = read("/d/below") == "0" && read("/d/above") == "1";
        ensure(is_joined, "the layers are not joined")?;
        fs::remove_dir_all("/d").map_err(|error| format!("remove: {error}"))?;
        fs::create_dir("/d").map_err(|error| format!("make again: {error}"))?;
        let count = fs::read_dir("/d").unwrap().count();
        ensure(count == 0, "the directory is not opaque")
    })
}

fn no_pivot() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.no_pivot = true;
    fs::write(bundle.root("marker"), "").unwrap();
    bundle.pass(|| {
        ensure(
            Path::new("/marker").exists() && !Path::new("/work").exists(),
            "another root",
        )?;
        ensure(Path::new("/proc/self/status").exists(), "no /proc")
    })
}

fn sysctls() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["sysctl"] =
        json!({"net.ipv4.ip_forward": "1", "kernel/shmmni": "1234", "kernel.domainname": "x"});
    bundle.pass(|| {
        let read = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap();
        ensure(read("net/ipv4/ip_forward") == "1\n", "ip_forward")?;
        ensure(read("kernel/shmmni") == "1234\n", "shmmni")
    })?;
    for name in [
        "kernel.panic",
        "vm.swappiness",
        "user.max_user_namespaces",
        "kernel.hostname",
    ] {
        bundle.config["linux"]["sysctl"] = json!({name: "1"});
        bundle.refused(name)?;
    }
    bundle.config["linux"]["sysctl"] = json!({"net.no.such": "1"});
    bundle.refused("net.no.such")
}
