//! From words to an [`Invocation`]: which command, with which options, under which global ones.

use std::ffi::{OsStr, OsString};
use std::path::{Component, PathBuf};

use insula_container::cgroup::Manager;

use super::command::{
    CAPITAL_VERSION, COMMANDS, Command, GLOBAL, GLOBAL_BEHIND, HELP, INSTEAD, find,
};
use super::failure::{Failure, Result};
use super::log::{Level, Log};
use super::nearest::nearest;
use super::options::{Parsed, Stop, parse};

/// What the words ask for.
#[derive(Debug)]
pub(crate) enum Asked<'a> {
    Version,
    /// About one command, or about all.
    Help(Option<&'static Command>),
    Command(Invocation<'a>),
}

#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) command: &'static Command,
    /// Options in front of the command and behind it; the last one given counts.
    pub(crate) parsed: Parsed,
    /// Words that belong to someone else: the command of `exec`, the options of `ps`.
    pub(crate) rest: &'a [OsString],
    pub(crate) root: Option<PathBuf>,
    pub(crate) cgroup_manager: Manager,
    /// `None` is automatic.
    pub(crate) rootless: Option<bool>,
}

impl Invocation<'_> {
    /// The container's id, which is the first argument.
    pub(crate) fn id(&self) -> Result<&str> {
        self.argument(0)?
            .ok_or_else(|| Failure::usage("no container given"))
    }

    pub(crate) fn argument(&self, index: usize) -> Result<Option<&str>> {
        let Some(word) = self.parsed.arguments.get(index) else {
            return Ok(None);
        };
        word.to_str()
            .map(Some)
            .ok_or_else(|| Failure::new(format!("`{}` is not valid UTF-8", word.display())))
    }
}

/// Reads the command line. `log` and `command` are set as soon as they are known, so that a later
/// failure is reported where the caller wants it and with the right usage.
///
/// # Errors
/// Anything wrong with the command line.
pub(crate) fn read<'a>(
    words: &'a [OsString],
    log: &mut Log,
    command: &mut Option<&'static Command>,
) -> Result<Asked<'a>> {
    let before = [GLOBAL, INSTEAD, CAPITAL_VERSION];
    let (mut parsed, used) = parse(words, &before, Stop::At(0))?;
    *log = open_log(&parsed)?;
    if parsed.flag("version") {
        return Ok(Asked::Version);
    }
    if parsed.flag("help") || parsed.flag("usage") {
        return Ok(Asked::Help(None));
    }
    let Some(name) = parsed.arguments.pop() else {
        return Err(Failure::usage("no command given"));
    };
    let found = named(&name)?;
    *command = Some(found);
    let behind = [found.options, HELP, GLOBAL_BEHIND];
    let words = &words[used..];
    let (own, used) = parse(words, &behind, found.stop)?;
    parsed.append(own);
    *log = open_log(&parsed)?;
    if parsed.flag("help") {
        return Ok(Asked::Help(Some(found)));
    }
    count(found, parsed.arguments.len())?;
    if found.name == "help" {
        let about = parsed
            .arguments
            .first()
            .map(|name| named(name))
            .transpose()?;
        return Ok(Asked::Help(about));
    }
    Ok(Asked::Command(Invocation {
        command: found,
        root: root(&parsed)?,
        cgroup_manager: cgroup_manager(&parsed)?,
        rootless: rootless(&parsed)?,
        parsed,
        rest: &words[used..],
    }))
}

fn named(name: &OsStr) -> Result<&'static Command> {
    let text = name.to_string_lossy();
    find(&text).ok_or_else(|| {
        let failure = Failure::usage(format!("unknown command `{text}`"));
        match nearest(&text, COMMANDS.iter().map(|command| command.name)) {
            Some(near) => failure.hint(format!("did you mean {near}?")),
            None => failure,
        }
    })
}

/// The phrases are runc's: tools and tests look for them.
fn count(command: &Command, given: usize) -> Result<()> {
    let (fewest, most) = command.arguments;
    let name = command.name;
    let complaint = if fewest == most && given != fewest {
        format!("\"{name}\" requires exactly {fewest} argument(s)")
    } else if given < fewest {
        format!("\"{name}\" requires a minimum of {fewest} argument(s)")
    } else if given > most {
        format!("\"{name}\" requires a maximum of {most} argument(s)")
    } else {
        return Ok(());
    };
    Err(Failure::usage(complaint))
}

fn open_log(parsed: &Parsed) -> Result<Log> {
    let json = match parsed.value("log-format") {
        Some(format) if format == "json" => true,
        None => false,
        Some(format) if format == "text" || format.is_empty() => false,
        Some(format) => {
            return Err(
                Failure::new(format!("invalid log-format: {}", format.display()))
                    .hint("text or json"),
            );
        }
    };
    let level = match parsed.text("log-level")? {
        Some(name) => Level::parse(name)?,
        None if parsed.flag("debug") => Level::Debug,
        None => Level::Warning,
    };
    Log::new(parsed.value("log").map(OsStr::to_owned), json, level)
}

fn root(parsed: &Parsed) -> Result<Option<PathBuf>> {
    let Some(given) = parsed.value("root") else {
        return Ok(None);
    };
    let whole = std::path::absolute(given)
        .map_err(|error| Failure::new(format!("option --root: `{}`: {error}", given.display())))?;
    let mut path = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    if path.parent().is_none() {
        return Err(Failure::new("option --root must not be /"));
    }
    Ok(Some(path))
}

fn cgroup_manager(parsed: &Parsed) -> Result<Manager> {
    match parsed.value("cgroup-manager") {
        None if parsed.flag("systemd-cgroup") => Ok(Manager::Systemd),
        None => Ok(Manager::Cgroupfs),
        Some(name) if name == "cgroupfs" => Ok(Manager::Cgroupfs),
        Some(name) if name == "systemd" => Ok(Manager::Systemd),
        Some(name) if name == "disabled" => Ok(Manager::Disabled),
        Some(name) => Err(
            Failure::new(format!("unknown cgroup manager `{}`", name.display()))
                .hint("cgroupfs, systemd or disabled"),
        ),
    }
}

/// `spec --rootless` is a flag of its own, so its value is `true` too and does no harm here.
fn rootless(parsed: &Parsed) -> Result<Option<bool>> {
    match parsed.text("rootless")? {
        None => Ok(None),
        Some(word) => match word.to_ascii_lowercase().as_str() {
            "" | "auto" => Ok(None),
            "1" | "t" | "true" => Ok(Some(true)),
            "0" | "f" | "false" => Ok(Some(false)),
            _ => Err(
                Failure::new(format!("option --rootless: `{word}` is not a boolean"))
                    .hint("auto, true or false"),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use insula_container::cgroup::Manager;

    use super::{Asked, Invocation, read};
    use crate::oci::failure::Failure;
    use crate::oci::log::Log;

    fn split(line: &str) -> Vec<OsString> {
        line.split(' ')
            .filter(|word| !word.is_empty())
            .map(OsString::from)
            .collect()
    }

    fn asked(words: &[OsString]) -> Result<Asked<'_>, Failure> {
        read(words, &mut Log::default(), &mut None)
    }

    fn check(line: &str, test: impl Fn(&Invocation<'_>)) {
        match asked(&split(line)) {
            Ok(Asked::Command(invocation)) => test(&invocation),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn global_options_stand_before_or_behind_the_command() {
        for line in [
            "--root /r --systemd-cgroup --log-format json state id",
            "state --root /r --systemd-cgroup --log-format json id",
            "state id --root=/r --systemd-cgroup --log-format=json",
            "-r /r -s state id",
            "--root /other state id --root /r --systemd-cgroup",
            "--cgroup-manager=systemd --root=/r state id",
        ] {
            check(line, |invocation| {
                assert_eq!(invocation.command.name, "state", "{line}");
                assert_eq!(invocation.id().unwrap(), "id", "{line}");
                assert_eq!(invocation.root.as_deref(), Some(Path::new("/r")), "{line}");
                assert!(
                    matches!(invocation.cgroup_manager, Manager::Systemd),
                    "{line}"
                );
            });
        }
    }

    #[test]
    fn short_names_behind_the_command_are_its_own() {
        check("delete -r -f web.*", |invocation| {
            assert!(invocation.parsed.flag("regex") && invocation.parsed.flag("force"));
            assert_eq!(invocation.root, None);
        });
        check("update -r - id", |invocation| {
            assert_eq!(invocation.parsed.value("resources").unwrap(), "-");
        });
    }

    #[test]
    fn what_drivers_really_call_is_understood() {
        for (line, name) in [
            (
                "--root /run/x --log /x/log.json --log-format json --systemd-cgroup create \
                 --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty.sock id",
                "create",
            ),
            (
                "--root=/run/crun --systemd-cgroup --log-format=json --log=/x/oci-log create \
                 --bundle /b --pid-file /b/pidfile --no-pivot --preserve-fds 2 id",
                "create",
            ),
            (
                "--log-format=json --log=/x/l exec --pid-file /p --process /q --tty --detach \
                 --preserve-fds 1 --console-socket /s id",
                "exec",
            ),
            (
                "--root /r --log /l --log-format json kill --all id 9",
                "kill",
            ),
            ("--root /r delete --force id", "delete"),
            ("kill id KILL", "kill"),
            ("--root /r events --stats id", "events"),
            ("--root /r ps --format json id", "ps"),
            ("update --resources - id", "update"),
            ("list --format=json", "list"),
            ("--rootless=true --root /r start id", "start"),
        ] {
            check(line, |invocation| {
                assert_eq!(invocation.command.name, name, "{line}");
            });
        }
    }

    #[test]
    fn words_of_a_program_are_not_options() {
        check("exec -t id ls -l --color --root /x", |invocation| {
            assert_eq!(invocation.argument(1).unwrap(), Some("ls"));
            assert_eq!(invocation.rest, ["-l", "--color", "--root", "/x"]);
            assert_eq!(invocation.root, None);
        });
        check("ps id -e -x", |invocation| {
            assert_eq!(invocation.rest, ["-e", "-x"]);
        });
    }

    #[test]
    fn help_and_version_need_nothing_else() {
        for (line, about) in [
            ("--help", None),
            ("-h", None),
            ("-?", None),
            ("help", None),
            ("help exec", Some("exec")),
            ("exec --help", Some("exec")),
            ("run id -h", Some("run")),
        ] {
            match asked(&split(line)) {
                Ok(Asked::Help(found)) => {
                    assert_eq!(found.map(|command| command.name), about, "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        for line in ["--version", "-v", "-V", "--root /x --version"] {
            assert!(matches!(asked(&split(line)), Ok(Asked::Version)), "{line}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_explained() {
        for (line, message) in [
            ("", "no command given"),
            ("strat id", "unknown command `strat`"),
            ("start", "\"start\" requires exactly 1 argument(s)"),
            ("start a b", "\"start\" requires exactly 1 argument(s)"),
            ("kill", "\"kill\" requires a minimum of 1 argument(s)"),
            ("kill a b c", "\"kill\" requires a maximum of 2 argument(s)"),
            ("--root / list", "option --root must not be /"),
            ("--root=/.. list", "option --root must not be /"),
            ("--log-format xml list", "invalid log-format: xml"),
            ("--log-level loud list", "invalid log-level: loud"),
            ("--cgroup-manager x list", "unknown cgroup manager `x`"),
            (
                "--rootless maybe list",
                "option --rootless: `maybe` is not a boolean",
            ),
            ("list --formt json", "unknown option `--formt`"),
        ] {
            let words = split(line);
            let failure = asked(&words).unwrap_err();
            assert_eq!(failure.message, message, "{line}");
            assert_eq!(failure.code, 1);
        }
    }
}
