//! What the commands that speak with registries share: their options, the client, Ctrl-C, errors.

use std::path::PathBuf;
use std::sync::Arc;

use insula_node::image::Kind;
use insula_node::image::registry::{Cancel, Client, ClientOptions, PARALLEL_DEFAULT};
use insula_node::interrupt::Watch;

use super::store;
use crate::Failure;
use crate::output::progress::Form;

/// Which registries are trusted, and how.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct TrustArguments {
    /// Check certificates and refuse plain HTTP: true or false [default: by registries.conf]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    #[arg(require_equals = true, action = clap::ArgAction::Set)]
    tls_verify: Option<bool>,

    /// Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

/// How a transfer runs and looks.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TransferArguments {
    /// How to show progress: auto, plain, json, none
    #[arg(
        long,
        value_name = "FORM",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub(super) progress: Form,

    /// How many layers to transfer at once
    #[arg(long, value_name = "NUMBER", default_value_t = PARALLEL_DEFAULT)]
    #[arg(value_parser = parallel)]
    pub(super) parallel: usize,

    #[command(flatten)]
    pub(super) trust: TrustArguments,
}

fn parallel(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=32) => Ok(number),
        _ => Err("a number from 1 to 32".to_owned()),
    }
}

/// A client that ends when the user presses Ctrl-C. It lives as long as the watch beside it.
pub(super) struct Connection {
    pub(super) client: Arc<Client>,
    _watch: Watch,
}

impl TrustArguments {
    /// What is configured, with what the flags say.
    pub(super) fn options(&self) -> Result<ClientOptions, Failure> {
        let options = ClientOptions::load().map_err(|error| failure(&error))?;
        Ok(ClientOptions {
            tls_verify: self.tls_verify,
            certificates: self.cert_dir.clone(),
            ..options
        })
    }

    pub(super) fn connect(&self) -> Result<Connection, Failure> {
        let mut options = self.options()?;
        let cancel = Cancel::default();
        options.cancel = cancel.clone();
        let watch = Watch::start(move || cancel.raise())
            .map_err(|error| Failure::failed("cannot watch for signals").caused_by(&error))?;
        Ok(Connection {
            client: Arc::new(Client::new(options)),
            _watch: watch,
        })
    }
}

/// An error of a registry in a user's words.
pub(super) fn failure(error: &insula_node::image::Error) -> Failure {
    let failure = store::failure(error);
    match error.kind() {
        Kind::Cancelled => failure.with_exit_code(130),
        _ => failure,
    }
}
