//! Which registries a name may stand for, and which hosts serve a registry: `registries.conf`.
//!
//! The format is version 2 of containers-registries.conf(5), as podman, skopeo and buildah read
//! it: `unqualified-search-registries`, `[[registry]]` with mirrors, `[aliases]`. Read are
//! `$CONTAINERS_REGISTRIES_CONF` alone, or else the user's file or that of `/etc`, and then the
//! drop-ins of `registries.conf.d`, later files over earlier ones. Without any of them, a short
//! name means docker.io. Start reading at [`Configuration::candidates`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context, Error, Kind, Result};
use crate::reference::Reference;

/// What a short name means when nothing is configured.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The host that answers for it: docker.io itself serves web pages.
const DOCKER_HOST: &str = "registry-1.docker.io";
/// Other names of docker.io that old configurations use.
const DOCKER_NAMES: [&str; 3] = ["docker.io", "index.docker.io", DOCKER_HOST];

/// The rules for all registries.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    search: Vec<String>,
    registries: Vec<Registry>,
    aliases: BTreeMap<String, String>,
}

/// A place that serves the images of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as in an image's name.
    pub(crate) host: String,
    /// The repository there.
    pub(crate) path: String,
    /// Certificates are not checked, and plain HTTP will do.
    pub(crate) insecure: bool,
    pub(crate) is_mirror: bool,
}

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default, rename = "registry")]
    registries: Vec<Registry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    /// Version 1 of the format.
    registries_v1: Option<toml::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    #[serde(rename = "mirror")]
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: PullFrom,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

impl Configuration {
    /// What this host and this user have configured.
    ///
    /// # Errors
    /// A file cannot be read or is malformed.
    pub fn load() -> Result<Self> {
        let mut configuration = Self::default();
        if let Some(path) = std::env::var_os("CONTAINERS_REGISTRIES_CONF") {
            configuration.add_file(Path::new(&path))?;
            return Ok(configuration);
        }
        let own = super::user_directory(".config/containers");
        let system = PathBuf::from("/etc/containers");
        let directories = std::iter::once(&system).chain(&own);
        let mains = directories.clone().map(|path| path.join("registries.conf"));
        if let Some(main) = mains.rev().find(|path| path.exists()) {
            configuration.add_file(&main)?;
        }
        for directory in directories {
            configuration.add_directory(&directory.join("registries.conf.d"))?;
        }
        Ok(configuration)
    }

    /// Adds a file; what it says wins over what is here.
    ///
    /// # Errors
    /// It cannot be read or is malformed.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let named = || format!("read {}", path.display());
        let text = std::fs::read_to_string(path).step(named)?;
        self.add(&text).step(named)
    }

    fn add_directory(&mut self, path: &Path) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(path) else {
            return Ok(());
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "conf"))
            .collect();
        files.sort();
        files.iter().try_for_each(|file| self.add_file(file))
    }

    fn add(&mut self, text: &str) -> Result<()> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].lines().count().max(1));
            Error::invalid(format!("line {line}: {}", error.message()))
        })?;
        if document.registries_v1.is_some() || text.contains("[registries.") {
            return Err(Error::invalid("this is version 1 of the format")
                .hint("write it as [[registry]] tables: man containers-registries.conf"));
        }
        if let Some(search) = document.unqualified_search_registries {
            self.search = search;
        }
        for mut registry in document.registries {
            registry.complete()?;
            self.registries
                .retain(|known| known.prefix != registry.prefix);
            self.registries.push(registry);
        }
        self.aliases.extend(document.aliases);
        Ok(())
    }

    /// The full names that `reference` may stand for, the likeliest first: itself when it names a
    /// registry, its alias, or one for each registry that is searched.
    ///
    /// # Errors
    /// What is configured does not make a well-formed name of it.
    pub fn candidates(&self, reference: &Reference) -> Result<Vec<Reference>> {
        if reference.host().is_some() {
            return Ok(vec![with_library(reference)?]);
        }
        if let Some(alias) = self.aliases.get(reference.name()) {
            let full = reference
                .with_name(alias)
                .step(|| format!("the alias of `{}` in registries.conf", reference.name()))?;
            return Ok(vec![with_library(&full)?]);
        }
        let default = [DEFAULT_REGISTRY.to_owned()];
        let search = if self.search.is_empty() {
            &default[..]
        } else {
            &self.search
        };
        search
            .iter()
            .map(|registry| {
                let full = reference
                    .with_name(&format!("{registry}/{}", reference.name()))
                    .step(|| format!("search registry `{registry}` of registries.conf"))?;
                with_library(&full)
            })
            .collect()
    }

    /// Who serves `full`, a name with a registry: its mirrors, then the registry itself.
    ///
    /// # Errors
    /// The registry is blocked, or what is configured is malformed.
    pub(crate) fn endpoints(&self, full: &Reference) -> Result<Vec<Endpoint>> {
        let Some(registry) = self.rule(full.name()) else {
            return Ok(vec![Endpoint::of(full.name(), false, false)]);
        };
        if registry.blocked {
            return Err(Error::new(
                Kind::Denied,
                format!(
                    "registry `{}` is blocked by registries.conf",
                    registry.prefix
                ),
            ));
        }
        let by_digest = full.digest().is_some();
        let rewritten = |location: &str| {
            // A rule whose prefix is a wildcard has no location of its own.
            match full.name().strip_prefix(&*registry.prefix) {
                Some(rest) if !location.is_empty() => format!("{location}{rest}"),
                _ => full.name().to_owned(),
            }
        };
        let mirrors = registry.mirrors.iter().filter(|mirror| {
            match (mirror.pull_from_mirror, registry.mirror_by_digest_only) {
                (PullFrom::DigestOnly, _) | (PullFrom::All, true) => by_digest,
                (PullFrom::TagOnly, _) => !by_digest,
                (PullFrom::All, false) => true,
            }
        });
        let mut endpoints: Vec<Endpoint> = mirrors
            .map(|mirror| Endpoint::of(&rewritten(&mirror.location), mirror.insecure, true))
            .collect();
        let own = rewritten(&registry.location);
        endpoints.push(Endpoint::of(&own, registry.insecure, false));
        Ok(endpoints)
    }

    /// Whether plain HTTP and unknown certificates will do for this host.
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        self.rule(host).is_some_and(|registry| registry.insecure)
    }

    /// The rule with the longest prefix of `name`.
    fn rule(&self, name: &str) -> Option<&Registry> {
        let matching = self.registries.iter().filter(|rule| rule.matches(name));
        matching.max_by_key(|rule| rule.prefix.len())
    }
}

impl Registry {
    /// Either of prefix and location stands for the other.
    fn complete(&mut self) -> Result<()> {
        if self.prefix.is_empty() {
            self.prefix.clone_from(&self.location);
        }
        if self.prefix.is_empty() {
            return Err(Error::invalid(
                "a [[registry]] has no prefix and no location",
            ));
        }
        if self.location.is_empty() && !self.prefix.starts_with("*.") {
            self.location.clone_from(&self.prefix);
        }
        for location in self.mirrors.iter().map(|mirror| &mirror.location) {
            if location.is_empty() || location.contains("://") {
                return Err(Error::invalid(format!(
                    "a mirror of `{}` has the location `{location}`: write HOST[:PORT][/PATH]",
                    self.prefix
                )));
            }
        }
        Ok(())
    }

    /// `*.example.com` is any host below; everything else ends at a `/`, `:`, `@` or the end.
    fn matches(&self, name: &str) -> bool {
        if let Some(domain) = self.prefix.strip_prefix('*') {
            let host = name.split('/').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default();
            return host.ends_with(domain);
        }
        name.strip_prefix(&*self.prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
    }
}

impl Endpoint {
    /// From `host[:port]/path`.
    fn of(name: &str, insecure: bool, is_mirror: bool) -> Self {
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let is_docker = DOCKER_NAMES.contains(&host);
        Self {
            host: if is_docker { DOCKER_HOST } else { host }.to_owned(),
            path: path.to_owned(),
            insecure,
            is_mirror,
        }
    }

    /// The name under which users know the host: `docker login` asks for docker.io.
    pub(crate) fn display_host(&self) -> &str {
        if self.host == DOCKER_HOST {
            DEFAULT_REGISTRY
        } else {
            &self.host
        }
    }
}

/// The host that answers for a registry as users name it.
pub(crate) fn api_host(registry: &str) -> &str {
    if DOCKER_NAMES.contains(&registry) {
        DOCKER_HOST
    } else {
        registry
    }
}

/// docker.io keeps names of one word below `library/`.
fn with_library(full: &Reference) -> Result<Reference> {
    match full.host() {
        Some(host) if DOCKER_NAMES.contains(&host) => {
            let path = full.path();
            let library = if path.contains('/') { "" } else { "library/" };
            full.with_name(&format!("{DEFAULT_REGISTRY}/{library}{path}"))
        }
        _ => Ok(full.clone()),
    }
}

#[cfg(test)]
mod tests;
