//! The overview of commands in groups, and the topics of `insula help`.
//!
//! clap has no headings for subcommands, so the commands are hidden in a copy of the parser and the
//! list is part of its template. Completions and manual pages come from the untouched parser; a
//! test holds that each command is in exactly one group.

use std::fmt::Write as _;

use crate::cli;

/// The commands by what they are for, in the order of the overview.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Guests",
        &[
            "run", "create", "start", "stop", "restart", "ps", "logs", "stats", "top", "port",
            "events", "exec", "shell", "attach", "console", "pause", "resume", "kill", "wait",
            "update", "rename", "cp", "diff", "commit", "export", "generate", "rm", "oci",
        ],
    ),
    (
        "Images",
        &[
            "build", "pull", "push", "images", "tag", "rmi", "image", "inspect",
        ],
    ),
    ("Volumes", &["volume"]),
    ("Registries", &["login", "logout"]),
    ("Host", &["doctor", "info", "df", "prune", "system"]),
    ("Insula itself", &["version", "completion", "help"]),
];

const EXAMPLES: &str = "\
Examples:
  insula pull debian:12                                Bring an image from a registry
  insula image import --tag debian:12 rootfs.tar.zst   Make one of a root file system
  insula run --rm debian:12 cat /etc/os-release        Run one command in it
  insula run -it --rm debian:12 bash                   Work inside, with a terminal
  insula doctor                                        What can this host give?

More: insula help COMMAND, insula help exit-codes, insula help environment
";

/// Pages that are not about one command.
const TOPICS: &[(&str, &str)] = &[("exit-codes", EXIT_CODES), ("environment", ENVIRONMENT)];

const EXIT_CODES: &str = "\
Exit codes

  0    done
  1    failed
  2    the command line is wrong, or asks for what is not built yet
  3    what was named does not exist
  4    not permitted
  5    conflict: it exists already, or it is in use
  6    a registry cannot be reached, or does not answer as it should
  130  interrupted

insula run ends as the command in the container ends, and with

  125  Insula could not start the container
  126  the command in the container cannot be executed
  127  the command was not found in the container
  128+n  the command was ended by signal n (130 is ctrl-C, 137 is kill)
";

const ENVIRONMENT: &str = "\
Environment

  INSULA_STORE     where images and containers are kept; the flag --store wins
                   (default: /var/lib/insula; without root ~/.local/share/insula)
  INSULA_NO_PROGRESS  no progress bars, whatever the value
  DOCKER_CONFIG    the directory with config.json, where credentials are kept
  REGISTRY_AUTH_FILE  the file for credentials instead of all others
  CONTAINERS_REGISTRIES_CONF  the registries.conf instead of all others
  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY
                   the way to registries
  SSL_CERT_FILE    the authorities to trust instead of the host's
  NO_COLOR         no colour, whatever the value; the flag --color wins
  CLICOLOR_FORCE   colour also when nobody is looking

Variables of the caller never reach a container unless -e NAME or --env-file names them.
";

/// A copy of `parser` whose own list of commands is replaced by the groups.
pub(crate) fn with_groups(parser: clap::Command) -> clap::Command {
    let list = group_list(&parser);
    let names: Vec<String> = GROUPS
        .iter()
        .flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned()))
        .collect();
    let template = format!(
        "{{about}}\n\nUsage: insula COMMAND [OPTION...]\n\n{list}\nOptions:\n{{options}}\n\n{EXAMPLES}"
    );
    let mut parser = parser.help_template(template);
    for name in names {
        parser = parser.mut_subcommand(name, |command| command.hide(true));
    }
    parser
}

/// What `insula`, `insula help` and `insula --help` print.
pub(crate) fn overview() -> String {
    with_groups(cli::parser()).render_help().to_string()
}

/// The text of a topic.
pub(crate) fn topic(name: &str) -> Option<&'static str> {
    let found = TOPICS.iter().find(|(topic, _)| *topic == name);
    found.map(|(_, text)| *text)
}

/// The names of all topics.
pub(crate) fn topics() -> impl Iterator<Item = &'static str> {
    TOPICS.iter().map(|(name, _)| *name)
}

fn group_list(parser: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let _infallible = writeln!(text, "{heading}:");
        for name in *names {
            let about = parser
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            let _infallible = writeln!(text, "  {name:<11} {about}");
        }
        text.push('\n');
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_in_exactly_one_group() {
        let parser = cli::parser();
        for command in parser.get_subcommands() {
            let name = command.get_name();
            let count = GROUPS
                .iter()
                .flat_map(|(_, names)| names.iter())
                .filter(|grouped| **grouped == name)
                .count();
            assert_eq!(count, 1, "`{name}`");
            assert!(
                command.get_about().is_some(),
                "`{name}` says nothing about itself"
            );
        }
        let grouped = GROUPS.iter().map(|(_, names)| names.len()).sum::<usize>();
        assert_eq!(grouped, parser.get_subcommands().count());
    }

    #[test]
    fn the_overview_names_groups_and_examples() {
        let text = overview();
        assert!(text.contains("Images:\n  build"), "{text}");
        assert!(text.contains("Examples:"), "{text}");
        assert!(!text.contains("Commands:"), "{text}");
    }
}
