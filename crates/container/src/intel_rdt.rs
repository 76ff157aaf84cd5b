//! Intel RDT: a share of cache and memory bandwidth by a group of the resctrl file system
//! (config-linux.md, Intel RDT).

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::spec::IntelRdt;

const ROOT: &str = "/sys/fs/resctrl";

/// The group of a container: named by `closID`, else by its id.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    /// Made for this container, so removed with it.
    pub(crate) is_own: bool,
}

impl Group {
    /// Decides on the group without making anything.
    pub(crate) fn locate(config: &IntelRdt, id: &str) -> Result<Self> {
        if !Path::new(ROOT).join("schemata").exists() {
            return Err(Error::new("linux.intelRdt: no resctrl file system at /sys/fs/resctrl")
                .hint("the processor or kernel has no RDT, or: mount -t resctrl resctrl /sys/fs/resctrl"));
        }
        let path = match config.clos_id.as_deref() {
            None => Path::new(ROOT).join(id),
            // The root group, which all processes are in.
            Some("/") => PathBuf::from(ROOT),
            Some(name) => Path::new(ROOT).join(name),
        };
        let is_own = config.clos_id.is_none() || !path.exists();
        let has_limits = has_limits(config);
        if config.clos_id.is_some() && !has_limits && !path.exists() {
            return Err(Error::new(format!(
                "linux.intelRdt.closID: {} does not exist",
                path.display()
            ))
            .hint("name an existing group, or give linux.intelRdt.schemata"));
        }
        Ok(Self { path, is_own })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the group where it is new, sets its limits and moves the process into it.
    pub(crate) fn apply(&self, config: &IntelRdt, pid: i32) -> Result<()> {
        if self.is_own && !self.path.exists() {
            fs::create_dir(&self.path)
                .step(|| format!("linux.intelRdt: make {}", self.path.display()))?;
        }
        let lines = config
            .l3_cache_schema
            .iter()
            .chain(&config.mem_bw_schema)
            .chain(&config.schemata);
        for line in lines {
            self.write("schemata", &format!("{line}\n"))?;
        }
        self.write("tasks", &pid.to_string())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).step(|| {
            format!(
                "linux.intelRdt: write {:?} to {}",
                text.trim_end(),
                path.display()
            )
        })
    }
}

fn has_limits(config: &IntelRdt) -> bool {
    config.l3_cache_schema.is_some()
        || config.mem_bw_schema.is_some()
        || !config.schemata.is_empty()
}

/// Removes a group; its processes fall back to the root group.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).step(|| format!("remove the resctrl group {}", path.display()))
        }
        _ => Ok(()),
    }
}
