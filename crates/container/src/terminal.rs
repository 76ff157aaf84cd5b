//! The container's terminal: a pair of its own devpts, the controlling side handed to whoever
//! drives it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, fchown, fstat, open};
use insula_sys::rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, sendmsg,
    socket_with,
};
use insula_sys::rustix::process::ioctl_tiocsctty;
use insula_sys::rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use insula_sys::rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use insula_sys::rustix::termios::{
    OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};
use insula_sys::rustix::thread::{Gid, Uid};

use crate::error::{Context, Error, Result};
use crate::spec::Process;

/// Both sides of a pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) controlling: OwnedFd,
    pub(crate) terminal: OwnedFd,
}

impl Pair {
    /// Opens a pair in the devpts that the caller sees at `/dev/pts`. The terminal is reached
    /// through the controlling side, not by a path that the image could have prepared.
    ///
    /// `is_relayed` where the runtime itself carries the output, to a pipe or to the caller's own
    /// terminal.
    pub(crate) fn open(process: &Process, is_relayed: bool) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let controlling = open("/dev/pts/ptmx", flags, Mode::empty())
            .or_else(|_| open("/dev/ptmx", flags, Mode::empty()))
            .step(|| "process.terminal: open /dev/pts/ptmx")
            .map_err(|error| error.hint("the configuration needs a devpts mount at /dev/pts"))?;
        unlockpt(&controlling).step(|| "process.terminal: unlock the terminal")?;
        let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = ioctl_tiocgptpeer(&controlling, peer)
            .step(|| "process.terminal: open the terminal's other side")?;
        if let Some(size) = process.console_size {
            let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
            let size = Winsize {
                ws_row: cells(size.height),
                ws_col: cells(size.width),
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            tcsetwinsize(&controlling, size).step(|| "process.consoleSize: set it")?;
        }
        if is_relayed {
            keep_line_ends(&controlling);
        }
        Ok(Self {
            controlling,
            terminal,
        })
    }
}

/// Where we carry the output ourselves, a line's end stays what the program wrote: the caller's own
/// terminal adds the carriage return, and a pipe or a file is to have none. Set before the program
/// can write: the runtime may come to the terminal later than it.
fn keep_line_ends(controlling: &OwnedFd) {
    // A terminal that cannot be asked cannot be changed either, and works all the same.
    if let Ok(mut settings) = tcgetattr(controlling) {
        settings.output_modes.remove(OutputModes::ONLCR);
        let _ = tcsetattr(controlling, OptionalActions::Now, &settings);
    }
}

/// Makes the terminal this session's controlling terminal and standard input, output and error.
/// The caller leads a session without a terminal.
pub(crate) fn adopt(terminal: &OwnedFd) -> Result<()> {
    ioctl_tiocsctty(terminal).step(|| "process.terminal: make it the controlling terminal")?;
    dup2_stdin(terminal)
        .and_then(|()| dup2_stdout(terminal))
        .and_then(|()| dup2_stderr(terminal))
        .step(|| "process.terminal: make it standard input and output")
}

/// Gives the standard streams to the user of the program, so that it can open them again by
/// `/dev/stdout`. The null device and what forbids a change of owner stay as they are.
pub(crate) fn give_streams_to(uid: u32) -> Result<()> {
    use insula_sys::rustix::stdio::{stderr, stdin, stdout};
    const NULL_DEVICE: u64 = 0x103;
    for stream in [stdin(), stdout(), stderr()] {
        let Ok(status) = fstat(stream) else { continue };
        if status.st_uid == uid || status.st_rdev == NULL_DEVICE {
            continue;
        }
        match fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS | Errno::OPNOTSUPP) => {}
            Err(errno) => {
                return Err(errno).step(|| format!("give the standard streams to user {uid}"));
            }
        }
    }
    Ok(())
}

/// Connects to the socket of a terminal's driver (`--console-socket`).
pub(crate) fn connect_socket(path: &Path) -> Result<OwnedFd> {
    let shown = || format!("connect to the console socket {}", path.display());
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .step(shown)?;
    // The kernel takes at most 107 bytes: a longer path is reached through its directory.
    if path.as_os_str().len() > 107 {
        let directory = path.parent().unwrap_or_else(|| Path::new("/"));
        let name = path.file_name().ok_or_else(|| Error::new(shown()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(directory, flags, Mode::empty()).step(shown)?;
        use std::os::fd::AsRawFd;
        let mut short = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        short.extend_from_slice(name.as_bytes());
        connect(&socket, &SocketAddrUnix::new(short.as_slice()).step(shown)?).step(shown)?;
        return Ok(socket);
    }
    connect(&socket, &SocketAddrUnix::new(path).step(shown)?).step(shown)?;
    Ok(socket)
}

/// Sends a descriptor with its name over a connected socket, as terminal drivers expect it.
pub(crate) fn send_descriptor(socket: &OwnedFd, name: &str, fd: BorrowedFd<'_>) -> Result<()> {
    use insula_sys::rustix::io::IoSlice;
    use insula_sys::rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
    let mut space =
        [std::mem::MaybeUninit::uninit(); insula_sys::rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(
        socket.as_fd(),
        &[IoSlice::new(name.as_bytes())],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map(drop)
    .step(|| format!("send {name} over its socket"))
}
