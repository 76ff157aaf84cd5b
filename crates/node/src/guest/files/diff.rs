//! What a guest has changed in its root: its writable layer, held against its image.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use insula_container::error::{Context, Result};
use insula_image::Store;
use insula_sys::Errno;
use insula_sys::rustix::fs::{FileType, Mode, OFlags, RawDir, Stat, fstat, getxattr, open, openat};

use super::lower;
use crate::guest::{Place, find};
use crate::run::image_error;

/// Directories that the engine makes where the image has none, for what the kernel shows.
const MADE_BY_ENGINE: [&str; 4] = ["/dev", "/proc", "/run/secrets", "/sys"];
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// How a path differs from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    Added,
    Changed,
    Deleted,
}

impl ChangeKind {
    /// docker's letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute, as in the guest.
    pub path: PathBuf,
    pub kind: ChangeKind,
}

/// What a guest has changed, sorted by path. A guest that runs goes on, and may change more.
///
/// # Errors
/// There is no such guest, or its layers cannot be read.
pub fn diff(place: &Place, name: &str) -> Result<Vec<Change>> {
    let guest = find(place, name)?;
    let directory = place.directory(&guest.record.id);
    let path = directory.join("upper");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let upper = match open(&path, flags, Mode::empty()) {
        // It has never run.
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other.step(|| format!("open {}", path.display()))?,
    };
    let manifest = guest.record.manifest.to_string();
    let image = Store::new(&place.store)
        .resolve(&manifest)
        .map_err(image_error)?;
    let below = lower::open(&image, &directory.join("root"))?;
    let given = lower::given(&guest.record, &guest.record.config, &upper);
    let mut comparison = Comparison {
        below,
        given,
        changes: BTreeSet::new(),
        pending: Vec::new(),
    };
    comparison.run(upper)?;
    let config = &guest.record.config;
    let volumes = config.volumes.iter().map(|volume| &volume.destination);
    let in_memory = config.tmpfs.iter().map(|tmpfs| &tmpfs.destination);
    let mounts: Vec<PathBuf> = volumes.chain(in_memory).cloned().collect();
    let mut changes: Vec<Change> = comparison.changes.into_iter().collect();
    drop_bystanders(&mut changes, &mounts);
    Ok(changes)
}

/// Directories count as changed for what is in them. One that only holds what every guest is given
/// tells nothing, nor does one that the engine made to mount something there.
fn drop_bystanders(changes: &mut Vec<Change>, mounts: &[PathBuf]) {
    let mut aside: Vec<PathBuf> = MADE_BY_ENGINE.iter().map(PathBuf::from).collect();
    aside.extend(mounts.iter().cloned());
    // The deepest first: then a directory is looked at when what is in it has gone.
    for change in std::mem::take(changes).into_iter().rev() {
        let path = &change.path;
        let has_more = || changes.iter().any(|other| other.path.starts_with(path));
        let is_new_place = change.kind == ChangeKind::Added && aside.contains(path);
        let is_on_the_way = change.kind != ChangeKind::Deleted
            && (path == Path::new("/etc") || aside.iter().any(|place| is_below(place, path)));
        if !(is_new_place || is_on_the_way) || has_more() {
            changes.push(change);
        }
    }
    changes.reverse();
}

fn is_below(place: &Path, path: &Path) -> bool {
    place != path && place.starts_with(path)
}

struct Comparison {
    below: Option<OwnedFd>,
    given: Vec<PathBuf>,
    changes: BTreeSet<Change>,
    /// Directories by the one that they are in: few are open at a time.
    pending: Vec<(Rc<OwnedFd>, PathBuf)>,
}

impl Comparison {
    /// Without recursion: a directory's depth is not ours to trust.
    fn run(&mut self, upper: OwnedFd) -> Result<()> {
        self.all_in(&Rc::new(upper), Path::new(""))?;
        while let Some((parent, path)) = self.pending.pop() {
            let name = path.file_name().unwrap_or_default();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&parent, name, flags, Mode::empty()) {
                Ok(directory) => self.all_in(&Rc::new(directory), &path)?,
                // The guest has put something else there meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(errno).step(|| format!("open /{}", path.display())),
            }
        }
        Ok(())
    }

    fn all_in(&mut self, directory: &Rc<OwnedFd>, relative: &Path) -> Result<()> {
        for name in names(directory, relative)? {
            let path = relative.join(OsStr::from_bytes(&name));
            if !self.given.contains(&path) {
                self.one(directory, &name, path)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, directory: &Rc<OwnedFd>, name: &[u8], path: PathBuf) -> Result<()> {
        let step = || format!("look at /{}", path.display());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(directory, name, flags, Mode::empty()) {
            // The guest has removed it meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            other => other.step(step)?,
        };
        let status = fstat(&file).step(step)?;
        let below = lower::look(self.below.as_ref(), &path)?;
        if is_whiteout(&status) {
            if below.is_some() {
                self.tell(&path, ChangeKind::Deleted);
            }
            return Ok(());
        }
        let Some(below) = below else {
            self.tell(&path, ChangeKind::Added);
            self.enter(directory, &status, path);
            return Ok(());
        };
        self.tell(&path, ChangeKind::Changed);
        let was_directory = is_directory(&fstat(&below).step(step)?);
        if was_directory && (!is_directory(&status) || is_opaque(&file)) {
            self.tell_hidden(&file, &below, (&path, &status))?;
        }
        self.enter(directory, &status, path);
        Ok(())
    }

    fn enter(&mut self, parent: &Rc<OwnedFd>, status: &Stat, path: PathBuf) {
        if is_directory(status) {
            self.pending.push((Rc::clone(parent), path));
        }
    }

    /// What a new directory, or something else in its place, hides of the one below.
    fn tell_hidden(
        &mut self,
        file: &OwnedFd,
        below: &OwnedFd,
        (path, status): (&Path, &Stat),
    ) -> Result<()> {
        let now = match is_directory(status) {
            true => names(file, path)?,
            false => Vec::new(),
        };
        for name in names(below, path)? {
            if !now.contains(&name) {
                self.tell(&path.join(OsStr::from_bytes(&name)), ChangeKind::Deleted);
            }
        }
        Ok(())
    }

    fn tell(&mut self, path: &Path, kind: ChangeKind) {
        self.changes.insert(Change {
            path: Path::new("/").join(path),
            kind,
        });
    }
}

fn names(directory: &OwnedFd, path: &Path) -> Result<Vec<Vec<u8>>> {
    let step = || format!("read the directory /{}", path.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(directory, ".", flags, Mode::empty()).step(step)?;
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 8 << 10];
    let mut entries = RawDir::new(&readable, &mut buffer);
    while let Some(entry) = entries.next() {
        let name = entry.step(step)?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_directory(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Directory
}

fn is_whiteout(status: &Stat) -> bool {
    let kind = FileType::from_raw_mode(status.st_mode);
    kind == FileType::CharacterDevice && status.st_rdev == 0
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    OPAQUE.iter().any(|name| {
        let mut value = [0_u8; 8];
        let length = getxattr(path.as_str(), *name, value.as_mut_slice());
        length.is_ok_and(|length| &value[..length] == b"y")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, kind: ChangeKind) -> Change {
        Change {
            path: path.into(),
            kind,
        }
    }

    #[test]
    fn directories_that_nobody_changed_are_not_told() {
        use ChangeKind::{Added, Changed};
        let mut changes = vec![
            change("/data", Added),
            change("/dev", Added),
            change("/etc", Changed),
            change("/proc", Added),
            change("/proc/left", Added),
            change("/run", Changed),
            change("/run/secrets", Added),
            change("/srv", Added),
        ];
        drop_bystanders(&mut changes, &["/data".into()]);
        let left: Vec<_> = changes
            .iter()
            .map(|change| change.path.to_str().unwrap())
            .collect();
        assert_eq!(left, ["/proc", "/proc/left", "/srv"]);
        let mut changes = vec![change("/etc", Changed), change("/etc/passwd", Changed)];
        drop_bystanders(&mut changes, &[]);
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn an_upper_directory_is_held_against_what_lies_below() {
        use ChangeKind::{Added, Changed};
        let host = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = host.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        for path in [
            "below/a/kept",
            "below/a/file",
            "below/was/x",
            "upper/a/file",
        ] {
            make(path);
        }
        for path in ["upper/a/new/deep", "upper/was", "upper/etc/hosts"] {
            make(path);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = |name: &str| open(host.path().join(name), flags, Mode::empty()).unwrap();
        let mut comparison = Comparison {
            below: Some(root("below")),
            given: vec!["etc/hosts".into()],
            changes: BTreeSet::new(),
            pending: Vec::new(),
        };
        comparison.run(root("upper")).unwrap();
        let expected = [
            change("/a", Changed),
            change("/a/file", Changed),
            change("/a/new", Added),
            change("/a/new/deep", Added),
            change("/etc", Added),
            change("/was", Changed),
            change("/was/x", ChangeKind::Deleted),
        ];
        assert_eq!(comparison.changes.into_iter().collect::<Vec<_>>(), expected);
    }
}
