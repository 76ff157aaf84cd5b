//! A layered root, mounted in the container's mount namespace only: no mount of the host's can be
//! left behind by a runtime that is killed.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use insula_sys::overlay::{joined_layers, mount_read_only};
use insula_sys::rustix::fs::{CWD, Mode, OFlags, open};
use insula_sys::rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use insula_sys::user_namespace::is_initial;

use crate::error::{Context, Result};

/// A lower layer.
#[derive(Debug, Clone)]
pub enum Lower {
    Directory(PathBuf),
    /// The root of a mount that is attached nowhere.
    Mount(Rc<OwnedFd>),
    /// A directory in the root of such a mount.
    Inside(Rc<OwnedFd>, String),
}

/// The layers of an overlay file system.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// From the uppermost to the lowest.
    pub lower: Vec<Lower>,
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Never sync the upper layer: for containers that are thrown away.
    pub volatile: bool,
}

/// A detached overlay mount. Layers go in one by one, or, before kernel 6.8, as one escaped string.
/// Before 6.5 any option is taken as it comes and refused when all are there, so the whole is tried
/// again; a failure with another reason comes again, too. Before 6.15 a layer that is a mount must
/// be attached somewhere: `place`, in this mount namespace, which the root then covers.
///
/// # Errors
/// The kernel refuses, or a layer is gone.
pub fn mount(overlay: &Overlay, place: &Path) -> Result<OwnedFd> {
    match mount_with(overlay, &[]) {
        Err(_) if overlay.lower.iter().any(Lower::is_mount) => {
            for (number, lower) in overlay.lower.iter().enumerate() {
                let mut before = overlay.lower[..number].iter();
                if !before.any(|before| lower.is_of_same_mount(before)) {
                    lower.attach(place)?;
                }
            }
            mount_with(overlay, &[])
        }
        other => other,
    }
}

/// The root of layers that are only read, from the uppermost to the lowest: a detached mount, or
/// the directory itself when there is one. `place` is as for [`mount`].
///
/// # Errors
/// There is no layer, it is gone, or the kernel refuses.
pub fn mount_lower(lower: &[Lower], place: &Path) -> Result<OwnedFd> {
    let step = || "mount layers to read them";
    let paths: Vec<PathBuf> = lower.iter().map(Lower::path).collect();
    if let [only] = paths.as_slice() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        return open(only, flags, Mode::empty()).step(step);
    }
    let attributes = MountAttrFlags::empty();
    match mount_read_only(&paths, attributes) {
        Err(_) if lower.iter().any(Lower::is_mount) => {
            lower.iter().try_for_each(|lower| lower.attach(place))?;
            mount_read_only(&paths, attributes).step(step)
        }
        other => other.step(step),
    }
}

/// A detached overlay mount whose upper layer says everything that an archive of a layer can say
/// and nothing else: no renamed directories, no files without their content.
///
/// # Errors
/// As mounting an overlay.
pub fn mount_changes(overlay: &Overlay) -> Result<OwnedFd> {
    // `userxattr` is the same as this, and refuses the word `off`.
    let redirect = match is_initial() {
        true => "off",
        false => "nofollow",
    };
    let options = [
        ("redirect_dir", redirect),
        ("metacopy", "off"),
        ("index", "off"),
    ];
    mount_with(overlay, &options)
}

fn mount_with(overlay: &Overlay, options: &[(&str, &str)]) -> Result<OwnedFd> {
    let lower: Vec<PathBuf> = overlay.lower.iter().map(Lower::path).collect();
    let create = |form| create(overlay, &lower, options, form);
    let context = create(Form::OneByOne).or_else(|_| create(Form::Joined))?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .step(|| "mount the layers of the root directory")
}

impl Lower {
    fn is_mount(&self) -> bool {
        matches!(self, Self::Mount(_) | Self::Inside(..))
    }

    fn is_of_same_mount(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inside(one, _), Self::Inside(other, _)) => Rc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The host's `/proc` is still in reach, and leads to the mount wherever it is attached.
    fn path(&self) -> PathBuf {
        match self {
            Self::Directory(path) => path.clone(),
            Self::Mount(root) => PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())),
            Self::Inside(root, directory) => {
                PathBuf::from(format!("/proc/self/fd/{}/{directory}", root.as_raw_fd()))
            }
        }
    }

    /// Several mounts may lie on top of each other: they are reached by their descriptors.
    fn attach(&self, place: &Path) -> Result<()> {
        let (Self::Mount(root) | Self::Inside(root, _)) = self else {
            return Ok(());
        };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(root, "", CWD, place, flags)
            .step(|| format!("attach a layer to {}", place.display()))
    }
}

/// How the lower layers are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByOne,
    Joined,
}

/// A file system that is ready to be mounted.
fn create(
    overlay: &Overlay,
    lower: &[PathBuf],
    options: &[(&str, &str)],
    form: Form,
) -> Result<OwnedFd> {
    let step = || "mount the layers of the root directory";
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).step(step)?;
    let set = |key: &str, path: &Path| {
        fsconfig_set_string(&context, key, path)
            .step(|| format!("overlay option {key}={}", path.display()))
    };
    match form {
        Form::OneByOne => lower.iter().try_for_each(|path| set("lowerdir+", path))?,
        Form::Joined => set("lowerdir", &joined_layers(lower))?,
    }
    set("upperdir", &overlay.upper)?;
    set("workdir", &overlay.work)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)
            .step(|| format!("overlay option {key}={value}"))?;
    }
    // Root of a user namespace may neither read nor write `trusted.*`.
    if !is_initial() {
        fsconfig_set_flag(&context, "userxattr").step(|| "overlay option userxattr")?;
    }
    if overlay.volatile {
        fsconfig_set_flag(&context, "volatile").step(|| "overlay option volatile")?;
    }
    fsconfig_create(&context).step(step)?;
    Ok(context)
}
