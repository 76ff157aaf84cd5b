//! The verbs, one after the other.

use crate::world::World;

const FOREVER: [&str; 3] = [
    "sh",
    "-c",
    "trap 'exit 7' TERM; while :; do sleep 0.1; done",
];

fn detached<'a>(name: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(rest);
    words
}

#[test]
fn a_guest_lives_in_the_background() {
    let world = World::new();
    let id = world.succeed(&[&detached("web", &["bb"])[..], &FOREVER].concat());
    assert_eq!(id.len(), 64);
    assert_eq!(world.status("web"), "running");
    assert_eq!(world.succeed(&["ps", "-q"]), &id[..12]);
    assert_eq!(world.succeed(&["exec", "web", "echo", "in it"]), "in it");
    assert_eq!(world.succeed(&["pause", "web"]), "container/web paused");
    assert_eq!(world.status("web"), "paused");
    assert!(
        world
            .fail(1, &["exec", "web", "true"])
            .contains("is paused")
    );
    world.succeed(&["resume", "web"]);
    assert!(world.succeed(&["stop", &id[..8]]).contains("stopped"));
    let guest = world.guest("web");
    assert_eq!(
        (&guest["status"], &guest["exitCode"]),
        (&"exited".into(), &7.into())
    );
    assert_eq!(world.succeed(&["start", "web"]), "container/web started");
    assert_eq!(world.status("web"), "running");
    assert!(world.fail(5, &["rm", "web"]).contains("insula rm -f web"));
    world.succeed(&["rename", "web", "shop"]);
    assert_eq!(world.succeed(&["kill", "shop"]), "container/shop signalled");
    assert_eq!(world.succeed(&["wait", "shop"]), "137");
    world.succeed(&["rm", "shop"]);
    world.assert_gone(&id);
    assert!(
        world
            .fail(3, &["start", "shop"])
            .contains("there is no guest `shop`")
    );
}

#[test]
fn what_is_created_waits_to_be_started() {
    let world = World::new();
    let id = world.succeed(&[
        "create",
        "--name",
        "job",
        "bb",
        "sh",
        "-c",
        "echo done; exit 4",
    ]);
    assert_eq!(world.status("job"), "created");
    assert!(world.fail(1, &["kill", "job"]).contains("is not running"));
    let said = world.run(&["start", "-a", "job"]);
    assert_eq!((said.out.as_str(), said.code), ("done\n", Some(4)));
    assert_eq!(world.guest("job")["exitCode"], 4);
    world.succeed(&["rm", "job"]);
    world.assert_gone(&id);
    let refused = world.fail(3, &["create", "--name", "bad", "-u", "nobody-here", "bb"]);
    assert!(refused.contains("nobody-here"), "{refused}");
    assert_eq!(world.succeed(&["ps", "-a", "-q"]), "");
}

#[test]
fn what_cannot_be_started_leaves_nothing() {
    let world = World::new();
    for (code, command) in [(127, "no-such-program"), (126, "/etc")] {
        let error = world.fail(code, &["run", "-d", "bb", command]);
        assert!(error.contains(command), "{error}");
        assert_eq!(world.succeed(&["ps", "-a", "-q"]), "");
    }
    world.succeed(&["create", "--name", "later", "bb", "no-such-program"]);
    world.fail(127, &["start", "later"]);
    assert_eq!(world.guest("later")["exitCode"], 127);
}

#[test]
fn failures_are_started_again_until_it_is_enough() {
    let world = World::new();
    let id = world.succeed(&detached(
        "crash",
        &[
            "--restart",
            "on-failure:2",
            "bb",
            "sh",
            "-c",
            "echo >>/runs; exit 9",
        ],
    ));
    assert_eq!(world.succeed(&["wait", "crash"]), "9");
    assert_eq!(world.status("crash"), "exited");
    let runs = world
        .store()
        .join("containers")
        .join(&id)
        .join("upper/runs");
    assert_eq!(std::fs::read(runs).unwrap(), b"\n\n\n");
    let words = ["--restart", "always", "bb", "true"];
    world.succeed(&detached("always", &words));
    world.settle("a third run", |world| {
        world.guest("always")["restarts"].as_u64() > Some(1)
    });
    world.succeed(&["stop", "always"]);
    assert_eq!(world.status("always"), "exited");
    assert!(
        world
            .fail(2, &["run", "--rm", "--restart", "always", "bb"])
            .contains("--rm")
    );
}

#[test]
fn restart_makes_a_new_run_of_the_same_guest() {
    let world = World::new();
    let id = world.succeed(&[&detached("web", &["bb"])[..], &FOREVER].concat());
    let before = world.process(&id, "process");
    assert_eq!(
        world.succeed(&["restart", "web"]),
        "container/web restarted"
    );
    assert_ne!(world.process(&id, "process"), before);
    world.succeed(&["stop", "-t", "0", "web"]);
    world.succeed(&["restart", "web"]);
    assert_eq!(world.status("web"), "running");
}

#[test]
fn a_guest_that_does_not_listen_is_killed_in_the_end() {
    let world = World::new();
    let script = "trap '' TERM; while :; do sleep 0.1; done";
    world.succeed(&detached("deaf", &["bb", "sh", "-c", script]));
    world.succeed(&["stop", "-t", "1", "deaf"]);
    assert_eq!(world.guest("deaf")["exitCode"], 137);
    let script = "trap 'exit 5' USR1; while :; do sleep 0.1; done";
    world.succeed(&detached(
        "own",
        &["--stop-signal", "USR1", "bb", "sh", "-c", script],
    ));
    world.succeed(&["stop", "-t", "-1", "own"]);
    assert_eq!(world.guest("own")["exitCode"], 5);
}

#[test]
fn health_is_checked() {
    let world = World::new();
    let check = ["--health-cmd", "test -e /well", "--health-interval", "50ms"];
    let rest = [&check[..], &["--health-retries", "2", "bb"], &FOREVER].concat();
    world.succeed(&detached("sick", &rest));
    world.settle("it is unhealthy", |world| {
        world.guest("sick")["health"] == "unhealthy"
    });
    world.succeed(&["exec", "sick", "touch", "/well"]);
    world.settle("it is healthy", |world| {
        world.guest("sick")["health"] == "healthy"
    });
    let slow = ["--health-cmd", "sleep 1000", "--health-interval", "50ms"];
    let slow = [
        &slow[..],
        &["--health-timeout", "100ms", "--health-retries", "1"],
    ]
    .concat();
    world.succeed(&detached("slow", &[&slow[..], &["bb"], &FOREVER].concat()));
    world.settle("it took too long", |world| {
        world.guest("slow")["health"] == "unhealthy"
    });
    world.succeed(&["stop", "-t", "0", "sick", "slow"]);
}

#[test]
fn limits_change_while_it_runs() {
    let world = World::new();
    let id = world.succeed(&[&detached("web", &["-m", "64m", "bb"])[..], &FOREVER].concat());
    world.succeed(&["update", "-m", "128m", "--restart", "always", "web"]);
    let limit = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let v1 = limit(&format!(
        "/sys/fs/cgroup/memory/insula/{id}/memory.limit_in_bytes"
    ));
    let v2 = limit(&format!("/sys/fs/cgroup/insula/{id}/memory.max"));
    assert_eq!((v1 + &v2).trim(), "134217728");
    world.succeed(&["kill", "-s", "KILL", "web"]);
    world.settle("it has ended", |world| world.status("web") == "exited");
    world.succeed(&["update", "--restart", "no", "web"]);
    assert!(
        world
            .fail(2, &["update", "web"])
            .contains("nothing to change")
    );
}

#[test]
fn memory_that_runs_out_is_told() {
    let world = World::new();
    let eat = "x=a; while :; do x=$x$x; done";
    world.succeed(&detached("eater", &["-m", "8m", "bb", "sh", "-c", eat]));
    assert_eq!(world.succeed(&["wait", "eater"]), "137");
    let id = world.guest("eater")["id"].as_str().unwrap().to_owned();
    let record = world
        .store()
        .join("containers")
        .join(id)
        .join("record.json");
    let record = std::fs::read_to_string(record).unwrap();
    assert!(record.contains("\"oomKilled\":true"), "{record}");
}

#[test]
fn names_may_be_shortened_and_are_not_confused() {
    let world = World::new();
    for name in ["alpha", "alpine"] {
        world.succeed(&["create", "--name", name, "bb"]);
    }
    world.succeed(&["rm", "alpi"]);
    world.succeed(&["create", "--name", "alpine", "bb"]);
    assert!(world.fail(1, &["rm", "al"]).contains("several"));
    assert!(
        world
            .fail(5, &["create", "--name", "alpha", "bb"])
            .contains("is taken")
    );
    assert!(
        world
            .fail(5, &["rename", "alpha", "alpine"])
            .contains("is taken")
    );
    assert_eq!(
        world.succeed(&["ps", "-a", "-o", "name"]).lines().count(),
        2
    );
}
