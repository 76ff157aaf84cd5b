//! What a monitor does while its guest lives: it waits, and serves what is ready.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use insula_container::error::{Error, Result};
use insula_sys::process::pidfd_send_signal;
use insula_sys::rustix::event::{PollFd, PollFlags, Timespec, poll};
use insula_sys::rustix::process::Signal;

use super::super::format::Phase;
use super::super::protocol::{Envelope, FrameKind, Reply, Request, VERSION};
use super::super::workspace;
use super::client::{Client, Role};
use super::streams::Taken;
use super::{BUFFER_BYTES, Monitor, Wanted};
use crate::guest_log::Stream;

/// The first restart waits so long, each further one twice as long.
pub(super) const BACK_OFF_MS_MIN: u64 = 100;
pub(super) const BACK_OFF_MS_MAX: u64 = 60_000;
/// A program that ran so long is taken for well: the next restart waits the least again.
pub(super) const STEADY: Duration = Duration::from_secs(10);
/// A monitor that had nothing to do for so long expects that to go on.
const REST: Duration = Duration::from_secs(1);
/// Reads of one stream before others have their turn.
const READS_MAX: usize = 16;
/// Connections at once: each is a command that waits.
const CLIENTS_MAX: usize = 256;

/// What a descriptor that is ready stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Listener,
    Process,
    Holder,
    Bound,
    Health,
    Output(Stream),
    Input,
    Client(usize),
}

impl Monitor {
    /// Looks after the guest until its end.
    pub(super) fn serve(mut self) {
        while self.running.is_some() || self.again_at.is_some() {
            let ready = self.wait();
            for sign in ready {
                self.attend(sign);
            }
            self.clients.retain(|client| !client.is_gone);
            self.attend_to_time();
        }
        self.finish();
    }

    /// Waits until something is ready or due.
    fn wait(&self) -> Vec<Sign> {
        let mut signs = Vec::with_capacity(8 + self.clients.len());
        let mut fds = Vec::with_capacity(8 + self.clients.len());
        let mut add = |sign, fd, flags| {
            signs.push(sign);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        add(Sign::Listener, self.listener.as_fd(), PollFlags::IN);
        if let Some(holder) = &self.holder {
            add(Sign::Holder, holder.child.pidfd.as_fd(), PollFlags::IN);
        }
        if let Some(bound) = &self.bound {
            add(Sign::Bound, bound.as_fd(), PollFlags::IN);
        }
        for fd in self.health.iter().flat_map(super::Health::fds) {
            add(Sign::Health, fd, PollFlags::IN);
        }
        let is_held_up = self.clients.iter().any(Client::has_pending);
        if let Some(running) = &self.running {
            add(Sign::Process, running.pidfd.as_fd(), PollFlags::IN);
            for (stream, fd) in running.streams.sources().filter(|_| !is_held_up) {
                add(Sign::Output(stream), fd, PollFlags::IN);
            }
            if running.streams.has_pending()
                && let Some(sink) = running.streams.sink()
            {
                add(Sign::Input, sink, PollFlags::OUT);
            }
        }
        let takes_input = self
            .running
            .as_ref()
            .is_none_or(|it| it.streams.takes_input());
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::OUT, client.has_pending());
            flags.set(PollFlags::IN, takes_input || client.role != Role::Attached);
            add(Sign::Client(index), client.fd(), flags);
        }
        let due = self.next_due();
        // Nothing but a signal interrupts, and all of them are blocked.
        let rest = Instant::now() + REST;
        let first = due.map_or(rest, |due| due.min(rest));
        let woken = poll(&mut fds, Some(&until(first)));
        if woken == Ok(0) && due.is_none_or(|due| due > rest) {
            // What is not needed while nothing happens is given back.
            insula_sys::process::release_program_pages();
            let _ = poll(&mut fds, due.map(until).as_ref());
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        signs
            .into_iter()
            .zip(ready)
            .filter_map(|(sign, is_ready)| is_ready.then_some(sign))
            .collect()
    }

    fn next_due(&self) -> Option<Instant> {
        let deadline = self.running.as_ref().and_then(|running| running.deadline);
        let health = self.health.as_ref().map(super::Health::due);
        [deadline, self.again_at, health]
            .into_iter()
            .flatten()
            .min()
    }

    fn attend(&mut self, sign: Sign) {
        match sign {
            Sign::Listener => self.accept(),
            Sign::Process => self.take_end(),
            // Killed: it is made anew.
            Sign::Holder => {
                self.hold();
                self.publish();
            }
            Sign::Bound => {
                self.bound = None;
                self.end_with_command();
            }
            // By `attend_to_time`.
            Sign::Health => {}
            Sign::Output(stream) => self.take_output(stream, READS_MAX),
            Sign::Input => {
                if let Some(running) = &mut self.running {
                    running.streams.pass_on();
                }
            }
            Sign::Client(index) => self.attend_client(index),
        }
    }

    fn attend_to_time(&mut self) {
        let has_input = self
            .running
            .as_ref()
            .is_some_and(|it| it.streams.input.is_some());
        if !has_input
            && self
                .holder
                .as_ref()
                .is_some_and(|holder| holder.holds_input)
        {
            self.hold();
            self.publish();
        }
        let now = Instant::now();
        let is_over = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_over(self.running.as_ref().and_then(|running| running.deadline)) {
            self.kill();
        }
        if is_over(self.again_at) {
            self.start_again();
        }
        let runtime = self.place.runtime();
        if let Some(health) = &mut self.health
            && health.go_on(&runtime, &self.workspace.record.id)
        {
            let before = self.state.health.as_ref().map(|health| health.status);
            let status = health.state.status;
            self.state.health = Some(health.state.clone());
            self.publish();
            if before != Some(status) {
                self.tell(
                    "health_status",
                    &[("health_status", status.name().to_owned())],
                );
            }
        }
    }

    fn accept(&mut self) {
        let Ok((socket, _)) = self.listener.accept() else {
            return;
        };
        if self.clients.len() < CLIENTS_MAX
            && let Ok(client) = Client::new(socket, Role::New)
        {
            self.clients.push(client);
        }
    }

    /// Moves what the guest has written to its log and to who is attached.
    pub(super) fn take_output(&mut self, stream: Stream, reads: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        self.buffer.resize(BUFFER_BYTES, 0);
        for _ in 0..reads {
            let Taken::Bytes(count) = running.streams.take(stream, &mut self.buffer) else {
                break;
            };
            let bytes = &self.buffer[..count];
            if let Some(log) = &mut self.log {
                log.append(stream, bytes);
            }
            let kind = match stream {
                Stream::Stderr => FrameKind::Errors,
                _ => FrameKind::Output,
            };
            let mut is_held_up = false;
            for client in &mut self.clients {
                if client.role == Role::Attached {
                    client.send(kind, bytes);
                    is_held_up |= client.has_pending();
                }
            }
            if is_held_up {
                break;
            }
        }
        self.publish_log_failure();
    }

    fn publish_log_failure(&mut self) {
        let failure = self.log.as_ref().and_then(super::log_failure);
        // Told when it begins and when it is over; the count of what is lost is the log's.
        if failure.is_some() != self.state.log_failure.is_some() {
            self.state.log_failure = failure;
            self.publish();
        }
    }

    fn attend_client(&mut self, index: usize) {
        let mut buffer = [0; 16 << 10];
        self.clients[index].pass_on();
        self.clients[index].fill(&mut buffer);
        while let Some((kind, content)) = self.clients[index].next() {
            self.take_frame(index, kind, &content);
        }
    }

    fn take_frame(&mut self, index: usize, kind: FrameKind, content: &[u8]) {
        let role = self.clients[index].role;
        match (kind, content) {
            (FrameKind::Request, json) if role == Role::New => self.take_request(index, json),
            (FrameKind::Signal, [number]) if role == Role::Attached => {
                self.take_signal(i32::from(*number));
            }
            _ if role != Role::Attached => self.clients[index].is_gone = true,
            _ => {
                let Some(running) = &mut self.running else {
                    return;
                };
                match (kind, content) {
                    (FrameKind::Input, bytes) => running.streams.give(bytes),
                    (FrameKind::EndOfInput, _) => running.streams.end_input(),
                    (FrameKind::Size, [a, b, c, d]) => running
                        .streams
                        .resize(u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])),
                    _ => self.clients[index].is_gone = true,
                }
            }
        }
    }

    fn take_request(&mut self, index: usize, json: &[u8]) {
        let reply = match serde_json::from_slice::<Envelope>(json) {
            Ok(Envelope { version, request }) if version <= VERSION => {
                self.carry_out(index, request)
            }
            _ => Err(Error::new("the guest's monitor does not know this request")
                .hint("it was started by an older insula: restart the guest")),
        };
        // Those who wait for a stop are answered when it is done.
        match reply {
            Ok(()) if matches!(self.clients[index].role, Role::Stopping { .. }) => {}
            Ok(()) => self.clients[index].reply(&Reply::default()),
            Err(error) => self.clients[index].reply(&Reply::of(&error)),
        }
    }

    fn carry_out(&mut self, index: usize, request: Request) -> Result<()> {
        match request {
            Request::Attach => {
                self.clients[index].role = Role::Attached;
                self.tell("attach", &[]);
            }
            Request::Wait => self.clients[index].role = Role::Waiting,
            Request::Stop {
                signal,
                timeout_ms,
                restart,
            } => {
                self.clients[index].role = Role::Stopping { restarts: restart };
                self.stop(signal, timeout_ms, restart);
            }
            Request::Signal { number } => self.take_signal(number),
            Request::Rename { name } => workspace::rename(&mut self.workspace, &name)?,
            Request::Configure { config } => {
                self.workspace.record.config = *config;
                self.workspace.save()?;
            }
        }
        Ok(())
    }

    fn stop(&mut self, signal: Option<i32>, timeout_ms: Option<u64>, restarts: bool) {
        if !restarts {
            self.wanted = Wanted::Down;
            self.workspace.record.stopped_by_user = true;
        }
        self.again_at = None;
        let number = signal.unwrap_or_else(|| self.stop_signal());
        let is_hard = number == Signal::KILL.as_raw() || timeout_ms == Some(0);
        if let Some(running) = &mut self.running {
            running.is_stopping = true;
            running.deadline =
                timeout_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        }
        if is_hard {
            self.kill();
        } else {
            self.wake();
            self.send_signal(number);
        }
    }

    /// A frozen guest cannot act on a signal.
    fn wake(&self) {
        if let Ok(container) = self.place.runtime().load(self.id()) {
            // It is thawed, or it was not frozen.
            let _ = container.resume();
        }
    }

    /// Ends the guest the hard way.
    fn kill(&mut self) {
        self.send_signal(Signal::KILL.as_raw());
        self.wake();
        if let Some(running) = &mut self.running {
            running.deadline = None;
        }
    }

    fn take_signal(&mut self, number: i32) {
        // Who sends what ends the guest does not want it started again.
        if number == Signal::KILL.as_raw() || number == self.stop_signal() {
            self.wanted = Wanted::Down;
            self.again_at = None;
        }
        if number == Signal::KILL.as_raw() {
            self.kill();
        } else {
            self.send_signal(number);
        }
        self.tell("kill", &[("signal", number.to_string())]);
    }

    /// The command that the guest ends with has ended.
    pub(super) fn end_with_command(&mut self) {
        self.wanted = Wanted::Down;
        self.again_at = None;
        self.send_signal(Signal::KILL.as_raw());
    }

    fn send_signal(&self, number: i32) {
        if let Some(running) = &self.running {
            // Gone already is as good.
            let _ = pidfd_send_signal(running.pidfd.as_fd(), number);
        }
    }

    fn stop_signal(&self) -> i32 {
        let config = &self.workspace.record.config;
        let own = config.stop_signal.as_deref();
        let image = Some(self.facts.stop_signal.as_str()).filter(|text| !text.is_empty());
        let system = self.running.as_ref().filter(|_| self.is_system());
        [own, image]
            .into_iter()
            .flatten()
            .find_map(|text| crate::oci::parse_signal(text).ok())
            .or_else(|| system.map(|running| crate::run::init::stop_signal(running.pid)))
            .unwrap_or(Signal::TERM.as_raw())
    }

    pub(super) fn is_system(&self) -> bool {
        let process = self.running.as_ref().and_then(|it| it.process.as_ref());
        let arguments = process.map_or(&[][..], |process| &process.args);
        crate::run::system::is_meant(self.workspace.record.config.system, arguments)
    }

    /// The program ended and its policy starts it again.
    pub(super) fn start_again(&mut self) {
        self.again_at = None;
        self.state.restarts = self.state.restarts.saturating_add(1);
        self.state.phase = Phase::Starting;
        if let Err(error) = self.run_program() {
            self.note_failed_restart(&error);
        }
    }
}

fn until(due: Instant) -> Timespec {
    let left = due.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}
