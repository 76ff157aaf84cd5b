//! Handing the seccomp listener of a container's program to the agent that answers for it
//! (config-linux.md, The Container Process State).

use std::os::fd::{AsFd, OwnedFd};

use insula_sys::descriptor;
use serde::Serialize;

use crate::error::{Context, Error, Result};
use crate::format::{Record, State, Status};
use crate::seccomp::notify::{DESCRIPTOR_NAME, send_listener};
use crate::spec::{OCI_VERSION, Seccomp};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

/// Fetches descriptor `number` of the process `pidfd` and sends it to `linux.seccomp.listenerPath`.
pub(crate) fn hand_over(
    config: Option<&Seccomp>,
    pidfd: &OwnedFd,
    number: i32,
    record: &Record,
) -> Result<()> {
    let path = config
        .and_then(|config| config.listener_path.as_deref())
        .ok_or_else(|| Error::new("linux.seccomp.listenerPath: required by SCMP_ACT_NOTIFY"))?;
    let listener = descriptor::copy_from(pidfd.as_fd(), number)
        .step(|| "fetch the seccomp listener from the container process")?;
    let state = ContainerProcessState {
        oci_version: OCI_VERSION,
        fds: [DESCRIPTOR_NAME],
        pid: record.pid,
        metadata: config.and_then(|config| config.listener_metadata.as_deref()),
        state: record.state(Status::Creating),
    };
    let json = serde_json::to_string(&state).step(|| "write the container process state")?;
    send_listener(path, listener.as_fd(), &json)
}
