//! One end of a copy, by the rules of `docker cp`.
//!
//! A source that ends in `/.` means what is in the directory, without it. A destination that is a
//! directory takes the source in; one that does not exist is made, when its parent exists.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Kind, Result};
use insula_sys::Errno;
use insula_sys::rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};

use super::root::GuestRoot;

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// Where paths are looked up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side<'a> {
    Guest(&'a GuestRoot),
    Host,
}

impl Side<'_> {
    fn open(self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self {
            Self::Guest(root) => root.find(path, flags | OFlags::PATH),
            Self::Host => {
                let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
                let path = match path.as_os_str().is_empty() {
                    true => Path::new("."),
                    false => path,
                };
                openat(CWD, path, flags, Mode::empty())
            }
        }
    }

    /// A path as a person would name it.
    pub(super) fn shown(self, path: &Path) -> String {
        match self {
            Self::Guest(root) => format!("{}:{}", root.guest.record.name, path.display()),
            Self::Host => path.display().to_string(),
        }
    }
}

/// What is to be copied.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) top: OwnedFd,
    /// Its last name; absent for a root and the like, of which the contents are meant.
    pub(super) name: Option<Vec<u8>>,
    pub(super) is_directory: bool,
    /// What is in it, not itself.
    pub(super) contents_only: bool,
}

/// Where a copy goes: below `directory`, called `name`, or as its source when absent.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) directory: OwnedFd,
    pub(super) name: Option<Vec<u8>>,
}

/// What a path says by its end alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ending {
    /// `/` at the end.
    slash: bool,
    /// `/.` at the end, or nothing else.
    dot: bool,
}

fn ending(path: &Path) -> Ending {
    let text = path.as_os_str().as_bytes();
    Ending {
        slash: text.ends_with(b"/"),
        dot: text == b"." || text.ends_with(b"/."),
    }
}

/// The directory part and the last name, when there is one that names something in it.
fn split(path: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let text = path.as_os_str().as_bytes();
    let end = text.iter().rposition(|byte| *byte != b'/')? + 1;
    let start = text[..end].iter().rposition(|byte| *byte == b'/');
    let start = start.map_or(0, |slash| slash + 1);
    let name = &text[start..end];
    if name == b"." || name == b".." {
        return None;
    }
    let parent = PathBuf::from(OsStr::from_bytes(&text[..start]));
    Some((parent, name.to_vec()))
}

/// Finds what is to be copied. A link at the end is copied as one, unless it is to be followed or
/// the path says that a directory is meant.
///
/// # Errors
/// It does not exist, or is no directory although the path says so.
pub(super) fn find_source(side: Side<'_>, path: &Path, follow: bool) -> Result<Source> {
    let ending = ending(path);
    let wants_directory = ending.slash || ending.dot;
    let flags = match follow || wants_directory {
        true => OFlags::empty(),
        false => OFlags::NOFOLLOW,
    };
    let top = side
        .open(path, flags)
        .map_err(|errno| explain(side, path, errno))?;
    let kind = FileType::from_raw_mode(fstat(&top).step(|| side.shown(path))?.st_mode);
    let is_directory = kind == FileType::Directory;
    if wants_directory && !is_directory {
        return Err(Error::new(format!(
            "{} is not a directory",
            side.shown(path)
        )));
    }
    if kind == FileType::Socket {
        return Err(Error::new(format!(
            "{} is a socket, which cannot be copied",
            side.shown(path)
        )));
    }
    let name = split(path).map(|(_, name)| name);
    Ok(Source {
        top,
        is_directory,
        contents_only: is_directory && (ending.dot || name.is_none()),
        name,
    })
}

/// Finds where `source` goes.
///
/// # Errors
/// The parent does not exist, or a directory and a file would take each other's place.
pub(super) fn find_target(side: Side<'_>, path: &Path, source: &Source) -> Result<Target> {
    match side.open(path, OFlags::empty()) {
        Ok(found) => {
            let kind = FileType::from_raw_mode(fstat(&found).step(|| side.shown(path))?.st_mode);
            if kind == FileType::Directory {
                return Ok(Target {
                    directory: found,
                    name: None,
                });
            }
            if source.is_directory {
                return Err(Error::new(format!(
                    "{} is not a directory, and a directory is to be copied there",
                    side.shown(path)
                )));
            }
            by_name(side, path)
        }
        Err(Errno::NOENT) if ending(path).slash && !source.is_directory => Err(Error::new(
            format!("the directory {} does not exist", side.shown(path)),
        )
        .kind(Kind::NotFound)
        .hint("without the slash at the end a file of that name is made")),
        Err(Errno::NOENT) => by_name(side, path),
        Err(errno) => Err(explain(side, path, errno)),
    }
}

/// A directory that exists, for what comes as a stream.
///
/// # Errors
/// It does not exist, or is something else.
pub(super) fn find_directory(side: Side<'_>, path: &Path) -> Result<OwnedFd> {
    let opened = side.open(path, OFlags::DIRECTORY);
    opened.map_err(|errno| explain(side, path, errno))
}

/// The parent of what the path leads to in the end, with the name there: links are followed by hand
/// because what they lead to need not exist.
fn by_name(side: Side<'_>, path: &Path) -> Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Some((parent, name)) = split(&path) else {
            return Err(explain(side, &path, Errno::NOENT));
        };
        let directory = side
            .open(&parent, OFlags::DIRECTORY)
            .map_err(|errno| explain_parent(side, &parent, errno))?;
        match readlinkat(&directory, &name, Vec::new()) {
            Ok(link) => path = parent.join(OsStr::from_bytes(link.as_bytes())),
            Err(Errno::INVAL | Errno::NOENT) => {
                return Ok(Target {
                    directory,
                    name: Some(name),
                });
            }
            Err(errno) => return Err(explain(side, &path, errno)),
        }
    }
    Err(explain(side, &path, Errno::LOOP))
}

fn explain(side: Side<'_>, path: &Path, errno: Errno) -> Error {
    let shown = side.shown(path);
    match errno {
        Errno::NOENT => Error::new(format!("{shown} does not exist")).kind(Kind::NotFound),
        Errno::NOTDIR => Error::new(format!("{shown} is not a directory")),
        Errno::LOOP => Error::new(format!("{shown} is a loop of links")),
        _ => Error::from(errno).within(format!("open {shown}")),
    }
}

fn explain_parent(side: Side<'_>, parent: &Path, errno: Errno) -> Error {
    let error = explain(side, parent, errno);
    match errno {
        Errno::NOENT => error.hint("make the directory first: only the last name is made"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_in_a_name_or_mean_a_directory() {
        let parts = |text: &str| split(Path::new(text));
        let of = |parent: &str, name: &str| Some((PathBuf::from(parent), name.as_bytes().to_vec()));
        assert_eq!(parts("/a/b"), of("/a/", "b"));
        assert_eq!(parts("a//"), of("", "a"));
        assert_eq!(parts("/a"), of("/", "a"));
        for nameless in ["", "/", ".", "/..", "a/..", "a/."] {
            assert_eq!(parts(nameless), None, "{nameless}");
        }
        let both = |text: &str| {
            let ending = ending(Path::new(text));
            (ending.slash, ending.dot)
        };
        assert_eq!(both("/a/"), (true, false));
        assert_eq!(both("/a/."), (false, true));
        assert_eq!(both("."), (false, true));
        assert_eq!(both("/a.b."), (false, false));
    }

    #[test]
    fn a_file_goes_into_a_directory_or_over_a_file_and_a_link_is_followed_to_its_end() {
        let host = tempfile::tempdir().unwrap();
        let path = |name: &str| host.path().join(name);
        std::fs::create_dir(path("dir")).unwrap();
        std::fs::write(path("file"), "x").unwrap();
        std::os::unix::fs::symlink("dir/later", path("link")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        let source = find_source(Side::Host, &path("file"), false).unwrap();
        let target = |name: &str| find_target(Side::Host, &path(name), &source);
        assert_eq!(target("dir").unwrap().name, None);
        assert_eq!(target("file").unwrap().name, Some(b"file".to_vec()));
        assert_eq!(target("link").unwrap().name, Some(b"later".to_vec()));
        for (wrong, text) in [
            ("no/file", "no/ does not exist"),
            ("new/", "new/ does not exist"),
            ("file/x", "is not a directory"),
            ("loop", "is a loop of links"),
        ] {
            let error = target(wrong).unwrap_err().to_string();
            assert!(error.contains(text), "{wrong}: {error}");
        }
        let directory = find_source(Side::Host, &path("dir/."), false).unwrap();
        assert!(directory.contents_only && directory.is_directory);
        assert!(find_target(Side::Host, &path("file"), &directory).is_err());
        assert!(find_source(Side::Host, &path("file/"), false).is_err());
    }
}
