//! Bind mounts: options, recursion, propagation, id mapping, mount points.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use insula_sys::mount::{flag, mount};
use insula_sys::process::{CLONE_NEWNS, unshare};
use insula_sys::rustix::mount::{UnmountFlags, unmount};
use serde_json::json;

use crate::Case;
use crate::harness::{
    Bundle, Outcome, ensure, ensure_read_only, ensure_writable, give, mount_on, mounts_on,
};

pub(crate) const CASES: &[Case] = &[
    ("ro_is_for_one_mount_and_rro_for_all", read_only),
    ("recursive_attributes_reach_below", recursive_attributes),
    ("recursive_access_times_reach_below", recursive_access_times),
    ("flags_replace_flags_and_no_flags_keep_them", replaced_flags),
    ("propagation_of_a_bind_is_as_asked", bind_propagation),
    ("sources_are_relative_to_the_bundle", relative_source),
    ("mount_points_are_made_like_their_source", mount_points),
    ("a_directory_does_not_go_onto_a_file", mismatch),
    ("file_system_options_are_refused", file_system_options),
    ("ids_are_mapped_once_or_for_all_below", id_maps),
    ("an_id_map_needs_a_mapping", id_map_errors),
    ("links_can_be_copied_or_mounted_themselves", links),
    ("a_bind_can_be_the_root", on_root),
    ("later_mounts_can_bind_earlier_ones", ordered),
    ("an_existing_mount_can_be_remounted", remounted),
];

/// A tmpfs with another one below it, on the host's side, until it is dropped.
struct Nested<'a>(&'a Path);

impl<'a> Nested<'a> {
    fn new(path: &'a Path) -> Self {
        // Nothing made here shall be seen by the rest of the host.
        unshare(CLONE_NEWNS).unwrap();
        mount(None, "/", None, flag::RECURSIVE | flag::PRIVATE, None).unwrap();
        for path in [path.to_owned(), path.join("below")] {
            fs::create_dir_all(&path).unwrap();
            mount(Some(c"none"), path, Some(c"tmpfs"), 0, None).unwrap();
        }
        Self(path)
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        unmount(self.0, UnmountFlags::DETACH).unwrap();
    }
}

fn bind(bundle: &mut Bundle, source: &Path, destination: &str, options: &[&str]) {
    bundle.mount(json!({"destination": destination, "source": source, "options": options}));
}

fn read_only() -> Outcome {
    let mut bundle = Bundle::new();
    let volume = bundle.path("volume");
    let _nested = Nested::new(&volume);
    bind(&mut bundle, &volume, "/one", &["rbind", "ro"]);
    bind(&mut bundle, &volume, "/all", &["rbind", "rro"]);
    bind(&mut bundle, &volume, "/both", &["rbind", "ro", "rro"]);
    bind(&mut bundle, &volume, "/back", &["rbind", "rro", "rrw"]);
    bind(&mut bundle, &volume, "/flat", &["bind", "rro"]);
    bundle.pass(|| {
        ensure_read_only("/one/new")?;
        ensure_writable("/one/below/new")?;
        ensure_read_only("/all/new")?;
        ensure_read_only("/all/below/new")?;
        ensure_read_only("/both/below/new")?;
        ensure_writable("/back/below/new")?;
        ensure_read_only("/flat/new")?;
        ensure(
            mounts_on("/flat/below").is_empty(),
            "bind took what is below",
        )
    })
}

fn recursive_attributes() -> Outcome {
    let mut bundle = Bundle::new();
    let volume = bundle.path("volume");
    let _nested = Nested::new(&volume);
    let options = [
        ("rnosuid", "nosuid", "rsuid"),
        ("rnodev", "nodev", "rdev"),
        ("rnoexec", "noexec", "rexec"),
        ("rnodiratime", "nodiratime", "rdiratime"),
        ("rnosymfollow", "nosymfollow", "rsymfollow"),
    ];
    for (set, _, clear) in options {
        bind(&mut bundle, &volume, &format!("/{set}"), &["rbind", set]);
        bind(
            &mut bundle,
            &volume,
            &format!("/{clear}"),
            &["rbind", set, clear],
        );
    }
    bundle.pass(|| {
        for (set, shown, clear) in options {
            for below in ["", "/below"] {
                let mount = mount_on(&format!("/{set}{below}"))?;
                ensure(mount.has(shown), format!("{set}{below}: {}", mount.options))?;
                let mount = mount_on(&format!("/{clear}{below}"))?;
                ensure(
                    !mount.has(shown),
                    format!("{clear}{below}: {}", mount.options),
                )?;
            }
        }
        Ok(())
    })
}

fn recursive_access_times() -> Outcome {
    let mut bundle = Bundle::new();
    let volume = bundle.path("volume");
    let _nested = Nested::new(&volume);
    let options = [
        ("ratime", "relatime"),
        ("rnoatime", "noatime"),
        ("rstrictatime", ""),
        ("rnostrictatime", "relatime"),
        ("rrelatime", "relatime"),
        ("rnorelatime", "relatime"),
    ];
    for (option, _) in options {
        bind(
            &mut bundle,
            &volume,
            &format!("/{option}"),
            &["rbind", option],
        );
    }
    bundle.pass(|| {
        for (option, shown) in options {
            for below in ["", "/below"] {
                let mount = mount_on(&format!("/{option}{below}"))?;
                let right = if shown.is_empty() {
                    !mount.has("relatime") && !mount.has("noatime")
                } else {
                    mount.has(shown)
                };
                ensure(right, format!("{option}{below}: {}", mount.options))?;
            }
        }
        Ok(())
    })
}

/// What runc's tests of bind flags expect without a user namespace.
fn replaced_flags() -> Outcome {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (
            &["bind"],
            &["ro", "noexec", "nosymfollow", "nodiratime"],
            &[],
        ),
        (
            &["bind", "dev"],
            &["rw", "nodiratime"],
            &["noexec", "nosymfollow"],
        ),
        (
            &["bind", "nosuid", "nodev"],
            &["rw", "nosuid", "nodev"],
            &["noexec"],
        ),
        (&["bind", "ro"], &["ro"], &["noexec"]),
        (
            &["bind", "strictatime"],
            &["rw"],
            &["relatime", "noatime", "nodiratime"],
        ),
        (
            &["bind", "noatime"],
            &["noatime"],
            &["relatime", "nodiratime"],
        ),
        (
            &["bind", "nodiratime", "norelatime"],
            &["nodiratime", "relatime"],
            &["noatime"],
        ),
        (
            &["bind", "norelatime"],
            &["nodiratime", "relatime"],
            &["noatime"],
        ),
        (&["bind", "atime"], &["nodiratime"], &["noatime"]),
    ];
    let mut bundle = Bundle::new();
    let volume = bundle.path("volume");
    let _nested = Nested::new(&volume);
    let flags =
        flag::READ_ONLY | flag::NO_EXEC | flag::NO_SYMLINK_FOLLOW | flag::NO_DIRECTORY_ACCESS_TIME;
    mount(
        None,
        &volume,
        None,
        flag::BIND | flag::REMOUNT | flags,
        None,
    )
    .unwrap();
    for (index, (options, _, _)) in cases.iter().enumerate() {
        bind(&mut bundle, &volume, &format!("/{index}"), options);
    }
    bundle.pass(|| {
        for (index, (options, present, absent)) in cases.iter().enumerate() {
            let mount = mount_on(&format!("/{index}"))?;
            let right = present.iter().all(|option| mount.has(option))
                && !absent.iter().any(|option| mount.has(option));
            ensure(right, format!("{options:?} gave {}", mount.options))?;
        }
        Ok(())
    })
}

fn bind_propagation() -> Outcome {
    let mut bundle = Bundle::new();
    let volume = bundle.path("volume");
    let _nested = Nested::new(&volume);
    mount(None, &volume, None, flag::SHARED | flag::RECURSIVE, None).unwrap();
    let host = mount_on(volume.to_str().unwrap())?.propagation;
    for option in [
        "private",
        "rprivate",
        "slave",
        "rslave",
        "shared",
        "rshared",
        "unbindable",
    ] {
        bind(
            &mut bundle,
            &volume,
            &format!("/{option}"),
            &["rbind", option],
        );
    }
    bind(&mut bundle, &volume, "/default", &["rbind"]);
    bundle.pass(|| {
        let check = |path: &str, field: &str| {
            let mount = mount_on(path)?;
            let right = if field.is_empty() {
                mount.propagation.is_empty()
            } else {
                mount.propagation.contains(field)
            };
            ensure(right, format!("{path} is {:?}", mount.propagation))
        };
        check("/private", "")?;
        check("/private/below", "master:")?;
        check("/rprivate", "")?;
        check("/rprivate/below", "")?;
        check("/rslave", "master:")?;
        check("/rslave/below", "master:")?;
        check("/default", "master:")?;
        check("/unbindable", "unbindable")?;
        // In the peer group of the source itself, so that both sides see each other's mounts.
        check("/rshared", &host)
    })
}

fn relative_source() -> Outcome {
    let mut bundle = Bundle::new();
    fs::write(bundle.path("note"), "x").unwrap();
    bundle.mount(json!({"destination": "tmp//./bind/", "source": ".", "options": ["bind"]}));
    bundle.pass(|| ensure(Path::new("/tmp/bind/note").exists(), "not the bundle"))
}

fn mount_points() -> Outcome {
    let mut bundle = Bundle::new();
    fs::write(bundle.path("file"), "text").unwrap();
    fs::create_dir(bundle.path("directory")).unwrap();
    bind(&mut bundle, Path::new("file"), "/new/deep/file", &["bind"]);
    bind(
        &mut bundle,
        Path::new("directory"),
        "/new/directory",
        &["rbind"],
    );
    bundle.pass(|| {
        ensure(
            fs::read_to_string("/new/deep/file").unwrap() == "text",
            "another file",
        )?;
        ensure(Path::new("/new/directory").is_dir(), "no directory")
    })?;
    let mode = |name: &str| fs::metadata(bundle.root(name)).unwrap().mode() & 0o7777;
    ensure(
        (mode("new"), mode("new/deep"), mode("new/deep/file")) == (0o755, 0o755, 0o644),
        "mode",
    )
}

fn mismatch() -> Outcome {
    let mut bundle = Bundle::new();
    fs::write(bundle.root("file"), "").unwrap();
    bind(&mut bundle, Path::new("."), "/file", &["bind"]);
    bundle.refused("the source is a directory, the destination is not")?;
    let mut bundle = Bundle::new();
    fs::write(bundle.path("file"), "").unwrap();
    bind(&mut bundle, Path::new("file"), "/dev", &["bind"]);
    bundle.refused("the destination is a directory, the source is not")
}

fn file_system_options() -> Outcome {
    let mut bundle = Bundle::new();
    bind(&mut bundle, Path::new("."), "/x", &["bind", "ro", "size=3"]);
    bundle.refused("mounts[7].options[2]")?;
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/x", "options": ["ro"]}));
    bundle.refused("mounts[7].type")
}

fn id_maps() -> Outcome {
    let mut bundle = Bundle::new();
    let volume = bundle.path("volume");
    let _nested = Nested::new(&volume);
    for file in ["file", "below/file"] {
        fs::write(volume.join(file), "").unwrap();
        give(&volume.join(file), 7);
    }
    let map = json!([{"containerID": 0, "hostID": 5000, "size": 100}]);
    for option in ["idmap", "ridmap", "rro"] {
        bundle.mount(json!({
            "destination": format!("/{option}"), "source": volume, "options": ["rbind", option],
            "uidMappings": map, "gidMappings": map,
        }));
    }
    bundle.pass(|| {
        let owner = |path: &str| {
            let file = fs::metadata(path).unwrap();
            (file.uid(), file.gid())
        };
        ensure(owner("/idmap/file") == (5007, 5007), "idmap")?;
        ensure(owner("/idmap/below/file") == (7, 7), "idmap is recursive")?;
        ensure(
            owner("/ridmap/below/file") == (5007, 5007),
            "ridmap is not recursive",
        )?;
        ensure(
            owner("/rro/file") == (5007, 5007),
            "mappings alone do not map",
        )
    })
}

fn id_map_errors() -> Outcome {
    let mut bundle = Bundle::new();
    bind(&mut bundle, Path::new("."), "/x", &["bind", "idmap"]);
    bundle.refused("an id-mapped mount needs")?;
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let mut bundle = Bundle::new();
    bundle.mount(
        json!({"destination": "/x", "source": ".", "options": ["bind"],
        "uidMappings": map}),
    );
    bundle.refused("mounts[7].gidMappings")?;
    let mut bundle = Bundle::new();
    bundle.mount(
        json!({"destination": "/x", "type": "tmpfs", "options": ["idmap"],
        "uidMappings": map, "gidMappings": map}),
    );
    bundle.refused("only supported for bind mounts")
}

fn links() -> Outcome {
    let mut bundle = Bundle::new();
    fs::write(bundle.path("target"), "text").unwrap();
    let link = |target: &str, path| std::os::unix::fs::symlink(target, path).unwrap();
    link("target", bundle.path("link"));
    link("nowhere", bundle.root("dangling"));
    link("nowhere", bundle.root("dangling2"));
    bind(
        &mut bundle,
        Path::new("link"),
        "/a/copy",
        &["rbind", "copy-symlink"],
    );
    bind(
        &mut bundle,
        Path::new("link"),
        "/dangling",
        &["bind", "src-nofollow", "dest-nofollow"],
    );
    bind(
        &mut bundle,
        Path::new("link"),
        "/dangling2",
        &["bind", "dest-nofollow"],
    );
    bind(&mut bundle, Path::new("link"), "/file", &["bind"]);
    bundle.pass(|| {
        let link = |path| fs::read_link(path).map_err(|error| error.to_string());
        ensure(link("/a/copy")? == Path::new("target"), "not copied")?;
        ensure(link("/dangling")? == Path::new("target"), "not mounted")?;
        ensure(
            fs::read_to_string("/dangling2").is_ok_and(|text| text == "text"),
            "no file",
        )?;
        ensure(
            fs::read_to_string("/file").unwrap() == "text",
            "link not followed",
        )
    })
}

fn on_root() -> Outcome {
    let mut bundle = Bundle::new();
    fs::create_dir(bundle.path("other")).unwrap();
    fs::write(bundle.path("other/marker"), "").unwrap();
    let entry = json!({"destination": "/", "source": "other", "options": ["bind"]});
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .insert(0, entry);
    bundle.pass(|| {
        ensure(Path::new("/marker").exists(), "not the bound root")?;
        ensure(Path::new("/dev/null").exists(), "devices went elsewhere")
    })?;
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/", "type": "tmpfs", "options": ["tmpcopyup"]}));
    bundle.refused("tmpcopyup cannot be used on the root")
}

/// runc's "mount order" test.
fn ordered() -> Outcome {
    let mut bundle = Bundle::new();
    for name in ["a/x", "b/y", "c/z"] {
        fs::create_dir_all(bundle.path(name)).unwrap();
        fs::write(bundle.path(name).join("file"), name).unwrap();
    }
    let root = bundle.root("");
    bind(&mut bundle, Path::new("a"), "/mnt", &["bind"]);
    bind(&mut bundle, Path::new("b"), "/mnt/x", &["bind"]);
    bind(&mut bundle, Path::new("c"), "/mnt/x/y", &["bind"]);
    bind(&mut bundle, Path::new("a"), "/mnt/x/y/z", &["bind"]);
    // A destination may be written as the host sees it.
    let last = root.join("final");
    bind(
        &mut bundle,
        &root.join("mnt"),
        last.to_str().unwrap(),
        &["rbind"],
    );
    bundle.pass(|| {
        let text = fs::read_to_string("/final/x/y/z/x/file").map_err(|error| error.to_string())?;
        ensure(text == "a/x", text)
    })
}

fn remounted() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/tmp", "type": "tmpfs"}));
    bundle.mount(json!({"destination": "/tmp", "source": "none", "options": ["remount", "bind", "ro", "nodev"]}));
    bundle.pass(|| {
        ensure_read_only("/tmp/new")?;
        ensure(mount_on("/tmp")?.has("nodev"), "nodev")
    })
}
