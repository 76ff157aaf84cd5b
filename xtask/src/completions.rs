//! Completion scripts for the shells, as packages install them.

use insula::Shell;

use crate::Findings;
use crate::documents::{self, Mode};

pub(crate) fn run(mode: Mode) -> Result<Findings, String> {
    let scripts = [
        ("insula.bash", Shell::Bash),
        ("_insula", Shell::Zsh),
        ("insula.fish", Shell::Fish),
    ]
    .map(|(name, shell)| (name.to_owned(), insula::completion_script(shell)));
    documents::keep("packaging/completions", &scripts, mode, "completions")
}
