//! `start`: lets a created container run its program.

use std::os::fd::OwnedFd;

use insula_sys::rustix::fs::{FlockOperation, flock};
use insula_sys::rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};

use crate::channel::{Channel, Event};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use crate::format::{Phase, START_SOCKET, Status};
use crate::runtime::Runtime;
use crate::{hook, listener};

impl Runtime {
    /// Starts a created container.
    ///
    /// # Errors
    /// When it is not in the state `created`, or its program cannot be run: then it is stopped.
    pub fn start(&self, id: &str) -> Result<()> {
        let mut container = self.load_settled(id)?;
        flock(&container.directory.fd, FlockOperation::LockExclusive)
            .step(|| "lock the container")?;
        // Another start may have been first.
        container.record = container.directory.read_record()?;
        match container.status() {
            Status::Created => {}
            Status::Stopped => return Err(Error::new("cannot start a container that has stopped")),
            Status::Running => return Err(Error::new("cannot start an already running container")),
            status => {
                let name = status.name();
                return Err(Error::new(format!(
                    "cannot start a container in the {name} state"
                )));
            }
        }
        container.start()
    }
}

impl Container {
    fn start(&mut self) -> Result<()> {
        let pidfd = self.pidfd()?;
        // Recorded first: a start killed half-way must not be taken for one that never was.
        self.record.phase = Phase::Running;
        self.directory.write_started()?;
        let channel = Channel::new(self.connect()?);
        self.directory.remove_start_socket();
        let state = self.record.state(Status::Running);
        self.follow_start(&channel, &pidfd).inspect_err(|error| {
            // Only a hook's failure asks for it; after others the caller wants to look and delete.
            if error.chain().starts_with("hooks.") {
                self.end_after_failure(&pidfd);
            }
        })?;
        hook::run("poststart", &self.record.poststart, &state)
            .inspect_err(|_| self.end_after_failure(&pidfd))
    }

    /// runtime.md, Lifecycle 7 and 9: a hook that fails stops the container, destroys it and goes
    /// on with the `poststop` hooks. The failure of the start is the one to tell.
    fn end_after_failure(&self, pidfd: &OwnedFd) {
        drop(self.kill(9, false));
        drop(crate::container::wait_until_dead(pidfd));
        if let Err(error) = self.destroy() {
            crate::warn(&error);
        }
        let state = self.record.state(Status::Stopped);
        for failure in hook::run_all("poststop", &self.record.poststop, &state) {
            crate::warn(&failure);
        }
    }

    fn follow_start(&self, channel: &Channel, pidfd: &OwnedFd) -> Result<()> {
        loop {
            match channel.receive()? {
                Event::Listener(number) => {
                    let spec = self.spec()?;
                    let config = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
                    listener::hand_over(config, pidfd, number, &self.record)?;
                    channel.send_go(self.record.pid)?;
                }
                Event::Warning(warning) => crate::warn(&warning),
                Event::Failed(error) => {
                    crate::container::wait_until_dead(pidfd)?;
                    return Err(error);
                }
                Event::End => return Ok(()),
                event => {
                    return Err(Error::new(format!(
                        "unexpected message at start: {event:?}"
                    )));
                }
            }
        }
    }

    fn connect(&self) -> Result<OwnedFd> {
        let step = || "reach the waiting container";
        let kind = SocketType::SEQPACKET;
        let socket =
            socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).step(step)?;
        let address = SocketAddrUnix::new(self.directory.short_path(START_SOCKET)).step(step)?;
        connect(&socket, &address).step(step)?;
        Ok(socket)
    }
}
