//! Bind mounts: a detached copy of the source gets its options and is then attached.

use std::os::fd::OwnedFd;
use std::path::Path;

use insula_sys::Errno;
use insula_sys::mount::{Attributes, Reach, attribute, flag, set_attributes};
use insula_sys::rustix::fs::{CWD, FileType, readlinkat, symlinkat};

use super::attach::{Place, attach, set_propagation};
use super::{AskToMap, Mount, Root, attributes_of, shown};
use crate::error::{Context, Error, Result};
use crate::rootfs::tree::{file_type, is_on_proc};

/// Access times that mount(2) understands as a choice.
const ACCESS_TIMES: u32 = flag::NO_ACCESS_TIME
    | flag::RELATIVE_ACCESS_TIME
    | flag::STRICT_ACCESS_TIME
    | flag::NO_DIRECTORY_ACCESS_TIME;

/// Attributes that a bind with options sets or else clears.
const BIND_ATTRIBUTES: u32 = attribute::READ_ONLY
    | attribute::NO_SUID
    | attribute::NO_DEV
    | attribute::NO_EXEC
    | attribute::NO_SYMLINK_FOLLOW;

impl Mount {
    pub(super) fn bind(
        &self,
        root: &mut Root,
        cloned: Option<OwnedFd>,
        ask_to_map: AskToMap<'_>,
    ) -> Result<()> {
        if self.options.copy_symlink && self.copy_symlink(root)? {
            return Ok(());
        }
        let own;
        let tree = match (cloned, &self.early) {
            (Some(tree), _) => {
                own = tree;
                &own
            }
            (None, Some(early)) if self.id_map.is_some() => early,
            (None, early) => match (self.open_source(), early) {
                (Ok(tree), _) => {
                    own = tree;
                    // Of what an earlier mount of this container made, the runtime could not open
                    // a copy; but it alone may map the ids.
                    match self.apply_id_map(&own) {
                        Err(error) if error.errno() == Some(Errno::PERM) => {
                            ask_to_map(self.index, &own)?;
                        }
                        other => other?,
                    }
                    &own
                }
                // Out of reach for the container's user, but not for the runtime.
                (Err(_), Some(early)) => early,
                (Err(error), None) => return Err(error).step(|| "open the source"),
            },
        };
        self.set_bind_attributes(tree)?;
        let is_directory = file_type(tree).step(|| "look at the source")? == FileType::Directory;
        let is_proc = self.destination == Path::new("proc")
            && is_on_proc(tree).step(|| "look at the source")?;
        let place = self.place(root, is_directory, is_proc)?;
        attach(tree, &place, root).map_err(|error| attach_error(error, &place, is_directory))
    }

    /// Makes a link like the source, if that is one; says whether it was.
    fn copy_symlink(&self, root: &Root) -> Result<bool> {
        let target = match readlinkat(CWD, self.source.as_c_str(), Vec::new()) {
            Ok(target) => target,
            Err(Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error).step(|| "read the link that is the source"),
        };
        let (parent, name) = root
            .make_parent(&self.destination)
            .step(|| "open the directory of the link")?;
        match symlinkat(target.as_c_str(), &parent, name) {
            Err(Errno::EXIST) => {
                let present = readlinkat(&parent, name, Vec::new());
                if present.is_ok_and(|present| present == target) {
                    return Ok(true);
                }
                Err(Error::new(format!(
                    "{} exists already",
                    shown(&self.destination)
                )))
            }
            other => other.step(|| "make the symbolic link").map(|()| true),
        }
    }

    /// Options of a bind mount: all flags are replaced if any was given, none if not. A mount that
    /// came from a more privileged namespace keeps its locked flags unless they were asked to be
    /// clear, which fails.
    pub(super) fn set_bind_attributes(&self, tree: &OwnedFd) -> Result<()> {
        let options = &self.options;
        let flags = options.flags & !(flag::BIND | flag::RECURSIVE);
        if flags != 0 || options.cleared != 0 {
            let set = attributes_of(flags);
            let mut clear = BIND_ATTRIBUTES;
            let mut kept = attributes_of(options.cleared) & BIND_ATTRIBUTES;
            kept |= attribute::NO_SYMLINK_FOLLOW;
            if flags & ACCESS_TIMES != 0 {
                let times = attribute::ACCESS_TIME | attribute::NO_DIRECTORY_ACCESS_TIME;
                clear |= times;
                kept |= times;
            }
            let change = |clear| Attributes {
                set,
                clear,
                ..Attributes::default()
            };
            match set_attributes(tree, Reach::One, &change(clear)) {
                Err(Errno::PERM) => set_attributes(tree, Reach::One, &change(kept)),
                other => other,
            }
            .step(|| "set the flags of the bind mount")?;
        }
        self.set_recursive_attributes(tree)?;
        set_propagation(tree, &options.propagation)
    }
}

/// Says what EINVAL or ENOTDIR of an attachment mostly means.
fn attach_error(error: Errno, place: &Place, source_is_directory: bool) -> Error {
    let target_is_directory = match place {
        Place::On { fd, .. } => file_type(fd).is_ok_and(|kind| kind == FileType::Directory),
        Place::Root => true,
    };
    let step = match (source_is_directory, target_is_directory) {
        (true, false) => "the source is a directory, the destination is not",
        (false, true) => "the destination is a directory, the source is not",
        _ => "attach the mount",
    };
    let failed: Result<()> = Err(error).step(|| step);
    failed.err().unwrap_or_else(|| Error::new(step))
}
