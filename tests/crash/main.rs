//! Clean at any crash: each command is killed at a step chosen from a seed, and what cleans up
//! after it must leave nothing.
//!
//! A step is a system call: `strace --inject` kills a process when it enters its Nth, so that the
//! product needs no hooks for it. N counts in each process for itself; where the command waits for
//! the container, the container's process is hit as well as the runtime. Afterwards no process,
//! mount, cgroup, record or temporary file may be left. `INSULA_CRASH_SEED` and
//! `INSULA_CRASH_ROUNDS` replay and prolong; every failure prints the command.
//!
//! Commands that change images are in `images.rs`, and are killed where they change something.
//!
//! Start at [`storm`], then `ground.rs` for what is looked at.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs for itself is there, or the test fails"
)]

mod ground;
mod images;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::ground::Ground;

/// Rounds for each command, without `INSULA_CRASH_ROUNDS`.
const ROUNDS: u64 = 12;

/// One command and what surrounds it.
struct Case<'a> {
    /// Makes what the command needs, once before each round.
    prepare: &'a [&'a [&'a str]],
    /// The command that is killed.
    command: &'a [&'a str],
    /// Whether the container's process is traced, too: only where the command waits for its end.
    is_followed: bool,
    /// What a user does next; must succeed.
    after: &'a [&'a [&'a str]],
}

/// xorshift64*: the same steps for the same seed, on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below.max(1)
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The one that was asked for, or one of the moment.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let of_now = || now.as_secs() ^ u64::from(now.subsec_nanos());
    number_of("INSULA_CRASH_SEED").unwrap_or_else(of_now)
}

/// Kills the command at one step after the other.
#[track_caller]
fn storm(ground: &Ground, case: &Case<'_>) {
    let seed = seed();
    let mut chance = Chance::new(seed);
    ground.prepare(case.prepare);
    let steps = ground.count_steps(case.is_followed, case.command);
    ground.clean_up(case.after, "the command in peace");
    for round in 0..number_of("INSULA_CRASH_ROUNDS").unwrap_or(ROUNDS) {
        ground.prepare(case.prepare);
        let step = 1 + chance.next(steps);
        let replay = ground.kill_at(step, case.is_followed, case.command);
        let what =
            format!("seed {seed}, round {round}, killed at step {step} of {steps}: {replay}");
        ground.clean_up(case.after, &what);
    }
}

const DELETE: &[&[&str]] = &[&["oci", "delete", "--force", "ID"], &["prune"]];

#[test]
fn oci_run() {
    let command = ["oci", "run", "--bundle", "SHORT", "ID"];
    storm(
        &Ground::new(),
        &Case {
            prepare: &[],
            command: &command,
            is_followed: true,
            after: DELETE,
        },
    );
}

/// Half-made containers need not even be named: `prune` finds them.
#[test]
fn oci_create() {
    let command = ["oci", "create", "--bundle", "LONG", "ID"];
    storm(
        &Ground::new(),
        &Case {
            prepare: &[],
            command: &command,
            is_followed: false,
            after: DELETE,
        },
    );
}

#[test]
fn oci_start() {
    let prepare: &[&[&str]] = &[&["oci", "create", "--bundle", "LONG", "ID"]];
    storm(
        &Ground::new(),
        &Case {
            prepare,
            command: &["oci", "start", "ID"],
            is_followed: false,
            after: DELETE,
        },
    );
}

const RUNNING: &[&[&str]] = &[
    &["oci", "create", "--bundle", "LONG", "ID"],
    &["oci", "start", "ID"],
];

/// The container goes on; only what `exec` made is gone.
#[test]
fn oci_exec() {
    let command = ["oci", "exec", "ID", "/bin/true"];
    let after: &[&[&str]] = &[
        &["oci", "exec", "ID", "/bin/true"],
        &["oci", "delete", "--force", "ID"],
        &["prune"],
    ];
    storm(
        &Ground::new(),
        &Case {
            prepare: RUNNING,
            command: &command,
            is_followed: true,
            after,
        },
    );
}

#[test]
fn oci_kill() {
    storm(
        &Ground::new(),
        &Case {
            prepare: RUNNING,
            command: &["oci", "kill", "ID", "KILL"],
            is_followed: false,
            after: DELETE,
        },
    );
}

#[test]
fn oci_delete() {
    let command = ["oci", "delete", "--force", "ID"];
    storm(
        &Ground::new(),
        &Case {
            prepare: RUNNING,
            command: &command,
            is_followed: false,
            after: DELETE,
        },
    );
}

const IMPORT: &[&str] = &[
    "--store", "STORE", "image", "import", "--tag", "crash:1", "ARCHIVE",
];

/// A second import of the same archive finishes what the first began; the first, if it was done but
/// for its name, is an image without a name.
#[test]
fn image_import() {
    let remove: &[&[&str]] = &[
        &["--store", "STORE", "rmi", "crash:1"],
        &["--store", "STORE", "prune"],
        &["--store", "STORE", "image", "prune", "--yes"],
    ];
    let use_it: &[&[&str]] = &[
        &["--store", "STORE", "prune"],
        IMPORT,
        &["--store", "STORE", "run", "--rm", "crash:1", "true"],
    ];
    let ground = Ground::new();
    ground.prepare(&[&[IMPORT], remove].concat());
    let case = Case {
        prepare: &[],
        command: IMPORT,
        is_followed: true,
        after: &[use_it, remove].concat(),
    };
    storm(&ground.with_baseline(), &case);
}

#[test]
fn run_of_an_image() {
    let ground = Ground::new();
    ground.prepare(&[IMPORT]);
    let ground = ground.with_baseline();
    let command = ["--store", "STORE", "run", "--rm", "crash:1", "true"];
    storm(
        &ground,
        &Case {
            prepare: &[],
            command: &command,
            is_followed: true,
            after: &[&["--store", "STORE", "prune"]],
        },
    );
}
