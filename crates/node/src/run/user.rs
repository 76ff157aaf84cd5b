//! The user of the program, by the databases of the image's layers.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use insula_container::error::{Context, Result};
use insula_image::{ResolvedUser, read_database, resolve_user};

use super::image_error;

/// Resolves `user` with the image's files: of each database, that of the uppermost layer that has
/// it.
pub(super) fn resolve(user: &str, layers: &[PathBuf]) -> Result<ResolvedUser> {
    let mut roots = Vec::with_capacity(layers.len());
    for layer in layers.iter().rev() {
        let root = File::open(layer).step(|| format!("open {}", layer.display()))?;
        roots.push(root);
    }
    let read = |path: &str| -> Result<Vec<u8>> {
        for root in &roots {
            let found = read_database(root.as_fd(), path).map_err(image_error)?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    };
    resolve_user(user, &read("etc/passwd")?, &read("etc/group")?).map_err(image_error)
}
