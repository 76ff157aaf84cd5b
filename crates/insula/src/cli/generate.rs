//! `insula generate`: files for other programs that look after guests.

use insula_node::guest;

use super::store::{Location, engine_failure};
use crate::{Failure, output};

/// Write files for the host's service manager
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  insula generate systemd web > /etc/systemd/system/insula-web.service"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Systemd(SystemdArguments),
}

/// Print a systemd unit that starts a container when the host starts, and stops it when it ends
#[derive(Debug, clap::Args)]
#[command(after_help = "\
While it is up the container is looked after by its own monitor, which starts it again as its restart
policy says; systemd starts and stops it with the host.

Examples:
  insula generate systemd web > /etc/systemd/system/insula-web.service
  systemctl enable --now insula-web")]
struct SystemdArguments {
    /// Name, or identifier (its first digits are enough)
    container: String,
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let Command::Systemd(wanted) = &arguments.command;
    let guest = guest::find(&location.place(), &wanted.container)
        .map_err(|error| engine_failure(&error))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed("find the path of insula").caused_by(&error))?;
    let store = std::path::absolute(location.path())
        .map_err(|error| Failure::failed("find the store").caused_by(&error))?;
    let insula = format!(
        "{} --store {}",
        quoted(&program.to_string_lossy()),
        quoted(&store.to_string_lossy())
    );
    let stop_s = guest.record.config.stop_timeout_s;
    output::data(unit(&guest.record.name, &insula, stop_s));
    Ok(0)
}

/// One word of a command line in a unit (systemd.service(5), systemd.syntax(7)).
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            // A specifier, and a variable.
            '%' | '$' => text.extend([letter, letter]),
            _ => text.push(letter),
        }
    }
    text.push('"');
    text
}

/// The monitor leaves the command that starts it, and nothing of it may be killed with the unit: so
/// the unit is one that has done its work and stays active, and `KillMode=process` has no process.
fn unit(name: &str, insula: &str, stop_s: u32) -> String {
    // Time enough to be killed by its monitor first.
    let patience_s = u64::from(stop_s) + 30;
    format!(
        "[Unit]\n\
         Description=Insula container {name}\n\
         Wants=network-online.target\n\
         After=network-online.target local-fs.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         KillMode=process\n\
         ExecStart={insula} start {name}\n\
         ExecStop={insula} stop {name}\n\
         TimeoutStopSec={patience_s}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_unit_mean_themselves() {
        assert_eq!(quoted("/a b/%i$x\"\\"), "\"/a b/%%i$$x\\\"\\\\\"");
    }

    #[test]
    fn a_unit_starts_and_stops_its_container() {
        let text = unit("web", "\"/bin/insula\" --store \"/s\"", 10);
        assert!(text.contains("\nExecStart=\"/bin/insula\" --store \"/s\" start web\n"));
        assert!(text.contains("\nExecStop=\"/bin/insula\" --store \"/s\" stop web\n"));
        assert!(text.contains("\nTimeoutStopSec=40\n"));
    }
}
