//! "Did you mean …?": the nearest name, and what a flag of docker or podman is called here.

/// The candidate nearest to `word`, if it is near enough to be a slip of the fingers.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = 1 + word.chars().count() / 4;
    let rank = |candidate: &str| match candidate.starts_with(word) {
        true => 0,
        false => distance(word, candidate),
    };
    candidates
        .into_iter()
        .map(|candidate| (rank(candidate), candidate))
        .filter(|(rank, _)| *rank <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added, left out or exchanged with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let crossed = row > 0 && column > 0 && letter == right[column - 1];
            if crossed && left[row - 1] == other {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

/// What to say about a flag of docker, podman or nerdctl that Insula does not have.
pub(crate) fn docker_flag(flag: &str) -> Option<&'static str> {
    let name = flag.split('=').next().unwrap_or(flag);
    DOCKER_FLAGS
        .iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, hint)| *hint)
}

/// What to say about a command of docker, podman or kubectl that Insula does not have.
pub(crate) fn docker_command(command: &str) -> Option<&'static str> {
    DOCKER_COMMANDS
        .iter()
        .find(|(names, _)| names.contains(&command))
        .map(|(_, hint)| *hint)
}

const DOCKER_FLAGS: &[(&[&str], &str)] = &[
    (
        &["--format"],
        "Go templates are not read here: it is -o jsonpath={.id}, -o json, or -o name",
    ),
    (
        &["--filter"],
        "this listing has no filter: -o json, or -o jsonpath=…, and choose there",
    ),
    (&["--no-trunc"], "here it is -o wide"),
    (&["--net"], "here it is --network none or --network host"),
    (&["--cpu-quota", "--cpu-period"], "here it is --cpus NUMBER"),
    (
        &["-h"],
        "the short flag -h is help; the host name is --hostname NAME",
    ),
    (
        &["--publish", "-p", "--publish-all", "-P", "--ip", "--expose"],
        "networks other than none and host are not built yet; --network host opens every port",
    ),
    (
        &["--arch"],
        "here it is --platform linux/ARCHITECTURE; running another one is not built yet",
    ),
    (&["--time"], "here it is --timeout SECONDS"),
    (
        &["--runtime"],
        "here it is --isolation container; other walls are not built yet",
    ),
    (
        &["--init"],
        "a program that starts others and does not wait for them needs an init in its image",
    ),
    (
        &["--link", "--volumes-from"],
        "containers are not linked here; the same volume may be given to several with -v",
    ),
];

const DOCKER_COMMANDS: &[(&[&str], &str)] = &[
    (
        &["search"],
        "registries have no search in common; the tags of a name: insula pull --all-tags NAME",
    ),
    (
        &["buildx", "builder", "bake"],
        "here it is: insula image build",
    ),
    (
        &["manifest"],
        "here it is: insula image inspect NAME, and insula image referrers NAME",
    ),
    (&["load"], "here it is: insula image import FILE"),
    (
        &["save"],
        "here it is: insula image export --format docker -o FILE IMAGE",
    ),
    (
        &["import"],
        "here it is: insula image import --tag NAME FILE",
    ),
    (&["history"], "here it is: insula image history IMAGE"),
    (&["network", "compose", "context", "swarm"], "not built yet"),
    (
        &["apply", "get", "describe", "node", "cluster"],
        "the cluster is not built yet",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_finds_its_word_and_a_stranger_does_not() {
        let words = ["images", "run", "doctor", "version"];
        assert_eq!(nearest("imags", words), Some("images"));
        assert_eq!(nearest("rnu", words), Some("run"));
        assert_eq!(nearest("doc", words), Some("doctor"));
        assert_eq!(nearest("kubernetes", words), None);
    }

    #[test]
    fn docker_s_flags_are_told_their_name_here() {
        assert!(docker_flag("--format={{.ID}}").is_some_and(|hint| hint.contains("jsonpath")));
        assert!(docker_flag("--publish").is_some());
        assert_eq!(docker_flag("--nonsense"), None);
    }

    #[test]
    fn what_is_a_command_here_is_not_explained_away() {
        let parser = crate::cli::parser();
        for command in parser.get_subcommands() {
            let mut names = std::iter::once(command.get_name()).chain(command.get_all_aliases());
            assert!(
                names.all(|name| docker_command(name).is_none()),
                "{command}"
            );
        }
    }

    #[test]
    fn a_flag_of_run_is_not_explained_away() {
        let parser = crate::cli::parser();
        let run = parser.find_subcommand("run").unwrap();
        for name in run.get_arguments().filter_map(clap::Arg::get_long) {
            assert_eq!(docker_flag(&format!("--{name}")), None, "{name}");
        }
    }
}
