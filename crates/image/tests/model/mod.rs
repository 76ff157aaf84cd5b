//! Random layers, and a model of what their union must be, which shares nothing with the code under
//! test: a map of paths that each layer's entries change by the words of image-spec, layer.md.

use std::collections::BTreeMap;

use super::archive::{Archive, header, sealed};

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.below(list.len() as u64);
        &list[usize::try_from(index).unwrap()]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    kind: Kind,
    mode: u64,
    uid: u64,
    gid: u64,
    time: u64,
    /// Files of one layer that are one, and how many names they had there.
    group: Option<(usize, usize)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(String),
}

pub(crate) type Tree = BTreeMap<String, Node>;

pub(crate) struct Model;

impl Model {
    /// As `snapshot` describes a tree.
    pub(crate) fn describe(tree: &Tree) -> BTreeMap<Vec<u8>, String> {
        let mut sizes: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut first: BTreeMap<(usize, usize), String> = BTreeMap::new();
        for (path, node) in tree {
            if let Some(group) = node.group {
                *sizes.entry(group).or_default() += 1;
                first.entry(group).or_insert_with(|| path.clone());
            }
        }
        let line = |node: &Node| {
            let (kind, more) = match &node.kind {
                Kind::Directory => (0o040_000, String::new()),
                Kind::File(content) => {
                    let digest = insula_image::Digest::of(content);
                    (0o100_000, format!(" {} {digest}", content.len()))
                }
                Kind::Symlink(target) => (0o120_000, format!(" -> {target:?}")),
            };
            let mode = match node.kind {
                Kind::Symlink(_) => 0o777,
                _ => node.mode,
            };
            let link = node
                .group
                .map(|group| format!(" = {:?}", first[&group].as_bytes()));
            format!(
                "{:o} {}:{} {}.{:09} 0{more}{}",
                kind | mode,
                node.uid,
                node.gid,
                node.time,
                0,
                link.unwrap_or_default()
            )
        };
        let lines = tree
            .iter()
            .map(|(path, node)| (path.clone().into_bytes(), line(node)));
        lines.collect()
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Archives of layers, lowest first, and their union. With `conflicts` a layer may have a name and
/// its whiteout, which image-spec gives a meaning that not every engine follows.
pub(crate) fn layers(seed: u64, count: usize, conflicts: bool) -> (Vec<Vec<u8>>, Tree) {
    let mut random = Random(seed);
    let mut tree = Tree::new();
    let mut tars = Vec::new();
    for number in 0..count {
        let mut layer = Layer {
            number,
            archive: Archive::default(),
            own: Tree::new(),
            groups: 0,
            hidden: Vec::new(),
            opaque: Vec::new(),
            conflicts,
        };
        layer.add_root(&mut random);
        for _ in 0..4 + random.below(14) {
            layer.entry(&mut random, &tree);
        }
        tree = layer.over(tree);
        tars.push(layer.archive.end());
    }
    (tars, tree)
}

struct Layer {
    number: usize,
    archive: Archive,
    own: Tree,
    groups: usize,
    hidden: Vec<String>,
    opaque: Vec<String>,
    conflicts: bool,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn below<'t>(tree: &'t Tree, path: &str) -> Vec<&'t String> {
    let prefix = format!("{path}/");
    let all = path.is_empty();
    let names = tree.keys();
    names
        .filter(|name| {
            if all {
                !name.is_empty()
            } else {
                name.starts_with(&prefix)
            }
        })
        .collect()
}

impl Layer {
    fn node(&self, random: &mut Random, kind: Kind) -> Node {
        Node {
            mode: match kind {
                Kind::Directory => *random.pick(&[0o755, 0o700, 0o1777, 0o2775]),
                _ => *random.pick(&[0o644, 0o600, 0o4755, 0o755]),
            },
            kind,
            uid: random.below(3) * 1000,
            gid: random.below(3) * 100,
            time: 1_000_000_000 + random.below(1000),
            group: None,
        }
    }

    fn add_root(&mut self, random: &mut Random) {
        let root = self.node(random, Kind::Directory);
        self.put("./", b'5', &root, "", b"");
        self.own.insert(String::new(), root);
    }

    fn put(&mut self, name: &str, flag: u8, node: &Node, link: &str, content: &[u8]) {
        let mut block = header(name.as_bytes(), flag, content.len() as u64, link.as_bytes());
        let mut number = |at: usize, digits: usize, value: u64| {
            let text = format!("{value:0digits$o}");
            block[at..at + digits].copy_from_slice(text.as_bytes());
        };
        number(100, 7, node.mode);
        number(108, 7, node.uid);
        number(116, 7, node.gid);
        number(136, 11, node.time);
        let archive = std::mem::take(&mut self.archive);
        let archive = archive.raw(&sealed(block)).raw(content);
        self.archive = archive.raw(&vec![
            0;
            content.len().next_multiple_of(512) - content.len()
        ]);
    }

    /// Whether the name must stay free, because the layer hides what is below.
    fn is_refused(&self, path: &str) -> bool {
        !self.conflicts && self.hidden.iter().any(|hidden| hidden == path)
    }

    /// Directories on the way are entries of the layer, too, as every builder writes them.
    fn add_parents(&mut self, random: &mut Random, path: &str) -> bool {
        let directory = parent(path).to_owned();
        match self.own.get(&directory) {
            Some(node) => return node.kind == Kind::Directory,
            None if self.is_refused(&directory) => return false,
            None => {}
        }
        if !self.add_parents(random, &directory) {
            return false;
        }
        let node = self.node(random, Kind::Directory);
        self.put(&format!("{directory}/"), b'5', &node, "", b"");
        self.own.insert(directory, node);
        true
    }

    fn entry(&mut self, random: &mut Random, below_tree: &Tree) {
        let mut path = random.pick(&NAMES).to_string();
        for _ in 0..random.below(3) {
            path = format!("{path}/{}", random.pick(&NAMES));
        }
        let choice = random.below(10);
        if choice == 0 {
            return self.hide(random, below_tree);
        }
        if choice == 1 {
            return self.close(random, below_tree);
        }
        let is_taken = self.own.contains_key(&path) || self.is_refused(&path);
        if is_taken || !self.add_parents(random, &path) {
            return;
        }
        let files = self
            .own
            .iter()
            .filter(|(_, node)| matches!(node.kind, Kind::File(_)));
        let files: Vec<String> = files.map(|(path, _)| path.clone()).collect();
        let node = match choice {
            2 => {
                let target = random.pick(&["a", "../b", "/c/d", "nowhere"]).to_string();
                let node = self.node(random, Kind::Symlink(target.clone()));
                self.put(&path, b'2', &node, &target, b"");
                node
            }
            3 | 4 if !files.is_empty() => {
                let target = random.pick(&files).clone();
                let groups = &mut self.groups;
                let number = self.number;
                let first = self.own.get_mut(&target).unwrap();
                let group = *first.group.get_or_insert_with(|| {
                    *groups += 1;
                    (number, *groups)
                });
                let mut node = first.clone();
                node.group = Some(group);
                self.put(&path, b'1', &node, &target, b"");
                node
            }
            5 => {
                let node = self.node(random, Kind::Directory);
                self.put(&format!("{path}/"), b'5', &node, "", b"");
                node
            }
            _ => {
                let length = usize::try_from(*random.pick(&[0, 1, 100, 5000, 70_000])).unwrap();
                let byte = u8::try_from(random.below(256)).unwrap();
                let content = vec![byte; length];
                let node = self.node(random, Kind::File(content.clone()));
                self.put(&path, b'0', &node, "", &content);
                node
            }
        };
        self.own.insert(path, node);
    }

    /// A whiteout of something below, or of nothing: also inside an opaque directory, in one that
    /// no other layer has, and of a name that this layer has itself, which then hides only what is
    /// below.
    fn hide(&mut self, random: &mut Random, tree: &Tree) {
        let names = below(tree, "");
        let path = match random.below(4) {
            1.. if !names.is_empty() => random.pick(&names).to_string(),
            _ => format!("{}/{}", random.pick(&NAMES), random.pick(&NAMES)),
        };
        let is_taken = !self.conflicts && self.own.contains_key(&path);
        if is_taken || self.hidden.contains(&path) || !self.add_parents(random, &path) {
            return;
        }
        let (directory, name) = (parent(&path), path.rsplit('/').next().unwrap());
        let marker = match directory {
            "" => format!(".wh.{name}"),
            directory => format!("{directory}/.wh.{name}"),
        };
        let node = self.node(random, Kind::File(Vec::new()));
        self.put(&marker, b'0', &node, "", b"");
        self.hidden.push(path);
    }

    /// An opaque directory: nothing of the layers below is in it.
    fn close(&mut self, random: &mut Random, tree: &Tree) {
        let directories = tree
            .iter()
            .filter(|(path, node)| !path.is_empty() && node.kind == Kind::Directory);
        let directories: Vec<String> = directories.map(|(path, _)| path.clone()).collect();
        if directories.is_empty() {
            return;
        }
        let path = random.pick(&directories).clone();
        let inside = format!("{path}/x");
        if self.opaque.contains(&path) || !self.add_parents(random, &inside) {
            return;
        }
        let node = self.node(random, Kind::File(Vec::new()));
        self.put(&format!("{path}/.wh..wh..opq"), b'0', &node, "", b"");
        self.opaque.push(path);
    }

    /// The union of this layer over a tree.
    fn over(&self, mut tree: Tree) -> Tree {
        let remove_below = |tree: &mut Tree, path: &str| {
            let names: Vec<String> = below(tree, path).into_iter().cloned().collect();
            for name in names {
                tree.remove(&name);
            }
        };
        for path in &self.hidden {
            remove_below(&mut tree, path);
            tree.remove(path);
        }
        for path in &self.opaque {
            remove_below(&mut tree, path);
        }
        for (path, node) in &self.own {
            let stays = matches!(tree.get(path), Some(old) if old.kind == Kind::Directory)
                && node.kind == Kind::Directory;
            if !stays {
                remove_below(&mut tree, path);
            }
            // Two names in this layer, however many there were before.
            tree.insert(path.clone(), node.clone());
        }
        tree
    }
}
