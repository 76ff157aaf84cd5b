//! `insula run IMAGE [COMMAND…]`: what was typed becomes [`RunOptions`].

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use insula_node::image::registry::Platform;
use insula_node::image::{Digest, Kind, Reference};
use insula_node::run::{self, Limit, Network, RunOptions, Tmpfs, Volume};

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

Examples:
  insula run --rm debian:12 cat /etc/os-release
  insula run -it --rm --pull always debian:12 bash
  insula run --rm -v ./src:/src:ro -w /src -m 512m --cpus 1.5 debian:12 make
  echo hello | insula run -i --rm debian:12 tr a-z A-Z")]
pub(super) struct Arguments {
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

    /// Not built yet: containers run in the foreground
    #[arg(short, long, hide = true)]
    detach: bool,

    #[command(flatten, next_help_heading = "Image")]
    image: Image,

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

    /// Attach a label
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = value::label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// Mount a host path
    #[arg(short, long = "volume", value_name = "SRC:DST[:ro]", value_parser = value::volume)]
    volumes: Vec<Volume>,

    /// Mount by fields: type=bind|tmpfs, source=…, target=…, readonly
    #[arg(long = "mount", value_name = "FIELDS", value_parser = value::mount)]
    mounts: Vec<value::Mount>,

    /// Mount an empty file system in memory; options as size=64m
    #[arg(long, value_name = "PATH[:OPTIONS]", value_parser = value::tmpfs)]
    tmpfs: Vec<Tmpfs>,

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
    let wanted = arguments.image.clone();
    // What cannot be run is not worth a transfer.
    let options = options(arguments, location)?;
    let brought = bring(&options.image, &wanted, location);
    if let Some(manifest) = brought.map_err(|it| it.with_exit_code(125))? {
        return Err(begin_again(&manifest).with_exit_code(125));
    }
    run_here(&options)
}

/// Runs an image that [`begin_again`] has brought.
pub(super) fn run_pulled(
    mut arguments: Arguments,
    manifest: &str,
    location: &Location,
) -> Result<u8, Failure> {
    manifest.clone_into(&mut arguments.image_and_command[0]);
    run_here(&options(arguments, location)?)
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

fn run_here(options: &RunOptions) -> Result<u8, Failure> {
    let finished = run::run(options)
        .map_err(|error| engine_failure(&error).with_exit_code(run::exit_code(&error)))?;
    if let Some(error) = &finished.left_behind {
        output::talk(format_args!("warning: {}", error.chain()));
    }
    // Exit codes of processes have eight bits.
    Ok(u8::try_from(finished.code).unwrap_or(u8::MAX))
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

fn options(arguments: Arguments, location: &Location) -> Result<RunOptions, Failure> {
    if arguments.detach {
        return Err(
            Failure::not_built("containers in the background (-d) are not built yet")
                .hint("run it in the foreground, or: insula run … & to let the shell keep it"),
        );
    }
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
    options.cpu_millis = arguments.limits.cpu_millis;
    options.memory_bytes = arguments.limits.memory_bytes;
    options.pids = arguments.limits.pids;
    options.limits = arguments.limits.resource_limits;
    set_surroundings(&mut options, arguments.surroundings)?;
    set_files(&mut options, arguments.files);
    Ok(options)
}

fn set_surroundings(options: &mut RunOptions, from: Surroundings) -> Result<(), Failure> {
    options.environment = environment(&from.environment_files, &from.environment)?;
    options.user = from.user;
    options.working_directory = from.workdir;
    options.hostname = from.hostname;
    options.annotations = from.labels;
    options.entrypoint = from.entrypoint.map(entrypoint).transpose()?;
    Ok(())
}

fn set_files(options: &mut RunOptions, from: Files) {
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
fn environment(files: &[PathBuf], flags: &[String]) -> Result<Vec<String>, Failure> {
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
        options(parser.arguments, &Location::choose(Some("/store".into())))
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
    fn what_is_not_built_is_said() {
        for words in [
            &["-d", "i"][..],
            &["--isolation", "vm", "i"],
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
