//! The layers of an image as lower directories of a container's overlay.
//!
//! An EROFS layer is mounted here, attached nowhere, so that no mount of the host's can be left
//! behind; the container process, which comes after, has the descriptors too. Where the kernel does
//! not mount it for this user, a process serves it, which ends when the container's mounts do.

use insula_container::error::Result;
use insula_container::rootfs::Lower;
use insula_image::Image;
use insula_image::served::{LayerRoot, mount_layers_of};

use super::image_error;

/// The layers, the uppermost first. The caller has one thread.
///
/// # Errors
/// A layer is gone or damaged, or this host cannot mount it any more.
pub(crate) fn open(image: &Image) -> Result<Vec<Lower>> {
    let roots = mount_layers_of(&image.layers).map_err(image_error)?;
    let lower = roots.into_iter().rev().map(|root| match root {
        LayerRoot::Directory(path) => Lower::Directory(path),
        LayerRoot::Mount(mount) => Lower::Mount(mount),
        LayerRoot::Inside(mount, directory) => Lower::Inside(mount, directory),
    });
    Ok(lower.collect())
}
