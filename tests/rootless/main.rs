//! Guests of ordinary users: the verbs of every day without root, with subordinate ids and without.
//!
//! Each test has a user of its own. `INSULA_BINARY` names the binary under test; root is needed to
//! become these users.

#![expect(
    clippy::unwrap_used,
    reason = "what a test needs for itself is there, or the test fails"
)]

#[path = "../shared/insula.rs"]
mod insula;
mod world;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use world::{Ids, World};

fn a_life(world: &World) {
    exit_codes(world);
    in_the_background(world);
    built(world);
    nothing_is_left(world);
}

fn exit_codes(world: &World) {
    assert_eq!(world.succeed(&["run", "--rm", "bb", "id", "-u"]), "0");
    for (code, words) in [
        (7, &["run", "--rm", "bb", "sh", "-c", "exit 7"][..]),
        (127, &["run", "--rm", "bb", "no-such-program"]),
    ] {
        world.fail(code, words);
    }
}

fn in_the_background(world: &World) {
    let script = "echo begun; trap 'exit 3' TERM; while :; do sleep 0.05; done";
    world.succeed(&[
        "run",
        "-d",
        "--name",
        "web",
        "-v",
        "data:/data",
        "bb",
        "sh",
        "-c",
        script,
    ]);
    world.settle("the first line", |world| {
        world.succeed(&["logs", "web"]) == "begun"
    });
    world.succeed(&[
        "exec",
        "web",
        "sh",
        "-c",
        "echo kept >/data/file; echo own >/note",
    ]);
    world.succeed(&["cp", "web:/note", "note"]);
    assert_eq!(
        fs::read_to_string(world.path("home/note")).unwrap(),
        "own\n"
    );
    let owner = fs::metadata(world.path("home/note")).unwrap().uid();
    assert_eq!(owner, world.uid);
    let list = world.succeed(&["stats", "--no-stream", "-o", "json", "web"]);
    assert!(list.contains("web"), "{list}");
    assert!(world.succeed(&["top", "web"]).contains("sleep 0.05"));
    world.succeed(&["commit", "web", "web:2"]);
    world.succeed(&["stop", "web"]);
    let guest = world.guest("web");
    assert_eq!(
        (&guest["status"], &guest["exitCode"]),
        (&"exited".into(), &3.into())
    );
    world.succeed(&["start", "web"]);
    assert_eq!(world.succeed(&["exec", "web", "cat", "/note"]), "own");
    world.succeed(&["rm", "-f", "web"]);
    let words = [
        "run",
        "--rm",
        "-v",
        "data:/data",
        "web:2",
        "cat",
        "/data/file",
        "/note",
    ];
    assert_eq!(world.succeed(&words), "kept\nown");
}

fn built(world: &World) {
    fs::write(
        world.path("home/Containerfile"),
        "FROM bb\nRUN id -u >/who\nCMD cat /who\n",
    )
    .unwrap();
    world.succeed(&["build", "-t", "built", "."]);
    assert_eq!(
        world.succeed(&["run", "--rm", "--network", "host", "built"]),
        "0"
    );
}

fn nothing_is_left(world: &World) {
    assert_eq!(world.succeed(&["ps", "-aq"]), "");
    let store = world.path("home/.local/share/insula");
    assert_eq!(fs::metadata(&store).unwrap().uid(), world.uid);
    assert_eq!(fs::read_dir(store.join("containers")).unwrap().count(), 0);
    assert_eq!(
        fs::read_dir(world.path("run/insula/guests"))
            .unwrap()
            .count(),
        0
    );
    world.settle("the namespace's end", |world| world.processes().is_empty());
    assert!(!world.path("run/insula/namespace").exists());
}

#[test]
fn a_user_with_many_ids_lives_a_life() {
    let world = World::new(30_001, Ids::Many);
    a_life(&world);
    let words = ["run", "--rm", "-u", "1000:1000", "bb", "id", "-u"];
    assert_eq!(world.succeed(&words), "1000");
    let words = [
        "run",
        "--rm",
        "bb",
        "sh",
        "-c",
        "touch /x; chown 5:6 /x; stat -c %u:%g /x",
    ];
    assert_eq!(world.succeed(&words), "5:6");
    assert!(
        world
            .succeed(&["info"])
            .contains("rootless (65537 user ids")
    );
}

#[test]
fn a_user_with_one_id_lives_a_life() {
    let world = World::new(30_002, Ids::One);
    a_life(&world);
    let error = world.fail(125, &["run", "--rm", "-u", "1000", "bb", "true"]);
    assert!(error.contains("user 1000:0 does not exist here"), "{error}");
    assert!(
        error.contains("hint: ") && error.contains("/etc/subuid"),
        "{error}"
    );
    assert!(world.succeed(&["info"]).contains("rootless (one user id"));
}

#[test]
fn what_needs_a_cgroup_is_refused() {
    let world = World::new(30_003, Ids::One);
    for option in ["--memory=64m", "--cpus=1", "--pids-limit=9"] {
        let error = world.fail(125, &["run", "--rm", option, "bb", "true"]);
        let name = option.split('=').next().unwrap();
        assert!(error.contains(&format!("{name} cannot be held")), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }
    world.succeed(&["run", "-d", "--name", "a", "bb", "sleep", "1000"]);
    let error = world.fail(1, &["pause", "a"]);
    assert!(error.contains("`a` cannot be paused"), "{error}");
    world.succeed(&["rm", "-f", "a"]);
}

#[test]
fn a_killed_monitor_is_replaced_and_killed_keepers_lose_nothing() {
    let world = World::new(30_004, Ids::Many);
    world.succeed(&[
        "run",
        "-d",
        "--name",
        "a",
        "bb",
        "sh",
        "-c",
        "while :; do sleep 0.05; done",
    ]);
    let monitor = world.succeed(&["inspect", "a", "state/monitor/pid"]);
    let kill = |pid: &str| {
        let pid = insula_sys::rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        insula_sys::rustix::process::kill_process(pid, insula_sys::rustix::process::Signal::KILL)
            .unwrap();
    };
    kill(&monitor);
    world.settle("another monitor", |world| {
        world.succeed(&["inspect", "a", "state/monitor/pid"]) != monitor
    });
    assert_eq!(world.succeed(&["exec", "a", "echo", "still"]), "still");
    let keeper = fs::read_to_string(world.path("run/insula/namespace")).unwrap();
    kill(keeper.split(' ').next().unwrap());
    assert_eq!(world.succeed(&["exec", "a", "echo", "there"]), "there");
    world.succeed(&["rm", "-f", "a"]);
    world.succeed(&["prune"]);
    world.settle("the end of all", |world| world.processes().is_empty());
}

#[test]
fn users_do_not_see_each_other() {
    let (one, other) = (World::new(30_005, Ids::Many), World::new(30_006, Ids::One));
    one.succeed(&["run", "-d", "--name", "a", "bb", "sleep", "1000"]);
    other.succeed(&["run", "-d", "--name", "a", "bb", "sleep", "1000"]);
    assert_ne!(one.guest("a")["id"], other.guest("a")["id"]);
    for world in [&one, &other] {
        assert_eq!(world.succeed(&["ps", "-q"]).lines().count(), 1);
        world.succeed(&["rm", "-f", "a"]);
    }
}

#[test]
fn what_the_host_does_not_give_is_named() {
    let world = World::bare(30_007, Ids::One);
    // A home of somebody else.
    chown(world.path("home"), Some(0), Some(0)).unwrap();
    let error = world.fail(4, &["image", "import", "--tag", "bb", "busybox.tar"]);
    assert!(error.contains(".local"), "{error}");
    chown(world.path("home"), Some(world.uid), Some(world.uid)).unwrap();
    // The runtime directory of somebody else does not count, and another is taken.
    fs::set_permissions(world.path("run"), fs::Permissions::from_mode(0o777)).unwrap();
    world.succeed(&["image", "import", "--tag", "bb", "busybox.tar"]);
    let own = std::env::temp_dir().join(format!("insula-{}", world.uid));
    assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o700);
    drop(world);
    fs::remove_dir_all(own).unwrap();
}
