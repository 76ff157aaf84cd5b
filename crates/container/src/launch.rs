//! From a prepared environment to the user's program: the last steps of the container process and
//! of an `exec` process, in the order that privileges demand.
//!
//! 1. what needs all capabilities: scheduler, memory policy, bounding set, ids;
//! 2. the working directory and the program are looked up as the user;
//! 3. the list that [`insula_sys::last_mile`] makes after this program has vanished from memory:
//!    limits, seccomp, capabilities, execve.
//!
//! Without `noNewPrivileges` a filter needs `CAP_SYS_ADMIN` and is loaded before the capabilities
//! go; with it, it is loaded last, so that it need not allow what comes before.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use insula_sys::last_mile::{self, LastMile};
use insula_sys::rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, mkdirat, open,
};
use insula_sys::rustix::process::{chdir, getcwd, umask};
use insula_sys::rustix::thread::{
    Gid, Uid, set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use insula_sys::{Errno, descriptor, scheduling};

use crate::attributes;
use crate::capability::{self, Sets};
use crate::channel::{Channel, LISTENER_TAG};
use crate::error::{Context, Error, Kind, Result};
use crate::seccomp::Filter;
use crate::spec::{MemoryPolicy, Personality, Process};

/// Makes sure that no container gets hold of the host's binary: either the kernel can make this
/// program vanish before the container's starts, or this program runs from a copy. A program that
/// runs containers in children of its own calls it first: to become a copy it starts anew.
///
/// # Errors
/// This program cannot be copied or started again.
pub fn protect_program() -> Result<()> {
    if last_mile::is_available() {
        return Ok(());
    }
    insula_sys::sealed::restart_from_copy().step(|| "run from a sealed copy of this program")
}

/// What belongs to the start of one program besides `process`.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) process: &'a Process,
    pub(crate) sets: Sets,
    pub(crate) filter: Option<&'a Filter>,
    pub(crate) memory_policy: Option<&'a MemoryPolicy>,
    pub(crate) personality: Option<&'a Personality>,
    /// Descriptors above standard error that the program inherits.
    pub(crate) preserved_fds: u32,
    /// Limits and scheduling were set from outside, by a runtime with more rights than a process
    /// in a user namespace has.
    pub(crate) is_preset: bool,
    /// The program keeps the groups of the runtime's caller beside those it asks for.
    pub(crate) keeps_groups: bool,
    /// Set as `LISTEN_PID`: the caller's sockets are passed on (sd_listen_fds(3)).
    pub(crate) listen_fds: u32,
}

const LABEL_LIMIT: u64 = last_mile::LABEL_HIDE + 1;
const LABEL_SECCOMP: u64 = LABEL_LIMIT + 1;
const LABEL_CAPABILITIES: u64 = LABEL_SECCOMP + 1;
const LABEL_EXECUTE: u64 = LABEL_CAPABILITIES + 1;

/// The error behind a report of the last mile.
pub(crate) fn failure(label: u64, errno: i32) -> Error {
    let errno = Errno::from_raw_os_error(errno);
    let step = match label {
        LABEL_LIMIT => "process.rlimits: set the resource limits",
        LABEL_SECCOMP => "linux.seccomp: load the filter",
        LABEL_CAPABILITIES => "process.capabilities: set the capabilities",
        LABEL_EXECUTE => "exec the program named by process.args[0]",
        _ => "hide the runtime's own program from the container",
    };
    let error = Err::<Infallible, _>(errno)
        .step(|| step)
        .err()
        .unwrap_or_else(|| Error::new(step));
    match (label, errno) {
        // The kernel lets a process stand for a program only where it may execute it, too.
        (last_mile::LABEL_HIDE, Errno::ACCESS) => {
            Error::new("exec the program named by process.args[0]: permission denied")
                .kind(Kind::ProgramNotExecutable)
        }
        (LABEL_EXECUTE, Errno::NOENT) => error
            .kind(Kind::ProgramNotFound)
            .hint("the interpreter of the program (its #! line or its dynamic loader) is missing"),
        (LABEL_EXECUTE, Errno::NOEXEC) => error
            .kind(Kind::ProgramNotExecutable)
            .hint("the file is no program for this processor, or a script without a #! line"),
        (LABEL_EXECUTE, _) => error.kind(Kind::ProgramNotExecutable),
        (LABEL_LIMIT, Errno::PERM) => {
            error.hint("raising a hard limit needs CAP_SYS_RESOURCE on the host")
        }
        _ => error,
    }
}

impl Launch<'_> {
    /// Becomes the program. Returns only on failure.
    pub(crate) fn run(mut self, channel: &Channel) -> Error {
        match self.prepare(channel) {
            Ok((program, path)) => self.enter(&program, &path, channel),
            Err(error) => error,
        }
    }

    fn prepare(&mut self, channel: &Channel) -> Result<(File, CString)> {
        self.set_attributes()?;
        self.change_user(channel)?;
        enter_directory(&self.process.cwd)?;
        let path = find_program(self.process)?;
        let name = &self.process.args[0];
        let program = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let program = program.map_err(|errno| program_error(name, errno))?;
        let status = fstat(&program).map_err(|errno| program_error(name, errno))?;
        let is_executable = status.st_mode & 0o111 != 0;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile || !is_executable {
            return Err(program_error(name, Errno::ACCESS));
        }
        Ok((File::from(program), path))
    }

    fn set_attributes(&self) -> Result<()> {
        if let Some(personality) = self.personality {
            scheduling::set_personality(personality.domain as u64)
                .step(|| "linux.personality: set the execution domain")?;
        }
        if let Some(policy) = self.memory_policy {
            attributes::apply_memory_policy(policy)?;
        }
        if !self.is_preset {
            attributes::apply_scheduling(0, self.process)?;
        }
        if self.process.no_new_privileges {
            set_no_new_privs(true).step(|| "process.noNewPrivileges: set it")?;
        }
        Ok(())
    }

    fn change_user(&mut self, channel: &Channel) -> Result<()> {
        let user = &self.process.user;
        if let Some(mask) = user.umask {
            umask(Mode::from_raw_mode(mask));
        }
        capability::drop_bounding(self.sets.bounding)?;
        capability::clear_ambient()?;
        set_keep_capabilities(true).step(|| "keep the capabilities over the change of user")?;
        let gid = Gid::from_raw(user.gid);
        set_thread_res_gid(gid, gid, gid)
            .step(|| format!("process.user.gid: become group {}", user.gid))?;
        if !self.keeps_groups {
            self.set_groups()?;
        }
        let uid = Uid::from_raw(user.uid);
        set_thread_res_uid(uid, uid, uid)
            .step(|| format!("process.user.uid: become user {}", user.uid))?;
        capability::raise_effective()?;
        let lost = self.sets.limit_to_own()?;
        if lost != 0 {
            let names: Vec<_> = capability::names(lost).collect();
            channel.send_warning(&capability::ignored(&names.join(" ")));
        }
        Ok(())
    }

    /// In a user namespace with one mapped group the kernel forbids setgroups: then nothing can be
    /// dropped, and asking for groups is an error.
    fn set_groups(&self) -> Result<()> {
        let groups: Vec<Gid> = self
            .process
            .user
            .additional_gids
            .iter()
            .map(|gid| Gid::from_raw(*gid))
            .collect();
        match set_thread_groups(&groups) {
            Err(Errno::PERM) if groups.is_empty() => Ok(()),
            other => other.step(|| "process.user.additionalGids: set the groups"),
        }
    }

    fn enter(self, program: &File, path: &CStr, channel: &Channel) -> Error {
        let (arguments, environment) = match self.strings() {
            Ok(strings) => strings,
            Err(error) => return error,
        };
        let first = 3 + self.preserved_fds + self.listen_fds;
        if let Err(error) = descriptor::close_on_exec_from(first).step(|| "close the descriptors") {
            return error;
        }
        let mut list = LastMile::new();
        if !self.is_preset {
            self.push_limits(&mut list);
        }
        if !self.process.no_new_privileges {
            self.push_filter(&mut list, channel);
        }
        let sets = &self.sets;
        list.set_capabilities(
            LABEL_CAPABILITIES,
            sets.effective,
            sets.permitted,
            sets.inheritable,
        );
        for number in (0..64).filter(|number| sets.ambient & (1 << number) != 0) {
            list.raise_ambient(LABEL_CAPABILITIES, number);
        }
        if self.process.no_new_privileges {
            self.push_filter(&mut list, channel);
        }
        let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
        let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
        list.execve(LABEL_EXECUTE, path, &arguments, &environment);
        let errno = list.run(
            last_mile::is_available().then(|| program.as_fd()),
            channel.as_fd(),
        );
        failure(last_mile::LABEL_HIDE, errno.raw_os_error())
    }

    fn push_limits(&self, list: &mut LastMile) {
        for limit in &self.process.rlimits {
            if let Some(resource) = attributes::resource(&limit.kind) {
                list.set_limit(LABEL_LIMIT, resource as u32, limit.soft, limit.hard);
            }
        }
    }

    fn push_filter(&self, list: &mut LastMile, channel: &Channel) {
        let Some(filter) = self.filter else { return };
        let (program, flags) = (filter.instructions.as_slice(), filter.flags.into());
        if filter.has_notify {
            list.load_seccomp_with_listener(
                LABEL_SECCOMP,
                program,
                flags,
                channel.as_fd(),
                LISTENER_TAG,
            );
        } else {
            list.load_seccomp(LABEL_SECCOMP, program, flags);
        }
    }

    fn strings(&self) -> Result<(Vec<CString>, Vec<CString>)> {
        let arguments: Result<_> = self
            .process
            .args
            .iter()
            .map(|text| c_string(text.as_bytes()))
            .collect();
        let mut environment = environment(self.process)?;
        if self.listen_fds > 0 {
            environment.push(c_string(
                format!("LISTEN_FDS={}", self.listen_fds).as_bytes(),
            )?);
            environment.push(c_string(b"LISTEN_PID=1")?);
        }
        Ok((arguments?, environment))
    }
}

/// The environment of a program: of what is given twice the last, and `HOME` in any case.
pub(crate) fn environment(process: &Process) -> Result<Vec<CString>> {
    let environment: Result<Vec<_>> = process
        .env
        .iter()
        .enumerate()
        .filter(|(place, pair)| {
            let name = name_of(pair);
            let is_overridden = |later: &String| name_of(later) == name;
            // An empty HOME is as good as none.
            pair.as_str() != "HOME=" && !process.env[place + 1..].iter().any(is_overridden)
        })
        .map(|(_, text)| c_string(text.as_bytes()))
        .collect();
    let mut environment = environment?;
    if !environment
        .iter()
        .any(|pair| pair.to_bytes().starts_with(b"HOME="))
    {
        environment.push(home_of(process.user.uid)?);
    }
    Ok(environment)
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// `HOME` of a user by the container's own `/etc/passwd` (passwd(5)); `/` when it has none.
fn home_of(uid: u32) -> Result<CString> {
    const SIZE_MAX: u64 = 1 << 20;
    let mut text = Vec::new();
    if let Ok(file) = File::open("/etc/passwd") {
        // An unreadable file is as good as none.
        drop(file.take(SIZE_MAX).read_to_end(&mut text));
    }
    let uid = uid.to_string();
    let home = text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.nth(2)? == uid.as_bytes())
            .then(|| fields.nth(2))
            .flatten()
    });
    let home = home.filter(|home| !home.is_empty()).unwrap_or(b"/");
    c_string(&[b"HOME=", home].concat())
}

/// The path of the program: `process.args[0]` itself when it has a slash, else looked up in
/// the `PATH` of the program's own environment.
fn find_program(process: &Process) -> Result<CString> {
    let name = process.args[0].as_str();
    if name.is_empty() {
        return Err(program_error(name, Errno::NOENT));
    }
    if name.contains('/') {
        return c_string(name.as_bytes());
    }
    let path = process
        .env
        .iter()
        .find_map(|pair| pair.strip_prefix("PATH="));
    let mut failure = Errno::NOENT;
    // What execvp(3) of the C library takes for an environment without PATH.
    for directory in path.unwrap_or("/bin:/usr/bin").split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = Path::new(directory).join(name);
        match accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) if !candidate.is_dir() => return c_string(candidate.as_os_str().as_bytes()),
            Err(Errno::ACCESS) | Ok(()) => failure = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(program_error(name, failure))
}

/// Fails where no user and no working directory could make the program be there.
pub(crate) fn check_program(process: &Process) -> Result<()> {
    let name = process.args[0].as_str();
    let list = process
        .env
        .iter()
        .find_map(|pair| pair.strip_prefix("PATH="));
    let depends_on_directory = |list: &str| list.split(':').any(|part| !part.starts_with('/'));
    if !name.contains('/') && list.is_none_or(depends_on_directory) {
        return Ok(());
    }
    let path = match find_program(process) {
        Err(error) if error.kind_of() == Kind::ProgramNotFound => return Err(error),
        // Whether the user may execute it shows when the user does.
        Err(_) => return Ok(()),
        Ok(path) => path,
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    if !path.is_absolute() {
        return Ok(());
    }
    match accessat(CWD, path, Access::EXISTS, AtFlags::empty()) {
        Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => Err(program_error(name, errno)),
        _ if path.is_dir() => Err(program_error(name, Errno::ACCESS)),
        _ => Ok(()),
    }
}

fn program_error(name: &str, errno: Errno) -> Error {
    let (kind, text) = match errno {
        Errno::NOENT if !name.contains('/') => (
            Kind::ProgramNotFound,
            "executable file not found in $PATH".to_owned(),
        ),
        Errno::NOENT | Errno::NOTDIR => (
            Kind::ProgramNotFound,
            "no such file or directory".to_owned(),
        ),
        Errno::ACCESS => (Kind::ProgramNotExecutable, "permission denied".to_owned()),
        other => (Kind::ProgramNotExecutable, other.to_string()),
    };
    Error::new(format!("exec: {name:?}: {text}")).kind(kind)
}

/// Enters the working directory, made first where the image lacks it, and makes sure that it lies
/// inside the root: a descriptor leaked from the host must not become the working directory
/// (CVE-2024-21626).
fn enter_directory(directory: &Path) -> Result<()> {
    let shown = || format!("process.cwd: chdir to {}", directory.display());
    match chdir(directory) {
        Err(Errno::NOENT) => {
            make_directories(directory)?;
            chdir(directory).step(shown)?;
        }
        other => other.step(shown)?,
    }
    match getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().first() == Some(&b'/') => Ok(()),
        _ => Err(Error::new(format!(
            "process.cwd: {} lies outside of the container's root",
            directory.display()
        ))),
    }
}

fn make_directories(directory: &Path) -> Result<()> {
    let mut path = std::path::PathBuf::new();
    for part in directory.components() {
        path.push(part);
        match mkdirat(CWD, &path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(errno)
                    .step(|| format!("process.cwd: make the directory {}", path.display()))
                    .step(|| "chdir to the working directory");
            }
        }
    }
    Ok(())
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).step(|| format!("{:?}", String::from_utf8_lossy(bytes)))
}
