//! Kills of the commands that change images. A step is a system call that may change something, of
//! whatever thread or child: where a kill can leave something, there it is tried.
//!
//! Each command is killed at [`ROUNDS`] steps from a seed, or with `INSULA_CRASH_EVERY=1` at every
//! one. Then the store must be whole, the same command must succeed, and when its image is removed
//! nothing may be left. Start at [`storm_of_changes`].

use crate::ground::Ground;
use crate::{Chance, number_of, seed};

/// Rounds for each command, without `INSULA_CRASH_ROUNDS` and `INSULA_CRASH_EVERY`.
const ROUNDS: u64 = 6;

struct Case<'a> {
    /// Makes what the command needs, before each round.
    prepare: &'a [&'a [&'a str]],
    /// The command that is killed.
    command: &'a [&'a str],
    /// What a user does next; must succeed.
    after: &'a [&'a [&'a str]],
}

/// The ground must have nothing in its store.
#[track_caller]
fn storm_of_changes(ground: Ground, case: &Case<'_>) {
    let seed = seed();
    let mut chance = Chance::new(seed);
    ground.prepare(case.prepare);
    let steps = ground.count_changes(case.command);
    let after = [case.after, CLEAN].concat();
    ground.prepare(&after);
    let ground = ground.with_empty_catalog();
    ground.clean_up(&[], "the command in peace");
    let is_every = number_of("INSULA_CRASH_EVERY").is_some_and(|number| number > 0);
    let rounds = match is_every {
        true => steps,
        false => number_of("INSULA_CRASH_ROUNDS").unwrap_or(ROUNDS),
    };
    for round in 1..=rounds {
        let step = match is_every {
            true => round,
            false => 1 + chance.next(steps),
        };
        ground.next_round();
        ground.prepare(case.prepare);
        let command = ground.kill_at_change(step, case.command);
        let what = format!("seed {seed}, killed at change {step} of {steps}: {command}");
        ground.clean_up(&after, &what);
    }
}

/// Whatever happened: what is there is whole, and then nothing of it is left.
const CLEAN: &[&[&str]] = &[
    &["--store", "STORE", "prune"],
    &["--store", "STORE", "image", "verify", "--all"],
    &["--store", "STORE", "image", "prune", "--all", "--yes"],
];
const IMPORT: &[&str] = &[
    "--store", "STORE", "image", "import", "--tag", "crash:1", "ARCHIVE",
];
const VERIFY: &[&str] = &["--store", "STORE", "image", "verify", "--all"];
const BUILD: &[&str] = &["--store", "STORE", "build", "-t", "built:1", "CONTEXT"];
const PULL: &[&str] = &[
    "--store",
    "STORE",
    "pull",
    "--progress",
    "none",
    "REGISTRY/app:1",
];

/// A registry that has an image of three layers.
fn ground_with_registry() -> Ground {
    let ground = Ground::new().with_registry();
    ground.prepare(&[
        &[
            "--store", "OTHER", "image", "import", "--tag", "crash:1", "ARCHIVE",
        ],
        &[
            "--store",
            "OTHER",
            "build",
            "-t",
            "REGISTRY/app:1",
            "CONTEXT",
        ],
        &[
            "--store",
            "OTHER",
            "push",
            "--progress",
            "none",
            "REGISTRY/app:1",
        ],
    ]);
    ground
}

#[test]
fn a_pull_that_is_killed_anywhere() {
    let after: &[&[&str]] = &[
        VERIFY,
        PULL,
        &["--store", "STORE", "run", "--rm", "REGISTRY/app:1", "true"],
    ];
    storm_of_changes(
        ground_with_registry(),
        &Case {
            prepare: &[],
            command: PULL,
            after,
        },
    );
}

/// Into a repository that has nothing yet, in each round.
#[test]
fn a_push_that_is_killed_anywhere() {
    let push: &[&str] = &[
        "--store",
        "STORE",
        "push",
        "--progress",
        "none",
        "REGISTRY/new-ROUND:1",
    ];
    let prepare: &[&[&str]] = &[
        IMPORT,
        BUILD,
        &["--store", "STORE", "tag", "built:1", "REGISTRY/new-ROUND:1"],
    ];
    let after: &[&[&str]] = &[
        push,
        &[
            "--store",
            "OTHER",
            "pull",
            "--progress",
            "none",
            "REGISTRY/new-ROUND:1",
        ],
        &["--store", "OTHER", "image", "verify", "--all"],
    ];
    storm_of_changes(
        Ground::new().with_registry(),
        &Case {
            prepare,
            command: push,
            after,
        },
    );
}

#[test]
fn a_build_that_is_killed_anywhere() {
    let after: &[&[&str]] = &[
        VERIFY,
        BUILD,
        &[
            "--store", "STORE", "run", "--rm", "built:1", "cat", "/one", "/two",
        ],
    ];
    storm_of_changes(
        Ground::new(),
        &Case {
            prepare: &[IMPORT],
            command: BUILD,
            after,
        },
    );
}

#[test]
fn a_build_that_pulls_and_is_killed_anywhere() {
    let build: &[&str] = &[
        "--store",
        "STORE",
        "build",
        "-t",
        "built:1",
        "--build-arg",
        "BASE=REGISTRY/app:1",
        "CONTEXT",
    ];
    storm_of_changes(
        ground_with_registry(),
        &Case {
            prepare: &[],
            command: build,
            after: &[VERIFY, build],
        },
    );
}

#[test]
fn a_prune_of_images_that_is_killed_anywhere() {
    storm_of_changes(
        Ground::new(),
        &Case {
            prepare: &[IMPORT, BUILD],
            command: &["--store", "STORE", "image", "prune", "--all", "--yes"],
            after: &[],
        },
    );
}

#[test]
fn a_removal_that_is_killed_anywhere() {
    storm_of_changes(
        Ground::new(),
        &Case {
            prepare: &[IMPORT, BUILD],
            command: &["--store", "STORE", "rmi", "built:1"],
            after: &[VERIFY, BUILD],
        },
    );
}

/// Of an archive with an image of three layers.
#[test]
fn an_import_that_is_killed_anywhere() {
    let ground = Ground::new();
    ground.prepare(&[
        &[
            "--store", "OTHER", "image", "import", "--tag", "crash:1", "ARCHIVE",
        ],
        &["--store", "OTHER", "build", "-t", "built:1", "CONTEXT"],
        &[
            "--store", "OTHER", "image", "export", "-o", "EXPORTED", "built:1",
        ],
    ]);
    let import: &[&str] = &["--store", "STORE", "image", "import", "EXPORTED"];
    let after: &[&[&str]] = &[
        VERIFY,
        import,
        &[
            "--store", "STORE", "run", "--rm", "built:1", "cat", "/one", "/two",
        ],
    ];
    storm_of_changes(
        ground,
        &Case {
            prepare: &[],
            command: import,
            after,
        },
    );
}
