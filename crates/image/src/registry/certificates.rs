//! Who vouches for a registry: the host's root certificates and those kept for one registry.
//!
//! ```text
//!  the host's bundle (SSL_CERT_FILE, /etc/ssl/certs/ca-certificates.crt, …)
//!  certs.d/HOST:PORT/*.crt           more authorities for this registry
//!  certs.d/HOST:PORT/NAME.{cert,key} who we are to it
//! ```
//!
//! `certs.d` is looked for in `--cert-dir`'s place, the user's and the host's directories of both
//! podman and docker; the first that has something for the host is taken.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};

use super::tls::{AnyCertificate, Verifier};
use crate::error::{Context, Error, Result};

/// Where distributions keep the bundle, the most frequent first.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

type Chain = Vec<CertificateDer<'static>>;

/// Certificates are read once they are needed.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Instead of every `certs.d/HOST:PORT`.
    own_directory: Option<PathBuf>,
    roots: OnceLock<Chain>,
    provider: Arc<CryptoProvider>,
}

/// What one registry's directory holds.
#[derive(Default)]
struct Found {
    authorities: Chain,
    /// Where it is, for errors; the certificates; the key.
    client: Option<(PathBuf, Chain, PrivateKeyDer<'static>)>,
}

impl Certificates {
    /// `own_directory` replaces the directories of the host.
    pub(crate) fn new(own_directory: Option<PathBuf>) -> Self {
        Self {
            own_directory,
            roots: OnceLock::new(),
            provider: Arc::new(ring::default_provider()),
        }
    }

    /// How to speak TLS with `registry` (host and port).
    ///
    /// # Errors
    /// A file for this registry cannot be read or holds something else.
    pub(crate) fn for_registry(&self, registry: &str, verify: bool) -> Result<Arc<ClientConfig>> {
        let found = match self.directory(registry) {
            Some(directory) => read_directory(&directory)?,
            None => Found::default(),
        };
        let verifier: Arc<dyn ServerCertVerifier> = if verify {
            Arc::new(self.verifier(found.authorities))
        } else {
            Arc::new(AnyCertificate(Arc::clone(&self.provider)))
        };
        let refused = |error: rustls::Error| Error::invalid(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let configuration = match found.client {
            Some((path, chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(refused)
                .step(|| format!("{} and its key {}", path.display(), key_of(&path).display()))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(configuration))
    }

    fn verifier(&self, own: Chain) -> Verifier {
        let mut roots = RootCertStore::empty();
        // What cannot be read as an authority vouches for nobody, and may yet be known by heart.
        roots.add_parsable_certificates(own.iter().cloned());
        roots.add_parsable_certificates(self.roots.get_or_init(host_roots).iter().cloned());
        let provider = Arc::clone(&self.provider);
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        // It fails for a lack of authorities only.
        let by_authority = builder.build().ok();
        Verifier::new(by_authority, own, Arc::clone(&self.provider))
    }

    fn directory(&self, registry: &str) -> Option<PathBuf> {
        if let Some(own) = &self.own_directory {
            return Some(own.clone());
        }
        let users = [".config/containers/certs.d", ".docker/certs.d"];
        let users = users.into_iter().filter_map(super::user_directory);
        let hosts = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
        let all = users.chain(hosts.map(PathBuf::from));
        all.map(|directory| directory.join(registry))
            .find(|directory| directory.is_dir())
    }
}

fn read_directory(directory: &Path) -> Result<Found> {
    let named = || format!("read {}", directory.display());
    let entries = std::fs::read_dir(directory).step(named)?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .step(named)?;
    paths.sort();
    let mut found = Found::default();
    for path in paths {
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("crt") => found.authorities.extend(read_certificates(&path)?),
            Some("cert") => {
                let (chain, key) = (read_certificates(&path)?, read_key(&key_of(&path))?);
                found.client = Some((path, chain, key));
            }
            Some("key") if !path.with_extension("cert").exists() => {
                return Err(Error::invalid(format!(
                    "{} has no certificate beside it",
                    path.display()
                ))
                .hint("a client certificate is NAME.cert, its key NAME.key"));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn key_of(certificate: &Path) -> PathBuf {
    certificate.with_extension("key")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).step(|| format!("read {}", path.display()))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    // The error would not say more than this, and must not show the key.
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_malformed| {
        Error::invalid(format!(
            "{} holds no private key in PEM form",
            path.display()
        ))
    })
}

fn read_certificates(path: &Path) -> Result<Chain> {
    let certificates = certificates_in(&read(path)?);
    if certificates.is_empty() {
        return Err(Error::invalid(format!(
            "{} holds no certificate in PEM form",
            path.display()
        )));
    }
    Ok(certificates)
}

fn certificates_in(pem: &[u8]) -> Chain {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

/// The authorities this host trusts. A host without any can still reach registries that have their
/// own in `certs.d`; the handshake with others says what is missing.
fn host_roots() -> Chain {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundles = named.into_iter().chain(BUNDLES.map(PathBuf::from));
    for bundle in bundles {
        let certificates = std::fs::read(bundle).map(|text| certificates_in(&text));
        if let Ok(certificates) = certificates
            && !certificates.is_empty()
        {
            return certificates;
        }
    }
    Vec::new()
}
