//! Hooks: programs of the user's that run at points of a container's life (runtime.md, Lifecycle).

use std::ffi::{CString, OsStr};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use insula_sys::descriptor::close_on_exec_from;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Context, Error, Result};
use crate::format::State;
use crate::spec::Hook;

/// Runs the hooks in order, each with the state on its standard input. The first that fails ends
/// the list.
///
/// # Errors
/// Names the hook, its exit status and the last of what it printed.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &State<'_>) -> Result<()> {
    run_keeping(0, kind, hooks, state, None)
}

/// As [`run`], in a process that has to keep the first descriptors above standard error for the
/// program it will become. `environment` is for hooks that name none of their own; without it they
/// have the runtime's.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_keeping(
    kept_fds: u32,
    kind: &str,
    hooks: &[Hook],
    state: &State<'_>,
    environment: Option<&[CString]>,
) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    // What the runtime's caller left open is not for hooks: some run inside the container.
    close_on_exec_from(3_u32.saturating_add(kept_fds)).step(|| "close descriptors for hooks")?;
    let json = serde_json::to_vec(state).step(|| "write the state for hooks")?;
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, &json, environment).step(|| {
            let path = hook.path.display();
            format!("hooks.{kind}[{index}]: error running {kind} hook #{index}: {path}")
        })?;
    }
    Ok(())
}

/// As [`run`], but goes on after a failure and returns all of them.
pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &State<'_>) -> Vec<Error> {
    hooks
        .iter()
        .filter_map(|hook| run(kind, std::slice::from_ref(hook), state).err())
        .collect()
}

fn run_one(hook: &Hook, state: &[u8], environment: Option<&[CString]>) -> Result<()> {
    let mut command = Command::new(&hook.path);
    if !hook.env.is_empty() {
        command.env_clear();
    } else if let Some(environment) = environment {
        command.env_clear();
        for pair in environment {
            let pair = pair.to_bytes();
            if let Some(end) = pair.iter().position(|byte| *byte == b'=') {
                let text = OsStr::from_bytes;
                command.env(text(&pair[..end]), text(&pair[end + 1..]));
            }
        }
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    for pair in &hook.env {
        if let Some((name, value)) = pair.split_once('=') {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().step(|| "start the program")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its input: a closed pipe is not its failure.
        drop(stdin.write_all(state));
    }
    if let Some(seconds) = hook.timeout {
        wait_at_most(&mut child, seconds)?;
    }
    let output = child.wait_with_output().step(|| "wait for the program")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim_end().lines().last().unwrap_or_default();
    let how = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    };
    Err(Error::new(if said.is_empty() {
        how
    } else {
        format!("{how}: {said}")
    }))
}

fn wait_at_most(child: &mut Child, seconds: i64) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::new("the program has no process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).step(|| "watch the program")?;
    let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let ended = poll(&mut fds, Some(&timeout)).step(|| "watch the program")?;
    if ended > 0 {
        return Ok(());
    }
    child
        .kill()
        .step(|| "kill the program after its time-out")?;
    child
        .wait()
        .step(|| "wait for the program after its time-out")?;
    Err(Error::new(format!(
        "not done within its timeout of {seconds} s"
    )))
}
