//! Random verbs, and a model of what they must do: after each of them `ps` shows what the model says.

use std::collections::BTreeMap;

use crate::world::{Chance, World};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Created,
    Running,
    Paused,
    Exited,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
        }
    }

    fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

type Model = BTreeMap<String, Status>;

/// What a verb does to a guest: the command, and the code it must end with. Changes the model.
fn act(model: &mut Model, verb: &str, name: &str, other: &str) -> (Vec<String>, i32) {
    use Status::{Created, Exited, Paused, Running};
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let now = model.get(name).copied();
    let mut set = |status| {
        let _ = model.insert(name.to_owned(), status);
    };
    let code = match (verb, now) {
        ("create" | "run", Some(_)) => {
            if verb == "run" {
                125
            } else {
                5
            }
        }
        ("create", None) => {
            set(Created);
            0
        }
        ("run", None) => {
            set(Running);
            0
        }
        (_, None) => 3 * i32::from(verb != "rm -f"),
        ("start", Some(Created | Exited)) => {
            set(Running);
            0
        }
        ("start" | "pause", Some(Paused)) => 1,
        ("start", Some(Running)) => 0,
        ("stop", Some(status)) => {
            if status.is_up() {
                set(Exited);
            }
            0
        }
        ("restart", Some(_)) => {
            set(Running);
            0
        }
        ("pause", Some(Running)) => {
            set(Paused);
            0
        }
        ("resume", Some(Paused)) => {
            set(Running);
            0
        }
        ("pause" | "resume", Some(_)) => 1,
        ("exec", Some(Running)) => 0,
        ("exec", Some(_)) => 1,
        ("kill", Some(status)) if status.is_up() => {
            set(Exited);
            0
        }
        ("kill", Some(_)) => 1,
        ("rm", Some(status)) if status.is_up() => 5,
        ("rm" | "rm -f", Some(_)) => {
            model.remove(name);
            0
        }
        ("rename", Some(status)) => {
            if model.contains_key(other) && other != name {
                5
            } else {
                model.remove(name);
                model.insert(other.to_owned(), status);
                0
            }
        }
        (verb, _) => panic!("no such verb: {verb}"),
    };
    let command = match verb {
        "create" => words(&["create", "--name", name, "bb", "sleep", "1000"]),
        "run" => words(&["run", "-d", "--name", name, "bb", "sleep", "1000"]),
        "stop" | "restart" => words(&[verb, "-t", "0", name]),
        "exec" => words(&["exec", name, "true"]),
        "rm -f" => words(&["rm", "-f", name]),
        "rename" => words(&["rename", name, other]),
        _ => words(&[verb, name]),
    };
    (command, code)
}

fn shown(world: &World) -> BTreeMap<String, String> {
    let list = world.succeed(&["ps", "-a", "-o", "json"]);
    let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    list.iter()
        .map(|guest| (text(&guest["name"]), text(&guest["status"])))
        .collect()
}

#[test]
fn random_verbs_do_what_the_model_says() {
    const VERBS: [&str; 12] = [
        "create", "run", "start", "stop", "restart", "pause", "resume", "exec", "kill", "rm",
        "rm -f", "rename",
    ];
    let world = World::new();
    let mut chance = Chance::new();
    let mut model = Model::new();
    let rounds = std::env::var("INSULA_GUESTS_ROUNDS").ok();
    let rounds: usize = rounds.and_then(|text| text.parse().ok()).unwrap_or(150);
    for round in 0..rounds {
        let verb = VERBS[chance.below(VERBS.len())];
        let name = NAMES[chance.below(NAMES.len())];
        let other = NAMES[chance.below(NAMES.len())];
        let (command, code) = act(&mut model, verb, name, other);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let said = world.run(&words);
        let what = format!("round {round}: {}", command.join(" "));
        assert_eq!(said.code, Some(code), "{what}: {}{}", said.out, said.err);
        if verb == "kill" && code == 0 {
            world.succeed(&["wait", name]);
        }
        let expected: BTreeMap<String, String> = model
            .iter()
            .map(|(name, status)| (name.clone(), status.name().to_owned()))
            .collect();
        assert_eq!(shown(&world), expected, "{what}");
    }
}
