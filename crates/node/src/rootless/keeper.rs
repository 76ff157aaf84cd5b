//! The process that keeps a user's namespace: it sleeps until nobody needs the namespace any more.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use insula_container::error::{Context, Result};
use insula_sys::descriptor::{close_copies_but, close_copy};
use insula_sys::process::{
    CLONE_NEWNS, CLONE_NEWUSER, clone3, execve, exit_now, release_program_pages,
};
use insula_sys::rustix::event::{Timespec, poll};
use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::pipe::{PipeFlags, pipe_with};
use insula_sys::rustix::process::{chdir, setsid};

use super::{KEEPER_FILE, LOCK_FILE, home, ids, open_lock};
use crate::guest::{leave_standard_streams, living_process, process_name};

/// The first word of such a process; the user's state directory follows.
pub(crate) const ROLE: &str = "__namespace";

/// A namespace that was just used will be used again soon.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// Makes the namespace and its keeper.
pub(super) fn start(state: &Path) -> Result<OwnedFd> {
    let step = || "make a user namespace";
    let (go, said) = pipe_with(PipeFlags::CLOEXEC).step(step)?;
    let words = [
        b"insula".as_slice(),
        ROLE.as_bytes(),
        state.as_os_str().as_bytes(),
    ];
    let words: Vec<CString> = words
        .into_iter()
        .filter_map(|word| CString::new(word).ok())
        .collect();
    let mut go = File::from(go);
    let mut said = File::from(said);
    let child = clone3(CLONE_NEWUSER | CLONE_NEWNS, None, || {
        // Else the pipe would not end with the command.
        close_copy(said.as_fd());
        let mut word = [0];
        if !matches!(go.read(&mut word), Ok(1)) {
            exit_now(1);
        }
        let _ = execve(&CString::from(c"/proc/self/exe"), &words, &[]);
        exit_now(1)
    });
    let child = child
        .step(step)
        .map_err(|error| error.hint(home::advice()))?;
    let mapped = ids::map(child.pid).and_then(|()| {
        let process = process_name(child.pid);
        let text = format!("{} {}", process.pid, process.start);
        std::fs::write(state.join(KEEPER_FILE), text).step(|| "write down who keeps the namespace")
    });
    let told = mapped.and_then(|()| said.write_all(&[1]).step(step));
    if let Err(error) = told {
        let _ = insula_sys::process::kill(child.pid, 9);
        let _ = std::fs::remove_file(state.join(KEEPER_FILE));
        return Err(error);
    }
    Ok(child.pidfd)
}

/// The process itself. `arguments` are the words after [`ROLE`].
pub(crate) fn main(arguments: &[OsString]) -> u8 {
    let [state] = arguments else { return 2 };
    u8::from(keep(Path::new(state)).is_err())
}

fn keep(state: &Path) -> Result<()> {
    // It may lead a session already.
    let _ = setsid();
    chdir("/").step(|| "change to /")?;
    leave_standard_streams()?;
    close_copies_but(&mut []).step(|| "close what belongs to the command")?;
    let lock = open_lock(&state.join(LOCK_FILE))?;
    loop {
        release_program_pages();
        let _ = poll(&mut [], Some(&PATIENCE));
        flock(&lock, FlockOperation::LockExclusive).step(|| "wait for the last user")?;
        // A monitor that takes over from a killed one holds no lock for a moment.
        if living_process(state).is_none() {
            return std::fs::remove_file(state.join(KEEPER_FILE)).step(|| "end the namespace");
        }
        flock(&lock, FlockOperation::Unlock).step(|| "let the lock go")?;
    }
}
