//! Digests of the context's files, remembered by what stat(2) says of them.
//!
//! ```text
//!  insula-context 1
//!  <device> <inode> <size> <mtime ns> <ctime ns> <digest> <path>
//! ```
//!
//! A file whose six numbers are the same has the same content, provided that it was last changed
//! well before it was digested: a change within the clock's granularity would not be seen. A list
//! that cannot be read, or of another version, is as good as none.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use insula_container::error::{Context, Error, Result};
use insula_image::{BuildCache, Digest, Hasher};
use insula_sys::rustix::fs::OFlags;

use super::source::{Entry, Match};

const HEADER: &str = "insula-context 1";
/// A file changed more recently than this is digested again the next time.
const RACY_NS: i128 = 1_000_000_000;
const BUFFER_BYTES: usize = 128 << 10;

/// What stat(2) says of a file.
type Stat = [i128; 5];

/// The digests of one context.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// Where they are remembered; nowhere for a context that comes and goes.
    home: Option<(BuildCache, Digest)>,
    known: HashMap<String, (Stat, Digest)>,
    is_changed: bool,
    buffer: Vec<u8>,
}

impl Digests {
    /// Those of the context at `path`.
    pub(super) fn open(cache: &BuildCache, path: &Path) -> Self {
        let name = Digest::of(super::tree::bytes(path));
        let text = std::fs::read_to_string(cache.context_path(&name)).unwrap_or_default();
        Self {
            home: Some((cache.clone(), name)),
            known: parse(&text).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The digest of a file at `path` of the context.
    pub(super) fn of_file(&mut self, path: &Path, found: &Match, entry: &Entry) -> Result<Digest> {
        let stat = stat_of(&entry.metadata);
        // A name that is no text, or breaks the line, is not remembered.
        let name = path.to_str().filter(|name| !name.contains('\n'));
        if let Some(name) = name
            && let Some((known, digest)) = self.known.get(name)
            && *known == stat
        {
            return Ok(*digest);
        }
        let digest = self.read(&found.path_of(entry), path)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
        if let Some(name) = name
            && self.home.is_some()
            && stat[4] + RACY_NS < now
        {
            self.known.insert(name.to_owned(), (stat, digest));
            self.is_changed = true;
        }
        Ok(digest)
    }

    fn read(&mut self, path: &Path, shown: &Path) -> Result<Digest> {
        let step = || format!("read {}", shown.display());
        // Its kind may have changed since it was looked at: no following, no waiting for a fifo.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let is_itself = path.parent().is_some_and(|parent| parent.ends_with("fd"));
        let flags = if is_itself { OFlags::NONBLOCK } else { flags };
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let mut file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .step(step)?;
        if !file.metadata().step(step)?.is_file() {
            return Err(Error::new(format!(
                "{} is replaced while it is read",
                shown.display()
            )));
        }
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut hasher = Hasher::default();
        loop {
            let count = file.read(&mut self.buffer).step(step)?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&self.buffer[..count]);
        }
    }

    /// Writes down what is new. A failure costs time in the next build and nothing else.
    pub(super) fn save(&mut self) {
        let Some((cache, name)) = self.home.as_ref().filter(|_| self.is_changed) else {
            return;
        };
        let mut text = format!("{HEADER}\n");
        for (path, (stat, digest)) in &self.known {
            for number in stat {
                text.push_str(&number.to_string());
                text.push(' ');
            }
            text.push_str(&digest.hex());
            text.push(' ');
            text.push_str(path);
            text.push('\n');
        }
        let _ = cache.put_context(name, text.as_bytes());
        self.is_changed = false;
    }
}

fn stat_of(metadata: &std::fs::Metadata) -> Stat {
    let at = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
    };
    [
        i128::from(metadata.dev()),
        i128::from(metadata.ino()),
        i128::from(metadata.size()),
        at(metadata.mtime(), metadata.mtime_nsec()),
        at(metadata.ctime(), metadata.ctime_nsec()),
    ]
}

fn parse(text: &str) -> Option<HashMap<String, (Stat, Digest)>> {
    let rest = text.strip_prefix(HEADER)?.strip_prefix('\n')?;
    let mut known = HashMap::new();
    for line in rest.lines() {
        let mut fields = line.splitn(7, ' ');
        let mut stat = Stat::default();
        for number in &mut stat {
            *number = fields.next()?.parse().ok()?;
        }
        let digest = Digest::from_hex(fields.next()?)?;
        known.insert(fields.next()?.to_owned(), (stat, digest));
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_list_stays_readable() {
        let hex = Digest::of(b"x").hex();
        let text = format!("{HEADER}\n1 2 3 -4 5 {hex} a b/c\n");
        let known = parse(&text).unwrap();
        assert_eq!(known["a b/c"], ([1, 2, 3, -4, 5], Digest::of(b"x")));
        for damaged in [
            "",
            "insula-context 2\n",
            "insula-context 1\n1 2 3\n",
            "insula-context 1\n1 2 3 4 5 zz a\n",
        ] {
            assert!(
                parse(damaged).is_none_or(|known| known.is_empty()),
                "{damaged}"
            );
        }
    }
}
