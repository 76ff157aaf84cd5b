//! A connection outlives its servers: needs root and FUSE.
//!
//! A program of its own instead of `#[test]`s, because each case clones this process. It speaks
//! enough of the test harness's command line for `cargo test` and nextest.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test; results are its output"
)]

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use insula_sys::fuse::{
    Attributes, Connection, DEVICE, FileSystem, Listing, MountOptions, Mounted, Opened,
    ReadRequest, Statistics, mount, protocol, serve,
};
use insula_sys::process::{Child, Exit, clone3, exit_now, pidfd_send_signal, wait};
use insula_sys::rustix::process::geteuid;
use insula_sys::{Errno, Result};

const NAME: &str = "requests_of_a_killed_server_fail_and_the_next_one_serves_on";

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    let is_root = geteuid().is_root();
    if !is_root || !Path::new(DEVICE).exists() {
        println!("skipped: needs root and {DEVICE}");
        return ExitCode::SUCCESS;
    }
    requests_of_a_killed_server_fail_and_the_next_one_serves_on();
    ExitCode::SUCCESS
}

/// One file, `f`, whose content is `text`. Opening it can take for ever.
struct OneFile {
    text: &'static str,
    stuck: Option<UnixStream>,
}

impl FileSystem for OneFile {
    const VALID_SECONDS: u64 = 60;

    fn look_up(&self, _directory: u64, name: &[u8]) -> Result<(u64, Attributes)> {
        match name {
            b"f" => Ok((2, self.attributes(2)?)),
            _ => Err(Errno::NOENT),
        }
    }

    fn attributes(&self, node: u64) -> Result<Attributes> {
        Ok(Attributes {
            inode: node,
            mode: if node == protocol::ROOT {
                0o040_555
            } else {
                0o100_444
            },
            links: 1,
            ..Attributes::default()
        })
    }

    fn open(&self, _node: u64) -> Result<Opened> {
        if let Some(mut stuck) = self.stuck.as_ref() {
            use std::io::Write as _;
            // Says that the request is here; nothing ever comes back.
            stuck.write_all(b"o").map_err(|_closed| Errno::IO)?;
            let _ = stuck.read(&mut [0]);
        }
        Ok(Opened {
            handle: 1,
            flags: protocol::open_flag::DIRECT_IO,
        })
    }

    fn read(&self, request: &ReadRequest, buffer: &mut [u8]) -> Result<usize> {
        let start = usize::try_from(request.offset).unwrap_or(usize::MAX);
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        buffer[..rest.len()].copy_from_slice(rest);
        Ok(rest.len())
    }

    fn read_directory(&self, _node: u64, _position: u64, _listing: &mut Listing<'_>) -> Result<()> {
        Ok(())
    }

    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

fn start_server(connection: &Connection, mount: &impl AsFd, file_system: &OneFile) -> Child {
    let child = clone3(0, None, || {
        insula_sys::descriptor::close_copy(mount.as_fd());
        exit_now(i32::from(serve(connection, file_system).is_err()))
    });
    child.unwrap()
}

/// A process that reads the file; it ends with 0 when it got `text`, else with the error's number.
fn start_reader(path: &str, text: &str) -> Child {
    let child = clone3(0, None, || {
        exit_now(match fs::read_to_string(path) {
            Ok(found) if found == text => 0,
            Ok(_) => 255,
            Err(error) => error.raw_os_error().unwrap_or(254),
        })
    });
    child.unwrap()
}

fn requests_of_a_killed_server_fail_and_the_next_one_serves_on() {
    let options = MountOptions {
        device: Path::new(DEVICE),
        source: "test",
        subtype: "test",
        flags: 0,
    };
    let Mounted { mount, connection } = mount(&options).unwrap();
    let path = format!("/proc/self/fd/{}/f", mount.as_raw_fd());
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let stuck = OneFile {
        text: "never",
        stuck: Some(theirs),
    };
    let server = start_server(&connection, &mount, &stuck);
    let victim = start_reader(&path, "never");
    ours.read_exact(&mut [0]).unwrap();
    // This one's request is not taken by anybody yet, or only by its successor.
    let patient = start_reader(&path, "second");
    pidfd_send_signal(server.pidfd.as_fd(), 9).unwrap();
    assert_eq!(wait(server.pidfd.as_fd()).unwrap(), Exit::Signal(9));
    let aborted = Errno::CONNABORTED.raw_os_error();
    assert_eq!(wait(victim.pidfd.as_fd()).unwrap(), Exit::Code(aborted));
    let second = OneFile {
        text: "second",
        stuck: None,
    };
    let successor = start_server(&connection, &mount, &second);
    assert_eq!(wait(patient.pidfd.as_fd()).unwrap(), Exit::Code(0));
    let late = start_reader(&path, "second");
    assert_eq!(wait(late.pidfd.as_fd()).unwrap(), Exit::Code(0));
    drop(mount);
    assert_eq!(wait(successor.pidfd.as_fd()).unwrap(), Exit::Code(0));
}
