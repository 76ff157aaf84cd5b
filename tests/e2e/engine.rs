//! What the engines' tests share: where programs are, how one is called, and a small image.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;

use tempfile::TempDir;

/// Applets that the small image has beside `sh`.
const APPLETS: [&str; 22] = [
    "sh", "cat", "echo", "sleep", "true", "false", "id", "env", "pwd", "kill", "touch", "ls",
    "hostname", "head", "grep", "test", "stat", "mkdir", "tty", "stty", "wc", "mount",
];

fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
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

/// The runtime under test, as an engine is told it: one path, no word before the command.
pub(crate) fn runtime() -> PathBuf {
    std::env::var_os("E2E_RUNTIME")
        .or_else(|| std::env::var_os("INSULA_BINARY"))
        .map_or_else(|| repository().join("target/release/insula"), PathBuf::from)
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// Runs a command to its end, with empty input and with the peers first in its PATH.
pub(crate) fn run(command: &mut Command) -> Said {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", peer("").display()));
    let output = command.stdin(Stdio::null()).output();
    output
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
        .into()
}

/// Runs a command that must succeed; its standard output.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let said = run(command);
    assert_eq!(
        said.code,
        Some(0),
        "{command:?}: {}\n{}",
        said.stderr,
        said.stdout
    );
    said.stdout
}

/// Calls `is_done` until it holds, for up to a minute; an engine offers no event to wait for.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_done() {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the state of another program is polled"
        )]
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("waited a minute for {what}");
}

/// The name of the control groups that a test makes: its temporary directory's.
pub(crate) fn group_name(directory: &TempDir) -> String {
    directory
        .path()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Removes the control groups below the one of a test, which engines leave. Those of processes that
/// are just ending can be removed only when they are gone.
pub(crate) fn remove_groups(directory: &TempDir) {
    let path = format!("/sys/fs/cgroup*/{}*", group_name(directory));
    let find = |then: &[&str]| {
        let arguments = ["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &path];
        run(Command::new("find").args(arguments).args(then))
    };
    eventually("the control groups to be empty", || {
        find(&["-exec", "rmdir", "{}", "+"]);
        find(&[]).stdout.is_empty()
    });
}

/// A tar archive with a busybox root file system, for import as an image.
pub(crate) fn rootfs_archive(directory: &Path) -> PathBuf {
    let root = directory.join("rootfs");
    for name in ["bin", "tmp", "etc", "proc", "sys", "dev"] {
        std::fs::create_dir_all(root.join(name)).expect("make a directory of the image");
    }
    std::fs::copy(peer("busybox"), root.join("bin/busybox")).expect("copy busybox");
    for applet in APPLETS {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet))
            .expect("link an applet");
    }
    std::fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\nguest:x:5:6::/tmp:/bin/sh\n",
    )
    .expect("write etc/passwd");
    let archive = directory.join("rootfs.tar");
    succeed(
        Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&archive)
            .arg("."),
    );
    archive
}

/// A private store of podman, with the image `small` in it.
pub(crate) struct Podman {
    pub(crate) directory: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Self {
        let podman = Self {
            directory: TempDir::with_prefix("insula-e2e-").expect("make a directory"),
        };
        let archive = rootfs_archive(podman.directory.path());
        podman.succeed(
            ["import", "--quiet", "--change", "CMD=/bin/sh"]
                .map(OsStr::new)
                .into_iter()
                .chain([archive.as_os_str(), OsStr::new("localhost/small:1")]),
        );
        podman
    }

    /// The control group above those of this store's containers.
    pub(crate) fn group(&self) -> String {
        format!("/{}", group_name(&self.directory))
    }

    /// A podman command on this store, with the runtime under test.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(peer("podman"));
        for (option, name) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            command.arg(option).arg(self.directory.path().join(name));
        }
        command.args([
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
            "--runtime",
        ]);
        command.arg(runtime()).args(arguments);
        command
    }

    #[track_caller]
    pub(crate) fn succeed<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> String {
        succeed(&mut self.command(arguments))
    }

    /// `podman run --rm` of the small image with options and a shell script; what it said.
    pub(crate) fn run_script(&self, options: &[&str], script: &str) -> Said {
        let words = ["run", "--rm", "--network=none"]
            .into_iter()
            .chain(options.iter().copied());
        run(&mut self.command(words.chain(["localhost/small:1", "sh", "-c", script])))
    }

    /// The same, which must succeed; its standard output.
    #[track_caller]
    pub(crate) fn script(&self, options: &[&str], script: &str) -> String {
        let said = self.run_script(options, script);
        assert_eq!(
            said.code,
            Some(0),
            "podman run {options:?}: {}\n{}",
            said.stderr,
            said.stdout
        );
        said.stdout
    }

    /// Starts a container in the background.
    #[track_caller]
    pub(crate) fn start(&self, name: &str, options: &[&str], script: &str) {
        let group = self.group();
        let words = [
            "run",
            "--detach",
            "--network=none",
            "--cgroup-parent",
            &group,
            "--name",
            name,
        ];
        let words = words.into_iter().chain(options.iter().copied());
        self.succeed(words.chain(["localhost/small:1", "sh", "-c", script]));
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = run(&mut self.command(["rm", "--all", "--force", "--time", "0"]));
        remove_groups(&self.directory);
    }
}
