//! From bytes to [`Spec`], with errors that name the field.

use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Process, Resources, Spec};

/// Why a document is not what the specification describes: the path of the field
/// (`linux.namespaces[2].type`) and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ParseError {
    pub field: String,
    pub reason: String,
}

impl ParseError {
    pub(super) fn at(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same error, seen from the object that holds the field.
    pub(super) fn within(self, parent: impl FnOnce() -> String) -> Self {
        Self {
            field: format!("{}.{}", parent(), self.field),
            reason: self.reason,
        }
    }
}

/// Reads `config.json`.
///
/// # Errors
/// The first field that is missing, of the wrong type or out of range.
pub fn parse(json: &[u8]) -> Result<Spec, ParseError> {
    let spec: Spec = from_slice(json)?;
    super::validate::check(&spec)?;
    Ok(spec)
}

/// Reads the file given to `exec --process`.
///
/// # Errors
/// As for [`parse`].
pub fn parse_process(json: &[u8]) -> Result<Process, ParseError> {
    let process: Process = from_slice(json)?;
    super::validate::check_process("", &process)?;
    Ok(process)
}

/// Reads the document given to `update --resources`.
///
/// # Errors
/// As for [`parse`].
pub fn parse_resources(json: &[u8]) -> Result<Resources, ParseError> {
    let resources: Resources = from_slice(json)?;
    super::validate::check_resources("", &resources)?;
    Ok(resources)
}

impl Process {
    /// The checks of [`parse_process`] for a process put together in memory.
    ///
    /// # Errors
    /// The first field that breaks a rule of the specification.
    pub fn check(&self) -> Result<(), ParseError> {
        super::validate::check_process("", self)
    }
}

impl Resources {
    /// The checks of [`parse_resources`] for resources put together in memory.
    ///
    /// # Errors
    /// The first field that breaks a rule of the specification.
    pub fn check(&self) -> Result<(), ParseError> {
        super::validate::check_resources("", self)
    }
}

/// Parses fast, and only when that fails a second time, keeping track of the path.
fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, ParseError> {
    serde_json::from_slice(json).or_else(|error| {
        // Behind the end of a broken document there is no field to name. A number where a name of
        // an enumeration belongs is reported as bad syntax, too, so the document is asked itself.
        if !error.is_data() && serde_json::from_slice::<IgnoredAny>(json).is_err() {
            return Err(ParseError::at("not JSON", error.to_string()));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| locate(&error.path().to_string(), error.inner().to_string()))
    })
}

/// A missing member is reported at its parent: the name is put back where it belongs.
fn locate(path: &str, reason: String) -> ParseError {
    let parent = match path {
        "." | "?" => "",
        path => path,
    };
    let missing = reason
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split_once('`'));
    match missing {
        Some((name, rest)) => {
            let dot = if parent.is_empty() { "" } else { "." };
            ParseError::at(
                format!("{parent}{dot}{name}"),
                format!("required, but missing{rest}"),
            )
        }
        None if parent.is_empty() => ParseError::at("the document", reason),
        None => ParseError::at(parent, reason),
    }
}
