//! Memory: `meminfo` and `swaps`.

use super::group::Memory;

/// A view with these numbers, on a host with those.
#[derive(Debug)]
pub(super) struct MemoryView<'h> {
    group: Memory,
    /// The host's `/proc/meminfo`.
    host: &'h str,
}

/// Lines of the host that are as true in the container: settings, not amounts.
const KEPT: [&str; 3] = ["VmallocTotal", "Hugepagesize", "CommitLimit"];
/// Lines that describe the host's memory and nothing else.
const LEFT_OUT: [&str; 1] = ["DirectMap"];

impl<'h> MemoryView<'h> {
    pub(super) fn new(group: Memory, host: &'h str) -> Self {
        Self { group, host }
    }

    /// Bytes.
    fn host_bytes(&self, name: &str) -> u64 {
        let mut lines = self.host.lines().filter_map(|line| line.split_once(':'));
        let value = lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value);
        let value =
            value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
        value.unwrap_or(0) * 1024
    }

    fn total(&self) -> u64 {
        let host = self.host_bytes("MemTotal");
        self.group.limit.unwrap_or(u64::MAX).min(host)
    }

    fn swap(&self) -> (u64, u64) {
        let total = self.host_bytes("SwapTotal");
        let total = self.group.swap_limit.unwrap_or(u64::MAX).min(total);
        (total, self.group.swap_used.min(total))
    }

    /// Bytes of a line; `None` for one that this knows nothing about.
    fn bytes(&self, name: &str) -> Option<u64> {
        let group = &self.group;
        let (inactive_anonymous, active_anonymous) = group.anonymous_lists;
        let (inactive_file, active_file) = group.file_lists;
        let free = self.total().saturating_sub(group.used);
        let (swap_total, swap_used) = self.swap();
        Some(match name {
            "MemTotal" => self.total(),
            "MemFree" => free,
            "MemAvailable" => {
                let reclaimable = inactive_file + active_file + group.slab_reclaimable;
                (free + reclaimable).min(self.total())
            }
            "Cached" => group.cache,
            "Active" => active_anonymous + active_file,
            "Inactive" => inactive_anonymous + inactive_file,
            "Active(anon)" => active_anonymous,
            "Inactive(anon)" => inactive_anonymous,
            "Active(file)" => active_file,
            "Inactive(file)" => inactive_file,
            "Unevictable" => group.unevictable,
            "SwapTotal" => swap_total,
            "SwapFree" => swap_total - swap_used,
            "Dirty" => group.dirty,
            "Writeback" => group.writeback,
            "AnonPages" => group.anonymous,
            "AnonHugePages" => group.huge,
            "Mapped" => group.mapped,
            "Shmem" => group.shared,
            "KReclaimable" | "SReclaimable" => group.slab_reclaimable,
            "SUnreclaim" => group.slab_unreclaimable,
            "Slab" => group.slab_reclaimable + group.slab_unreclaimable,
            "KernelStack" => group.kernel_stack,
            "PageTables" => group.page_tables,
            _ => return None,
        })
    }

    /// The lines that this kernel has, in its order.
    pub(super) fn meminfo(&self) -> String {
        let mut text = String::new();
        for line in self.host.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if LEFT_OUT.iter().any(|start| name.starts_with(start)) {
                continue;
            }
            let label = format!("{name}:");
            let is_amount = value.ends_with(" kB") && !KEPT.contains(&name);
            match self.bytes(name) {
                Some(bytes) => text += &format!("{label:<16}{:>8} kB\n", bytes / 1024),
                None if is_amount => text += &format!("{label:<16}{:>8} kB\n", 0),
                None => text += &format!("{line}\n"),
            }
        }
        text
    }

    /// One device for all there is.
    pub(super) fn swaps(&self) -> String {
        let mut text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned();
        let (total, used) = self.swap();
        if total > 0 {
            let (total, used) = (total / 1024, used / 1024);
            text += &format!("{:<40}virtual\t\t{total}\t\t{used}\t\t0\n", "none");
        }
        text
    }
}
