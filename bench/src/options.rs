//! What is measured, and with which programs.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::launch::Program;

const USAGE: &str = "usage: insula-bench [--insula PROGRAM] [--crun PATH] [--runc PATH] \
    [--podman PATH] [--buildah PATH] [--native DIRECTORY] [--busybox PATH] [--peers DIRECTORY] \
    [--profile SECCOMP.json] [--runs N] \
    [--only PART-OF-A-NAME] [--host] [--json FILE] [--soak STARTS]";

#[derive(Debug)]
pub(crate) struct Options {
    /// The product's binary.
    pub(crate) insula: Program,
    /// Its OCI runtime: `insula oci`, or another runtime to check this program with.
    pub(crate) runtime: Program,
    pub(crate) crun: Program,
    pub(crate) runc: Program,
    pub(crate) podman: Program,
    pub(crate) buildah: Program,
    /// Where `floor`, `peak` and `smallest` are.
    pub(crate) native: PathBuf,
    pub(crate) busybox: PathBuf,
    /// Where `docker-registry`, `skopeo` and `umoci` are.
    pub(crate) peers: PathBuf,
    pub(crate) profile: PathBuf,
    /// Of each contestant; slow figures take a part of it.
    pub(crate) runs: usize,
    pub(crate) only: Option<String>,
    /// The host as it is, without the peer that refuses it.
    pub(crate) host: bool,
    pub(crate) json: Option<PathBuf>,
    /// So many starts that have to leave nothing, instead of the table.
    pub(crate) soak: Option<u64>,
}

impl Options {
    /// # Errors
    /// With the usage, for an unknown option or one without its value.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            insula: Program::parse("target/release/insula"),
            runtime: Program::parse("target/release/insula oci"),
            crun: Program::parse("target/peers/bin/crun"),
            runc: Program::parse("target/peers/bin/runc"),
            podman: Program::parse("target/peers/bin/podman"),
            buildah: Program::parse("target/peers/bin/buildah"),
            native: "target/bench".into(),
            busybox: "target/peers/bin/busybox".into(),
            peers: "target/peers/bin".into(),
            profile: "target/peers/root/usr/share/containers/seccomp.json".into(),
            runs: 200,
            only: None,
            host: false,
            json: None,
            soak: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--host" {
                options.host = true;
                continue;
            }
            let value = arguments
                .next()
                .with_context(|| format!("{name}: {USAGE}"))?;
            options.set(&name, &value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--insula" => {
                self.insula = Program::parse(value);
                self.runtime = Program::parse(&format!("{value} oci"));
            }
            "--runtime" => self.runtime = Program::parse(value),
            "--crun" => self.crun = Program::parse(value),
            "--runc" => self.runc = Program::parse(value),
            "--podman" => self.podman = Program::parse(value),
            "--buildah" => self.buildah = Program::parse(value),
            "--native" => self.native = value.into(),
            "--peers" => self.peers = value.into(),
            "--busybox" => self.busybox = value.into(),
            "--profile" => self.profile = value.into(),
            "--runs" => self.runs = value.parse().context("--runs takes a number")?,
            "--only" => self.only = Some(value.to_owned()),
            "--soak" => self.soak = Some(value.parse().context("--soak takes a number")?),
            "--json" => self.json = Some(value.into()),
            _ => bail!("unknown option {name}: {USAGE}"),
        }
        Ok(())
    }
}
