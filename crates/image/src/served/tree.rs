//! What the kernel asks about layers, answered from their EROFS files.
//!
//! Nothing is remembered between two questions: a node is the number of a layer above the nid of an
//! inode, so that what the kernel knows and forgets costs nothing here. What is read goes from the
//! page cache of the layer's file into that of the mount, where it stays.

use std::fs::File;

use insula_sys::fuse::{Attributes, FileSystem, Listing, ReadRequest, Statistics, protocol};
use insula_sys::{Errno, Result};

use super::OverlayNames;
use crate::erofs::{FileKind, Inode, Reader};
use crate::error::Error;
use insula_sys::user_namespace::Ids;

/// A nid is a distance of 32-byte slots in an image of at most 2^44 bytes.
const NID_BITS: u32 = 40;
const TRUSTED: &[u8] = b"trusted.overlay.";
const USER: &[u8] = b"user.overlay.";

/// All layers of one mount.
#[derive(Debug)]
pub(super) struct LayerTree {
    layers: Vec<Reader<File>>,
    names: OverlayNames,
    ids: Ids,
    /// The root is that of the only layer.
    is_single: bool,
}

/// What a node is.
enum Place<'t> {
    /// The directory of the layers.
    Top,
    Inside(Found<'t>),
}

struct Found<'t> {
    /// The bits of its layer.
    base: u64,
    reader: &'t Reader<File>,
    inode: Inode,
}

impl LayerTree {
    /// A root with a directory for each layer.
    pub(super) fn new(layers: Vec<Reader<File>>, names: OverlayNames) -> Self {
        Self {
            layers,
            names,
            ids: Ids::of_this_process(),
            is_single: false,
        }
    }

    /// The root of one layer.
    pub(super) fn of_one(layer: Reader<File>, names: OverlayNames) -> Self {
        Self {
            layers: vec![layer],
            names,
            ids: Ids::of_this_process(),
            is_single: true,
        }
    }

    /// What must stay open.
    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.layers.iter().map(Reader::source)
    }

    fn place(&self, node: u64) -> Result<Place<'_>> {
        if node == protocol::ROOT && self.is_single {
            let reader = self.layers.first().ok_or(Errno::STALE)?;
            let inode = reader.root().map_err(unreadable)?;
            let base = base_of(0);
            return Ok(Place::Inside(Found {
                base,
                reader,
                inode,
            }));
        }
        if node == protocol::ROOT {
            return Ok(Place::Top);
        }
        let number = (node >> NID_BITS)
            .checked_sub(1)
            .and_then(|number| usize::try_from(number).ok())
            .ok_or(Errno::STALE)?;
        let reader = self.layers.get(number).ok_or(Errno::STALE)?;
        let base = node >> NID_BITS << NID_BITS;
        let inode = reader.inode(node - base).map_err(unreadable)?;
        Ok(Place::Inside(Found {
            base,
            reader,
            inode,
        }))
    }

    fn inside(&self, node: u64) -> Result<Found<'_>> {
        match self.place(node)? {
            Place::Top => Err(Errno::INVAL),
            Place::Inside(found) => Ok(found),
        }
    }

    /// The root directory of a layer.
    fn root_of(&self, number: usize) -> Result<(u64, Attributes)> {
        let reader = self.layers.get(number).ok_or(Errno::NOENT)?;
        let root = reader.root().map_err(unreadable)?;
        Ok(described(self.ids, base_of(number), &root))
    }

    fn list_top(&self, position: u64, listing: &mut Listing<'_>) -> Result<()> {
        let top = (0, &top(self.layers.len()));
        let dots = [(&b"."[..], 0), (b"..", 1)];
        for (name, at) in dots {
            if position <= at && !listing.push(name, at + 1, top) {
                return Ok(());
            }
        }
        let first = usize::try_from(position.saturating_sub(2)).unwrap_or(usize::MAX);
        for number in first..self.layers.len() {
            let (node, attributes) = self.root_of(number)?;
            let name = super::layer_directory(number);
            if !listing.push(name.as_bytes(), number as u64 + 3, (node, &attributes)) {
                break;
            }
        }
        Ok(())
    }

    /// The name under which the image has an attribute that the overlay asks for, and the other way
    /// round: an image may have been written for either.
    fn is_same(&self, asked: &[u8], stored: &[u8]) -> bool {
        let (own, other) = match self.names {
            OverlayNames::Trusted => (TRUSTED, USER),
            OverlayNames::User => (USER, TRUSTED),
        };
        match asked.strip_prefix(own) {
            Some(rest) => {
                stored.strip_prefix(own) == Some(rest) || stored.strip_prefix(other) == Some(rest)
            }
            None => asked == stored && !stored.starts_with(other),
        }
    }

    /// How a stored name is shown. Root of a user namespace may not read `trusted.*`, so that it
    /// does not see it either.
    fn shown(&self, stored: Vec<u8>) -> Option<Vec<u8>> {
        let (own, other) = match self.names {
            OverlayNames::Trusted => (TRUSTED, USER),
            OverlayNames::User => (USER, TRUSTED),
        };
        if let Some(rest) = stored.strip_prefix(other) {
            return Some([own, rest].concat());
        }
        let is_seen = self.names == OverlayNames::Trusted || !stored.starts_with(b"trusted.");
        is_seen.then_some(stored)
    }
}

impl FileSystem for LayerTree {
    /// A layer never changes.
    const VALID_SECONDS: u64 = 10 * 365 * 86400;

    fn look_up(&self, directory: u64, name: &[u8]) -> Result<(u64, Attributes)> {
        match self.place(directory)? {
            Place::Top => {
                let number = std::str::from_utf8(name).ok();
                let number = number.and_then(|name| name.parse().ok());
                let number = number.filter(|&n| super::layer_directory(n).as_bytes() == name);
                self.root_of(number.ok_or(Errno::NOENT)?)
            }
            Place::Inside(found) => {
                if found.inode.kind != FileKind::Directory {
                    return Err(Errno::NOTDIR);
                }
                let child = found.reader.find(&found.inode, name);
                let child = child.map_err(unreadable)?;
                Ok(described(self.ids, found.base, &child.ok_or(Errno::NOENT)?))
            }
        }
    }

    fn attributes(&self, node: u64) -> Result<Attributes> {
        Ok(match self.place(node)? {
            Place::Top => top(self.layers.len()),
            Place::Inside(found) => described(self.ids, found.base, &found.inode).1,
        })
    }

    fn read(&self, request: &ReadRequest, buffer: &mut [u8]) -> Result<usize> {
        let found = self.inside(request.node)?;
        if found.inode.kind != FileKind::File {
            return Err(Errno::INVAL);
        }
        let read = found.reader.read(&found.inode, request.offset, buffer);
        read.map_err(unreadable)
    }

    fn read_link(&self, node: u64) -> Result<Vec<u8>> {
        let found = self.inside(node)?;
        let target = found.reader.read_link(&found.inode);
        target.map_err(unreadable)
    }

    fn read_directory(&self, node: u64, position: u64, listing: &mut Listing<'_>) -> Result<()> {
        let found = match self.place(node)? {
            Place::Top => return self.list_top(position, listing),
            Place::Inside(found) => found,
        };
        let here = described(self.ids, found.base, &found.inode).1;
        for (name, at) in [(&b"."[..], 0), (b"..", 1)] {
            if position <= at && !listing.push(name, at + 1, (0, &here)) {
                return Ok(());
            }
        }
        // The first entry of an image stands at 0, every other one above 2.
        let position = if position <= 2 { 0 } else { position };
        let entries = found.reader.read_directory(&found.inode, position);
        for entry in entries.map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let inode = found.reader.inode(entry.nid);
            let inode = inode.map_err(unreadable)?;
            let (node, attributes) = described(self.ids, found.base, &inode);
            if !listing.push(&entry.name, entry.next, (node, &attributes)) {
                break;
            }
        }
        Ok(())
    }

    fn xattr(&self, node: u64, name: &[u8]) -> Result<Vec<u8>> {
        let Place::Inside(found) = self.place(node)? else {
            return Err(Errno::NODATA);
        };
        let xattrs = found.reader.xattrs(&found.inode);
        let mut xattrs = xattrs.map_err(unreadable)?.into_iter();
        let xattr = xattrs.find(|(stored, _)| self.is_same(name, stored));
        xattr.map(|(_, value)| value).ok_or(Errno::NODATA)
    }

    fn xattr_names(&self, node: u64) -> Result<Vec<u8>> {
        let Place::Inside(found) = self.place(node)? else {
            return Ok(Vec::new());
        };
        let xattrs = found.reader.xattrs(&found.inode);
        let mut names = Vec::new();
        for (name, _) in xattrs.map_err(unreadable)? {
            if let Some(name) = self.shown(name) {
                names.extend(name);
                names.push(0);
            }
        }
        Ok(names)
    }

    fn statistics(&self) -> Statistics {
        let bytes: u64 = self.layers.iter().map(Reader::image_bytes).sum();
        Statistics {
            block_bytes: 4096,
            blocks: bytes / 4096,
            files: self.layers.iter().map(Reader::inodes).sum(),
            name_bytes: 255,
        }
    }
}

fn base_of(number: usize) -> u64 {
    (number as u64 + 1) << NID_BITS
}

fn described(ids: Ids, base: u64, inode: &Inode) -> (u64, Attributes) {
    let node = base + inode.nid;
    // Of somebody who is not in this namespace nobody could write the file, not even its root.
    let (uid, gid) = ids.owner((inode.uid, inode.gid), (0, 0));
    let attributes = Attributes {
        inode: node,
        size: inode.size,
        mode: inode.mode(),
        links: inode.links,
        uid,
        gid,
        device: inode.device,
        modified: (inode.modified_seconds, inode.modified_nanoseconds),
    };
    (node, attributes)
}

fn top(layers: usize) -> Attributes {
    Attributes {
        inode: protocol::ROOT,
        mode: 0o040_555,
        links: u32::try_from(layers).unwrap_or(u32::MAX).saturating_add(2),
        ..Attributes::default()
    }
}

/// A damaged image is an input or output error, as it is when the kernel reads it.
fn unreadable(_error: Error) -> Errno {
    Errno::IO
}
