//! Files that are written by a chore and checked in: written anew, or compared.

use crate::{Findings, tree};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// Writes `documents` (name and text) into `directory`, or says which differ from what is there.
pub(crate) fn keep(
    directory: &str,
    documents: &[(String, String)],
    mode: Mode,
    chore: &str,
) -> Result<Findings, String> {
    let path = tree::root().join(directory);
    let mut findings = Findings::new();
    if mode == Mode::Write {
        std::fs::create_dir_all(&path).map_err(|error| format!("make {directory}: {error}"))?;
    }
    for (name, text) in documents {
        let file = path.join(name);
        if mode == Mode::Write {
            std::fs::write(&file, text).map_err(|error| format!("write {name}: {error}"))?;
        } else if std::fs::read_to_string(&file).ok().as_ref() != Some(text) {
            findings.push(format!(
                "{directory}/{name}: not up to date; run: cargo xtask {chore}"
            ));
        }
    }
    let present = std::fs::read_dir(&path).into_iter().flatten().flatten();
    for entry in present {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_known = documents.iter().any(|(known, _)| *known == name);
        if !is_known && mode == Mode::Write {
            std::fs::remove_file(entry.path())
                .map_err(|error| format!("remove {name}: {error}"))?;
        } else if !is_known {
            findings.push(format!(
                "{directory}/{name}: written by no command any more"
            ));
        }
    }
    Ok(findings)
}
