//! The user of the program, by the image's own databases.

use insula_container::error::Result;
use insula_image::{ResolvedUser, UnionView, resolve_user};

use super::image_error;

/// Resolves `user` with the image's files.
pub(super) fn resolve(user: &str, files: &UnionView) -> Result<ResolvedUser> {
    let read = |path: &str| -> Result<Vec<u8>> {
        let found = files.read_file(path).map_err(image_error)?;
        Ok(found.unwrap_or_default())
    };
    resolve_user(user, &read("etc/passwd")?, &read("etc/group")?).map_err(image_error)
}
