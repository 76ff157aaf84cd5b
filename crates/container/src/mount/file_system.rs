//! Mounts of file systems: one mount(2) on the working directory, which is the mount point.
//!
//! Only a tmpfs that is filled first, and a mount on `/`, are made detached (fsopen(2)).

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use insula_sys::mount::{Attributes, Reach, attribute, flag, mount, set_attributes};
use insula_sys::rustix::fs::{self, FileType, Mode};
use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use insula_sys::rustix::process::fchdir;
use insula_sys::{Errno, Result as SysResult};

use super::attach::{Delayed, Place, attach, set_propagation};
use super::{Mount, Root, Surroundings, attributes_of, clone_of_host, copy_up, shown};
use crate::error::{Context, Error, Result};
use crate::rootfs::tree::{Leaf, file_type};

impl Mount {
    pub(super) fn mount_file_system(
        &self,
        kind: &CStr,
        root: &mut Root,
        around: &Surroundings,
    ) -> Result<Option<Delayed>> {
        let name = kind.to_bytes();
        let is_tmpfs = name == b"tmpfs";
        let place = match name {
            b"proc" | b"sysfs" => self.place_pseudo(kind, root, name == b"proc")?,
            _ => self.place(root, true, false)?,
        };
        let data = self.data(name, &place, around)?;
        // Files have yet to be made on a tmpfs and in /dev.
        let waits = is_tmpfs || self.destination == Path::new("dev");
        let now = if waits {
            self.options.flags & !flag::READ_ONLY
        } else {
            self.options.flags
        };
        if self.options.copy_up || matches!(place, Place::Root) {
            self.mount_detached(kind, &data, now, &place, root)?;
        } else if let Place::On { fd, .. } = &place {
            fchdir(fd).step(|| "enter the mount point")?;
            self.mount_here(kind, &data, now, around)?;
        }
        self.finish_file_system(root, name, around, waits)
    }

    /// procfs and sysfs go onto a directory that has no link anywhere on its path.
    fn place_pseudo(&self, kind: &CStr, root: &Root, is_proc: bool) -> Result<Place> {
        let ordinary = || {
            Error::new(format!(
                "filesystem {kind:?} must be mounted on ordinary directory, not on {}",
                shown(&self.destination)
            ))
        };
        let fd = match root.find_literal(&self.destination) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(ordinary()),
            Err(Errno::NOENT) => root
                .make(&self.destination, Leaf::Directory)
                .step(|| "make the mount point")?,
            Err(error) => return Err(error).step(|| "open the mount point"),
        };
        if file_type(&fd).step(|| "look at the mount point")? != FileType::Directory {
            return Err(ordinary());
        }
        self.check_proc(&fd, true, is_proc)?;
        Ok(Place::On { fd, is_new: false })
    }

    /// mount(2) on the working directory; what an unprivileged user namespace may not mount is
    /// taken from the host where that shows the same thing.
    fn mount_here(
        &self,
        kind: &CStr,
        data: &CStr,
        flags: u32,
        around: &Surroundings,
    ) -> Result<()> {
        let error = match mount(Some(&self.source), ".", Some(kind), flags, Some(data)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let host = match kind.to_bytes() {
            b"sysfs" => Some("/sys"),
            b"mqueue" => Some("/dev/mqueue"),
            b"proc" if !around.pid_namespace => Some("/proc"),
            _ => None,
        };
        let (Errno::PERM, Some(host)) = (error, host) else {
            return Err(error).step(|| format!("mount {}", kind.to_string_lossy()));
        };
        let tree = clone_of_host(host).step(|| format!("bind {host} of the host"))?;
        // Recursively: a read-only /sys must not give away a writable /sys/fs/cgroup.
        let change = Attributes {
            set: attributes_of(flags),
            propagation: flag::PRIVATE,
            ..Attributes::default()
        };
        set_attributes(&tree, Reach::Recursive, &change)
            .step(|| "set the flags of the bind mount")?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", fs::CWD, ".", flags).step(|| format!("attach {host} of the host"))
    }

    /// A file system that is filled, or becomes the root, before anyone can see it.
    fn mount_detached(
        &self,
        kind: &CStr,
        data: &CStr,
        flags: u32,
        place: &Place,
        root: &mut Root,
    ) -> Result<()> {
        let tree = detached(kind, &self.source, &data.to_string_lossy(), flags)
            .step(|| format!("mount {}", kind.to_string_lossy()))?;
        if self.options.copy_up {
            let Place::On { fd: below, .. } = place else {
                return Err(Error::new("tmpcopyup cannot be used on the root"));
            };
            copy_up::copy(below, &tree).step(|| "copy up into the tmpfs")?;
        }
        attach(&tree, place, root).step(|| "attach the mount")
    }

    /// Options that need the finished mount, and those that must wait for the whole tree.
    fn finish_file_system(
        &self,
        root: &Root,
        name: &[u8],
        around: &Surroundings,
        waits: bool,
    ) -> Result<Option<Delayed>> {
        let options = &self.options;
        // A new mount below a private one is private already.
        let propagates = options
            .propagation
            .iter()
            .any(|change| change.kind != flag::PRIVATE);
        let all = options.set_all | options.clear_all != 0;
        let delayed_all = if waits {
            options.set_all & attribute::READ_ONLY
        } else {
            0
        };
        let label = around.label.as_deref().filter(|_| name == b"mqueue");
        if propagates || all || label.is_some() {
            let mounted = root
                .find(&self.destination)
                .step(|| "open the new mount")?
                .fd;
            if let Some(label) = label {
                set_label(&mounted, label)?;
            }
            let set = options.set_all & !delayed_all;
            let change = Attributes {
                set,
                clear: options.clear_all,
                ..Attributes::default()
            };
            if !change.is_empty() {
                set_attributes(&mounted, Reach::Recursive, &change)
                    .step(|| "set the recursive options")?;
            }
            set_propagation(&mounted, &options.propagation)?;
        }
        let read_only = waits && options.flags & flag::READ_ONLY != 0;
        Ok((read_only || delayed_all != 0).then(|| Delayed {
            destination: self.destination.clone(),
            attributes: attribute::READ_ONLY,
            recursive: delayed_all != 0,
        }))
    }

    /// The fifth argument of mount(2).
    fn data(&self, kind: &[u8], place: &Place, around: &Surroundings) -> Result<CString> {
        let mut data = self.options.data.clone();
        let mut add = |option: &str| {
            if !data.is_empty() {
                data.push(',');
            }
            data.push_str(option);
        };
        if kind == b"tmpfs"
            && !self.options.has_data_key("mode")
            && let Place::On {
                fd: below,
                is_new: false,
            } = place
        {
            // A tmpfs over a directory of the image looks like that directory.
            let stat = fs::fstat(below).step(|| "look at the mount point")?;
            let mode = Mode::from_raw_mode(stat.st_mode);
            add(&format!("mode={:o}", mode.as_raw_mode()));
        }
        if let Some(label) = &around.label
            && !matches!(kind, b"proc" | b"sysfs" | b"mqueue" | b"cgroup2")
        {
            add(&format!("context=\"{label}\""));
        }
        if kind == b"devpts" {
            data = without_unmapped_group(&data, around);
        }
        CString::new(data)
            .ok()
            .ok_or_else(|| Error::new("an option holds a NUL character"))
    }

    /// `remount`: new flags for the mount that is there.
    pub(super) fn remount(&self, root: &mut Root) -> Result<()> {
        let found = root
            .find(&self.destination)
            .step(|| "open the mount point")?;
        if file_type(&found.fd).step(|| "look at the mount point")? != FileType::Directory {
            return self.set_bind_attributes(&found.fd);
        }
        fchdir(&found.fd).step(|| "enter the mount point")?;
        let data = CString::new(self.options.data.as_str())
            .ok()
            .ok_or_else(|| Error::new("an option holds a NUL character"))?;
        mount(
            Some(&self.source),
            ".",
            None,
            self.options.flags,
            Some(&data),
        )
        .step(|| "remount")?;
        self.set_recursive_attributes(&found.fd)?;
        set_propagation(&found.fd, &self.options.propagation)
    }
}

fn set_label(mounted: &OwnedFd, label: &str) -> Result<()> {
    // An O_PATH descriptor has no fsetxattr(2); the link is the process's own.
    let path = format!("/proc/self/fd/{}", mounted.as_raw_fd());
    let flags = fs::XattrFlags::empty();
    fs::setxattr(path, "security.selinux", label.as_bytes(), flags).step(|| "set the SELinux label")
}

/// A `gid=` of devpts that does not exist in the container would make the mount fail.
fn without_unmapped_group(data: &str, around: &Surroundings) -> String {
    let Some(mappings) = &around.group_ids else {
        return data.to_owned();
    };
    let exists = |id: u32| {
        mappings
            .iter()
            .any(|map| id >= map.container_id && id - map.container_id < map.size)
    };
    let keep = |option: &&str| {
        option
            .strip_prefix("gid=")
            .and_then(|id| id.parse().ok())
            .is_none_or(exists)
    };
    data.split(',').filter(keep).collect::<Vec<_>>().join(",")
}

/// A new, detached mount of a file system: fsopen(2) to fsmount(2).
fn detached(kind: &CStr, source: &CStr, data: &str, flags: u32) -> SysResult<OwnedFd> {
    const SUPERBLOCK: [(u32, &str); 5] = [
        (flag::READ_ONLY, "ro"),
        (flag::SYNCHRONOUS, "sync"),
        (flag::DIRECTORY_SYNC, "dirsync"),
        (flag::LAZY_TIME, "lazytime"),
        (flag::MANDATORY_LOCK, "mand"),
    ];
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", source)?;
    for (_, name) in SUPERBLOCK.iter().filter(|(bit, _)| flags & bit != 0) {
        fsconfig_set_flag(&context, *name)?;
    }
    for option in split_options(data) {
        match option.split_once('=') {
            Some((name, value)) => fsconfig_set_string(&context, name, value.trim_matches('"'))?,
            None => fsconfig_set_flag(&context, option)?,
        }
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes_of(flags));
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The options of a data string; a comma in double quotes (SELinux categories) does not end one.
fn split_options(data: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = data.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    });
    parts.filter(|option| !option.is_empty())
}

/// A new tmpfs with these data options, detached.
pub(crate) fn fresh_tmpfs(data: &str, flags: u32) -> SysResult<OwnedFd> {
    detached(c"tmpfs", c"tmpfs", data, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_belong_to_the_option() {
        let options = split_options("mode=755,,context=\"a:s0:c1,c2\",size=1");
        assert_eq!(
            options.collect::<Vec<_>>(),
            ["mode=755", "context=\"a:s0:c1,c2\"", "size=1"]
        );
    }

    #[test]
    fn access_times_follow_the_kernels_precedence() {
        use flag::{NO_ACCESS_TIME, RELATIVE_ACCESS_TIME, STRICT_ACCESS_TIME};
        let cases = [
            (0, attribute::RELATIVE_ACCESS_TIME),
            (RELATIVE_ACCESS_TIME, attribute::RELATIVE_ACCESS_TIME),
            (NO_ACCESS_TIME, attribute::NO_ACCESS_TIME),
            (
                STRICT_ACCESS_TIME | NO_ACCESS_TIME,
                attribute::STRICT_ACCESS_TIME,
            ),
            (
                flag::READ_ONLY | flag::NO_DEV,
                attribute::READ_ONLY | attribute::NO_DEV,
            ),
        ];
        for (flags, attributes) in cases {
            assert_eq!(attributes_of(flags), attributes, "{flags:#x}");
        }
    }
}
