//! Random verbs, and a model of what they must do: after each of them `ps` shows what the model
//! says.

use std::collections::BTreeMap;

use crate::world::{Chance, World};

/// No letter of them is a digit of an identifier, for its beginning would be a name, too.
const NAMES: [&str; 3] = ["one", "six", "two"];

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

/// The code that a verb must end with. Changes the model.
fn act(model: &mut Model, verb: &str, name: &str, other: &str) -> i32 {
    use Status::{Created, Exited, Paused, Running};
    let now = model.get(name).copied();
    let is_up = now.is_some_and(Status::is_up);
    let (code, then) = match (verb, now) {
        ("run", Some(_)) => (125, None),
        ("create", Some(_)) => (5, None),
        ("create", None) => (0, Some(Created)),
        ("run", None) => (0, Some(Running)),
        ("rm -f", None) => (0, None),
        (_, None) => (3, None),
        ("start", Some(Created | Exited)) | ("restart", Some(_)) => (0, Some(Running)),
        ("start" | "exec", Some(Running)) => (0, None),
        ("start" | "pause" | "exec", Some(Paused)) => (1, None),
        ("stop" | "kill", Some(_)) if is_up => (0, Some(Exited)),
        ("stop", Some(_)) => (0, None),
        ("pause", Some(Running)) => (0, Some(Paused)),
        ("resume", Some(Paused)) => (0, Some(Running)),
        ("pause" | "resume" | "exec" | "kill", Some(_)) => (1, None),
        ("rm", Some(_)) if is_up => (5, None),
        ("rm" | "rm -f", Some(_)) => {
            model.remove(name);
            (0, None)
        }
        ("rename", Some(_)) if other != name && model.contains_key(other) => (5, None),
        ("rename", Some(status)) => {
            model.remove(name);
            model.insert(other.to_owned(), status);
            (0, None)
        }
        (verb, _) => panic!("no such verb: {verb}"),
    };
    if let Some(status) = then {
        model.insert(name.to_owned(), status);
    }
    code
}

fn command<'a>(verb: &'a str, name: &'a str, other: &'a str) -> Vec<&'a str> {
    match verb {
        "create" => vec!["create", "--name", name, "bb", "sleep", "1000"],
        "run" => vec!["run", "-d", "--name", name, "bb", "sleep", "1000"],
        "stop" | "restart" => vec![verb, "-t", "0", name],
        "exec" => vec!["exec", name, "true"],
        "rm -f" => vec!["rm", "-f", name],
        "rename" => vec!["rename", name, other],
        _ => vec![verb, name],
    }
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
        let code = act(&mut model, verb, name, other);
        let words = command(verb, name, other);
        let said = world.run(&words);
        let what = format!("round {round}: {}", words.join(" "));
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
