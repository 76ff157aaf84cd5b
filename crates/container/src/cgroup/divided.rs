//! Joining a container that has divided its version 2 cgroup.
//!
//! A system gives each of its services a cgroup below the container's own and passes controllers
//! on. From then on the kernel lets no process into the container's own (EBUSY: "no internal
//! processes", cgroups(7)); who comes later goes where the container's first process has gone.

use insula_sys::rustix::fs::OFlags;

use super::location::Cgroup;
use crate::error::{Context, Result};

impl Cgroup {
    /// After [`Cgroup::open_to_join`] without cgroups below: joins beside process `first` of the
    /// container if nobody can join the container's own cgroup.
    ///
    /// # Errors
    /// When a file of the kernel cannot be read.
    pub fn join_beside(&mut self, first: i32) -> Result<()> {
        // Beside version 1 the unified hierarchy has no controllers to pass on.
        if self.clone_into.is_none() || !self.location.is_unified() {
            return Ok(());
        }
        let Some(directory) = self.unified() else {
            return Ok(());
        };
        let passed_on = directory.read_if_present("cgroup.subtree_control")?;
        if passed_on.is_none_or(|controllers| controllers.trim().is_empty()) {
            return Ok(());
        }
        let list = format!("/proc/{first}/cgroup");
        let list = std::fs::read_to_string(&list).step(|| format!("read {list}"))?;
        let Some(below) = below(&list, &self.location.path) else {
            return Ok(());
        };
        let lower = directory.child(below);
        let opened = lower.open_itself(OFlags::PATH);
        let opened = opened.step(|| format!("open the cgroup {}", lower.path()))?;
        self.clone_into = Some(opened);
        Ok(())
    }
}

/// The version 2 path of a process relative to `own`, where it is below it.
fn below<'a>(list: &'a str, own: &str) -> Option<&'a str> {
    let path = list.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let below = path.strip_prefix(own)?.strip_prefix('/')?;
    // A namespace shows what is outside of it so; a container cannot make such a name.
    let is_inside = !below.is_empty() && below.split('/').all(|name| name != "..");
    is_inside.then_some(below)
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn only_what_is_below_the_container_s_own_cgroup_counts() {
        let list = |path: &str| format!("1:name=systemd:/x\n0::{path}\n");
        assert_eq!(
            below(&list("/insula/a/init.scope"), "insula/a"),
            Some("init.scope")
        );
        for outside in ["/insula/a", "/insula/ab/init.scope", "/", "/insula/a/../b"] {
            assert_eq!(below(&list(outside), "insula/a"), None, "{outside}");
        }
    }
}
