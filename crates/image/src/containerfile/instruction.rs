//! What an instruction says. Texts are as they were written until [`Instruction::expanded`].

use super::expand::Expander;
use super::line::Heredoc;
use super::mount::Mount;

/// One instruction, FROM aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    Add(Copy),
    Arg(Vec<(String, Option<String>)>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(Vec<(String, String)>),
    /// `80`, `80/udp`, `8000-8010`.
    Expose(Vec<String>),
    /// `None` switches it off.
    Healthcheck(Option<Healthcheck>),
    Label(Vec<(String, String)>),
    Maintainer(String),
    /// The instruction to be run by the build that starts from this image.
    OnBuild(String),
    Run(Run),
    Shell(Vec<String>),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// A program: a line for the shell, or the program's own arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Shell(String),
    Exec(Vec<String>),
}

impl Command {
    /// The arguments, with the shell in front of a line for it.
    #[must_use]
    pub fn arguments(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Exec(arguments) => arguments.clone(),
            Self::Shell(line) => shell.iter().chain([line]).cloned().collect(),
        }
    }
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    pub heredocs: Vec<Heredoc>,
    pub mounts: Vec<Mount>,
    pub network: Option<RunNetwork>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunNetwork {
    None,
    Host,
}

/// What a RUN starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    Command(Command),
    /// A heredoc with a `#!` line: a file to be run.
    Script(String),
}

impl Run {
    /// The program, with heredocs where they belong. A heredoc alone is the shell's script; with a
    /// command in front the shell reads it itself.
    #[must_use]
    pub fn program(&self) -> Program {
        let Command::Shell(line) = &self.command else {
            return Program::Command(self.command.clone());
        };
        let is_alone = !line.contains(char::is_whitespace) && line.contains("<<");
        match self.heredocs.as_slice() {
            [] => Program::Command(self.command.clone()),
            [only] if is_alone => {
                let script = only.stripped();
                if script.starts_with("#!") {
                    return Program::Script(script);
                }
                Program::Command(Command::Shell(script))
            }
            heredocs => {
                let mut text = line.clone();
                for heredoc in heredocs {
                    text.push('\n');
                    text.push_str(&heredoc.content);
                    text.push_str(&heredoc.name);
                }
                Program::Command(Command::Shell(text))
            }
        }
    }
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub sources: Vec<CopySource>,
    pub destination: String,
    /// A stage or an image instead of the context.
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    /// What is left out, in the words of an ignore file.
    pub excludes: Vec<String>,
    /// Whether the directories above a source are copied with it.
    pub parents: bool,
    /// ADD's own: whether archives are unpacked; by itself it does.
    pub unpack: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    Path(String),
    Inline(Heredoc),
}

/// `HEALTHCHECK`; durations in nanoseconds, as docker's image configuration has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    pub command: Command,
    pub interval_ns: u64,
    pub timeout_ns: u64,
    pub start_period_ns: u64,
    pub start_interval_ns: u64,
    pub retries: u32,
}

impl Instruction {
    /// The word it starts with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::OnBuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }

    /// Whether it can change files and thereby make a layer.
    #[must_use]
    pub fn may_change_files(&self) -> bool {
        matches!(
            self,
            Self::Add(_) | Self::Copy(_) | Self::Run(_) | Self::Workdir(_)
        )
    }

    /// With variables expanded and quotes removed where the reference says so: not in RUN, CMD,
    /// ENTRYPOINT, SHELL and HEALTHCHECK, whose text is for a shell or as it is.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn expanded(&self, with: &Expander<'_>) -> Result<Self, String> {
        let word = |text: &String| with.word(text);
        let list = |texts: &[String]| texts.iter().map(word).collect::<Result<Vec<_>, _>>();
        let pairs = |pairs: &[(String, String)]| -> Result<Vec<_>, String> {
            let pair = |(key, value): &(String, String)| Ok((with.word(key)?, with.word(value)?));
            pairs.iter().map(pair).collect()
        };
        Ok(match self {
            Self::Add(copy) => Self::Add(copy.expanded(with)?),
            Self::Copy(copy) => Self::Copy(copy.expanded(with)?),
            Self::Arg(arguments) => {
                let expand = |(name, value): &(String, Option<String>)| {
                    let value = value.as_ref().map(word).transpose()?;
                    Ok::<_, String>((with.word(name)?, value))
                };
                Self::Arg(arguments.iter().map(expand).collect::<Result<_, _>>()?)
            }
            Self::Env(list) => Self::Env(pairs(list)?),
            Self::Label(list) => Self::Label(pairs(list)?),
            Self::Expose(ports) => Self::Expose(with.words(&ports.join(" "))?),
            Self::StopSignal(signal) => Self::StopSignal(with.word(signal)?),
            Self::User(user) => Self::User(with.word(user)?),
            Self::Volume(paths) => Self::Volume(list(paths)?),
            Self::Workdir(path) => Self::Workdir(with.word(path)?),
            Self::Run(run) => {
                let mounts = run.mounts.iter().map(|mount| mount.expanded(with));
                Self::Run(Run {
                    mounts: mounts.collect::<Result<_, _>>()?,
                    ..run.clone()
                })
            }
            Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Healthcheck(_)
            | Self::Maintainer(_)
            | Self::OnBuild(_)
            | Self::Shell(_) => self.clone(),
        })
    }
}

impl Copy {
    fn expanded(&self, with: &Expander<'_>) -> Result<Self, String> {
        let content = Expander {
            keep_quotes: true,
            ..*with
        };
        let source = |source: &CopySource| {
            Ok::<_, String>(match source {
                CopySource::Path(path) => CopySource::Path(with.word(path)?),
                CopySource::Inline(heredoc) => {
                    let text = heredoc.stripped();
                    CopySource::Inline(Heredoc {
                        content: if heredoc.expands {
                            content.word(&text)?
                        } else {
                            text
                        },
                        strips_tabs: false,
                        ..heredoc.clone()
                    })
                }
            })
        };
        let optional =
            |text: &Option<String>| text.as_ref().map(|text| with.word(text)).transpose();
        Ok(Self {
            sources: self.sources.iter().map(source).collect::<Result<_, _>>()?,
            destination: with.word(&self.destination)?,
            chown: optional(&self.chown)?,
            chmod: optional(&self.chmod)?,
            excludes: self
                .excludes
                .iter()
                .map(|text| with.word(text))
                .collect::<Result<_, _>>()?,
            ..self.clone()
        })
    }
}

/// Ports as the configuration's keys, `80/tcp`; a range becomes all its ports.
///
/// # Errors
/// The text is no port, or a range that ends before it starts.
pub fn exposed_ports(text: &str) -> Result<Vec<String>, String> {
    let wrong =
        || format!("`{text}` is not a port: give 1 to 65535, a range 8000-8010, /tcp or /udp");
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        return Err(wrong());
    };
    if first > last {
        return Err(wrong());
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(exposed_ports("80").unwrap(), ["80/tcp"]);
        assert_eq!(
            exposed_ports("8000-8001/UDP").unwrap(),
            ["8000/udp", "8001/udp"]
        );
        for wrong in ["", "0", "70000", "80/icmp", "9-8", "a", "-"] {
            assert!(exposed_ports(wrong).is_err(), "{wrong}");
        }
    }
}
