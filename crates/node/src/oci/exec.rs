//! `exec`: another process in a running container.
//!
//! The process is the file given by `--process`, or the container's own process with another
//! command and what the options change.

use std::ffi::OsStr;
use std::path::Path;

use insula_container::ExecOptions;
use insula_container::capability;
use insula_container::cgroup::Below;
use insula_container::spec::{self, CpuAffinity, Process};

use super::create::{exit_code, path};
use super::engine;
use super::failure::{Failure, Result};
use super::invocation::Invocation;

/// The exit code when the process could not be started: no program's own by convention.
const NOT_STARTED: u8 = 255;

pub(crate) fn exec(invocation: &Invocation<'_>) -> Result<u8> {
    let process_file = invocation.parsed.value("process");
    if process_file.is_none() && invocation.argument(1)?.is_none() {
        let failure = Failure::usage("exec args cannot be empty");
        return Err(failure.during("exec failed", NOT_STARTED));
    }
    start(invocation, process_file).map_err(|failure| failure.during("exec failed", NOT_STARTED))
}

fn start(invocation: &Invocation<'_>, process_file: Option<&OsStr>) -> Result<u8> {
    let parsed = &invocation.parsed;
    let runtime = engine::runtime(invocation)?;
    let mut process = match process_file {
        Some(file) => read_process(Path::new(file))?,
        None => {
            let spec = runtime.load(invocation.id()?)?.spec()?;
            let own = spec.process.ok_or_else(|| {
                Failure::new("the container has no process to take after")
                    .hint("give a whole process: --process FILE")
            })?;
            changed(own, invocation)?
        }
    };
    process.terminal |= terminal_wanted(invocation)?;
    let options = ExecOptions {
        process,
        console_socket: path(invocation, "console-socket"),
        pidfd_socket: path(invocation, "pidfd-socket"),
        pid_file: path(invocation, "pid-file"),
        detach: parsed.flag("detach"),
        preserve_fds: parsed.number("preserve-fds")?.unwrap_or(0),
        ignore_paused: parsed.flag("ignore-paused"),
        cgroups: cgroups(invocation)?,
        ..ExecOptions::default()
    };
    Ok(exit_code(runtime.exec(invocation.id()?, &options)?))
}

fn read_process(file: &Path) -> Result<Process> {
    let json = std::fs::read(file)
        .map_err(|error| Failure::new(format!("read {}: {error}", file.display())))?;
    spec::parse_process(&json).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

/// The container's own process with another command and what the options change.
fn changed(mut process: Process, invocation: &Invocation<'_>) -> Result<Process> {
    let parsed = &invocation.parsed;
    process.args = command(invocation)?;
    process.terminal = false;
    if let Some(directory) = parsed.value("cwd").filter(|value| !value.is_empty()) {
        process.cwd = directory.into();
    }
    for (index, variable) in parsed.all("env").enumerate() {
        let text = utf8(variable, || format!("option --env (number {})", index + 1))?;
        process.env.push(text.to_owned());
    }
    if let Some(user) = parsed.text("user")? {
        set_user(&mut process, user)?;
    }
    for group in parsed.all("additional-gids") {
        let text = group.to_string_lossy();
        let number = text.parse().map_err(|_error| {
            Failure::new(format!(
                "option --additional-gids: `{text}` is not a group number"
            ))
        })?;
        process.user.additional_gids.push(number);
    }
    for name in parsed.all("cap") {
        add_capability(&mut process, &name.to_string_lossy())?;
    }
    if parsed.value("no-new-privs").is_some() {
        process.no_new_privileges = parsed.flag("no-new-privs");
    }
    if let Some(label) = parsed
        .text("process-label")?
        .filter(|label| !label.is_empty())
    {
        process.selinux_label = Some(label.to_owned());
    }
    if let Some(profile) = parsed
        .text("apparmor")?
        .filter(|profile| !profile.is_empty())
    {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(list) = parsed.text("cpu-affinity")? {
        process.exec_cpu_affinity = Some(CpuAffinity {
            initial: Some(list.to_owned()),
            after_move: None,
        });
    }
    process
        .check()
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(process)
}

fn command(invocation: &Invocation<'_>) -> Result<Vec<String>> {
    let words = invocation
        .parsed
        .arguments
        .get(1)
        .into_iter()
        .chain(invocation.rest);
    words
        .enumerate()
        .map(|(index, word)| utf8(word, || format!("argument {index}")).map(str::to_owned))
        .collect()
}

fn utf8(text: &OsStr, what: impl FnOnce() -> String) -> Result<&str> {
    text.to_str().ok_or_else(|| {
        Failure::new(format!(
            "{}: `{}` is not valid UTF-8",
            what(),
            text.display()
        ))
    })
}

/// `UID` or `UID:GID`; names belong to the container's own files and are for upper layers.
fn set_user(process: &mut Process, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |name: &str, text: &str| {
        text.parse::<u32>().map_err(|_error| {
            Failure::new(format!(
                "option --user: bad {name}: `{text}` is not a number"
            ))
            .hint("UID or UID:GID, as numbers")
        })
    };
    process.user.uid = number("uid", uid)?;
    if let Some(gid) = gid {
        process.user.gid = number("gid", gid)?;
    }
    Ok(())
}

/// Ambient capabilities need inheritable ones, so they grow only where those exist.
fn add_capability(process: &mut Process, name: &str) -> Result<()> {
    let upper = name.to_ascii_uppercase();
    let name = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    if capability::number(&name).is_none() {
        return Err(
            Failure::new(format!("option --cap: unknown capability `{name}`"))
                .hint("for names see capabilities(7)"),
        );
    }
    let sets = process.capabilities.get_or_insert_default();
    let mut grown = vec![&mut sets.bounding, &mut sets.effective, &mut sets.permitted];
    if !sets.inheritable.is_empty() {
        grown.push(&mut sets.inheritable);
        grown.push(&mut sets.ambient);
    }
    for set in grown {
        if !set.contains(&name) {
            set.push(name.clone());
        }
    }
    Ok(())
}

/// `--tty` alone, or with the value that crun lets stand behind it.
fn terminal_wanted(invocation: &Invocation<'_>) -> Result<bool> {
    match invocation.parsed.text("tty")? {
        None => Ok(false),
        Some(word) => match word.to_ascii_lowercase().as_str() {
            "false" | "0" | "f" | "no" => Ok(false),
            "true" | "1" | "t" | "yes" => Ok(true),
            _ => Err(Failure::new(format!(
                "option --tty: `{word}` is not true or false"
            ))),
        },
    }
}

fn cgroups(invocation: &Invocation<'_>) -> Result<Vec<Below>> {
    let given = invocation.parsed.all("cgroup");
    given
        .map(|text| {
            let text = utf8(text, || "option --cgroup".to_owned())?;
            Below::parse(text)
                .map_err(|error| Failure::new(format!("option --cgroup: {}", error.chain())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use insula_container::spec::{Capabilities, Process};

    use super::{cgroups, changed, terminal_wanted};
    use crate::oci::failure::Result;
    use crate::oci::invocation::{Asked, Invocation, read};
    use crate::oci::log::Log;

    fn with<T>(line: &str, test: impl Fn(&Invocation<'_>) -> T) -> T {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        match read(&words, &mut Log::default(), &mut None) {
            Ok(Asked::Command(invocation)) => test(&invocation),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn own() -> Process {
        Process {
            terminal: true,
            args: vec!["sh".to_owned()],
            env: vec!["PATH=/bin".to_owned()],
            cwd: "/".into(),
            ..Process::default()
        }
    }

    fn from_line(line: &str) -> Result<Process> {
        with(line, |invocation| changed(own(), invocation))
    }

    #[test]
    fn options_change_what_they_name() {
        let process = from_line(
            "exec -e A=b --user 7:8 -g 9 --additional-gids=10 --cwd /tmp --no-new-privs \
             --apparmor a --process-label l id ls -l",
        )
        .unwrap();
        assert_eq!(process.args, ["ls", "-l"]);
        assert_eq!(process.env, ["PATH=/bin", "A=b"]);
        assert_eq!((process.user.uid, process.user.gid), (7, 8));
        assert_eq!(process.user.additional_gids, [9, 10]);
        assert_eq!(process.cwd, std::path::Path::new("/tmp"));
        assert!(process.no_new_privileges && !process.terminal);
        assert_eq!(process.apparmor_profile.as_deref(), Some("a"));
        assert_eq!(process.selinux_label.as_deref(), Some("l"));
    }

    #[test]
    fn a_capability_grows_the_sets_that_let_it_work() {
        let process = from_line("exec --cap net_admin -c CAP_KILL id ls").unwrap();
        let sets = process.capabilities.unwrap();
        assert_eq!(sets.effective, ["CAP_NET_ADMIN", "CAP_KILL"]);
        assert_eq!(sets.permitted, sets.bounding);
        assert!(sets.ambient.is_empty());
        let base = Process {
            capabilities: Some(Capabilities {
                inheritable: vec!["CAP_CHOWN".to_owned()],
                ..Capabilities::default()
            }),
            ..own()
        };
        let process = with("exec --cap CAP_KILL id ls", |invocation| {
            changed(base.clone(), invocation)
        });
        assert_eq!(process.unwrap().capabilities.unwrap().ambient, ["CAP_KILL"]);
    }

    #[test]
    fn wrong_values_are_named() {
        for (line, part) in [
            ("exec --user x id ls", "option --user: bad uid"),
            ("exec --user 1:x id ls", "option --user: bad gid"),
            ("exec --user 1:-1 id ls", "option --user: bad gid"),
            ("exec -g -1 id ls", "option --additional-gids"),
            ("exec --cwd tmp id ls", "cwd: must be an absolute path"),
            ("exec -e FOO id ls", "env[1]: must have the form"),
        ] {
            let message = from_line(line).unwrap_err().message;
            assert!(message.starts_with(part), "{line}: {message}");
        }
    }

    #[test]
    fn a_terminal_is_asked_for_in_several_ways() {
        for (line, wanted) in [
            ("exec -t id ls", true),
            ("exec --tty=true id ls", true),
            ("exec --tty=false id ls", false),
            ("exec id ls -t", false),
        ] {
            assert_eq!(with(line, terminal_wanted).unwrap(), wanted, "{line}");
        }
    }

    #[test]
    fn cgroups_are_taken_one_by_one() {
        let count = |line| with(line, cgroups).map(|chosen| chosen.len());
        assert_eq!(count("exec id ls").unwrap(), 0);
        assert_eq!(count("exec --cgroup a id ls").unwrap(), 1);
        let line = "exec --cgroup cpu,cpuacct:a --cgroup memory:b id ls";
        assert_eq!(count(line).unwrap(), 2);
        assert!(count("exec --cgroup :a id ls").is_err());
        assert!(count("exec --cgroup .. id ls").is_err());
    }
}
