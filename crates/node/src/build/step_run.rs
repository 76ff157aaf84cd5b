//! RUN: what the container of a step sees beside its root, and what of that must not stay.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_container::spec::Spec;
use insula_image::containerfile::{Mount, MountKind, Program, Run, RunNetwork, Sharing};
use insula_image::{Digest, Image, Layer, LayerForm, UnionView};
use insula_sys::Errno;
use insula_sys::mount::{flag, mount};
use insula_sys::rustix::fs::{FlockOperation, OFlags, flock};
use insula_sys::rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

use super::layer::make;
use super::options::{BuildOptions, Secret};
use super::stage::StageState;
use super::tree::{Tree, normal, path_of};
use super::workshop::Workshop;
use crate::run::{Network, RunOptions, Tmpfs, Volume, image_error, network_files, spec};

/// The name of the host in every step, so that it is the same in all of them.
const HOSTNAME: &str = "build";
/// A secret larger than this is none.
const SECRET_BYTES_MAX: u64 = 1 << 20;
/// What a container gets mounted in any case.
const USUAL_TARGETS: [&str; 5] = ["proc", "dev", "sys", "etc/hosts", "etc/resolv.conf"];

/// A container for one step, ready to run.
pub(super) struct Prepared {
    pub(super) spec: Spec,
    pub(super) stubs: Stubs,
    /// Locks of caches, and mounts that go when the step has ended.
    held: Held,
}

#[derive(Default)]
struct Held {
    mounts: Vec<PathBuf>,
    _locks: Vec<File>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for path in self.mounts.iter().rev() {
            // It goes with the build's mount namespace in any case.
            let _ = unmount(path, UnmountFlags::DETACH);
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl Prepared {
    /// Lets go of what the step used; what it must not leave.
    pub(super) fn end(self) -> Stubs {
        drop(self.held);
        self.stubs
    }
}

/// Where the files of a bind mount come from.
pub(super) struct BindSource {
    pub(super) root: OwnedFd,
    /// The root is a detached mount and must be attached to be used.
    pub(super) is_detached: bool,
}

/// Makes the configuration of a RUN. `sources` are the roots of its bind mounts, in their order.
pub(super) fn prepare(
    options: &BuildOptions,
    workshop: &mut Workshop,
    state: &StageState,
    run: &Run,
    sources: Vec<BindSource>,
) -> Result<Prepared> {
    let mut wanted = RunOptions::new(&options.store, "build");
    wanted.entrypoint = Some(Vec::new());
    wanted.environment = state.run_variables(&options.arguments);
    wanted.hostname = Some(HOSTNAME.to_owned());
    wanted.network = match run.network {
        Some(RunNetwork::None) => Network::None,
        Some(RunNetwork::Host) => Network::Host,
        None => options.network,
    };
    let place = workshop.next_step();
    make(&place)?;
    let mut held = Held::default();
    let files = network_files::make(&wanted, HOSTNAME);
    for (name, content) in files.iter().filter(|(name, _)| *name != "hostname") {
        let path = place.join(name);
        std::fs::write(&path, content).step(|| format!("write the step's {name}"))?;
        wanted
            .volumes
            .push(volume(path, &format!("/etc/{name}"), true));
    }
    wanted.command = match run.program() {
        Program::Command(command) => command.arguments(&state.shell()),
        Program::Script(text) => {
            let path = place.join("script");
            write_file(&path, text.as_bytes(), 0o755, (0, 0)).step(|| "write the script")?;
            wanted.volumes.push(volume(path, "/dev/pipes/script", true));
            vec!["/dev/pipes/script".to_owned()]
        }
    };
    let mut sources = sources.into_iter();
    for asked in &run.mounts {
        let target = state.absolute(&asked.target);
        let mut make = MountMaker {
            options,
            workshop,
            wanted: &mut wanted,
            held: &mut held,
            place: &place,
        };
        make.one(asked, &target, &mut sources)
            .step(|| format!("mount {target} of the step"))?;
    }
    let root = workshop.path("root");
    let mut targets: Vec<PathBuf> = USUAL_TARGETS.map(PathBuf::from).to_vec();
    let asked = wanted.volumes.iter().map(|volume| &volume.destination);
    let asked = asked.chain(wanted.tmpfs.iter().map(|tmpfs| &tmpfs.destination));
    targets.extend(asked.map(|target| normal(target)));
    let stubs = Stubs::missing(&root, targets)?;
    let image = image_of(state, &root);
    let files = UnionView::open(&image.layers).map_err(image_error)?;
    let mut spec = spec::build(&wanted, (&image, &files), HOSTNAME, "")?;
    if let Some(process) = &mut spec.process {
        process.env.retain(|entry| !entry.starts_with("HOSTNAME="));
    }
    Ok(Prepared { spec, stubs, held })
}

/// The stage so far as an image: users are looked up in the mounted union.
fn image_of(state: &StageState, root: &Path) -> Image {
    let nobody = Digest::of(b"");
    Image {
        id: nobody,
        manifest: nobody,
        config: state.config.clone(),
        layers: vec![Layer {
            diff_id: nobody,
            form: LayerForm::Directory(root.to_owned()),
        }],
    }
}

fn volume(source: PathBuf, destination: &str, read_only: bool) -> Volume {
    let access = if read_only { "ro" } else { "rw" };
    Volume {
        source,
        destination: destination.into(),
        options: vec![access.to_owned()],
    }
}

fn write_file(path: &Path, content: &[u8], mode: u32, owner: (u32, u32)) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    std::os::unix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Makes what `--mount` asks for.
struct MountMaker<'a> {
    options: &'a BuildOptions,
    workshop: &'a mut Workshop,
    wanted: &'a mut RunOptions,
    held: &'a mut Held,
    place: &'a Path,
}

impl MountMaker<'_> {
    fn one(
        &mut self,
        asked: &Mount,
        target: &str,
        sources: &mut dyn Iterator<Item = BindSource>,
    ) -> Result<()> {
        match &asked.kind {
            MountKind::Bind { source, .. } => {
                let root = sources
                    .next()
                    .ok_or_else(|| Error::new("its source is unknown"))?;
                let path = self.bind(root, source)?;
                self.wanted.volumes.push(volume(path, target, true));
            }
            MountKind::Cache {
                id,
                sharing,
                mode,
                uid,
                gid,
            } => {
                let path = self.cache(id, *sharing, *mode, (*uid, *gid))?;
                self.wanted
                    .volumes
                    .push(volume(path, target, asked.read_only));
            }
            MountKind::Tmpfs { size_bytes } => {
                let size = size_bytes.map(|bytes| format!("size={bytes}"));
                self.wanted.tmpfs.push(Tmpfs {
                    destination: target.into(),
                    options: size.into_iter().chain(["exec".to_owned()]).collect(),
                });
            }
            MountKind::Secret {
                id,
                required,
                mode,
                uid,
                gid,
                variable,
            } => {
                let Some(content) = self.secret(id, *required)? else {
                    return Ok(());
                };
                if let Some(name) = variable {
                    let value = String::from_utf8(content.clone()).map_err(|_not_text| {
                        Error::new(format!("the secret `{id}` is not text"))
                    })?;
                    self.wanted.environment.push(format!("{name}={value}"));
                }
                if !asked.target.is_empty() {
                    let path = self.secret_file(&content, *mode, (*uid, *gid))?;
                    self.wanted.volumes.push(volume(path, target, true));
                }
            }
        }
        Ok(())
    }

    /// A path in this mount namespace of part of a root.
    fn bind(&mut self, source: BindSource, path: &str) -> Result<PathBuf> {
        let mut root = source.root;
        if source.is_detached {
            let number = self.held.mounts.len();
            let name = self.place.file_name().unwrap_or_default().to_string_lossy();
            let place = self
                .workshop
                .path("mounts")
                .join(format!("{name}-{number}"));
            make(&place)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            let attached = move_mount(&root, "", insula_sys::rustix::fs::CWD, &place, flags);
            attached.step(|| "attach the layers")?;
            self.held.mounts.push(place.clone());
            root = Tree::open(&place)?.into_root();
        }
        let tree = Tree::of(root);
        let opened = tree.at(&normal(Path::new(path)), OFlags::PATH);
        let opened = opened.map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => {
                Error::new(format!("`{path}` is not there to be mounted"))
            }
            errno => Error::from(errno).within(format!("open {path}")),
        })?;
        std::fs::read_link(path_of(&opened)).step(|| format!("find {path}"))
    }

    fn cache(
        &mut self,
        id: &str,
        sharing: Sharing,
        mode: u32,
        (uid, gid): (u32, u32),
    ) -> Result<PathBuf> {
        let cache = self.workshop.build_cache();
        let path = cache.mount_path(&Digest::of(id.as_bytes()));
        if !path.exists() {
            let parent = path.parent().unwrap_or(&path);
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(parent);
            made.and_then(|()| {
                std::fs::DirBuilder::new().mode(0o700).create(&path)?;
                std::os::unix::fs::chown(&path, Some(uid), Some(gid))?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            })
            .step(|| format!("make the cache {id}"))?;
        }
        let opened = File::open(&path).step(|| format!("open the cache {id}"))?;
        // Its age counts from its last use.
        let _ = opened.set_modified(std::time::SystemTime::now());
        // One that is being used is not to be removed: `prune` looks whether it can lock it.
        let operation = match sharing {
            Sharing::Shared => FlockOperation::LockShared,
            Sharing::Locked => FlockOperation::LockExclusive,
        };
        while let Err(errno) = flock(&opened, operation) {
            if errno != Errno::INTR {
                return Err(errno).step(|| format!("lock the cache {id}"));
            }
        }
        self.held._locks.push(opened);
        Ok(path)
    }

    fn secret(&self, id: &str, required: bool) -> Result<Option<Vec<u8>>> {
        let step = || format!("read the secret `{id}`");
        match self.options.secrets.get(id) {
            Some(Secret::File(path)) => {
                use std::io::Read as _;
                let mut content = Vec::new();
                let file = File::open(path).step(step)?;
                file.take(SECRET_BYTES_MAX + 1)
                    .read_to_end(&mut content)
                    .step(step)?;
                if content.len() as u64 > SECRET_BYTES_MAX {
                    return Err(Error::new(format!(
                        "the secret `{id}` is larger than 1 MiB"
                    )));
                }
                Ok(Some(content))
            }
            Some(Secret::Variable(name)) => match std::env::var(name) {
                Ok(value) => Ok(Some(value.into_bytes())),
                Err(_) => {
                    Err(Error::new(format!("the variable `{name}` is not set")).within(step()))
                }
            },
            None if required => Err(Error::new(format!("the secret `{id}` was not given"))
                .hint(format!("give it: --secret id={id},src=FILE"))),
            None => Ok(None),
        }
    }

    /// A file in memory: a secret is never on the disk.
    fn secret_file(&mut self, content: &[u8], mode: u32, owner: (u32, u32)) -> Result<PathBuf> {
        let number = self.held.mounts.len();
        let place = self.place.join(format!("secret-{number}"));
        make(&place)?;
        let flags = flag::NO_SUID | flag::NO_DEV | flag::NO_EXEC;
        let data = CString::new("mode=700").step(|| "name the options")?;
        mount(Some(c"tmpfs"), &place, Some(c"tmpfs"), flags, Some(&data))
            .step(|| "make a place in memory for the secret")?;
        self.held.mounts.push(place.clone());
        let path = place.join("secret");
        write_file(&path, content, mode, owner).step(|| "write the secret to memory")?;
        Ok(path)
    }
}

/// Mount points that were made only to be mounted over.
pub(super) struct Stubs {
    /// The path and the first part of it that was not there.
    missing: BTreeMap<PathBuf, PathBuf>,
    targets: Vec<PathBuf>,
}

impl Stubs {
    fn missing(root: &Path, targets: Vec<PathBuf>) -> Result<Self> {
        let tree = Tree::open(root)?;
        let mut missing = BTreeMap::new();
        for target in &targets {
            let mut here = PathBuf::new();
            for component in target.components() {
                here.push(component);
                match tree.at(&here, OFlags::PATH) {
                    Ok(_) => {}
                    Err(Errno::NOENT) => {
                        missing.insert(target.clone(), here);
                        break;
                    }
                    // A loop of links and the like: the container will say it.
                    Err(_) => break,
                }
            }
        }
        Ok(Self { missing, targets })
    }

    /// Removes from the changes of a step what it did not make itself: empty files and directories
    /// where something was mounted, and directories above that are as they were below.
    pub(super) fn remove(&self, upper: &Path, below: Option<&OwnedFd>) {
        for (target, first) in &self.missing {
            let mut here = target.clone();
            loop {
                let path = upper.join(&here);
                let is_removed = match path.symlink_metadata() {
                    Ok(metadata) if metadata.is_dir() => std::fs::remove_dir(&path).is_ok(),
                    Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
                        std::fs::remove_file(&path).is_ok()
                    }
                    _ => false,
                };
                if !is_removed || here == *first || !here.pop() {
                    break;
                }
            }
        }
        let Some(below) = below else { return };
        for target in &self.targets {
            let mut here = target.clone();
            while here.pop() && !here.as_os_str().is_empty() {
                if !remove_unchanged(&upper.join(&here), &path_of(below).join(&here)) {
                    break;
                }
            }
        }
    }
}

/// Removes an empty directory of the changes that only repeats the one below.
fn remove_unchanged(upper: &Path, below: &Path) -> bool {
    let (Ok(new), Ok(old)) = (upper.symlink_metadata(), below.symlink_metadata()) else {
        return false;
    };
    let is_same = new.is_dir()
        && old.is_dir()
        && (new.mode(), new.uid(), new.gid()) == (old.mode(), old.uid(), old.gid());
    let mut value = [0_u8; 8];
    let is_opaque = ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| insula_sys::rustix::fs::lgetxattr(upper, *name, &mut value[..]).is_ok());
    is_same && !is_opaque && std::fs::remove_dir(upper).is_ok()
}
