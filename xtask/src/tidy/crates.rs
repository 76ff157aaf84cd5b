//! Which crate may use which: the table of ARCHITECTURE.md against `cargo metadata`; and what every
//! dependency from outside costs: a row in docs/internals/dependencies.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Findings;
use crate::tree::File;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const DEPENDENCIES: &str = "docs/internals/dependencies.md";

/// Crates that serve the project and are no part of the product: they may use any of ours.
const TOOLS: [&str; 3] = ["xtask", "insula-tests", "insula-bench"];

/// Direct dependencies from outside that one crate may have.
const DIRECT_LIMIT: usize = 20;

/// Packages in Cargo.lock.
const LOCK_LIMIT: usize = 250;

/// A dependency as `cargo metadata` lists it, of the normal and build kinds.
struct Dependency {
    name: String,
    is_ours: bool,
}

pub(super) fn check(metadata: &Value, files: &[File]) -> Result<Findings, String> {
    let text = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .map(|file| &*file.text)
    };
    let architecture = text(ARCHITECTURE).ok_or("ARCHITECTURE.md is missing")?;
    let documented = text(DEPENDENCIES).unwrap_or_default();
    let allowed = direction_table(architecture);
    let mut findings = Findings::new();
    if allowed.is_empty() {
        findings.push(format!(
            "{ARCHITECTURE}: the table `crate | may use (ours)` is missing"
        ));
    }
    let mut direct = BTreeSet::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let dependencies = dependencies_of(package);
        findings.extend(direction(name, &dependencies, &allowed));
        let outside = dependencies.iter().filter(|dependency| !dependency.is_ours);
        let outside: Vec<String> = outside.map(|dependency| dependency.name.clone()).collect();
        if outside.len() > DIRECT_LIMIT {
            findings.push(format!(
                "{name}: {} dependencies, the limit is {DIRECT_LIMIT}",
                outside.len()
            ));
        }
        direct.extend(outside);
    }
    for name in &direct {
        if !documented.contains(&format!("| `{name}` |")) {
            findings.push(format!("{DEPENDENCIES}: no row for `{name}`"));
        }
    }
    let locked = text("Cargo.lock")
        .unwrap_or_default()
        .matches("[[package]]")
        .count();
    if locked > LOCK_LIMIT {
        findings.push(format!(
            "Cargo.lock: {locked} packages, the limit is {LOCK_LIMIT}"
        ));
    }
    Ok(findings)
}

fn dependencies_of(package: &Value) -> Vec<Dependency> {
    let list = package["dependencies"].as_array().into_iter().flatten();
    list.filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| Dependency {
            name: dependency["name"].as_str().unwrap_or_default().to_owned(),
            is_ours: dependency["source"].is_null(),
        })
        .collect()
}

/// Rows of the table whose head is `crate | may use (ours)`: names without the prefix `insula-`.
fn direction_table(architecture: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut table = BTreeMap::new();
    let lines = architecture.lines();
    let rows = lines
        .skip_while(|line| !line.starts_with("| crate | may use"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [crates, uses, ..] = cells.as_slice() else {
            continue;
        };
        let names = |cell: &str| -> BTreeSet<String> {
            let names = cell
                .split(',')
                .map(|name| name.trim().trim_matches('`').to_owned());
            names
                .filter(|name| !name.is_empty() && name != "–")
                .collect()
        };
        for name in names(crates) {
            table.insert(name, names(uses));
        }
    }
    table
}

fn direction(
    package: &str,
    dependencies: &[Dependency],
    allowed: &BTreeMap<String, BTreeSet<String>>,
) -> Findings {
    if TOOLS.contains(&package) {
        return Findings::new();
    }
    let noun = |name: &str| name.strip_prefix("insula-").unwrap_or(name).to_owned();
    let Some(allowed) = allowed.get(&noun(package)) else {
        return vec![format!(
            "{ARCHITECTURE}: no row for the crate `{}`",
            noun(package)
        )];
    };
    dependencies
        .iter()
        .filter(|dependency| dependency.is_ours && !allowed.contains(&noun(&dependency.name)))
        .map(|dependency| {
            format!(
                "{package} must not use {} ({ARCHITECTURE})",
                dependency.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| crate | may use (ours) |
|---|---|
| `sys` | – |
| `container`, `image` | `sys` |

after";

    fn uses(package: &str, ours: &str) -> usize {
        let dependency = Dependency {
            name: ours.to_owned(),
            is_ours: true,
        };
        direction(package, &[dependency], &direction_table(TABLE)).len()
    }

    #[test]
    fn the_table_allows_and_forbids() {
        assert_eq!(uses("insula-container", "insula-sys"), 0);
        assert_eq!(uses("insula-container", "insula-image"), 1);
        assert_eq!(uses("insula-sys", "insula-container"), 1);
        assert_eq!(uses("insula-unknown", "insula-sys"), 1);
        assert_eq!(uses("insula-tests", "insula-image"), 0);
    }
}
