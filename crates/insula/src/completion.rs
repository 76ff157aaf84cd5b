//! Shell completion: a script per shell, and the names only a running program knows.
//!
//! clap writes the script from the parser. Names of images and containers are asked for while the
//! user types, by `insula __complete images` and `insula __complete guests`: a role that is not in
//! the parser, because hidden commands would appear in the very scripts it serves.

use std::ffi::OsString;

use crate::{cli, output};

/// The first word of the hidden role.
pub(crate) const ROLE: &str = "__complete";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The completion script of a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut parser = cli::parser();
    let mut bytes = Vec::new();
    let kind = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(kind, &mut parser, "insula", &mut bytes);
    let generated = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Shell::Bash => generated + &BASH_NAMES.replace("GUESTS", &GUEST_COMMANDS.join("|")),
        Shell::Fish => generated + &FISH_NAMES.replace("GUESTS", &GUEST_COMMANDS.join(" ")),
        Shell::Zsh => with_zsh_names(&generated),
    }
}

/// The commands whose words are containers.
const GUEST_COMMANDS: &[&str] = &[
    "start", "stop", "restart", "logs", "exec", "shell", "attach", "console", "stats", "top",
    "port", "cp", "diff", "commit", "export", "inspect", "pause", "resume", "kill", "wait",
    "update", "rename", "rm",
];

/// Adds names to what the generated function offers. `GUESTS` is replaced by the commands.
const BASH_NAMES: &str = r#"
_insula_with_names() {
    _insula "$@"
    local word="${COMP_WORDS[COMP_CWORD]}"
    [[ "$word" == -* ]] && return
    case "${COMP_WORDS[1]}" in
        GUESTS)
            COMPREPLY+=( $(compgen -W "$(insula __complete guests 2>/dev/null)" -- "$word") ) ;;
    esac
    case "${COMP_WORDS[1]}" in
        run|create|rmi|inspect)
            COMPREPLY+=( $(compgen -W "$(insula __complete images 2>/dev/null)" -- "$word") ) ;;
        image)
            case "${COMP_WORDS[2]}" in
                rm|inspect)
                    COMPREPLY+=( $(compgen -W "$(insula __complete images 2>/dev/null)" -- "$word") ) ;;
            esac ;;
    esac
    type __ltrim_colon_completions &>/dev/null && __ltrim_colon_completions "$word"
}
complete -F _insula_with_names -o nosort -o bashdefault -o default insula
"#;

const FISH_NAMES: &str = r#"
complete -c insula -n "__fish_seen_subcommand_from run create rmi inspect; or __fish_seen_subcommand_from image; and __fish_seen_subcommand_from rm" -f -a "(insula __complete images 2>/dev/null)"
complete -c insula -n "not __fish_seen_subcommand_from image; and __fish_seen_subcommand_from GUESTS" -f -a "(insula __complete guests 2>/dev/null)"
"#;

const ZSH_NAMES: &str = r#"
_insula_images() {
    local -a names
    names=( ${(f)"$(insula __complete images 2>/dev/null)"} )
    (( $#names )) && compadd -a names
}
_insula_guests() {
    local -a names
    names=( ${(f)"$(insula __complete guests 2>/dev/null)"} )
    (( $#names )) && compadd -a names
}
_insula_guests_and_images() {
    _insula_guests
    _insula_images
}
"#;

/// Replaces the file completion of arguments called IMAGE or CONTAINER, and defines the function
/// before the script calls itself.
fn with_zsh_names(generated: &str) -> String {
    let mut script = String::with_capacity(generated.len() + ZSH_NAMES.len());
    for (index, line) in generated.split_inclusive('\n').enumerate() {
        let is_of = |argument: &str| {
            line.contains(&format!(":{argument} -- "))
                || line.contains(&format!(":{argument}s -- "))
        };
        if is_of("image") {
            script.push_str(&line.replace(":_default'", ":_insula_images'"));
        } else if is_of("container") {
            script.push_str(&line.replace(":_default'", ":_insula_guests'"));
        } else if line.contains("or a container and a path") {
            script.push_str(&line.replace(":_default'", ":_insula_guests_and_images'"));
        } else {
            script.push_str(line);
        }
        // The first line is `#compdef`, which must stay first.
        if index == 0 {
            script.push_str(ZSH_NAMES);
        }
    }
    script
}

/// Answers a script: names, one per line. What is not known is answered by nothing.
pub(crate) fn answer(arguments: &[OsString]) -> u8 {
    let names = match arguments.first().and_then(|kind| kind.to_str()) {
        Some("images") => cli::image_names(),
        Some("guests") => cli::guest_names(),
        _ => Vec::new(),
    };
    for name in names {
        output::data(format_args!("{name}\n"));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_complete_commands_and_ask_for_names() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(script.contains("doctor"), "{shell:?}");
            assert!(script.contains("__complete images"), "{shell:?}");
            assert!(script.contains("__complete guests"), "{shell:?}");
        }
    }

    #[test]
    fn zsh_offers_names_where_they_belong() {
        let script = script(Shell::Zsh);
        assert!(script.contains(":_insula_images'"));
        assert!(script.contains(":_insula_guests'"));
        assert!(script.contains(":_insula_guests_and_images'"));
    }

    #[test]
    fn every_command_about_containers_completes_their_names() {
        for command in cli::parser().get_subcommands() {
            let takes_one = command
                .get_positionals()
                .any(|argument| argument.get_id().as_str().starts_with("container"));
            if takes_one {
                assert!(GUEST_COMMANDS.contains(&command.get_name()), "{command}");
            }
        }
        let parser = cli::parser();
        for name in GUEST_COMMANDS {
            assert!(parser.find_subcommand(name).is_some(), "{name}");
        }
    }
}
