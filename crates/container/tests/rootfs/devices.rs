//! `linux.devices`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::json;

use crate::Case;
use crate::harness::{Bundle, Outcome, ensure, mounts_on};

pub(crate) const CASES: &[Case] = &[
    ("devices_have_type_number_mode_and_owner", nodes),
    ("a_device_that_is_there_must_match", existing),
    ("default_devices_may_be_listed", listed_defaults),
    ("dev_of_the_host_is_left_alone", foreign_dev),
    ("a_wrong_default_device_is_covered", covered),
];

fn nodes() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/one", "type": "c", "major": 10, "minor": 666, "fileMode": 432, "uid": 3,
            "gid": 4},
        {"path": "/deep/er/two", "type": "b", "major": 8, "minor": 7},
        {"path": "/dev/three", "type": "p", "fileMode": 0o123},
        {"path": "/dev/four", "type": "u", "major": 1, "minor": 11},
        {"path": "/mnt/", "type": "b", "major": 10, "minor": 229},
    ]);
    bundle.pass(|| {
        let node = |path: &str| fs::metadata(path).map_err(|error| format!("{path}: {error}"));
        let one = node("/dev/one")?;
        ensure(
            one.file_type().is_char_device() && one.rdev() == 0x20_0a9a,
            "one",
        )?;
        ensure(
            (one.mode() & 0o7777, one.uid(), one.gid()) == (0o660, 3, 4),
            "one's owner",
        )?;
        let two = node("/deep/er/two")?;
        ensure(
            two.file_type().is_block_device() && two.rdev() == 0x807,
            "two",
        )?;
        ensure(two.mode() & 0o7777 == 0o666, "two's mode")?;
        let three = node("/dev/three")?;
        ensure(
            three.file_type().is_fifo() && three.mode() & 0o7777 == 0o123,
            "three",
        )?;
        ensure(node("/dev/four")?.file_type().is_char_device(), "four")?;
        ensure(
            node("/mnt")?.file_type().is_block_device(),
            "a name with a slash",
        )
    })
}

fn existing() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["devices"] =
        json!([{"path": "/thing", "type": "c", "major": 1, "minor": 3}]);
    bundle.pass(|| Ok(()))?;
    // Made by the run before: the same device.
    bundle.pass(|| ensure(fs::metadata("/thing").unwrap().rdev() == 0x103, "changed"))?;
    bundle.config["linux"]["devices"][0]["minor"] = json!(5);
    bundle.refused("another file exists")?;
    fs::remove_file(bundle.root("thing")).unwrap();
    fs::write(bundle.root("thing"), "").unwrap();
    bundle.refused("make the device \"/thing\": another file exists")
}

fn listed_defaults() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/tty", "type": "c", "major": 5, "minor": 0},
        {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
    ]);
    bundle.pass(|| {
        ensure(
            fs::metadata("/dev/ptmx").unwrap().mode() & 0o7777 == 0o666,
            "ptmx",
        )?;
        ensure(
            fs::read_link("/dev/ptmx").unwrap() == Path::new("pts/ptmx"),
            "ptmx is no link",
        )?;
        ensure(
            fs::metadata("/dev/null").unwrap().mode() & 0o7777 == 0o600,
            "mode of null",
        )
    })
}

fn foreign_dev() -> Outcome {
    let mut bundle = Bundle::new();
    for destination in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
        bundle.without_mount(destination);
    }
    fs::create_dir(bundle.path("dev")).unwrap();
    bundle.mount(json!({"destination": "/dev", "source": "dev", "options": ["rbind"]}));
    bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.pass(|| Ok(()))?;
    ensure(
        fs::read_dir(bundle.path("dev")).unwrap().next().is_none(),
        "something was made in it",
    )
}

fn covered() -> Outcome {
    let mut bundle = Bundle::new();
    bundle.without_mount("/dev");
    fs::create_dir(bundle.root("dev")).unwrap();
    fs::write(bundle.root("dev/null"), "fake").unwrap();
    fs::write(bundle.root("secret"), "x").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.pass(|| {
        ensure(
            fs::read("/secret").unwrap().is_empty(),
            "masked by the image's file",
        )?;
        ensure(mounts_on("/dev/null").len() == 1, "not covered")
    })
}
