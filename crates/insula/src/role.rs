//! Which program is this binary now? Decided from `argv` alone, before anything is parsed.
//!
//! podman, containerd and CRI-O call an OCI runtime by another name, or as
//! `insula --root DIR create …`, or as `insula create …`. The name and the word `oci` are known to
//! `insula_node::role`; here stand the forms that only make sense because Insula itself has no such
//! option or verb.

use std::ffi::{OsStr, OsString};

use insula_node::host::{PROBE_ROLE, run_probe};
use insula_node::oci;

/// Options that an OCI caller may put in front of the verb and that Insula itself does not have.
const OCI_GLOBAL_OPTIONS: [&str; 10] = [
    "--root",
    "--log",
    "--log-format",
    "--log-level",
    "--systemd-cgroup",
    "--systemd-log",
    "--cgroup-manager",
    "--criu",
    "--rootless",
    "--debug",
];

/// Verbs of an OCI runtime that are not verbs of Insula.
const OCI_VERBS: [&str; 6] = ["checkpoint", "delete", "features", "list", "spec", "state"];

/// Verbs that both have. Engines that call the binary without `oci` (podman says `start ID`) mean a
/// container of the runtime: that one exists, or `create` names its bundle.
const SHARED_VERBS: [&str; 8] = [
    "create", "events", "exec", "kill", "pause", "resume", "start", "update",
];

/// Options of the runtime's `create` and `exec` that Insula's do not have.
const OCI_OPTIONS: [&str; 8] = [
    "--bundle",
    "-b",
    "--console-socket",
    "--pid-file",
    "--process",
    "--no-pivot",
    "--no-new-keyring",
    "--preserve-fds",
];

/// What the words ask for when it is no person's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Version,
    Oci,
    /// A child of `doctor` that tries one thing.
    Probe,
}

/// Runs the role that `arguments` (the whole `argv`) ask for; `None` is the command line.
#[must_use]
pub fn run(arguments: &[OsString]) -> Option<u8> {
    if let Some(code) = insula_node::role::role(arguments) {
        return Some(code);
    }
    match choose(arguments)? {
        Role::Version => Some(oci::run(&[OsString::from("--version")])),
        Role::Oci => Some(oci::run(&arguments[1..])),
        Role::Probe => Some(run_probe(arguments)),
    }
}

fn choose(arguments: &[OsString]) -> Option<Role> {
    let first = arguments.get(1)?;
    if first == PROBE_ROLE {
        return Some(Role::Probe);
    }
    if is_one_of(first, &OCI_VERBS) || is_one_of(option_name(first), &OCI_GLOBAL_OPTIONS) {
        return Some(Role::Oci);
    }
    if is_one_of(first, &SHARED_VERBS) && means_runtime(first, &arguments[2..]) {
        return Some(Role::Oci);
    }
    let is_alone = arguments.len() == 2;
    let is_version = is_one_of(first, &["--version", "-V", "version"]);
    (is_alone && is_version).then_some(Role::Version)
}

/// Whether the words after a verb that both have are those of an engine.
fn means_runtime(verb: &OsStr, rest: &[OsString]) -> bool {
    if verb == "create" {
        let is_bundle = || {
            let config = std::fs::read("config.json").unwrap_or_default();
            String::from_utf8_lossy(&config).contains("\"ociVersion\"")
        };
        return has_option(rest) || (rest.len() == 1 && !rest[0].is_empty() && is_bundle());
    }
    if verb == "exec" && has_option(rest) {
        return true;
    }
    let mut words = rest
        .iter()
        .filter(|word| !word.as_encoded_bytes().starts_with(b"-"));
    words.any(|word| oci::exists(word))
}

/// Whether an option of the runtime stands before the first other word, or right behind it: what
/// follows later belongs to a command.
fn has_option(words: &[OsString]) -> bool {
    let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    let first = words
        .iter()
        .position(|word| !is_option(word))
        .unwrap_or(words.len());
    let looked_at = words.iter().take(first).chain(words.get(first + 1));
    let mut options = looked_at.map(|word| option_name(word));
    options.any(|name| is_one_of(name, &OCI_OPTIONS))
}

/// The part of `--name=value` before the equals sign.
fn option_name(argument: &OsStr) -> &OsStr {
    match argument.to_str().and_then(|text| text.split_once('=')) {
        Some((name, _)) => OsStr::new(name),
        None => argument,
    }
}

fn is_one_of(word: &OsStr, words: &[&str]) -> bool {
    words.iter().any(|candidate| word == *candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(words: &[&str]) -> Option<Role> {
        let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        choose(&arguments)
    }

    #[test]
    fn oci_options_or_verbs_first_mean_the_runtime() {
        for words in [
            &["insula", "--root", "/run/x", "run", "a"][..],
            &["insula", "--log-format=json", "state", "a"],
            &["insula", "--systemd-cgroup", "create", "a"],
            &["insula", "create", "--bundle", "b", "a"],
            &["insula", "create", "a", "--bundle=b"],
            &["insula", "exec", "-d", "--process", "p.json", "a"],
            &["insula", "state", "a"],
        ] {
            assert_eq!(role(words), Some(Role::Oci), "{words:?}");
        }
    }

    #[test]
    fn a_person_s_commands_stay_the_command_line() {
        for words in [
            &["insula"][..],
            &["insula", "run", "debian:12"],
            &["insula", "version", "-o", "json"],
            &["insula", "--color", "never", "images"],
            &["insula", "help"],
            &["insula", "create", "debian:12"],
            &["insula", "start", "no-such-container"],
            &["insula", "exec", "web", "ls"],
            &["insula", "exec", "-it", "box", "journalctl", "-b"],
            &["insula", "create", "debian:12", "sh", "-b"],
        ] {
            assert_eq!(role(words), None, "{words:?}");
        }
    }

    #[test]
    fn no_command_of_insula_is_a_verb_of_the_runtime() {
        for command in crate::cli::parser().get_subcommands() {
            assert!(!OCI_VERBS.contains(&command.get_name()), "{command}");
        }
    }

    #[test]
    fn the_version_needs_no_parser() {
        for word in ["--version", "-V", "version"] {
            assert_eq!(role(&["insula", word]), Some(Role::Version));
        }
    }
}
