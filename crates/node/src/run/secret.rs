//! Secrets: files of the host that the program may read at `/run/secrets`, and that stand neither
//! in the guest's layer nor in its record, its environment or a log.
//!
//! Their content is copied at each start to the host's tmpfs, beside what the monitor publishes,
//! and each copy is shown read-only in a tmpfs of the guest.

use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use insula_container::error::{Context, Error, Result};
use insula_container::spec::{Mount, Spec};

use super::options::Secret;

/// Where the copies are, below what the monitor publishes.
pub(crate) const DIRECTORY: &str = "secrets";
const PLACE: &str = "/run/secrets";
/// As docker's.
const BYTES_MAX: u64 = 500 << 10;

/// Copies the secrets and has them shown; the mounts come after all others.
///
/// # Errors
/// A file cannot be read, or is too large to be a secret.
pub(crate) fn show(secrets: &[Secret], live: &Path, spec: &mut Spec) -> Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    let directory = live.join(DIRECTORY);
    // Those of the last run.
    let _ = std::fs::remove_dir_all(&directory);
    let mut maker = std::fs::DirBuilder::new();
    maker
        .mode(0o700)
        .create(&directory)
        .step(|| format!("make {}", directory.display()))?;
    spec.mounts.push(mount(
        PLACE.into(),
        ("tmpfs", "tmpfs".into()),
        &["nosuid", "nodev", "noexec", "mode=755", "size=1m"],
    ));
    for secret in secrets {
        let copy = copy(secret, &directory)?;
        let place = Path::new(PLACE).join(&secret.id);
        let options = ["bind", "ro", "nosuid", "nodev", "noexec", "private"];
        spec.mounts.push(mount(place, ("bind", copy), &options));
    }
    Ok(())
}

fn copy(secret: &Secret, directory: &Path) -> Result<PathBuf> {
    let step = || format!("secret `{}` from {}", secret.id, secret.source.display());
    let mut content = Vec::new();
    let file = File::open(&secret.source).step(step)?;
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut content)
        .step(step)?;
    if content.len() as u64 > BYTES_MAX {
        return Err(
            Error::new(format!("{} has more than 500 KiB", secret.source.display()))
                .hint("a file that is no secret is given with -v")
                .within(step()),
        );
    }
    let path = directory.join(&secret.id);
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&path)
        .step(step)?;
    std::io::Write::write_all(&mut file, &content).step(step)?;
    // Whoever runs in the guest may read it; on the host the directory is closed to others.
    file.set_permissions(Permissions::from_mode(0o444))
        .step(step)?;
    Ok(path)
}

fn mount(destination: PathBuf, (kind, source): (&str, PathBuf), options: &[&str]) -> Mount {
    Mount {
        destination,
        kind: Some(kind.to_owned()),
        source: Some(source),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_beside_the_state_and_only_its_place_in_the_configuration() {
        let host = tempfile::tempdir().unwrap();
        let source = host.path().join("key");
        std::fs::write(&source, "hunter2").unwrap();
        let secrets = [Secret {
            id: "key".to_owned(),
            source,
        }];
        let mut spec = Spec::default();
        for _ in 0..2 {
            spec.mounts.clear();
            show(&secrets, host.path(), &mut spec).unwrap();
        }
        let places = spec
            .mounts
            .iter()
            .map(|mount| mount.destination.to_str().unwrap());
        assert_eq!(
            places.collect::<Vec<_>>(),
            ["/run/secrets", "/run/secrets/key"]
        );
        let json = serde_json::to_string(&spec).unwrap();
        assert!(!json.contains("hunter2"));
        let copy = spec.mounts[1].source.as_ref().unwrap();
        assert_eq!(std::fs::read(copy).unwrap(), b"hunter2");
        let mode = host
            .path()
            .join(DIRECTORY)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_is_too_large_or_absent_is_refused_by_name() {
        let host = tempfile::tempdir().unwrap();
        let source = host.path().join("large");
        let file = File::create(&source).unwrap();
        file.set_len(BYTES_MAX + 1).unwrap();
        let refused = |source: PathBuf| {
            let secrets = [Secret {
                id: "it".to_owned(),
                source,
            }];
            show(&secrets, host.path(), &mut Spec::default())
                .unwrap_err()
                .chain()
        };
        assert!(refused(source).contains("500 KiB"));
        assert!(refused(host.path().join("none")).contains("secret `it`"));
    }
}
