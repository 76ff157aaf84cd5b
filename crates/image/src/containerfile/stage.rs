//! Which stages a build needs, what each starts from, and the variables in front of the first FROM.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::expand::Expander;
use super::instruction::Instruction;
use super::mount::MountKind;
use super::{Containerfile, Located, distance};
use crate::error::{Error, Result};

/// What an image is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

impl Platform {
    /// This host's.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split('/');
        let is_word =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (os, architecture) = (parts.next().filter(is_word), parts.next().filter(is_word));
        let variant = parts.next();
        match (
            os,
            architecture,
            variant.is_none_or(|part| is_word(&part)),
            parts.next(),
        ) {
            (Some(os), Some(architecture), true, None) => Ok(Self {
                os: os.to_ascii_lowercase(),
                architecture: architecture.to_ascii_lowercase(),
                variant: variant.map(str::to_ascii_lowercase),
            }),
            _ => Err(Error::invalid(format!("`{text}` is not a platform"))
                .hint("a platform looks like linux/amd64 or linux/arm64/v8")),
        }
    }
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// No files at all.
    Scratch,
    /// An earlier stage, by its place.
    Stage(usize),
    /// The name of an image, and the platform if FROM says one.
    Image {
        name: String,
        platform: Option<Platform>,
    },
}

/// A stage whose FROM is expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStage {
    pub base: Base,
    /// Whether the target is made of it, directly or through others.
    pub is_needed: bool,
}

/// What is to be done for one target.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All stages of the file, in its order. A stage needs only earlier ones.
    pub stages: Vec<PlannedStage>,
    pub target: usize,
    /// ARG in front of the first FROM; a stage sees those that it declares again.
    pub globals: BTreeMap<String, String>,
    /// `TARGETPLATFORM` and its like; a stage sees those that it declares.
    pub platform_arguments: BTreeMap<String, String>,
}

impl Containerfile {
    /// Expands every FROM and finds the stages that `target`, or the last stage, is made of.
    /// `arguments` are those of `--build-arg`.
    ///
    /// # Errors
    /// There is no such target, or a FROM or a `--from` leads nowhere.
    pub fn plan(
        &self,
        target: Option<&str>,
        arguments: &BTreeMap<String, String>,
        platform: &Platform,
    ) -> Result<Plan> {
        let platform_arguments = platform_arguments(platform);
        let globals = self.global_arguments(arguments, &platform_arguments)?;
        let lookup = |name: &str| {
            let value = globals.get(name).or_else(|| platform_arguments.get(name));
            value.cloned()
        };
        let mut stages = Vec::with_capacity(self.stages.len());
        for index in 0..self.stages.len() {
            let base = self.base(index, &lookup)?;
            stages.push(PlannedStage {
                base,
                is_needed: false,
            });
        }
        let target = self.target(target)?;
        let mut pending = vec![target];
        while let Some(index) = pending.pop() {
            if std::mem::replace(&mut stages[index].is_needed, true) {
                continue;
            }
            pending.extend(self.needs(index, &stages[index].base)?);
        }
        Ok(Plan {
            stages,
            target,
            globals,
            platform_arguments,
        })
    }

    /// The earlier stage that `name` means in the stage at `index`; `None` when it is an image.
    ///
    /// # Errors
    /// It is the stage itself or a later one.
    pub fn stage_called(
        &self,
        index: usize,
        located: &Located,
        name: &str,
    ) -> Result<Option<usize>> {
        let is_it = |stage: &super::Stage| {
            let known = stage.name.as_deref();
            known.is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        let earlier = self.stages[..index].iter().rposition(is_it);
        if earlier.is_some() {
            return Ok(earlier);
        }
        let fail = |reason: String| {
            let error = self.error(located.line, &located.text, reason);
            error.hint("a stage can use files of the stages above it")
        };
        if let Ok(number) = name.parse::<usize>() {
            return match number < index {
                true => Ok(Some(number)),
                false => Err(fail(format!("there is no stage {number} above this one"))),
            };
        }
        match self.stages[index..].iter().any(is_it) {
            true => Err(fail(format!(
                "the stage `{name}` does not come before this line"
            ))),
            false => Ok(None),
        }
    }

    fn global_arguments(
        &self,
        arguments: &BTreeMap<String, String>,
        platform: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>> {
        let mut globals: BTreeMap<String, String> = BTreeMap::new();
        for located in &self.globals {
            let lookup = |name: &str| {
                let value = globals.get(name).or_else(|| platform.get(name));
                value.cloned()
            };
            let expanded = located.instruction.expanded(&Expander {
                escape: self.escape,
                lookup: &lookup,
                keep_quotes: false,
            });
            let expanded =
                expanded.map_err(|reason| self.error(located.line, &located.text, reason))?;
            let Instruction::Arg(list) = expanded else {
                continue;
            };
            for (name, default) in list {
                let value = arguments.get(&name).cloned().or(default);
                globals.extend(value.map(|value| (name, value)));
            }
        }
        Ok(globals)
    }

    fn base(&self, index: usize, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Base> {
        let stage = &self.stages[index];
        let fail = |reason: String| self.error(stage.line, &stage.text, reason);
        let expander = Expander {
            escape: self.escape,
            lookup,
            keep_quotes: false,
        };
        let name = expander.word(&stage.image).map_err(fail)?;
        if name.is_empty() {
            return Err(fail("the name of the image is empty".to_owned())
                .hint("give its ARG a default, or a value: --build-arg NAME=VALUE"));
        }
        if name == "scratch" {
            return Ok(Base::Scratch);
        }
        let is_it =
            |stage: &super::Stage| stage.name.as_deref() == Some(&name.to_ascii_lowercase());
        if let Some(earlier) = self.stages[..index].iter().rposition(is_it) {
            return Ok(Base::Stage(earlier));
        }
        let platform = stage.platform.as_deref();
        let platform = platform
            .map(|text| expander.word(text).map_err(fail))
            .transpose()?
            .filter(|text| !text.is_empty());
        let platform = platform
            .map(|text| text.parse().map_err(|error: Error| fail(error.to_string())))
            .transpose()?;
        Ok(Base::Image { name, platform })
    }

    fn target(&self, target: Option<&str>) -> Result<usize> {
        let last = self.stages.len().saturating_sub(1);
        let Some(target) = target else {
            return Ok(last);
        };
        let is_it = |stage: &super::Stage| {
            let known = stage.name.as_deref();
            known.is_some_and(|known| known.eq_ignore_ascii_case(target))
        };
        if let Some(index) = self.stages.iter().rposition(is_it) {
            return Ok(index);
        }
        if let Ok(number) = target.parse::<usize>()
            && number <= last
        {
            return Ok(number);
        }
        let error = Error::new(
            crate::Kind::NotFound,
            format!("{}: there is no stage `{target}`", self.file),
        );
        let names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
        let near = names.map(|name| (distance(target, name), name)).min();
        Err(match near {
            Some((distance, name)) if distance <= 2 => {
                error.hint(format!("did you mean `{name}`?"))
            }
            _ => error.hint(format!("stages have names, or numbers from 0 to {last}")),
        })
    }

    /// The stages that one stage takes something from.
    fn needs(&self, index: usize, base: &Base) -> Result<BTreeSet<usize>> {
        let mut needs = BTreeSet::new();
        if let Base::Stage(earlier) = base {
            needs.insert(*earlier);
        }
        for located in &self.stages[index].instructions {
            let mut names = Vec::new();
            match &located.instruction {
                Instruction::Copy(copy) => names.extend(copy.from.as_deref()),
                Instruction::Run(run) => {
                    names.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                        MountKind::Bind { from, .. } => from.as_deref(),
                        _ => None,
                    }));
                }
                _ => {}
            }
            for name in names {
                needs.extend(self.stage_called(index, located, name)?);
            }
        }
        Ok(needs)
    }
}

/// The arguments that are there without ARG in front of FROM.
fn platform_arguments(target: &Platform) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", &Platform::host())] {
        let mut set =
            |name: &str, value: String| arguments.insert(format!("{prefix}{name}"), value);
        set("PLATFORM", platform.to_string());
        set("OS", platform.os.clone());
        set("ARCH", platform.architecture.clone());
        set("VARIANT", platform.variant.clone().unwrap_or_default());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, target: Option<&str>, arguments: &[(&str, &str)]) -> Result<Plan> {
        let owned = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let platform = "linux/amd64".parse().unwrap();
        Containerfile::parse(text, "f")?.plan(target, &owned.collect(), &platform)
    }

    const FILE: &str = "ARG V=12\nARG FULL=debian:$V\nFROM $FULL AS Build\nRUN a\n\
        FROM --platform=$BUILDPLATFORM alpine AS unused\n\
        FROM build AS tested\nRUN --mount=from=files,target=/f b\n\
        FROM scratch AS files\nCOPY x /\n\
        FROM scratch\nCOPY --from=0 /a /\nCOPY --from=files /x /\nCOPY --from=busybox /bin /\n";

    #[test]
    fn only_what_the_target_is_made_of_is_needed() {
        let text = FILE.replace("--mount=from=files,target=/f ", "");
        let plan = plan(&text, None, &[("V", "13"), ("OTHER", "1")]).unwrap();
        let needed: Vec<bool> = plan.stages.iter().map(|stage| stage.is_needed).collect();
        assert_eq!(needed, [true, false, false, true, true]);
        assert_eq!(plan.target, 4);
        let image = Base::Image {
            name: "debian:13".to_owned(),
            platform: None,
        };
        assert_eq!(plan.stages[0].base, image);
        assert_eq!(plan.stages[2].base, Base::Stage(0));
        assert_eq!(plan.platform_arguments["TARGETARCH"], "amd64");
    }

    #[test]
    fn targets() {
        let text = FILE.replace("--mount=from=files,target=/f ", "");
        assert_eq!(plan(&text, Some("TESTED"), &[]).unwrap().target, 2);
        assert_eq!(plan(&text, Some("3"), &[]).unwrap().target, 3);
        let error = plan(&text, Some("testet"), &[]).unwrap_err();
        assert_eq!(error.hint_text(), Some("did you mean `tested`?"));
        assert!(plan(&text, Some("5"), &[]).is_err());
    }

    #[test]
    fn stages_that_come_later_cannot_be_used() {
        let error = plan(FILE, Some("tested"), &[]).unwrap_err().to_string();
        assert!(
            error.contains("f:7:") && error.contains("`files` does not come before"),
            "{error}"
        );
        let error = plan("FROM a\nCOPY --from=0 x /", None, &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("no stage 0 above"), "{error}");
        let error = plan("ARG X\nFROM $X", None, &[]).unwrap_err().to_string();
        assert!(error.contains("f:2:") && error.contains("empty"), "{error}");
    }

    #[test]
    fn platforms() {
        let platform: Platform = "linux/arm64/v8".parse().unwrap();
        assert_eq!(platform.to_string(), "linux/arm64/v8");
        for wrong in ["", "linux", "linux/", "a/b/c/d", "a b/c"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
