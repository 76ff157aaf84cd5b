//! The content of directories: entries sorted by name, `.` and `..` among them, in blocks that each
//! begin with the fixed parts of their entries and end with the names.

use std::iter::Peekable;

use super::format::{BLOCK, ENTRY_BYTES};
use super::tree::{Tree, position};

/// The names of one directory with their inodes, in order.
pub(super) struct Names<'t> {
    tree: &'t Tree,
    /// Indexes of entries, sorted by name.
    children: &'t [u32],
    /// `.` and `..`, as far as they are still to come: not always the first, for `!` is less.
    dots: &'static [&'static [u8]],
    directory: u32,
}

impl<'t> Names<'t> {
    pub(super) fn new(tree: &'t Tree, directory: u32, children: &'t [u32]) -> Self {
        Self {
            tree,
            children,
            dots: &[b".", b".."],
            directory,
        }
    }
}

impl<'t> Iterator for Names<'t> {
    type Item = (&'t [u8], u32);

    fn next(&mut self) -> Option<Self::Item> {
        let child = self.children.first().map(|&entry| {
            let entry = self.tree.entries[position(entry)];
            (self.tree.name(entry), entry.inode)
        });
        if let Some((&dot, rest)) = self.dots.split_first()
            && child.is_none_or(|(name, _)| dot < name)
        {
            self.dots = rest;
            let inode = if rest.is_empty() {
                self.tree.parent_of(self.directory)
            } else {
                self.directory
            };
            return Some((dot, inode));
        }
        self.children = self.children.get(1..).unwrap_or_default();
        child
    }
}

/// How many bytes the entries take together; the blocks before the last count whole.
pub(super) fn packed_bytes(names: Names<'_>) -> u64 {
    let mut blocks = 0;
    let mut used = 0;
    for (name, _) in names {
        let needed = ENTRY_BYTES + name.len();
        if used + needed > BLOCK {
            blocks += 1;
            used = 0;
        }
        used += needed;
    }
    blocks * BLOCK as u64 + used as u64
}

/// Appends one block of entries, without what fills it up. All inodes must have their nids.
pub(super) fn pack(tree: &Tree, names: &mut Peekable<Names<'_>>, output: &mut Vec<u8>) {
    let mut used = 0;
    let mut packed = Vec::new();
    while let Some(next) = names.next_if(|(name, _)| used + ENTRY_BYTES + name.len() <= BLOCK) {
        used += ENTRY_BYTES + next.0.len();
        packed.push(next);
    }
    let mut name_offset = packed.len() * ENTRY_BYTES;
    for (name, inode) in &packed {
        let inode = tree.inode(*inode);
        output.extend_from_slice(&u64::from(inode.nid).to_le_bytes());
        // Fits: offsets stay inside a block.
        let offset = u16::try_from(name_offset).unwrap_or(0);
        output.extend_from_slice(&offset.to_le_bytes());
        output.extend_from_slice(&[inode.kind().entry_type(), 0]);
        name_offset += name.len();
    }
    for (name, _) in &packed {
        output.extend_from_slice(name);
    }
}
