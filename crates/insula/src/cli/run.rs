//! `insula run IMAGE [COMMAND…]`: what was typed becomes [`RunOptions`].

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use insula_node::guest::{self, AttachOptions};
use insula_node::image::registry::Platform;
use insula_node::image::{Digest, Kind, Reference};
use insula_node::run::{
    DeviceMapping, HealthCheck, Limit, LogDriver, LogSettings, Network, ProcViewMode,
    RestartPolicy, RunOptions, Secret, SystemMode, Tmpfs, Volume, Weights,
};

use super::attach::finish;
use super::registry::TransferArguments;
use super::store::{Location, engine_failure};
use super::{pull, value};
use crate::suggest::nearest;
use crate::{Failure, output};

/// The first word of a process that runs what it has pulled before; a manifest's digest follows,
/// then the command line as it was.
pub(super) const PULLED_ROLE: &str = "__pulled";

/// Run a command in a new container
#[derive(Debug, clap::Args)]
#[command(override_usage = "insula run [OPTION...] IMAGE [COMMAND...]")]
#[command(after_help = "\
Options stand before the image; what follows the image belongs to the command in it.
The exit code is the command's; see: insula help exit-codes
On a terminal ctrl-p ctrl-q leaves and the container goes on. With --rm in the foreground the
container ends with this command, however that ends.

Examples:
  insula run --rm debian:12 cat /etc/os-release
  insula run -d --name web --restart on-failure:5 web:1
  insula run -it --rm --pull always debian:12 bash
  insula run --rm -v ./src:/src:ro -w /src -m 512m --cpus 1.5 debian:12 make
  echo hello | insula run -i --rm debian:12 tr a-z A-Z")]
pub(super) struct Arguments {
    /// Run it in the background, and print its identifier
    #[arg(short, long)]
    detach: bool,

    /// Pass signals on to it [default: true]
    #[arg(long, value_name = "BOOL", default_value_t = true)]
    #[arg(action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    #[arg(
        require_equals = true,
        hide_default_value = true,
        hide_possible_values = true
    )]
    sig_proxy: bool,

    /// The keys that leave
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = value::keys)]
    detach_keys: value::Keys,

    #[command(flatten)]
    guest: GuestArguments,
}

/// What `run` and `create` have in common.
#[derive(Debug, clap::Args)]
pub(super) struct GuestArguments {
    /// The image, then the command and its arguments [default: the image's command]
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "IMAGE [COMMAND]"
    )]
    image_and_command: Vec<String>,

    /// Pass stdin on to the command
    #[arg(short, long)]
    interactive: bool,

    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,

    /// Remove the container when its command has ended
    #[arg(long)]
    rm: bool,

    /// The container's name [default: made up]
    #[arg(long)]
    name: Option<String>,

    /// Write the container's identifier to a new file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Image")]
    image: Image,

    #[command(flatten, next_help_heading = "Supervision")]
    supervision: Supervision,

    #[command(flatten, next_help_heading = "Environment")]
    surroundings: Surroundings,

    #[command(flatten, next_help_heading = "Files")]
    files: Files,

    #[command(flatten, next_help_heading = "Limits")]
    limits: Limits,

    #[command(flatten, next_help_heading = "Isolation")]
    isolation: Isolation,
}

#[derive(Debug, clap::Args)]
struct Supervision {
    #[arg(help = "When to start it again: no, always, unless-stopped, on-failure[:COUNT]")]
    #[arg(long, value_name = "POLICY", default_value = "no", value_parser = value::restart)]
    restart: RestartPolicy,

    /// Check its health by this line of the shell
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,

    /// Time between checks [default: the image's, or 30s]
    #[arg(long, value_name = "DURATION", value_parser = value::milliseconds)]
    health_interval: Option<u64>,

    /// How long a check may take [default: the image's, or 30s]
    #[arg(long, value_name = "DURATION", value_parser = value::milliseconds)]
    health_timeout: Option<u64>,

    /// Failures before this has passed do not count [default: the image's, or 0]
    #[arg(long, value_name = "DURATION", value_parser = value::milliseconds)]
    health_start_period: Option<u64>,

    /// So many failures in a row make it unhealthy [default: the image's, or 3]
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,

    /// No check, also not the image's
    #[arg(long)]
    no_healthcheck: bool,

    /// The signal that `stop` sends [default: the image's, or TERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,

    /// Seconds that `stop` waits before it kills
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    stop_timeout: u32,

    /// Whether its output is kept: file, none
    #[arg(long, value_name = "DRIVER", default_value = "file")]
    log_driver: String,

    /// Bounds of what is kept: max-size=10m, max-file=3
    #[arg(long = "log-opt", value_name = "NAME=VALUE")]
    log_options: Vec<String>,

    /// Whether it holds a whole system: auto (when its program is an init), always, false
    #[arg(long = "systemd", visible_alias = "system", value_name = "WHEN")]
    #[arg(default_value = "auto", value_parser = system_mode)]
    system: SystemMode,
}

#[derive(Debug, clap::Args)]
struct Surroundings {
    /// Set a variable; NAME alone passes the caller's value
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    environment: Vec<String>,

    /// Read variables from a file, one NAME=VALUE per line
    #[arg(long = "env-file", value_name = "FILE")]
    environment_files: Vec<PathBuf>,

    /// User name or number, and group [default: the image's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// Working directory [default: the image's]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,

    /// Replace the image's entrypoint; a JSON list for several words, "" for none
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,

    /// Host name in the container
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// Also of this group: a name or a number
    #[arg(long = "group-add", value_name = "GROUP")]
    groups: Vec<String>,

    /// Add a line to /etc/hosts
    #[arg(long = "add-host", value_name = "NAME:ADDRESS", value_parser = value::host)]
    hosts: Vec<(String, String)>,

    /// Ask this server for names, with --network host
    #[arg(long = "dns", value_name = "ADDRESS")]
    dns: Vec<std::net::IpAddr>,

    /// Attach a label
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = value::label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Mount a host path or a volume by name; PATH alone is a volume of its own
    #[arg(short, long = "volume", value_name = "SRC:DST[:ro]", value_parser = value::volume)]
    volumes: Vec<Volume>,

    /// Mount by fields: type=bind|volume|tmpfs, source=…, target=…, readonly
    #[arg(long = "mount", value_name = "FIELDS", value_parser = value::mount)]
    mounts: Vec<value::Mount>,

    /// Mount an empty file system in memory; options as size=64m
    #[arg(long, value_name = "PATH[:OPTIONS]", value_parser = value::tmpfs)]
    tmpfs: Vec<Tmpfs>,

    /// Show a file of the host, and keep its content nowhere: FILE or id=NAME,src=FILE
    #[arg(long = "secret", value_name = "FILE", value_parser = value::secret)]
    secrets: Vec<Secret>,

    /// Give a device of the host; access of r, w and m
    #[arg(long = "device", value_name = "HOST[:PATH[:rwm]]", value_parser = value::device)]
    devices: Vec<DeviceMapping>,

    /// Make the container's root read-only
    #[arg(long)]
    read_only: bool,

    /// Size of /dev/shm
    #[arg(long = "shm-size", value_name = "SIZE", value_parser = value::bytes)]
    shm_bytes: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Limits {
    /// How many processors' time, for example 1.5
    #[arg(long = "cpus", value_name = "NUMBER", value_parser = value::cpus)]
    cpu_millis: Option<u64>,

    /// How much memory, for example 512m
    #[arg(short, long = "memory", value_name = "SIZE", value_parser = value::bytes)]
    memory_bytes: Option<u64>,

    /// How many processes and threads
    #[arg(long = "pids-limit", value_name = "NUMBER")]
    pids: Option<u64>,

    /// Memory and swap together; -1 for no limit
    #[arg(long = "memory-swap", value_name = "SIZE", value_parser = value::bytes_or_unlimited)]
    #[arg(allow_hyphen_values = true)]
    memory_swap_bytes: Option<i64>,

    /// What it may keep when memory is short
    #[arg(long = "memory-reservation", value_name = "SIZE", value_parser = value::bytes)]
    memory_reservation_bytes: Option<u64>,

    /// Processors that it may run on, for example 0-2,4
    #[arg(long = "cpuset-cpus", value_name = "LIST", value_parser = value::processors)]
    cpus: Option<String>,

    /// Its share of busy processors; 1024 is usual
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(2..=262_144))]
    cpu_shares: Option<u64>,

    /// How early it is killed when memory is out, from -1000 (last) to 1000
    #[arg(
        long = "oom-score-adj",
        value_name = "NUMBER",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score: Option<i32>,

    /// Resource limit: nofile=1024:4096
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]", value_parser = value::resource_limit)]
    resource_limits: Vec<Limit>,
}

#[derive(Debug, clap::Args)]
struct Isolation {
    /// The wall: container, or auto for the strongest one this host gives
    #[arg(long = "isolation", value_name = "WALL", default_value = "auto")]
    wall: String,

    /// The network: none (loopback only) or host
    #[arg(long, value_name = "NETWORK", default_value = "none")]
    network: String,

    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,

    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,

    /// All capabilities and devices, nothing hidden or filtered: no wall to speak of
    #[arg(long)]
    privileged: bool,

    /// Set a parameter of the kernel in the container's namespaces
    #[arg(long = "sysctl", value_name = "NAME=VALUE", value_parser = value::sysctl)]
    sysctls: Vec<(String, String)>,

    /// Whether /proc shows its own processors, memory and load: auto (a whole system's), true, false
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = proc_view_mode)]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    proc_view: ProcViewMode,

    /// no-new-privileges, seccomp=unconfined, seccomp=FILE, apparmor=PROFILE, …
    #[arg(long = "security-opt", value_name = "OPTION")]
    security: Vec<String>,
}

#[derive(Debug, Clone, clap::Args)]
struct Image {
    /// When to ask a registry for the image: missing, always, never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "missing",
        hide_possible_values = true
    )]
    pull: When,

    /// The platform of the image to pull [default: this host's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,

    #[command(flatten)]
    transfer: TransferArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    Missing,
    Always,
    Never,
}

pub(super) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let wanted = arguments.guest.image.clone();
    let (how, guest) = arguments.split();
    // What cannot be run is not worth a transfer.
    let options = options(guest, location)?;
    let brought = bring(&options.image, &wanted, location);
    if let Some(manifest) = brought.map_err(|it| it.with_exit_code(125))? {
        return Err(begin_again(&manifest).with_exit_code(125));
    }
    run_here(&options, &how)
}

/// Runs an image that [`begin_again`] has brought.
pub(super) fn run_pulled(
    mut arguments: Arguments,
    manifest: &str,
    location: &Location,
) -> Result<u8, Failure> {
    manifest.clone_into(&mut arguments.guest.image_and_command[0]);
    let (how, guest) = arguments.split();
    run_here(&options(guest, location)?, &how)
}

/// How the command stays with the guest.
struct How {
    detach: bool,
    attach: AttachOptions,
    cidfile: Option<PathBuf>,
}

impl Arguments {
    fn split(self) -> (How, GuestArguments) {
        let how = How {
            detach: self.detach,
            attach: AttachOptions {
                signals: self.sig_proxy,
                detach_keys: self.detach_keys.0,
                ..AttachOptions::default()
            },
            cidfile: self.guest.cidfile.clone(),
        };
        (how, self.guest)
    }
}

/// Makes a guest for `create`; pulling, where it is wanted, comes first.
pub(super) fn create(arguments: GuestArguments, location: &Location) -> Result<u8, Failure> {
    let wanted = arguments.image.clone();
    let cidfile = arguments.cidfile.clone();
    let cidfile = CidFile::reserve(cidfile.as_deref())?;
    let mut options = options(arguments, location)?;
    if let Some(manifest) = bring(&options.image, &wanted, location)? {
        options.image = manifest.to_string();
    }
    let record = guest::create(&options).map_err(|error| engine_failure(&error))?;
    cidfile.write(&record.id)?;
    output::data(format_args!("{}\n", record.id));
    Ok(0)
}

/// The file of `--cidfile`: made before the guest, so that nobody else's is overwritten.
struct CidFile<'a>(Option<(&'a Path, std::fs::File)>);

impl<'a> CidFile<'a> {
    fn reserve(path: Option<&'a Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let file = std::fs::File::create_new(path).map_err(|error| {
            Failure::conflict(format!("make --cidfile {}", path.display())).caused_by(&error)
        })?;
        Ok(Self(Some((path, file))))
    }

    fn write(self, id: &str) -> Result<(), Failure> {
        use std::io::Write;
        let Some((path, mut file)) = self.0 else {
            return Ok(());
        };
        file.write_all(id.as_bytes()).map_err(|error| {
            Failure::failed(format!("write --cidfile {}", path.display())).caused_by(&error)
        })
    }
}

/// Becomes a fresh process that runs the image: pulling took threads, with which no container can
/// be made, and memory, which would stay with the container's supervisor. Returns only on failure.
fn begin_again(manifest: &Digest) -> Failure {
    let error = std::process::Command::new("/proc/self/exe")
        .arg0("insula")
        .arg(PULLED_ROLE)
        .arg(manifest.to_string())
        .args(std::env::args_os().skip(1))
        .exec();
    Failure::failed("cannot start anew after the pull").caused_by(&error)
}

fn run_here(options: &RunOptions, how: &How) -> Result<u8, Failure> {
    let explain = |error| engine_failure(&error).with_exit_code(guest::exit_code(&error));
    let cidfile = CidFile::reserve(how.cidfile.as_deref())?;
    if how.detach {
        let record = guest::run_detached(options).map_err(explain)?;
        cidfile.write(&record.id)?;
        output::data(format_args!("{}\n", record.id));
        return Ok(0);
    }
    let mut written = Ok(());
    let mut cidfile = Some(cidfile);
    let mut known = |id: &str| {
        if let Some(cidfile) = cidfile.take() {
            written = cidfile.write(id);
        }
    };
    let finished = guest::run(options, &how.attach, &mut known).map_err(explain)?;
    written?;
    Ok(finish(&finished))
}

/// Pulls the image when that is wanted and gives its manifest, which no other pull can rename.
fn bring(name: &str, wanted: &Image, location: &Location) -> Result<Option<Digest>, Failure> {
    let images = location.images();
    match wanted.pull {
        When::Never => return Ok(None),
        When::Always => {}
        When::Missing => match images.resolve(name) {
            Err(error) if error.kind() == Kind::NotFound => {}
            // What else is wrong is said by who runs it.
            _ => return Ok(None),
        },
    }
    let Ok(reference) = name.parse::<Reference>() else {
        return Ok(None);
    };
    let connection = wanted.transfer.trust.connect()?;
    let platform = wanted.platform.as_ref();
    let pulled = pull::pull_one(
        &images,
        &connection,
        &reference,
        platform,
        &wanted.transfer,
        false,
    )?;
    Ok(Some(pulled.manifest))
}

fn options(arguments: GuestArguments, location: &Location) -> Result<RunOptions, Failure> {
    let mut words = arguments.image_and_command.into_iter();
    let image = words.next().unwrap_or_default();
    check_wall(&arguments.isolation.wall)?;
    let mut options = RunOptions::new(location.path(), image);
    options.command = words.collect();
    options.interactive = arguments.interactive;
    options.terminal = arguments.tty;
    options.remove = arguments.rm;
    options.name = arguments.name;
    options.network = network(&arguments.isolation.network)?;
    options.capabilities_added = arguments.isolation.cap_add;
    options.capabilities_dropped = arguments.isolation.cap_drop;
    options.security = arguments.isolation.security;
    options.privileged = arguments.isolation.privileged;
    options.sysctls = arguments.isolation.sysctls;
    options.proc_view = arguments.isolation.proc_view;
    set_limits(&mut options, arguments.limits);
    set_supervision(&mut options, arguments.supervision)?;
    set_surroundings(&mut options, arguments.surroundings)?;
    set_files(&mut options, arguments.files)?;
    Ok(options)
}

fn set_limits(options: &mut RunOptions, from: Limits) {
    options.cpu_millis = from.cpu_millis;
    options.memory_bytes = from.memory_bytes;
    options.pids = from.pids;
    options.limits = from.resource_limits;
    options.weights = Weights {
        cpus: from.cpus,
        cpu_shares: from.cpu_shares,
        memory_swap_bytes: from.memory_swap_bytes,
        memory_reservation_bytes: from.memory_reservation_bytes,
        oom_score: from.oom_score,
    };
}

fn set_supervision(options: &mut RunOptions, from: Supervision) -> Result<(), Failure> {
    if options.remove && from.restart != RestartPolicy::No {
        return Err(Failure::usage("--rm and --restart contradict each other")
            .hint("a container that is removed at its end cannot be started again"));
    }
    options.restart = from.restart;
    options.health = health(&from);
    if let Some(signal) = &from.stop_signal {
        value::signal(signal)
            .map_err(|reason| Failure::usage(format!("--stop-signal: {reason}")))?;
    }
    options.stop_signal = from.stop_signal;
    options.stop_timeout_s = from.stop_timeout;
    options.system = from.system;
    options.log = log_settings(&from.log_driver, &from.log_options)?;
    Ok(())
}

fn health(from: &Supervision) -> Option<HealthCheck> {
    let test = match (&from.health_cmd, from.no_healthcheck) {
        (_, true) => vec!["NONE".to_owned()],
        (Some(line), false) => vec!["CMD-SHELL".to_owned(), line.clone()],
        (None, false) => Vec::new(),
    };
    let check = HealthCheck {
        test,
        interval_ms: from.health_interval,
        timeout_ms: from.health_timeout,
        start_period_ms: from.health_start_period,
        retries: from.health_retries,
    };
    (check != HealthCheck::default()).then_some(check)
}

fn log_settings(driver: &str, words: &[String]) -> Result<LogSettings, Failure> {
    let driver = match driver {
        // What docker and podman call their files is a file here, too.
        "file" | "local" | "json-file" | "k8s-file" => LogDriver::File,
        "none" => LogDriver::None,
        _ => {
            return Err(Failure::usage(format!("there is no log driver `{driver}`"))
                .hint("--log-driver file or none; `insula logs -f NAME` feeds other systems"));
        }
    };
    let mut settings = LogSettings {
        driver,
        ..LogSettings::default()
    };
    for word in words {
        let (name, text) = word.split_once('=').unwrap_or((word, ""));
        let wrong = |reason: String| Failure::usage(format!("--log-opt {word}: {reason}"));
        match name {
            "max-size" => settings.max_bytes = Some(value::bytes(text).map_err(wrong)?),
            "max-file" => {
                let count = text.parse().ok().filter(|count| *count > 0);
                let count = count.ok_or_else(|| wrong("a number from 1 is wanted".to_owned()))?;
                settings.max_files = Some(count);
            }
            _ => {
                return Err(wrong("there is no such option".to_owned())
                    .hint("max-size=SIZE and max-file=NUMBER"));
            }
        }
    }
    Ok(settings)
}

fn system_mode(text: &str) -> Result<SystemMode, String> {
    match text {
        "auto" => Ok(SystemMode::Auto),
        "always" | "true" => Ok(SystemMode::Yes),
        "false" | "never" => Ok(SystemMode::No),
        _ => Err("use auto, always or false".to_owned()),
    }
}

fn proc_view_mode(text: &str) -> Result<ProcViewMode, String> {
    match text {
        "auto" => Ok(ProcViewMode::Auto),
        "true" => Ok(ProcViewMode::Yes),
        "false" => Ok(ProcViewMode::No),
        _ => Err("use auto, true or false".to_owned()),
    }
}

fn set_surroundings(options: &mut RunOptions, from: Surroundings) -> Result<(), Failure> {
    options.environment = environment(&from.environment_files, &from.environment)?;
    options.user = from.user;
    options.working_directory = from.workdir;
    options.hostname = from.hostname;
    options.annotations = from.labels;
    options.groups = from.groups;
    options.hosts = from.hosts;
    if !from.dns.is_empty() && options.network == Network::None {
        return Err(Failure::usage("--dns without a network has nobody to ask")
            .hint("--network host; names alone are given with --add-host"));
    }
    options.dns = from.dns.iter().map(ToString::to_string).collect();
    options.entrypoint = from.entrypoint.map(entrypoint).transpose()?;
    Ok(())
}

fn set_files(options: &mut RunOptions, from: Files) -> Result<(), Failure> {
    for (index, secret) in from.secrets.iter().enumerate() {
        if from.secrets[..index]
            .iter()
            .any(|other| other.id == secret.id)
        {
            return Err(
                Failure::usage(format!("two secrets are called `{}`", secret.id))
                    .hint("give one another name: --secret id=NAME,src=FILE"),
            );
        }
    }
    options.secrets = from.secrets;
    options.devices = from.devices;
    options.volumes = from.volumes;
    options.tmpfs = from.tmpfs;
    for mount in from.mounts {
        match mount {
            value::Mount::Bind(volume) => options.volumes.push(volume),
            value::Mount::Tmpfs(tmpfs) => options.tmpfs.push(tmpfs),
        }
    }
    options.read_only = from.read_only;
    if let Some(bytes) = from.shm_bytes {
        options.shm_bytes = bytes;
    }
    Ok(())
}

fn check_wall(wall: &str) -> Result<(), Failure> {
    match wall {
        "auto" | "container" => Ok(()),
        "vm" | "emulated" => Err(
            Failure::not_built(format!("the wall `{wall}` is not built yet"))
                .hint("--isolation container shares the host's kernel"),
        ),
        _ => {
            let walls = ["auto", "container", "vm", "emulated"];
            let failure = Failure::usage(format!("there is no wall `{wall}`"));
            Err(match nearest(wall, walls) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("--isolation container or auto"),
            })
        }
    }
}

fn network(name: &str) -> Result<Network, Failure> {
    match name {
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err(
            Failure::not_built(format!("the network `{name}` is not built yet"))
                .hint("--network none has loopback only, --network host is the host's"),
        ),
    }
}

/// Files first, then flags, so that a flag wins.
pub(super) fn environment(files: &[PathBuf], flags: &[String]) -> Result<Vec<String>, Failure> {
    let mut variables = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("read --env-file {}", file.display())).caused_by(&error)
        })?;
        let lines = value::environment_file(&text).map_err(|(line, reason)| {
            Failure::usage(format!("{}:{line}: {reason}", file.display()))
        })?;
        variables.extend(lines);
    }
    for flag in flags {
        let variable = value::environment(flag)
            .map_err(|reason| Failure::usage(format!("--env `{flag}`: {reason}")))?;
        variables.extend(variable);
    }
    Ok(variables)
}

/// One word, or a JSON list of words; nothing for an empty text.
fn entrypoint(text: String) -> Result<Vec<String>, Failure> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if !text.starts_with('[') {
        return Ok(vec![text]);
    }
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("--entrypoint `{text}` is not a JSON list of words"))
            .caused_by(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Parser {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &[&str]) -> Result<RunOptions, Failure> {
        let words = ["run"].iter().chain(words);
        let parser = <Parser as clap::Parser>::try_parse_from(words).unwrap_or_else(|error| {
            panic!("{error}");
        });
        let (_, guest) = parser.arguments.split();
        options(guest, &Location::choose(Some("/store".into())))
    }

    #[test]
    fn what_follows_the_image_belongs_to_the_command() {
        let options = parse(&["--rm", "-it", "debian:12", "ls", "--rm", "-i", "--", "x"]).unwrap();
        assert_eq!(options.image, "debian:12");
        assert_eq!(options.command, ["ls", "--rm", "-i", "--", "x"]);
        assert!(options.remove && options.interactive && options.terminal);
    }

    #[test]
    fn flags_become_facts() {
        let words = [
            "-m",
            "64m",
            "--cpus",
            "0.5",
            "-e",
            "A=1",
            "-v",
            "/a:/b:ro",
            "--mount",
            "type=tmpfs,target=/t",
            "--entrypoint",
            "[\"a\",\"b\"]",
            "--network",
            "host",
            "i",
        ];
        let options = parse(&words).unwrap();
        assert_eq!(options.memory_bytes, Some(64 << 20));
        assert_eq!(options.cpu_millis, Some(500));
        assert_eq!(options.environment, ["A=1"]);
        assert_eq!(options.volumes.len(), 1);
        assert_eq!(options.tmpfs.len(), 1);
        assert_eq!(
            options.entrypoint,
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(options.network, Network::Host);
    }

    #[test]
    fn daily_flags_of_docker_become_facts() {
        let words = [
            "--privileged",
            "--memory-swap",
            "-1",
            "--cpuset-cpus",
            "0-1,3",
            "--oom-score-adj",
            "-500",
            "--sysctl",
            "net.core.somaxconn=1024",
            "--group-add",
            "video",
            "--device",
            "/dev/fuse:/dev/f:rw",
            "--add-host",
            "db:10.0.0.2",
            "--secret",
            "id=key,src=/etc/key",
            "-v",
            "data:/a:nocopy",
            "-v",
            "/own",
            "--mount",
            "type=volume,source=more,target=/b,readonly,volume-nocopy",
            "i",
        ];
        let options = parse(&words).unwrap();
        assert!(options.privileged);
        assert_eq!(options.weights.memory_swap_bytes, Some(-1));
        assert_eq!(options.weights.cpus.as_deref(), Some("0-1,3"));
        assert_eq!(options.weights.oom_score, Some(-500));
        assert_eq!(options.sysctls[0].0, "net.core.somaxconn");
        assert_eq!(options.groups, ["video"]);
        assert_eq!(options.devices[0].access, "rw");
        assert_eq!(options.hosts, [("db".to_owned(), "10.0.0.2".to_owned())]);
        assert_eq!(options.secrets[0].id, "key");
        let names: Vec<_> = options.volumes.iter().map(Volume::name).collect();
        assert_eq!(names, [Some("data"), None, Some("more")]);
        assert_eq!(options.volumes[2].options, ["ro", "nocopy"]);
    }

    #[test]
    fn a_server_for_names_needs_a_network_and_secrets_need_names() {
        assert!(parse(&["--dns", "9.9.9.9", "i"]).is_err());
        let options = parse(&["--network", "host", "--dns", "9.9.9.9", "i"]).unwrap();
        assert_eq!(options.dns, ["9.9.9.9"]);
        assert!(parse(&["--secret", "/a/key", "--secret", "/b/key", "i"]).is_err());
    }

    #[test]
    fn what_is_not_built_is_said() {
        for words in [
            &["--isolation", "vm", "i"][..],
            &["--network", "bridge", "i"],
        ] {
            let failure = parse(words).map(|_| ()).unwrap_err();
            assert!(
                failure.as_text(false).contains("not built yet"),
                "{words:?}"
            );
        }
    }
}
