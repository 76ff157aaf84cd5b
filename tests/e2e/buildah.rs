//! buildah: `run` and `bud` with the isolation `oci`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::engine::{peer, rootfs_archive, run, runtime, succeed};

struct Buildah {
    directory: TempDir,
}

impl Buildah {
    fn new() -> Self {
        Self {
            directory: TempDir::with_prefix("insula-e2e-").expect("make a directory"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(peer("buildah"));
        for (option, name) in [("--root", "root"), ("--runroot", "run")] {
            command.arg(option).arg(self.directory.path().join(name));
        }
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }

    /// A command that runs something: `first`, the runtime, and the rest.
    fn with_runtime(&self, first: &str, rest: &[&str]) -> Command {
        let mut command = self.command(&[
            first,
            "--isolation",
            "oci",
            "--network",
            "none",
            "--runtime",
        ]);
        command.arg(runtime()).args(rest);
        command
    }

    /// Builds an image `built` of a Dockerfile whose first lines are given here already.
    fn build(&self, steps: &str) -> Command {
        rootfs_archive(self.directory.path());
        let text = format!("FROM scratch\nADD rootfs.tar /\n{steps}");
        std::fs::write(self.directory.path().join("Dockerfile"), text)
            .expect("write the Dockerfile");
        let limits = [
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1000:1000",
            "--tag",
            "built",
        ];
        let mut command = self.with_runtime("bud", &limits);
        command.arg(self.directory.path() as &Path);
        command
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        let _ = run(&mut self.command(&["rm", "--all"]));
    }
}

#[test]
fn builds_an_image_with_steps_that_run() {
    let buildah = Buildah::new();
    let steps = "RUN [\"/bin/sh\", \"-c\", \"echo made >/file\"]\nWORKDIR /etc\nUSER 5:6\n\
                 RUN [\"/bin/sh\", \"-c\", \"echo at $(pwd) as $(id -u):$(id -g); cat /file\"]\n";
    let output = succeed(&mut buildah.build(steps));
    assert!(output.contains("at /etc as 5:6\nmade"), "{output}");
}

#[test]
fn a_failing_step_fails_the_build() {
    let buildah = Buildah::new();
    let said = run(&mut buildah.build("RUN [\"/bin/sh\", \"-c\", \"exit 3\"]\n"));
    assert_ne!(said.code, Some(0));
    assert!(said.stderr.contains("exit status 3"), "{}", said.stderr);
}

#[test]
fn runs_in_a_working_container() {
    let buildah = Buildah::new();
    succeed(&mut buildah.build("RUN [\"/bin/sh\", \"-c\", \"echo made >/file\"]\n"));
    let container = succeed(&mut buildah.command(&["from", "--pull-never", "built"]));
    let said = succeed(&mut buildah.with_runtime("run", &[&container, "/bin/cat", "/file"]));
    assert_eq!(said, "made");
    let said = run(&mut buildah.with_runtime("run", &[&container, "/bin/sh", "-c", "exit 7"]));
    assert_eq!(said.code, Some(7), "{}", said.stderr);
}
