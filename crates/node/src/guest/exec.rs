//! Another program in a guest that runs.

use std::os::fd::AsFd;

use insula_container::ExecOptions;
use insula_container::error::{Context, Error, Result};
use insula_container::spec::{ConsoleSize, Process};
use insula_image::read_user;
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use insula_sys::rustix::termios::tcgetwinsize;

use super::event;
use super::find::{Guest, Status, find};
use super::live;
use super::place::Place;
use crate::run::{capability, image_error};

/// What to run, and as whom.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    pub command: Vec<String>,
    /// `NAME=VALUE`, over those of the guest.
    pub environment: Vec<String>,
    /// `user[:group]` by the guest's own databases.
    pub user: Option<String>,
    pub working_directory: Option<std::path::PathBuf>,
    pub terminal: bool,
    /// Our standard input goes to the program.
    pub interactive: bool,
    pub detach: bool,
    /// With every capability this process has.
    pub privileged: bool,
}

/// Runs a program in a guest and gives its exit code; 0 at once when detached.
///
/// # Errors
/// The guest does not run, or the program cannot be started.
pub fn exec(place: &Place, name: &str, request: &ExecRequest) -> Result<i32> {
    let guest = find(place, name)?;
    let name = guest.record.name.as_str();
    match guest.status {
        Status::Running => {}
        Status::Paused => {
            return Err(
                Error::new(format!("`{name}` is paused")).hint(format!("insula resume {name}"))
            );
        }
        _ => return Err(live::not_running(name)),
    }
    let process = process(place, &guest, request)?;
    let shown = [("execCommand", request.command.join(" "))];
    event::tell(place, &guest.record, "exec_start", &shown);
    let options = ExecOptions {
        process,
        detach: request.detach,
        ..ExecOptions::default()
    };
    set_streams(request)?;
    let code = place.runtime().exec(&guest.record.id, &options)?;
    if !request.detach {
        event::tell(
            place,
            &guest.record,
            "exec_die",
            &[("exitCode", code.to_string())],
        );
    }
    Ok(code)
}

fn set_streams(request: &ExecRequest) -> Result<()> {
    if request.interactive && !request.detach {
        return Ok(());
    }
    let step = || "replace the standard streams";
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).step(step)?;
    // The relay of a terminal reads ours: without `interactive` it reads nothing.
    dup2_stdin(&null).step(step)?;
    if request.detach {
        dup2_stdout(&null)
            .and_then(|()| dup2_stderr(&null))
            .step(step)?;
    }
    Ok(())
}

/// The guest's own process with another command and what is asked for.
fn process(place: &Place, guest: &Guest, request: &ExecRequest) -> Result<Process> {
    let container = place.runtime().load(&guest.record.id)?;
    let mut process = container
        .spec()?
        .process
        .ok_or_else(|| Error::new("the guest has no process to take after"))?;
    process.args.clone_from(&request.command);
    process.terminal = request.terminal && !request.detach;
    let size = tcgetwinsize(stdin()).ok().filter(|_| process.terminal);
    process.console_size = size.map(|size| ConsoleSize {
        height: size.ws_row.into(),
        width: size.ws_col.into(),
    });
    if process.terminal && !has_variable(&process.env, "TERM") {
        process.env.push("TERM=xterm".to_owned());
    }
    set_variables(&mut process.env, &request.environment);
    if let Some(directory) = &request.working_directory {
        if !directory.is_absolute() {
            return Err(Error::new(format!(
                "the working directory `{}` is not an absolute path",
                directory.display()
            )));
        }
        process.cwd.clone_from(directory);
    }
    if request.privileged {
        process.capabilities = Some(capability::all()?);
    }
    if let Some(user) = &request.user {
        set_user(&mut process, container.record.pid, user)?;
    }
    Ok(process)
}

fn has_variable(environment: &[String], name: &str) -> bool {
    environment
        .iter()
        .any(|entry| entry.split('=').next() == Some(name))
}

fn set_variables(environment: &mut Vec<String>, wanted: &[String]) {
    for entry in wanted {
        let name = entry.split('=').next().unwrap_or_default();
        environment.retain(|known| known.split('=').next() != Some(name));
        environment.push(entry.clone());
    }
}

/// The user by the databases in the guest as they are now.
fn set_user(process: &mut Process, pid: i32, user: &str) -> Result<()> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(&path, flags, Mode::empty()).step(|| "open the guest's root")?;
    let found = read_user(root.as_fd(), user).map_err(image_error)?;
    process.user.uid = found.uid;
    process.user.gid = found.gid;
    let mut groups = vec![found.gid];
    groups.extend(found.groups.iter().filter(|group| **group != found.gid));
    process.user.additional_gids = groups;
    set_variables(&mut process.env, &[format!("HOME={}", found.home)]);
    process.capabilities = process
        .capabilities
        .take()
        .map(|sets| capability::for_user(sets, found.uid));
    Ok(())
}

#[cfg(test)]
mod tests {
    use insula_container::spec::Capabilities;

    use super::*;

    #[test]
    fn variables_replace_those_of_the_guest() {
        let mut environment = vec!["A=1".to_owned(), "B=2".to_owned()];
        set_variables(&mut environment, &["A=3".to_owned(), "C=".to_owned()]);
        assert_eq!(environment, ["B=2", "A=3", "C="]);
        assert!(has_variable(&environment, "C") && !has_variable(&environment, "D"));
    }

    #[test]
    fn other_users_keep_only_the_bounding_set() {
        let sets = Capabilities {
            bounding: vec!["CAP_CHOWN".to_owned()],
            effective: vec!["CAP_CHOWN".to_owned()],
            permitted: vec!["CAP_CHOWN".to_owned()],
            ..Capabilities::default()
        };
        let user = capability::for_user(sets.clone(), 1000);
        assert!(user.effective.is_empty() && user.permitted.is_empty());
        assert_eq!(user.bounding, ["CAP_CHOWN"]);
        let root = capability::for_user(user, 0);
        assert_eq!(
            (root.effective, root.permitted),
            (sets.effective, sets.permitted)
        );
    }
}
