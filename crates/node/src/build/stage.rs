//! A stage while it is built: its configuration, its layers, its variables.
//!
//! Instructions that change no file are carried out here alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use insula_container::error::{Error, Result};
use insula_image::containerfile::{Command, Expander, Healthcheck, Instruction, exposed_ports};
use insula_image::{CachedLayer, Digest, Hasher, History, ImageConfig};
use serde_json::{Value, json};

/// A build argument that is there without ARG, and is in no layer's history.
const PREDEFINED: [&str; 10] = [
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// Changing this makes every step of every cache strange.
const KEY_VERSION: &str = "insula build 1";

/// One layer of a stage.
#[derive(Debug, Clone)]
pub(super) enum StageLayer {
    /// In the store.
    Known(CachedLayer),
    /// Being written: where its files are, and the writer's number.
    Pending { upper: PathBuf, number: usize },
}

/// A step whose key is known only when the layers below it are.
#[derive(Debug, Clone)]
pub(super) struct Deferred {
    pub(super) config: Digest,
    pub(super) step: Digest,
    /// How many layers lie below it.
    pub(super) below: usize,
    pub(super) has_layer: bool,
    pub(super) created: String,
}

#[derive(Debug, Clone)]
pub(super) struct StageState {
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<StageLayer>,
    /// ARG so far, with values.
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) deferred: Vec<Deferred>,
    /// CMD stands in this stage: a later ENTRYPOINT leaves it.
    has_command: bool,
}

impl StageState {
    pub(super) fn new(config: ImageConfig, layers: Vec<CachedLayer>) -> Self {
        Self {
            config,
            layers: layers.into_iter().map(StageLayer::Known).collect(),
            arguments: BTreeMap::new(),
            deferred: Vec::new(),
            has_command: false,
        }
    }

    /// The beginning of a stage that goes on from this one.
    pub(super) fn continued(&self) -> Self {
        Self {
            arguments: BTreeMap::new(),
            deferred: Vec::new(),
            has_command: false,
            ..self.clone()
        }
    }

    /// Takes out what the image has for builds that start from it.
    pub(super) fn take_triggers(&mut self) -> Vec<String> {
        let list = self.config.config.other.remove("OnBuild");
        let list = list
            .and_then(|list| list.as_array().cloned())
            .unwrap_or_default();
        let texts = list.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    /// The value of a variable: ENV wins over ARG.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let environment = self.config.config.env.iter().rev();
        let entry = environment.filter_map(|entry| entry.split_once('='));
        let mut found = entry.filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| value.to_owned());
        value.or_else(|| self.arguments.get(name).cloned())
    }

    /// An instruction with its variables expanded.
    pub(super) fn expand(
        &self,
        instruction: &Instruction,
        escape: char,
    ) -> Result<Instruction, String> {
        instruction.expanded(&Expander {
            escape,
            lookup: &|name| self.variable(name),
            keep_quotes: false,
        })
    }

    /// The arguments that a RUN sees as variables, `NAME=value`, those of `given` that need no ARG
    /// included.
    pub(super) fn run_variables(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        let is_set = |name: &str| {
            let mut environment = self.config.config.env.iter();
            environment.any(|entry| entry.split('=').next() == Some(name))
        };
        let predefined = given
            .iter()
            .filter(|(name, _)| is_predefined(name) && !self.arguments.contains_key(*name));
        let all = self.arguments.iter().chain(predefined);
        let unset = all.filter(|(name, _)| !is_set(name));
        unset
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// The same without what needs no ARG: it changes from place to place and must not decide.
    pub(super) fn key_variables(&self) -> Vec<String> {
        let mut variables = self.run_variables(&BTreeMap::new());
        let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
        variables.retain(|entry| !is_predefined(&name(entry)));
        variables
    }

    pub(super) fn shell(&self) -> Vec<String> {
        let given = self
            .config
            .config
            .other
            .get("Shell")
            .and_then(Value::as_array);
        let given = given.map(|list| {
            let texts = list.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        });
        let given = given.filter(|shell| !shell.is_empty());
        given.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    /// The digests of all layers, when all are known.
    pub(super) fn diff_ids(&self) -> Option<Vec<Digest>> {
        let id = |layer: &StageLayer| match layer {
            StageLayer::Known(layer) => Some(layer.diff_id),
            StageLayer::Pending { .. } => None,
        };
        self.layers.iter().map(id).collect()
    }

    /// What a step depends on besides itself and the layers below.
    pub(super) fn config_digest(&self) -> Digest {
        let config = &self.config;
        let parts = json!([
            config.os,
            config.architecture,
            config.other.get("variant"),
            config.config
        ]);
        Digest::of(parts.to_string().as_bytes())
    }

    /// Adds a line to the history.
    pub(super) fn record(&mut self, created: &str, created_by: String, has_layer: bool) {
        let mut other = BTreeMap::new();
        if !has_layer {
            other.insert("empty_layer".to_owned(), Value::Bool(true));
        }
        self.config.created = Some(created.to_owned());
        self.config.history.push(History {
            created: Some(created.to_owned()),
            created_by: Some(created_by),
            comment: None,
            other,
        });
    }

    /// Applies an expanded instruction to the configuration. RUN, COPY and ADD change nothing here.
    pub(super) fn apply(
        &mut self,
        instruction: &Instruction,
        given: &BTreeMap<String, String>,
        outside: &dyn Fn(&str) -> Option<String>,
    ) -> Result<()> {
        let shell = self.shell();
        let config = &mut self.config.config;
        match instruction {
            Instruction::Arg(list) => {
                for (name, default) in list {
                    let value = given.get(name).cloned().or_else(|| default.clone());
                    if let Some(value) = value.or_else(|| outside(name)) {
                        self.arguments.insert(name.clone(), value);
                    }
                }
            }
            Instruction::Cmd(command) => {
                config.cmd = command.arguments(&shell);
                self.has_command = true;
            }
            Instruction::Entrypoint(command) => {
                config.entrypoint = command.arguments(&shell);
                if !self.has_command {
                    // The base image's was meant for its own program.
                    config.cmd = Vec::new();
                }
            }
            Instruction::Env(pairs) => {
                for (name, value) in pairs {
                    set_variable(&mut config.env, name, value);
                }
            }
            Instruction::Expose(ports) => {
                for port in ports {
                    for key in exposed_ports(port).map_err(Error::new)? {
                        config.exposed_ports.insert(key, json!({}));
                    }
                }
            }
            Instruction::Healthcheck(check) => {
                let value = health_of(check.as_ref(), &shell);
                config.other.insert("Healthcheck".to_owned(), value);
            }
            Instruction::Label(pairs) => config.labels.extend(pairs.iter().cloned()),
            Instruction::Maintainer(name) => self.config.author = Some(name.clone()),
            Instruction::OnBuild(text) => {
                let list = config
                    .other
                    .entry("OnBuild".to_owned())
                    .or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(Value::String(text.clone()));
                }
            }
            Instruction::Shell(list) => {
                config.other.insert("Shell".to_owned(), json!(list));
            }
            Instruction::StopSignal(signal) => config.stop_signal.clone_from(signal),
            Instruction::User(user) => config.user.clone_from(user),
            Instruction::Volume(paths) => {
                let volumes = paths.iter().map(|path| (path.clone(), json!({})));
                config.volumes.extend(volumes);
            }
            Instruction::Workdir(path) => {
                self.config.config.working_dir = self.absolute(path);
            }
            Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(_) => {}
        }
        Ok(())
    }

    /// A path of the image: relative ones are below the working directory.
    pub(super) fn absolute(&self, path: &str) -> String {
        let below = match self.config.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        };
        let joined = std::path::Path::new("/").join(below).join(path);
        format!("/{}", super::tree::normal(&joined).display())
    }
}

/// Whether a build argument needs no ARG.
pub(super) fn is_predefined(name: &str) -> bool {
    PREDEFINED.contains(&name)
}

/// The key of a step in the cache.
pub(super) fn key(config: &Digest, layers: &[Digest], step: &Digest) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(KEY_VERSION.as_bytes());
    for digest in [config].into_iter().chain(layers).chain([step]) {
        hasher.update(digest.hex().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finish()
}

/// Replaces a variable where it is or adds it at the end.
fn set_variable(environment: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    let is_it = |existing: &&mut String| existing.split('=').next() == Some(name);
    match environment.iter_mut().find(is_it) {
        Some(existing) => *existing = entry,
        None => environment.push(entry),
    }
}

/// Docker's form in the image configuration.
fn health_of(check: Option<&Healthcheck>, shell: &[String]) -> Value {
    let Some(check) = check else {
        return json!({"Test": ["NONE"]});
    };
    let test = match &check.command {
        Command::Exec(list) => [vec!["CMD".to_owned()], list.clone()].concat(),
        // The default shell is docker's own word for it.
        Command::Shell(line) if shell == ["/bin/sh", "-c"] => {
            vec!["CMD-SHELL".to_owned(), line.clone()]
        }
        Command::Shell(_) => [vec!["CMD".to_owned()], check.command.arguments(shell)].concat(),
    };
    let mut value = json!({ "Test": test });
    for (name, number) in [
        ("Interval", check.interval_ns),
        ("Timeout", check.timeout_ns),
        ("StartPeriod", check.start_period_ns),
        ("StartInterval", check.start_interval_ns),
        ("Retries", u64::from(check.retries)),
    ] {
        if number > 0 {
            value[name] = json!(number);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use insula_image::containerfile::Containerfile;

    use super::*;

    fn applied(text: &str, given: &[(&str, &str)]) -> StageState {
        let file = Containerfile::parse(&format!("FROM x\n{text}"), "f").unwrap();
        let mut state = StageState::new(ImageConfig::default(), Vec::new());
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let given = given.collect();
        for located in &file.stages[0].instructions {
            let expanded = state.expand(&located.instruction, '\\').unwrap();
            state.apply(&expanded, &given, &|_| None).unwrap();
        }
        state
    }

    #[test]
    fn the_configuration_is_docker_s() {
        let text = "ENV A=1\nENV A=2 B=$A\nWORKDIR /srv\nWORKDIR app/$B\nEXPOSE 80 8000-8001/udp\n\
            CMD old\nENTRYPOINT [\"run\"]\nVOLUME /data\nUSER 5\nLABEL a=\"b c\"\n\
            SHELL [\"/bin/bash\", \"-ec\"]\nHEALTHCHECK --interval=5s CMD test\nONBUILD RUN x\n\
            CMD made $A\n";
        let state = applied(text, &[]);
        let config = &state.config.config;
        assert_eq!(config.env, ["A=2", "B=1"]);
        assert_eq!(config.working_dir, "/srv/app/1");
        let ports: Vec<_> = config.exposed_ports.keys().collect();
        assert_eq!(ports, ["80/tcp", "8000/udp", "8001/udp"]);
        assert_eq!(config.entrypoint, ["run"]);
        assert_eq!(config.cmd, ["/bin/bash", "-ec", "made $A"]);
        assert_eq!(config.labels["a"], "b c");
        let check = &config.other["Healthcheck"];
        assert_eq!(check["Test"], json!(["CMD", "/bin/bash", "-ec", "test"]));
        assert_eq!(check["Interval"], 5_000_000_000_u64);
        assert_eq!(config.other["OnBuild"], json!(["RUN x"]));
    }

    #[test]
    fn arguments_are_variables_of_run_and_env_wins() {
        let text = "ARG A=1\nARG B\nARG C=3\nENV C=env\nLABEL x=$A$B$C\n";
        let state = applied(text, &[("B", "given"), ("http_proxy", "p"), ("other", "x")]);
        assert_eq!(state.config.config.labels["x"], "1givenenv");
        let given = BTreeMap::from([("http_proxy".to_owned(), "p".to_owned())]);
        let variables = state.run_variables(&given);
        assert_eq!(variables, ["A=1", "B=given", "http_proxy=p"]);
        assert_eq!(state.key_variables(), ["A=1", "B=given"]);
    }
}
