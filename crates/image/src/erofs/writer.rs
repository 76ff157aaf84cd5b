//! From an archive to a layer: one entry after the other, with the meaning they have when they are
//! unpacked below a directory.
//!
//! Content goes to the image at once, everything else into a [`Tree`], which `layout.rs` writes at
//! the end. Nothing of the host is touched but the image file, whatever the archive says; links are
//! followed in the tree only.

use std::fs::File;
use std::io::BufRead;

use insula_sys::rustix::io::Errno;

use super::content::{ChunkMap, Store};
use super::format::{FileKind, NAME_BYTES_MAX, encode_device};
use super::sink::Sink;
use super::tree::{Body, Inode, ROOT, Tree, directory_inode};
use super::xattr::XattrSets;
use super::{Written, layout};
use crate::error::{Context, Error, Result};
use crate::tar::{Entry, EntryKind, Reader};
use crate::timestamp::Timestamp;
use crate::unpack::{Budget, CleanName, UnpackOptions, Whiteouts, shown};

/// The kernel's `PATH_MAX` without the NUL.
const TARGET_BYTES_MAX: usize = 4095;

/// Reads an uncompressed archive to its end and writes it as one layer to `file`, which must be
/// empty and open for reading and writing.
///
/// The image holds what the archive says, owners and devices included: making them needs no
/// privilege here. The same archive gives the same image. Where `options.privileged` is not set,
/// directories carry overlayfs' marks for users, such as `user.overlay.opaque`.
///
/// # Errors
/// The archive is malformed, hostile, over a limit or cut off, or the system refuses. Then the file
/// holds no image: the superblock is written last.
pub fn write_layer(archive: impl BufRead, file: &File, options: &UnpackOptions) -> Result<Written> {
    let mut writer = LayerWriter {
        reader: Reader::new(archive),
        budget: Budget::new(&options.limits),
        options,
        sink: Sink::new(file),
        tree: Tree::new(),
        maps: Vec::new(),
        xattrs: XattrSets::new(),
        tails_bytes: 0,
        written: Written::default(),
    };
    writer.run()?;
    writer.tree.forget_names();
    let layer = layout::Layer {
        build_time: layout::frequent_time(&writer.tree),
        sink: writer.sink,
        tree: writer.tree,
        maps: writer.maps,
        xattrs: writer.xattrs,
        overlay_prefix: if options.privileged { 4 } else { 1 },
    };
    layer.finish(writer.written).step(|| "write the layer")
}

struct LayerWriter<'a, R> {
    reader: Reader<R>,
    budget: Budget<'a>,
    options: &'a UnpackOptions,
    sink: Sink<'a>,
    tree: Tree,
    maps: Vec<ChunkMap>,
    xattrs: XattrSets,
    tails_bytes: u64,
    written: Written,
}

impl<R: BufRead> LayerWriter<'_, R> {
    fn run(&mut self) -> Result<()> {
        // The place of the superblock.
        self.sink.zeros(super::format::BLOCK_BYTES)?;
        while let Some(entry) = self.reader.next_entry()? {
            if self.written.entries == 0 {
                self.tree.inode_mut(ROOT).modified = entry.modified;
            }
            self.written.entries += 1;
            self.one(&entry).step(|| {
                format!(
                    "unpack `{}` (entry {} at byte {})",
                    shown(&entry.path),
                    self.written.entries,
                    self.reader.entry_offset()
                )
            })?;
        }
        self.reader.drain()
    }

    fn one(&mut self, entry: &Entry) -> Result<()> {
        self.budget.entry()?;
        let name = CleanName::new(&entry.path, self.options.limits.depth)?;
        if self.options.whiteouts == Whiteouts::Overlay
            && let Some(hidden) = name.whiteout()
        {
            return self.whiteout(&name, hidden, entry.modified);
        }
        match entry.kind {
            EntryKind::Directory => self.directory(&name, entry),
            _ if name.is_root() => Err(Error::invalid(
                "the root of the image can only be a directory",
            )),
            EntryKind::File => self.file(&name, entry),
            EntryKind::HardLink => self.hard_link(&name, entry),
            EntryKind::Symlink => self.symlink(&name, entry),
            EntryKind::Character => self.node(&name, entry, FileKind::Character),
            EntryKind::Block => self.node(&name, entry, FileKind::Block),
            EntryKind::Fifo => self.node(&name, entry, FileKind::Fifo),
        }
    }

    fn parent(&mut self, name: &CleanName, modified: Timestamp) -> Result<u32> {
        self.tree.parent(name, modified, &mut self.budget)
    }

    fn xattr_set(&mut self, kind: FileKind, entry: &Entry) -> Result<u32> {
        let skipped = &mut self.written.skipped;
        self.xattrs
            .add(kind, &entry.xattrs, skipped, &mut self.budget)
    }

    /// Makes an inode and gives it its name.
    fn place(&mut self, parent: u32, name: &CleanName, entry: &Entry, made: Made) -> Result<()> {
        let inode = Inode {
            modified: entry.modified,
            size: made.size,
            body: made.body,
            uid: entry.uid,
            gid: entry.gid,
            xattrs: made.xattrs,
            links: 0,
            nid: 0,
            // What every other file system of Linux says of a link.
            mode: match made.kind {
                FileKind::Symlink => mode(made.kind, 0o777),
                kind => mode(kind, entry.mode),
            },
        };
        let inode = self.tree.add_inode(inode, &mut self.budget)?;
        self.tree.set(parent, name.last(), inode, &mut self.budget)
    }

    fn directory(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        let directory = if name.is_root() {
            ROOT
        } else {
            let parent = self.parent(name, entry.modified)?;
            check_length(name).step(|| "make the directory")?;
            self.make_directory(parent, name, entry.modified)?
        };
        let xattrs = self.xattr_set(FileKind::Directory, entry)?;
        let inode = self.tree.inode_mut(directory);
        inode.modified = entry.modified;
        inode.mode = mode(FileKind::Directory, entry.mode);
        inode.uid = entry.uid;
        inode.gid = entry.gid;
        inode.xattrs = xattrs;
        Ok(())
    }

    /// A directory in the place of a directory stays. One in the place of a whiteout hides what the
    /// layers below have there.
    fn make_directory(
        &mut self,
        parent: u32,
        name: &CleanName,
        modified: Timestamp,
    ) -> Result<u32> {
        let existing = self.tree.lookup(parent, name.last());
        let mut opaque = false;
        if let Some(existing) = existing {
            let inode = self.tree.inode(existing);
            if inode.is_directory() {
                return Ok(existing);
            }
            opaque = self.options.whiteouts == Whiteouts::Overlay && inode.is_whiteout();
        }
        let mut inode = directory_inode(parent, modified);
        inode.body = Body::Directory {
            parent,
            opaque,
            whiteouts: false,
        };
        let made = self.tree.add_inode(inode, &mut self.budget)?;
        self.tree.set(parent, name.last(), made, &mut self.budget)?;
        Ok(made)
    }

    fn file(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        self.budget.file(entry.size)?;
        let parent = self.parent(name, entry.modified)?;
        check_length(name).step(|| "make the file")?;
        let xattrs = self.xattr_set(FileKind::File, entry)?;
        let xattr_bytes = self.xattrs.get(xattrs).len();
        let mut store = Store {
            sink: &mut self.sink,
            tree: &mut self.tree,
            maps: &mut self.maps,
            tails_bytes: &mut self.tails_bytes,
        };
        let body = store.content(&mut self.reader, entry, xattr_bytes, &mut self.budget)?;
        self.written.content_bytes += match &entry.segments {
            Some(segments) => segments.iter().map(|segment| segment.length).sum(),
            None => entry.size,
        };
        let made = Made {
            kind: FileKind::File,
            size: entry.size,
            body,
            xattrs,
        };
        self.place(parent, name, entry, made)
    }

    fn hard_link(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        let target = CleanName::new(&entry.link, self.options.limits.depth)
            .step(|| format!("hard link to `{}`", shown(&entry.link)))?;
        if target == *name {
            return Err(Error::invalid("the hard link leads to itself"));
        }
        if target.is_root() {
            return Err(explain_link(entry, Errno::ISDIR));
        }
        let parent = self.parent(name, entry.modified)?;
        let explain = |errno| explain_link(entry, errno);
        check_length(name).map_err(explain)?;
        let target_parent = self.tree.directory(target.parent()).map_err(explain)?;
        let inode = self
            .tree
            .lookup(target_parent, target.last())
            .ok_or_else(|| explain(Errno::NOENT))?;
        if self.tree.inode(inode).is_directory() {
            return Err(explain(Errno::ISDIR));
        }
        if let Some(existing) = self.tree.lookup(parent, name.last())
            && self.tree.is_below(target_parent, existing)
        {
            // Making room for the link removes what it leads to.
            return Err(explain(Errno::NOENT));
        }
        self.tree.set(parent, name.last(), inode, &mut self.budget)
    }

    fn symlink(&mut self, name: &CleanName, entry: &Entry) -> Result<()> {
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(Error::invalid("the symbolic link has no usable target"));
        }
        let parent = self.parent(name, entry.modified)?;
        check_length(name)
            .and_then(|()| {
                let fits = entry.link.len() <= TARGET_BYTES_MAX;
                fits.then_some(()).ok_or(Errno::NAMETOOLONG)
            })
            .step(|| "make the symbolic link")?;
        let xattrs = self.xattr_set(FileKind::Symlink, entry)?;
        let target = self.tree.keep(&entry.link, &mut self.budget)?;
        let mut block = None;
        if !layout::fits_inline(self.xattrs.get(xattrs).len(), entry.link.len()) {
            block = Some(self.sink.block()?);
            self.sink.append(&entry.link)?;
            self.sink.align()?;
        }
        let made = Made {
            kind: FileKind::Symlink,
            size: entry.link.len() as u64,
            body: Body::Symlink { target, block },
            xattrs,
        };
        self.place(parent, name, entry, made)
    }

    /// A device or a fifo.
    fn node(&mut self, name: &CleanName, entry: &Entry, kind: FileKind) -> Result<()> {
        let parent = self.parent(name, entry.modified)?;
        let (major, minor) = entry.device;
        if kind == FileKind::Character && entry.device == (0, 0) {
            // The kernel takes it for one, wherever it comes from.
            self.set_whiteouts(parent);
        }
        check_length(name).step(|| format!("make device {major}:{minor}"))?;
        let made = Made {
            kind,
            size: 0,
            body: Body::Node {
                device: encode_device(major, minor),
            },
            xattrs: self.xattr_set(kind, entry)?,
        };
        self.place(parent, name, entry, made)
    }

    /// A deletion of a lower layer, as overlayfs keeps it: device 0:0, or an opaque directory.
    fn whiteout(&mut self, name: &CleanName, hidden: &[u8], modified: Timestamp) -> Result<()> {
        let parent = self.parent(name, modified)?;
        match hidden {
            b".wh..opq" => {
                self.set_opaque(parent);
                return Ok(());
            }
            // Bookkeeping of an old union file system.
            _ if hidden.starts_with(b".wh.") => return Ok(()),
            b"" | b"." | b".." => {
                return Err(Error::invalid(
                    "the whiteout hides nothing that could exist",
                ));
            }
            _ => {}
        }
        match self.tree.lookup(parent, hidden) {
            // The layer itself has the name: the whiteout is only for what is below.
            Some(existing) => {
                self.set_opaque(existing);
                Ok(())
            }
            None => {
                let inode = Inode {
                    mode: FileKind::Character.mode_bits(),
                    body: Body::Node { device: 0 },
                    ..directory_inode(parent, modified)
                };
                let inode = self.tree.add_inode(inode, &mut self.budget)?;
                self.set_whiteouts(parent);
                self.tree.set(parent, hidden, inode, &mut self.budget)
            }
        }
    }

    /// Hides what lower layers have in a directory; nothing else has anything to hide.
    fn set_opaque(&mut self, inode: u32) {
        if let Body::Directory { opaque, .. } = &mut self.tree.inode_mut(inode).body {
            *opaque = true;
        }
    }

    /// Keeps the whiteouts of a directory out of its listing.
    fn set_whiteouts(&mut self, inode: u32) {
        if let Body::Directory { whiteouts, .. } = &mut self.tree.inode_mut(inode).body {
            *whiteouts = true;
        }
    }
}

/// What differs between kinds of inodes.
struct Made {
    kind: FileKind,
    size: u64,
    body: Body,
    xattrs: u32,
}

fn mode(kind: FileKind, permissions: u32) -> u16 {
    kind.mode_bits() | u16::try_from(permissions & 0o7777).unwrap_or(0)
}

fn check_length(name: &CleanName) -> Result<(), Errno> {
    if name.last().len() > NAME_BYTES_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(())
}

fn explain_link(entry: &Entry, errno: Errno) -> Error {
    let target = shown(&entry.link);
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::invalid(format!(
            "hard link to `{target}`, which is not in the archive before it"
        ))
        .hint("a hard link can only lead to an earlier entry of the same archive"),
        Errno::ISDIR | Errno::PERM => {
            Error::invalid(format!("hard link to `{target}`, which is a directory"))
        }
        _ => {
            let failed: Result<()> = Err(errno).step(|| format!("hard link to `{target}`"));
            failed
                .err()
                .unwrap_or_else(|| Error::invalid("hard link failed"))
        }
    }
}
