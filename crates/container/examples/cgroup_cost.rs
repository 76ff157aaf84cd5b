//! What a container's cgroup costs on this host, in microseconds (median), against the bare system
//! calls. Run as root: `cargo run --release --example cgroup_cost -p insula-container`.

#![expect(clippy::print_stdout, reason = "it prints its measurements")]

use std::os::fd::OwnedFd;
use std::time::Instant;

use insula_container::cgroup::{Location, Request, Settings, locate};
use insula_container::spec::Resources;
use insula_sys::rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use insula_sys::rustix::io::write;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 400;
const USUAL: &str = r#"{"devices": [{"allow": false, "access": "rwm"}]}"#;
const LIMITED: &str = r#"{"devices": [{"allow": false, "access": "rwm"}],
    "memory": {"limit": 268435456, "swap": 268435456}, "pids": {"limit": 100},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"}}"#;

#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = step();
        self.0.push(start.elapsed().as_secs_f64() * 1e6);
        result
    }

    fn median(&mut self) -> f64 {
        self.0.sort_by(f64::total_cmp);
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn main() -> Outcome<()> {
    let request = Request {
        id: "insula-test-cost",
        ..Request::default()
    };
    let location = locate(&request)?;
    measure(&location, || locate(&request))?;
    // Version 2 as if it were alone, where it is beside version 1.
    if std::fs::exists("/sys/fs/cgroup/unified/cgroup.procs")? {
        println!("\nVersion 2 alone:");
        let alone: Location = serde_json::from_str(UNIFIED)?;
        measure(&alone, || Ok(alone.clone()))?;
    }
    Ok(())
}

const UNIFIED: &str = r#"{"manager": "cgroupfs", "root": "/sys/fs/cgroup/unified",
    "hierarchies": [{"mount": "", "unified": true}], "path": "insula-test-cost"}"#;

fn measure(
    location: &Location,
    find: impl Fn() -> insula_container::error::Result<Location>,
) -> Outcome<()> {
    let home = roots(location)?;
    println!(
        "{:<28}{:>9}{:>9}{:>9}{:>9}",
        "", "locate", "create", "join", "destroy"
    );
    for (name, resources) in [
        ("defaults", None),
        ("deny all", Some(USUAL)),
        ("limits", Some(LIMITED)),
    ] {
        // Beside version 1, version 2 has no controllers for limits.
        if resources == Some(LIMITED) && location.directory("memory").is_none() {
            continue;
        }
        let resources: Option<Resources> = resources.map(serde_json::from_str).transpose()?;
        ours(name, &find, resources.as_ref(), &home)?;
    }
    bare(location, "tasks", &home)?;
    bare(location, "cgroup.procs", &home)?;
    per_hierarchy(location)
}

/// Opened files that lead back to the top of every hierarchy.
fn roots(location: &Location) -> Outcome<Vec<OwnedFd>> {
    let mut home = Vec::new();
    for path in location.directories() {
        let top = path
            .strip_suffix(&location.path().unwrap_or_default())
            .unwrap_or(&path);
        home.push(openat(
            CWD,
            format!("{top}/cgroup.procs"),
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
    }
    Ok(home)
}

fn ours(
    name: &str,
    find: impl Fn() -> insula_container::error::Result<Location>,
    resources: Option<&Resources>,
    home: &[OwnedFd],
) -> Outcome<()> {
    let settings = Settings {
        resources,
        ..Settings::default()
    };
    let [mut place, mut create, mut join, mut destroy] = [const { Samples(Vec::new()) }; 4];
    for _ in 0..ROUNDS {
        let location = place.time(&find)?;
        let cgroup = create.time(|| location.create(&settings))?;
        join.time(|| {
            cgroup
                .join_files()
                .iter()
                .try_for_each(|file| write(file, b"0").map(drop))
        })?;
        go_home(home)?;
        drop(cgroup);
        destroy.time(|| location.destroy())?;
    }
    println!(
        "{:<28}{:>9.1}{:>9.1}{:>9.1}{:>9.1}",
        name,
        place.median(),
        create.median(),
        join.median(),
        destroy.median()
    );
    Ok(())
}

fn go_home(home: &[OwnedFd]) -> Outcome<()> {
    home.iter()
        .try_for_each(|file| write(file, b"0").map(drop))?;
    Ok(())
}

/// The same directories by mkdir, open, write and rmdir alone.
fn bare(location: &Location, file: &str, home: &[OwnedFd]) -> Outcome<()> {
    let paths = location.directories();
    let [mut create, mut join, mut destroy] = [const { Samples(Vec::new()) }; 3];
    for _ in 0..ROUNDS {
        let files = create.time(|| {
            paths
                .iter()
                .map(|path| {
                    mkdirat(CWD, path.as_str(), Mode::from_raw_mode(0o755))?;
                    let file = if path.contains("/unified/") {
                        "cgroup.procs"
                    } else {
                        file
                    };
                    let path = format!("{path}/{file}");
                    openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        // A cpuset lets nobody in before it has processors.
        for path in paths.iter().filter(|path| path.contains("/cpuset/")) {
            std::fs::write(format!("{path}/cpuset.cpus"), "0")?;
            std::fs::write(format!("{path}/cpuset.mems"), "0")?;
        }
        join.time(|| {
            files
                .iter()
                .try_for_each(|file| write(file, b"0").map(drop))
        })?;
        go_home(home)?;
        drop(files);
        destroy.time(|| {
            paths
                .iter()
                .try_for_each(|path| unlinkat(CWD, path.as_str(), AtFlags::REMOVEDIR))
        })?;
    }
    println!(
        "{:<28}{:>9}{:>9.1}{:>9.1}{:>9.1}",
        format!("bare calls, {file}"),
        "",
        create.median(),
        join.median(),
        destroy.median()
    );
    Ok(())
}

fn per_hierarchy(location: &Location) -> Outcome<()> {
    println!("\n{:<28}{:>9}{:>9}{:>9}", "", "mkdir", "open", "rmdir");
    for path in location.directories() {
        let [mut make, mut open, mut remove] = [const { Samples(Vec::new()) }; 3];
        for _ in 0..ROUNDS {
            make.time(|| mkdirat(CWD, path.as_str(), Mode::from_raw_mode(0o755)))?;
            let file = format!("{path}/cgroup.procs");
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            drop(open.time(|| openat(CWD, file.as_str(), flags, Mode::empty()))?);
            remove.time(|| unlinkat(CWD, path.as_str(), AtFlags::REMOVEDIR))?;
        }
        let name = path.split('/').nth(4).unwrap_or(&path);
        println!(
            "{name:<28}{:>9.1}{:>9.1}{:>9.1}",
            make.median(),
            open.median(),
            remove.median()
        );
    }
    Ok(())
}
