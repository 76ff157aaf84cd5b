//! What a monitor publishes while its guest lives: `<state>/guests/<id>/`.
//!
//! ```text
//!  state.json   see `format.rs`; replaced as a whole at each change
//!  control      the socket of `protocol.rs`
//! ```
//!
//! The directory is made by the monitor and goes with the run; what is left of a killed one is
//! found by whoever asks for the guest next.

use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use insula_container::error::{Context, Error, Result};
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::process::getpid;

use super::format::{GuestState, ProcessName};

const STATE_FILE: &str = "state.json";
const SOCKET: &str = "control";

pub(super) fn make_directory(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .step(|| format!("make {}", path.display()))
}

/// The published state; `None` when no monitor has been at work, or was killed before it could say
/// anything.
pub(super) fn read(path: &Path) -> Option<GuestState> {
    let json = std::fs::read(path.join(STATE_FILE)).ok()?;
    GuestState::parse(&json).ok()
}

pub(super) fn write(path: &Path, state: &GuestState) -> Result<()> {
    let new = path.join("state.json.new");
    std::fs::write(&new, state.to_json())
        .and_then(|()| std::fs::rename(&new, path.join(STATE_FILE)))
        .step(|| format!("write {}/{STATE_FILE}", path.display()))
}

pub(super) fn remove(path: &Path) {
    // What cannot be removed is found by `prune`.
    for name in [STATE_FILE, SOCKET, "state.json.new"] {
        let _ = std::fs::remove_file(path.join(name));
    }
    let _ = std::fs::remove_dir_all(path.join(crate::run::secret::DIRECTORY));
    let _ = std::fs::remove_dir(path);
}

/// Takes connections of commands. A socket that a killed monitor has left is replaced.
pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    let step = || format!("listen at {}/{SOCKET}", path.display());
    let _ = std::fs::remove_file(path.join(SOCKET));
    let listener = short(path, |socket| UnixListener::bind(socket)).step(step)?;
    listener.set_nonblocking(true).step(step)?;
    Ok(listener)
}

/// A connection to the monitor.
pub(super) fn connect(path: &Path) -> Result<UnixStream> {
    short(path, |socket| UnixStream::connect(socket))
        .step(|| format!("reach the guest's monitor at {}/{SOCKET}", path.display()))
}

/// Calls with a path that is short enough for a socket's address, however deep the state lies.
fn short<T>(path: &Path, call: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(path, flags, Mode::empty())?;
    let name = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    call(Path::new(&name))
}

/// A process by its number; with start 0 when there is none.
pub(crate) fn process_name(pid: i32) -> ProcessName {
    let start = insula_container::process_start(pid).unwrap_or(0);
    ProcessName { pid, start }
}

pub(super) fn this_process() -> ProcessName {
    process_name(getpid().as_raw_pid())
}

/// Whether a process that was named still lives.
pub(crate) fn is_alive(process: ProcessName) -> bool {
    process.start != 0 && process_name(process.pid) == process
}

/// A process of this state's guests that lives: one that looks after them first.
pub(crate) fn living_process(state: &Path) -> Option<ProcessName> {
    let entries = std::fs::read_dir(state.join("guests")).ok()?;
    let states = entries.flatten().filter_map(|entry| read(&entry.path()));
    states
        .flat_map(|state| [Some(state.monitor), state.holder, state.process])
        .flatten()
        .find(|process| is_alive(*process))
}

/// An error for a guest that does not run.
pub(super) fn not_running(name: &str) -> Error {
    Error::new(format!("`{name}` is not running"))
        .hint(format!("start it with: insula start {name}"))
}
