//! `exec`: another program in a running container.
//!
//! The runtime joins the container's PID namespace for its children, makes one, and that child
//! joins everything else by the container process's pidfd in a single setns and becomes the
//! program.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use insula_sys::Errno;
use insula_sys::process::{
    CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, Child, block_signals, clone3, exit_now,
    pidfd_send_signal, reset_signals, setns, wait,
};
use insula_sys::rustix::fs::{Mode, OFlags, open, openat};
use insula_sys::rustix::io::write;
use insula_sys::rustix::process::{
    DumpableBehavior, chroot, fchdir, set_dumpable_behavior, setsid,
};
use insula_sys::rustix::thread::{CpuSet, sched_setaffinity};

use crate::attributes::parse_list;
use crate::capability::Sets;
use crate::channel::{Channel, Event, Request};
use crate::container::Container;
use crate::create::{inherited_sockets, preset, write_pid_file};
use crate::error::{Context, Error, Result};
use crate::format::Status;
use crate::init::{become_root, join_keyring, open_label};
use crate::launch::Launch;
use crate::runtime::{Launched, Runtime};
use crate::seccomp::{self, Filter};
use crate::spec::{Linux, Process};
use crate::{attributes, cgroup, foreground, listener, terminal};

/// What `exec` takes besides the process.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    pub process: Process,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub detach: bool,
    pub preserve_fds: u32,
    pub ignore_paused: bool,
    /// The cgroups below the container's own to run in; for a controller the last one counts.
    pub cgroups: Vec<cgroup::Below>,
    pub no_new_keyring: bool,
}

/// What the new process needs.
struct Joiner<'a> {
    options: &'a ExecOptions,
    container: &'a Container,
    linux: &'a Linux,
    target: &'a OwnedFd,
    root: Option<OwnedFd>,
    cgroup: Option<&'a cgroup::Cgroup>,
    filter: Option<&'a Filter>,
    sets: Sets,
    listen_fds: u32,
}

impl Runtime {
    /// Runs a program in a container; returns its exit code, 0 when detached.
    ///
    /// # Errors
    /// When the container does not run, or the program cannot be started.
    pub fn exec(&self, id: &str, options: &ExecOptions) -> Result<i32> {
        let container = self.load_to_exec(id, options)?;
        check_console(options)?;
        container.exec(options)
    }

    /// Starts a program in a container as a child of this process: waiting for it and its terminal
    /// are the caller's.
    ///
    /// # Errors
    /// As for [`Runtime::exec`].
    pub fn exec_child(&self, id: &str, options: &ExecOptions) -> Result<Launched> {
        let container = self.load_to_exec(id, options)?;
        let (child, terminal) = container.begin_exec(options)?;
        Ok(Launched {
            pid: child.pid,
            pidfd: child.pidfd,
            terminal,
        })
    }

    fn load_to_exec(&self, id: &str, options: &ExecOptions) -> Result<Container> {
        crate::launch::protect_program()?;
        let container = self.load(id)?;
        match container.status() {
            Status::Stopped => return Err(Error::new("cannot exec in a stopped container")),
            Status::Creating => return Err(Error::new("cannot exec in a container being created")),
            Status::Paused if !options.ignore_paused => {
                return Err(Error::new("cannot exec in a paused container")
                    .hint("resume it first, or use --ignore-paused"));
            }
            _ => {}
        }
        Ok(container)
    }
}

fn check_console(options: &ExecOptions) -> Result<()> {
    if options.detach && options.process.terminal && options.console_socket.is_none() {
        return Err(Error::new(
            "cannot allocate tty if runc will detach without setting console socket",
        ));
    }
    Ok(())
}

impl Container {
    fn exec(&self, options: &ExecOptions) -> Result<i32> {
        let signals = (!options.detach).then(block_signals).transpose();
        let signals = signals.step(|| "watch for signals")?;
        let (child, terminal) = self.begin_exec(options)?;
        signals.map_or(Ok(0), |signals| {
            foreground::wait(&child.pidfd, &signals, terminal.as_ref())
        })
    }

    fn begin_exec(&self, options: &ExecOptions) -> Result<(Child, Option<OwnedFd>)> {
        let target = self.pidfd()?;
        let spec = self.spec()?;
        let linux = spec.linux.unwrap_or_default();
        let filter = linux.seccomp.as_ref().map(seccomp::compile).transpose()?;
        let cgroup = self.open_cgroup_to_join(&options.cgroups)?;
        let console = options.console_socket.as_deref();
        let console = console.map(terminal::connect_socket).transpose()?;
        let joiner = Joiner {
            options,
            container: self,
            linux: &linux,
            target: &target,
            root: self.open_root()?,
            cgroup: cgroup.as_ref(),
            filter: filter.as_ref(),
            sets: Sets::of(options.process.capabilities.as_ref()),
            listen_fds: inherited_sockets(),
        };
        let (channel, theirs) = Channel::pair()?;
        let child = joiner.spawn(theirs, &channel)?;
        match self.follow(&joiner, &child, &channel, console.as_ref()) {
            Ok(terminal) => Ok((child, terminal)),
            Err(error) => {
                let _ = pidfd_send_signal(child.pidfd.as_fd(), 9);
                let _ = wait(child.pidfd.as_fd());
                Err(error)
            }
        }
    }

    fn open_cgroup_to_join(&self, below: &[cgroup::Below]) -> Result<Option<cgroup::Cgroup>> {
        let Some(location) = &self.record.cgroup else {
            return Ok(None);
        };
        let mut cgroup = location.open()?;
        cgroup
            .open_to_join(below)
            .step(|| "adding pid to the container's cgroup")?;
        if below.is_empty() {
            cgroup.join_beside(self.record.pid)?;
        }
        Ok(Some(cgroup))
    }

    /// Without a mount namespace of its own the container has only a changed root.
    fn open_root(&self) -> Result<Option<OwnedFd>> {
        if self.record.namespaces & CLONE_NEWNS != 0 {
            return Ok(None);
        }
        let path = format!("/proc/{}/root", self.record.pid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(&path, flags, Mode::empty())
            .map(Some)
            .step(|| format!("open {path}"))
    }

    fn follow(
        &self,
        joiner: &Joiner<'_>,
        child: &Child,
        channel: &Channel,
        console: Option<&OwnedFd>,
    ) -> Result<Option<OwnedFd>> {
        let options = joiner.options;
        if let Some(cgroup) = joiner.cgroup
            && joiner.is_mapped()
        {
            cgroup.attach_to_opened(child.pid)?;
        }
        if joiner.is_mapped() {
            channel.send_go(child.pid)?;
        }
        if let Some(value) = options.process.oom_score_adj {
            let path = format!("/proc/{}/oom_score_adj", child.pid);
            std::fs::write(&path, value.to_string())
                .step(|| format!("process.oomScoreAdj: write {value} to {path}"))?;
        }
        write_pid_file(options.pid_file.as_deref(), child.pid)?;
        let mut terminal = None;
        loop {
            match channel.receive()? {
                Event::Ready => {
                    preset(child.pid, &options.process)?;
                    channel.send_go(child.pid)?;
                }
                Event::Terminal(fd) => match console {
                    Some(socket) => terminal::send_descriptor(socket, "/dev/ptmx", fd.as_fd())?,
                    None => terminal = Some(fd),
                },
                Event::Listener(number) => {
                    let config = joiner.linux.seccomp.as_ref();
                    listener::hand_over(config, &child.pidfd, number, &self.record)?;
                    channel.send_go(child.pid)?;
                }
                Event::Warning(warning) => crate::warn(&warning),
                Event::Failed(error) => return Err(error),
                Event::End => break,
                event => return Err(Error::new(format!("unexpected message at exec: {event:?}"))),
            }
        }
        if let Some(path) = &options.pidfd_socket {
            let socket = terminal::connect_socket(path)?;
            terminal::send_descriptor(&socket, "pidfd", child.pidfd.as_fd())?;
        }
        Ok(terminal)
    }
}

impl Joiner<'_> {
    fn is_mapped(&self) -> bool {
        self.container.record.namespaces & CLONE_NEWUSER != 0
    }

    fn spawn(&self, channel: Channel, runtime_end: &Channel) -> Result<Child> {
        let joined = self.join_before_clone()?;
        let into = self.cgroup.and_then(cgroup::Cgroup::clone_into);
        let made = match clone3(0, into, || self.main(&channel, runtime_end, joined, None)) {
            // The pids controller counts who is born in the cgroup, but lets in who comes by
            // itself: a container at its limit can still be looked into.
            Err(Errno::AGAIN) if into.is_some() => {
                clone3(0, None, || self.main(&channel, runtime_end, joined, into))
            }
            other => other,
        };
        made.step(|| "make the process (clone3)")
    }

    /// Joins the pid namespace, which holds for children only; returns the namespaces that the
    /// child is in by then. An ordinary user may do it from inside of the user namespace only.
    fn join_before_clone(&self) -> Result<u64> {
        if self.container.record.namespaces & CLONE_NEWPID == 0 {
            return Ok(0);
        }
        let mut joined = CLONE_NEWPID;
        let mut result = setns(self.target.as_fd(), joined);
        if result == Err(Errno::PERM) && self.is_mapped() {
            joined |= CLONE_NEWUSER;
            result = setns(self.target.as_fd(), joined);
        }
        result.step(|| "join the container's pid namespace")?;
        Ok(joined)
    }

    /// `outside_of` is the version 2 cgroup that the process was not born in.
    fn main(
        &self,
        channel: &Channel,
        runtime_end: &Channel,
        joined: u64,
        outside_of: Option<BorrowedFd<'_>>,
    ) -> Infallible {
        runtime_end.close_copy();
        let error = match self.set_up(channel, joined, outside_of) {
            Ok(()) => self.launch(channel),
            Err(error) => error,
        };
        channel.send_error(&error);
        exit_now(1)
    }

    fn set_up(
        &self,
        channel: &Channel,
        joined: u64,
        outside_of: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let process = &self.options.process;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "protect the own memory")?;
        reset_signals();
        self.set_affinity(false)?;
        if self.is_mapped() {
            channel.wait_go()?;
        } else {
            self.enter_cgroup(outside_of)?;
        }
        self.set_affinity(true)?;
        let label = open_label(process)?;
        setns(
            self.target.as_fd(),
            self.container.record.namespaces & !joined,
        )
        .step(|| "join the container's namespaces")?;
        if let Some(root) = &self.root {
            fchdir(root)
                .and_then(|()| chroot("."))
                .step(|| "enter the container's root")?;
        }
        if self.is_mapped() {
            become_root(false)?;
        }
        setsid().step(|| "start a session")?;
        if process.terminal {
            let pair = terminal::Pair::open(process, self.options.console_socket.is_none())?;
            channel.send_terminal(pair.controlling.as_fd())?;
            terminal::adopt(&pair.terminal)?;
        }
        if !self.options.no_new_keyring {
            join_keyring(&format!("_ses.{}", self.container.record.id))?;
        }
        if self.is_mapped() {
            channel.send(Request::Ready)?;
            channel.wait_go()?;
        }
        if let Some((file, text)) = label {
            write(&file, text.as_bytes()).step(|| format!("set the label {text:?}"))?;
        }
        terminal::give_streams_to(process.user.uid)
    }

    fn enter_cgroup(&self, outside_of: Option<BorrowedFd<'_>>) -> Result<()> {
        let step = || "enter the container's cgroup";
        if let Some(directory) = outside_of {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = openat(directory, "cgroup.procs", flags, Mode::empty()).step(step)?;
            write(&file, b"0").step(step)?;
        }
        for file in self.cgroup.iter().flat_map(|cgroup| cgroup.join_files()) {
            write(file, b"0").step(step)?;
        }
        Ok(())
    }

    /// `process.execCPUAffinity`: one list before, one after the move into the cgroup.
    fn set_affinity(&self, is_moved: bool) -> Result<()> {
        let Some(affinity) = &self.options.process.exec_cpu_affinity else {
            if !is_moved {
                attributes::forget_affinity();
            }
            return Ok(());
        };
        let (field, list) = if is_moved {
            ("final", &affinity.after_move)
        } else {
            ("initial", &affinity.initial)
        };
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else {
            return Ok(());
        };
        let step = || format!("process.execCPUAffinity.{field}: {list:?}");
        let mask = parse_list(list).ok_or_else(|| Error::new(step()))?;
        let mut cpus = CpuSet::new();
        for number in (0..mask.len() * 64).filter(|n| mask[n / 64] & (1 << (n % 64)) != 0) {
            if number < CpuSet::MAX_CPU {
                cpus.set(number);
            }
        }
        sched_setaffinity(None, &cpus).step(step)?;
        crate::debug(|| {
            let digits: String = mask
                .iter()
                .rev()
                .map(|word| format!("{word:016x}"))
                .collect();
            format!("{field} CPU affinity: 0x{}", digits.trim_start_matches('0'))
        });
        Ok(())
    }

    fn launch(&self, channel: &Channel) -> Error {
        let launch = Launch {
            process: &self.options.process,
            sets: self.sets,
            filter: self.filter,
            memory_policy: self.linux.memory_policy.as_ref(),
            personality: self.linux.personality.as_ref(),
            preserved_fds: self.options.preserve_fds,
            is_preset: self.is_mapped(),
            keeps_groups: false,
            listen_fds: self.listen_fds,
        };
        launch.run(channel)
    }
}
