//! `create` and `run`, the runtime's half: from a configuration to a container process.
//!
//! ```text
//!  read and check the configuration        nothing exists yet
//!  directory + record (phase creating)     from here on a killed command can be cleaned up after
//!  cgroup (version 2), start socket
//!  clone3                                  init.rs takes over in the container process
//!  cgroups (version 1), limits             while it makes its namespaces
//!  record (phase created | running)
//!  serve the container process's requests: hooks, terminal, limits
//! ```
//!
//! All that can fail by the configuration alone fails before anything is made.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use insula_sys::process::{
    CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER,
    CLONE_NEWUTS, CLONE_PARENT, Child, SignalFd, block_signals, clone3, exit_now,
    pidfd_send_signal, unshare, wait,
};
use insula_sys::rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use insula_sys::rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, geteuid, getrlimit, getuid, pidfd_open, prlimit,
};

use crate::capability::Sets;
use crate::cgroup::{self, Cgroup};
use crate::channel::{Channel, Event};
use crate::error::{Context, Error, Result};
use crate::format::{Phase, Record, START_SOCKET, Status, VERSION};
use crate::init::Init;
use crate::namespace::Namespaces;
use crate::rootfs::{Prepared, RootfsOptions};
use crate::runtime::{CreateOptions, Launched, Runtime, Source};
use crate::seccomp::Filter;
use crate::spec::{Hooks, Linux, NamespaceKind, Process, Spec};
use crate::store::{Directory, check_id, process_stat};
use crate::{
    attributes, foreground, hook, intel_rdt, listener, net_device, seccomp, spec, terminal,
};

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Create,
    Run {
        is_detached: bool,
        is_kept: bool,
    },
    /// As a detached run, but what the caller gets of the process it watches itself.
    Launch,
}

/// What only clone3 can give.
const BORN_WITH: u64 = CLONE_NEWPID | CLONE_NEWUSER;
/// What the container process makes by itself, which takes the kernel as long as the runtime takes
/// for the cgroups.
const MADE_LATER: u64 = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;

/// Everything known before the first kernel object is made.
struct Plan<'a> {
    options: &'a CreateOptions,
    spec: &'a Spec,
    json: &'a [u8],
    linux: &'a Linux,
    hooks: &'a Hooks,
    namespaces: Namespaces,
    rootfs: Prepared,
    location: cgroup::Location,
    group: Option<intel_rdt::Group>,
    filter: Option<Filter>,
    sets: Sets,
    console: Option<OwnedFd>,
    listen_fds: u32,
    mode: Mode,
    bundle: PathBuf,
}

/// A container process and what the runtime holds of it.
struct Started {
    child: Child,
    channel: Channel,
    terminal: Option<OwnedFd>,
}

impl Started {
    /// Ends the container process, if it has not ended yet.
    fn end(&self) {
        let _ = pidfd_send_signal(self.child.pidfd.as_fd(), 9);
        let _ = wait(self.child.pidfd.as_fd());
    }
}

impl Runtime {
    /// Creates a container that waits for [`Runtime::start`].
    ///
    /// # Errors
    /// Names the field of the configuration or the step that failed; nothing is left behind.
    pub fn create(&self, options: &CreateOptions) -> Result<()> {
        self.make(options, Mode::Create).map(drop)
    }

    /// Creates and starts a container and, unless detached, waits for its end and deletes it.
    /// Returns the exit code of its program, 0 when detached.
    ///
    /// # Errors
    /// As for [`Runtime::create`].
    pub fn run(&self, options: &CreateOptions, is_detached: bool, is_kept: bool) -> Result<i32> {
        let mode = Mode::Run {
            is_detached,
            is_kept,
        };
        self.make(options, mode).map(|(code, _)| code)
    }

    /// Creates and starts a container whose program is a child of this process: waiting for it, its
    /// terminal and [`Runtime::delete`] are the caller's.
    ///
    /// # Errors
    /// As for [`Runtime::create`].
    pub fn launch(&self, options: &CreateOptions) -> Result<Launched> {
        let (_, started) = self.make(options, Mode::Launch)?;
        Ok(Launched {
            pid: started.child.pid,
            pidfd: started.child.pidfd,
            terminal: started.terminal,
        })
    }

    fn make(&self, options: &CreateOptions, mode: Mode) -> Result<(i32, Started)> {
        check_id(&options.id)?;
        crate::launch::protect_program()?;
        let (mut spec, json) = read_source(&options.source)?;
        if let Some(linux) = &mut spec.linux {
            crate::user_namespace::fill_in_maps(linux)?;
        }
        let (linux, hooks) = (Linux::default(), Hooks::default());
        let plan = Plan::new(
            self,
            options,
            (&spec, &json),
            (
                spec.linux.as_ref().unwrap_or(&linux),
                spec.hooks.as_ref().unwrap_or(&hooks),
            ),
            mode,
        )?;
        let directory = Directory::create(&self.root, &options.id)?;
        let mut record = plan.record();
        let result = plan.carry_out(&directory, &mut record);
        if result.is_err()
            || matches!(
                mode,
                Mode::Run {
                    is_detached: false,
                    is_kept: false
                }
            )
        {
            let container = crate::container::Container { directory, record };
            let destroyed = container.destroy();
            let state = container.record.state(Status::Stopped);
            for failure in hook::run_all("poststop", &container.record.poststop, &state) {
                crate::warn(&failure);
            }
            // The first failure is the one to tell.
            result.and_then(|made| destroyed.map(|()| made))
        } else {
            result
        }
    }
}

fn read_source(source: &Source) -> Result<(Spec, Vec<u8>)> {
    match source {
        Source::Memory(spec) => {
            let json = serde_json::to_vec(spec).step(|| "write the configuration")?;
            Ok((spec.as_ref().clone(), json))
        }
        Source::File(path) => {
            let json = fs::read(path)
                .step(|| format!("read {}", path.display()))
                .map_err(|error| {
                    error.hint("a bundle is a directory with config.json and a root file system")
                })?;
            let spec = spec::parse(&json).step(|| format!("{}", path.display()))?;
            Ok((spec, json))
        }
    }
}

impl<'a> Plan<'a> {
    fn new(
        runtime: &Runtime,
        options: &'a CreateOptions,
        (spec, json): (&'a Spec, &'a [u8]),
        (linux, hooks): (&'a Linux, &'a Hooks),
        mode: Mode,
    ) -> Result<Self> {
        if spec.process.is_none() && mode != Mode::Create {
            return Err(Error::new("process: required to start a container"));
        }
        check_console(options, spec.process.as_ref(), mode)?;
        let listen_fds = inherited_sockets();
        let namespaces = Namespaces::of(linux)?;
        let location = cgroup::locate(&cgroup::Request {
            id: &options.id,
            cgroups_path: linux.cgroups_path.as_deref(),
            manager: runtime.manager,
            rootless: runtime.rootless || !geteuid().is_root(),
        })?;
        let filter = linux.seccomp.as_ref().map(seccomp::compile).transpose()?;
        let bundle = absolute(&options.bundle);
        let rootfs = Prepared::new(
            spec,
            &bundle,
            &RootfsOptions {
                no_pivot: options.no_pivot,
                has_mount_namespace: namespaces.is_own(NamespaceKind::Mount),
                has_user_namespace: namespaces.is_own(NamespaceKind::User),
                has_cgroup_namespace: namespaces.is_own(NamespaceKind::Cgroup),
                has_network_namespace: namespaces.is_own(NamespaceKind::Network),
                has_pid_namespace: namespaces.is_own(NamespaceKind::Pid),
                cgroup: &location,
                overlay: options.overlay.clone(),
            },
        )?;
        let sets = Sets::of(
            spec.process
                .as_ref()
                .and_then(|process| process.capabilities.as_ref()),
        );
        Ok(Self {
            options,
            spec,
            json,
            linux,
            hooks,
            rootfs,
            group: linux
                .intel_rdt
                .as_ref()
                .map(|config| intel_rdt::Group::locate(config, &options.id))
                .transpose()?,
            location,
            filter,
            sets,
            console: options
                .console_socket
                .as_deref()
                .map(terminal::connect_socket)
                .transpose()?,
            namespaces,
            listen_fds,
            mode,
            bundle,
        })
    }

    fn record(&self) -> Record {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let root = self.spec.root.as_ref().map(|root| root.path.as_path());
        let own_group = self.group.as_ref().filter(|group| group.is_own);
        Record {
            version: VERSION,
            id: self.options.id.clone(),
            oci_version: self.spec.oci_version.clone(),
            phase: Phase::Creating,
            pid: 0,
            pid_start: 0,
            created: (now.as_secs(), now.subsec_nanos()),
            rootfs: self
                .bundle
                .join(root.unwrap_or_else(|| Path::new("rootfs"))),
            bundle: self.bundle.clone(),
            owner: getuid().as_raw(),
            namespaces: self.namespaces.own_flags(),
            terminal: self
                .spec
                .process
                .as_ref()
                .is_some_and(|process| process.terminal),
            cgroup: Some(self.location.clone()),
            intel_rdt: own_group.map(|group| group.path().to_owned()),
            poststart: self.hooks.poststart.clone(),
            poststop: self.hooks.poststop.clone(),
            annotations: self.spec.annotations.clone(),
        }
    }

    fn carry_out(&self, directory: &Directory, record: &mut Record) -> Result<(i32, Started)> {
        directory.write_record(record, self.json)?;
        let owner = self.root_in_namespace();
        let settings = cgroup::Settings {
            resources: self.linux.resources.as_ref(),
            owner,
        };
        // Nothing of a failed attempt stays: what is there belongs to others, and is not ours to
        // clean up.
        let making = (!self.location.needs_process())
            .then(|| self.location.begin(&settings))
            .transpose()
            .inspect_err(|_| record.cgroup = None)?;
        let start_socket = (self.mode == Mode::Create)
            .then(|| make_start_socket(directory))
            .transpose()?;
        let signals = matches!(
            self.mode,
            Mode::Run {
                is_detached: false,
                ..
            }
        )
        .then(block_signals)
        .transpose()
        .step(|| "watch for signals")?;
        let begun = making.as_ref().map(cgroup::Making::cgroup);
        let mut started = match self.spawn(directory, record, begun, start_socket.as_ref()) {
            Ok(started) => started,
            Err(error) => {
                making.into_iter().for_each(cgroup::Making::undo);
                return Err(error);
            }
        };
        drop(start_socket);
        let cgroup = self.complete_cgroup(making, &settings, &started, record)?;
        let result = self.follow(directory, record, &cgroup, &mut started, signals.as_ref());
        match result {
            Ok(code) => Ok((code, started)),
            Err(error) => {
                started.end();
                Err(error)
            }
        }
    }

    /// What of the cgroup is made while the container process gets on with its namespaces. A cgroup
    /// that begins with a process in it is made around ours, which waits for it.
    fn complete_cgroup(
        &self,
        making: Option<cgroup::Making<'_>>,
        settings: &cgroup::Settings<'_>,
        started: &Started,
        record: &mut Record,
    ) -> Result<Cgroup> {
        let Some(mut making) = making else {
            return self
                .enter_scope(settings, started)
                .inspect_err(|_| started.end());
        };
        let pid = started.child.pid;
        let completed = making.complete().and_then(|()| {
            if self.namespaces.is_own(NamespaceKind::User) {
                return making.cgroup().attach(pid);
            }
            started.channel.send_cgroup(making.cgroup().join_files())
        });
        if let Err(error) = completed {
            // Dead or not, it must be gone before its cgroup can be removed.
            started.end();
            making.undo();
            record.cgroup = None;
            return Err(error);
        }
        let mut cgroup = making.into_cgroup();
        // Now, while this process has time: what got it here is not needed any more.
        cgroup.close_join_files();
        insula_sys::process::release_program_pages();
        Ok(cgroup)
    }

    fn enter_scope(&self, settings: &cgroup::Settings<'_>, started: &Started) -> Result<Cgroup> {
        let process = cgroup::FirstProcess {
            pid: started.child.pid,
            annotations: &self.spec.annotations,
        };
        let cgroup = self.location.create_around(settings, &process)?;
        // In a user namespace it goes on when its identities are mapped.
        if !self.namespaces.is_own(NamespaceKind::User) {
            started.channel.send_go(started.child.pid)?;
        }
        Ok(cgroup)
    }

    /// Whether the container process says that it is ready and waits for the answer. Otherwise it
    /// finds the answer waiting, which saves a switch to the runtime and back; but then nothing
    /// else may be asked before.
    fn is_announced(&self) -> bool {
        let hooks = &self.hooks;
        let has_hooks = [
            &hooks.prestart,
            &hooks.create_runtime,
            &hooks.create_container,
        ]
        .iter()
        .any(|hooks| !hooks.is_empty());
        self.mode == Mode::Create || has_hooks || self.namespaces.is_own(NamespaceKind::User)
    }

    /// The host's user id of the container's root, where it has a user namespace of its own.
    fn root_in_namespace(&self) -> Option<u32> {
        let mappings = &self.linux.uid_mappings;
        let root = mappings.iter().find(|mapping| mapping.container_id == 0);
        root.filter(|_| self.namespaces.is_new(NamespaceKind::User))
            .map(|root| root.host_id)
    }

    /// The flags for clone3. Devices are moved into a network namespace that is there.
    fn born_with(&self) -> u64 {
        if self.linux.net_devices.is_empty() {
            BORN_WITH
        } else {
            BORN_WITH | CLONE_NEWNET
        }
    }

    fn spawn(
        &self,
        directory: &Directory,
        record: &Record,
        cgroup: Option<&Cgroup>,
        start_socket: Option<&OwnedFd>,
    ) -> Result<Started> {
        let (ours, theirs) = Channel::pair()?;
        let is_mapped = self.namespaces.is_own(NamespaceKind::User);
        let join = |kind| self.namespaces.join(kind).is_some();
        let needs_parent = join(NamespaceKind::User)
            || join(NamespaceKind::Pid)
            || self.namespaces.is_own(NamespaceKind::Time);
        let init = Init {
            spec: self.spec,
            linux: self.linux,
            hooks: self.hooks,
            record,
            namespaces: &self.namespaces,
            rootfs: &self.rootfs,
            // In a user namespace of its own the runtime puts it in.
            makes_namespaces: self.namespaces.new & MADE_LATER & !self.born_with(),
            joins_cgroup: cgroup.is_some() && !is_mapped,
            filter: self.filter.as_ref(),
            sets: self.sets,
            start_socket,
            announce: self.is_announced(),
            is_joined: needs_parent,
            waits_for_cgroup: self.location.needs_process(),
            directory: &directory.fd,
            relays_terminal: self.console.is_none(),
            keyring: !self.options.no_new_keyring,
            preserved_fds: self.options.preserve_fds,
            listen_fds: self.listen_fds,
        };
        let flags = self.namespaces.new & self.born_with();
        let step = || "make the container process (clone3)";
        let into = cgroup.and_then(Cgroup::clone_into);
        let child = if needs_parent {
            self.spawn_by_parent(flags, into, &ours, || init.main(theirs, &ours))?
        } else {
            clone3(flags, into, || init.main(theirs, &ours)).step(step)?
        };
        Ok(Started {
            child,
            channel: ours,
            terminal: None,
        })
    }

    /// Some namespaces can only be given to children: a process in between takes them on, makes
    /// the container process as its sibling, and ends. So the runtime itself stays where it is.
    fn spawn_by_parent(
        &self,
        flags: u64,
        into: Option<std::os::fd::BorrowedFd<'_>>,
        runtime_end: &Channel,
        main: impl FnOnce() -> std::convert::Infallible,
    ) -> Result<Child> {
        let (ours, theirs) = Channel::pair()?;
        let middle = clone3(0, None, || {
            let made = self.take_on_namespaces().and_then(|()| {
                clone3(flags | CLONE_PARENT, into, || {
                    theirs.close_copy();
                    main()
                })
                .step(|| "make the container process (clone3)")
            });
            match made.and_then(|child| theirs.send_go(child.pid)) {
                Ok(()) => exit_now(0),
                Err(error) => {
                    theirs.send_error(&error);
                    exit_now(1)
                }
            }
        })
        .step(|| "make the process between runtime and container (clone3)")?;
        drop(theirs);
        let answer = ours.wait_pid_or_error();
        wait(middle.pidfd.as_fd()).step(|| "wait for the process between")?;
        let pid = answer?;
        let _ = runtime_end;
        let raw =
            Pid::from_raw(pid).ok_or_else(|| Error::new("the container process has no id"))?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).step(|| "open the container process")?;
        Ok(Child { pid, pidfd })
    }

    fn take_on_namespaces(&self) -> Result<()> {
        if self.namespaces.is_new(NamespaceKind::Time) {
            unshare(CLONE_NEWTIME).step(|| "make the time namespace")?;
            crate::user_namespace::write_time_offsets(self.linux)?;
        }
        let is_user = |joined: &&crate::namespace::Joined| joined.kind == NamespaceKind::User;
        // The user namespace last: after it the host's privileges over the others are gone.
        for joined in self
            .namespaces
            .joined
            .iter()
            .filter(|joined| !is_user(joined))
        {
            joined.enter()?;
        }
        self.namespaces
            .joined
            .iter()
            .filter(is_user)
            .try_for_each(crate::namespace::Joined::enter)
    }

    /// Serves the container process until it is created, or runs, or has ended.
    fn follow(
        &self,
        directory: &Directory,
        record: &mut Record,
        cgroup: &Cgroup,
        started: &mut Started,
        signals: Option<&SignalFd>,
    ) -> Result<i32> {
        let pid = started.child.pid;
        record.pid = pid;
        record.pid_start = process_stat(pid).map_or(0, |(start, _)| start);
        self.adjust_from_outside(pid)?;
        if self.namespaces.is_own(NamespaceKind::User) {
            if self.namespaces.is_new(NamespaceKind::User) {
                crate::user_namespace::write_maps(pid, self.linux)?;
            }
            started.channel.send_go(pid)?;
        } else if !self.is_announced() {
            self.save_running(directory, record)?;
            started.channel.send_go(pid)?;
        }
        loop {
            match started.channel.receive()? {
                Event::Hooks => {
                    let state = record.state(Status::Creating);
                    hook::run("prestart", &self.hooks.prestart, &state)?;
                    hook::run("createRuntime", &self.hooks.create_runtime, &state)?;
                    started.channel.send_go(pid)?;
                }
                Event::Pid => started.channel.send_go(pid)?,
                Event::Map(index, tree) => {
                    self.rootfs.map_ids(index, &tree)?;
                    started.channel.send_go(pid)?;
                }
                Event::Terminal(terminal) => self.take_terminal(started, terminal)?,
                Event::Ready if self.mode == Mode::Create => {
                    self.preset_limits(pid)?;
                    record.phase = Phase::Created;
                    directory.write_process(record)?;
                    self.write_pid_file(pid)?;
                    self.send_pidfd(started)?;
                    started.channel.send_go(pid)?;
                    return Ok(0);
                }
                Event::Ready => {
                    self.preset_limits(pid)?;
                    self.save_running(directory, record)?;
                    started.channel.send_go(pid)?;
                }
                Event::Listener(number) => {
                    let seccomp = self.linux.seccomp.as_ref();
                    listener::hand_over(seccomp, &started.child.pidfd, number, record)?;
                    started.channel.send_go(pid)?;
                }
                Event::Warning(warning) => crate::warn(&warning),
                Event::Failed(error) => return Err(explain(error, cgroup)),
                Event::End => return self.finish_run(record, started, signals),
            }
        }
    }

    fn save_running(&self, directory: &Directory, record: &mut Record) -> Result<()> {
        record.phase = Phase::Running;
        directory.write_process(record)?;
        self.write_pid_file(record.pid)
    }

    /// What the runtime has the right to set and the container process may not have.
    fn adjust_from_outside(&self, pid: i32) -> Result<()> {
        if let Some(group) = &self.group
            && let Some(config) = &self.linux.intel_rdt
        {
            group.apply(config, pid)?;
        }
        if !self.linux.net_devices.is_empty() {
            net_device::move_all(&self.linux.net_devices, pid)?;
        }
        let adjustment = self
            .spec
            .process
            .as_ref()
            .and_then(|process| process.oom_score_adj);
        if let Some(value) = adjustment {
            let path = format!("/proc/{pid}/oom_score_adj");
            fs::write(&path, value.to_string())
                .step(|| format!("process.oomScoreAdj: write {value} to {path}"))
                .map_err(|error| error.hint("going below the own value needs CAP_SYS_RESOURCE"))?;
        }
        Ok(())
    }

    /// In a user namespace a process cannot raise limits or take real-time priorities itself.
    /// Elsewhere it sets its limits as the last thing before its program; but a limit that cannot
    /// be had is an error of `create`.
    fn preset_limits(&self, pid: i32) -> Result<()> {
        match &self.spec.process {
            Some(process) if self.namespaces.is_own(NamespaceKind::User) => preset(pid, process),
            Some(process) if self.mode == Mode::Create => raise_limits(pid, process),
            _ => Ok(()),
        }
    }

    fn take_terminal(&self, started: &mut Started, terminal: OwnedFd) -> Result<()> {
        match &self.console {
            Some(socket) => terminal::send_descriptor(socket, "/dev/ptmx", terminal.as_fd()),
            None => {
                started.terminal = Some(terminal);
                Ok(())
            }
        }
    }

    fn write_pid_file(&self, pid: i32) -> Result<()> {
        write_pid_file(self.options.pid_file.as_deref(), pid)
    }

    fn send_pidfd(&self, started: &Started) -> Result<()> {
        let Some(path) = &self.options.pidfd_socket else {
            return Ok(());
        };
        let socket = terminal::connect_socket(path)?;
        terminal::send_descriptor(&socket, "pidfd", started.child.pidfd.as_fd())
    }

    /// The program runs (or has already ended).
    fn finish_run(
        &self,
        record: &Record,
        started: &Started,
        signals: Option<&SignalFd>,
    ) -> Result<i32> {
        if record.phase == Phase::Creating {
            let exit =
                wait(started.child.pidfd.as_fd()).step(|| "wait for the container process")?;
            return Err(Error::new(format!(
                "the container process ended too early: {exit:?}"
            )));
        }
        self.send_pidfd(started)?;
        let state = record.state(Status::Running);
        hook::run("poststart", &self.hooks.poststart, &state)?;
        match signals {
            Some(signals) => {
                foreground::wait(&started.child.pidfd, signals, started.terminal.as_ref())
            }
            None => Ok(0),
        }
    }
}

/// Raises the hard limits that are to be raised, and lowers none.
fn raise_limits(pid: i32, process: &Process) -> Result<()> {
    for (index, limit) in process.rlimits.iter().enumerate() {
        let Some(resource) = attributes::resource(&limit.kind) else {
            continue;
        };
        let step = || format!("process.rlimits[{index}]: raise {}", limit.kind);
        // The container process has those of the runtime.
        let own = getrlimit(resource);
        if own.maximum.is_some_and(|own| own < limit.hard) {
            let soft = own.current.unwrap_or(u64::MAX).min(limit.hard);
            set_limit(pid, resource, soft, limit.hard)
                .step(step)
                .map_err(|error| error.hint("raising a hard limit needs CAP_SYS_RESOURCE"))?;
        }
    }
    Ok(())
}

/// Sets limits and scheduling of another process.
pub(crate) fn preset(pid: i32, process: &Process) -> Result<()> {
    attributes::apply_scheduling(pid, process)?;
    for (index, limit) in process.rlimits.iter().enumerate() {
        let Some(resource) = attributes::resource(&limit.kind) else {
            continue;
        };
        set_limit(pid, resource, limit.soft, limit.hard)
            .step(|| format!("process.rlimits[{index}]: set {}", limit.kind))?;
    }
    Ok(())
}

fn set_limit(pid: i32, resource: Resource, soft: u64, hard: u64) -> insula_sys::Result<()> {
    let finite = |value: u64| (value != u64::MAX).then_some(value);
    let limit = Rlimit {
        current: finite(soft),
        maximum: finite(hard),
    };
    prlimit(Pid::from_raw(pid), resource, limit).map(drop)
}

/// Adds what the cgroup knows to a failure.
fn explain(error: Error, cgroup: &Cgroup) -> Error {
    match cgroup.oom_kills() {
        Ok(1..) => error.hint("the memory limit is too low even to start: processes were killed"),
        _ => error,
    }
}

pub(crate) fn write_pid_file(path: Option<&Path>, pid: i32) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    fs::write(&new, pid.to_string())
        .and_then(|()| fs::rename(&new, path))
        .step(|| format!("write the pid file {}", path.display()))
}

fn make_start_socket(directory: &Directory) -> Result<OwnedFd> {
    let step = || "make the socket that start connects to";
    let kind = SocketType::SEQPACKET;
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).step(step)?;
    let address = SocketAddrUnix::new(directory.short_path(START_SOCKET)).step(step)?;
    bind(&socket, &address).step(step)?;
    listen(&socket, 1).step(step)?;
    Ok(socket)
}

fn check_console(options: &CreateOptions, process: Option<&Process>, mode: Mode) -> Result<()> {
    let wants = process.is_some_and(|process| process.terminal);
    let is_foreground = matches!(
        mode,
        Mode::Launch
            | Mode::Run {
                is_detached: false,
                ..
            }
    );
    match (wants, options.console_socket.is_some()) {
        (true, false) if !is_foreground => Err(Error::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )
        .hint("process.terminal is true: give --console-socket")),
        (false, true) => Err(Error::new(
            "cannot use console socket if runc will not detach or allocate tty",
        )
        .hint("process.terminal is false: leave --console-socket out")),
        _ => Ok(()),
    }
}

/// Sockets handed over by the service manager (sd_listen_fds(3)). Descriptors that are to be
/// passed on must be open: a gap would be filled by one of ours.
pub(crate) fn inherited_sockets() -> u32 {
    /// No service manager hands over more; the variable may be a stranger's.
    const SOCKETS_MAX: u32 = 1024;
    let sockets: u32 = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    sockets.min(SOCKETS_MAX)
}

fn absolute(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
