//! The commands that speak with registries, against docker-registry of Debian on loopback: what is
//! printed where, exit codes, credentials and helpers, two pulls at once, Ctrl-C.
//!
//! `INSULA_BINARY` names the binary under test. The registry comes from `scripts/peers`.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests are built on must work, or they end"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use insula_sys::rustix::event::{Timespec, poll};
use insula_sys::rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn peer(name: &str) -> PathBuf {
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

fn binary() -> PathBuf {
    std::env::var_os("INSULA_BINARY")
        .map_or_else(|| repository().join("target/release/insula"), PathBuf::from)
}

/// A registry with the user `me`, password `secret`; and a home and a store of our own.
struct World {
    registry: Child,
    address: String,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let users = Command::new(peer("htpasswd"))
            .args(["-Bbn", "me", "secret"])
            .output()
            .unwrap();
        let file = directory.path().join("htpasswd");
        fs::write(&file, users.stdout).unwrap();
        for name in ["home", "bin"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        for _ in 0..5 {
            if let Some((registry, address)) = start(directory.path(), &file) {
                return Self {
                    registry,
                    address,
                    directory,
                };
            }
        }
        panic!("docker-registry does not start");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command
            .args(words)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("INSULA_STORE", self.path("store"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        said(self.command(words).output().unwrap())
    }

    #[track_caller]
    fn succeed(&self, words: &[&str]) -> Said {
        let said = self.run(words);
        assert_eq!(said.code, Some(0), "{words:?}: {}", said.stderr);
        said
    }

    /// `insula login` with this password on stdin.
    fn login(&self, password: &str) -> Said {
        let words = ["login", "-u", "me", "--password-stdin", &self.address];
        let mut child = self.command(&words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(password.as_bytes()).unwrap();
        drop(stdin);
        said(child.wait_with_output().unwrap())
    }

    /// Pushes an image with a file of `size` bytes under `name`; returns its digest.
    fn push_image(&self, name: &str, size: usize) -> String {
        let root = self.path("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(peer("busybox"), root.join("bin/sh")).unwrap();
        fs::write(root.join("file"), noise(size)).unwrap();
        let root = root.display().to_string();
        let other = self.path("other").display().to_string();
        self.succeed(&[
            "--store",
            &other,
            "image",
            "import",
            "--no-sync",
            "--tag",
            name,
            &root,
        ]);
        let pushed = self.succeed(&["--store", &other, "push", "--progress", "none", name]);
        pushed.stdout
    }

    fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    fn entries(&self, part: &str) -> usize {
        let place = self.path("store/images").join(part);
        fs::read_dir(place).map_or(0, Iterator::count)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.registry.kill().unwrap();
        self.registry.wait().unwrap();
    }
}

/// Content that compression does not shrink: a transfer of it takes its time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn said(output: Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Said {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

fn start(directory: &Path, users: &Path) -> Option<(Child, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let document = json!({
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": directory.join("data")}},
        "auth": {"htpasswd": {"realm": "test", "path": users}},
        "http": {"addr": address},
    });
    let configuration = directory.join("config.yml");
    fs::write(&configuration, document.to_string()).unwrap();
    let mut child = Command::new(peer("docker-registry"))
        .arg("serve")
        .arg(&configuration)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut known = lines.by_ref().map_while(Result::ok);
    if !known.any(|line| line.contains("listening on")) {
        child.wait().unwrap();
        return None;
    }
    // It must not be stopped by a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Some((child, address))
}

#[test]
fn log_in_push_pull_log_out() {
    let world = World::new();
    let refused = world.login("wrong\n");
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(!world.path("home/.docker/config.json").exists());
    let accepted = world.login("secret\n");
    assert_eq!(accepted.code, Some(0), "{}", accepted.stderr);
    let file = world.path("home/.docker/config.json");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!accepted.stderr.contains("secret"));

    let name = world.name("team/app:1");
    let digest = world.push_image(&name, 100_000);
    let pulled = world.succeed(&["pull", &name]);
    assert_eq!(pulled.stdout, digest);
    assert!(pulled.stderr.contains("pulled"), "{}", pulled.stderr);
    assert_eq!(
        world.succeed(&["images", "-o", "name"]).stdout,
        format!("image/{name}")
    );
    let again = world.succeed(&["pull", "-q", "-o", "json", &name]);
    let document: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(document["digest"], digest);
    assert_eq!(document["transferredBytes"], 0);
    assert!(again.stderr.is_empty(), "{}", again.stderr);
    let missing = world.run(&["pull", &world.name("team/app:2")]);
    assert_eq!(missing.code, Some(3), "{}", missing.stderr);
    let referrers = world.succeed(&["image", "referrers", "-o", "json", &name]);
    assert_eq!(referrers.stdout, "[]");

    world.succeed(&["logout", &world.address]);
    let denied = world.run(&["pull", &name]);
    assert_eq!(denied.code, Some(4), "{}", denied.stderr);
    assert!(
        denied.stderr.contains("hint: log in: insula login"),
        "{}",
        denied.stderr
    );
    assert_eq!(world.run(&["logout", &world.address]).code, Some(3));
}

#[test]
fn a_helper_keeps_what_docker_s_configuration_gives_to_it() {
    let world = World::new();
    let kept = world.path("kept");
    let script = format!(
        "#!/bin/sh\nread line\ncase $1 in\n\
         store) printf %s \"$line\" >{0} ;;\n\
         erase) rm -f {0} ;;\n\
         get) test -e {0} && cat {0} && exit\n\
              echo 'credentials not found in native keychain'; exit 1 ;;\nesac\n",
        kept.display()
    );
    let helper = world.path("bin/docker-credential-test");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(world.path("home/.docker")).unwrap();
    let file = world.path("home/.docker/config.json");
    fs::write(&file, r#"{"credsStore": "test", "proxies": {}}"#).unwrap();

    assert_eq!(world.login("secret").code, Some(0));
    assert!(fs::read_to_string(&kept).unwrap().contains("secret"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("proxies") && !text.contains("\"auth\""),
        "{text}"
    );
    world.push_image(&world.name("a:1"), 10);
    let logout = world.succeed(&["logout", &world.address]);
    assert!(
        logout.stderr.contains("docker-credential-test"),
        "{}",
        logout.stderr
    );
    assert!(!kept.exists());
}

#[test]
fn progress_for_programs_is_json_by_the_line() {
    let world = World::new();
    world.login("secret");
    let name = world.name("a:1");
    world.push_image(&name, 3_000_000);
    let pulled = world.succeed(&["pull", "--progress", "json", "-q", &name]);
    let events: Vec<Value> = pulled
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "resolved");
    let states: Vec<&str> = events
        .iter()
        .filter_map(|event| event["state"].as_str())
        .collect();
    assert_eq!(states.first(), Some(&"waiting"));
    assert_eq!(states.last(), Some(&"done"));
    assert!(states.contains(&"moving"));
}

#[test]
fn two_processes_bring_a_layer_once() {
    let world = World::new();
    world.login("secret");
    let name = world.name("a:1");
    world.push_image(&name, 30_000_000);
    let words = ["pull", "-q", "-o", "jsonpath={.transferredBytes}", &name];
    let both = [0; 2].map(|_| world.command(&words).spawn().unwrap());
    let mut transferred = both.map(|child| {
        let said = said(child.wait_with_output().unwrap());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said.stdout.parse::<u64>().unwrap()
    });
    transferred.sort_unstable();
    assert_eq!(transferred[0], 0);
    assert!(transferred[1] > 0);
}

#[test]
fn ctrl_c_leaves_only_what_can_be_resumed() {
    let world = World::new();
    world.login("secret");
    let name = world.name("a:1");
    world.push_image(&name, 64_000_000);
    let mut child = world
        .command(&["pull", "--progress", "json", &name])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let moves = |line: String| line.contains("\"bytes\":") && !line.contains("\"bytes\":0,");
    assert!(lines.by_ref().map_while(Result::ok).any(moves));
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).unwrap();
    // The pipe is drained to its end: the process must not wait for us.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130), "{rest:?}");
    assert_eq!(world.entries("staging"), 0);
    assert_eq!(world.entries("partial/sha256"), 1);
    assert_eq!(world.entries("layers/sha256"), 0);
    assert_eq!(world.succeed(&["images", "-q"]).stdout, "");
    world.succeed(&["pull", "-q", &name]);
    assert_eq!(world.entries("partial/sha256"), 0);
}

/// As in `pull`, and it ends the build.
#[test]
fn ctrl_c_while_a_build_pulls_leaves_only_what_can_be_resumed() {
    let world = World::new();
    world.login("secret");
    let name = world.name("a:1");
    world.push_image(&name, 64_000_000);
    let context = world.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(
        context.join("Containerfile"),
        format!("FROM {name}\nLABEL a=b\n"),
    )
    .unwrap();
    let context = context.display().to_string();
    let mut child = world
        .command(&["build", "-t", "b:1", &context])
        .spawn()
        .unwrap();
    // The file in which the layer arrives says that the transfer is under way.
    let arriving = world.path("store/images/partial/sha256");
    let moment = Timespec::try_from(Duration::from_millis(2)).unwrap();
    let has_begun = || {
        let entries = fs::read_dir(&arriving).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.metadata().map_or(0, |metadata| metadata.len()))
            .sum::<u64>()
            > 0
    };
    while !has_begun() {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it ended before the transfer began"
        );
        poll(&mut [], Some(&moment)).unwrap();
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = said(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_eq!(world.entries("staging"), 0);
    assert_eq!(world.entries("partial/sha256"), 1);
    assert_eq!(world.entries("layers/sha256"), 0);
    assert_eq!(world.entries("../containers"), 0);
    world.succeed(&["build", "-q", "-t", "b:1", &context]);
    assert_eq!(world.entries("partial/sha256"), 0);
    world.succeed(&["image", "verify", "--all"]);
}

/// Every place in a Containerfile that can name an image; and what `--pull` says about it.
#[test]
fn a_build_pulls_what_from_and_copy_from_name() {
    let world = World::new();
    world.login("secret");
    for name in ["base:1", "files:1"] {
        world.push_image(&world.name(name), 1000);
    }
    let context = world.path("context");
    fs::create_dir(&context).unwrap();
    let (base, files) = (world.name("base:1"), world.name("files:1"));
    let text = format!("FROM {base} AS one\nFROM one\nCOPY --from={files} /file /copied\n");
    fs::write(context.join("Containerfile"), text).unwrap();
    let context = context.display().to_string();
    let never = world.run(&["build", "--pull", "never", "-t", "b:1", &context]);
    assert_eq!(never.code, Some(3), "{}", never.stderr);
    assert!(never.stderr.contains(&base), "{}", never.stderr);
    world.succeed(&["build", "-q", "-t", "b:1", &context]);
    let names = world.succeed(&["images", "-o", "name"]).stdout;
    assert!(names.contains(&base) && names.contains(&files), "{names}");
    // What is here is not asked for again: the registry may be gone.
    let before = fs::read(world.path("store/images/catalog.json")).unwrap();
    world.succeed(&["build", "-q", "--pull", "missing", &context]);
    world.succeed(&["build", "-q", "--pull", "always", "-t", "b:1", &context]);
    let after = fs::read(world.path("store/images/catalog.json")).unwrap();
    assert_eq!(before.len(), after.len());
    let missing = world.name("absent:1");
    let absent = world.path("absent");
    fs::write(&absent, format!("FROM {missing}\n")).unwrap();
    let file = absent.display().to_string();
    let failed = world.run(&["build", "-f", &file, &context]);
    assert_eq!(failed.code, Some(3), "{}", failed.stderr);
    assert!(failed.stderr.contains("absent"), "{}", failed.stderr);
    assert_eq!(world.entries("staging"), 0);
}

/// Answers a client of HTTP or SOCKS 5 (RFC 1928). Returns the place that it asked for.
fn shake_hands(client: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(client);
    let mut answer = client;
    if reader.fill_buf().ok()?.first() != Some(&5) {
        let mut lines = reader.lines().map_while(Result::ok);
        let first = lines.next()?;
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        answer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        return first.split(' ').nth(1).map(str::to_owned);
    }
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    reader.read_exact(&mut vec![0; head[1].into()]).ok()?;
    answer.write_all(&[5, 0]).ok()?;
    // CONNECT to a name.
    let mut request = [0; 5];
    reader.read_exact(&mut request).ok()?;
    assert_eq!(request[..4], [5, 1, 0, 3]);
    let mut name = vec![0; usize::from(request[4]) + 2];
    reader.read_exact(&mut name).ok()?;
    answer.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let (name, port) = name.split_at(name.len() - 2);
    let port = u16::from_be_bytes([port[0], port[1]]);
    Some(format!("{}:{port}", String::from_utf8_lossy(name)))
}

/// A proxy that knows one name: whatever it is asked to connect to is the registry. Returns its
/// address; each connection sends the place that was asked for.
fn connect_proxy(registry: &str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let registry = registry.to_owned();
    let (asked, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let client = stream.unwrap();
            let place = shake_hands(&client).unwrap_or_default();
            if asked.send(place).is_err() {
                return;
            }
            let server = TcpStream::connect(&registry).unwrap();
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            for (mut from, mut to) in [(client, server), back] {
                std::thread::spawn(move || {
                    // Either side may go first.
                    drop(std::io::copy(&mut from, &mut to));
                    drop(to.shutdown(Shutdown::Both));
                });
            }
        }
    });
    (address, heard)
}

#[test]
fn a_proxy_finds_the_registry_for_us() {
    let world = World::new();
    world.login("secret");
    world.push_image(&world.name("a:1"), 1_000_000);
    let (proxy, heard) = connect_proxy(&world.address);
    // The name is known to the proxy alone. The credential is that of another name: a second login.
    let login = [
        "login",
        "-u",
        "me",
        "--password-stdin",
        "--tls-verify=false",
        "registry.test:5000",
    ];
    let through = |command: &mut Command, proxy: &str| {
        command
            .env("http_proxy", proxy)
            .env("https_proxy", proxy)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = through(&mut world.command(&login), &proxy);
    child.stdin.take().unwrap().write_all(b"secret").unwrap();
    let logged_in = said(child.wait_with_output().unwrap());
    assert_eq!(logged_in.code, Some(0), "{}", logged_in.stderr);
    let pull = ["pull", "-q", "--tls-verify=false", "registry.test:5000/a:1"];
    for proxy in [proxy.clone(), format!("socks5://{proxy}")] {
        let child = through(&mut world.command(&pull), &proxy);
        let pulled = said(child.wait_with_output().unwrap());
        assert_eq!(pulled.code, Some(0), "{proxy}: {}", pulled.stderr);
        world.succeed(&["rmi", "registry.test:5000/a:1"]);
    }
    let places: Vec<String> = heard.try_iter().collect();
    assert!(places.len() > 2);
    assert!(
        places.iter().all(|place| place == "registry.test:5000"),
        "{places:?}"
    );
}

#[test]
fn run_pulls_what_is_missing() {
    let world = World::new();
    world.login("secret");
    let name = world.name("a:1");
    world.push_image(&name, 10);
    let never = world.run(&[
        "run", "--rm", "--pull", "never", &name, "sh", "-c", "exit 7",
    ]);
    assert_eq!(never.code, Some(125), "{}", never.stderr);
    for policy in ["missing", "always", "never"] {
        let words = [
            "run", "--rm", "--pull", policy, &name, "/bin/sh", "-c", "exit 7",
        ];
        let said = world.run(&words);
        assert_eq!(said.code, Some(7), "{policy}: {}", said.stderr);
    }
    let gone = world.run(&["run", "--rm", &world.name("b:1"), "true"]);
    assert_eq!(gone.code, Some(125), "{}", gone.stderr);
}
