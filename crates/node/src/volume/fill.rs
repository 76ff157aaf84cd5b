//! The first use of a volume: what the image has at its place is copied into it, as docker does.

use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use insula_container::error::{Context, Error, Result};
use insula_image::{Image, TreeForm, UnpackOptions, unpack_archive, write_tree};
use insula_sys::Errno;
use insula_sys::rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use crate::guest::files::open_lower;
use crate::run::{RunOptions, Volume, image_error};

/// Fills the volumes of a guest that are empty, unless their options say `nocopy`. Their names have
/// been resolved; `given` are the options with the names. `cover` is a directory that may be
/// covered by mounts that only this call sees.
///
/// # Errors
/// The image cannot be read, or the disk is full; the volume is empty then.
pub(crate) fn fill(
    (given, resolved): (&RunOptions, &RunOptions),
    image: &Image,
    cover: &Path,
) -> Result<()> {
    let pairs = given.volumes.iter().zip(&resolved.volumes);
    let wanted: Vec<&Volume> = pairs
        .filter(|(given, _)| given.is_named() && !has_option(given, "nocopy"))
        .map(|(_, resolved)| resolved)
        .filter(|volume| is_empty(&volume.source))
        .collect();
    if wanted.is_empty() || image.layers.is_empty() {
        return Ok(());
    }
    // A thread of its own: the mounts it makes go with it, and this process keeps the host's.
    std::thread::scope(|scope| {
        let work = || {
            let Some(below) = open_lower(image, cover)? else {
                return Ok(());
            };
            wanted
                .iter()
                .try_for_each(|volume| fill_one(&below, volume))
        };
        let thread = std::thread::Builder::new().name("fill volumes".to_owned());
        let thread = thread
            .spawn_scoped(scope, work)
            .step(|| "start a thread to fill volumes")?;
        thread
            .join()
            .map_err(|_panic| Error::new("filling the volumes failed"))?
    })
}

fn has_option(volume: &Volume, name: &str) -> bool {
    volume.options.iter().any(|option| option == name)
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

fn fill_one(below: &OwnedFd, volume: &Volume) -> Result<()> {
    let step = || format!("fill the volume at {}", volume.destination.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let source = match openat2(below, &volume.destination, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other.step(step)?,
    };
    // Beside it, and then in its place: a volume that is half filled is never seen.
    let new = volume.source.with_file_name("data.new");
    let _ = std::fs::remove_dir_all(&new);
    std::fs::create_dir(&new).step(step)?;
    let filled = copy(source, &new)
        .and_then(|()| std::fs::rename(&new, &volume.source).step(|| "put it in its place"));
    filled.step(step).inspect_err(|_| {
        // The first failure is the one to tell.
        let _ = std::fs::remove_dir_all(&new);
    })
}

fn copy(source: OwnedFd, target: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = open(target, flags, Mode::empty()).step(|| "open the volume")?;
    let (reader, writer) = io::pipe().step(|| "make a pipe")?;
    let write = move || -> io::Result<()> {
        let mut output = BufWriter::with_capacity(256 << 10, writer);
        write_tree(source, &TreeForm::default(), &mut output)?;
        output.flush()
    };
    let thread = std::thread::Builder::new().name("read the image".to_owned());
    let thread = thread
        .spawn(write)
        .step(|| "start a thread to read the image")?;
    let unpacked = unpack_archive(reader, target.as_fd(), &UnpackOptions::default());
    let written = thread
        .join()
        .map_err(|_panic| Error::new("reading the image failed"))?;
    match (written, unpacked) {
        (Err(error), Err(unpacking)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(image_error(unpacking))
        }
        (Err(error), _) => Err(error).step(|| "read the image"),
        (Ok(()), unpacked) => unpacked.map(drop).map_err(image_error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_has_at_the_place_comes_with_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let host = tempfile::tempdir().unwrap();
        let image = host.path().join("image");
        std::fs::create_dir_all(image.join("var/lib")).unwrap();
        std::fs::write(image.join("var/lib/file"), "x").unwrap();
        let mode = std::fs::Permissions::from_mode(0o750);
        std::fs::set_permissions(image.join("var/lib"), mode).unwrap();
        std::os::unix::fs::symlink("/var/lib", image.join("data")).unwrap();
        let source = host.path().join("volume/data");
        std::fs::create_dir_all(&source).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let below = open(&image, flags, Mode::empty()).unwrap();
        let mut volume = Volume {
            source: source.clone(),
            destination: "/data".into(),
            options: Vec::new(),
        };
        fill_one(&below, &volume).unwrap();
        assert_eq!(std::fs::read_to_string(source.join("file")).unwrap(), "x");
        assert_eq!(
            source.metadata().unwrap().permissions().mode() & 0o777,
            0o750
        );
        assert!(!host.path().join("volume/data.new").exists());
        volume.destination = "/none".into();
        fill_one(&below, &volume).unwrap();
        assert!(is_empty(&host.path().join("image/none")) || !image.join("none").exists());
    }
}
