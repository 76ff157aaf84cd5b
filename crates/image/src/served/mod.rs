//! Layers served by this program, through FUSE, where the kernel does not mount them for this user.
//!
//! ```text
//!  mount of one image          /0 /1 /2 …   the root directories of its layers, the lowest first
//!  tree.rs                     what the kernel asks, answered from the EROFS files
//!  process.rs                  who answers: a process or threads, until the mount is gone
//! ```
//!
//! All layers of an image are one mount with one server; an overlay joins its directories. Start at
//! [`mount_layers`].

mod process;
mod tree;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use insula_sys::fuse::{self, Connection, MountOptions, protocol::capability};

use crate::erofs::Reader;
use crate::error::{Context, Result};
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
