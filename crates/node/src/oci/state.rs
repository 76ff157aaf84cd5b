//! `state` and `list`: what containers there are and what they do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use insula_container::Container;
use insula_container::format::Status;
use serde::Serialize;

use super::failure::{Failure, Result};
use super::invocation::Invocation;
use super::{engine, output, time, users};

/// The state of the specification, with the members that drivers of runtimes read besides.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    /// 0 when the container has stopped.
    pid: i32,
    status: &'static str,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: String,
}

impl<'a> State<'a> {
    fn of(container: &'a Container) -> Self {
        let record = &container.record;
        let status = container.status();
        let (seconds, nanoseconds) = record.created;
        State {
            oci_version: &record.oci_version,
            id: &record.id,
            pid: if status == Status::Stopped {
                0
            } else {
                record.pid
            },
            status: status.name(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: time::rfc3339(UNIX_EPOCH + Duration::new(seconds, nanoseconds)),
            annotations: &record.annotations,
            owner: users::name(record.owner),
        }
    }
}

fn json_failure(error: serde_json::Error) -> Failure {
    Failure::new(format!("write the state: {error}"))
}

pub(crate) fn state(invocation: &Invocation<'_>) -> Result<u8> {
    let container = engine::container(invocation)?;
    let mut text = serde_json::to_vec_pretty(&State::of(&container)).map_err(json_failure)?;
    text.push(b'\n');
    output::print(&text).map(|()| 0)
}

pub(crate) fn list(invocation: &Invocation<'_>) -> Result<u8> {
    if let Some(root) = invocation.root.as_deref().filter(|root| !root.is_dir()) {
        return Err(Failure::new(format!(
            "option --root: {} is no directory",
            root.display()
        )));
    }
    let containers = engine::runtime(invocation)?.list()?;
    let format = invocation.parsed.text("format")?.unwrap_or("table");
    let text = if invocation.parsed.flag("quiet") {
        containers
            .iter()
            .map(|container| format!("{}\n", container.record.id))
            .collect()
    } else {
        let states: Vec<_> = containers.iter().map(State::of).collect();
        match format {
            "json" => serde_json::to_string(&states).map_err(json_failure)? + "\n",
            "table" => table(&states),
            other => {
                return Err(
                    Failure::new(format!("invalid format option: {other}")).hint("table or json")
                );
            }
        }
    };
    output::print(text.as_bytes()).map(|()| 0)
}

fn table(states: &[State<'_>]) -> String {
    let rows: Vec<_> = states
        .iter()
        .map(|state| {
            vec![
                state.id.to_owned(),
                state.pid.to_string(),
                state.status.to_owned(),
                state.bundle.display().to_string(),
                state.created.clone(),
                state.owner.clone(),
            ]
        })
        .collect();
    output::table(
        &["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
        &rows,
    )
}
