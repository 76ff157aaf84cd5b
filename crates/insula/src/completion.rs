//! Shell completion: a script per shell, and the names only a running program knows.
//!
//! clap writes the script from the parser. Image names are asked for while the user types, by
//! `insula __complete images PREFIX`: a role that is not in the parser, because hidden commands
//! would appear in the very scripts it serves.

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
        Shell::Bash => generated + BASH_NAMES,
        Shell::Fish => generated + FISH_NAMES,
        Shell::Zsh => with_zsh_names(&generated),
    }
}

/// Adds image names to what the generated function offers.
const BASH_NAMES: &str = r#"
_insula_with_names() {
    _insula "$@"
    local word="${COMP_WORDS[COMP_CWORD]}"
    [[ "$word" == -* ]] && return
    case "${COMP_WORDS[1]}" in
        run|rmi|inspect)
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
complete -c insula -n "__fish_seen_subcommand_from run rmi inspect rm" -f -a "(insula __complete images 2>/dev/null)"
"#;

const ZSH_NAMES: &str = r#"
_insula_images() {
    local -a names
    names=( ${(f)"$(insula __complete images 2>/dev/null)"} )
    (( $#names )) && compadd -a names
}
"#;

/// Replaces the file completion of arguments called IMAGE, and defines the function before the
/// script calls itself.
fn with_zsh_names(generated: &str) -> String {
    let mut script = String::with_capacity(generated.len() + ZSH_NAMES.len());
    for (index, line) in generated.split_inclusive('\n').enumerate() {
        if line.contains(":image -- ") || line.contains(":images -- ") {
            script.push_str(&line.replace(":_default'", ":_insula_images'"));
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
    if arguments.first().is_some_and(|kind| kind == "images") {
        for name in cli::image_names() {
            output::data(format_args!("{name}\n"));
        }
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
        }
    }

    #[test]
    fn zsh_offers_images_where_images_belong() {
        assert!(script(Shell::Zsh).contains(":_insula_images'"));
    }
}
