//! Hands the listener of a filter with `SCMP_ACT_NOTIFY` to the agent that answers for it
//! (config-linux.md, The Container Process State).
//!
//! The caller makes the JSON text, [`send_listener`] sends it with the descriptor.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use insula_sys::rustix::io::retry_on_intr;
use insula_sys::rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg,
};

use crate::error::{Context as _, Result};

/// What `fds` of the container process state names the descriptor.
pub const DESCRIPTOR_NAME: &str = "seccompFd";

/// Sends one container process state over a connection of its own. The descriptor goes with the
/// first byte, as the specification demands.
///
/// # Errors
/// Nobody listens at `path`, or the agent went away before it had everything.
pub fn send_listener(path: &Path, listener: BorrowedFd<'_>, state_json: &str) -> Result<()> {
    let failed = || format!("send the seccomp listener to {}", path.display());
    let stream = UnixStream::connect(path)
        .step(|| format!("failed to connect with seccomp agent {}", path.display()))
        .map_err(|error| error.hint("is the agent of linux.seccomp.listenerPath running?"))?;
    let mut space = [MaybeUninit::uninit(); insula_sys::rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener];
    rights.push(SendAncillaryMessage::ScmRights(&descriptors));
    let text = [IoSlice::new(state_json.as_bytes())];
    let sent = retry_on_intr(|| sendmsg(stream.as_fd(), &text, &mut rights, SendFlags::NOSIGNAL))
        .step(failed)?;
    let mut rest = &state_json.as_bytes()[sent..];
    while !rest.is_empty() {
        let sent =
            retry_on_intr(|| send(stream.as_fd(), rest, SendFlags::NOSIGNAL)).step(failed)?;
        rest = &rest[sent..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read as _};
    use std::os::unix::net::UnixListener;

    use insula_sys::rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;

    #[test]
    fn the_agent_gets_the_descriptor_with_the_first_byte_and_the_whole_text() {
        let path = std::env::temp_dir().join(format!("insula-notify-{}", std::process::id()));
        let agent = UnixListener::bind(&path).unwrap();
        // Larger than a socket buffer, so that it takes several calls.
        let text = "x".repeat(1 << 20);
        let sender = std::thread::spawn({
            let (path, text) = (path.clone(), text.clone());
            move || send_listener(&path, std::io::stderr().as_fd(), &text)
        });
        let (mut stream, _) = agent.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut first = [0; 1];
        let mut space = [MaybeUninit::uninit(); insula_sys::rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut first)];
        recvmsg(&stream, &mut parts, &mut rights, RecvFlags::empty()).unwrap();
        let descriptors: usize = rights
            .drain()
            .map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.count(),
                _ => 0,
            })
            .sum();
        assert_eq!(descriptors, 1);
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest.len() + 1, text.len());
        sender.join().unwrap().unwrap();
    }

    #[test]
    fn a_missing_agent_is_named() {
        let error = send_listener(Path::new("/no/agent"), std::io::stderr().as_fd(), "{}");
        let error = error.unwrap_err();
        assert!(error.chain().contains("/no/agent"), "{}", error.chain());
        assert!(error.hint_text().is_some());
    }
}
