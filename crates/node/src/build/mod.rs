//! `insula image build`: a Containerfile becomes an image.
//!
//! ```text
//!  parse, plan               which stages the target is made of
//!  each step: its key ─────▶ in the cache: its layer is known, nothing is done
//!               └─▶ not: execute.rs, in a workshop (workshop.rs)
//!                     RUN        a container on the layers so far (step_run.rs, runner.rs)
//!                     COPY, ADD  files into the mounted union (copy.rs)
//!                     changes ─▶ a layer, by another thread (layer.rs)
//!  configuration, manifest   commit, unless that very image is here
//! ```
//!
//! The key of a step is a digest of the configuration so far, the layers below, the instruction
//! with its variables, and the content of the files that it copies. A build that finds every step
//! makes no directory, no process and no mount. Start reading at [`build`].

mod commit;
mod context;
mod copy;
mod digest;
mod execute;
mod layer;
mod options;
mod runner;
mod selection;
mod source;
mod stage;
mod step_run;
mod tree;
mod workshop;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use insula_container::error::{Error, Kind, Result};
use insula_image::containerfile::{Containerfile, Plan, Platform};
use insula_image::{BuildCache, Digest, Store, rfc3339};
use insula_sys::process::SignalFd;
use insula_sys::rustix::process::Signal;

use context::{Context, Streamed};
pub use options::{BuildOptions, ContextSource, Event, Fetch, Progress, Pull, Secret};
use stage::StageState;
use workshop::Workshop;

use crate::run::image_error;

/// An image that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The digest of the image configuration: the identifier users see.
    pub id: Digest,
    pub manifest: Digest,
    /// Steps that were found in the cache, and all of them.
    pub cached: usize,
    pub steps: usize,
}

/// A build that is going on.
struct Builder<'a> {
    options: &'a BuildOptions,
    file: Containerfile,
    plan: Plan,
    platform: Platform,
    store: Store,
    cache: BuildCache,
    context: Option<Context>,
    workshop: Option<Workshop>,
    /// Stages that are finished, by their place.
    stages: Vec<Option<StageState>>,
    /// RFC 3339: of everything that is made now.
    created: String,
    cached: usize,
    steps: usize,
}

/// Builds an image.
///
/// As soon as something has to be done this process holds all its signals back, takes the mask 022
/// and a mount namespace of its own: it should end when this returns. It must have a single thread.
///
/// # Errors
/// The Containerfile is wrong, or a step fails; the error names its file, line and text. Nothing of
/// the image is left then, but the cache has the steps that were done.
pub fn build(mut options: BuildOptions, progress: &mut dyn Progress) -> Result<Built> {
    let mut workshop = None;
    let opened = open(&mut options, &mut workshop);
    let result = opened.and_then(|(file, context)| {
        let mut builder = Builder::new(&options, file, context, workshop.take())?;
        let result = builder.run(progress);
        workshop = builder.workshop.take();
        result
    });
    if let Some(workshop) = workshop {
        workshop.abandon();
    }
    result
}

/// Reads the Containerfile and opens the context.
fn open(
    options: &mut BuildOptions,
    workshop: &mut Option<Workshop>,
) -> Result<(Containerfile, Option<Context>)> {
    let cache = Store::new(&options.store).build_cache();
    let nothing = ContextSource::Directory(std::path::PathBuf::new());
    let stream = match std::mem::replace(&mut options.context, nothing) {
        ContextSource::Stream(stream) => stream,
        ContextSource::Directory(path) => {
            let (file, parsed) = match &options.text {
                Some(text) => (None, parse_input(text)?),
                None => {
                    let (file, parsed) = context::containerfile(&path, options.file.as_deref())?;
                    (Some(file), parsed)
                }
            };
            let context = Context::open(&path, file.as_deref(), Some(&cache))?;
            return Ok((parsed, Some(context)));
        }
    };
    let made = workshop.insert(Workshop::new(options)?);
    let target = made.path("context");
    match context::receive(stream, &made.path("stdin"), &target)? {
        Streamed::Text(text) => Ok((parse_input(&text)?, None)),
        Streamed::Archive => {
            let file = options.file.as_deref();
            let file = file.map(|file| target.join(tree::normal(file)));
            let (file, mut parsed) = context::containerfile(&target, file.as_deref())?;
            let name = file
                .strip_prefix(&target)
                .unwrap_or_else(|_| Path::new("Containerfile"));
            parsed.file = name.display().to_string();
            let context = Context::open(&target, Some(&file), None)?;
            Ok((parsed, Some(context)))
        }
    }
}

fn parse_input(text: &str) -> Result<Containerfile> {
    Containerfile::parse(text, "stdin").map_err(image_error)
}

impl<'a> Builder<'a> {
    fn new(
        options: &'a BuildOptions,
        file: Containerfile,
        context: Option<Context>,
        workshop: Option<Workshop>,
    ) -> Result<Self> {
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let plan = file.plan(options.target.as_deref(), &options.arguments, &platform);
        let plan = plan.map_err(image_error)?;
        let store = Store::new(&options.store);
        let now = match options.timestamp {
            Some(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
            None => SystemTime::now(),
        };
        Ok(Self {
            options,
            stages: vec![None; file.stages.len()],
            file,
            plan,
            platform,
            cache: store.build_cache(),
            store,
            context,
            workshop,
            created: rfc3339(now),
            cached: 0,
            steps: 0,
        })
    }

    fn run(&mut self, progress: &mut dyn Progress) -> Result<Built> {
        let result = self.all_stages(progress);
        if let Some(context) = &mut self.context {
            context.digests.save();
        }
        result?;
        self.warn_of_unused_arguments(progress);
        self.commit()
    }

    fn all_stages(&mut self, progress: &mut dyn Progress) -> Result<()> {
        for index in 0..self.plan.stages.len() {
            if self.plan.stages[index].is_needed {
                self.stage(index, progress)?;
            }
        }
        Ok(())
    }

    /// A build argument that nobody asks for is a slip of the fingers.
    fn warn_of_unused_arguments(&self, progress: &mut dyn Progress) {
        use insula_image::containerfile::Instruction;
        let located = self
            .file
            .stages
            .iter()
            .flat_map(|stage| &stage.instructions);
        let declared =
            located
                .chain(&self.file.globals)
                .filter_map(|located| match &located.instruction {
                    Instruction::Arg(list) => Some(list.iter().map(|(name, _)| name.as_str())),
                    _ => None,
                });
        let declared: std::collections::BTreeSet<&str> = declared.flatten().collect();
        for name in self.options.arguments.keys() {
            if !declared.contains(name.as_str()) && !stage::is_predefined(name) {
                let text = format!("no ARG asks for the build argument `{name}`");
                progress.event(Event::Warning(&text));
            }
        }
    }
}

/// An error when one of the signals that end programs has come. Others mean nothing to a build.
fn check_signals(signals: &SignalFd) -> Result<()> {
    let ending = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
    while let Ok(Some(number)) = signals.read() {
        if ending.iter().any(|signal| signal.as_raw() == number) {
            return Err(Error::new("interrupted").kind(Kind::Interrupted));
        }
    }
    Ok(())
}
