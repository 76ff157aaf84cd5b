//! Things that are tried in a child process, because they change the process that tries them.
//!
//! Parent: [`try_in_child`] starts `/proc/self/exe __probe NAME [ARGUMENT]` and reads one line.
//! Child: [`run`] does it and ends with 0, or prints what the kernel said and ends with 1. It has
//! one thread, which `unshare(CLONE_NEWUSER)` demands.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use insula_sys::mount::{Attributes, Reach, set_attributes};
use insula_sys::process::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME,
    CLONE_NEWUSER, CLONE_NEWUTS, unshare,
};
use insula_sys::rustix::fs::CWD;
use insula_sys::rustix::mount::{
    FsOpenFlags, MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, fsopen, mount,
    mount_change, open_tree, unmount,
};
use insula_sys::user_namespace;

/// The word in `argv[1]` that makes the binary a probe.
pub const PROBE_ROLE: &str = "__probe";

/// The namespaces by the names of config.json.
pub(super) const NAMESPACES: [(&str, u64); 8] = [
    ("cgroup", CLONE_NEWCGROUP),
    ("ipc", CLONE_NEWIPC),
    ("mount", CLONE_NEWNS),
    ("network", CLONE_NEWNET),
    ("pid", CLONE_NEWPID),
    ("time", CLONE_NEWTIME),
    ("user", CLONE_NEWUSER),
    ("uts", CLONE_NEWUTS),
];

/// Tries one thing in a child; the error is what the kernel answered.
pub(super) fn try_in_child(name: &str, argument: impl AsRef<OsStr>) -> Result<(), String> {
    let output = Command::new("/proc/self/exe")
        .args([OsStr::new(PROBE_ROLE), OsStr::new(name), argument.as_ref()])
        .stdin(Stdio::null())
        .env_clear()
        .output()
        .map_err(|error| format!("the probe does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().next() {
        Some(line) => Err(line.to_owned()),
        None => Err(format!("the probe ended with {}", output.status)),
    }
}

/// The child: tries what `arguments` (the whole argv) name.
#[must_use]
pub fn run(arguments: &[OsString]) -> u8 {
    let name = arguments.get(2).and_then(|word| word.to_str());
    let argument = arguments
        .get(3)
        .map_or_else(|| OsStr::new(""), OsString::as_os_str);
    let outcome = match name {
        Some("namespace") => namespace(argument),
        Some("overlay") => overlay(Path::new(argument)),
        Some("file-system") => file_system(argument),
        Some("id-map") => id_map(Path::new(argument)),
        _ => Err(io::Error::other("no such probe")),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            1
        }
    }
}

fn namespace(name: &OsStr) -> io::Result<()> {
    let found = NAMESPACES.iter().find(|(known, _)| name == *known);
    let (_, flag) = found.ok_or_else(|| io::Error::other("no such namespace"))?;
    unshare(*flag)?;
    Ok(())
}

/// A mount namespace whose mounts nobody else sees.
fn leave_mount_namespace() -> io::Result<()> {
    unshare(CLONE_NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    Ok(())
}

/// Mounts an overlay whose layers lie on a tmpfs over `directory`, writes to it and reads back.
fn overlay(directory: &Path) -> io::Result<()> {
    leave_mount_namespace()?;
    mount("tmpfs", directory, "tmpfs", MountFlags::empty(), None)?;
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(directory.join(name))?;
    }
    std::fs::write(directory.join("lower/file"), "below")?;
    let options = format!(
        "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work",
        directory.display()
    );
    let options = std::ffi::CString::new(options)?;
    let merged = directory.join("merged");
    mount(
        "overlay",
        &merged,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )?;
    std::fs::write(merged.join("file"), "above")?;
    let below = std::fs::read_to_string(directory.join("lower/file"))?;
    unmount(&merged, UnmountFlags::DETACH)?;
    if below == "below" {
        return Ok(());
    }
    Err(io::Error::other("a write went through to the lower layer"))
}

/// Asks the kernel for a file system by name; the kernel loads its module if there is one.
fn file_system(name: &OsStr) -> io::Result<()> {
    fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    Ok(())
}

/// Gives a detached copy of the mount that holds `directory` an owner mapping.
fn id_map(directory: &Path) -> io::Result<()> {
    let namespace = user_namespace::create("0 100000 65536\n", "0 100000 65536\n")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = open_tree(CWD, directory, flags)?;
    let change = Attributes {
        id_map: Some(namespace.as_fd()),
        ..Attributes::default()
    };
    set_attributes(copy, Reach::One, &change)?;
    Ok(())
}
