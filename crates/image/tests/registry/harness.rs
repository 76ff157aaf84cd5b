//! Registries, images, clients and skopeo.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Once};

use insula_image::registry::{
    BlobState, Client, ClientOptions, Event, Progress, PullOptions, Pulled, PushOptions, Pushed,
    Silent, pull, push,
};
use insula_image::{
    AddedLayer, CONFIG_TYPE, Descriptor, Digest, LAYER_GZIP_TYPE, LAYER_ZSTD_TYPE, MANIFEST_TYPE,
    Reference, Result, Store, TransactionOptions,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A program of the peers, which are unpacked first when they are not there.
pub(crate) fn peer(name: &str) -> PathBuf {
    static UNPACKED: Once = Once::new();
    UNPACKED.call_once(|| {
        let status = Command::new(repository().join("scripts/peers")).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "scripts/peers fails"
        );
    });
    repository().join("target/peers/bin").join(name)
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    output
}

/// Runs skopeo without any check of certificates.
pub(crate) fn skopeo(words: &[&str]) -> Vec<u8> {
    run(Command::new(peer("skopeo")).args(words)).stdout
}

/// How a registry wants to be spoken to.
#[derive(Default)]
pub(crate) struct Setup {
    /// A certificate and its key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Below `auth:` of the configuration, as JSON, which is YAML.
    pub(crate) auth: Option<Value>,
}

/// A running docker-registry; ends with this value.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
    _directory: TempDir,
}

impl Registry {
    pub(crate) fn start(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            if let Some((child, address)) = try_start(setup, directory.path()) {
                return Self {
                    child,
                    address,
                    _directory: directory,
                };
            }
        }
        panic!("docker-registry does not start");
    }

    pub(crate) fn plain() -> Self {
        Self::start(&Setup::default())
    }

    /// The name of an image there.
    pub(crate) fn name(&self, path: &str) -> Reference {
        format!("{}/{path}", self.address).parse().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// `None` when somebody else took the port meanwhile.
fn try_start(setup: &Setup, directory: &Path) -> Option<(Child, String)> {
    // Freed at once, for the registry to take.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut document = json!({
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": true}},
        "storage": {
            "filesystem": {"rootdirectory": directory.join("data")},
            "delete": {"enabled": true},
        },
        "http": {"addr": address},
    });
    if let Some((certificate, key)) = &setup.tls {
        document["http"]["tls"] = json!({"certificate": certificate, "key": key});
    }
    if let Some(auth) = &setup.auth {
        document["auth"] = auth.clone();
    }
    let configuration = directory.join("config.yml");
    fs::write(&configuration, document.to_string()).unwrap();
    let mut child = Command::new(peer("docker-registry"))
        .arg("serve")
        .arg(&configuration)
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listens = lines
        .by_ref()
        .map_while(|line| line.ok())
        .any(|line| line.contains("listening on"));
    if !listens {
        child.wait().unwrap();
        return None;
    }
    // It must not be stopped by a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Some((child, address))
}

/// An authority of our own, and a certificate of it for 127.0.0.1.
pub(crate) struct Tls {
    pub(crate) directory: TempDir,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let openssl = |words: &str| {
            let mut command = Command::new(peer("openssl"));
            run(command.args(words.split(' ')).current_dir(&directory));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"
        ));
        openssl(&format!(
            "req {key} -keyout server.key -out server.csr -subj /CN=server"
        ));
        let extension = "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
        fs::write(directory.path().join("extension"), extension).unwrap();
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
             -out server.pem -days 2 -extfile extension",
        );
        fs::create_dir(directory.path().join("certs")).unwrap();
        let certs = directory.path().join("certs/ca.crt");
        fs::copy(directory.path().join("ca.pem"), certs).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn server(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.path("server.pem"), self.path("server.key")))
    }
}

/// A client that knows nobody and gives up soon.
pub(crate) fn client() -> Arc<Client> {
    client_with(ClientOptions::default())
}

pub(crate) fn client_with(options: ClientOptions) -> Arc<Client> {
    Arc::new(Client::new(options))
}

/// A store of its own.
pub(crate) struct TestStore {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        Self { directory, store }
    }

    pub(crate) fn pull(&self, client: &Arc<Client>, reference: &Reference) -> Result<Pulled> {
        let options = PullOptions::default();
        pull(&self.store, client, reference, &options, &Silent)
    }

    pub(crate) fn push(&self, client: &Arc<Client>, image: &str, to: &Reference) -> Result<Pushed> {
        let options = PushOptions::default();
        push(&self.store, client, image, to, &options, &Silent)
    }

    /// Files below a directory of the store, by name.
    pub(crate) fn files(&self, part: &str) -> Vec<String> {
        let place = self.directory.path().join("images").join(part);
        let Ok(entries) = fs::read_dir(place) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// How the layers of a test image are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

/// An archive with one file of `size` bytes that do not compress, different for each `seed`.
pub(crate) fn layer(seed: u64, size: usize, packing: Packing) -> Vec<u8> {
    let mut content = vec![0; size];
    let mut state = seed | 1;
    for byte in &mut content {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = state.to_be_bytes()[0];
    }
    let archive = tar(&format!("file-{seed}"), &content);
    match packing {
        Packing::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&archive).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(&archive[..], 1).unwrap(),
    }
}

/// A tar archive with one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"14000000000\0");
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

/// Puts an image with these layers into a store, under a name; returns its manifest.
pub(crate) fn image(store: &TestStore, name: &str, layers: Vec<Vec<u8>>) -> Digest {
    let transaction = store.store.begin_with(options()).unwrap();
    let added: Vec<AddedLayer> = layers
        .into_iter()
        .map(|layer| {
            transaction
                .add_layer(Box::new(std::io::Cursor::new(layer)))
                .unwrap()
        })
        .collect();
    let diff_ids: Vec<String> = added
        .iter()
        .map(|layer| layer.diff_id.to_string())
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string();
    let descriptors: Vec<&Descriptor> = added.iter().map(|layer| &layer.descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
        "config": Descriptor::new(CONFIG_TYPE, Digest::of(config.as_bytes()), config.len() as u64),
        "layers": descriptors,
    });
    let manifest = manifest.to_string();
    let committed = transaction
        .commit(
            manifest.as_bytes(),
            config.as_bytes(),
            &[name.parse().unwrap()],
        )
        .unwrap();
    committed.manifest
}

fn options() -> TransactionOptions {
    TransactionOptions {
        sync: false,
        ..TransactionOptions::default()
    }
}

/// Checks what a layer is called after how it is packed.
pub(crate) fn layer_type(packing: Packing) -> &'static str {
    match packing {
        Packing::Gzip => LAYER_GZIP_TYPE,
        Packing::Zstd => LAYER_ZSTD_TYPE,
    }
}

/// Keeps what it hears, blobs by the last word about them.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<String>>);

impl Progress for Heard {
    fn hear(&self, event: &Event<'_>) {
        let text = match event {
            Event::Resolved { digest, .. } => format!("resolved {digest}"),
            Event::Blob { digest, state, .. } => match state {
                BlobState::Moving(_) => return,
                state => format!("{} {state:?}", &digest.hex()[..8]),
            },
            Event::Warning(text) => format!("warning {text}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Heard {
    pub(crate) fn count(&self, word: &str) -> usize {
        let heard = self.0.lock().unwrap();
        heard.iter().filter(|line| line.contains(word)).count()
    }
}

/// What is in the store's copy of an image: manifest, configuration and blobs are what they say.
pub(crate) fn check_blobs(store: &TestStore, image: &str) {
    let image = store.store.resolve(image).unwrap();
    let manifest = store.store.manifest(&image.manifest).unwrap();
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let bytes = store.store.read_blob(&blob.digest);
        if let Ok(bytes) = bytes {
            assert_eq!(Digest::of(&bytes), blob.digest);
            assert_eq!(bytes.len() as u64, blob.size);
        } else {
            let mut file = store.store.open_blob(&blob.digest).unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
            assert_eq!(Digest::of(&bytes), blob.digest);
        }
    }
}
