//! What of its sources a COPY or ADD takes: all, or without what `--exclude` names, and with the
//! directories above it when there is `--parents`.
//!
//! The rules are BuildKit's. A pattern of `--exclude` is relative to the source, or, for a source
//! that is a file, its name; with `--parents` it is relative to where the copied path begins. That
//! is the root, or what stands behind the first `/./` of the source.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_image::containerfile::{Copy, CopySource, Ignore, has_wildcards};

use super::source::{Entry, Match, SourceRoot};
use super::tree::{normal, path_of};

/// Whether anything is taken from a root: what is written in the Containerfile itself needs none.
pub(super) fn has_paths(copy: &Copy) -> bool {
    let is_path = |source: &CopySource| matches!(source, CopySource::Path(_));
    copy.sources.iter().any(is_path)
}

/// Everything that the paths of an instruction name.
pub(super) fn select(root: &SourceRoot<'_>, copy: &Copy) -> Result<Vec<Match>> {
    let excludes = Ignore::of_patterns(&copy.excludes).map_err(Error::new)?;
    let mut matches = Vec::new();
    let mut parents = BTreeSet::new();
    for source in &copy.sources {
        let CopySource::Path(path) = source else {
            continue;
        };
        let found = match copy.parents {
            true => with_parents(root, path, &mut parents)?,
            false => root.find(path)?,
        };
        matches.extend(
            found
                .into_iter()
                .filter_map(|found| without(found, &excludes)),
        );
    }
    Ok(matches)
}

/// A match without what is excluded; `None` when that is all of it.
fn without(mut found: Match, excludes: &Ignore) -> Option<Match> {
    if excludes.is_empty() {
        return Some(found);
    }
    let is_excluded = |entry: &Entry| {
        let path = found.into.join(&entry.relative);
        excludes.ignores(path.to_string_lossy().trim_end_matches('/'))
    };
    let entries = std::mem::take(&mut found.entries);
    found.entries = entries
        .into_iter()
        .filter(|entry| !is_excluded(entry))
        .collect();
    (!found.entries.is_empty()).then_some(found)
}

/// What a source names, and each directory above it that is not among `known`, in front of it.
fn with_parents(
    root: &SourceRoot<'_>,
    path: &str,
    known: &mut BTreeSet<PathBuf>,
) -> Result<Vec<Match>> {
    let (start, pattern) = path.split_once("/./").unwrap_or(("", path));
    let start = normal(Path::new(start));
    let found = match pattern.split('/').any(|part| part == "**") {
        true => below(root, &start, pattern)?,
        false if has_wildcards(pattern) => {
            root.expand(&format!("{}/{pattern}", start.display()))?
        }
        false => vec![start.join(normal(Path::new(pattern)))],
    };
    let mut matches = Vec::new();
    for path in found {
        let Some(mut found) = root.open(&path)? else {
            continue;
        };
        let into = path.strip_prefix(&start).unwrap_or(&path).to_owned();
        let above: Vec<&Path> = into.ancestors().skip(1).collect();
        for parent in above.into_iter().rev() {
            if !parent.as_os_str().is_empty() && known.insert(parent.to_owned()) {
                matches.extend(root.open_alone(&start.join(parent), parent)?);
            }
        }
        found.into = into;
        matches.push(found);
    }
    if matches.is_empty() {
        return Err(root.missing(path));
    }
    Ok(matches)
}

/// The topmost paths below `start` that match a pattern with `**` in it.
fn below(root: &SourceRoot<'_>, start: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let wanted = Ignore::of_patterns(&[pattern.to_owned()]).map_err(Error::new)?;
    let Some(directory) = root.tree.directory(start)? else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    root.list(&path_of(&directory), start, &mut entries)
        .step(|| format!("look for `{pattern}`"))?;
    let is_wanted = |path: &Path| wanted.ignores(&path.to_string_lossy());
    let topmost = entries.iter().map(|entry| entry.relative.as_path());
    let topmost = topmost.filter(|path| is_wanted(path) && !path.parent().is_some_and(is_wanted));
    Ok(topmost.map(|path| start.join(path)).collect())
}
