//! The layers of an image as lower directories of a container's overlay.
//!
//! An EROFS layer is mounted here, attached nowhere, so that no mount of the host's can be left
//! behind; the container process, which comes after, has the descriptors too.

use std::rc::Rc;

use insula_container::error::{Error, Result};
use insula_container::rootfs::Lower;
use insula_image::{Image, Layer, LayerForm};
use insula_sys::Errno;
use insula_sys::erofs::mount_image;

/// The layers, the uppermost first.
///
/// # Errors
/// A layer is gone or damaged, or this host cannot mount it any more.
pub(crate) fn open(image: &Image) -> Result<Vec<Lower>> {
    image.layers.iter().rev().map(open_layer).collect()
}

fn open_layer(layer: &Layer) -> Result<Lower> {
    match &layer.form {
        LayerForm::Directory(path) => Ok(Lower::Directory(path.clone())),
        LayerForm::Erofs(path) => {
            let root = mount_image(path).map_err(|errno| explain(layer, errno))?;
            Ok(Lower::Mount(Rc::new(root)))
        }
    }
}

fn explain(layer: &Layer, errno: Errno) -> Error {
    let error = Error::from(errno).within(format!(
        "mount layer {} from {}",
        layer.diff_id,
        layer.form.path().display()
    ));
    match errno {
        Errno::PERM => error.hint("mounting images needs root"),
        Errno::NODEV | Errno::NOENT => error.hint(
            "this host cannot mount EROFS any more (`insula info` says why): import or pull the \
             image again and its layers are kept as directories",
        ),
        _ => error.hint("`insula image verify` says whether the image is damaged"),
    }
}
