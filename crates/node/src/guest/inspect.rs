//! Everything about a guest as one tree.

use insula_container::error::Result;
use insula_container::spec::Spec;
use serde_json::{Value, json};

use super::find::{Guest, find};
use super::place::Place;
use crate::moment::rfc3339;
use crate::run::own_view;

/// What is known of a guest: what it was asked to be, what it does, what is in force.
///
/// # Errors
/// There is none of this name.
pub fn inspect(place: &Place, name: &str) -> Result<Value> {
    let guest = find(place, name)?;
    let record = &guest.record;
    let directory = place.directory(&record.id);
    // While it runs the engine knows what is in force.
    let spec = place
        .runtime()
        .load(&record.id)
        .and_then(|it| it.spec())
        .ok();
    Ok(json!({
        "id": record.id,
        "name": record.name,
        "kind": "container",
        "isolation": "container",
        "image": record.image,
        "imageDigest": record.manifest.to_string(),
        "created": seconds(record.created),
        "config": record.config,
        "state": state(&guest),
        "security": spec.as_ref().map(|spec| security(spec, &guest)),
        "process": spec.as_ref().and_then(process),
        "mounts": spec.as_ref().map(|spec| &spec.mounts),
        "limits": spec.as_ref().and_then(|spec| spec.linux.as_ref()?.resources.as_ref()),
        "paths": {
            "directory": directory,
            "layer": directory.join("upper"),
            "log": place.log(&record.id),
        },
    }))
}

fn seconds(since_1970: u64) -> String {
    rfc3339(i64::try_from(since_1970.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX))
}

fn state(guest: &Guest) -> Value {
    let ended = guest.record.ended.as_ref();
    let live = guest.state.as_ref();
    let nanoseconds = |ns: u64| rfc3339(i64::try_from(ns).unwrap_or(i64::MAX));
    json!({
        "status": guest.status.name(),
        "running": guest.status.is_up(),
        "pid": guest.pid(),
        "exitCode": guest.exit_code(),
        "error": ended.and_then(|ended| ended.error.as_ref()),
        "oomKilled": ended.is_some_and(|ended| ended.oom_killed),
        "started": live.map(|state| nanoseconds(state.started)),
        "finished": ended.map(|ended| seconds(ended.at)),
        "restarts": live.map_or(0, |state| state.restarts),
        "health": live.and_then(|state| state.health.as_ref()),
        "monitor": live.map(|state| state.monitor),
        "holder": live.and_then(|state| state.holder),
        "boundTo": live.and_then(|state| state.bound_to),
        "adopted": live.is_some_and(|state| state.adopted),
        "outputLost": live.is_some_and(|state| state.output_lost),
        "logFailure": live.and_then(|state| state.log_failure.as_ref()),
    })
}

fn security(spec: &Spec, guest: &Guest) -> Value {
    let process = spec.process.as_ref();
    let linux = spec.linux.as_ref();
    let options = &guest.record.config.security;
    let profile = options
        .iter()
        .find_map(|option| option.strip_prefix("seccomp="));
    let kinds = linux.map(|linux| {
        let kinds = linux.namespaces.iter();
        kinds
            .map(|namespace| json!(namespace.kind))
            .collect::<Vec<_>>()
    });
    json!({
        "capabilities": process.and_then(|process| process.capabilities.as_ref()),
        "noNewPrivileges": process.is_some_and(|process| process.no_new_privileges),
        "seccomp": match linux.and_then(|linux| linux.seccomp.as_ref()) {
            None => "unconfined",
            Some(_) => profile.unwrap_or("default"),
        },
        "apparmor": process.and_then(|process| process.apparmor_profile.as_ref()),
        "selinux": process.and_then(|process| process.selinux_label.as_ref()),
        "readOnlyRoot": spec.root.as_ref().is_some_and(|root| root.readonly),
        "namespaces": kinds,
        "maskedPaths": linux.map(|linux| &linux.masked_paths),
        "procView": spec.mounts.iter().any(own_view::is_shown_by),
        "readOnlyPaths": linux.map(|linux| &linux.readonly_paths),
    })
}

fn process(spec: &Spec) -> Option<Value> {
    let process = spec.process.as_ref()?;
    Some(json!({
        "args": process.args,
        "env": process.env,
        "cwd": process.cwd,
        "user": process.user,
        "terminal": process.terminal,
        "rlimits": process.rlimits,
    }))
}

/// The value at a path of names and numbers with slashes between: `state/monitor/pid`.
///
/// # Errors
/// The name that does not exist, and those that do there.
pub fn at_path<'a>(tree: &'a Value, path: &str) -> Result<&'a Value, (String, Vec<String>)> {
    let mut place = tree;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let next = match place {
            Value::Object(object) => object.get(name),
            Value::Array(list) => name.parse().ok().and_then(|index: usize| list.get(index)),
            _ => None,
        };
        let Some(next) = next else {
            let known = match place {
                Value::Object(object) => object.keys().cloned().collect(),
                Value::Array(list) => (0..list.len()).map(|index| index.to_string()).collect(),
                _ => Vec::new(),
            };
            return Err((name.to_owned(), known));
        };
        place = next;
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_objects_and_lists() {
        let tree = json!({"state": {"pid": 7}, "mounts": [{"type": "proc"}]});
        assert_eq!(at_path(&tree, "state/pid"), Ok(&json!(7)));
        assert_eq!(at_path(&tree, "/mounts/0/type/"), Ok(&json!("proc")));
        assert_eq!(at_path(&tree, ""), Ok(&tree));
        let wrong = at_path(&tree, "state/pidd").unwrap_err();
        assert_eq!(wrong, ("pidd".to_owned(), vec!["pid".to_owned()]));
        assert!(at_path(&tree, "mounts/1").is_err() && at_path(&tree, "state/pid/x").is_err());
    }
}
