//! A guest's own view of `/proc` and `/sys`: what it shows, and whoever is killed meanwhile.

use std::fs;
use std::path::Path;

use insula_sys::rustix::process::Signal;

use crate::world::{World, is_dead, kill};

const FOREVER: [&str; 4] = ["bb", "sh", "-c", "while :; do sleep 1; done"];
const LIMITS: [&str; 5] = ["--proc-view", "-m", "256m", "--cpus", "1"];

fn is_skipped() -> bool {
    let is_skipped = !Path::new("/dev/fuse").exists();
    if is_skipped {
        println!("skipped: needs /dev/fuse");
    }
    is_skipped
}

/// The total of `meminfo`, as a process of the guest sees it.
fn total_of(pid: i32) -> std::io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/root/proc/meminfo"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

const TOTAL: &str = "MemTotal:         262144 kB";

#[test]
fn a_guest_sees_its_own_limits_and_time() {
    if is_skipped() {
        return;
    }
    let world = World::new();
    let script = "head -n 1 /proc/meminfo; grep -c ^processor /proc/cpuinfo; \
        cat /sys/devices/system/cpu/online; cut -d. -f1 /proc/uptime; cat /proc/loadavg; \
        grep -c ^cpu[0-9] /proc/stat; wc -l </proc/swaps; cat /proc/diskstats >/dev/null";
    let words = [&["run", "--rm"], &LIMITS[..], &["bb", "sh", "-c", script]].concat();
    let out = world.succeed(&words);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..3], [TOTAL, "1", "0"], "{out}");
    assert!(lines[3].parse::<u32>().unwrap() < 60, "{out}");
    assert!(lines[4].starts_with("0.00 0.00 0.00 "), "{out}");
    assert_eq!(&lines[5..], ["1", "1"], "{out}");
    // Whoever asks for nothing has the host's.
    let host = fs::read_to_string("/proc/meminfo").unwrap();
    let seen = world.succeed(&[
        "run",
        "--rm",
        "-m",
        "256m",
        "bb",
        "head",
        "-n1",
        "/proc/meminfo",
    ]);
    assert_eq!(host.lines().next(), Some(seen.as_str()));
}

#[test]
fn what_a_user_mounts_is_not_covered() {
    if is_skipped() {
        return;
    }
    let world = World::new();
    let file = world.path("mine");
    fs::write(&file, "mine\n").unwrap();
    let volume = format!("{}:/proc/uptime", file.display());
    let words = [
        &["run", "--rm", "-v", &volume],
        &LIMITS[..],
        &["bb", "cat", "/proc/uptime"],
    ];
    assert_eq!(world.succeed(&words.concat()), "mine");
}

#[test]
fn whoever_is_killed_the_view_goes_on() {
    if is_skipped() {
        return;
    }
    let world = World::new();
    let words = [&["run", "-d", "--name", "web"], &LIMITS[..], &FOREVER].concat();
    let id = world.succeed(&words);
    let pid = world.process(&id, "process");
    for which in ["holder", "monitor", "monitor", "holder"] {
        let before = world.process(&id, which);
        kill(before, Signal::KILL);
        // Nobody else has asked for the guest: the reader waits for who answers next.
        assert_eq!(total_of(pid).unwrap(), TOTAL, "{which} was killed");
        world.settle("another one has its place", |world| {
            let state = world.state(&id).unwrap();
            state[which]["pid"].as_i64() != Some(before.into()) && world.status("web") == "running"
        });
        assert_eq!(total_of(pid).unwrap(), TOTAL, "{which} was killed");
    }
    assert_eq!(world.process(&id, "process"), pid);
    world.succeed(&["restart", "-t", "0", "web"]);
    let pid = world.process(&id, "process");
    assert_eq!(total_of(pid).unwrap(), TOTAL);
    world.succeed(&["update", "-m", "128m", "web"]);
    world.settle("the view follows the limit", |_| {
        total_of(pid).unwrap() == "MemTotal:         131072 kB"
    });
    let holder = world.process(&id, "holder");
    world.succeed(&["rm", "-f", "web"]);
    world.assert_gone(&id);
    assert!(is_dead(holder));
}

#[test]
fn a_view_that_is_lost_fails_and_comes_back_with_the_next_run() {
    if is_skipped() {
        return;
    }
    let world = World::new();
    let words = [&["run", "-d", "--name", "web"], &LIMITS[..], &FOREVER].concat();
    let id = world.succeed(&words);
    let pid = world.process(&id, "process");
    let both = [world.process(&id, "holder"), world.process(&id, "monitor")];
    // Stopped, none of them can replace the other.
    for pid in both {
        kill(pid, Signal::STOP);
    }
    for pid in both {
        kill(pid, Signal::KILL);
    }
    world.settle("both are gone", |_| both.iter().all(|pid| is_dead(*pid)));
    // An error, and no waiting for ever.
    assert!(total_of(pid).is_err());
    assert_eq!(world.status("web"), "running");
    world.succeed(&["restart", "-t", "0", "web"]);
    assert_eq!(total_of(world.process(&id, "process")).unwrap(), TOTAL);
    world.succeed(&["rm", "-f", "web"]);
    world.succeed(&["prune"]);
    world.assert_gone(&id);
}
