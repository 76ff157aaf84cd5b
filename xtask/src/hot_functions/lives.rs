//! What is traced: the calls that engines make in the life of a container, most frequent first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use insula_sys::trace::Tracer;
use serde_json::{Value, json};

/// Arguments after `insula oci`; the state directory is the usual one, as for most callers.
const CALLS: [&[&str]; 10] = [
    &["run", "--bundle", "BUNDLE", "hot-run"],
    &["create", "--bundle", "BUNDLE", "hot-life"],
    &["state", "hot-life"],
    &["start", "hot-life"],
    &["exec", "hot-life", "/busybox", "true"],
    &["pause", "hot-life"],
    &["resume", "hot-life"],
    &["kill", "hot-life", "KILL"],
    &["delete", "--force", "hot-life"],
    &["--version"],
];

/// Runs each call of `binary` and tells the address of each of its instructions.
pub(super) fn trace(binary: &Path, mut at: impl FnMut(u64)) -> Result<(), String> {
    let scratch = Scratch::new()?;
    let bundle = make_bundle(binary, &scratch.path)?;
    let mut tracer = Tracer;
    for call in CALLS {
        // The first life ends by itself, the second waits to be killed.
        let program: &[&str] = if call[0] == "create" {
            &["/busybox", "sleep", "600"]
        } else {
            &["/busybox", "true"]
        };
        configure(&bundle, program)?;
        let mut command = Command::new(binary);
        command.arg("oci");
        for word in call {
            match *word {
                "BUNDLE" => command.arg(&bundle),
                word => command.arg(word),
            };
        }
        // Cargo sets LD_LIBRARY_PATH, which glibc reads even in a static program.
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let status = tracer
            .run(&mut command, &mut at)
            .map_err(|errno| format!("trace {}: {errno}", call.join(" ")))?;
        if !status.success() {
            return Err(format!("{command:?}: {status}"));
        }
    }
    Ok(())
}

/// A directory that goes away.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("insula-hot-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("make {}: {error}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A rest in the directory of temporary files harms nobody.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

/// A static busybox, and the configuration that `insula oci spec` writes.
fn make_bundle(binary: &Path, scratch: &Path) -> Result<PathBuf, String> {
    let bundle = scratch.join("bundle");
    let root = bundle.join("rootfs");
    for directory in ["dev", "proc", "sys"] {
        std::fs::create_dir_all(root.join(directory)).map_err(|error| format!("make: {error}"))?;
    }
    std::fs::copy("/bin/busybox", root.join("busybox"))
        .map_err(|error| format!("copy /bin/busybox (package busybox-static): {error}"))?;
    let status = Command::new(binary)
        .args(["oci", "spec", "--bundle"])
        .arg(&bundle)
        .status()
        .map_err(|error| format!("run {}: {error}", binary.display()))?;
    if status.success() {
        Ok(bundle)
    } else {
        Err(format!("insula oci spec: {status}"))
    }
}

/// As an engine would write it: no terminal, limits, a filter of system calls.
fn configure(bundle: &Path, program: &[&str]) -> Result<(), String> {
    let path = bundle.join("config.json");
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
    let mut config: Value = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(program);
    config["linux"]["resources"]["memory"] = json!({ "limit": 1 << 28 });
    config["linux"]["resources"]["pids"] = json!({ "limit": 1000 });
    config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["reboot", "swapon"], "action": "SCMP_ACT_ERRNO" }],
    });
    std::fs::write(&path, config.to_string()).map_err(|error| failed(&error))
}
