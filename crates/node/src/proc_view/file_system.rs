//! The files of the view, as the kernel asks for them.
//!
//! A text is made when a file is opened and stays the same until it is closed. A handle that this
//! process does not know, for another one gave it, gets a new text.
//!
//! The kernel asks for attributes before each opening, and sendfile(2) reads as far as the size
//! says: the text whose length was told is the one that is opened a moment later.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use insula_container::cgroup::Location;
use insula_sys::fuse::{
    Attributes, FileSystem, Listing, Opened, ReadRequest, Statistics, protocol,
};
use insula_sys::rustix::event::Timespec;
use insula_sys::rustix::time::{ClockId, clock_gettime};
use insula_sys::{Errno, Result};

use super::ViewOptions;
use super::disk::diskstats;
use super::group::{Group, text};
use super::load::{self, INTERVAL_SECONDS, Load, Tasks, look};
use super::memory::MemoryView;
use super::processor::Processors;

/// The files; the node of the first is 2.
const FILES: [&str; 8] = [
    "cpuinfo",
    "cpu_online",
    "diskstats",
    "loadavg",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
];
const FIRST_NODE: u64 = protocol::ROOT + 1;
/// Texts of files that are open. The oldest gives way.
const TEXTS_MAX: usize = 64;
/// A text whose length was told so long ago is not opened any more.
const FRESH_NANOSECONDS: u64 = 50_000_000;
/// Somebody who read the load so long ago does not watch it any more.
const WATCH_SECONDS: f64 = 60.0;

/// One container's view.
pub(super) struct View {
    group: OnceLock<Group>,
    /// While nobody knows the container's cgroup.
    unknown: Group,
    options: ViewOptions,
    state: Mutex<State>,
}

struct State {
    /// By handle: the node and its text.
    texts: BTreeMap<u64, (u64, Arc<str>)>,
    /// By node: the text whose length was told, and when.
    told: BTreeMap<u64, (u64, Arc<str>)>,
    next_handle: u64,
    load: Option<Watched>,
}

/// The load of the container with this first process.
#[derive(Debug, Clone, Copy)]
struct Watched {
    init: Option<i32>,
    load: Load,
    read_at: f64,
}

impl View {
    pub(super) fn new(options: ViewOptions) -> Self {
        let now = boot_nanoseconds();
        Self {
            group: OnceLock::new(),
            unknown: Group::new(Location::default()),
            options,
            state: Mutex::new(State {
                texts: BTreeMap::new(),
                told: BTreeMap::new(),
                // Not one that a process before this one gave.
                next_handle: now,
                load: None,
            }),
        }
    }

    fn group(&self) -> &Group {
        match self.group.get() {
            Some(group) => group,
            None => (self.options.cgroup)().map_or(&self.unknown, |location| {
                self.group.get_or_init(|| Group::new(location))
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever a panic left is a text or none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait for a request before [`View::sample`]: for ever while nobody watches.
    pub(super) fn next_sample(&self) -> Option<Timespec> {
        let watched = self.state().load?;
        let is_watched = seconds(boot_nanoseconds()) - watched.read_at < WATCH_SECONDS;
        is_watched.then_some(Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        })
    }

    /// Looks at the load, if it is time.
    pub(super) fn sample(&self) {
        let now = seconds(boot_nanoseconds());
        let mut state = self.state();
        state.told.clear();
        if let Some(watched) = &mut state.load
            && now - watched.load.at() >= INTERVAL_SECONDS - 1.0
        {
            let tasks = self.tasks();
            watched.load.update(now, self.used_seconds(), &tasks);
        }
    }

    fn used_seconds(&self) -> f64 {
        let time = self.group().cpu_time();
        seconds(time.user + time.system)
    }

    fn tasks(&self) -> Tasks {
        match self.group().tasks() {
            Some((directory, list)) => look(&directory, list, Path::new("/proc")),
            None => Tasks::default(),
        }
    }

    /// When the first process started, in nanoseconds since boot.
    fn start(&self) -> Option<u64> {
        let init = (self.options.init)()?;
        load::start_of(Path::new(&format!("/proc/{init}")))
    }

    fn uptime(&self) -> u64 {
        let now = boot_nanoseconds();
        now.saturating_sub(self.start().unwrap_or(now))
    }

    fn loadavg(&self) -> String {
        let now = seconds(boot_nanoseconds());
        let init = (self.options.init)();
        let tasks = self.tasks();
        let used = self.used_seconds();
        let mut state = self.state();
        let known = state.load.filter(|watched| watched.init == init);
        let mut watched = known.unwrap_or_else(|| Watched {
            init,
            load: Load::new(seconds(self.start().unwrap_or(0))),
            read_at: now,
        });
        watched.read_at = now;
        if watched.load.is_due(now) {
            watched.load.update(now, used, &tasks);
        }
        state.load = Some(watched);
        watched.load.text(&tasks)
    }

    fn make(&self, file: &str) -> String {
        let host = |path: &str| text(Path::new(path)).unwrap_or_default();
        let processors = || Processors::of(self.group(), &host("/sys/devices/system/cpu/online"));
        let group = self.group();
        match file {
            "cpuinfo" => processors().cpuinfo(&host("/proc/cpuinfo")),
            "cpu_online" => processors().list(),
            "diskstats" => diskstats(&group.disk_use(), &host("/proc/diskstats")),
            "loadavg" => self.loadavg(),
            "meminfo" => MemoryView::new(group.memory(), &host("/proc/meminfo")).meminfo(),
            "swaps" => MemoryView::new(group.memory(), &host("/proc/meminfo")).swaps(),
            "stat" => {
                let time = group.cpu_time();
                let host = host("/proc/stat");
                processors().stat(&time, (&host, self.uptime()), &self.tasks())
            }
            "uptime" => processors().uptime(&group.cpu_time(), self.uptime()),
            _ => String::new(),
        }
    }

    fn text_of(&self, node: u64) -> Result<Arc<str>> {
        let number = node.checked_sub(FIRST_NODE).ok_or(Errno::INVAL)?;
        let file = usize::try_from(number).ok().and_then(|n| FILES.get(n));
        Ok(self.make(file.ok_or(Errno::STALE)?).into())
    }

    /// The text whose length was told a moment ago, or else a new one.
    fn text_to_open(&self, node: u64) -> Result<Arc<str>> {
        let told = self.state().told.remove(&node);
        let told = told.filter(|(made, _)| boot_nanoseconds() < made + FRESH_NANOSECONDS);
        told.map_or_else(|| self.text_of(node), |(_, text)| Ok(text))
    }

    fn size_of(&self, node: u64) -> Result<u64> {
        let text = self.text_of(node)?;
        let size = text.len() as u64;
        // What is said while the container's cgroup is not known yet is not said again.
        if self.group.get().is_some() {
            let told = (boot_nanoseconds(), text);
            self.state().told.insert(node, told);
        }
        Ok(size)
    }

    fn kind_of(node: u64) -> Result<Attributes> {
        let (mode, links) = match node {
            protocol::ROOT => (0o040_555, 2),
            node if node < FIRST_NODE + FILES.len() as u64 => (0o100_444, 1),
            _ => return Err(Errno::STALE),
        };
        Ok(Attributes {
            inode: node,
            mode,
            links,
            ..Attributes::default()
        })
    }
}

impl FileSystem for View {
    /// Sizes change all the time.
    const VALID_SECONDS: u64 = 0;

    fn look_up(&self, directory: u64, name: &[u8]) -> Result<(u64, Attributes)> {
        if directory != protocol::ROOT {
            return Err(Errno::NOTDIR);
        }
        let number = FILES.iter().position(|file| file.as_bytes() == name);
        let node = FIRST_NODE + number.ok_or(Errno::NOENT)? as u64;
        // The size is asked for when the file is opened.
        Ok((node, Self::kind_of(node)?))
    }

    fn attributes(&self, node: u64) -> Result<Attributes> {
        let size = match node {
            protocol::ROOT => 0,
            node => self.size_of(node)?,
        };
        Ok(Attributes {
            size,
            ..Self::kind_of(node)?
        })
    }

    fn open(&self, node: u64) -> Result<Opened> {
        let text = self.text_to_open(node)?;
        let mut state = self.state();
        while state.texts.len() >= TEXTS_MAX {
            state.texts.pop_first();
        }
        let handle = state.next_handle;
        state.next_handle += 1;
        state.texts.insert(handle, (node, text));
        Ok(Opened {
            handle,
            flags: protocol::open_flag::DIRECT_IO,
        })
    }

    fn close(&self, handle: u64) {
        self.state().texts.remove(&handle);
    }

    fn read(&self, request: &ReadRequest, buffer: &mut [u8]) -> Result<usize> {
        let kept = {
            let state = self.state();
            let kept = state.texts.get(&request.handle);
            kept.filter(|(node, _)| *node == request.node).cloned()
        };
        let text = match kept {
            Some((_, text)) => text,
            None => self.text_of(request.node)?,
        };
        let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
        let rest = text.as_bytes().get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn read_directory(&self, _node: u64, position: u64, listing: &mut Listing<'_>) -> Result<()> {
        let root = Self::kind_of(protocol::ROOT)?;
        let dots = [(".", 0), ("..", 0)];
        let files = FILES.iter().zip(FIRST_NODE..);
        let files = files.map(|(file, node)| (*file, node));
        for (at, (name, node)) in (1..).zip(dots.into_iter().chain(files)) {
            let attributes = match node {
                0 => root,
                node => Self::kind_of(node)?,
            };
            if at > position && !listing.push(name.as_bytes(), at, (node, &attributes)) {
                break;
            }
        }
        Ok(())
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            block_bytes: 4096,
            name_bytes: 255,
            ..Statistics::default()
        }
    }
}

/// The clock that process start times are counted by.
fn boot_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // Both are positive: it counts from the start of the machine.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "2^52 nanoseconds are 52 days, after which microseconds are exact enough"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
