//! Reading and writing the records of `format.rs`.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use insula_sys::Errno;
use insula_sys::rustix::fs::{
    Access, AtFlags, CWD, FlockOperation, Mode, OFlags, accessat, flock, mkdirat, open, openat,
    unlinkat,
};
use insula_sys::rustix::io::write;

use crate::error::{Context, Error, Kind, Result};
use crate::format::{Phase, Record, START_SOCKET, STARTED_FILE, STATE_FILE, VERSION};

/// The open directory of one container.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
}

/// Ids are names of directories and cgroups: letters, digits and `_ + - .`
pub(crate) fn check_id(id: &str) -> Result<()> {
    const LENGTH_MAX: usize = 1024;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    let wrong = match id.bytes().find(|byte| !allowed(*byte)) {
        Some(byte) => format!(
            "invalid character {:?} in the container ID",
            char::from(byte)
        ),
        None if id.is_empty() => "the container ID is empty".to_owned(),
        None if id.starts_with('.') => "the container ID starts with a dot".to_owned(),
        None if id.len() > LENGTH_MAX => "the container ID is too long".to_owned(),
        None => return Ok(()),
    };
    Err(
        Error::new(format!("invalid container id format: {id:?}: {wrong}"))
            .hint("use letters, digits and the characters _ + - ."),
    )
}

fn does_not_exist(id: &str) -> Error {
    Error::new(format!("container does not exist: {id:?}")).kind(Kind::NotFound)
}

const CREATED: &str = "created";
const RUNNING: &str = "running";

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Directory {
    /// Makes the directory of a new container and takes its lock.
    pub(crate) fn create(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(id);
        let mode = Mode::from_raw_mode(0o711);
        match mkdirat(CWD, &path, mode) {
            Err(Errno::NOENT) => {
                make_root(root)?;
                mkdirat(CWD, &path, mode)
            }
            other => other,
        }
        .map_err(|errno| match errno {
            Errno::EXIST => Error::new(format!("container with given ID already exists: {id:?}"))
                .kind(Kind::Exists)
                .hint("delete it first, or choose another id"),
            errno => Error::from(errno).within(format!("make {}", path.display())),
        })?;
        let directory = Self::open_path(path)?;
        flock(&directory.fd, FlockOperation::NonBlockingLockExclusive)
            .step(|| format!("lock {}", directory.path.display()))?;
        Ok(directory)
    }

    pub(crate) fn open(root: &Path, id: &str) -> Result<Self> {
        check_id(id)?;
        let path = root.join(id);
        match open(&path, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Self { path, fd }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(does_not_exist(id)),
            Err(errno) => Err(errno).step(|| format!("open {}", path.display())),
        }
    }

    fn open_path(path: PathBuf) -> Result<Self> {
        let fd =
            open(&path, DIRECTORY, Mode::empty()).step(|| format!("open {}", path.display()))?;
        Ok(Self { path, fd })
    }

    /// Whether the creator is still at work. On true the lock is free again.
    pub(crate) fn is_abandoned(&self) -> bool {
        let free = flock(&self.fd, FlockOperation::NonBlockingLockExclusive).is_ok();
        if free {
            let _ = flock(&self.fd, FlockOperation::Unlock);
        }
        free
    }

    /// Writes the record and the configuration. Both are complete before anything else is made, so
    /// a file cut short by a kill belongs to a container of which nothing exists yet.
    pub(crate) fn write_record(&self, record: &Record, config: &[u8]) -> Result<()> {
        let mut bytes = serde_json::to_vec(record).step(|| "write the container's record")?;
        bytes.push(b'\n');
        bytes.extend_from_slice(config);
        self.write_new(STATE_FILE, &bytes)
    }

    /// Adds which process it is, once it exists. A file of its own would cost a write to disk where
    /// the state directory is not on a tmpfs.
    pub(crate) fn write_process(&self, record: &Record) -> Result<()> {
        let Record { pid, pid_start, .. } = record;
        let phase = match record.phase {
            Phase::Running => RUNNING,
            _ => CREATED,
        };
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
        let file = openat(&self.fd, STATE_FILE, flags, Mode::empty());
        let step = || format!("write {}/{STATE_FILE}", self.path.display());
        let line = format!("\n{pid} {pid_start} {phase}\n");
        write_whole(&file.step(step)?, line.as_bytes()).step(step)
    }

    /// Notes that a created container has been told to start.
    pub(crate) fn write_started(&self) -> Result<()> {
        self.write_new(STARTED_FILE, b"")
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let step = || format!("write {}/{name}", self.path.display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::from_raw_mode(0o600)).step(step)?;
        write_whole(&file, bytes).step(step)
    }

    pub(crate) fn read_record(&self) -> Result<Record> {
        let bytes = self.read_file(STATE_FILE)?.unwrap_or_default();
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return Err(does_not_exist(&self.name()));
        };
        let mut record: Record = serde_json::from_slice(&bytes[..end])
            .step(|| format!("read {}/{STATE_FILE}", self.path.display()))?;
        if record.version > VERSION {
            return Err(Error::new(format!(
                "{}/{STATE_FILE} has version {}, this program reads up to {VERSION}",
                self.path.display(),
                record.version
            )));
        }
        if let (_, Some((pid, start, phase))) = split_process(&bytes[end + 1..]) {
            (record.pid, record.pid_start, record.phase) = (pid, start, phase);
        }
        if record.phase == Phase::Created
            && accessat(&self.fd, STARTED_FILE, Access::EXISTS, AtFlags::empty()).is_ok()
        {
            record.phase = Phase::Running;
        }
        Ok(record)
    }

    /// The configuration as it was given.
    pub(crate) fn read_config(&self) -> Result<Vec<u8>> {
        let mut bytes = self.read_file(STATE_FILE)?.unwrap_or_default();
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(bytes.len(), |end| end + 1);
        let mut config = bytes.split_off(end);
        config.truncate(split_process(&config).0);
        Ok(config)
    }

    fn read_file(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let step = || format!("read {}/{name}", self.path.display());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.step(step)?,
        };
        let mut bytes = Vec::with_capacity(4096);
        File::from(file).read_to_end(&mut bytes).step(step)?;
        Ok(Some(bytes))
    }

    fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    pub(crate) fn remove_start_socket(&self) {
        // Already gone is as good.
        let _ = unlinkat(&self.fd, START_SOCKET, AtFlags::empty());
    }

    /// Removes the directory and all in it. The record goes after what it describes is gone: while
    /// it is there, a command that is killed can be followed by another that finishes its work.
    pub(crate) fn remove(&self) -> Result<()> {
        match unlinkat(&self.fd, STATE_FILE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            other => other.step(|| format!("remove {}/{STATE_FILE}", self.path.display()))?,
        }
        match unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY) => std::fs::remove_dir_all(&self.path)
                .step(|| format!("remove {}", self.path.display())),
            other => other.step(|| format!("remove {}", self.path.display())),
        }
    }

    /// `/proc/self/fd/N/name`: short enough for a socket address however deep the root is.
    pub(crate) fn short_path(&self, name: &str) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}/{name}", self.fd.as_fd().as_raw_fd())
    }
}

fn make_root(root: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(root)
        .step(|| format!("make the state directory {}", root.display()))
}

fn write_whole(file: &OwnedFd, mut bytes: &[u8]) -> insula_sys::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[write(file, bytes)?..];
    }
    Ok(())
}

/// Tells the line of [`Directory::write_process`] from the configuration before it, whose length is
/// the first result. No JSON text ends like such a line.
fn split_process(bytes: &[u8]) -> (usize, Option<(i32, u64, Phase)>) {
    let line = bytes.strip_suffix(b"\n").and_then(|text| {
        let start = text.iter().rposition(|byte| *byte == b'\n')?;
        Some((start, parse_process(&text[start + 1..])?))
    });
    match line {
        Some((start, process)) => (start, Some(process)),
        None => (bytes.len(), None),
    }
}

fn parse_process(line: &[u8]) -> Option<(i32, u64, Phase)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (pid, start) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let phase = match words.next()? {
        RUNNING => Phase::Running,
        CREATED => Phase::Created,
        _ => return None,
    };
    Some((pid, start, phase))
}

/// The ids of all containers below a root.
pub(crate) fn ids(root: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.step(|| format!("read the state directory {}", root.display()))?,
    };
    let mut ids: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    ids.sort();
    Ok(ids)
}

/// When a process that lives was started, in clock ticks since boot (proc(5), `stat`, field 22).
#[must_use]
pub fn process_start(pid: i32) -> Option<u64> {
    let (start, state) = process_stat(pid)?;
    (state != b'Z' && state != b'X').then_some(start)
}

/// Start time and state letter of a process (proc(5), `stat`, fields 22 and 3).
pub(crate) fn process_stat(pid: i32) -> Option<(u64, u8)> {
    let mut buffer = [0; 1024];
    let path = format!("/proc/{pid}/stat");
    let file = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = insula_sys::rustix::io::read(&file, &mut buffer).ok()?;
    let text = &buffer[..length];
    // The name, in parentheses, may contain anything: count from its end.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = text.get(end + 2..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some((start, state))
}
