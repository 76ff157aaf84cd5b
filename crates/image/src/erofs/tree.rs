//! The tree of a layer in memory, while its archive is read: about 100 bytes for each file.
//!
//! Inodes, entries and names stand in arrays and name each other by index. One hash table finds an
//! entry by its directory and name. What is replaced or removed stays in the arrays, unreachable:
//! nothing is ever walked but from the root, at the end.
//!
//! Paths are followed as openat2(2) follows them with `RESOLVE_IN_ROOT`: symbolic links, absolute
//! and `..` included, as a process sees them that has the image as its root. Start at
//! [`Tree::parent`].

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use insula_sys::rustix::io::Errno;

use super::format::{FileKind, NAME_BYTES_MAX};
use crate::error::{Context, Error, Result};
use crate::timestamp::Timestamp;
use crate::unpack::{Budget, CleanName, shown};

pub(super) const ROOT: u32 = 0;
/// What the kernel follows in one path.
const LINKS_MAX: usize = 40;
/// Entry, its place in the table and in the final order.
const ENTRY_MEMORY_BYTES: usize = size_of::<Entry>() + 16;

/// Where the content is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    Directory {
        parent: u32,
        /// Nothing of the layers below shows through.
        opaque: bool,
        /// There are or were whiteouts among its entries.
        whiteouts: bool,
    },
    /// Contiguous blocks of the image.
    Blocks { first: u32 },
    /// Contiguous blocks, and the rest in [`Tree::bytes`].
    Inline { first: u32, tail: u32 },
    /// An index of the writer's chunk maps.
    Chunks { map: u32 },
    /// The target in [`Tree::bytes`], and in a block when it is too long to follow its inode.
    Symlink { target: u32, block: Option<u32> },
    /// A device or a fifo.
    Node { device: u32 },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Inode {
    pub(super) modified: Timestamp,
    pub(super) size: u64,
    pub(super) body: Body,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// An index of [`super::xattr::XattrSets`].
    pub(super) xattrs: u32,
    /// Counted at the end.
    pub(super) links: u32,
    /// Given at the end; 0 before, and for the root.
    pub(super) nid: u32,
    /// With the bits of `S_IFMT`.
    pub(super) mode: u16,
}

impl Inode {
    pub(super) fn kind(&self) -> FileKind {
        FileKind::of_mode(self.mode).unwrap_or(FileKind::File)
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    /// Overlayfs' mark of a deleted name.
    pub(super) fn is_whiteout(&self) -> bool {
        self.kind() == FileKind::Character && matches!(self.body, Body::Node { device: 0 })
    }
}

/// A name in a directory. The name's length stands in front of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) parent: u32,
    pub(super) name: u32,
    pub(super) inode: u32,
}

pub(super) struct Tree {
    pub(super) inodes: Vec<Inode>,
    pub(super) entries: Vec<Entry>,
    names: Vec<u8>,
    /// Targets of links and ends of files.
    bytes: Vec<u8>,
    table: HashTable<u32>,
    hasher: RandomState,
    /// The most recent parent: archives go directory by directory.
    last: Option<(Vec<u8>, u32)>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = directory_inode(ROOT, Timestamp::default());
        Self {
            inodes: vec![root],
            entries: Vec::new(),
            names: Vec::new(),
            bytes: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::new(),
            last: None,
        }
    }

    pub(super) fn inode(&self, index: u32) -> &Inode {
        &self.inodes[position(index)]
    }

    pub(super) fn inode_mut(&mut self, index: u32) -> &mut Inode {
        &mut self.inodes[position(index)]
    }

    pub(super) fn name(&self, entry: Entry) -> &[u8] {
        name_at(&self.names, entry.name)
    }

    /// What [`Tree::keep`] kept.
    pub(super) fn bytes(&self, start: u32, length: u64) -> &[u8] {
        let start = position(start);
        let end = start.saturating_add(usize::try_from(length).unwrap_or(0));
        self.bytes.get(start..end).unwrap_or_default()
    }

    pub(super) fn keep(&mut self, bytes: &[u8], budget: &mut Budget<'_>) -> Result<u32> {
        budget.pending(bytes.len())?;
        let start = index(self.bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(start)
    }

    /// Memory for finding names is not needed any more.
    pub(super) fn forget_names(&mut self) {
        self.table = HashTable::new();
        self.last = None;
    }

    pub(super) fn lookup(&self, directory: u32, name: &[u8]) -> Option<u32> {
        self.entry(directory, name)
            .map(|entry| self.entries[position(entry)].inode)
    }

    fn entry(&self, directory: u32, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one((directory, name));
        let found = self.table.find(hash, |&entry| {
            let entry = self.entries[position(entry)];
            entry.parent == directory && name_at(&self.names, entry.name) == name
        });
        found.copied()
    }

    pub(super) fn add_inode(&mut self, inode: Inode, budget: &mut Budget<'_>) -> Result<u32> {
        budget.pending(size_of::<Inode>())?;
        let number = index(self.inodes.len())?;
        self.inodes.push(inode);
        Ok(number)
    }

    /// Gives an inode a name; what had the name loses it, with everything below.
    pub(super) fn set(
        &mut self,
        directory: u32,
        name: &[u8],
        inode: u32,
        budget: &mut Budget<'_>,
    ) -> Result<()> {
        let Ok(length) = u8::try_from(name.len()) else {
            return Err(Errno::NAMETOOLONG).step(|| "give it its name");
        };
        if let Some(entry) = self.entry(directory, name) {
            let entry = position(entry);
            let kind = self.inode(self.entries[entry].inode).kind();
            if matches!(kind, FileKind::Directory | FileKind::Symlink) {
                self.last = None;
            }
            self.entries[entry].inode = inode;
            return Ok(());
        }
        budget.pending(ENTRY_MEMORY_BYTES + name.len() + 1)?;
        let number = index(self.entries.len())?;
        let start = index(self.names.len())?;
        self.names.push(length);
        self.names.extend_from_slice(name);
        self.entries.push(Entry {
            parent: directory,
            name: start,
            inode,
        });
        let Self {
            table,
            hasher,
            entries,
            names,
            ..
        } = self;
        let hash_of = |entry: &u32| {
            let entry = entries[position(*entry)];
            hasher.hash_one((entry.parent, name_at(names, entry.name)))
        };
        table.insert_unique(hash_of(&number), number, hash_of);
        Ok(())
    }

    /// The directory that holds `name`, made with mode 0755 where the archive left it out; then its
    /// time is `modified`.
    pub(super) fn parent(
        &mut self,
        name: &CleanName,
        modified: Timestamp,
        budget: &mut Budget<'_>,
    ) -> Result<u32> {
        let path = name.parent();
        if let Some((cached, parent)) = &self.last
            && cached == path
        {
            return Ok(*parent);
        }
        let parent = match self.directory(path) {
            Err(Errno::NOENT) => self.make_parents(path, modified, budget)?,
            other => other.map_err(|errno| explain_parent(path, errno))?,
        };
        self.last = Some((path.to_vec(), parent));
        Ok(parent)
    }

    /// The directory at a path, links followed.
    pub(super) fn directory(&self, path: &[u8]) -> Result<u32, Errno> {
        self.follow(ROOT, path, &mut 0)
    }

    /// Goes on from `start`; `links` counts what was followed on the way.
    fn follow(&self, start: u32, path: &[u8], links: &mut usize) -> Result<u32, Errno> {
        let mut directory = start;
        // What is left of the path, and above it of the links it led to.
        let mut pending = vec![path];
        while let Some(rest) = pending.pop() {
            let (component, rest) = match rest.iter().position(|&byte| byte == b'/') {
                Some(slash) => (&rest[..slash], &rest[slash + 1..]),
                None => (rest, &[][..]),
            };
            if !rest.is_empty() {
                pending.push(rest);
            }
            match component {
                b"" | b"." => continue,
                b".." => {
                    directory = self.parent_of(directory);
                    continue;
                }
                _ if component.len() > NAME_BYTES_MAX => return Err(Errno::NAMETOOLONG),
                _ => {}
            }
            let found = self.lookup(directory, component).ok_or(Errno::NOENT)?;
            match self.inode(found).body {
                Body::Directory { .. } => directory = found,
                Body::Symlink { target, .. } => {
                    *links += 1;
                    if *links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = self.bytes(target, self.inode(found).size);
                    if target.starts_with(b"/") {
                        directory = ROOT;
                    }
                    pending.push(target);
                }
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(directory)
    }

    pub(super) fn parent_of(&self, directory: u32) -> u32 {
        match self.inode(directory).body {
            Body::Directory { parent, .. } => parent,
            _ => ROOT,
        }
    }

    fn make_parents(
        &mut self,
        path: &[u8],
        modified: Timestamp,
        budget: &mut Budget<'_>,
    ) -> Result<u32> {
        let mut directory = ROOT;
        let mut links = 0;
        let mut end = 0;
        for component in path.split(|&byte| byte == b'/') {
            end += component.len();
            let explain = |errno| explain_parent(&path[..end], errno);
            if component.len() > NAME_BYTES_MAX {
                return Err(explain(Errno::NAMETOOLONG));
            }
            directory = if self.lookup(directory, component).is_some() {
                let next = self.follow(directory, component, &mut links);
                next.map_err(explain)?
            } else {
                let made = self.add_inode(directory_inode(directory, modified), budget)?;
                self.set(directory, component, made, budget)?;
                made
            };
            end += 1;
        }
        Ok(directory)
    }

    /// Whether `directory` is `ancestor` or below it.
    pub(super) fn is_below(&self, mut directory: u32, ancestor: u32) -> bool {
        while directory != ancestor {
            if directory == ROOT {
                return false;
            }
            directory = self.parent_of(directory);
        }
        true
    }
}

pub(super) fn directory_inode(parent: u32, modified: Timestamp) -> Inode {
    Inode {
        modified,
        size: 0,
        body: Body::Directory {
            parent,
            opaque: false,
            whiteouts: false,
        },
        uid: 0,
        gid: 0,
        xattrs: 0,
        links: 0,
        nid: 0,
        mode: FileKind::Directory.mode_bits() | 0o755,
    }
}

fn name_at(names: &[u8], start: u32) -> &[u8] {
    let start = position(start);
    let length = usize::from(names[start]);
    &names[start + 1..start + 1 + length]
}

/// An index into an array of ours.
pub(super) fn position(index: u32) -> usize {
    // Never fails: no target of ours has addresses of 16 bits.
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn index(length: usize) -> Result<u32> {
    u32::try_from(length)
        .map_err(|_too_large| Error::invalid("the layer has more than 4 GiB of metadata"))
}

fn explain_parent(path: &[u8], errno: Errno) -> Error {
    let path = shown(path);
    let reason = match errno {
        Errno::NOTDIR => "is not a directory in this archive",
        Errno::LOOP => "is a loop of symbolic links",
        Errno::NOENT => "is a symbolic link that leads nowhere inside the image",
        _ => {
            let failed: Result<()> = Err(errno).step(|| format!("open parent `{path}`"));
            if let Err(error) = failed {
                return error;
            }
            "cannot be opened"
        }
    };
    Error::invalid(format!("parent `{path}` {reason}"))
}
