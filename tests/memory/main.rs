//! What a call of the OCI runtime may have resident at most, in the release binary.
//!
//! The bounds hold the layout of the binary (docs/internals/start-up.md) as much as what is
//! allocated. `INSULA_BINARY` names the binary; without a release binary or without root the tests
//! are counted as ignored. Start at `main`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use insula_sys::trace::peak_memory;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

/// For `oci run` of a static program that does nothing.
const RUN_LIMIT_KIB: u64 = 1536;
const VERSION_LIMIT_KIB: u64 = 1536;
const RUNS: u32 = 5;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let binary = std::env::var_os("INSULA_BINARY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/insula"),
        PathBuf::from,
    );
    let is_root = insula_sys::rustix::process::geteuid().is_root();
    let is_ignored = !binary.exists() || !is_root;
    let for_run = binary.clone();
    let trials = vec![
        Trial::test("oci_run_of_a_static_program", move || run(&for_run)),
        Trial::test("version", move || version(&binary)),
    ];
    let trials = trials
        .into_iter()
        .map(|trial| trial.with_ignored_flag(is_ignored))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(binary: &Path) -> Result<(), Failed> {
    let bundle = tempfile::tempdir()?;
    make_bundle(binary, bundle.path())?;
    let call = || {
        let mut command = Command::new(binary);
        command
            .args(["oci", "--root"])
            .arg(bundle.path().join("state"))
            .args(["run", "--bundle"])
            .arg(bundle.path())
            .arg(format!("memory-{}", std::process::id()));
        command
    };
    stays_below(call, RUN_LIMIT_KIB)
}

fn version(binary: &Path) -> Result<(), Failed> {
    let call = || {
        let mut command = Command::new(binary);
        command.arg("--version");
        command
    };
    stays_below(call, VERSION_LIMIT_KIB)
}

fn stays_below(call: impl Fn() -> Command, limit_kib: u64) -> Result<(), Failed> {
    // How many neighbours of a page the kernel maps along depends on how the file happens to lie in
    // the page cache: the least of some runs is the program's own doing.
    let mut peak_kib = u64::MAX;
    for _ in 0..RUNS {
        let mut command = call();
        // Cargo sets LD_LIBRARY_PATH, which glibc reads even in a static program, with code of its
        // own.
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let (status, peak) = peak_memory(&mut command)?;
        if !status.success() {
            return Err(format!("{command:?}: {status}").into());
        }
        peak_kib = peak_kib.min(peak);
    }
    if peak_kib > limit_kib {
        return Err(format!(
            "{peak_kib} KiB resident at most, the limit is {limit_kib}. If code moved or grew, \
             `cargo xtask hot-functions` puts the binary in order again"
        )
        .into());
    }
    Ok(())
}

fn make_bundle(binary: &Path, bundle: &Path) -> Result<(), Failed> {
    let root = bundle.join("rootfs");
    for directory in ["dev", "proc", "sys"] {
        std::fs::create_dir_all(root.join(directory))?;
    }
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/bin/busybox");
    let busybox = [unpacked, PathBuf::from("/bin/busybox")];
    let busybox = busybox.iter().find(|path| path.exists());
    let busybox = busybox.ok_or("no busybox: run scripts/peers")?;
    std::fs::copy(busybox, root.join("busybox"))
        .map_err(|error| format!("/bin/busybox (package busybox-static): {error}"))?;
    let spec = Command::new(binary)
        .args(["oci", "spec", "--bundle"])
        .arg(bundle)
        .status()?;
    if !spec.success() {
        return Err(format!("insula oci spec: {spec}").into());
    }
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/busybox", "true"]);
    std::fs::write(&path, config.to_string())?;
    Ok(())
}
