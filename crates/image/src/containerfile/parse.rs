//! One logical line becomes one instruction.

use super::instruction::{Command, Copy, CopySource, Healthcheck, Instruction, Run, RunNetwork};
use super::line::{self, Heredoc};
use super::mount::Mount;
use super::word::{Flag, flags, is_mixed_list, json_list, pairs};

/// A reason and, perhaps, what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}

type Parsed<T> = Result<T, Wrong>;

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// `FROM`, unexpanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaseImage {
    pub(super) image: String,
    pub(super) name: Option<String>,
    pub(super) platform: Option<String>,
}

/// What a line can be.
#[derive(Debug)]
pub(super) enum Statement {
    From(BaseImage),
    Instruction(Instruction),
}

/// What the instructions' own parsers get.
struct Input<'a> {
    text: &'a str,
    escape: char,
    heredocs: Vec<Heredoc>,
}

/// Reads one line. `heredocs` are those that it announces.
pub(super) fn statement(text: &str, heredocs: Vec<Heredoc>, escape: char) -> Parsed<Statement> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = word.to_ascii_uppercase();
    let input = Input {
        text: rest.trim(),
        escape,
        heredocs,
    };
    if !NAMES.contains(&name.as_str()) {
        return Err(unknown(word, &name));
    }
    if input.text.is_empty() {
        return Err(Wrong::new(format!("{name} needs an argument")).hint(example(&name)));
    }
    if name == "FROM" {
        return from(&input).map(Statement::From);
    }
    instruction(&name, input).map(Statement::Instruction)
}

fn instruction(name: &str, input: Input<'_>) -> Parsed<Instruction> {
    let text = input.text;
    let has_flags = matches!(name, "ADD" | "COPY" | "RUN" | "HEALTHCHECK");
    if !has_flags && let Some(flag) = flags(text, input.escape).0.first() {
        // ENV --x=1 and the like: nobody calls a variable so.
        return Err(Wrong::new(format!("{name} has no flag `--{}`", flag.name)));
    }
    Ok(match name {
        "ADD" => Instruction::Add(copy(&input, true)?),
        "COPY" => Instruction::Copy(copy(&input, false)?),
        "ARG" => Instruction::Arg(arguments(&input)?),
        "CMD" => Instruction::Cmd(command(text)?),
        "ENTRYPOINT" => Instruction::Entrypoint(command(text)?),
        "ENV" => Instruction::Env(pairs(text, input.escape)?),
        "LABEL" => Instruction::Label(pairs(text, input.escape)?),
        "EXPOSE" => Instruction::Expose(whitespace(text)),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(&input)?),
        "MAINTAINER" => Instruction::Maintainer(text.to_owned()),
        "ONBUILD" => Instruction::OnBuild(trigger(input)?),
        "RUN" => Instruction::Run(run(input)?),
        "SHELL" => match json_list(text) {
            Some(list) if !list.is_empty() => Instruction::Shell(list),
            _ => return Err(Wrong::new("SHELL takes the JSON form").hint(example(name))),
        },
        "STOPSIGNAL" => Instruction::StopSignal(text.to_owned()),
        "USER" => Instruction::User(text.to_owned()),
        "VOLUME" => Instruction::Volume(list(text)?),
        _ => Instruction::Workdir(text.to_owned()),
    })
}

fn unknown(word: &str, name: &str) -> Wrong {
    let wrong = Wrong::new(format!("there is no instruction `{word}`"));
    let near = NAMES
        .iter()
        .map(|known| (super::distance(name, known), known));
    match near.min() {
        Some((distance, known)) if distance <= 1 + name.len() / 3 => {
            wrong.hint(format!("did you mean `{known}`?"))
        }
        _ => wrong.hint(format!("instructions are {}", NAMES.join(", "))),
    }
}

fn example(name: &str) -> String {
    let example = match name {
        "ADD" => "ADD rootfs.tar.gz /",
        "ARG" => "ARG VERSION=1.2",
        "CMD" => "CMD [\"nginx\", \"-g\", \"daemon off;\"]",
        "COPY" => "COPY src/ /app/",
        "ENTRYPOINT" => "ENTRYPOINT [\"/app/run\"]",
        "ENV" => "ENV LANG=C.UTF-8",
        "EXPOSE" => "EXPOSE 80/tcp",
        "FROM" => "FROM debian:12 AS build",
        "HEALTHCHECK" => "HEALTHCHECK --interval=30s CMD curl -f http://localhost/",
        "LABEL" => "LABEL org.opencontainers.image.title=app",
        "MAINTAINER" => "LABEL org.opencontainers.image.authors=…",
        "ONBUILD" => "ONBUILD COPY . /app/src",
        "RUN" => "RUN make install",
        "SHELL" => "SHELL [\"/bin/bash\", \"-c\"]",
        "STOPSIGNAL" => "STOPSIGNAL SIGINT",
        "USER" => "USER 1000:1000",
        "VOLUME" => "VOLUME /data",
        _ => "WORKDIR /app",
    };
    format!("for example: {example}")
}

fn from(input: &Input<'_>) -> Parsed<BaseImage> {
    let (found, rest) = flags(input.text, input.escape);
    let mut platform = None;
    for flag in found {
        match (flag.name.as_str(), flag.value) {
            ("platform", Some(value)) => platform = Some(value),
            (name, _) => return Err(unknown_flag("FROM", name, &["platform"])),
        }
    }
    let words = whitespace(rest);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => {
            (image, Some(name.to_ascii_lowercase()))
        }
        _ => {
            return Err(
                Wrong::new("FROM takes an image and perhaps AS and a name").hint(example("FROM"))
            );
        }
    };
    let is_name = |name: &String| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if let Some(name) = &name
        && !is_name(name)
    {
        return Err(Wrong::new(format!("`{name}` is not a name for a stage"))
            .hint("a name is a letter, then letters, digits and the characters - _ ."));
    }
    if name.as_deref() == Some("scratch") {
        return Err(Wrong::new(
            "`scratch` means the empty image and cannot name a stage",
        ));
    }
    Ok(BaseImage {
        image: (*image).to_owned(),
        name,
        platform,
    })
}

fn whitespace(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// A JSON list, or words; quotes of words stay for the expansion.
fn list(text: &str) -> Parsed<Vec<String>> {
    match json_list(text) {
        Some(list) if list.is_empty() => Err(Wrong::new("the list is empty")),
        Some(list) => Ok(list),
        None if is_mixed_list(text) => Err(mixed()),
        None => Ok(whitespace(text)),
    }
}

fn mixed() -> Wrong {
    Wrong::new("the JSON list has something else than texts in it")
        .hint("put every argument in double quotes: [\"sleep\", \"10\"]")
}

fn command(text: &str) -> Parsed<Command> {
    match json_list(text) {
        Some(list) => Ok(Command::Exec(list)),
        None if is_mixed_list(text) => Err(mixed()),
        // As docker does: a list that is no JSON is a line for the shell.
        None => Ok(Command::Shell(text.to_owned())),
    }
}

fn arguments(input: &Input<'_>) -> Parsed<Vec<(String, Option<String>)>> {
    let words = super::word::split_raw(input.text, input.escape);
    let argument = |word: &String| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if name.is_empty() || name.contains(['"', '\'', '$']) {
            return Err(
                Wrong::new(format!("`{word}` is not NAME or NAME=value")).hint(example("ARG"))
            );
        }
        Ok((name.to_owned(), value))
    };
    words.iter().map(argument).collect()
}

fn unknown_flag(instruction: &str, name: &str, known: &[&str]) -> Wrong {
    let wrong = Wrong::new(format!("{instruction} has no flag `--{name}`"));
    let near = known
        .iter()
        .map(|known| (super::distance(name, known), known));
    match near.min() {
        Some((distance, known)) if distance <= 2 => {
            wrong.hint(format!("did you mean `--{known}`?"))
        }
        _ => wrong.hint(format!("there is --{}", known.join(", --"))),
    }
}

fn value_of(flag: &Flag) -> Parsed<String> {
    match &flag.value {
        Some(value) if !value.is_empty() => Ok(value.clone()),
        _ => Err(Wrong::new(format!(
            "the flag `--{}` needs a value",
            flag.name
        ))),
    }
}

fn is_on(flag: &Flag) -> Parsed<bool> {
    match flag.value.as_deref() {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(Wrong::new(format!(
            "`--{}={other}`: neither true nor false",
            flag.name
        ))),
    }
}

fn copy(input: &Input<'_>, is_add: bool) -> Parsed<Copy> {
    let (found, rest) = flags(input.text, input.escape);
    let mut copy = Copy {
        sources: Vec::new(),
        destination: String::new(),
        from: None,
        chown: None,
        chmod: None,
        excludes: Vec::new(),
        parents: false,
        unpack: None,
    };
    for flag in &found {
        copy_flag(&mut copy, flag, is_add)?;
    }
    let mut words = list(rest)?;
    let name = if is_add { "ADD" } else { "COPY" };
    let destination = words.pop().filter(|_| !words.is_empty());
    let Some(destination) = destination else {
        return Err(
            Wrong::new(format!("{name} needs a source and a destination")).hint(example(name)),
        );
    };
    copy.destination = destination;
    for word in words {
        let announced = line::heredoc(&word, input.escape);
        let heredoc = announced.and_then(|announced| {
            let same = |heredoc: &&Heredoc| heredoc.name == announced.name;
            input.heredocs.iter().find(same)
        });
        copy.sources.push(match heredoc {
            Some(heredoc) => CopySource::Inline(heredoc.clone()),
            None => {
                refuse_address(&word, is_add)?;
                CopySource::Path(word)
            }
        });
    }
    Ok(copy)
}

fn copy_flag(copy: &mut Copy, flag: &Flag, is_add: bool) -> Parsed<()> {
    match flag.name.as_str() {
        "from" if !is_add => {
            let from = value_of(flag)?;
            if from.contains('$') {
                return Err(Wrong::new("--from takes no variables").hint(
                    "name a stage by a variable: FROM $IMAGE AS files, and COPY --from=files",
                ));
            }
            copy.from = Some(from);
        }
        "chown" => copy.chown = Some(value_of(flag)?),
        "chmod" => copy.chmod = Some(value_of(flag)?),
        // Each layer stands for itself here anyhow.
        "link" => drop(is_on(flag)?),
        "exclude" => copy.excludes.push(value_of(flag)?),
        "parents" if !is_add => copy.parents = is_on(flag)?,
        "unpack" if is_add => copy.unpack = Some(is_on(flag)?),
        "checksum" | "keep-git-dir" if is_add => {
            return Err(Wrong::new(format!(
                "--{} is for addresses, which ADD does not fetch here",
                flag.name
            ))
            .hint("fetch and check it in a RUN: RUN curl -fsSLO … && echo '…' | sha256sum -c"));
        }
        name => {
            let known: &[&str] = if is_add {
                &["chown", "chmod", "exclude", "link", "unpack"]
            } else {
                &["from", "chown", "chmod", "exclude", "link", "parents"]
            };
            return Err(unknown_flag(
                if is_add { "ADD" } else { "COPY" },
                name,
                known,
            ));
        }
    }
    Ok(())
}

/// An address that ADD would have to fetch.
pub(super) fn is_address(word: &str) -> bool {
    let schemes = ["http://", "https://", "ftp://", "git://", "ssh://", "git@"];
    schemes.iter().any(|scheme| word.starts_with(scheme))
}

fn refuse_address(word: &str, is_add: bool) -> Parsed<()> {
    if !is_address(word) {
        return Ok(());
    }
    let instruction = if is_add { "ADD" } else { "COPY" };
    Err(Wrong::new(format!("{instruction} does not fetch addresses: `{word}`")).hint(
        "fetch it in a RUN, where its checksum can be tested: RUN curl -fsSLo FILE URL, or put the \
         file into the context",
    ))
}

fn run(input: Input<'_>) -> Parsed<Run> {
    let (found, rest) = flags(input.text, input.escape);
    let mut mounts = Vec::new();
    let mut network = None;
    for flag in &found {
        match flag.name.as_str() {
            "mount" => mounts.push(Mount::parse(&value_of(flag)?)?),
            "network" => {
                network = match value_of(flag)?.as_str() {
                    "none" => Some(RunNetwork::None),
                    "host" => Some(RunNetwork::Host),
                    "default" => None,
                    other => {
                        return Err(
                            Wrong::new(format!("there is no network `{other}` for a RUN"))
                                .hint("there is --network=none, host and default"),
                        );
                    }
                };
            }
            "security" => match value_of(flag)?.as_str() {
                "sandbox" => {}
                _ => {
                    return Err(Wrong::new("--security=insecure is not supported")
                        .hint("a RUN has the capabilities of a container and no more"));
                }
            },
            name => return Err(unknown_flag("RUN", name, &["mount", "network", "security"])),
        }
    }
    if rest.is_empty() {
        return Err(Wrong::new("RUN needs a command").hint(example("RUN")));
    }
    let command = command(rest)?;
    if command == Command::Exec(Vec::new()) {
        return Err(
            Wrong::new("the list of arguments is empty").hint("RUN [\"make\", \"install\"]")
        );
    }
    Ok(Run {
        command,
        heredocs: input.heredocs,
        mounts,
        network,
    })
}

fn healthcheck(input: &Input<'_>) -> Parsed<Option<Healthcheck>> {
    let (found, rest) = flags(input.text, input.escape);
    let (word, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    if word.eq_ignore_ascii_case("none") && argument.is_empty() && found.is_empty() {
        return Ok(None);
    }
    if !word.eq_ignore_ascii_case("cmd") || argument.is_empty() {
        return Err(
            Wrong::new("HEALTHCHECK takes CMD and a command, or NONE").hint(example("HEALTHCHECK"))
        );
    }
    let mut check = Healthcheck {
        command: command(argument)?,
        interval_ns: 0,
        timeout_ns: 0,
        start_period_ns: 0,
        start_interval_ns: 0,
        retries: 0,
    };
    for flag in &found {
        let value = value_of(flag)?;
        match flag.name.as_str() {
            "interval" => check.interval_ns = duration(&value)?,
            "timeout" => check.timeout_ns = duration(&value)?,
            "start-period" => check.start_period_ns = duration(&value)?,
            "start-interval" => check.start_interval_ns = duration(&value)?,
            "retries" => {
                let retries = value
                    .parse()
                    .map_err(|_wrong| format!("`{value}` is not a number"));
                check.retries = retries?;
            }
            name => {
                let known = [
                    "interval",
                    "timeout",
                    "start-period",
                    "start-interval",
                    "retries",
                ];
                return Err(unknown_flag("HEALTHCHECK", name, &known));
            }
        }
    }
    Ok(Some(check))
}

/// Go's durations: `1h30m`, `1.5s`, `200ms`. At least a millisecond, or 0.
fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a duration such as 30s, 1m30s or 500ms");
    let units = [
        ("ms", 1e6),
        ("us", 1e3),
        ("ns", 1.0),
        ("h", 3.6e12),
        ("m", 6e10),
        ("s", 1e9),
    ];
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest == "0" {
        return Ok(0);
    }
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.');
        let (number, behind) = rest.split_at(end.ok_or_else(wrong)?);
        let number: f64 = number.parse().map_err(|_wrong| wrong())?;
        let unit = units.iter().find(|(unit, _)| behind.starts_with(unit));
        let (unit, factor) = unit.ok_or_else(wrong)?;
        total += number * factor;
        rest = &behind[unit.len()..];
    }
    // A hundred years: far below where the conversion would lose anything.
    if text.is_empty() || !(0.0..3.2e18).contains(&total) || (total > 0.0 && total < 1e6) {
        return Err(wrong());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 3.2e18, checked above"
    )]
    Ok(total as u64)
}

/// The text of an ONBUILD, once it has been read as an instruction.
fn trigger(input: Input<'_>) -> Parsed<String> {
    let text = input.text.to_owned();
    let word = text.split_whitespace().next().unwrap_or_default();
    if ["ONBUILD", "FROM", "MAINTAINER"]
        .iter()
        .any(|no| word.eq_ignore_ascii_case(no))
    {
        return Err(
            Wrong::new(format!("ONBUILD cannot be followed by {word}")).hint(example("ONBUILD"))
        );
    }
    if !input.heredocs.is_empty() {
        return Err(Wrong::new("a heredoc behind ONBUILD is not supported"));
    }
    statement(&text, Vec::new(), input.escape)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Instruction> {
        match statement(text, Vec::new(), '\\')? {
            Statement::Instruction(instruction) => Ok(instruction),
            Statement::From(from) => panic!("{from:?}"),
        }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn forms_of_commands() {
        let exec = |list: &[&str]| Command::Exec(texts(list));
        assert_eq!(
            parse("CMD [\"a\", \"b\"]"),
            Ok(Instruction::Cmd(exec(&["a", "b"])))
        );
        assert_eq!(parse("CMD []"), Ok(Instruction::Cmd(exec(&[]))));
        let shell = |text: &str| Ok(Instruction::Entrypoint(Command::Shell(text.to_owned())));
        assert_eq!(parse("entrypoint exec  a"), shell("exec  a"));
        assert_eq!(parse("ENTRYPOINT ['a']"), shell("['a']"));
        assert_eq!(parse("ENTRYPOINT [ -f x ] && y"), shell("[ -f x ] && y"));
        assert!(parse("CMD [\"a\", 1]").unwrap_err().reason.contains("JSON"));
    }

    #[test]
    fn copy_and_add() {
        let Ok(Instruction::Copy(copy)) =
            parse("COPY --from=0 --chown=a:b --chmod=755 --link a \"b\" /c/")
        else {
            panic!();
        };
        assert_eq!(copy.sources.len(), 2);
        assert_eq!(copy.destination, "/c/");
        assert_eq!(copy.from.as_deref(), Some("0"));
        let Ok(Instruction::Copy(copy)) =
            parse("COPY --parents --exclude=*.o --exclude=**/target a b/")
        else {
            panic!();
        };
        assert_eq!(
            (copy.parents, copy.excludes),
            (true, texts(&["*.o", "**/target"]))
        );
        let Ok(Instruction::Add(add)) = parse("ADD [\"a b\", \"/c d\"]") else {
            panic!();
        };
        assert_eq!(add.sources, [CopySource::Path("a b".to_owned())]);
        for (text, part) in [
            ("COPY a", "source and a destination"),
            ("COPY --form=x a b", "--form"),
            ("COPY --from=$X a b", "variables"),
            ("ADD https://example.org/a /b", "does not fetch"),
            ("ADD --checksum=sha256:0 a b", "checksum"),
            ("ADD --from=x a b", "--from"),
            ("COPY --from a b", "needs a value"),
            ("COPY --exclude a b", "needs a value"),
            ("ADD --parents a b", "--parents"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.reason.contains(part), "{text}: {wrong:?}");
        }
        let wrong = parse("COPY --form=x a b").unwrap_err();
        assert_eq!(wrong.hint.as_deref(), Some("did you mean `--from`?"));
    }

    #[test]
    fn runs() {
        let Ok(Instruction::Run(run)) =
            parse("RUN --mount=type=tmpfs,target=/t --network=none make -j")
        else {
            panic!();
        };
        assert_eq!(run.command, Command::Shell("make -j".to_owned()));
        assert_eq!((run.mounts.len(), run.network), (1, Some(RunNetwork::None)));
        for text in [
            "RUN --network=none",
            "RUN --network=bridge x",
            "RUN --security=insecure x",
            "RUN []",
            "RUN --mont=type=bind x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn health() {
        let Ok(Instruction::Healthcheck(Some(check))) =
            parse("HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 CMD curl -f x")
        else {
            panic!();
        };
        assert_eq!(check.interval_ns, 90_000_000_000);
        assert_eq!((check.timeout_ns, check.retries), (1_500_000_000, 3));
        assert_eq!(
            parse("HEALTHCHECK none"),
            Ok(Instruction::Healthcheck(None))
        );
        for text in [
            "HEALTHCHECK x",
            "HEALTHCHECK --interval=x CMD y",
            "HEALTHCHECK --interval=1ns CMD y",
            "HEALTHCHECK --intervall=1s CMD y",
            "HEALTHCHECK CMD",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_instructions_and_their_mistakes() {
        let env = Instruction::Env(vec![("A".to_owned(), "b c".to_owned())]);
        assert_eq!(parse("ENV A b c"), Ok(env));
        let volumes = Instruction::Volume(texts(&["/a b"]));
        assert_eq!(parse("VOLUME [\"/a b\"]"), Ok(volumes));
        let on_build = Instruction::OnBuild("RUN x".to_owned());
        assert_eq!(parse("ONBUILD RUN x"), Ok(on_build));
        for text in [
            "ONBUILD ONBUILD RUN x",
            "ONBUILD FROM x",
            "ONBUILD RNU x",
            "SHELL bash",
            "ENV A",
            "ARG =x",
            "RUN",
            "WORKDIR",
            "ENV --x=1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let wrong = parse("RNU x").unwrap_err();
        assert_eq!(wrong.hint.as_deref(), Some("did you mean `RUN`?"));
        assert!(
            parse("XYZZYX y")
                .unwrap_err()
                .hint
                .unwrap()
                .contains("ENTRYPOINT, ENV")
        );
    }

    #[test]
    fn stages() {
        let from = |text: &str| match statement(text, Vec::new(), '\\') {
            Ok(Statement::From(from)) => Ok(from),
            Ok(other) => panic!("{other:?}"),
            Err(wrong) => Err(wrong),
        };
        let found = from("FROM --platform=$P debian:12 as Build").unwrap();
        assert_eq!(found.image, "debian:12");
        assert_eq!(found.name.as_deref(), Some("build"));
        assert_eq!(found.platform.as_deref(), Some("$P"));
        for text in [
            "FROM a b",
            "FROM a AS 1b",
            "FROM a AS scratch",
            "FROM --x=1 a",
        ] {
            assert!(from(text).is_err(), "{text}");
        }
    }
}
