//! A guest's writable layer becomes the uppermost layer of a new image, which runs as the guest
//! was asked to. Volumes are not in it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

use insula_container::cgroup::Manager;
use insula_container::error::{Context, Error, Result};
use insula_image::{
    AddedLayer, CONFIG_TYPE, Claim, Committed, Config, Descriptor, Digest, History, Image,
    ImageConfig, MANIFEST_TYPE, Manifest, Reference, Store, Transaction, TransactionOptions,
    apply_change, rfc3339,
};
use insula_sys::rustix::fs::{Mode, OFlags, open};

use super::lower;
use crate::guest::find::{Guest, Status, find};
use crate::guest::format::GuestRecord;
use crate::guest::workspace::Workspace;
use crate::guest::{Place, event};
use crate::run::{RunOptions, image_error};

/// What is to be said of the new image.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    /// Its name; without it only its identifier leads to it.
    pub reference: Option<Reference>,
    pub message: Option<String>,
    pub author: Option<String>,
    /// Lines of a Dockerfile, such as `CMD ["bash"]`.
    pub changes: Vec<String>,
    /// Hold the guest still meanwhile, so that its files fit together.
    pub pause: bool,
    /// Wait until the disk has it.
    pub sync: bool,
}

/// Makes an image of a guest, and gives its identifier and its manifest's.
///
/// # Errors
/// There is no such guest, a change is malformed, or the disk is full. Nothing of the image is left
/// then, and the guest goes on.
pub fn commit(place: &Place, name: &str, request: &CommitRequest) -> Result<Committed> {
    let guest = find(place, name)?;
    let still = Still::hold(place, &guest, request.pause)?;
    let committed = commit_still(place, &guest.record, request);
    still.end()?;
    let committed = committed?;
    let shown = request.reference.as_ref().map(ToString::to_string);
    let attributes = [
        ("imageID", committed.id.to_string()),
        ("imageRef", shown.unwrap_or_default()),
    ];
    event::tell(place, &guest.record, "commit", &attributes);
    Ok(committed)
}

/// A guest whose files do not change: paused, or at rest and kept so.
enum Still {
    Paused(Box<insula_container::Container>),
    AtRest {
        _hold: Box<Workspace>,
    },
    /// It was paused before, or goes on.
    AsItWas,
}

impl Still {
    fn hold(place: &Place, guest: &Guest, pause: bool) -> Result<Self> {
        match guest.status {
            // Without a cgroup nothing can be held still.
            Status::Running if pause && place.manager != Manager::Disabled => {
                let container = place.runtime().load(&guest.record.id)?;
                container.pause()?;
                Ok(Self::Paused(Box::new(container)))
            }
            Status::Created | Status::Exited => {
                let hold = Workspace::take(&place.store, &guest.record.id)?;
                Ok(Self::AtRest {
                    _hold: Box::new(hold),
                })
            }
            _ => Ok(Self::AsItWas),
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Paused(container) => container.resume(),
            Self::AtRest { .. } | Self::AsItWas => Ok(()),
        }
    }
}

fn commit_still(place: &Place, record: &GuestRecord, request: &CommitRequest) -> Result<Committed> {
    let store = Store::new(&place.store);
    let image = store
        .resolve(&record.manifest.to_string())
        .map_err(image_error)?;
    let mut config = configuration(&image, &record.config);
    for change in &request.changes {
        apply_change(&mut config.config, change).map_err(image_error)?;
    }
    let options = TransactionOptions {
        sync: request.sync,
        resumable: false,
        ..TransactionOptions::default()
    };
    let transaction = store.begin_with(options).map_err(image_error)?;
    let mut layers = claim_layers(&store, &transaction, &image)?;
    let added = add_layer(place, &transaction, (record, &image))?;
    config
        .history
        .push(history(record, request, added.is_none()));
    config.created = Some(rfc3339(SystemTime::now()));
    config.author = request.author.clone().or(config.author);
    if let Some(added) = added {
        layers.push(added.descriptor);
        config.rootfs.diff_ids.push(added.diff_id);
    }
    let step = || "put the new image into words";
    let config = serde_json::to_vec(&config).step(step)?;
    let id = Descriptor::new(CONFIG_TYPE, Digest::of(&config), config.len() as u64);
    let manifest = serde_json::to_vec(&manifest(id, layers)).step(step)?;
    let names: Vec<Reference> = request.reference.iter().cloned().collect();
    transaction
        .commit(&manifest, &config, &names)
        .map_err(image_error)
}

fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        config,
        layers,
        other: BTreeMap::new(),
    }
}

/// Keeps the image's own layers from removal as long as the transaction lasts.
fn claim_layers(
    store: &Store,
    transaction: &Transaction,
    image: &Image,
) -> Result<Vec<Descriptor>> {
    let manifest = store.manifest(&image.manifest).map_err(image_error)?;
    for (layer, diff_id) in manifest.layers.iter().zip(&image.config.rootfs.diff_ids) {
        let claim = transaction
            .claim_layer(layer, Some(diff_id))
            .map_err(image_error)?;
        if let Claim::Missing(_) = claim {
            return Err(
                Error::new(format!("layer {diff_id} of the image is not here"))
                    .hint("`insula image verify` says what is damaged"),
            );
        }
    }
    Ok(manifest.layers)
}

/// The writable layer; `None` for a guest that has never run.
fn add_layer(
    place: &Place,
    transaction: &Transaction,
    (record, image): (&GuestRecord, &Image),
) -> Result<Option<AddedLayer>> {
    let directory = place.directory(&record.id);
    let path = directory.join("upper");
    if !path.exists() {
        return Ok(None);
    }
    let below = lower::open(image, &directory.join("root"))?;
    let upper = open_upper(&path)?;
    let given = lower::given(record, &record.config, &upper);
    let added = transaction.add_upper_without(path, below, given);
    added
        .map(Some)
        .map_err(image_error)
        .step(|| "write the new layer")
}

fn open_upper(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).step(|| format!("open {}", path.display()))
}

/// The image's configuration with what the guest was asked to be.
fn configuration(image: &Image, options: &RunOptions) -> ImageConfig {
    let mut configuration = image.config.clone();
    let config = &mut configuration.config;
    if let Some(entrypoint) = &options.entrypoint {
        config.entrypoint.clone_from(entrypoint);
        config.cmd.clear();
    }
    if !options.command.is_empty() {
        config.cmd.clone_from(&options.command);
    }
    for entry in &options.environment {
        set_variable(config, entry);
    }
    if let Some(user) = &options.user {
        config.user.clone_from(user);
    }
    if let Some(directory) = options
        .working_directory
        .as_ref()
        .and_then(|path| path.to_str())
    {
        directory.clone_into(&mut config.working_dir);
    }
    if let Some(signal) = &options.stop_signal {
        config.stop_signal.clone_from(signal);
    }
    config.labels.extend(options.annotations.iter().cloned());
    configuration
}

fn set_variable(config: &mut Config, entry: &str) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let wanted = name(entry);
    match config.env.iter_mut().find(|known| name(known) == wanted) {
        Some(known) => entry.clone_into(known),
        None => config.env.push(entry.to_owned()),
    }
}

fn history(record: &GuestRecord, request: &CommitRequest, is_empty: bool) -> History {
    let mut other = BTreeMap::new();
    if is_empty {
        other.insert("empty_layer".to_owned(), true.into());
    }
    if let Some(author) = &request.author {
        other.insert("author".to_owned(), author.as_str().into());
    }
    History {
        created: Some(rfc3339(SystemTime::now())),
        created_by: Some(record.config.command.join(" ")).filter(|words| !words.is_empty()),
        comment: request.message.clone(),
        other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_guest_runs_as_the_guest_was_asked_to() {
        let image = Image {
            id: Digest::of(b""),
            manifest: Digest::of(b""),
            config: ImageConfig {
                config: Config {
                    env: vec!["A=1".to_owned(), "B=1".to_owned()],
                    cmd: vec!["old".to_owned()],
                    user: "nobody".to_owned(),
                    ..Config::default()
                },
                ..ImageConfig::default()
            },
            layers: Vec::new(),
        };
        let mut options = RunOptions::new("/", "i");
        let unchanged = configuration(&image, &options);
        assert_eq!(unchanged, image.config);
        options.environment = vec!["B=2".to_owned(), "C=3".to_owned()];
        options.entrypoint = Some(vec!["entry".to_owned()]);
        options.working_directory = Some("/srv".into());
        options.annotations = vec![("a".to_owned(), "b".to_owned())];
        let config = configuration(&image, &options).config;
        assert_eq!(config.env, ["A=1", "B=2", "C=3"]);
        assert_eq!(config.entrypoint, ["entry"]);
        assert!(config.cmd.is_empty());
        assert_eq!(
            (config.user.as_str(), config.working_dir.as_str()),
            ("nobody", "/srv")
        );
        assert_eq!(config.labels["a"], "b");
    }
}
