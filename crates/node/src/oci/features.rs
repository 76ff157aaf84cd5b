//! `features`: what the runtime knows, whatever the host can do (features.md, features-linux.md).

use insula_container::capability::NAMES;
use insula_container::mount::known_options;
use insula_container::seccomp::features as seccomp_features;
use insula_container::spec::OCI_VERSION;
use serde_json::{Value, json};

use super::failure::{Failure, Result};
use super::output;

pub(crate) fn print() -> Result<u8> {
    let mut text = serde_json::to_string_pretty(&features())
        .map_err(|error| Failure::new(format!("write features: {error}")))?;
    text.push('\n');
    output::print(text.as_bytes()).map(|()| 0)
}

fn words(text: &str) -> Value {
    text.split_whitespace().collect()
}

fn prefixed(prefix: &str, text: &str) -> Value {
    text.split_whitespace()
        .map(|word| format!("{prefix}{word}"))
        .collect()
}

fn features() -> Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": words(
            "prestart createRuntime createContainer startContainer poststart poststop"
        ),
        "mountOptions": known_options().collect::<Vec<_>>(),
        "linux": {
            "namespaces": words("cgroup ipc mount network pid time user uts"),
            "capabilities": NAMES.as_slice(),
            "cgroup": {
                "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true
            },
            "seccomp": seccomp(),
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "memoryPolicy": {
                "modes": prefixed(
                    "MPOL_",
                    "DEFAULT BIND INTERLEAVE WEIGHTED_INTERLEAVE PREFERRED PREFERRED_MANY LOCAL"
                ),
                "flags": prefixed("MPOL_F_", "NUMA_BALANCING RELATIVE_NODES STATIC_NODES")
            },
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true}
        },
        "annotations": {"dev.insula.version": env!("CARGO_PKG_VERSION")},
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property."]
    })
}

/// Flags of the running kernel are left to it: the document says what the runtime knows.
fn seccomp() -> Value {
    json!({
        "enabled": true,
        "actions": seccomp_features::ACTIONS.as_slice(),
        "operators": seccomp_features::OPERATORS.as_slice(),
        "archs": seccomp_features::ARCHITECTURES.as_slice(),
        "knownFlags": seccomp_features::known_flags(),
        "supportedFlags": seccomp_features::supported_flags()
    })
}
