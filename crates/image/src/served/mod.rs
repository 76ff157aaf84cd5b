//! Layers served by this program, through FUSE, where the kernel does not mount them for this user.
//!
//! ```text
//!  mount of one image          /0 /1 /2 …   the root directories of its layers, the lowest first
//!  tree.rs                     what the kernel asks, answered from the EROFS files
//!  process.rs                  who answers: a process or threads, until the mount is gone
//! ```
//!
//! All layers of an image are one mount with one server; an overlay joins its directories. Start at
//! [`mount_layers_of`], which asks the kernel first.

mod process;
mod tree;

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use insula_sys::Errno;
use insula_sys::erofs::mount_image;
use insula_sys::fuse::{self, Connection, MountOptions, protocol::capability};

use crate::erofs::Reader;
use crate::error::{Context, Error, Result};
use crate::layer::{Layer, LayerForm};
use tree::LayerTree;

/// The layers of an image as one mount, which waits to be served.
#[derive(Debug)]
pub struct ServedLayers {
    /// Attached nowhere. The root has a directory for each layer: [`layer_directory`].
    pub mount: OwnedFd,
    pub server: LayerServer,
}

/// What serves a mount of layers.
#[derive(Debug)]
pub struct LayerServer {
    connection: Connection,
    tree: LayerTree,
}

/// Where the root directory of a layer is.
#[derive(Debug, Clone)]
pub enum LayerRoot {
    Directory(PathBuf),
    /// The root of a mount that is attached nowhere.
    Mount(Rc<OwnedFd>),
    /// A directory in the root of such a mount.
    Inside(Rc<OwnedFd>, String),
}

/// Which attributes tell the overlay about opaque directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayNames {
    /// `trusted.overlay.*`: root of the host joins the layers.
    Trusted,
    /// `user.overlay.*`: root of a user namespace does, with the option `userxattr`.
    User,
}

impl OverlayNames {
    /// Those that this process can use.
    #[must_use]
    pub fn of_this_process() -> Self {
        match insula_sys::user_namespace::is_initial() {
            true => Self::Trusted,
            false => Self::User,
        }
    }
}

/// The roots of an image's layers, the lowest first. EROFS layers are mounted by the kernel or,
/// where it does not do that for this user, served by a process that ends with the mount.
///
/// # Errors
/// A layer is gone or damaged, or neither way is open to this user.
pub fn mount_layers_of(layers: &[Layer]) -> Result<Vec<LayerRoot>> {
    let by_kernel = layers.iter().map(|layer| {
        Ok(match &layer.form {
            LayerForm::Directory(path) => LayerRoot::Directory(path.clone()),
            LayerForm::Erofs(path) => {
                let mount = mount_image(path).map_err(|errno| (layer, errno))?;
                LayerRoot::Mount(Rc::new(mount))
            }
        })
    });
    match by_kernel.collect() {
        Ok(roots) => Ok(roots),
        Err((_, errno)) if is_refusal(errno) => {
            serve_layers_of(layers).map_err(|error| error.hint(advice(errno)))
        }
        Err((layer, errno)) => Err(explain(layer.form.path(), errno)),
    }
}

/// As [`mount_layers_of`], of the file of one layer.
///
/// # Errors
/// As there.
pub fn mount_layer(path: &Path) -> Result<OwnedFd> {
    let errno = match mount_image(path) {
        Ok(mount) => return Ok(mount),
        Err(errno) => errno,
    };
    if !is_refusal(errno) {
        return Err(explain(path, errno));
    }
    let serve = || {
        let mounted = mount_empty(Path::new(fuse::DEVICE)).step(|| "mount a layer")?;
        let names = OverlayNames::of_this_process();
        let server = LayerServer {
            connection: mounted.connection,
            tree: LayerTree::of_one(open(path)?, names),
        };
        server.start().map(|()| mounted.mount)
    };
    serve().map_err(|error: Error| error.hint(advice(errno)))
}

fn serve_layers_of(layers: &[Layer]) -> Result<Vec<LayerRoot>> {
    let files: Vec<PathBuf> = layers
        .iter()
        .filter(|layer| matches!(layer.form, LayerForm::Erofs(_)))
        .map(|layer| layer.form.path().to_owned())
        .collect();
    let served = mount_layers(&files, OverlayNames::of_this_process())?;
    served.server.start()?;
    let mount = Rc::new(served.mount);
    let mut number = 0;
    let root = |layer: &Layer| match &layer.form {
        LayerForm::Directory(path) => LayerRoot::Directory(path.clone()),
        LayerForm::Erofs(_) => {
            number += 1;
            LayerRoot::Inside(Rc::clone(&mount), layer_directory(number - 1))
        }
    };
    Ok(layers.iter().map(root).collect())
}

/// Whether the kernel does not mount EROFS for this user, or not at all.
fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PERM | Errno::ACCESS | Errno::NODEV | Errno::NOENT | Errno::NOTBLK
    )
}

fn explain(path: &Path, errno: Errno) -> Error {
    let failed = Err::<Infallible, _>(errno);
    match failed.step(|| format!("mount layer {}", path.display())) {
        Ok(never) => match never {},
        Err(error) => error.hint(advice(errno)),
    }
}

/// What helps against an answer of the kernel to the mount of a layer.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM | Errno::ACCESS => "root may, and root of a user namespace with /dev/fuse",
        Errno::NODEV | Errno::NOENT | Errno::NOTBLK => {
            "this host cannot mount EROFS any more (`insula info` says why): import or pull the \
             image again and its layers are kept as directories"
        }
        _ => "`insula image verify` says whether the image is damaged",
    }
}

/// The directory of a layer in the mount, by its number: the lowest is 0.
#[must_use]
pub fn layer_directory(number: usize) -> String {
    number.to_string()
}

/// Mounts EROFS layers, the lowest first. Nothing can be read before somebody serves.
///
/// # Errors
/// A layer cannot be opened or is damaged; there is no FUSE for this user.
pub fn mount_layers(layers: &[PathBuf], names: OverlayNames) -> Result<ServedLayers> {
    let readers = layers.iter().map(|path| open(path));
    let readers = readers.collect::<Result<Vec<_>>>()?;
    let mounted = mount_empty(Path::new(fuse::DEVICE)).step(|| "mount layers through FUSE")?;
    Ok(ServedLayers {
        mount: mounted.mount,
        server: LayerServer {
            connection: mounted.connection,
            tree: LayerTree::new(readers, names),
        },
    })
}

/// A mount that nobody serves yet.
pub(crate) fn mount_empty(device: &Path) -> insula_sys::Result<fuse::Mounted> {
    fuse::mount(&MountOptions {
        device,
        source: "insula",
        subtype: "layers",
        flags: capability::POSIX_ACL
            | capability::CACHE_SYMLINKS
            | capability::NO_OPEN_SUPPORT
            | capability::NO_OPENDIR_SUPPORT,
    })
}

fn open(path: &Path) -> Result<Reader<File>> {
    let step = || format!("open layer {}", path.display());
    Reader::open(File::open(path).step(step)?).step(step)
}
