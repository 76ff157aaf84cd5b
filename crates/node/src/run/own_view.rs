//! Whether a container has its own view of `/proc` and `/sys`, and the mounts that show it.

use std::path::Path;

use insula_container::error::Result;
use insula_container::spec::{Mount, Spec};
use insula_image::Config;

use super::options::RunOptions;
use super::policy::ProcViewMode;
use super::system;
use crate::proc_view::{Bind, ProcView};

/// File systems of the kernel's that every container has, and that a user may have replaced.
const COVERED: [(&str, &str); 2] = [("/proc", "proc"), ("/sys", "sysfs")];

/// Whether a container of these options and this image has a view of its own.
fn is_wanted(options: &RunOptions, image: &Config) -> bool {
    match options.proc_view {
        ProcViewMode::Yes => true,
        ProcViewMode::No => false,
        ProcViewMode::Auto => system::is_asked_for(options, image),
    }
}

/// The view of such a container, where it is wanted. A system goes without where there is no FUSE.
pub(crate) fn mount(options: &RunOptions, image: &Config) -> Result<Option<ProcView>> {
    if !is_wanted(options, image) {
        return Ok(None);
    }
    match ProcView::mount() {
        Err(_) if options.proc_view == ProcViewMode::Auto => Ok(None),
        other => other.map(Some).map_err(|error| {
            error.hint("`--proc-view` needs FUSE: load its module, or use --proc-view=false")
        }),
    }
}

/// Shows a view over what the container has of the kernel's files.
pub(crate) fn show(view: &ProcView, spec: &mut Spec) {
    let binds = ProcView::binds().iter();
    let binds: Vec<Mount> = binds
        .filter(|bind| is_there(bind, &spec.mounts))
        .map(|bind| entry(view, bind))
        .collect();
    spec.mounts.extend(binds);
}

/// Whether the container shows this host's file, and nobody has put something else there.
fn is_there(bind: &Bind, mounts: &[Mount]) -> bool {
    let target = Path::new(bind.target);
    // The mount that is made last of those that the file lies below.
    let below = mounts
        .iter()
        .rev()
        .find(|mount| target.starts_with(&mount.destination));
    let is_kernel_s = below.is_some_and(|mount| {
        COVERED.iter().any(|(destination, kind)| {
            mount.destination == Path::new(destination) && mount.kind.as_deref() == Some(kind)
        })
    });
    is_kernel_s && target.exists()
}

/// Whether this is a mount of [`show`]'s.
pub(crate) fn is_shown_by(mount: &Mount) -> bool {
    let is_of_view = |source: &Path| source.starts_with("/proc/self/fd");
    mount.source.as_deref().is_some_and(is_of_view)
        && ProcView::binds()
            .iter()
            .any(|bind| mount.destination == Path::new(bind.target))
}

fn entry(view: &ProcView, bind: &Bind) -> Mount {
    Mount {
        destination: bind.target.into(),
        kind: Some("bind".to_owned()),
        source: Some(view.source(bind)),
        options: ["bind", "ro", "nosuid", "nodev", "noexec"]
            .map(str::to_owned)
            .to_vec(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(list: &[(&str, &str)]) -> Vec<Mount> {
        let mount = |(destination, kind): &(&str, &str)| Mount {
            destination: (*destination).into(),
            kind: Some((*kind).to_owned()),
            ..Mount::default()
        };
        list.iter().map(mount).collect()
    }

    fn bind(target: &'static str) -> Bind {
        Bind {
            file: "meminfo",
            target,
        }
    }

    #[test]
    fn what_the_user_has_put_there_stays() {
        let meminfo = bind("/proc/meminfo");
        let usual = mounts(&[("/proc", "proc"), ("/sys", "sysfs")]);
        assert!(is_there(&meminfo, &usual));
        let own = mounts(&[("/proc", "proc"), ("/proc/meminfo", "bind")]);
        assert!(!is_there(&meminfo, &own));
        let replaced = mounts(&[("/proc", "bind")]);
        assert!(!is_there(&meminfo, &replaced));
        assert!(!is_there(&bind("/sys/devices/system/cpu/online"), &own));
    }

    #[test]
    fn what_this_kernel_does_not_have_is_left_out() {
        let usual = mounts(&[("/proc", "proc"), ("/sys", "sysfs")]);
        assert!(!is_there(&bind("/proc/no-such-file"), &usual));
    }

    #[test]
    fn systems_have_it_by_themselves() {
        let mut options = RunOptions::new("/nowhere", "image");
        options.command = vec!["/sbin/init".to_owned()];
        let image = Config::default();
        assert!(is_wanted(&options, &image));
        options.proc_view = ProcViewMode::No;
        assert!(!is_wanted(&options, &image));
        options.command = vec!["sh".to_owned()];
        options.proc_view = ProcViewMode::Auto;
        assert!(!is_wanted(&options, &image));
        options.proc_view = ProcViewMode::Yes;
        assert!(is_wanted(&options, &image));
    }
}
