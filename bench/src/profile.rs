//! What it costs to load a seccomp profile in Docker's form.
//!
//! Engines keep one profile for all architectures and capabilities, and hand the runtime what is
//! left of it for this machine and this container. [`resolve`] does that; the product compiles the
//! result, and only the kernel's part is timed, each time in a new thread, for a filter cannot be
//! taken off again and every filter of a thread costs the next one.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use insula_container::seccomp::compile;
use insula_container::spec::Seccomp;
use insula_sys::rustix::thread::set_no_new_privs;
use insula_sys::seccomp::load;
use serde_json::{Map, Value};

use crate::sample::Summary;

/// Loads the profile at `path` `runs` times; also returns the instructions it became.
pub(crate) fn measure(path: &Path, runs: usize) -> Result<(Summary, usize)> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let docker: Value = serde_json::from_str(&text)?;
    let profile: Seccomp = serde_json::from_value(resolve(&docker))?;
    let filter = compile(&profile).map_err(|error| anyhow!("{}", error.chain()))?;
    let load_once = || -> Result<Duration> {
        set_no_new_privs(true)?;
        let start = Instant::now();
        load(&filter.instructions, filter.flags)?;
        Ok(start.elapsed())
    };
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let time = std::thread::scope(|scope| scope.spawn(load_once).join());
        times.push(time.map_err(|_panic| anyhow!("the loading thread panicked"))??);
    }
    Ok((Summary::of(&times), filter.instructions.len()))
}

/// What is left for x86-64, a new kernel and a container without capabilities.
fn resolve(docker: &Value) -> Value {
    let mut resolved = Map::new();
    for key in ["defaultAction", "defaultErrnoRet", "flags"] {
        if let Some(value) = docker.get(key) {
            resolved.insert(key.to_owned(), value.clone());
        }
    }
    let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    resolved.insert("architectures".to_owned(), architectures.as_slice().into());
    let rules = docker["syscalls"].as_array().cloned().unwrap_or_default();
    let kept: Vec<Value> = rules
        .iter()
        .filter(|rule| is_meant(rule))
        .map(bare)
        .collect();
    resolved.insert("syscalls".to_owned(), kept.into());
    Value::Object(resolved)
}

fn is_meant(rule: &Value) -> bool {
    let has = |of: &str, what: &str| {
        rule[of][what]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    };
    let names_us = |of: &str| {
        let list = rule[of]["arches"].as_array();
        list.is_some_and(|list| list.iter().any(|name| name == "amd64"))
    };
    let included = !has("includes", "caps") && (!has("includes", "arches") || names_us("includes"));
    included && !names_us("excludes")
}

fn bare(rule: &Value) -> Value {
    let mut bare = Map::new();
    for key in ["names", "action", "errnoRet", "args"] {
        let value = &rule[key];
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            bare.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(bare)
}
