//! Cgroups that systemd makes: a transient scope per container, asked for over D-Bus.
//!
//! A scope begins with a process in it, so that the container's first process must exist (and wait)
//! before [`start`]. The limits are given as properties and, since systemd lacks some, written to
//! the files of the cgroup afterwards like anywhere else.

mod bus;
mod properties;
mod unit;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(super) use bus::Bus;
pub(super) use unit::Unit;

use bus::Reply;
use properties::Property;
use wire::{Reader, Value, Writer};

use crate::error::{Error, Result};
use crate::spec::Resources;

/// How many properties an old systemd may not know before we give up.
const UNKNOWN_MAX: usize = 16;

/// What a new scope needs.
pub(super) struct Start<'a> {
    pub(super) unit: &'a Unit,
    pub(super) pid: i32,
    pub(super) resources: &'a Resources,
    pub(super) annotations: Option<&'a BTreeMap<String, String>>,
    pub(super) unified: bool,
    pub(super) rootless: bool,
}

/// The path of the user's systemd in the hierarchy, without slashes at its ends: scopes of users
/// lie below it.
pub(super) fn user_manager_path(bus: &mut Bus) -> Result<String> {
    let path = bus.manager_text("ControlGroup")?;
    Ok(path.trim_matches('/').to_owned())
}

/// Starts the scope and returns when the process is in it.
pub(super) fn start(bus: &mut Bus, start: &Start<'_>) -> Result<()> {
    let unit = start.unit;
    let mut properties = first_properties(start)?;
    let mut left_over = true;
    for _ in 0..UNKNOWN_MAX {
        let mut body = Writer::default();
        body.text(&unit.name);
        body.text("replace");
        append(&mut body, &properties);
        // No auxiliary units.
        body.array(8, |_| {});
        match bus.call("StartTransientUnit", "ssa(sv)a(sa(sv))", body)? {
            Reply::Done(body) => {
                let job = Reader::new(&body).text()?;
                return finish(bus, unit, &job);
            }
            // A failed scope of the same name stays until it is reset.
            Reply::Refused { name, .. }
                if name == "org.freedesktop.systemd1.UnitExists" && left_over =>
            {
                left_over = false;
                reset(bus, unit)?;
            }
            reply => forget_unknown(reply, &unit.name, &mut properties)?,
        }
    }
    Err(Error::new(format!(
        "start {}: this systemd knows too few properties",
        unit.name
    )))
}

fn finish(bus: &mut Bus, unit: &Unit, job: &str) -> Result<()> {
    let result = bus.wait_for_job(job)?;
    if result == "done" {
        return Ok(());
    }
    // The result is the failure to report.
    let _ = reset(bus, unit);
    Err(
        Error::new(format!("systemd could not start {}: {result}", unit.name))
            .hint(format!("see journalctl -u {}", unit.name)),
    )
}

fn first_properties(start: &Start<'_>) -> Result<Vec<Property>> {
    let Start { unit, pid, .. } = start;
    let text = |text: &str| Value::Text(text.to_owned());
    let mut list = vec![(
        "Description".to_owned(),
        Value::Text(format!("insula container {}", unit.name)),
    )];
    if unit.is_slice() {
        list.push(("Wants".to_owned(), Value::Texts(vec![unit.slice.clone()])));
    } else {
        list.push(("Slice".to_owned(), text(&unit.slice)));
        list.push(("Delegate".to_owned(), Value::Bool(true)));
        let pid = u32::try_from(*pid).ok().filter(|pid| *pid != 0);
        let pid = pid.ok_or_else(|| Error::new("a scope needs the container's first process"))?;
        list.push(("PIDs".to_owned(), Value::U32s(vec![pid])));
    }
    let accounting = if start.unified {
        "IOAccounting"
    } else {
        "BlockIOAccounting"
    };
    for name in [
        "MemoryAccounting",
        "CPUAccounting",
        "TasksAccounting",
        accounting,
    ] {
        list.push((name.to_owned(), Value::Bool(true)));
    }
    list.push(("DefaultDependencies".to_owned(), Value::Bool(false)));
    if let Some(policy) = oom_policy(start.resources) {
        list.push(("OOMPolicy".to_owned(), text(policy)));
    }
    list.extend(properties::limits(start.resources, start.unified)?);
    // A user's systemd may not filter devices.
    if !start.rootless {
        list.extend(properties::devices(start.resources, start.unified)?);
    }
    if let Some(annotations) = start.annotations {
        list.extend(properties::annotated(annotations)?);
    }
    Ok(list)
}

/// Cannot be changed later, and would set memory.oom.group back.
fn oom_policy(resources: &Resources) -> Option<&'static str> {
    match resources.unified.get("memory.oom.group")?.trim_ascii() {
        "0" => Some("continue"),
        "1" => Some("kill"),
        _ => None,
    }
}

/// Changes the limits that systemd holds of a running scope.
pub(super) fn update(
    bus: &mut Bus,
    unit: &Unit,
    resources: &Resources,
    unified: bool,
    rootless: bool,
) -> Result<()> {
    let mut list = properties::limits(resources, unified)?;
    if !rootless && !resources.devices.is_empty() {
        list.extend(properties::devices(resources, unified)?);
    }
    for _ in 0..UNKNOWN_MAX {
        if list.is_empty() {
            return Ok(());
        }
        let mut body = Writer::default();
        body.text(&unit.name);
        // Only until the next boot.
        body.bool(true);
        append(&mut body, &list);
        match bus.call("SetUnitProperties", "sba(sv)", body)? {
            Reply::Done(_) => return Ok(()),
            reply => forget_unknown(reply, &unit.name, &mut list)?,
        }
    }
    Ok(())
}

/// Stops the scope. One that is gone, as it goes with its last process, is fine.
pub(super) fn stop(bus: &mut Bus, unit: &Unit) -> Result<()> {
    let mut body = Writer::default();
    body.text(&unit.name);
    body.text("replace");
    match bus.call("StopUnit", "ss", body)? {
        Reply::Done(body) => {
            let job = Reader::new(&body).text()?;
            bus.wait_for_job(&job)?;
        }
        Reply::Refused { name, .. } if name == "org.freedesktop.systemd1.NoSuchUnit" => {}
        refused => refused
            .or_fail(&format!("to stop {}", unit.name))
            .map(drop)?,
    }
    reset(bus, unit)
}

/// Lets systemd forget a failed unit; most have not failed, and are unknown by now.
fn reset(bus: &mut Bus, unit: &Unit) -> Result<()> {
    let mut body = Writer::default();
    body.text(&unit.name);
    bus.call("ResetFailedUnit", "s", body).map(drop)
}

fn append(body: &mut Writer, properties: &[Property]) {
    body.array(8, |writer| {
        for (name, value) in properties {
            writer.structure();
            writer.text(name);
            writer.variant(value);
        }
    });
}

/// Takes the property out that an older systemd has named in its refusal; its file will be written.
fn forget_unknown(reply: Reply, unit: &str, properties: &mut Vec<Property>) -> Result<()> {
    if let Reply::Refused { name, text } = &reply
        && name == "org.freedesktop.DBus.Error.PropertyReadOnly"
    {
        // "Cannot set property CPUQuotaPeriodUSec, or unknown property."
        let unknown = |word: &str| properties.iter().any(|(name, _)| name == word);
        let word = text
            .split([' ', ',', '.'])
            .find(|word| unknown(word))
            .map(str::to_owned);
        if let Some(word) = word {
            properties.retain(|(name, _)| *name != word);
            return Ok(());
        }
    }
    reply.or_fail(&format!("properties of {unit}")).map(drop)
}
