//! The container process, from clone3 to the user's program.
//!
//! One process does it all: it makes its namespaces, joins others, enters its cgroup, builds
//! and enters its root, waits for `start` where asked to, and becomes the program
//! (`launch.rs`). Whatever fails is told to the runtime over the channel.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use insula_sys::Errno;
use insula_sys::descriptor::close_copies_but;
use insula_sys::process::{CLONE_NEWCGROUP, block_signals, exit_now, reset_signals, unshare};
use insula_sys::rustix::event::{PollFd, PollFlags, poll};
use insula_sys::rustix::fs::{Mode, OFlags, open};
use insula_sys::rustix::io::write;
use insula_sys::rustix::net::{SocketFlags, accept_with};
use insula_sys::rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, setsid};
use insula_sys::rustix::system::{setdomainname, sethostname};
use insula_sys::rustix::thread::{
    Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::capability::Sets;
use crate::channel::{Channel, Request};
use crate::error::{Context, Error, Result};
use crate::format::{Record, Status};
use crate::hook;
use crate::launch::Launch;
use crate::namespace::{Joined, Namespaces};
use crate::rootfs::Prepared;
use crate::seccomp::Filter;
use crate::spec::{Hooks, Linux, NamespaceKind, Process, Spec};
use crate::{attributes, terminal};

/// Engines ask with it to leave the groups of the runtime's caller to the program.
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// Everything the container process needs, made ready by the runtime before it exists.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) hooks: &'a Hooks,
    pub(crate) record: &'a Record,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) rootfs: &'a Prepared,
    /// `CLONE_NEW*` flags of the namespaces that it was not born with.
    pub(crate) makes_namespaces: u64,
    /// Whether this process enters its cgroup itself, once the runtime has made it.
    pub(crate) joins_cgroup: bool,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) sets: Sets,
    /// Where to wait for `start`; none for `run`.
    pub(crate) start_socket: Option<&'a OwnedFd>,
    /// The runtime has something to do between the set-up and the program.
    pub(crate) announce: bool,
    /// Whether the runtime puts this process into its cgroup.
    pub(crate) waits_for_cgroup: bool,
    /// The namespaces to join were joined by the process that made this one.
    pub(crate) is_joined: bool,
    /// The lock of the container's directory, which only the runtime is to hold.
    pub(crate) directory: &'a OwnedFd,
    /// Whether the runtime carries the terminal's output itself.
    pub(crate) relays_terminal: bool,
    pub(crate) keyring: bool,
    pub(crate) preserved_fds: u32,
    pub(crate) listen_fds: u32,
}

impl Init<'_> {
    /// Runs the container process. `runtime_end` is the runtime's side of the channel, which this
    /// process got a copy of: closed first, so that the runtime's death can be noticed.
    pub(crate) fn main(&self, mut channel: Channel, runtime_end: &Channel) -> Infallible {
        runtime_end.close_copy();
        insula_sys::descriptor::close_copy(self.directory.as_fd());
        let error = match self.set_up(&mut channel) {
            Ok(process) => self.launch(process, &channel),
            Err(error) => error,
        };
        channel.send_error(&error);
        exit_now(1)
    }

    fn set_up(&self, channel: &mut Channel) -> Result<&Process> {
        let is_mapped = self.namespaces.is_own(NamespaceKind::User);
        let mut pid = 0;
        if is_mapped || self.waits_for_cgroup {
            pid = channel.wait_go()?;
        }
        if is_mapped {
            become_root(self.keeps_groups())?;
        }
        // Nobody who shares a namespace with this process may look into it before it is the
        // user's program: it holds the host's descriptors.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "protect the own memory")?;
        reset_signals();
        attributes::forget_affinity();
        self.enter_namespaces()?;
        setsid().step(|| "start a session")?;
        self.set_names()?;
        let label = self.open_label()?;
        self.enter_cgroup(channel)?;
        self.rootfs.build_asking(&|index, tree| {
            channel.send_to_map(index, tree.as_fd())?;
            channel.wait_go().map(drop)
        })?;
        if !self.hooks.prestart.is_empty() || !self.hooks.create_runtime.is_empty() {
            channel.send(Request::Hooks)?;
            pid = channel.wait_go()?;
        }
        if !self.hooks.create_container.is_empty() && pid == 0 {
            channel.send(Request::Pid)?;
            pid = channel.wait_go()?;
        }
        self.run_hooks(
            "createContainer",
            &self.hooks.create_container,
            Status::Creating,
            pid,
        )?;
        self.rootfs.pivot()?;
        self.open_terminal(channel)?;
        self.rootfs.finish()?;
        if self.keyring {
            self.join_keyring()?;
        }
        if self.announce {
            self.find_program_early()?;
            self.close_all_but(channel, label.as_ref().map(|(file, _)| file))?;
            channel.send(Request::Ready)?;
        }
        pid = channel.wait_go()?;
        let process = self.wait_for_start(channel)?;
        self.run_hooks(
            "startContainer",
            &self.hooks.start_container,
            Status::Created,
            pid,
        )?;
        if let Some((file, text)) = label {
            write(&file, text.as_bytes()).step(|| format!("set the label {text:?}"))?;
        }
        terminal::give_streams_to(process.user.uid)?;
        Ok(process)
    }

    /// A created container may wait for long: until then it holds nothing of the host's that can be
    /// reached through its `/proc/1/fd`, and not what the runtime's caller had open.
    fn close_all_but(&self, channel: &Channel, label: Option<&OwnedFd>) -> Result<()> {
        let own = [
            Some(channel.as_fd()),
            self.start_socket.map(OwnedFd::as_fd),
            label.map(OwnedFd::as_fd),
        ];
        let passed_on = 3_i32..3_i32.saturating_add_unsigned(self.preserved_fds + self.listen_fds);
        let own = own.iter().flatten().map(AsRawFd::as_raw_fd);
        let mut kept: Vec<_> = own.chain(passed_on).collect();
        close_copies_but(&mut kept).step(|| "close what the container is not to have")
    }

    /// A program that is not in the image is told at `create`, as other runtimes do: podman and
    /// containerd tell 127 (not found) from other failures only there. What depends on the user,
    /// the working directory or `startContainer` hooks is left to the start.
    fn find_program_early(&self) -> Result<()> {
        match &self.spec.process {
            Some(process) if self.hooks.start_container.is_empty() => {
                crate::launch::check_program(process)
            }
            _ => Ok(()),
        }
    }

    fn enter_namespaces(&self) -> Result<()> {
        if self.makes_namespaces != 0 {
            unshare(self.makes_namespaces).step(|| "make the namespaces (unshare)")?;
        }
        if !self.is_joined {
            self.namespaces.joined.iter().try_for_each(Joined::enter)?;
        }
        if self.namespaces.is_new(NamespaceKind::Network) {
            insula_sys::interface::bring_loopback_up()
                .step(|| "bring the loopback interface up")?;
        }
        Ok(())
    }

    /// The cgroup namespace shows the cgroup in which it was made as its root.
    fn enter_cgroup(&self, channel: &Channel) -> Result<()> {
        if self.joins_cgroup {
            for file in channel.wait_cgroup()? {
                write(file, b"0").step(|| "enter the cgroup")?;
            }
        }
        if self.namespaces.is_new(NamespaceKind::Cgroup) {
            unshare(CLONE_NEWCGROUP).step(|| "make the cgroup namespace")?;
        }
        Ok(())
    }

    fn set_names(&self) -> Result<()> {
        if let Some(name) = self
            .spec
            .hostname
            .as_deref()
            .filter(|name| !name.is_empty())
        {
            sethostname(name.as_bytes()).step(|| format!("hostname: set {name:?}"))?;
        }
        if let Some(name) = self
            .spec
            .domainname
            .as_deref()
            .filter(|name| !name.is_empty())
        {
            setdomainname(name.as_bytes()).step(|| format!("domainname: set {name:?}"))?;
        }
        Ok(())
    }

    /// Opens the file that takes the label for the next exec, while the host's `/proc` is still
    /// in reach: the container's own may be absent or a trap.
    fn open_label(&self) -> Result<Option<(OwnedFd, String)>> {
        let Some(process) = &self.spec.process else {
            return Ok(None);
        };
        open_label(process)
    }

    fn run_hooks(
        &self,
        kind: &str,
        hooks: &[crate::spec::Hook],
        status: Status,
        pid: i32,
    ) -> Result<()> {
        if hooks.is_empty() {
            return Ok(());
        }
        let record = Record {
            pid,
            ..self.record.clone()
        };
        let kept = self.preserved_fds.saturating_add(self.listen_fds);
        // Inside the container, what a hook does not say is as for the program.
        let process = self.spec.process.as_ref();
        let environment = process
            .filter(|_| kind == "startContainer")
            .map(crate::launch::environment)
            .transpose()?;
        let state = record.state(status);
        hook::run_keeping(kept, kind, hooks, &state, environment.as_deref())
    }

    fn open_terminal(&self, channel: &Channel) -> Result<()> {
        let Some(process) = self
            .spec
            .process
            .as_ref()
            .filter(|process| process.terminal)
        else {
            return Ok(());
        };
        let pair = terminal::Pair::open(process, self.relays_terminal)?;
        self.rootfs.mount_console(&pair.terminal)?;
        channel.send_terminal(pair.controlling.as_fd())?;
        terminal::adopt(&pair.terminal)
    }

    fn join_keyring(&self) -> Result<()> {
        let name = format!("_ses.{}", self.record.id);
        join_keyring(&name)
    }

    /// Waits until `start` connects, and goes on talking to it instead of to `create`.
    fn wait_for_start(&self, channel: &mut Channel) -> Result<&Process> {
        if let Some(socket) = self.start_socket {
            *channel = Channel::new(accept_or_die(socket).step(|| "wait for start")?);
        }
        let process = self.spec.process.as_ref();
        process.ok_or_else(|| {
            Error::new("process: config.json has none, so there is nothing to start")
        })
    }

    /// `--group-add keep-groups` of podman: access by groups that have no name in the container.
    fn keeps_groups(&self) -> bool {
        self.spec
            .annotations
            .get(KEEP_GROUPS)
            .is_some_and(|value| value == "1")
    }

    fn launch(&self, process: &Process, channel: &Channel) -> Error {
        let launch = Launch {
            process,
            sets: self.sets,
            filter: self.filter,
            memory_policy: self.linux.memory_policy.as_ref(),
            personality: self.linux.personality.as_ref(),
            preserved_fds: self.preserved_fds,
            is_preset: self.namespaces.is_own(NamespaceKind::User),
            keeps_groups: self.keeps_groups(),
            listen_fds: self.listen_fds,
        };
        launch.run(channel)
    }
}

/// Waits for `start`. A signal that would end a program ends the container: the kernel keeps those
/// from the first process of a pid namespace unless they are waited for (pid_namespaces(7)).
fn accept_or_die(socket: &OwnedFd) -> insula_sys::Result<OwnedFd> {
    const HARMLESS: [Signal; 8] = [
        Signal::CHILD,
        Signal::CONT,
        Signal::URG,
        Signal::WINCH,
        Signal::STOP,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
    ];
    let signals = block_signals()?;
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let is_asked = !fds[0].revents().is_empty();
        while let Some(number) = signals.read()? {
            if !HARMLESS.iter().any(|signal| signal.as_raw() == number) {
                exit_now(128 + number);
            }
        }
        if is_asked {
            let connection = accept_with(socket, SocketFlags::CLOEXEC)?;
            reset_signals();
            return Ok(connection);
        }
    }
}

/// In a fresh user namespace a process has no identity that is mapped until it takes one.
pub(crate) fn become_root(keeps_groups: bool) -> Result<()> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    let dropped = if keeps_groups {
        Ok(())
    } else {
        set_thread_groups(&[])
    };
    match dropped {
        // Where setgroups is denied the groups stay, unmapped and so of no use.
        Ok(()) | Err(Errno::PERM) => {}
        other => other.step(|| "drop the groups of the host")?,
    }
    match set_thread_res_gid(gid, gid, gid).and_then(|()| set_thread_res_uid(uid, uid, uid)) {
        // Without a mapping for 0 the process keeps the overflow id and all capabilities.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        other => other.step(|| "become root of the user namespace"),
    }
}

/// The file for an AppArmor profile or SELinux label, and what to write to it before exec.
pub(crate) fn open_label(process: &Process) -> Result<Option<(OwnedFd, String)>> {
    let apparmor = process
        .apparmor_profile
        .as_deref()
        .filter(|name| !name.is_empty());
    let selinux = process
        .selinux_label
        .as_deref()
        .filter(|label| !label.is_empty());
    let (field, paths, text): (_, &[&str], _) = match (apparmor, selinux) {
        (Some(profile), _) => (
            "process.apparmorProfile",
            &[
                "/proc/thread-self/attr/apparmor/exec",
                "/proc/thread-self/attr/exec",
            ],
            format!("exec {profile}"),
        ),
        (None, Some(label)) => (
            "process.selinuxLabel",
            &["/proc/thread-self/attr/exec"],
            label.to_owned(),
        ),
        (None, None) => return Ok(None),
    };
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = paths
        .iter()
        .find_map(|path| open(*path, flags, Mode::empty()).ok());
    match file {
        Some(file) => Ok(Some((file, text))),
        None => Err(Error::new(format!(
            "{field}: this kernel runs without that security module"
        ))
        .hint("remove the field from config.json, or boot the host with the module enabled")),
    }
}

/// A session keyring of the container's own, so that it cannot see the runtime's keys.
pub(crate) fn join_keyring(name: &str) -> Result<()> {
    let name = std::ffi::CString::new(name).step(|| "name the session keyring")?;
    match insula_sys::scheduling::join_session_keyring(&name) {
        // No keys in this kernel, or keyctl is forbidden to us: nothing to be protected from.
        Ok(()) | Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        other => other.step(|| "join a session keyring").map_err(|error| {
            error.hint("the quota of keys is used up: see /proc/key-users, or use --no-new-keyring")
        }),
    }
}
