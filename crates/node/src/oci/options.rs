//! The argument parser: tables in, [`Parsed`] out.
//!
//! Written by hand because start-up time and memory count, and because the forms of three runtimes
//! are to be understood at once: `--name value`, `--name=value`, `-n value`, `-nvalue`, grouped
//! flags, Go's `-name` and `--flag=false`, options before, between and after the arguments, `--`.
//! A table says what exists; nothing here knows a command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::failure::Failure;
use super::nearest::nearest;

/// What follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    /// A value; the text stands for it in the help.
    Value(&'static str),
    /// A value only when joined: `--tty`, `--tty=x`, `-tx`.
    JoinedValue(&'static str),
}

/// One option. `short` is an ASCII letter, or 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt {
    pub(crate) long: &'static str,
    pub(crate) short: u8,
    pub(crate) takes: Takes,
    pub(crate) help: &'static str,
}

pub(crate) const fn flag(long: &'static str, short: u8, help: &'static str) -> Opt {
    Opt {
        long,
        short,
        takes: Takes::Nothing,
        help,
    }
}

pub(crate) const fn value(
    long: &'static str,
    short: u8,
    name: &'static str,
    help: &'static str,
) -> Opt {
    Opt {
        long,
        short,
        takes: Takes::Value(name),
        help,
    }
}

/// What was given: options in order, then arguments.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    options: Vec<(&'static str, OsString)>,
    pub(crate) arguments: Vec<OsString>,
}

impl Parsed {
    /// Adds what was read later.
    pub(crate) fn append(&mut self, later: Self) {
        self.options.extend(later.options);
        self.arguments.extend(later.arguments);
    }

    /// The last value given to an option.
    pub(crate) fn value(&self, long: &'static str) -> Option<&OsStr> {
        self.all(long).next_back()
    }

    /// Every value given to an option, in order.
    pub(crate) fn all(&self, long: &'static str) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.options
            .iter()
            .filter(move |(name, _)| *name == long)
            .map(|(_, value)| value.as_os_str())
    }

    /// Whether a flag was given and not taken back by `--flag=false`.
    pub(crate) fn flag(&self, long: &'static str) -> bool {
        self.value(long).is_some_and(|value| value == "true")
    }

    pub(crate) fn text(&self, long: &'static str) -> Result<Option<&str>, Failure> {
        self.value(long)
            .map(|value| {
                value.to_str().ok_or_else(|| {
                    Failure::new(format!(
                        "option --{long}: `{}` is not valid UTF-8",
                        value.display()
                    ))
                })
            })
            .transpose()
    }

    /// The value as a number, within the range of `T`.
    pub(crate) fn number<T: std::str::FromStr>(
        &self,
        long: &'static str,
    ) -> Result<Option<T>, Failure> {
        self.text(long)?
            .map(|text| {
                text.trim().parse().map_err(|_error| {
                    Failure::new(format!("option --{long}: `{text}` is not a valid number"))
                })
            })
            .transpose()
    }
}

/// Where options end and words are taken as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Only at `--`.
    Never,
    /// At the argument of that index (from 0), which is taken too.
    At(usize),
}

/// Reads words by the tables; the first table that knows a name wins.
///
/// # Errors
/// An unknown option (with the nearest name), a missing or unwanted value.
pub(crate) fn parse(
    words: &[OsString],
    tables: &[&'static [Opt]],
    stop: Stop,
) -> Result<(Parsed, usize), Failure> {
    let mut parsed = Parsed::default();
    let mut reader = Reader {
        words,
        next: 0,
        tables,
    };
    let mut only_arguments = false;
    while let Some(word) = reader.peek() {
        let bytes = word.as_bytes();
        let is_option = !only_arguments && bytes.len() > 1 && bytes[0] == b'-';
        if !is_option {
            let index = parsed.arguments.len();
            parsed.arguments.push(word.clone());
            reader.next += 1;
            if stop == Stop::At(index) {
                break;
            }
            continue;
        }
        reader.next += 1;
        if bytes == b"--" {
            only_arguments = true;
        } else if let Some(body) = bytes.strip_prefix(b"--") {
            let option = reader.long(body, word)?;
            parsed.options.push(option);
        } else {
            reader.short(&bytes[1..], word, &mut parsed.options)?;
        }
    }
    Ok((parsed, reader.next))
}

struct Reader<'a> {
    words: &'a [OsString],
    next: usize,
    tables: &'a [&'static [Opt]],
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a OsString> {
        self.words.get(self.next)
    }

    fn find(&self, wanted: impl Fn(&Opt) -> bool) -> Option<&'static Opt> {
        self.tables
            .iter()
            .flat_map(|table| table.iter())
            .find(|option| wanted(option))
    }

    fn find_long(&self, name: &[u8]) -> Option<&'static Opt> {
        self.find(|option| option.long.as_bytes() == name)
    }

    /// `--name`, `--name=value`; `body` is without the dashes.
    fn long(&mut self, body: &[u8], word: &OsStr) -> Result<(&'static str, OsString), Failure> {
        let (name, joined) = match body.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&body[..equals], Some(&body[equals + 1..])),
            None => (body, None),
        };
        let option = self
            .find_long(name)
            .ok_or_else(|| self.unknown(name, word))?;
        let value = match (option.takes, joined) {
            (Takes::Nothing, Some(joined)) => switch(option, joined)?,
            (Takes::Nothing, None) => OsString::from("true"),
            (Takes::Value(_) | Takes::JoinedValue(_), Some(joined)) => owned(joined),
            (Takes::JoinedValue(_), None) => OsString::from("true"),
            (Takes::Value(_), None) => self.following(option)?,
        };
        Ok((option.long, value))
    }

    /// `-n`, `-nvalue`, `-abc`, and Go's `-name`; `body` is without the dash.
    fn short(
        &mut self,
        body: &[u8],
        word: &OsStr,
        options: &mut Vec<(&'static str, OsString)>,
    ) -> Result<(), Failure> {
        let name = body.split(|byte| *byte == b'=').next().unwrap_or(body);
        if name.len() > 1 && self.find_long(name).is_some() {
            options.push(self.long(body, word)?);
            return Ok(());
        }
        let mut rest = body;
        while let Some((letter, after)) = rest.split_first() {
            let option = self
                .find(|option| option.short == *letter)
                .ok_or_else(|| self.unknown(name, word))?;
            // `-b=x` is what Go's parsers take; getopt would read a value of `=x`.
            let joined = after.strip_prefix(b"=").unwrap_or(after);
            let value = match option.takes {
                Takes::Nothing if after.len() > joined.len() => {
                    options.push((option.long, switch(option, joined)?));
                    return Ok(());
                }
                Takes::Nothing => {
                    options.push((option.long, OsString::from("true")));
                    rest = after;
                    continue;
                }
                Takes::Value(_) if after.is_empty() => self.following(option)?,
                Takes::JoinedValue(_) if after.is_empty() => OsString::from("true"),
                Takes::Value(_) | Takes::JoinedValue(_) => owned(joined),
            };
            options.push((option.long, value));
            return Ok(());
        }
        Ok(())
    }

    fn following(&mut self, option: &Opt) -> Result<OsString, Failure> {
        let Some(value) = self.peek().cloned() else {
            return Err(Failure::usage(format!(
                "option --{} needs a value",
                option.long
            )));
        };
        self.next += 1;
        Ok(value)
    }

    fn unknown(&self, name: &[u8], word: &OsStr) -> Failure {
        let failure = Failure::usage(format!("unknown option `{}`", word.display()));
        let names = self.tables.iter().flat_map(|table| table.iter());
        match nearest(
            &String::from_utf8_lossy(name),
            names.map(|option| option.long),
        ) {
            Some(near) => failure.hint(format!("did you mean --{near}?")),
            None => failure,
        }
    }
}

fn owned(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// The value joined to a flag, in the words of Go's `strconv.ParseBool`.
fn switch(option: &Opt, joined: &[u8]) -> Result<OsString, Failure> {
    match joined {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(OsString::from("true")),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(OsString::from("false")),
        other => Err(Failure::usage(format!(
            "option --{} takes true or false, not `{}`",
            option.long,
            String::from_utf8_lossy(other)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{Opt, Parsed, Stop, Takes, flag, parse, value};
    use crate::oci::failure::Failure;

    const OUTER: &[Opt] = &[value("root", 0, "DIR", ""), flag("debug", 0, "")];
    const TABLE: &[Opt] = &[
        value("bundle", b'b', "DIR", ""),
        flag("detach", b'd', ""),
        flag("force", b'f', ""),
        value("env", b'e', "ENV", ""),
        Opt {
            long: "tty",
            short: b't',
            takes: Takes::JoinedValue("BOOL"),
            help: "",
        },
    ];

    fn read(line: &str, stop: Stop) -> Result<(Parsed, Vec<String>), Failure> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (parsed, next) = parse(&words, &[TABLE, OUTER], stop)?;
        let rest = words[next..]
            .iter()
            .map(|word| word.to_str().unwrap().to_owned());
        Ok((parsed, rest.collect()))
    }

    #[test]
    fn every_way_to_write_a_value_is_the_same() {
        for line in [
            "--bundle /x id",
            "--bundle=/x id",
            "-b /x id",
            "-b/x id",
            "-b=/x id",
            "-bundle /x id",
            "-bundle=/x id",
            "id --bundle /x",
            "id -b /x",
            "--bundle /y id --bundle /x",
            "-db/x id",
            "--bundle /x -- id",
        ] {
            let (parsed, _) = read(line, Stop::Never).unwrap();
            assert_eq!(parsed.value("bundle").unwrap(), "/x", "{line}");
            assert_eq!(parsed.arguments, ["id"], "{line}");
        }
    }

    #[test]
    fn flags_group_and_can_be_taken_back() {
        let (parsed, _) = read("-df id --debug", Stop::Never).unwrap();
        assert!(parsed.flag("detach") && parsed.flag("force") && parsed.flag("debug"));
        let (parsed, _) = read("--detach=false -f=true id", Stop::Never).unwrap();
        assert!(!parsed.flag("detach") && parsed.flag("force"));
        assert!(read("--detach=maybe id", Stop::Never).is_err());
    }

    #[test]
    fn repeated_values_keep_their_order() {
        let (parsed, _) = read("-e A=1 id --env=B=2 -eC=3", Stop::Never).unwrap();
        let all: Vec<_> = parsed.all("env").collect();
        assert_eq!(all, ["A=1", "B=2", "C=3"]);
    }

    #[test]
    fn a_joined_value_does_not_eat_the_next_word() {
        for (line, expected) in [
            ("-t id", "true"),
            ("--tty=false id", "false"),
            ("--tty id", "true"),
        ] {
            let (parsed, _) = read(line, Stop::Never).unwrap();
            assert_eq!(parsed.value("tty").unwrap(), expected, "{line}");
            assert_eq!(parsed.arguments, ["id"]);
        }
    }

    #[test]
    fn words_after_the_stop_are_left_alone() {
        for line in [
            "-d id sh -c x --debug",
            "id -d sh -c x --debug",
            "-d id -- sh -c x --debug",
        ] {
            let (parsed, rest) = read(line, Stop::At(1)).unwrap();
            assert_eq!(parsed.arguments, ["id", "sh"], "{line}");
            assert_eq!(rest, ["-c", "x", "--debug"], "{line}");
            assert!(parsed.flag("detach") && !parsed.flag("debug"));
        }
    }

    #[test]
    fn a_lone_dash_is_an_argument() {
        let (parsed, _) = read("-b - -", Stop::Never).unwrap();
        assert_eq!(parsed.value("bundle").unwrap(), "-");
        assert_eq!(parsed.arguments, ["-"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, message, hint) in [
            (
                "--bundel /x",
                "unknown option `--bundel`",
                Some("did you mean --bundle?"),
            ),
            ("--frobnicate", "unknown option `--frobnicate`", None),
            ("-x", "unknown option `-x`", None),
            ("-dx", "unknown option `-dx`", None),
            ("id --bundle", "option --bundle needs a value", None),
            ("id -b", "option --bundle needs a value", None),
        ] {
            let failure = read(line, Stop::Never).unwrap_err();
            assert_eq!(failure.message, message, "{line}");
            assert_eq!(failure.hint.as_deref(), hint, "{line}");
            assert!(failure.usage);
        }
    }
}
