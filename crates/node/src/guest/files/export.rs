//! A guest's root as one archive: its layers joined, without volumes and what the kernel shows.

use std::io::{BufWriter, Write};

use insula_container::error::{Context, Result};
use insula_image::{TreeForm, WrittenTree, write_tree};
use insula_sys::rustix::io::fcntl_dupfd_cloexec;

use super::root::{GuestRoot, Sight};
use crate::guest::{Place, event};

/// Writes the root of a guest.
///
/// # Errors
/// There is no such guest, or `output` cannot be written.
pub fn export(place: &Place, name: &str, output: &mut dyn Write) -> Result<WrittenTree> {
    let root = GuestRoot::open(place, name, Sight::Root)?;
    let step = || {
        format!(
            "write the files of `{}` as an archive",
            root.guest.record.name
        )
    };
    let top = fcntl_dupfd_cloexec(&root, 0).step(step)?;
    let mut output = BufWriter::with_capacity(256 << 10, output);
    let written = write_tree(top, &TreeForm::default(), &mut output)
        .and_then(|written| output.flush().map(|()| written))
        .step(step)?;
    event::tell(place, &root.guest.record, "export", &[]);
    Ok(written)
}
