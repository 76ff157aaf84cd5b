//! Stages and steps: what each starts from, its key, and how it is carried out.

use std::path::{Path, PathBuf};
use std::time::Instant;

use insula_container::error::{Context as _, Error, Kind, Result};
use insula_image::containerfile::{
    Base, Copy, CopySource, Ignore, Instruction, Located, MountKind, Platform, Run,
};
use insula_image::{CachedLayer, CachedStep, Digest, Hasher, Image, ImageConfig, read_user};
use std::os::fd::AsFd;

use super::copy::{Copier, Inline};
use super::layer::{Mounted, has_changes, read_union};
use super::options::{Event, Progress, Pull};
use super::selection;
use super::source::{self, Match, SourceRoot};
use super::stage::{Deferred, StageLayer, StageState, key};
use super::step_run::{self, BindSource, Stubs};
use super::tree::{Owner, Tree, ends_as_directory, normal};
use super::workshop::Workshop;
use super::{Builder, check_signals};
use crate::run::image_error;

/// Where a step is, for the progress.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// The place of the stage.
    stage: usize,
    step: usize,
    steps: usize,
}

/// What was looked up to make a step's key, and is of use to carry it out.
#[derive(Debug, Default)]
struct Found {
    /// The files of the context that COPY and ADD name.
    matches: Vec<Match>,
    /// The layers of `--from`, for COPY, or of each bind mount, for RUN. `None` is the context.
    origins: Vec<Option<Vec<StageLayer>>>,
}

impl Builder<'_> {
    /// Builds a stage.
    pub(super) fn stage(&mut self, index: usize, progress: &mut dyn Progress) -> Result<()> {
        let mut state = self.start(index)?;
        let line = self.file.stages[index].line;
        let mut steps = Vec::new();
        for text in state.take_triggers() {
            steps.push(self.file.parse_trigger(line, &text).map_err(image_error)?);
        }
        steps.extend(self.file.stages[index].instructions.iter().cloned());
        let count = steps.len();
        for (number, located) in steps.iter().enumerate() {
            let position = Position {
                stage: index,
                step: number + 1,
                steps: count,
            };
            let result = self.step(&mut state, located, position, progress);
            // What was done before the failure is in the cache all the same.
            if result.is_err() {
                let _ = self.settle(&mut state);
            }
            result?;
        }
        self.settle(&mut state)?;
        self.stages[index] = Some(state);
        Ok(())
    }

    /// What a stage starts from.
    fn start(&mut self, index: usize) -> Result<StageState> {
        let base = self.plan.stages[index].base.clone();
        match base {
            Base::Scratch => {
                let mut config = ImageConfig {
                    architecture: self.platform.architecture.clone(),
                    os: self.platform.os.clone(),
                    ..ImageConfig::default()
                };
                if let Some(variant) = &self.platform.variant {
                    config
                        .other
                        .insert("variant".to_owned(), variant.clone().into());
                }
                Ok(StageState::new(config, Vec::new()))
            }
            Base::Stage(earlier) => {
                let state = self.stages[earlier].as_ref().map(StageState::continued);
                state.ok_or_else(|| Error::new(format!("stage {earlier} was not built")))
            }
            Base::Image { name, platform } => {
                let platform = platform.unwrap_or_else(|| self.platform.clone());
                let stage = &self.file.stages[index];
                let (line, text) = (stage.line, stage.text.clone());
                let (image, layers) = self
                    .image(&name, &platform)
                    .map_err(|error| self.located(line, &text, error))?;
                let mut config = image.config;
                // Of the container that the image was made of, by old versions of docker.
                for name in [
                    "container",
                    "container_config",
                    "docker_version",
                    "id",
                    "parent",
                ] {
                    config.other.remove(name);
                }
                Ok(StageState::new(config, layers))
            }
        }
    }

    /// An image and its layers, brought from a registry when that is asked for.
    fn image(&mut self, name: &str, platform: &Platform) -> Result<(Image, Vec<CachedLayer>)> {
        let found = match self.options.pull {
            Pull::Always => None,
            Pull::Missing | Pull::Never => self.store.resolve(name).ok(),
        };
        let image = match (found, &self.options.fetch) {
            (Some(image), _) => image,
            (None, Some(fetch)) if self.options.pull != Pull::Never => {
                // Transfers start threads, and no process can be made after that.
                if self.workshop.is_none() {
                    self.workshop = Some(Workshop::new(self.options)?);
                }
                fetch(name, platform).map_err(fetch_error)?;
                self.store.resolve(name).map_err(image_error)?
            }
            _ => self.store.resolve(name).map_err(image_error)?,
        };
        if image.config.architecture != platform.architecture {
            return Err(Error::new(format!(
                "image `{name}` is for {}/{}, and {platform} is asked for",
                image.config.os, image.config.architecture
            )));
        }
        let manifest = self.store.manifest(&image.manifest).map_err(image_error)?;
        let descriptors = manifest.layers.into_iter();
        let layers = descriptors.zip(&image.config.rootfs.diff_ids);
        let layers = layers.map(|(descriptor, diff_id)| CachedLayer {
            diff_id: *diff_id,
            descriptor,
        });
        let layers = layers.collect();
        Ok((image, layers))
    }

    fn located(&self, line: u32, text: &str, error: Error) -> Error {
        let hint = error.hint_text().map(str::to_owned);
        let located = image_error(self.file.error(line, text, error.chain())).kind(error.kind_of());
        match hint {
            Some(hint) => located.hint(hint),
            None => located,
        }
    }

    /// One step.
    fn step(
        &mut self,
        state: &mut StageState,
        located: &Located,
        position: Position,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        self.steps += 1;
        self.carry_out(state, located, position, progress)
            .map_err(|error| self.located(located.line, &located.text, error))
    }

    /// Takes a step from the cache, or does it.
    fn carry_out(
        &mut self,
        state: &mut StageState,
        located: &Located,
        position: Position,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        if let Some(workshop) = &self.workshop {
            check_signals(&workshop.signals)?;
        }
        let instruction = state.expand(&located.instruction, self.file.escape);
        let instruction = instruction.map_err(Error::new)?;
        let created_by = created_by(&instruction, located, state);
        let found = self.look_up(&instruction, located, position)?;
        let step = self.step_digest(state, &instruction, &found)?;
        let config = state.config_digest();
        let layers = state.diff_ids();
        let key = layers.map(|layers| key(&config, &layers, &step));
        let cached = key.filter(|_| !self.options.no_cache);
        let cached = cached.and_then(|key| self.cache.get(&key));
        let is_here = |layer: &CachedLayer| self.store.holds(layer);
        let cached = cached.filter(|step| step.layer.as_ref().is_none_or(is_here));
        progress.event(self.event_of(located, position, cached.is_some()));
        if let Some(cached) = cached {
            self.cached += 1;
            state
                .layers
                .extend(cached.layer.clone().map(StageLayer::Known));
            self.apply(state, &instruction)?;
            state.record(&cached.created, created_by, cached.layer.is_some());
            return Ok(());
        }
        let started = Instant::now();
        let below = state.layers.len();
        let has_layer = self.change(state, &instruction, found, progress)?;
        self.apply(state, &instruction)?;
        let created = self.created.clone();
        state.record(&created, created_by, has_layer);
        match key {
            Some(key) if !has_layer => {
                let step = CachedStep::new(created, None);
                self.cache.put(&key, &step).map_err(image_error)?;
            }
            _ => state.deferred.push(Deferred {
                config,
                step,
                below,
                has_layer,
                created,
            }),
        }
        progress.event(Event::Done {
            took: started.elapsed(),
        });
        Ok(())
    }

    fn event_of<'a>(&self, located: &'a Located, position: Position, is_cached: bool) -> Event<'a> {
        Event::Step {
            stage: position.stage + 1,
            stages: self.file.stages.len(),
            step: position.step,
            steps: position.steps,
            text: &located.text,
            is_cached,
        }
    }

    fn apply(&self, state: &mut StageState, instruction: &Instruction) -> Result<()> {
        let outside = |name: &str| {
            let value = self.plan.globals.get(name);
            value
                .or_else(|| self.plan.platform_arguments.get(name))
                .cloned()
        };
        state.apply(instruction, &self.options.arguments, &outside)
    }

    /// Finds what an instruction takes from elsewhere.
    fn look_up(
        &mut self,
        instruction: &Instruction,
        located: &Located,
        position: Position,
    ) -> Result<Found> {
        let mut found = Found::default();
        match instruction {
            Instruction::Copy(copy) | Instruction::Add(copy) => match &copy.from {
                Some(from) => found
                    .origins
                    .push(Some(self.layers_of(from, located, position)?)),
                None if selection::has_paths(copy) => {
                    found.matches = selection::select(&self.context_root()?, copy)?;
                }
                None => {}
            },
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    match &mount.kind {
                        MountKind::Bind {
                            from: Some(from), ..
                        } => {
                            found
                                .origins
                                .push(Some(self.layers_of(from, located, position)?));
                        }
                        MountKind::Bind { from: None, source } => {
                            found.origins.push(None);
                            found.matches.extend(self.context_root()?.find(source)?);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(found)
    }

    fn context_root(&self) -> Result<SourceRoot<'_>> {
        let context = self.context.as_ref().ok_or_else(|| {
            Error::new("there is no context to take files from").hint(
                "give a directory, or an archive of one: insula image build -f FILE DIRECTORY",
            )
        })?;
        Ok(SourceRoot {
            tree: &context.tree,
            ignore: &context.ignore,
            name: "the context",
        })
    }

    /// The layers of a stage above or of an image.
    fn layers_of(
        &mut self,
        name: &str,
        located: &Located,
        position: Position,
    ) -> Result<Vec<StageLayer>> {
        let stage = self.file.stage_called(position.stage, located, name);
        if let Some(stage) = stage.map_err(image_error)? {
            let state = self.stages[stage].as_ref();
            let state = state.ok_or_else(|| Error::new(format!("stage {stage} was not built")))?;
            return Ok(state.layers.clone());
        }
        let platform = self.platform.clone();
        let (_, layers) = self.image(name, &platform)?;
        Ok(layers.into_iter().map(StageLayer::Known).collect())
    }

    /// Everything that a step's result depends on besides the stage so far.
    fn step_digest(
        &mut self,
        state: &StageState,
        instruction: &Instruction,
        found: &Found,
    ) -> Result<Digest> {
        let mut hasher = Hasher::default();
        // Names every field of the instruction; a change of this text costs one build.
        hasher.update(format!("{instruction:?}\n{:?}\n", self.options.timestamp).as_bytes());
        if matches!(instruction, Instruction::Run(_)) {
            hasher.update(
                format!("{:?}\n{:?}\n", state.key_variables(), self.options.network).as_bytes(),
            );
        }
        for origin in found.origins.iter().flatten() {
            for layer in origin {
                if let StageLayer::Known(layer) = layer {
                    hasher.update(layer.diff_id.hex().as_bytes());
                }
            }
            hasher.update(b"\n");
        }
        if let Some(context) = self.context.as_mut().filter(|_| !found.matches.is_empty()) {
            let content = source::digest(&found.matches, &mut context.digests)?;
            hasher.update(content.hex().as_bytes());
        }
        Ok(hasher.finish())
    }

    /// Carries out an instruction that may change files. Says whether there is a new layer.
    fn change(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        found: Found,
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        if !instruction.may_change_files() {
            return Ok(false);
        }
        if self.workshop.is_none() {
            self.workshop = Some(Workshop::new(self.options)?);
        }
        let origins = self.origins(&found)?;
        let workshop = self.workshop()?;
        let lower = workshop.lower(&state.layers)?;
        let below = read_union(&lower)?;
        let mut overlay = lower.clone();
        if overlay.is_empty() {
            let empty = workshop.path("empty");
            std::fs::set_permissions(&empty, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .step(|| "make an empty root")?;
            overlay.push(empty);
        }
        let directory = workshop.next_step();
        let mounted = Mounted::new(overlay.clone(), &directory, &workshop.path("root"))?;
        let stubs = match instruction {
            Instruction::Run(run) => Some(self.run_program(state, run, origins, found, progress)?),
            Instruction::Copy(copy) => {
                self.copy(state, copy, false, (&found.matches, origins), &mounted.root)?;
                None
            }
            Instruction::Add(copy) => {
                self.copy(state, copy, true, (&found.matches, origins), &mounted.root)?;
                None
            }
            Instruction::Workdir(path) => {
                self.make_workdir(state, path, &mounted.root)?;
                None
            }
            _ => None,
        };
        let upper = mounted.finish();
        if let Some(stubs) = stubs {
            stubs.remove(&upper, below.as_ref());
        }
        if !has_changes(&upper, overlay.first().map(PathBuf::as_path))? {
            return Ok(false);
        }
        let modified = self.modified();
        let workshop = self.workshop()?;
        let number = workshop.writer()?.submit(upper.clone(), below, modified);
        state.layers.push(StageLayer::Pending { upper, number });
        Ok(true)
    }

    fn workshop(&mut self) -> Result<&mut Workshop> {
        let workshop = self.workshop.as_mut();
        workshop.ok_or_else(|| Error::new("the build has no place to work"))
    }

    fn modified(&self) -> Option<i64> {
        let seconds = self.options.timestamp?;
        i64::try_from(seconds).ok()
    }

    /// The roots that files are taken from, mounted.
    fn origins(&mut self, found: &Found) -> Result<Vec<BindSource>> {
        let mut roots = Vec::new();
        for origin in &found.origins {
            roots.push(match origin {
                None => {
                    let root = self.context_root()?.tree.root().try_clone();
                    BindSource {
                        root: root.step(|| "open the context")?,
                        is_detached: false,
                    }
                }
                Some(layers) => {
                    let workshop = self.workshop()?;
                    let mut lower = workshop.lower(layers)?;
                    if lower.is_empty() {
                        lower.push(workshop.path("empty"));
                    }
                    let root = read_union(&lower)?;
                    BindSource {
                        root: root.ok_or_else(|| Error::new("nothing can be mounted"))?,
                        is_detached: lower.len() > 1,
                    }
                }
            });
        }
        Ok(roots)
    }

    fn run_program(
        &mut self,
        state: &StageState,
        run: &Run,
        origins: Vec<BindSource>,
        found: Found,
        progress: &mut dyn Progress,
    ) -> Result<Stubs> {
        drop(found);
        let options = self.options;
        let workshop = self.workshop()?;
        let mut prepared = step_run::prepare(options, workshop, state, run, origins)?;
        let (id, path) = (
            workshop.workspace.record.id.clone(),
            workshop.workspace.path.clone(),
        );
        let spec = std::mem::take(&mut prepared.spec);
        let Workshop {
            runner, signals, ..
        } = workshop;
        let code = runner.run(&id, path, spec, signals, progress)?;
        if code != 0 {
            return Err(Error::new(format!("the command ended with code {code}")));
        }
        Ok(prepared.end())
    }

    fn copy(
        &self,
        state: &StageState,
        copy: &Copy,
        is_add: bool,
        (matches, origins): (&[Match], Vec<BindSource>),
        root: &Path,
    ) -> Result<()> {
        let tree = Tree::open(root)?;
        let owner = match &copy.chown {
            Some(text) => Some(owner_of(&tree, text)?),
            None if copy.from.is_some() => None,
            None => Some(Owner::default()),
        };
        let copier = Copier {
            tree: &tree,
            owner,
            mode: copy.chmod.as_deref().map(mode_of).transpose()?,
            modified: self.modified(),
            unpacks: is_add && copy.unpack.unwrap_or(true),
        };
        let inline: Vec<Inline<'_>> = copy
            .sources
            .iter()
            .filter_map(|source| match source {
                CopySource::Inline(heredoc) => Some(Inline {
                    name: &heredoc.name,
                    content: heredoc.content.as_bytes(),
                }),
                CopySource::Path(_) => None,
            })
            .collect();
        let destination = normal(Path::new(&state.absolute(&copy.destination)));
        let is_directory = copy.parents || ends_as_directory(&copy.destination);
        let origin = origins.into_iter().next();
        let Some(origin) = origin else {
            return copier.copy(matches, &inline, &destination, is_directory);
        };
        let source = Tree::of(origin.root);
        let name = copy.from.as_deref().unwrap_or_default();
        let root = SourceRoot {
            tree: &source,
            ignore: &Ignore::default(),
            name: &format!("`{name}`"),
        };
        let matches = selection::select(&root, copy)?;
        copier.copy(&matches, &inline, &destination, is_directory)
    }

    /// The working directory is made if it is missing, for the user that will work there.
    fn make_workdir(&self, state: &StageState, path: &str, root: &Path) -> Result<()> {
        let tree = Tree::open(root)?;
        let user = read_user(tree.root().as_fd(), &state.config.config.user);
        let user = user.map_err(image_error)?;
        let owner = Owner {
            uid: user.uid,
            gid: user.gid,
        };
        let path = normal(Path::new(&state.absolute(path)));
        tree.make_directories(&path, owner, self.modified())?;
        Ok(())
    }

    /// Waits for the layers of a stage, and remembers its steps.
    fn settle(&mut self, state: &mut StageState) -> Result<()> {
        for layer in &mut state.layers {
            if let StageLayer::Pending { number, .. } = layer {
                let workshop = self.workshop()?;
                let added = workshop.writer()?.take(*number)?;
                *layer = StageLayer::Known(CachedLayer {
                    diff_id: added.diff_id,
                    descriptor: added.descriptor,
                });
            }
        }
        let layers = state.diff_ids().unwrap_or_default();
        for deferred in std::mem::take(&mut state.deferred) {
            let key = key(&deferred.config, &layers[..deferred.below], &deferred.step);
            let layer = state
                .layers
                .get(deferred.below)
                .filter(|_| deferred.has_layer);
            let layer = layer.and_then(|layer| match layer {
                StageLayer::Known(layer) => Some(layer.clone()),
                StageLayer::Pending { .. } => None,
            });
            let step = CachedStep::new(deferred.created, layer);
            self.cache.put(&key, &step).map_err(image_error)?;
        }
        Ok(())
    }
}

/// `user:group` by the image's own databases. A number alone is the group's as well.
fn owner_of(tree: &Tree, text: &str) -> Result<Owner> {
    let both = match text.parse::<u32>() {
        Ok(number) => format!("{number}:{number}"),
        Err(_) => text.to_owned(),
    };
    let user = read_user(tree.root().as_fd(), &both).map_err(image_error);
    let user = user.step(|| format!("--chown={text}"))?;
    Ok(Owner {
        uid: user.uid,
        gid: user.gid,
    })
}

fn mode_of(text: &str) -> Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o7777).ok_or_else(|| {
        Error::new(format!("--chmod={text} is not a mode"))
            .hint("give it in octal digits: --chmod=755")
    })
}

/// The line of the history, as docker's tools show it.
fn created_by(instruction: &Instruction, located: &Located, state: &StageState) -> String {
    let name = instruction.name();
    match instruction {
        Instruction::Run(run) => {
            let variables = state.key_variables();
            let arguments = match run.program() {
                step @ insula_image::containerfile::Program::Script(_) => {
                    drop(step);
                    return located.text.clone();
                }
                insula_image::containerfile::Program::Command(command) => {
                    command.arguments(&state.shell())
                }
            };
            let words = if variables.is_empty() {
                String::new()
            } else {
                format!("|{} {} ", variables.len(), variables.join(" "))
            };
            format!("RUN {words}{}", arguments.join(" "))
        }
        Instruction::Workdir(path) => format!("WORKDIR {}", state.absolute(path)),
        Instruction::Env(pairs) | Instruction::Label(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}={value}"));
            format!("{name} {}", pairs.collect::<Vec<_>>().join(" "))
        }
        Instruction::User(user) => format!("USER {user}"),
        _ => located.text.clone(),
    }
}

/// An error of a transfer; one that the user asked to end is an interruption.
fn fetch_error(error: insula_image::Error) -> Error {
    match error.kind() {
        insula_image::Kind::Cancelled => Error::new(error.chain()).kind(Kind::Interrupted),
        _ => image_error(error),
    }
}
