//! A cgroup below a container's own, which another process of the container joins
//! (`exec --cgroup`): the same in every hierarchy, or one for each version 1 controller.

use super::location::{Hierarchy, Location};
use crate::error::{Error, Result};

/// A path below the container's cgroup, and for which controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// None given is all.
    controllers: Vec<String>,
    /// Without slashes around it; empty for the container's own cgroup.
    pub(super) path: String,
}

impl Below {
    /// Reads `path` or `controller,controller:path`.
    ///
    /// # Errors
    /// When the path leads out of the container's cgroup, or a controller's name is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => {
                (controllers.split(',').map(str::to_owned).collect(), path)
            }
            None => (Vec::new(), text),
        };
        if controllers.iter().any(String::is_empty) {
            return Err(Error::new(format!(
                "`{text}`: the name of a controller is missing before `:`"
            )));
        }
        let path = if path.chars().all(|char| char == '/') {
            String::new()
        } else {
            super::locate::clean(path)
                .map_err(|error| error.within(format!("bad sub cgroup path \"{path}\"")))?
        };
        Ok(Self { controllers, path })
    }

    pub(super) fn is_for_all(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Version 2 has one cgroup for all controllers.
    pub(super) fn is_for(&self, hierarchy: &Hierarchy, is_unified: bool) -> bool {
        self.controllers.is_empty()
            || is_unified
            || self.controllers.iter().any(|name| hierarchy.has(name))
    }

    /// # Errors
    /// When no hierarchy has one of the controllers.
    pub(super) fn check(&self, location: &Location) -> Result<()> {
        let is_known = |name: &String| {
            location.is_unified() || location.hierarchies.iter().any(|one| one.has(name))
        };
        match self.controllers.iter().find(|name| !is_known(name)) {
            Some(name) => Err(Error::new(format!("unknown controller {name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_for_all_or_for_named_controllers() {
        let parse = |text| Below::parse(text).unwrap();
        assert_eq!(parse("/a//b/").path, "a/b");
        assert_eq!(parse("/").path, "");
        let named = parse("cpu,cpuacct:a");
        assert_eq!((named.controllers.len(), named.path.as_str()), (2, "a"));
        for wrong in ["..", "a/../..", ":a", "cpu,:a"] {
            assert!(Below::parse(wrong).is_err(), "{wrong}");
        }
        let error = Below::parse("..").unwrap_err().chain();
        assert!(error.contains("bad sub cgroup path"), "{error}");
    }

    #[test]
    fn a_controller_picks_its_hierarchy() {
        let hierarchy = |mount: &str, unified| Hierarchy {
            mount: mount.to_owned(),
            controllers: None,
            unified,
        };
        let location = Location {
            hierarchies: vec![hierarchy("cpu,cpuacct", false), hierarchy("pids", false)],
            ..Location::default()
        };
        let below = Below::parse("pids:x").unwrap();
        let hit: Vec<_> = location
            .hierarchies
            .iter()
            .map(|one| below.is_for(one, location.is_unified()))
            .collect();
        assert_eq!(hit, [false, true]);
        below.check(&location).unwrap();
        assert!(Below::parse("what:x").unwrap().check(&location).is_err());
        assert!(below.is_for(&hierarchy("", true), true));
    }
}
