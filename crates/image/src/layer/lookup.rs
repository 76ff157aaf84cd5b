//! Looks into the union of an image's layers without mounting it: for the few files that must be
//! known before a container is made, such as `/etc/passwd`.
//!
//! A directory of the union is the directories of that name in every layer, from the uppermost
//! down to one that is opaque or hidden. Links are followed inside the union, as a process with the
//! image as its root would follow them. Start reading at [`UnionView::find`].

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use insula_sys::rustix::fs::{FileType, Mode, OFlags, fgetxattr, fstat, open, openat, readlinkat};
use insula_sys::rustix::io::Errno;

use super::{Layer, LayerForm};
use crate::erofs::{FileKind, Inode, Reader};
use crate::error::{Context, Error, Result};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;
const FILE_BYTES_MAX: u64 = 4 << 20;
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// The layers of an image, open.
#[derive(Debug)]
pub struct UnionView {
    /// The uppermost first.
    layers: Vec<View>,
}

/// What is known of a place in the union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceInfo {
    pub is_directory: bool,
    /// With set-user-id, set-group-id and sticky; nothing above.
    pub permissions: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug)]
enum View {
    Erofs(Reader<File>),
    Directory(OwnedFd),
}

/// A file in one layer.
enum Node {
    Erofs(Inode),
    Directory(OwnedFd),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeKind {
    File,
    Directory,
    Symlink,
    /// Hides what is below.
    Whiteout,
    Other,
}

/// A place of the union: one node, or the nodes of a directory by layer.
struct Place {
    kind: NodeKind,
    nodes: Vec<(usize, Node)>,
}

impl UnionView {
    /// Opens the layers, which come lowest first.
    ///
    /// # Errors
    /// A layer cannot be opened or is damaged.
    pub fn open(layers: &[Layer]) -> Result<Self> {
        let open_layer = |layer: &Layer| -> Result<View> {
            let step = || format!("open layer {}", layer.form.path().display());
            match &layer.form {
                LayerForm::Erofs(path) => {
                    let file = File::open(path).step(step)?;
                    Reader::open(file).step(step).map(View::Erofs)
                }
                LayerForm::Directory(path) => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    open(path, flags, Mode::empty())
                        .step(step)
                        .map(View::Directory)
                }
            }
        };
        let layers = layers.iter().rev().map(open_layer);
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
        })
    }

    /// Reads a regular file; `None` when there is none.
    ///
    /// # Errors
    /// It is something else, larger than 4 MiB, or cannot be read.
    pub fn read_file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(place) = self.find(path)? else {
            return Ok(None);
        };
        let wrong = || {
            let limit = "is not a regular file of at most 4 MiB";
            Error::invalid(format!("/{path} of the image {limit}"))
        };
        let Some((number, node)) = place.nodes.into_iter().next() else {
            return Ok(None);
        };
        if place.kind != NodeKind::File {
            return Err(wrong());
        }
        let content = self.layers[number].read(&node)?;
        content.ok_or_else(wrong).map(Some)
    }

    /// Who owns a place; `None` when there is none. The last component is not followed.
    ///
    /// # Errors
    /// A layer is damaged or cannot be read.
    pub fn look_at(&self, path: &str) -> Result<Option<PlaceInfo>> {
        let place = self.walk(path, false)?;
        let first = place.and_then(|place| {
            let node = place.nodes.into_iter().next()?;
            Some((place.kind, node))
        });
        let Some((kind, (_, node))) = first else {
            return Ok(None);
        };
        let (permissions, uid, gid) = match &node {
            Node::Erofs(inode) => (inode.permissions, inode.uid, inode.gid),
            Node::Directory(file) => {
                let stat = fstat(file).step(|| format!("look at /{path} of the image"))?;
                (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid)
            }
        };
        Ok(Some(PlaceInfo {
            is_directory: kind == NodeKind::Directory,
            permissions,
            uid,
            gid,
        }))
    }

    fn find(&self, path: &str) -> Result<Option<Place>> {
        self.walk(path, true)
    }

    fn walk(&self, path: &str, follow_last: bool) -> Result<Option<Place>> {
        let mut names = Vec::new();
        push_names(&mut names, path.as_bytes());
        let mut way = vec![self.root()?];
        let mut links = 0;
        while let Some(name) = names.pop() {
            if name == b".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let Some(top) = way.last() else { break };
            let Some(found) = self.child(top, &name)? else {
                return Ok(None);
            };
            match found.kind {
                NodeKind::Directory => way.push(found),
                NodeKind::Symlink if follow_last || !names.is_empty() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Ok(None);
                    }
                    let target = self.target(&found)?;
                    if target.first() == Some(&b'/') {
                        way.truncate(1);
                    }
                    push_names(&mut names, &target);
                }
                _ if names.is_empty() => return Ok(Some(found)),
                _ => return Ok(None),
            }
        }
        Ok(way.pop())
    }

    fn root(&self) -> Result<Place> {
        let mut nodes = Vec::with_capacity(self.layers.len());
        for (number, layer) in self.layers.iter().enumerate() {
            let node = layer.root()?;
            let is_opaque = layer.is_opaque(&node);
            nodes.push((number, node));
            if is_opaque {
                break;
            }
        }
        Ok(Place {
            kind: NodeKind::Directory,
            nodes,
        })
    }

    fn child(&self, parent: &Place, name: &[u8]) -> Result<Option<Place>> {
        let mut nodes = Vec::new();
        for (number, directory) in &parent.nodes {
            let layer = &self.layers[*number];
            let Some((kind, node)) = layer.child(directory, name)? else {
                continue;
            };
            match kind {
                NodeKind::Whiteout => break,
                NodeKind::Directory => {
                    let is_opaque = layer.is_opaque(&node);
                    nodes.push((*number, node));
                    if is_opaque {
                        break;
                    }
                }
                // A directory above hides it; nothing shines through it.
                _ if !nodes.is_empty() => break,
                kind => {
                    let nodes = vec![(*number, node)];
                    return Ok(Some(Place { kind, nodes }));
                }
            }
        }
        let kind = NodeKind::Directory;
        Ok((!nodes.is_empty()).then_some(Place { kind, nodes }))
    }

    fn target(&self, link: &Place) -> Result<Vec<u8>> {
        match link.nodes.first() {
            Some((number, node)) => self.layers[*number].target(node),
            None => Ok(Vec::new()),
        }
    }
}

/// Puts the components of a path in front of what is to be walked, the last of which comes first.
fn push_names(names: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|&byte| byte == b'/');
    let parts = parts.filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
    names.extend(parts.into_iter().rev());
}

impl View {
    fn root(&self) -> Result<Node> {
        match self {
            Self::Erofs(reader) => reader.root().map(Node::Erofs),
            Self::Directory(root) => {
                let copied = root.try_clone().step(|| "open the root of a layer")?;
                Ok(Node::Directory(copied))
            }
        }
    }

    fn child(&self, directory: &Node, name: &[u8]) -> Result<Option<(NodeKind, Node)>> {
        match (self, directory) {
            (Self::Erofs(reader), Node::Erofs(directory)) => {
                let found = reader.find(directory, name)?;
                Ok(found.map(|inode| (kind_of_inode(&inode), Node::Erofs(inode))))
            }
            (_, Node::Directory(directory)) => child_below(directory, name),
            (Self::Directory(_), Node::Erofs(_)) => Ok(None),
        }
    }

    fn is_opaque(&self, directory: &Node) -> bool {
        match (self, directory) {
            (Self::Erofs(reader), Node::Erofs(inode)) => {
                let xattrs = reader.xattrs(inode).unwrap_or_default();
                let mut xattrs = xattrs.iter();
                xattrs.any(|(name, value)| {
                    OPAQUE.iter().any(|opaque| opaque.as_bytes() == name) && value == b"y"
                })
            }
            (_, Node::Directory(directory)) => OPAQUE.iter().any(|name| {
                let mut value = [0_u8; 2];
                let length = fgetxattr(directory, *name, &mut value);
                length.is_ok_and(|length| value.get(..length) == Some(b"y"))
            }),
            (Self::Directory(_), Node::Erofs(_)) => false,
        }
    }

    fn target(&self, link: &Node) -> Result<Vec<u8>> {
        match (self, link) {
            (Self::Erofs(reader), Node::Erofs(inode)) => reader.read_link(inode),
            (_, Node::Directory(link)) => readlinkat(link, "", Vec::new())
                .step(|| "read a link of the image")
                .map(std::ffi::CString::into_bytes),
            (Self::Directory(_), Node::Erofs(_)) => Ok(Vec::new()),
        }
    }

    /// The content of a regular file; `None` when it is too large.
    fn read(&self, file: &Node) -> Result<Option<Vec<u8>>> {
        let step = || "read a file of the image";
        match (self, file) {
            (Self::Erofs(reader), Node::Erofs(inode)) => {
                if inode.size > FILE_BYTES_MAX {
                    return Ok(None);
                }
                let mut content = vec![0; usize::try_from(inode.size).unwrap_or(0)];
                let length = reader.read(inode, 0, &mut content)?;
                content.truncate(length);
                Ok(Some(content))
            }
            (_, Node::Directory(file)) => {
                // It was looked at with O_PATH, so that a fifo is not opened.
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                let opened = File::open(path).step(step)?;
                if opened.metadata().step(step)?.len() > FILE_BYTES_MAX {
                    return Ok(None);
                }
                let mut content = Vec::new();
                let read = opened.take(FILE_BYTES_MAX).read_to_end(&mut content);
                read.step(step)?;
                Ok(Some(content))
            }
            (Self::Directory(_), Node::Erofs(_)) => Ok(None),
        }
    }
}

fn kind_of_inode(inode: &Inode) -> NodeKind {
    match inode.kind {
        FileKind::File => NodeKind::File,
        FileKind::Directory => NodeKind::Directory,
        FileKind::Symlink => NodeKind::Symlink,
        FileKind::Character if inode.device == (0, 0) => NodeKind::Whiteout,
        _ => NodeKind::Other,
    }
}

fn child_below(directory: &OwnedFd, name: &[u8]) -> Result<Option<(NodeKind, Node)>> {
    let name = std::ffi::OsStr::from_bytes(name);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let step = || "look into a layer";
    let found = match openat(directory, name, flags, Mode::empty()) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno).step(step),
    };
    let stat = fstat(&found).step(step)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => NodeKind::File,
        FileType::Symlink => NodeKind::Symlink,
        FileType::CharacterDevice if stat.st_rdev == 0 => NodeKind::Whiteout,
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = openat(directory, name, flags, Mode::empty()).step(step)?;
            return Ok(Some((NodeKind::Directory, Node::Directory(opened))));
        }
        _ => NodeKind::Other,
    };
    Ok(Some((kind, Node::Directory(found))))
}
