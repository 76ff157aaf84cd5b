//! A store with an image of busybox, the product's command line, and a look at what is left.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use insula_sys::rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::insula::{Insula, binary, busybox, settle};

pub(crate) const STATE: &str = "/run/insula";

pub(crate) struct World {
    insula: Insula,
    directory: TempDir,
}

impl Deref for World {
    type Target = Insula;

    fn deref(&self) -> &Insula {
        &self.insula
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("insula-guests")
            .tempdir()
            .unwrap();
        let store = directory.path().join("store");
        let insula = Insula::new(move |words| {
            let mut command = Command::new(binary());
            command
                .args(words)
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("INSULA_STORE", &store)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command
        });
        let world = Self { insula, directory };
        let tar = busybox().display().to_string();
        world.succeed(&[
            "image",
            "import",
            "--tag",
            "bb",
            "--change",
            "CMD [\"sh\"]",
            &tar,
        ]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    #[track_caller]
    pub(crate) fn status(&self, name: &str) -> String {
        self.guest(name)["status"].as_str().unwrap().to_owned()
    }

    /// What the guest's monitor publishes.
    pub(crate) fn state(&self, id: &str) -> Option<Value> {
        let path = Path::new(STATE).join("guests").join(id).join("state.json");
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// The number of one of the guest's processes: `monitor`, `holder`, `process`.
    #[track_caller]
    pub(crate) fn process(&self, id: &str, which: &str) -> i32 {
        let state = self.state(id).unwrap();
        i32::try_from(state[which]["pid"].as_i64().unwrap()).unwrap()
    }

    /// Waits until a guest is what it shall be.
    #[track_caller]
    pub(crate) fn settle(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        settle(what, || is_so(self));
    }

    /// Whatever of this world is on the host: processes, cgroups, records.
    pub(crate) fn traces(&self, id: &str) -> Vec<String> {
        let mut traces = Vec::new();
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten();
        for place in hierarchies.map(|it| it.path()).chain([top.to_owned()]) {
            traces.push(place.join("insula").join(id));
        }
        for kind in ["containers", "guests"] {
            traces.push(Path::new(STATE).join(kind).join(id));
        }
        traces.retain(|path| path.exists());
        let mut traces: Vec<String> = traces
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        traces.extend(processes_with(id));
        traces
    }

    #[track_caller]
    pub(crate) fn assert_gone(&self, id: &str) {
        self.settle("nothing is left", |world| world.traces(id).is_empty());
        assert!(!self.store().join("containers").join(id).exists());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.insula.clear();
    }
}

/// Processes that have `word` in their command line.
fn processes_with(word: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            command.contains(word).then_some(command)
        })
        .collect()
}

pub(crate) fn kill(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).unwrap();
    // It may have gone by itself.
    let _ = kill_process(pid, signal);
}

/// Whether a process holds nothing any more: it is gone, or nobody has reaped it yet.
pub(crate) fn is_dead(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    state.is_empty() || state.starts_with('Z')
}

/// xorshift64*: the same steps for the same seed, on every machine.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `INSULA_GUESTS_SEED`, or the clock; the seed is printed for a replay.
    pub(crate) fn new() -> Self {
        let given = std::env::var("INSULA_GUESTS_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::from(now.unwrap().subsec_nanos())
        });
        println!("INSULA_GUESTS_SEED={seed}");
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(value).unwrap() % limit
    }
}
