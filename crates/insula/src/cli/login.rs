//! `insula login [REGISTRY]`.

use std::io::{BufRead, IsTerminal, Read, Write};

use insula_node::image::registry::{Client, Credential};
use insula_node::terminal::read_unseen;

use super::registry::{TrustArguments, failure};
use crate::{Failure, output};

/// Longer secrets are nobody's password.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Keep a name and password for a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The password is checked against the registry before it is kept: in $REGISTRY_AUTH_FILE,
$DOCKER_CONFIG/config.json or ~/.docker/config.json, or by the credential helper that file names.

Examples:
  insula login localhost:5000
  pass show registry | insula login -u me --password-stdin registry.example.com")]
pub(super) struct Arguments {
    #[arg(
        help = "The registry: HOST[:PORT]",
        value_name = "REGISTRY",
        default_value = "docker.io"
    )]
    registry: String,

    /// The user's name; asked for on a terminal
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,

    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,

    #[command(flatten)]
    trust: TrustArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let registry = host(&arguments.registry)?;
    let credential = ask(arguments, registry)?;
    let options = arguments.trust.options()?;
    let credentials = options.credentials.clone();
    Client::new(options)
        .check_login(registry, &credential)
        .map_err(|error| failure(&error))?;
    let keeper = credentials
        .store(registry, &credential)
        .map_err(|error| failure(&error))?;
    output::talk(format_args!(
        "registry/{registry} logged in, kept in {keeper}"
    ));
    Ok(0)
}

/// People paste whole addresses.
pub(super) fn host(registry: &str) -> Result<&str, Failure> {
    let bare = registry
        .split_once("://")
        .map_or(registry, |(_, rest)| rest);
    let bare = bare.trim_end_matches('/');
    if bare.is_empty() || bare.contains(['/', '@', ' ']) {
        return Err(Failure::usage(format!("`{registry}` is not a registry"))
            .hint("a registry is HOST[:PORT], without the name of an image"));
    }
    Ok(bare)
}

fn ask(arguments: &Arguments, registry: &str) -> Result<Credential, Failure> {
    let unreadable = |error: &std::io::Error| Failure::failed("cannot read stdin").caused_by(error);
    if arguments.password_stdin {
        let Some(username) = &arguments.username else {
            return Err(Failure::usage("--password-stdin needs --username"));
        };
        let mut password = String::new();
        std::io::stdin()
            .take(SECRET_BYTES_MAX)
            .read_to_string(&mut password)
            .map_err(|error| unreadable(&error))?;
        return credential(username, password.trim_end_matches(['\r', '\n']));
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("stdin is not a terminal to ask for a password")
                .hint("insula login -u NAME --password-stdin REGISTRY < FILE"),
        );
    }
    let username = match &arguments.username {
        Some(username) => username.clone(),
        None => {
            prompt(&format!("User name for {registry}: ")).map_err(|error| unreadable(&error))?
        }
    };
    let question = format!("Password for {username} at {registry}: ");
    let password = read_unseen(&question, SECRET_BYTES_MAX).map_err(|error| unreadable(&error))?;
    credential(&username, &password)
}

fn prompt(question: &str) -> std::io::Result<String> {
    let mut terminal = std::io::stderr().lock();
    write!(terminal, "{question}")?;
    terminal.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().take(4096).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn credential(username: &str, password: &str) -> Result<Credential, Failure> {
    if username.is_empty() || password.is_empty() || username.contains(':') {
        return Err(Failure::usage(
            "a user name without a colon and a password are needed",
        ));
    }
    Ok(Credential::Password {
        username: username.to_owned(),
        password: password.to_owned(),
    })
}
