//! The configuration of the container: the image's wishes, docker's defaults, the user's options.

use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_container::spec::{
    Capabilities, ConsoleSize, Cpu, Linux, Memory, Mount, Namespace, NamespaceKind, OCI_VERSION,
    Pids, Process, Resources, Rlimit, Root, Spec, User,
};
use insula_image::{Config, Image, ResolvedUser, UnionView};

use super::options::{Network, RunOptions, Tmpfs, Volume};
use super::security::Security;
use super::{capability, device, system, user};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The whole configuration of the container `id` that will be called `hostname`, of an image and
/// its files.
pub(crate) fn build(
    options: &RunOptions,
    (image, files): (&Image, &UnionView),
    hostname: &str,
    id: &str,
) -> Result<Spec> {
    let mut security = Security::parse(&options.security)?;
    if options.privileged {
        security.open_all();
    }
    let config = &image.config.config;
    let is_system = system::is_asked_for(options, config);
    let mut added = options.capabilities_added.clone();
    if is_system {
        added.extend(system::capabilities(&options.capabilities_dropped));
    }
    let sets = match options.privileged {
        true => capability::all_but(&options.capabilities_dropped)?,
        false => capability::choose(&added, &options.capabilities_dropped)?,
    };
    let mut user = user::resolve(options.user.as_deref().unwrap_or(&config.user), files)?;
    user.groups.extend(user::groups(&options.groups, files)?);
    let mut spec = Spec {
        oci_version: OCI_VERSION.to_owned(),
        root: Some(Root {
            path: PathBuf::from("root"),
            readonly: options.read_only,
        }),
        hostname: Some(hostname.to_owned()),
        mounts: mounts(options)?,
        annotations: options.annotations.iter().cloned().collect(),
        linux: Some(linux(options, &security, &sets)?),
        process: Some(process(options, config, (&security, sets, user), hostname)?),
        ..Spec::default()
    };
    if is_system {
        system::adapt(&mut spec, id);
    }
    crate::rootless::adapt(options, is_system, &mut spec)?;
    Ok(spec)
}

fn process(
    options: &RunOptions,
    config: &Config,
    (security, sets, user): (&Security, Capabilities, ResolvedUser),
    hostname: &str,
) -> Result<Process> {
    let directory = match &options.working_directory {
        Some(directory) if !directory.is_absolute() => {
            return Err(Error::new(format!(
                "the working directory `{}` is not an absolute path",
                directory.display()
            )));
        }
        Some(directory) => directory.clone(),
        None => Path::new("/").join(&config.working_dir),
    };
    let size = options.terminal_size.filter(|_| options.terminal);
    let limits = options.limits.iter().map(|limit| Rlimit {
        kind: limit.name.clone(),
        soft: limit.soft,
        hard: limit.hard,
    });
    // The group is also a supplementary one: otherwise a set-group-id program would leave it, and
    // with it what files deny to the group (CVE-2022-36109).
    let mut groups = vec![user.gid];
    groups.extend(user.groups.iter().filter(|group| **group != user.gid));
    Ok(Process {
        terminal: options.terminal,
        console_size: size.map(|(rows, columns)| ConsoleSize {
            height: rows.into(),
            width: columns.into(),
        }),
        user: User {
            uid: user.uid,
            gid: user.gid,
            additional_gids: groups,
            ..User::default()
        },
        args: arguments(options, config)?,
        env: environment(options, config, &user.home, hostname),
        cwd: directory,
        capabilities: Some(capability::for_user(sets, user.uid)),
        rlimits: limits.collect(),
        oom_score_adj: options.weights.oom_score,
        no_new_privileges: security.no_new_privileges,
        apparmor_profile: security.apparmor.clone(),
        selinux_label: security.selinux.clone(),
        ..Process::default()
    })
}

/// The program and its arguments.
pub(super) fn arguments(options: &RunOptions, config: &Config) -> Result<Vec<String>> {
    let (entrypoint, command) = match &options.entrypoint {
        Some(entrypoint) => (entrypoint, &options.command),
        None if options.command.is_empty() => (&config.entrypoint, &config.cmd),
        None => (&config.entrypoint, &options.command),
    };
    let arguments: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    if arguments.is_empty() {
        return Err(
            Error::new(format!("image `{}` names no program to run", options.image))
                .hint(format!("name one: insula run {} sh", options.image)),
        );
    }
    Ok(arguments)
}

fn environment(options: &RunOptions, config: &Config, home: &str, hostname: &str) -> Vec<String> {
    let mut environment = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if options.terminal {
        environment.push("TERM=xterm".to_owned());
    }
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    for entry in config.env.iter().chain(&options.environment) {
        let wanted = name(entry);
        match environment.iter_mut().find(|known| name(known) == wanted) {
            Some(known) => known.clone_from(entry),
            None => environment.push(entry.clone()),
        }
    }
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={home}"));
    }
    environment
}

fn mounts(options: &RunOptions) -> Result<Vec<Mount>> {
    let shm = format!("size={}", options.shm_bytes);
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ];
    let mut asked = Vec::new();
    for tmpfs in &options.tmpfs {
        asked.push(in_memory(tmpfs));
    }
    for volume in &options.volumes {
        asked.push(bind(volume)?);
    }
    // A mount below another one must come after it.
    asked.sort_by_key(|mount| mount.destination.components().count());
    check_destinations(&asked)?;
    if options.privileged {
        // What the kernel shows may be written, as on the host.
        for mount in &mut mounts {
            mount.options.retain(|option| option != "ro");
        }
    }
    // What the user mounts takes the place of a default one and of those below it.
    mounts.retain(|default| {
        let is_replaced = |mount: &Mount| default.destination.starts_with(&mount.destination);
        !asked.iter().any(is_replaced)
    });
    mounts.extend(asked);
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(kind.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn in_memory(tmpfs: &Tmpfs) -> Mount {
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned(), "noexec".to_owned()];
    options.extend(tmpfs.options.iter().cloned());
    Mount {
        destination: tmpfs.destination.clone(),
        kind: Some("tmpfs".to_owned()),
        source: Some("tmpfs".into()),
        options,
        ..Mount::default()
    }
}

fn bind(volume: &Volume) -> Result<Mount> {
    let given = &volume.source;
    let source = std::fs::canonicalize(given)
        .step(|| format!("volume {}", given.display()))
        .map_err(|error| error.hint("the host path of a volume must exist: make it first"))?;
    const PROPAGATION: [&str; 6] = [
        "private", "rprivate", "shared", "rshared", "slave", "rslave",
    ];
    let has = |names: &[&str]| {
        volume
            .options
            .iter()
            .any(|option| names.contains(&&**option))
    };
    let mut options = Vec::new();
    if !has(&["bind", "rbind"]) {
        options.push("rbind".to_owned());
    }
    if !has(&PROPAGATION) {
        options.push("rprivate".to_owned());
    }
    for option in &volume.options {
        match option.as_str() {
            // Labels for SELinux, which this host's policy would have to know.
            "z" | "Z" => {}
            // What is done when a volume is made.
            "nocopy" => {}
            // Read-only means all of it, also what is mounted below.
            "ro" => options.push("rro".to_owned()),
            _ => options.push(option.clone()),
        }
    }
    Ok(Mount {
        destination: volume.destination.clone(),
        kind: Some("bind".to_owned()),
        source: Some(source),
        options,
        ..Mount::default()
    })
}

fn check_destinations(mounts: &[Mount]) -> Result<()> {
    for (index, mount) in mounts.iter().enumerate() {
        let destination = mount.destination.display();
        if !mount.destination.is_absolute() || mount.destination == Path::new("/") {
            return Err(
                Error::new(format!("`{destination}` cannot be the place of a volume"))
                    .hint("give an absolute path inside the container, other than /"),
            );
        }
        if mounts[..index]
            .iter()
            .any(|other| other.destination == mount.destination)
        {
            return Err(Error::new(format!(
                "two volumes are to be at `{destination}`"
            )));
        }
    }
    Ok(())
}

fn linux(options: &RunOptions, security: &Security, sets: &Capabilities) -> Result<Linux> {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network as Net, Pid, Uts};
    let mut kinds = vec![Pid, Ipc, Uts, Mount];
    if options.network == Network::None {
        kinds.push(Net);
    }
    // As docker does: with version 1, tools inside expect the host's paths.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        kinds.push(Cgroup);
    }
    let mut masked = security.closed(&MASKED);
    masked.extend(security.masked().iter().cloned());
    Ok(Linux {
        namespaces: kinds
            .into_iter()
            .map(|kind| Namespace { kind, path: None })
            .collect(),
        resources: Some(resources(options)?),
        devices: device::nodes(options)?,
        sysctl: options.sysctls.iter().cloned().collect(),
        seccomp: security.seccomp(sets)?,
        masked_paths: masked,
        readonly_paths: security.closed(&READ_ONLY),
        ..Linux::default()
    })
}

pub(crate) fn resources(options: &RunOptions) -> Result<Resources> {
    const PERIOD_MICROSECONDS: u64 = 100_000;
    let signed = |value: u64, what: &str| {
        i64::try_from(value).step(|| format!("{what} {value} is out of range"))
    };
    let memory = options
        .memory_bytes
        .map(|bytes| signed(bytes, "the memory limit"));
    let cpu = options.cpu_millis.map(|millis| {
        let quota = millis.saturating_mul(PERIOD_MICROSECONDS / 1000);
        signed(quota, "the number of processors")
    });
    let pids = options.pids.map(|pids| signed(pids, "the process limit"));
    let weights = &options.weights;
    let reservation = weights
        .memory_reservation_bytes
        .map(|bytes| signed(bytes, "the memory reservation"));
    let memory = Memory {
        limit: memory.transpose()?,
        reservation: reservation.transpose()?,
        swap: weights.memory_swap_bytes,
        ..Memory::default()
    };
    let has_memory =
        memory.limit.is_some() || memory.reservation.is_some() || memory.swap.is_some();
    let quota = cpu.transpose()?;
    let cpu = Cpu {
        quota,
        period: quota.map(|_| PERIOD_MICROSECONDS),
        shares: weights.cpu_shares,
        cpus: weights.cpus.clone(),
        ..Cpu::default()
    };
    let has_cpu = cpu.quota.is_some() || cpu.shares.is_some() || cpu.cpus.is_some();
    Ok(Resources {
        devices: device::rules(options)?,
        memory: has_memory.then_some(memory),
        cpu: has_cpu.then_some(cpu),
        pids: pids.transpose()?.map(|limit| Pids { limit: Some(limit) }),
        ..Resources::default()
    })
}

#[cfg(test)]
mod tests {
    use insula_image::{Digest, ImageConfig};

    use super::*;

    fn image(config: Config) -> Image {
        Image {
            id: Digest::of(b""),
            manifest: Digest::of(b""),
            config: ImageConfig {
                config,
                ..ImageConfig::default()
            },
            layers: Vec::new(),
        }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn try_build(options: &RunOptions, config: Config) -> Result<Spec> {
        let image = image(config);
        let files = UnionView::open(&image.layers).unwrap();
        build(options, (&image, &files), "box", &"0".repeat(64))
    }

    fn built(options: &RunOptions, config: Config) -> Spec {
        try_build(options, config).unwrap()
    }

    #[test]
    fn the_command_is_put_together_as_docker_does() {
        let config = Config {
            entrypoint: texts(&["entry"]),
            cmd: texts(&["default"]),
            ..Config::default()
        };
        let mut options = RunOptions::new("/", "i");
        let args = |options: &RunOptions| built(options, config.clone()).process.unwrap().args;
        assert_eq!(args(&options), ["entry", "default"]);
        options.command = texts(&["mine"]);
        assert_eq!(args(&options), ["entry", "mine"]);
        options.entrypoint = Some(texts(&["other"]));
        assert_eq!(args(&options), ["other", "mine"]);
        options.command.clear();
        assert_eq!(args(&options), ["other"]);
        options.entrypoint = Some(Vec::new());
        let error = try_build(&options, config).unwrap_err();
        assert!(error.to_string().contains("no program"), "{error}");
    }

    #[test]
    fn later_variables_win() {
        let config = Config {
            env: texts(&["PATH=/image", "A=image", "B=image"]),
            ..Config::default()
        };
        let mut options = RunOptions::new("/", "i");
        options.command = texts(&["x"]);
        options.environment = texts(&["B=user", "B=last", "HOME=/mine"]);
        let process = built(&options, config).process.unwrap();
        let expected = [
            "PATH=/image",
            "HOSTNAME=box",
            "A=image",
            "B=last",
            "HOME=/mine",
        ];
        assert_eq!(process.env, expected);
    }

    #[test]
    fn volumes_take_the_place_of_defaults() {
        let mut options = RunOptions::new("/", "i");
        options.command = texts(&["x"]);
        let volume = |destination: &str, option: &str| Volume {
            source: "/tmp".into(),
            destination: destination.into(),
            options: texts(&[option]),
        };
        options.volumes = vec![
            volume("/a/b", "ro"),
            volume("/dev", "rw"),
            volume("/a", "z"),
        ];
        let spec = built(&options, Config::default());
        let places: Vec<_> = spec
            .mounts
            .iter()
            .map(|mount| mount.destination.to_str().unwrap())
            .collect();
        assert_eq!(
            places,
            ["/proc", "/sys", "/sys/fs/cgroup", "/dev", "/a", "/a/b"]
        );
        assert_eq!(spec.mounts[5].options, ["rbind", "rprivate", "rro"]);
        assert_eq!(spec.mounts[4].options, ["rbind", "rprivate"]);
        for wrong in ["/", "relative"] {
            options.volumes = vec![volume(wrong, "rw")];
            assert!(mounts(&options).is_err(), "{wrong}");
        }
        options.volumes = vec![volume("/a", "rw"), volume("/a", "ro")];
        assert!(mounts(&options).is_err());
        options.volumes = vec![Volume {
            source: "/no/such/path".into(),
            destination: "/a".into(),
            options: Vec::new(),
        }];
        let error = mounts(&options).unwrap_err();
        assert!(error.chain().contains("/no/such/path") && error.hint_text().is_some());
    }

    #[test]
    fn privileged_hides_and_filters_nothing() {
        let mut options = RunOptions::new("/", "i");
        options.command = texts(&["x"]);
        options.privileged = true;
        let spec = built(&options, Config::default());
        let linux = spec.linux.as_ref().unwrap();
        assert!(linux.seccomp.is_none());
        assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
        let rules = &linux.resources.as_ref().unwrap().devices;
        assert!(rules.iter().all(|rule| rule.allow));
        let sys = spec
            .mounts
            .iter()
            .find(|mount| mount.destination == Path::new("/sys"));
        assert!(!sys.unwrap().options.contains(&"ro".to_owned()));
        let json = serde_json::to_vec(&spec).unwrap();
        insula_container::spec::parse(&json).unwrap();
    }

    #[test]
    fn limits_and_devices_that_were_asked_for_are_in_the_configuration() {
        let mut options = RunOptions::new("/", "i");
        options.command = texts(&["x"]);
        options.weights.cpus = Some("0".to_owned());
        options.weights.cpu_shares = Some(512);
        options.weights.memory_swap_bytes = Some(-1);
        options.weights.oom_score = Some(500);
        options.sysctls = vec![("net.ipv4.ip_forward".to_owned(), "1".to_owned())];
        options.groups = texts(&["44"]);
        options.devices = vec![crate::run::DeviceMapping {
            host: "/dev/zero".into(),
            guest: "/dev/nothing".into(),
            access: "r".to_owned(),
        }];
        let spec = built(&options, Config::default());
        let process = spec.process.as_ref().unwrap();
        assert_eq!(process.oom_score_adj, Some(500));
        assert!(process.user.additional_gids.contains(&44));
        let linux = spec.linux.as_ref().unwrap();
        assert_eq!(linux.sysctl["net.ipv4.ip_forward"], "1");
        assert_eq!(linux.devices[0].path, Path::new("/dev/nothing"));
        assert_eq!(
            (linux.devices[0].major, linux.devices[0].minor),
            (Some(1), Some(5))
        );
        let resources = linux.resources.as_ref().unwrap();
        assert!(!resources.devices[0].allow);
        assert_eq!(resources.devices[1].access.as_deref(), Some("r"));
        let cpu = resources.cpu.as_ref().unwrap();
        assert_eq!((cpu.shares, cpu.quota), (Some(512), None));
        assert_eq!(resources.memory.as_ref().unwrap().swap, Some(-1));
        options.devices[0].host = "/etc/passwd".into();
        let error = try_build(&options, Config::default()).unwrap_err();
        assert!(error.chain().contains("/etc/passwd"), "{}", error.chain());
    }

    #[test]
    fn what_is_built_is_a_valid_configuration() {
        let mut options = RunOptions::new("/", "i");
        options.command = texts(&["x"]);
        options.cpu_millis = Some(1500);
        options.memory_bytes = Some(64 << 20);
        let spec = built(&options, Config::default());
        let resources = spec.linux.as_ref().unwrap().resources.as_ref().unwrap();
        assert_eq!(resources.cpu.as_ref().unwrap().quota, Some(150_000));
        let json = serde_json::to_vec(&spec).unwrap();
        insula_container::spec::parse(&json).unwrap();
    }
}
