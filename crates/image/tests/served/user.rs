//! Becoming somebody: a child process in namespaces of its own, in which a case runs.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use insula_sys::process::{CLONE_NEWNS, CLONE_NEWUSER, Exit, clone3, exit_now, unshare, wait};
use insula_sys::rustix::fs::{CWD, FileType, Mode, chmod, makedev, mknodat};
use insula_sys::rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use insula_sys::rustix::process::{DumpableBehavior, set_dumpable_behavior};
use insula_sys::rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};

/// An ordinary user.
pub(crate) const ORDINARY: u32 = 12345;

/// Who runs a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    /// Of a user namespace in which every id has its own number.
    RootOfNamespace,
    /// Root of a namespace in which nobody else has a number.
    OrdinaryUser,
}

/// Runs a case as somebody, in a mount namespace that goes with it.
#[track_caller]
pub(crate) fn run_as(who: Who, case: impl FnOnce()) {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let flags = match who {
        Who::RootOfNamespace => CLONE_NEWNS | CLONE_NEWUSER,
        _ => CLONE_NEWNS,
    };
    let child = clone3(flags, None, || {
        theirs.read_exact(&mut [0]).unwrap();
        become_somebody(who);
        case();
        exit_now(0)
    });
    let child = child.unwrap();
    if who == Who::RootOfNamespace {
        for map in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{map}", child.pid);
            fs::write(path, "0 0 4294967295\n").unwrap();
        }
    }
    ours.write_all(b"g").unwrap();
    let exit = wait(child.pidfd.as_fd()).unwrap();
    assert_eq!(exit, Exit::Code(0), "{who:?}");
}

fn become_somebody(who: Who) {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).unwrap();
    if who == Who::OrdinaryUser {
        open_device();
        let gid = Gid::from_raw(ORDINARY);
        set_thread_res_gid(gid, gid, gid).unwrap();
        let uid = Uid::from_raw(ORDINARY);
        set_thread_res_uid(uid, uid, uid).unwrap();
        enter_namespace();
    }
}

/// `/dev/fuse` is everybody's on most hosts, not on all.
fn open_device() {
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("fuse");
    let device = makedev(10, 229);
    mknodat(CWD, &node, FileType::CharacterDevice, Mode::RWXU, device).unwrap();
    chmod(&node, Mode::from_raw_mode(0o666)).unwrap();
    mount_bind(&node, Path::new("/dev/fuse")).unwrap();
}

fn enter_namespace() {
    set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    unshare(CLONE_NEWUSER | CLONE_NEWNS).unwrap();
    set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    fs::write("/proc/self/setgroups", "deny").unwrap();
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/self/{map}"), format!("0 {ORDINARY} 1\n")).unwrap();
    }
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).unwrap();
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).unwrap();
}
