//! A registry on loopback, with the images of `corpus.rs`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use insula_sys::rustix::event::{Timespec, poll};

/// Until a registry that was started must answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing tells that a server listens: it is tried again and again.
const MOMENT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Ends with its owner.
pub(super) struct Server {
    process: Child,
    /// `localhost:PORT`.
    pub(super) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    pub(super) fn start(program: &Path, directory: &Path) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let storage = directory.join("registry");
        fs::create_dir_all(&storage)?;
        let config = directory.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
            storage.display()
        );
        fs::write(&config, text)?;
        let process = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let server = Self {
            process,
            address: format!("localhost:{port}"),
        };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("the registry does not answer on port {port}");
            }
            poll(&mut [], Some(&MOMENT)).context("wait for the registry")?;
        }
        Ok(server)
    }
}
