//! kill -9 of any process of the product: the guest goes on, or nothing of it is left.

use insula_sys::rustix::process::Signal;

use crate::world::{Chance, World, is_dead, kill};

const TICK: [&str; 3] = [
    "sh",
    "-c",
    "trap 'exit 7' TERM; while :; do echo tick; sleep 0.05; done",
];

fn start(world: &World, name: &str) -> String {
    world.succeed(&[&["run", "-d", "--name", name, "bb"][..], &TICK].concat())
}

#[test]
fn a_killed_monitor_is_replaced_and_the_guest_goes_on() {
    let world = World::new();
    let id = start(&world, "web");
    let program = world.process(&id, "process");
    for _ in 0..5 {
        let monitor = world.process(&id, "monitor");
        kill(monitor, Signal::KILL);
        world.settle("a new monitor", |world| {
            let state = world.state(&id);
            state.is_some_and(|state| state["monitor"]["pid"] != monitor)
        });
        assert_eq!(world.status("web"), "running");
        assert_eq!(world.process(&id, "process"), program);
        assert_eq!(
            world.state(&id).unwrap()["outputLost"],
            serde_json::Value::Null
        );
    }
    world.succeed(&["stop", "web"]);
    let code = world.guest("web")["exitCode"].clone();
    // Before Linux 6.15 nobody but its parent can know.
    assert!(code == 7 || code.is_null(), "{code}");
    world.succeed(&["rm", "web"]);
    world.assert_gone(&id);
}

#[test]
fn the_output_is_kept_over_a_kill() {
    let world = World::new();
    let script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; done; read end";
    let words = [
        "run", "-d", "-i", "--name", "talk", "bb", "sh", "-c", script,
    ];
    let id = world.succeed(&words);
    kill(world.process(&id, "monitor"), Signal::KILL);
    world.settle("it is all there", |world| {
        world.succeed(&["logs", "talk"]).lines().count() == 400
    });
    let text = world.succeed(&["logs", "talk"]);
    for (line, number) in text.lines().zip(1..) {
        assert_eq!(line, format!("line {number}"));
    }
    world.succeed(&["kill", "talk"]);
}

#[test]
fn a_killed_holder_is_replaced() {
    let world = World::new();
    let id = start(&world, "web");
    let holder = world.process(&id, "holder");
    kill(holder, Signal::KILL);
    world.settle("a new holder", |world| {
        let state = world.state(&id);
        state.is_some_and(|state| state["holder"]["pid"].as_i64() != Some(i64::from(holder)))
    });
    assert_eq!(world.status("web"), "running");
    world.succeed(&["rm", "-f", "web"]);
    world.assert_gone(&id);
}

#[test]
fn with_all_its_processes_killed_a_guest_is_found_again() {
    let world = World::new();
    let id = start(&world, "web");
    // The holder first: it would be faster than us.
    let pids = ["holder", "monitor"].map(|which| world.process(&id, which));
    for pid in pids {
        kill(pid, Signal::STOP);
    }
    for pid in pids {
        kill(pid, Signal::KILL);
    }
    world.settle("they are dead", |_| pids.iter().all(|pid| is_dead(*pid)));
    assert_eq!(world.status("web"), "running");
    assert_eq!(world.state(&id).unwrap()["outputLost"], true);
    assert_eq!(world.succeed(&["exec", "web", "echo", "here"]), "here");
    world.succeed(&["rm", "-f", "web"]);
    world.assert_gone(&id);
}

#[test]
fn a_guest_that_ended_unseen_is_put_right() {
    let world = World::new();
    let id = start(&world, "web");
    let names = ["holder", "monitor", "process"];
    let pids = names.map(|which| world.process(&id, which));
    for pid in pids {
        kill(pid, Signal::STOP);
    }
    for pid in pids {
        kill(pid, Signal::KILL);
    }
    world.settle("they are dead", |_| pids.iter().all(|pid| is_dead(*pid)));
    let guest = world.guest("web");
    assert_eq!(guest["status"], "exited");
    assert!(guest["exitCode"].is_null());
    world.succeed(&["start", "web"]);
    assert_eq!(world.status("web"), "running");
    world.succeed(&["rm", "-f", "web"]);
    world.assert_gone(&id);
}

/// Kills whichever process at whichever moment, while verbs are at work.
#[test]
fn a_storm_of_kills_leaves_nothing() {
    let world = World::new();
    let mut chance = Chance::new();
    let rounds = std::env::var("INSULA_GUESTS_ROUNDS").ok();
    let rounds: usize = rounds.and_then(|text| text.parse().ok()).unwrap_or(40);
    let steady = start(&world, "steady");
    let steady_program = world.process(&steady, "process");
    for round in 0..rounds {
        let verbs: [&[&str]; 6] = [
            &["run", "-d", "--name", "victim", "bb", "sleep", "1000"],
            &["restart", "-t", "0", "victim"],
            &["stop", "-t", "0", "victim"],
            &["start", "victim"],
            &["rename", "victim", "victim"],
            &["rm", "-f", "victim"],
        ];
        let verb = verbs[chance.below(verbs.len())];
        let mut child = world.command(verb).spawn().unwrap();
        for _ in 0..chance.below(20_000) {
            std::hint::spin_loop();
        }
        let targets = ["monitor", "holder", "command"];
        match targets[chance.below(targets.len())] {
            "command" => kill(i32::try_from(child.id()).unwrap(), Signal::KILL),
            which => {
                let list = world.run(&["ps", "-a", "-o", "json"]).out;
                let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap_or_default();
                let victim = list.iter().find(|guest| guest["name"] == "victim");
                let state = victim.and_then(|guest| world.state(guest["id"].as_str()?));
                if let Some(pid) = state.and_then(|state| state[which]["pid"].as_i64()) {
                    kill(i32::try_from(pid).unwrap(), Signal::KILL);
                }
            }
        }
        child.wait().unwrap();
        let prune = world.run(&["prune"]);
        assert_eq!(prune.code, Some(0), "round {round} {verb:?}: {}", prune.err);
        assert_eq!(world.status("steady"), "running", "round {round} {verb:?}");
    }
    assert_eq!(world.process(&steady, "process"), steady_program);
    world.run(&["rm", "-f", "victim"]);
    world.succeed(&["rm", "-f", "steady"]);
    world.assert_gone(&steady);
    assert_eq!(world.succeed(&["ps", "-a", "-q"]), "");
    let left = std::fs::read_dir(world.store().join("containers")).unwrap();
    assert_eq!(left.count(), 0);
}
