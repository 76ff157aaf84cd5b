//! config.md, "terminal" and "consoleSize", and the console socket that engines give.

use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use insula_sys::rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use insula_sys::rustix::process::{Signal, pidfd_send_signal};
use insula_sys::rustix::termios::tcgetwinsize;
use serde_json::json;

use crate::bundle::{Bundle, Container};

/// The descriptor that comes through the console socket.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (connection, _) = listener.accept().unwrap();
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); 128];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        &connection,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::empty(),
    )
    .unwrap();
    let message = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    message.expect("no descriptor came")
}

/// Creates with a console socket; returns the container and the terminal.
fn create(bundle: Bundle) -> (Container, std::fs::File) {
    let bundle = bundle.set("/process/terminal", json!(true));
    let path = bundle.beside("console");
    let listener = UnixListener::bind(&path).unwrap();
    let created = bundle.try_create(&["--console-socket", &path]);
    assert_eq!(created.code, 0, "{created:?}");
    (Container { bundle }, receive(&listener).into())
}

/// Everything that comes out of a terminal until its other side is closed.
fn read_all(mut terminal: &std::fs::File) -> String {
    let (mut text, mut bytes) = (Vec::new(), [0; 1024]);
    // EIO is how a terminal says that nobody is on its other side.
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

#[test]
fn the_terminal_is_on_all_three_streams() {
    let (container, terminal) = create(Bundle::sh(
        "tty; test -t 1 && test -t 2 && echo all; readlink /proc/self/fd/0",
    ));
    container.start();
    let seen = read_all(&terminal);
    assert_eq!(seen, "/dev/pts/0\nall\n/dev/pts/0\n");
    container.wait();
    container.delete();
}

/// "bind mounting the pseudoterminal pty to /dev/console".
#[test]
fn the_console_is_the_terminal() {
    let (container, terminal) = create(Bundle::sh(
        "echo shown > /dev/console; stat -c %F /dev/console",
    ));
    container.start();
    assert_eq!(read_all(&terminal), "shown\ncharacter special file\n");
    container.wait();
    container.delete();
}

#[test]
fn the_terminal_takes_input_and_is_the_controlling_one() {
    let (container, mut terminal) =
        create(Bundle::sh("read line; echo got $line; echo tty > /dev/tty"));
    container.start();
    terminal.write_all(b"hello\n").unwrap();
    let seen = read_all(&terminal);
    assert!(seen.contains("got hello") && seen.contains("tty"), "{seen}");
    container.wait();
    container.delete();
}

#[test]
fn console_size() {
    let bundle =
        Bundle::sh("stty size").set("/process/consoleSize", json!({"height": 33, "width": 77}));
    let (container, terminal) = create(bundle);
    let size = tcgetwinsize(&terminal).unwrap();
    assert_eq!((size.ws_row, size.ws_col), (33, 77));
    container.start();
    assert_eq!(read_all(&terminal), "33 77\n");
    container.wait();
    container.delete();
}

/// "Runtimes MUST ignore consoleSize if terminal is false or unset."
#[test]
fn console_size_without_a_terminal_is_ignored() {
    let bundle =
        Bundle::sh("echo ok").set("/process/consoleSize", json!({"height": 1, "width": 1}));
    assert_eq!(bundle.run().text(), "ok");
}

#[test]
fn a_detached_terminal_needs_a_socket() {
    let bundle = Bundle::sh("true").set("/process/terminal", json!(true));
    bundle.try_create(&[]).fails();
    bundle.assert_gone();
}

#[test]
fn a_socket_without_a_terminal_is_an_error() {
    let bundle = Bundle::sh("true");
    let path = bundle.beside("console");
    let _listener = UnixListener::bind(&path).unwrap();
    bundle.try_create(&["--console-socket", &path]).fails();
    bundle.assert_gone();
}

#[test]
fn exec_with_a_terminal() {
    let container = Bundle::sh("sleep 100").start();
    let path = container.bundle.beside("console");
    let listener = UnixListener::bind(&path).unwrap();
    let options = [
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        &path,
        &container.bundle.id,
        "sh",
        "-c",
        "tty",
    ];
    let finished = container.bundle.call_detached(&options);
    assert_eq!(finished.code, 0, "{finished:?}");
    let terminal = receive(&listener).into();
    assert_eq!(read_all(&terminal), "/dev/pts/0\n");
    container.kill_and_delete();
}

/// The owner of the terminal is the user of the process.
#[test]
fn the_terminal_belongs_to_the_user() {
    let bundle =
        Bundle::sh("stat -c %u $(tty)").set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let (container, terminal) = create(bundle);
    container.start();
    assert_eq!(read_all(&terminal), "1000\n");
    container.wait();
    container.delete();
}

/// In the foreground the runtime carries the output: line ends stay as the program writes them,
/// from its first line on.
#[test]
fn the_output_of_a_foreground_terminal_has_plain_line_ends() {
    let bundle = Bundle::sh("echo one; echo two").set("/process/terminal", json!(true));
    for _ in 0..5 {
        assert_eq!(bundle.run().stdout, "one\ntwo\n");
    }
}

/// The process that `--pidfd-socket` names is there from `create` on.
#[test]
fn create_sends_the_pidfd() {
    let bundle = Bundle::sh("sleep 100");
    let path = bundle.beside("pidfd");
    let listener = UnixListener::bind(&path).unwrap();
    let created = bundle.try_create(&["--pidfd-socket", &path]);
    assert_eq!(created.code, 0, "{created:?}");
    let container = Container { bundle };
    let pidfd = receive(&listener);
    pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    container.wait();
    container.delete();
}
