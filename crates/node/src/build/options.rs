//! What a build can be asked for, and what it tells while it goes on.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use insula_container::cgroup::Manager;
use insula_image::Reference;
use insula_image::containerfile::Platform;

use crate::run::Network;

/// A build.
pub struct BuildOptions {
    /// The root of images and containers, such as `/var/lib/insula`.
    pub store: PathBuf,
    /// Where the engine has the records of its containers.
    pub state: PathBuf,
    pub cgroup_manager: Manager,
    pub context: ContextSource,
    /// The Containerfile's path. Relative to the working directory, or inside an archive. Without
    /// it `Containerfile` and `Dockerfile` of the context are tried.
    pub file: Option<PathBuf>,
    /// The Containerfile's text when it has no path: it came by standard input.
    pub text: Option<String>,
    pub names: Vec<Reference>,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// A stage's name or number; the last one without it.
    pub target: Option<String>,
    /// Do every step again.
    pub no_cache: bool,
    pub pull: Pull,
    /// Brings an image from a registry. Without it only images of this host can be used.
    pub fetch: Option<Fetch>,
    pub labels: Vec<(String, String)>,
    /// What the image is for; this host's without it.
    pub platform: Option<Platform>,
    /// The network of a RUN that does not name one.
    pub network: Network,
    pub secrets: BTreeMap<String, Secret>,
    /// The time of the image and of every file in its new layers, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Wait until the disk has the image.
    pub sync: bool,
}

/// Brings the image of a name and a platform into the store.
pub type Fetch = Box<dyn Fn(&str, &Platform) -> insula_image::Result<()>>;

impl BuildOptions {
    /// A build of the context with defaults for everything else.
    #[must_use]
    pub fn new(store: impl Into<PathBuf>, context: ContextSource) -> Self {
        Self {
            store: store.into(),
            state: crate::rootless::state_root().join("containers"),
            cgroup_manager: crate::rootless::cgroup_manager(),
            context,
            file: None,
            text: None,
            names: Vec::new(),
            arguments: BTreeMap::new(),
            target: None,
            no_cache: false,
            pull: Pull::Missing,
            fetch: None,
            labels: Vec::new(),
            platform: None,
            network: Network::Host,
            secrets: BTreeMap::new(),
            timestamp: None,
            sync: true,
        }
    }
}

impl std::fmt::Debug for BuildOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildOptions")
            .field("store", &self.store)
            .field("file", &self.file)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Where the files of COPY and ADD come from.
pub enum ContextSource {
    Directory(PathBuf),
    /// An archive of the context, or a Containerfile that needs none: told apart by the content.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for ContextSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// When to ask a registry for the images of FROM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    Missing,
    Always,
    Never,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    File(PathBuf),
    Variable(String),
}

/// What a build tells.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A step that was found in the cache, or one that begins. Stages and steps are counted from 1.
    Step {
        stage: usize,
        stages: usize,
        step: usize,
        steps: usize,
        text: &'a str,
        is_cached: bool,
    },
    /// The step that began was carried out.
    Done { took: Duration },
    /// A program's output.
    Output { is_error: bool, bytes: &'a [u8] },
    /// Something that is not as it should be, and does not matter enough to end the build.
    Warning(&'a str),
}

/// Listens to a build.
pub trait Progress {
    fn event(&mut self, event: Event<'_>);
}

impl Progress for () {
    fn event(&mut self, _: Event<'_>) {}
}
