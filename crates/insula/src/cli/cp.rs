//! `insula cp`: files between the host and a guest.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use insula_node::guest::files::{self, Copied, CopyOptions};

use super::store::{Location, engine_failure};
use super::text;
use crate::{Failure, output};

/// Copy files between the host and a container, whether it runs or not
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "insula cp [OPTION...] CONTAINER:PATH PATH|-\n       \
                            insula cp [OPTION...] PATH|- CONTAINER:PATH"
)]
#[command(after_help = "\
A directory that exists takes the source in; a destination that does not exist is made, and its
parent must be there. DIR/. means what is in DIR. A path of the host with a colon in it is written
with a slash: ./a:b. `-` is a tar archive on stdin or stdout.
Files belong to root in the container, and to the caller on the host, unless --archive is given.

Examples:
  insula cp web:/etc/nginx/nginx.conf .
  insula cp ./site/. web:/srv
  insula cp -a web:/var/lib/app backup
  insula cp web:/var/log - | tar -t
  tar -c ./site | insula cp - web:/srv")]
pub(super) struct Arguments {
    /// What to copy: CONTAINER:PATH, a path, or - for an archive on stdin
    source: OsString,

    /// Where to: CONTAINER:PATH, a path, or - for an archive on stdout
    destination: OsString,

    /// Keep owners, devices and set-user-id
    #[arg(short, long)]
    archive: bool,

    /// Copy what a link leads to instead of the link
    #[arg(short = 'L', long)]
    follow_link: bool,

    /// Do not say what was copied
    #[arg(short, long)]
    quiet: bool,
}

/// One of the two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Guest(String, PathBuf),
    Host(PathBuf),
    Stream,
}

impl End {
    fn parse(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Ok(Self::Stream);
        }
        let colon = bytes.iter().position(|byte| *byte == b':');
        let Some(colon) = colon.filter(|_| !bytes.starts_with(b"/") && !bytes.starts_with(b"."))
        else {
            return Ok(Self::Host(text.into()));
        };
        let (name, path) = (&bytes[..colon], &bytes[colon + 1..]);
        // What has a slash in front of its colon is no name.
        if name.contains(&b'/') {
            return Ok(Self::Host(text.into()));
        }
        match std::str::from_utf8(name) {
            Ok(name) if !name.is_empty() && !path.is_empty() => Ok(Self::Guest(
                name.to_owned(),
                OsString::from_vec(path.to_vec()).into(),
            )),
            _ => Err(Failure::usage(format!(
                "`{}` is neither CONTAINER:PATH nor a path",
                text.display()
            ))
            .hint("a path of the host with a colon in it is written as ./a:b")),
        }
    }
}

pub(super) fn run(arguments: &Arguments, location: &Location) -> Result<u8, Failure> {
    let place = location.place();
    let options = CopyOptions {
        follow: arguments.follow_link,
        archive: arguments.archive,
    };
    let ends = (
        End::parse(&arguments.source)?,
        End::parse(&arguments.destination)?,
    );
    let copied = match &ends {
        (End::Guest(name, source), End::Host(destination)) => {
            files::copy_out(&place, name, (source, destination), options)
        }
        (End::Host(source), End::Guest(name, destination)) => {
            files::copy_in(&place, name, (source, destination), options)
        }
        (End::Stream, End::Guest(name, destination)) => {
            files::read_stream(&place, name, std::io::stdin(), destination)
        }
        (End::Guest(name, source), End::Stream) => {
            refuse_terminal("an archive")?;
            let output = &mut std::io::stdout().lock();
            let written = files::write_stream(&place, name, source, options, output)
                .map_err(|error| engine_failure(&error))?;
            warn(written.left_out, "sockets");
            return Ok(0);
        }
        _ => {
            return Err(Failure::usage(
                "one end must be CONTAINER:PATH, the other one of the host",
            )
            .hint("between containers: insula cp A:PATH - | insula cp - B:DIR"));
        }
    };
    let copied = copied.map_err(|error| engine_failure(&error))?;
    if !arguments.quiet {
        tell(arguments, copied);
    }
    warn(copied.left_out, "sockets, devices or attributes");
    Ok(0)
}

/// Bytes that nobody can read do not belong on a terminal.
pub(super) fn refuse_terminal(what: &str) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        return Ok(());
    }
    Err(
        Failure::usage(format!("{what} is not written to a terminal"))
            .hint("send it to a file or another command: > FILE, or | tar -t"),
    )
}

fn tell(arguments: &Arguments, copied: Copied) {
    let plural = if copied.entries == 1 { "" } else { "s" };
    output::talk(format_args!(
        "{} copied to {}: {} file{plural}, {}",
        arguments.source.display(),
        arguments.destination.display(),
        copied.entries,
        text::size(copied.content_bytes)
    ));
}

pub(super) fn warn(left_out: u64, what: &str) {
    if left_out > 0 {
        output::talk(format_args!("left out: {left_out} {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_makes_a_container_s_path_unless_a_path_begins() {
        let end = |text: &str| End::parse(OsStr::new(text)).unwrap();
        let guest = |name: &str, path: &str| End::Guest(name.to_owned(), path.into());
        assert_eq!(end("web:/etc"), guest("web", "/etc"));
        assert_eq!(end("web:a:b"), guest("web", "a:b"));
        assert_eq!(end("-"), End::Stream);
        for host in ["./a:b", "/a:b", "a/b:c", "plain", "../x"] {
            assert_eq!(end(host), End::Host(host.into()), "{host}");
        }
        for wrong in [":x", "web:"] {
            assert!(End::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_need_not_be_text() {
        let end = End::parse(OsStr::from_bytes(b"web:/\xff")).unwrap();
        let path = PathBuf::from(OsStr::from_bytes(b"/\xff"));
        assert_eq!(end, End::Guest("web".to_owned(), path));
    }
}
