//! Sends each part of `linux.resources` to the hierarchy that can hold it.
//!
//! Zero means "not given" wherever the kernel knows no zero, because that is what producers written
//! in Go send. What a version 1 field means in version 2 is in `limits_v2.rs`.

use insula_sys::Errno;

use super::controllers;
use super::directory::Directory;
use super::location::Cgroup;
use super::{devices, limits_v1, limits_v2};
use crate::error::{Context, Error, Result};
use crate::spec::{HugepageLimit, Memory, Resources, ThrottleDevice, WeightDevice};

/// Whether limits are those of a new cgroup or change those of a live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Create,
    Update,
}

/// The hierarchy that holds a controller.
pub(super) enum Place<'a> {
    V1(Directory<'a>),
    V2(Directory<'a>),
}

impl Cgroup {
    pub(super) fn set_limits(&self, resources: &Resources, purpose: Purpose) -> Result<()> {
        self.set_processor_limits(resources, purpose)?;
        if let Some(memory) = resources
            .memory
            .as_ref()
            .filter(|memory| asks_memory(memory))
        {
            match self.place("memory", "memory")? {
                Place::V1(directory) => limits_v1::memory(&directory, memory)?,
                Place::V2(directory) => limits_v2::memory(&directory, memory)?,
            }
        }
        if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
            let (Place::V1(directory) | Place::V2(directory)) = self.place("pids", "pids")?;
            directory.write("pids.max", &number_or_max(limit))?;
        }
        self.set_device_limits(resources, purpose)?;
        self.set_rare_limits(resources)?;
        self.set_unified(resources)
    }

    fn set_processor_limits(&self, resources: &Resources, purpose: Purpose) -> Result<()> {
        let Some(cpu) = &resources.cpu else {
            return Ok(());
        };
        if limits_v1::asks_cpu(cpu) {
            match self.place("cpu", "cpu")? {
                Place::V1(directory) => limits_v1::cpu(&directory, cpu)?,
                Place::V2(directory) => limits_v2::cpu(&directory, cpu, purpose)?,
            }
        }
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        for (name, value) in [("cpus", text(&cpu.cpus)), ("mems", text(&cpu.mems))] {
            let Some(value) = value else { continue };
            let (Place::V1(directory) | Place::V2(directory)) = self.place("cpuset", "cpuset")?;
            if !directory.write_if_present(&format!("cpuset.{name}"), &value)? {
                // A version 1 hierarchy mounted with noprefix.
                directory.write(name, &value)?;
            }
        }
        Ok(())
    }

    fn set_device_limits(&self, resources: &Resources, purpose: Purpose) -> Result<()> {
        let rules = &resources.devices;
        // In a user namespace neither hierarchy may be restricted, and no device can be made.
        if self.location.rootless || (purpose == Purpose::Update && rules.is_empty()) {
            return Ok(());
        }
        // systemd has filtered the devices already, and differently.
        let live = purpose == Purpose::Update || self.location.unit.is_some();
        let restricted = if let Some(directory) = self.controller("devices") {
            Some(devices::restrict_v1(&directory, rules, live))
        } else {
            self.unified()
                .map(|directory| devices::restrict_v2(&directory, rules, live))
        };
        match restricted {
            Some(Err(error)) if is_for_privilege(&error) && in_user_namespace() => return Ok(()),
            Some(result) => return result,
            None => {}
        }
        if rules.iter().all(|rule| rule.allow) {
            return Ok(());
        }
        Err(controllers::missing("devices").hint(
            "without it the device rules cannot hold; to run without cgroups all the same, \
                   use --cgroup-manager=disabled",
        ))
    }

    fn set_rare_limits(&self, resources: &Resources) -> Result<()> {
        if let Some(block) = resources
            .block_io
            .as_ref()
            .filter(|io| limits_v1::asks_io(io))
        {
            match self.place("blkio", "io")? {
                Place::V1(directory) => limits_v1::block_io(&directory, block)?,
                Place::V2(directory) => limits_v2::block_io(&directory, block)?,
            }
        }
        for limit in &resources.hugepage_limits {
            check_file_name(&limit.page_size)?;
            match self.place("hugetlb", "hugetlb")? {
                Place::V1(directory) => hugepages(&directory, limit, "limit_in_bytes")?,
                Place::V2(directory) => hugepages(&directory, limit, "max")?,
            }
        }
        for (device, limit) in &resources.rdma {
            let (Place::V1(directory) | Place::V2(directory)) = self.place("rdma", "rdma")?;
            directory.write("rdma.max", &rdma_line(device, limit))?;
        }
        let Some(network) = &resources.network else {
            return Ok(());
        };
        if let Some(class) = network.class_id.filter(|class| *class != 0) {
            let directory = self.controller("net_cls");
            let directory = directory.ok_or_else(|| controllers::missing("net_cls"))?;
            directory.write("net_cls.classid", &class.to_string())?;
        }
        for entry in &network.priorities {
            let directory = self.controller("net_prio");
            let directory = directory.ok_or_else(|| controllers::missing("net_prio"))?;
            let line = format!("{} {}", entry.name, entry.priority);
            directory.write("net_prio.ifpriomap", &line)?;
        }
        Ok(())
    }

    /// `unified`: files of version 2 by name, one write per line.
    fn set_unified(&self, resources: &Resources) -> Result<()> {
        for (name, value) in &resources.unified {
            check_file_name(name)?;
            let Some((controller, _)) = name.split_once('.') else {
                return Err(Error::new(format!(
                    "linux.resources.unified: \"{name}\" is not of the form <controller>.<parameter>"
                )));
            };
            let directory = self.unified().ok_or_else(|| {
                Error::new("linux.resources.unified needs cgroup version 2, which is not mounted")
            })?;
            if controller != "cgroup" {
                controllers::require(&directory, controller)?;
            }
            for line in value.lines().filter(|line| !line.is_empty()) {
                directory.write(name, line)?;
            }
        }
        Ok(())
    }

    /// The version 1 hierarchy of the controller if there is one, else version 2.
    pub(super) fn place(&self, v1: &str, v2: &str) -> Result<Place<'_>> {
        if let Some(directory) = self.controller(v1) {
            return Ok(Place::V1(directory));
        }
        let Some(directory) = self.unified() else {
            return Err(controllers::missing(v1)
                .hint("no mounted cgroup hierarchy that we may write to has this controller"));
        };
        controllers::require(&directory, v2)?;
        Ok(Place::V2(directory))
    }
}

/// Whether the kernel asked for privileges.
pub(super) fn is_for_privilege(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM))
}

/// Whether our root is some user of the host: then the identity is not mapped for all.
pub(super) fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut numbers = map.split_ascii_whitespace();
    // Without /proc nobody is held for unprivileged.
    let whole = [Some("0"), Some("0"), Some("4294967295")];
    !map.is_empty() && [numbers.next(), numbers.next(), numbers.next()] != whole
}

fn asks_memory(memory: &Memory) -> bool {
    let numbers = [
        memory.limit,
        memory.reservation,
        memory.swap,
        memory.kernel,
        memory.kernel_tcp,
    ];
    numbers.iter().flatten().any(|number| *number != 0)
        || memory.swappiness.is_some()
        || memory.disable_oom_killer == Some(true)
        || memory.use_hierarchy.is_some()
}

fn hugepages(directory: &Directory<'_>, limit: &HugepageLimit, suffix: &str) -> Result<()> {
    let size = &limit.page_size;
    let value = limit.limit.to_string();
    directory.write(&format!("hugetlb.{size}.{suffix}"), &value)?;
    // Reservations are counted since kernel 5.7.
    directory.write_if_present(&format!("hugetlb.{size}.rsvd.{suffix}"), &value)?;
    Ok(())
}

fn rdma_line(device: &str, limit: &crate::spec::Rdma) -> String {
    let mut line = device.to_owned();
    for (name, value) in [
        ("hca_handle", limit.hca_handles),
        ("hca_object", limit.hca_objects),
    ] {
        if let Some(value) = value {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    line
}

/// A name from the configuration must stay in the directory.
fn check_file_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains(['/', '\0']) {
        return Err(Error::new(format!(
            "\"{name}\" is not the name of a cgroup file"
        )));
    }
    Ok(())
}

/// Version 2 spells "no limit" as a word, and so does `pids.max` everywhere.
pub(super) fn number_or_max(number: i64) -> String {
    if number < 0 {
        "max".to_owned()
    } else {
        number.to_string()
    }
}

/// `major:minor` of a throttled device.
pub(super) fn throttle_key(device: &ThrottleDevice) -> String {
    format!("{}:{}", device.major, device.minor)
}

/// `major:minor weight`.
pub(super) fn weight_line(device: &WeightDevice, weight: u16) -> String {
    format!("{}:{} {weight}", device.major, device.minor)
}

/// Writes values that the kernel checks against each other (quota and period, memory and
/// memory+swap): one refused with EINVAL is tried again after the others.
pub(super) fn write_interdependent(
    directory: &Directory<'_>,
    values: &[(&str, String)],
) -> Result<()> {
    let mut later = Vec::new();
    for (name, value) in values {
        match directory.try_write(name, value) {
            Err(Errno::INVAL) => later.push((name, value)),
            other => other
                .step(|| format!("write \"{value}\" to {name} of cgroup {}", directory.path()))?,
        }
    }
    later
        .into_iter()
        .try_for_each(|(name, value)| directory.write(name, value))
}

/// Whether a missing limit of swap may be passed over: nothing can be swapped out.
pub(super) fn swap_is_off() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() <= 1)
}
