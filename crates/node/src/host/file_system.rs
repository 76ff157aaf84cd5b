//! Overlays, EROFS, id-mapped mounts, and the disk below the store.

use std::path::{Path, PathBuf};

use insula_sys::rustix::fs::statvfs;

use super::probe::try_in_child;
use super::{Check, Verdict};

pub(super) fn checks(store: &Path) -> Vec<Check> {
    vec![overlay(), id_map(store), erofs(), disk(store)]
}

fn overlay() -> Check {
    // The probe covers this directory with a tmpfs in a mount namespace of its own.
    match try_in_child("overlay", "/tmp") {
        Ok(()) => Check::ok("overlay", "mounted, written, read"),
        Err(reason) => {
            let check = Check::new(
                "overlay",
                Verdict::Fail,
                reason,
                "insula run: an image's layers under a writable one (OCI bundles still run)",
            );
            check.fix("modprobe overlay")
        }
    }
}

/// On the file system of the store, because each kind of file system must support it.
fn id_map(store: &Path) -> Check {
    let place = nearest_existing(store);
    match try_in_child("id-map", &place) {
        Ok(()) => Check::ok("id-mapped-mounts", format!("work at {}", place.display())),
        Err(reason) => Check::new(
            "id-mapped-mounts",
            Verdict::Warn,
            format!("{}: {reason}", place.display()),
            "mounts with uidMappings (kernel 5.12 and a file system that can)",
        ),
    }
}

fn erofs() -> Check {
    match try_in_child("file-system", "erofs") {
        Ok(()) => Check::ok("erofs", "the kernel has it"),
        Err(reason) => Check::new(
            "erofs",
            Verdict::Skip,
            reason,
            "nothing yet: layers are kept as directories",
        )
        .fix("modprobe erofs"),
    }
}

/// Free space where images are, or would be.
fn disk(store: &Path) -> Check {
    const LOW_BYTES: u64 = 1 << 30;
    const EMPTY_BYTES: u64 = 64 << 20;
    let place = nearest_existing(store);
    let free = match statvfs(&place) {
        Ok(facts) => facts.f_bavail.saturating_mul(facts.f_frsize),
        Err(error) => {
            let found = format!("{}: {error}", place.display());
            return Check::new("disk", Verdict::Warn, found, "importing images");
        }
    };
    let found = format!("{} MiB free at {}", free >> 20, place.display());
    let verdict = match free {
        _ if free < EMPTY_BYTES => Verdict::Fail,
        _ if free < LOW_BYTES => Verdict::Warn,
        _ => return Check::ok("disk", found),
    };
    Check::new("disk", verdict, found, "importing images").fix("insula image prune")
}

fn nearest_existing(path: &Path) -> PathBuf {
    let existing = path.ancestors().find(|ancestor| ancestor.exists());
    existing.unwrap_or_else(|| Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_store_that_does_not_exist_is_its_parent_s() {
        assert_eq!(
            nearest_existing(Path::new("/proc/none/such")),
            Path::new("/proc")
        );
        assert!(disk(Path::new("/none/such")).found.ends_with("free at /"));
    }
}
