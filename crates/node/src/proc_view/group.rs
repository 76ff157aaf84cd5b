//! What a container's cgroup allows and has used: version 1, version 2 or both at once.
//!
//! A limit is the smallest of those of the cgroup and of all above it. What cannot be read is not
//! limited and was not used: a view must not fail because a controller is missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use insula_container::cgroup::Location;

/// More of a file than this is not looked at.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The directories of a cgroup.
#[derive(Debug)]
pub(super) struct Group {
    location: Location,
}

/// A directory in one hierarchy, with the mount point above it.
#[derive(Debug)]
struct Place {
    mount: PathBuf,
    directory: PathBuf,
    unified: bool,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// `None` without a limit.
    pub(super) limit: Option<u64>,
    pub(super) used: u64,
    /// `None` without a limit; 0 also where swapping is not accounted for.
    pub(super) swap_limit: Option<u64>,
    pub(super) swap_used: u64,
    pub(super) cache: u64,
    pub(super) anonymous: u64,
    pub(super) huge: u64,
    pub(super) shared: u64,
    pub(super) mapped: u64,
    pub(super) dirty: u64,
    pub(super) writeback: u64,
    /// Anonymous memory, then files: inactive and active.
    pub(super) anonymous_lists: (u64, u64),
    pub(super) file_lists: (u64, u64),
    pub(super) unevictable: u64,
    pub(super) slab_reclaimable: u64,
    pub(super) slab_unreclaimable: u64,
    pub(super) kernel_stack: u64,
    pub(super) page_tables: u64,
}

/// Nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) user: u64,
    pub(super) system: u64,
    /// User and system time by the number of the processor; empty where it is not counted.
    pub(super) by_processor: BTreeMap<u32, (u64, u64)>,
}

/// What went to and from one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DiskUse {
    pub(super) reads: u64,
    pub(super) read_bytes: u64,
    pub(super) writes: u64,
    pub(super) written_bytes: u64,
}

impl Group {
    pub(super) fn new(location: Location) -> Self {
        Self { location }
    }

    /// The hierarchy of a controller: that of version 1 where it is mounted.
    fn place(&self, controller: &str) -> Option<Place> {
        let old = self.location.directory(controller);
        let unified = old.is_none();
        let directory = old.or_else(|| self.location.directory(""))?;
        let mut places = self.location.places();
        let (mount, directory) = places.find(|(_, found)| *found == directory)?;
        Some(Place {
            mount: mount.into(),
            directory: directory.into(),
            unified,
        })
    }

    pub(super) fn memory(&self) -> Memory {
        match self.place("memory") {
            Some(place) if place.unified => memory_v2(&place),
            Some(place) => memory_v1(&place),
            None => Memory::default(),
        }
    }

    /// How many processors' worth of time it may use, rounded up; `None` without a limit.
    pub(super) fn quota_processors(&self) -> Option<u64> {
        let place = self.place("cpu")?;
        let quota = |directory: &Path| -> Option<u64> {
            let (quota, period) = if place.unified {
                let text = text(&directory.join("cpu.max"))?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
            } else {
                // Without a limit it is -1, which is no u64.
                let quota = number(&directory.join("cpu.cfs_quota_us"))?;
                (quota, number(&directory.join("cpu.cfs_period_us"))?)
            };
            (period > 0).then(|| quota.div_ceil(period).max(1))
        };
        place.smallest(quota)
    }

    /// The numbers of the processors that it may run on; `None` without such a limit.
    pub(super) fn processors(&self) -> Option<Vec<u32>> {
        let place = self.place("cpuset")?;
        let names = [
            "cpuset.cpus.effective",
            "cpuset.effective_cpus",
            "cpuset.cpus",
        ];
        let mut texts = names.iter().filter_map(|name| place.text(name));
        let list = texts.find_map(|text| parse_list(&text))?;
        (!list.is_empty()).then_some(list)
    }

    pub(super) fn cpu_time(&self) -> CpuTime {
        let Some(place) = self.place("cpuacct") else {
            return CpuTime::default();
        };
        if place.unified {
            let text = place.text("cpu.stat").unwrap_or_default();
            return CpuTime {
                user: named(&text, "user_usec") * 1000,
                system: named(&text, "system_usec") * 1000,
                by_processor: BTreeMap::new(),
            };
        }
        let text = place.text("cpuacct.usage_all").unwrap_or_default();
        let by_processor: BTreeMap<u32, (u64, u64)> = text
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(' ').map(|field| field.parse::<u64>().ok());
                let mut next = || fields.next().flatten();
                let processor = u32::try_from(next()?).ok()?;
                Some((processor, (next()?, next()?)))
            })
            .collect();
        CpuTime {
            user: by_processor.values().map(|time| time.0).sum(),
            system: by_processor.values().map(|time| time.1).sum(),
            by_processor,
        }
    }

    /// By major and minor number.
    pub(super) fn disk_use(&self) -> BTreeMap<(u32, u32), DiskUse> {
        match self.place("blkio") {
            Some(place) if place.unified => disk_use_v2(&place.text("io.stat").unwrap_or_default()),
            Some(place) => disk_use_v1(&place),
            None => BTreeMap::new(),
        }
    }

    /// The directory whose lists of tasks stand for the container, and the name of these lists.
    pub(super) fn tasks(&self) -> Option<(PathBuf, &'static str)> {
        if let Some(directory) = self.location.directory("") {
            return Some((directory.into(), "cgroup.threads"));
        }
        let directory = self.location.directories().into_iter().next()?;
        Some((directory.into(), "tasks"))
    }
}

impl Place {
    fn text(&self, name: &str) -> Option<String> {
        text(&self.directory.join(name))
    }

    fn number(&self, name: &str) -> u64 {
        number(&self.directory.join(name)).unwrap_or(0)
    }

    /// The smallest limit from the cgroup up to the root of the hierarchy.
    fn smallest(&self, limit: impl Fn(&Path) -> Option<u64>) -> Option<u64> {
        let places = self.directory.ancestors();
        let below = places.take_while(|place| place.starts_with(&self.mount));
        below.filter_map(limit).min()
    }

    fn smallest_of(&self, name: &str) -> Option<u64> {
        self.smallest(|directory| number(&directory.join(name)))
    }
}

fn memory_v1(place: &Place) -> Memory {
    let stat = Named::new(place.text("memory.stat").unwrap_or_default());
    let total = |name: &str| stat.get(&format!("total_{name}"));
    let used = place.number("memory.usage_in_bytes");
    // "No limit" is the greatest number of whole pages.
    let limit = |name| place.smallest_of(name).filter(|&limit| limit < 1 << 62);
    let memory_limit = limit("memory.limit_in_bytes");
    let is_accounted = place.text("memory.memsw.usage_in_bytes").is_some();
    let swap_limit = match (limit("memory.memsw.limit_in_bytes"), is_accounted) {
        (_, false) => Some(0),
        (None, true) => None,
        (Some(both), true) => Some(both.saturating_sub(memory_limit.unwrap_or(both))),
    };
    Memory {
        limit: memory_limit,
        used,
        swap_limit,
        swap_used: total("swap"),
        cache: total("cache"),
        anonymous: total("rss"),
        huge: total("rss_huge"),
        shared: total("shmem"),
        mapped: total("mapped_file"),
        dirty: total("dirty"),
        writeback: total("writeback"),
        anonymous_lists: (total("inactive_anon"), total("active_anon")),
        file_lists: (total("inactive_file"), total("active_file")),
        unevictable: total("unevictable"),
        ..Memory::default()
    }
}

fn memory_v2(place: &Place) -> Memory {
    let stat = Named::new(place.text("memory.stat").unwrap_or_default());
    let is_accounted = place.text("memory.swap.current").is_some();
    Memory {
        limit: place.smallest_of("memory.max"),
        used: place.number("memory.current"),
        swap_limit: match is_accounted {
            true => place.smallest_of("memory.swap.max"),
            false => Some(0),
        },
        swap_used: place.number("memory.swap.current"),
        cache: stat.get("file"),
        anonymous: stat.get("anon"),
        huge: stat.get("anon_thp"),
        shared: stat.get("shmem"),
        mapped: stat.get("file_mapped"),
        dirty: stat.get("file_dirty"),
        writeback: stat.get("file_writeback"),
        anonymous_lists: (stat.get("inactive_anon"), stat.get("active_anon")),
        file_lists: (stat.get("inactive_file"), stat.get("active_file")),
        unevictable: stat.get("unevictable"),
        slab_reclaimable: stat.get("slab_reclaimable"),
        slab_unreclaimable: stat.get("slab_unreclaimable"),
        kernel_stack: stat.get("kernel_stack"),
        page_tables: stat.get("pagetables"),
    }
}

/// Lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn disk_use_v2(text: &str) -> BTreeMap<(u32, u32), DiskUse> {
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let device = parse_device(fields.next()?)?;
        let mut found = DiskUse::default();
        for field in fields {
            let (name, value) = field.split_once('=')?;
            let value = value.parse().unwrap_or(0);
            match name {
                "rbytes" => found.read_bytes = value,
                "wbytes" => found.written_bytes = value,
                "rios" => found.reads = value,
                "wios" => found.writes = value,
                _ => {}
            }
        }
        Some((device, found))
    };
    text.lines().filter_map(line).collect()
}

/// Lines `8:0 Read 1`. Which files count depends on the scheduler of the device: the first that has
/// something is taken.
fn disk_use_v1(place: &Place) -> BTreeMap<(u32, u32), DiskUse> {
    let mut found: BTreeMap<(u32, u32), DiskUse> = BTreeMap::new();
    let mut fill = |names: [&str; 2], set: fn(&mut DiskUse, bool, u64)| {
        let texts = names.iter().filter_map(|name| place.text(name));
        let text = texts.into_iter().find(|text| text.contains(" Read "));
        for line in text.unwrap_or_default().lines() {
            let mut fields = line.split(' ');
            let (Some(device), Some(kind), Some(value)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (Some(device), Ok(value)) = (parse_device(device), value.parse()) else {
                continue;
            };
            if matches!(kind, "Read" | "Write") {
                set(found.entry(device).or_default(), kind == "Read", value);
            }
        }
    };
    let operations = [
        "blkio.throttle.io_serviced_recursive",
        "blkio.bfq.io_serviced_recursive",
    ];
    fill(operations, |of, is_read, value| match is_read {
        true => of.reads = value,
        false => of.writes = value,
    });
    let bytes = [
        "blkio.throttle.io_service_bytes_recursive",
        "blkio.bfq.io_service_bytes_recursive",
    ];
    fill(bytes, |of, is_read, value| match is_read {
        true => of.read_bytes = value,
        false => of.written_bytes = value,
    });
    found
}

fn parse_device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `0-2,5` as numbers. `None` when it is no list, or an absurd one.
pub(super) fn parse_list(text: &str) -> Option<Vec<u32>> {
    const PROCESSORS_MAX: u32 = 1 << 16;
    let mut numbers = Vec::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if last >= PROCESSORS_MAX {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Lines `name number`.
struct Named(BTreeMap<String, u64>);

impl Named {
    fn new(text: String) -> Self {
        let line = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

fn named(text: &str, wanted: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(name, _)| *name == wanted);
    found.map_or(0, |(_, value)| value.trim().parse().unwrap_or(0))
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// A file of the kernel. `None` when it is not there or cannot be read.
pub(super) fn text(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}
