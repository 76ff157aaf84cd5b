//! `insula completion bash|zsh|fish`.

use crate::completion::{self, Shell};
use crate::{Failure, output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  insula completion bash > /etc/bash_completion.d/insula
  insula completion zsh > \"${fpath[1]}/_insula\"
  insula completion fish > ~/.config/fish/completions/insula.fish")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    output::data(completion::script(arguments.shell));
    Ok(0)
}
