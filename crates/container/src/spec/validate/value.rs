//! Rules that hold for one value wherever it stands: NUL bytes, absolute paths, lists of numbers.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Check, ParseError};

/// The kernel ends a string at the first NUL, so a value with one would mean something else there.
pub(super) fn no_nul(value: &str, field: impl FnOnce() -> String) -> Check {
    if value.as_bytes().contains(&0) {
        return Err(ParseError::at(field(), "must not contain a NUL byte"));
    }
    Ok(())
}

pub(super) fn no_nul_path(value: &Path, field: impl FnOnce() -> String) -> Check {
    if value.as_os_str().as_bytes().contains(&0) {
        return Err(ParseError::at(field(), "must not contain a NUL byte"));
    }
    Ok(())
}

pub(super) fn absolute(path: &Path, field: impl FnOnce() -> String) -> Check {
    if path.as_os_str().is_empty() {
        return Err(ParseError::at(field(), "must not be empty"));
    }
    if !path.has_root() {
        let reason = format!("must be an absolute path, not `{}`", path.display());
        return Err(ParseError::at(field(), reason));
    }
    no_nul_path(path, field)
}

/// `name=value` entries (POSIX `environ`); `field` is the list.
pub(super) fn environment(entries: &[String], field: impl Fn() -> String) -> Check {
    for (index, entry) in entries.iter().enumerate() {
        let at = || format!("{}[{index}]", field());
        match entry.find('=') {
            None => return Err(ParseError::at(at(), "must have the form name=value")),
            Some(0) => return Err(ParseError::at(at(), "the name must not be empty")),
            Some(_) => no_nul(entry, at)?,
        }
    }
    Ok(())
}

/// A list in the format of cpuset(7), such as `0-3,7`. An empty list is left to the caller.
pub(super) fn number_list(list: &str, field: impl FnOnce() -> String) -> Check {
    let fits = list.trim().split(',').all(|part| {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        match part.split_once('-') {
            None => number(part).is_some(),
            Some((first, last)) => {
                matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
            }
        }
    });
    if !fits {
        let reason = format!("`{list}` is not a list of numbers and ranges such as 0-3,7");
        return Err(ParseError::at(field(), reason));
    }
    Ok(())
}

/// Names of network interfaces as the kernel's `dev_valid_name` accepts them.
pub(super) fn interface_name(name: &str, field: impl FnOnce() -> String) -> Check {
    let reason = if name.is_empty() {
        "the name of a network interface must not be empty"
    } else if name.len() > 15 {
        "the name of a network interface must be shorter than 16 bytes"
    } else if name == "."
        || name == ".."
        || name
            .chars()
            .any(|char| char == '/' || char == ':' || char.is_whitespace() || char == '\0')
    {
        "the name of a network interface must not be `.` or `..`, nor contain `/`, `:`, spaces"
    } else {
        return Ok(());
    };
    Err(ParseError::at(field(), reason))
}
