//! What the container's view of the file system costs, step by step, against the shortest sequence
//! of plain mount(2) calls that gives the same mounts (by name, without any check).
//!
//! ```text
//! cargo run --release -p insula-container --example rootfs_cost -- BUNDLE [ROUNDS]
//! ```
//!
//! Each round clones a process into new namespaces, in turn for one and the other, and takes the
//! time of every step inside it. Needs root, and a bundle as `runc spec` makes it.

#![expect(clippy::print_stdout, reason = "a report")]

use std::error::Error;
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use insula_container::cgroup::{Location, Manager, Request, Settings, locate};
use insula_container::rootfs::{Prepared, RootfsOptions};
use insula_container::spec;
use insula_sys::mount::{Attributes, Reach, attribute, flag, mount, set_attributes};
use insula_sys::process::{self, clone3, exit_now, wait};
use insula_sys::rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, makedev, mkdirat, mknodat, open,
};
use insula_sys::rustix::fs::{statat, symlinkat};
use insula_sys::rustix::mount::{UnmountFlags, unmount};
use insula_sys::rustix::process::{chdir, pivot_root, umask};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const NAMESPACES: u64 = process::CLONE_NEWNS
    | process::CLONE_NEWPID
    | process::CLONE_NEWNET
    | process::CLONE_NEWIPC
    | process::CLONE_NEWUTS;
const STEPS: [&str; 3] = ["build", "pivot", "finish"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bundle = arguments
        .next()
        .ok_or("usage: rootfs_cost BUNDLE [ROUNDS]")?;
    let bundle = std::fs::canonicalize(bundle)?;
    let rounds = arguments
        .next()
        .map_or(Ok(300), |text| text.parse::<usize>())?;
    let spec = spec::parse(&std::fs::read(bundle.join("config.json"))?)?;
    let request = Request {
        id: "rootfs-cost",
        cgroups_path: Some("/insula-rootfs-cost"),
        manager: Manager::Cgroupfs,
        rootless: false,
    };
    let cgroup = locate(&request)?;
    drop(cgroup.create(&Settings {
        resources: None,
        owner: None,
    })?);
    let result = compare(&spec, &bundle, rounds, &cgroup);
    cgroup.destroy()?;
    result
}

fn compare(spec: &spec::Spec, bundle: &Path, rounds: usize, cgroup: &Location) -> Result<()> {
    let start = Instant::now();
    let prepared = prepare(spec, bundle, cgroup)?;
    println!("prepare, once: {:?}", start.elapsed());
    let rootfs = bundle.join("rootfs");
    let mut samples: [[Vec<Duration>; 3]; 2] = Default::default();
    for _ in 0..rounds {
        let ours: [&dyn Fn() -> Result<()>; 3] = [
            &|| Ok(prepared.build()?),
            &|| Ok(prepared.pivot()?),
            &|| Ok(prepared.finish()?),
        ];
        let plain: [&dyn Fn() -> Result<()>; 3] =
            [&|| plain_build(&rootfs, cgroup), &plain_pivot, &|| {
                plain_finish(spec)
            }];
        for (samples, steps) in samples.iter_mut().zip([ours, plain]) {
            for (samples, time) in samples.iter_mut().zip(round(steps)?) {
                samples.push(time);
            }
        }
    }
    println!(
        "{:8} {:>12} {:>12}   (median of {rounds})",
        "", "insula", "mount(2)"
    );
    let [mut ours, mut plain] = samples;
    let mut totals = [Duration::ZERO; 2];
    for (index, name) in STEPS.iter().enumerate() {
        let medians = [median(&mut ours[index]), median(&mut plain[index])];
        totals = [totals[0] + medians[0], totals[1] + medians[1]];
        println!("{name:8} {:>12.1?} {:>12.1?}", medians[0], medians[1]);
    }
    println!("{:8} {:>12.1?} {:>12.1?}", "total", totals[0], totals[1]);
    Ok(())
}

fn prepare(spec: &spec::Spec, bundle: &Path, cgroup: &Location) -> Result<Prepared> {
    let options = RootfsOptions {
        no_pivot: false,
        has_mount_namespace: true,
        has_user_namespace: false,
        has_cgroup_namespace: false,
        has_network_namespace: true,
        has_pid_namespace: true,
        cgroup,
        overlay: None,
    };
    Ok(Prepared::new(spec, bundle, &options)?)
}

fn median(samples: &mut [Duration]) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// Runs the steps in a new process and gives the time of each.
fn round(steps: [&dyn Fn() -> Result<()>; 3]) -> Result<Vec<Duration>> {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let child = clone3(NAMESPACES, None, || {
        let mut report = String::new();
        for step in steps {
            let start = Instant::now();
            if let Err(error) = step() {
                report = format!("{error:?}");
                break;
            }
            report += &format!("{} ", start.elapsed().as_nanos());
        }
        let written = theirs.write_all(report.as_bytes());
        exit_now(i32::from(written.is_err()))
    })?;
    drop(theirs);
    let mut report = String::new();
    ours.read_to_string(&mut report)?;
    wait(child.pidfd.as_fd())?;
    let times = report
        .split_whitespace()
        .map(|time| time.parse().map(Duration::from_nanos));
    times
        .collect::<Result<_, _>>()
        .map_err(|_not_times| report.into())
}

fn plain_build(rootfs: &Path, cgroup: &Location) -> Result<()> {
    use flag::{BIND, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY, RECURSIVE, SLAVE, STRICT_ACCESS_TIME};
    let old_mask = umask(Mode::empty());
    mount(None, "/", None, RECURSIVE | SLAVE, None)?;
    let name = CString::new(rootfs.as_os_str().as_bytes())?;
    mount(Some(&name), rootfs, None, BIND | RECURSIVE, None)?;
    chdir(rootfs)?;
    mount(Some(c"proc"), "proc", Some(c"proc"), 0, None)?;
    let data = c"mode=755,size=65536k";
    mount(
        Some(c"tmpfs"),
        "dev",
        Some(c"tmpfs"),
        NO_SUID | STRICT_ACCESS_TIME,
        Some(data),
    )?;
    let directory = |path: &str| mkdirat(CWD, path, Mode::from_raw_mode(0o755));
    ["dev/pts", "dev/shm", "dev/mqueue"]
        .into_iter()
        .try_for_each(directory)?;
    let data = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount(
        Some(c"devpts"),
        "dev/pts",
        Some(c"devpts"),
        NO_SUID | NO_EXEC,
        Some(data),
    )?;
    let none = NO_SUID | NO_EXEC | NO_DEV;
    let data = c"mode=1777,size=65536k";
    mount(Some(c"shm"), "dev/shm", Some(c"tmpfs"), none, Some(data))?;
    mount(Some(c"mqueue"), "dev/mqueue", Some(c"mqueue"), none, None)?;
    mount(
        Some(c"sysfs"),
        "sys",
        Some(c"sysfs"),
        none | READ_ONLY,
        None,
    )?;
    mount(
        Some(c"tmpfs"),
        "sys/fs/cgroup",
        Some(c"tmpfs"),
        none,
        Some(c"mode=755"),
    )?;
    plain_cgroups(cgroup)?;
    plain_devices()?;
    umask(old_mask);
    Ok(())
}

fn plain_cgroups(cgroup: &Location) -> Result<()> {
    use flag::{BIND, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY};
    let none = NO_SUID | NO_EXEC | NO_DEV;
    for own in cgroup.directories() {
        let name = own
            .trim_end_matches('/')
            .rsplit('/')
            .nth(1)
            .unwrap_or_default();
        let target = format!("sys/fs/cgroup/{name}");
        mkdirat(CWD, &target, Mode::from_raw_mode(0o755))?;
        mount(
            Some(&CString::new(own.as_str())?),
            &*target,
            None,
            BIND,
            None,
        )?;
        mount(
            None,
            &*target,
            None,
            BIND | flag::REMOUNT | none | READ_ONLY,
            None,
        )?;
    }
    Ok(())
}

fn plain_devices() -> Result<()> {
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            format!("dev/{name}"),
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )?;
    }
    for (target, name) in [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ] {
        symlinkat(target, CWD, format!("dev/{name}"))?;
    }
    Ok(())
}

fn plain_pivot() -> Result<()> {
    pivot_root(".", ".")?;
    Ok(unmount(".", UnmountFlags::DETACH)?)
}

fn plain_finish(spec: &spec::Spec) -> Result<()> {
    let Some(linux) = &spec.linux else {
        return Ok(());
    };
    let exists = |path: &&std::path::PathBuf| statat(CWD, *path, AtFlags::empty()).ok();
    for path in linux
        .readonly_paths
        .iter()
        .filter(|path| exists(path).is_some())
    {
        let name = CString::new(path.as_os_str().as_bytes())?;
        mount(Some(&name), path, None, flag::BIND | flag::RECURSIVE, None)?;
        mount(
            None,
            path,
            None,
            flag::BIND | flag::REMOUNT | flag::READ_ONLY,
            None,
        )?;
    }
    for path in &linux.masked_paths {
        let Some(stat) = exists(&path) else { continue };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let data = c"nr_blocks=1,nr_inodes=2";
            mount(
                Some(c"tmpfs"),
                path,
                Some(c"tmpfs"),
                flag::READ_ONLY,
                Some(data),
            )?;
        } else {
            mount(Some(c"/dev/null"), path, None, flag::BIND, None)?;
        }
    }
    let root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let read_only = Attributes {
        set: attribute::READ_ONLY,
        ..Attributes::default()
    };
    Ok(set_attributes(&root, Reach::One, &read_only)?)
}
