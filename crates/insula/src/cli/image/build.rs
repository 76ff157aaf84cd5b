//! `insula image build CONTEXT|-`, and `insula build`: what was typed becomes [`BuildOptions`], and
//! what the build tells becomes lines.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Instant;

use insula_node::build::{
    BuildOptions, ContextSource, Event, Fetch, Progress, Pull, Secret, build,
};
use insula_node::image::containerfile::Platform;
use insula_node::image::registry::{self, Cancel, Client, ClientOptions, PullOptions};
use insula_node::image::{Error, Kind, Reference, Store};
use insula_node::interrupt::Watch;
use insula_node::run::Network;
use serde_json::json;

use super::super::registry::TrustArguments;
use super::super::store::{self, Location};
use crate::Failure;
use crate::output;

/// Make an image of a Containerfile (Dockerfile) and a directory of files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Steps that were done before on the same files are not done again; `insula image prune` forgets those
of the last weeks, `insula image prune --all` every one.

Examples:
  insula image build -t app:1.2 .
  insula image build -f Containerfile.test --target test --build-arg VERSION=13 .
  insula image build -t tiny - < Containerfile
  git archive HEAD | insula image build -t app -")]
pub(in crate::cli) struct Arguments {
    /// The directory with the files to copy; or - for a Containerfile or an archive on stdin
    #[arg(value_name = "CONTEXT|-")]
    context: PathBuf,

    /// The Containerfile; - for stdin [default: Containerfile or Dockerfile of the context]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The image's name, with or without a tag; may be repeated
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    tags: Vec<Reference>,

    /// Set an ARG; without a value it is the variable's of this shell; may be repeated
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    arguments: Vec<String>,

    /// Build this stage, by name or number, and what it needs [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// Do every step again
    #[arg(long)]
    no_cache: bool,

    /// When to bring the images of FROM: missing, always, never
    #[arg(long, value_name = "WHEN", default_value = "missing", num_args = 0..=1)]
    #[arg(default_missing_value = "always", require_equals = false, value_parser = pull)]
    pull: Pull,

    /// Add a label to the image; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,

    /// What the image is for, such as linux/arm64 [default: this host's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// The wall behind which RUN runs: container, auto
    #[arg(long, value_name = "WALL", default_value = "auto", value_parser = isolation)]
    isolation: Wall,

    /// The network of RUN: host, none
    #[arg(long, value_name = "NAME", default_value = "host", value_parser = network)]
    network: Network,

    /// Give a secret to RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE
    #[arg(long = "secret", value_name = "SECRET", value_parser = secret)]
    secrets: Vec<(String, Secret)>,

    /// The time of the image and all its new files, in seconds since 1970
    /// [default: $SOURCE_DATE_EPOCH, or now and the files' own]
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<u64>,

    /// How to tell the progress: auto, plain, json
    #[arg(long, value_name = "FORM", default_value = "auto", value_parser = form)]
    progress: Form,

    #[command(flatten)]
    trust: TrustArguments,

    /// Write the image's identifier to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,

    /// Do not wait for the disk: faster, and a power failure may lose the image
    #[arg(long)]
    no_sync: bool,

    /// Print the identifier only; the output of a step that fails all the same
    #[arg(short, long)]
    quiet: bool,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Json,
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "auto" | "plain" => Ok(Form::Plain),
        "json" => Ok(Form::Json),
        _ => Err("there is auto, plain and json".to_owned()),
    }
}

fn pull(text: &str) -> Result<Pull, String> {
    match text {
        "missing" => Ok(Pull::Missing),
        // docker's `--pull=true` and `--pull=false`.
        "always" | "true" => Ok(Pull::Always),
        "never" => Ok(Pull::Never),
        "false" => Ok(Pull::Missing),
        _ => Err("there is missing, always and never".to_owned()),
    }
}

/// The wall of RUN: there is one so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wall {
    Container,
}

fn isolation(text: &str) -> Result<Wall, String> {
    match text {
        "auto" | "container" => Ok(Wall::Container),
        "vm" | "emulated" => Err("this wall is not built yet; there is container".to_owned()),
        _ => Err("there is container and auto".to_owned()),
    }
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "host" | "default" => Ok(Network::Host),
        "none" => Ok(Network::None),
        _ => Err("there is host and none".to_owned()),
    }
}

/// `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`; without either the variable of that name.
fn secret(text: &str) -> Result<(String, Secret), String> {
    const FORM: &str = "a secret is id=NAME,src=FILE or id=NAME,env=VARIABLE";
    let mut id = None;
    let mut source = None;
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or(FORM)?;
        match key.trim() {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => source = Some(Secret::File(value.into())),
            "env" => source = Some(Secret::Variable(value.to_owned())),
            "type" => {}
            _ => return Err(FORM.to_owned()),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or(FORM)?;
    let source = source.unwrap_or_else(|| Secret::Variable(id.clone()));
    Ok((id, source))
}

pub(in crate::cli) fn run(arguments: Arguments, location: &Location) -> Result<u8, Failure> {
    let started = Instant::now();
    let mut teller = Teller::new(arguments.progress, arguments.quiet);
    let (quiet, iidfile) = (arguments.quiet, arguments.iidfile.clone());
    let options = options(arguments, location)?;
    let names: Vec<String> = options.names.iter().map(Reference::tagged).collect();
    let built = build(options, &mut teller);
    let built = built.map_err(|error| {
        teller.show_kept();
        store::engine_failure(&error)
    })?;
    let id = built.id.to_string();
    if let Some(path) = iidfile {
        std::fs::write(&path, &id).map_err(|error| {
            Failure::failed(format!("write {}", path.display())).caused_by(&error)
        })?;
    }
    if quiet {
        output::data(format_args!("{id}\n"));
        return Ok(0);
    }
    for name in names.iter().chain([&id]).take(names.len().max(1)) {
        output::data(format_args!("image/{name} built\n"));
    }
    teller.end(&built, started);
    Ok(0)
}

/// Brings what FROM and --from name and this host lacks. Ctrl-C meanwhile ends it as it ends a
/// pull.
fn fetch(store: Store, mut client: ClientOptions, quiet: bool) -> Fetch {
    let cancel = Cancel::default();
    client.cancel = cancel.clone();
    let client = std::sync::Arc::new(Client::new(client));
    Box::new(move |name, platform| {
        let cancel = cancel.clone();
        // The build holds signals back, and looks at them only between its steps.
        let _watch = Watch::start_within(move || cancel.raise()).map_err(|error| {
            Error::new(Kind::System, format!("cannot watch for signals: {error}"))
        })?;
        let reference: Reference = name.parse()?;
        let options = PullOptions {
            platform: Some(platform.to_string().parse()?),
            ..PullOptions::default()
        };
        let listener = output::progress::listener(output::progress::Form::Auto, quiet);
        registry::pull(&store, &client, &reference, &options, &*listener).map(drop)
    })
}

fn options(arguments: Arguments, location: &Location) -> Result<BuildOptions, Failure> {
    let is_stream = arguments.context.as_os_str() == "-";
    let context = match is_stream {
        true => ContextSource::Stream(stdin("git archive HEAD | insula image build -t NAME -")?),
        false => ContextSource::Directory(arguments.context),
    };
    let mut options = BuildOptions::new(location.path(), context);
    let is_text = arguments
        .file
        .as_ref()
        .is_some_and(|file| file.as_os_str() == "-");
    if is_text {
        if is_stream {
            return Err(Failure::usage(
                "the Containerfile and the context cannot both be stdin",
            ));
        }
        let mut text = String::new();
        let mut input = stdin("insula image build -f - . < Containerfile")?.take(4 << 20);
        input
            .read_to_string(&mut text)
            .map_err(|error| Failure::failed("read the Containerfile").caused_by(&error))?;
        options.text = Some(text);
    } else {
        options.file = arguments.file;
    }
    options.names = arguments.tags;
    options.arguments = given(&arguments.arguments)?;
    options.target = arguments.target;
    options.no_cache = arguments.no_cache;
    options.pull = arguments.pull;
    let client = arguments.trust.options()?;
    options.fetch = Some(fetch(location.images(), client, arguments.quiet));
    options.platform = arguments.platform;
    options.network = arguments.network;
    let Wall::Container = arguments.isolation;
    options.secrets = arguments.secrets.into_iter().collect();
    options.sync = !arguments.no_sync;
    for label in &arguments.labels {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        options.labels.push((name.to_owned(), value.to_owned()));
    }
    options.timestamp = match arguments.timestamp {
        Some(seconds) => Some(seconds),
        None => source_date_epoch()?,
    };
    Ok(options)
}

fn stdin(example: &str) -> Result<Box<dyn Read + Send>, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(
            Failure::usage("stdin is a terminal, and a file is expected there")
                .hint(example.to_owned()),
        );
    }
    Ok(Box::new(stdin))
}

/// `--build-arg NAME=VALUE`, or NAME for the variable of this process, if it is set.
fn given(arguments: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    for argument in arguments {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), std::env::var(argument).ok()),
        };
        if name.is_empty() {
            return Err(Failure::usage(format!("`{argument}` is not NAME=VALUE")));
        }
        given.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(given)
}

/// The time that the environment sets for reproducible builds.
fn source_date_epoch() -> Result<Option<u64>, Failure> {
    let value = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default();
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_wrong| {
        Failure::usage(format!(
            "SOURCE_DATE_EPOCH is `{value}`, not a number of seconds"
        ))
    })
}

/// Tells people, or programs, how a build goes on.
struct Teller {
    form: Form,
    is_quiet: bool,
    /// What the current step said, when nobody was to hear it.
    kept: Vec<u8>,
}

/// No more of a quiet step's output is kept.
const KEPT_BYTES_MAX: usize = 64 << 10;

impl Teller {
    fn new(form: Form, is_quiet: bool) -> Self {
        Self {
            form,
            is_quiet,
            kept: Vec::new(),
        }
    }

    /// Shows what a quiet step said before it failed.
    fn show_kept(&mut self) {
        write_raw(&std::mem::take(&mut self.kept));
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        let over = self.kept.len().saturating_sub(KEPT_BYTES_MAX);
        self.kept.drain(..over);
    }

    fn end(&self, built: &insula_node::build::Built, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        match self.form {
            Form::Plain => output::talk(format_args!(
                "{} steps, {} of them cached, in {seconds:.2} s",
                built.steps, built.cached
            )),
            Form::Json => output::talk(json!({
                "event": "built",
                "id": built.id.to_string(),
                "digest": built.manifest.to_string(),
                "steps": built.steps,
                "cached": built.cached,
                "seconds": seconds,
            })),
        }
    }
}

impl Progress for Teller {
    fn event(&mut self, event: Event<'_>) {
        if self.is_quiet {
            match event {
                Event::Step { .. } => self.kept.clear(),
                Event::Output { bytes, .. } => self.keep(bytes),
                Event::Done { .. } | Event::Warning(_) => {}
            }
            return;
        }
        match self.form {
            Form::Plain => plain(event),
            Form::Json => output::talk(as_json(event)),
        }
    }
}

fn plain(event: Event<'_>) {
    match event {
        Event::Step {
            stage,
            stages,
            step,
            steps,
            text,
            is_cached,
        } => {
            let cached = if is_cached { " (cached)" } else { "" };
            let stage = match stages {
                1 => String::new(),
                _ => format!("{stage}."),
            };
            output::talk(format_args!("[{stage}{step}/{steps}] {text}{cached}"));
        }
        Event::Done { .. } => {}
        Event::Output { bytes, .. } => write_raw(bytes),
        Event::Warning(text) => output::talk(format_args!("warning: {text}")),
    }
}

/// A program's output as it is. A closed standard error is no reason to stop.
fn write_raw(bytes: &[u8]) {
    let _ = std::io::stderr().write_all(bytes);
}

fn as_json(event: Event<'_>) -> serde_json::Value {
    match event {
        Event::Step {
            stage,
            stages,
            step,
            steps,
            text,
            is_cached,
        } => json!({
            "event": "step", "stage": stage, "stages": stages, "step": step, "steps": steps,
            "text": text, "cached": is_cached,
        }),
        Event::Done { took } => json!({"event": "done", "seconds": took.as_secs_f64()}),
        Event::Output { is_error, bytes } => json!({
            "event": "output",
            "stream": if is_error { "stderr" } else { "stdout" },
            "text": String::from_utf8_lossy(bytes),
        }),
        Event::Warning(text) => json!({"event": "warning", "text": text}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets() {
        let file = Secret::File("/k".into());
        assert_eq!(secret("id=a,src=/k"), Ok(("a".to_owned(), file)));
        let variable = |name: &str| Secret::Variable(name.to_owned());
        assert_eq!(secret("id=a,env=B"), Ok(("a".to_owned(), variable("B"))));
        assert_eq!(secret("id=a"), Ok(("a".to_owned(), variable("a"))));
        for wrong in ["", "a", "src=/k", "id=a,x=y"] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_without_a_value_are_the_environment_s() {
        let given = given(&["A=1=2".to_owned(), "INSULA_NOT_SET".to_owned()]).unwrap();
        assert_eq!(given.len(), 1);
        assert_eq!(given["A"], "1=2");
    }
}
