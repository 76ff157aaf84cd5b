//! Any bytes as an archive: an error, or a tree below the target; nothing beside it changes.

#![no_main]

use std::fs::File;
use std::io::Cursor;
use std::os::fd::AsFd;

use insula_image::{Limits, UnpackOptions, unpack_archive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let target = directory.path().join("target");
    std::fs::create_dir(&target).expect("the target");
    std::fs::write(directory.path().join("witness"), "untouched").expect("the witness");
    let options = UnpackOptions {
        limits: Limits {
            archive_bytes: 1 << 22,
            entries: 1000,
            file_bytes: 1 << 20,
            ..Limits::default()
        },
        // No owners and no devices: the fuzzer may run as root.
        privileged: false,
        ..UnpackOptions::default()
    };
    let handle = File::open(&target).expect("open the target");
    let _outcome = unpack_archive(Cursor::new(bytes.to_vec()), handle.as_fd(), &options);
    let witness = std::fs::read(directory.path().join("witness")).expect("the witness stays");
    assert_eq!(witness, b"untouched");
    let beside = std::fs::read_dir(directory.path()).expect("list").count();
    assert_eq!(beside, 2, "something was made beside the target");
});
