//! `insula image build` as a process: what is in the image, what the cache decides, and what is
//! left when it fails or is killed.
//!
//! Needs root, and busybox-static on this host; without them the tests are skipped. The comparison
//! with buildah is skipped where there is none.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says when it is skipped"
)]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use insula_image::{ImageConfig, ImportOptions, PruneScope, Source, Store};
use insula_node::guest::{Place, prune};
use insula_sys::rustix::process::{Pid, Signal, geteuid, kill_process};

/// Lists every file of the image that it runs in, but not what is mounted: kind, mode, owner,
/// links, size of files, time, name, target. A directory's time is that of its making.
const LIST: &str = "find / -xdev | sort | while read f; do \
    case $f in /proc*|/sys*|/dev*|/etc/hosts|/etc/resolv.conf|/etc/hostname|/etc|/run*|/) continue;; esac; \
    if [ -L \"$f\" ]; then stat -c '%F %u:%g %N' \"$f\"; \
    elif [ -d \"$f\" ]; then stat -c '%F %a %u:%g %n' \"$f\"; \
    elif [ -f \"$f\" ]; then stat -c '%F %a %u:%g %h %s %n' \"$f\"; md5sum <\"$f\"; \
    else stat -c '%F %a %u:%g %t:%T %n' \"$f\"; fi; done";

struct Host {
    directory: tempfile::TempDir,
}

fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("examples/build");
    assert!(
        program.exists(),
        "cargo build -p insula-node --example build"
    );
    program
}

fn busybox() -> Option<PathBuf> {
    let unpacked = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../target/peers/bin/busybox"
    );
    let places = [unpacked, "/bin/busybox", "/usr/bin/busybox"];
    let mut found = places
        .iter()
        .map(PathBuf::from)
        .filter(|path| path.exists());
    found.next().filter(|_| geteuid().is_root())
}

/// A root file system of busybox.
fn make_root(busybox: &Path, root: &Path) {
    for name in ["bin", "etc", "root", "tmp", "home/user", "opt/old/deep"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let applets = Command::new(busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    let passwd = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n";
    std::fs::write(root.join("etc/passwd"), passwd).unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1001:\n").unwrap();
    std::fs::write(root.join("opt/old/file"), "old").unwrap();
    std::fs::write(root.join("opt/old/deep/file"), "deep").unwrap();
    symlink("/etc", root.join("opt/link")).unwrap();
}

fn host() -> Option<Host> {
    let Some(busybox) = busybox() else {
        println!("skipped: needs root and busybox-static");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    make_root(&busybox, &directory.path().join("rootfs"));
    std::fs::create_dir(directory.path().join("context")).unwrap();
    let host = Host { directory };
    let options = ImportOptions {
        tag: Some("busybox".parse().unwrap()),
        changes: vec!["ENV PATH=/bin".to_owned(), "CMD [\"old\"]".to_owned()],
        sync: false,
        ..ImportOptions::default()
    };
    let source = Source::Path(host.directory.path().join("rootfs"));
    Store::new(&host.store()).import(source, &options).unwrap();
    Some(host)
}

/// What a build said.
struct Said {
    output: Output,
}

impl Said {
    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The identifier of the image.
    #[track_caller]
    fn id(&self) -> String {
        let stderr = self.stderr();
        let line = stderr.lines().find(|line| line.starts_with("built "));
        line.unwrap_or_else(|| panic!("{stderr}"))
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    }

    /// How many steps were done, and how many found.
    fn counts(&self) -> (usize, usize) {
        let stderr = self.stderr();
        let count = |word: &str| stderr.lines().filter(|line| line.starts_with(word)).count();
        (count("step "), count("cached "))
    }
}

impl Host {
    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.context().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn command(&self, keys: &[&str], text: &str) -> Command {
        self.write("Containerfile", text);
        let mut command = Command::new(program());
        command.arg(self.store()).args(keys).arg(self.context());
        command.stdin(Stdio::null());
        command
    }

    /// Builds; nothing but the image may be left.
    #[track_caller]
    fn build(&self, keys: &[&str], text: &str) -> Said {
        let output = self.command(keys, text).output().unwrap();
        self.assert_clean();
        Said { output }
    }

    /// Builds what must succeed.
    #[track_caller]
    fn built(&self, keys: &[&str], text: &str) -> Said {
        let said = self.build(keys, text);
        assert!(said.output.status.success(), "{}", said.stderr());
        said
    }

    fn config(&self, id: &str) -> ImageConfig {
        Store::new(&self.store()).resolve(id).unwrap().config
    }

    fn entries(&self, directory: &str) -> usize {
        std::fs::read_dir(self.store().join(directory)).map_or(0, Iterator::count)
    }

    #[track_caller]
    fn assert_clean(&self) {
        for directory in ["containers", "names", "images/staging"] {
            assert_eq!(self.entries(directory), 0, "{directory}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().to_string_lossy().into_owned();
        assert!(!mounts.contains(&own), "{mounts}");
    }
}

#[test]
fn instructions_make_the_image_that_they_say() {
    let Some(host) = host() else { return };
    host.write("a.txt", "a");
    host.write("dir/b.txt", "b");
    let text = "ARG BASE=busybox\nFROM $BASE AS base\nARG WHO=nobody\n\
        RUN echo $WHO >/who && test $(id -u) = 0 && test $(pwd) = /\n\
        COPY a.txt /app/\nCOPY dir /app/dir2\nCOPY [\"a.txt\", \"/app/with space\"]\n\
        COPY --chown=user --chmod=0640 a.txt /opt/link/mine\n\
        WORKDIR /srv\nWORKDIR sub\nUSER user\nRUN test $(id -u):$(id -g) = 1000:1001 && test $(pwd) = /srv/sub\n\
        USER root\nCOPY <<EOF inline\nwho=$WHO\nEOF\n\
        ENV A=1 B=\"two words\"\nRUN test \"$A$B\" = '1two words' && rm -r /opt/old && mkdir /opt/old && \\\n\
          # a comment inside\n  echo new >/opt/old/new && ln /who /who2\n\
        FROM scratch AS unused\nRUN false\n\
        FROM base\nENTRYPOINT [\"/bin/echo\"]\nLABEL x=y\nEXPOSE 80\n";
    let said = host.built(&["arg=WHO=me", "name=app"], text);
    let config = host.config("app");
    assert_eq!(config.config.entrypoint, ["/bin/echo"]);
    assert!(
        config.config.cmd.is_empty(),
        "an ENTRYPOINT takes the base image's CMD away"
    );
    assert_eq!(config.config.env, ["PATH=/bin", "A=1", "B=two words"]);
    assert_eq!(config.config.working_dir, "/srv/sub");
    assert_eq!(config.config.user, "root");
    let layers = host.config(&said.id()).rootfs.diff_ids.len();
    assert_eq!(layers, 10, "a RUN that changes nothing makes no layer");
    let list = host.built(&[], &format!("FROM app\nRUN {LIST}")).stdout();
    for line in [
        "regular file 644 0:0 2 3 /who",
        "regular file 644 0:0 2 3 /who2",
        "regular file 644 0:0 1 1 /app/a.txt",
        "regular file 644 0:0 1 1 /app/dir2/b.txt",
        "regular file 644 0:0 1 1 /app/with space",
        "regular file 640 1000:1001 1 1 /etc/mine",
        "regular file 644 0:0 1 7 /srv/sub/inline",
        "regular file 644 0:0 1 4 /opt/old/new",
    ] {
        assert!(list.contains(line), "{line}\n{list}");
    }
    for gone in ["/opt/old/file", "/opt/old/deep", ".wh."] {
        assert!(!list.contains(gone), "{gone}\n{list}");
    }
}

#[test]
fn the_cache_knows_content_and_not_times() {
    let Some(host) = host() else { return };
    host.write("one", "1");
    host.write("two", "2");
    let text =
        "FROM busybox\nRUN echo x >/x\nCOPY one /one\nCOPY two /two\nRUN cat /one /two >/both\n";
    let first = host.built(&["name=a"], text);
    assert_eq!(first.counts(), (4, 0));
    let again = host.built(&["name=a"], text);
    assert_eq!((again.counts(), again.id()), ((0, 4), first.id()));
    // The same content at another time, and another name.
    host.write("two", "2");
    let again = host.built(&["name=b"], text);
    assert_eq!((again.counts(), again.id()), ((0, 4), first.id()));
    host.write("two", "changed");
    let changed = host.built(&["name=a"], text);
    assert_eq!(changed.counts(), (2, 2));
    assert_ne!(changed.id(), first.id());
    assert_eq!(host.built(&["no-cache"], text).counts(), (4, 0));
    // An argument decides only where it is used.
    let text = "FROM busybox\nARG V\nRUN echo x >/x\nARG W\nRUN echo $V >/v\n";
    host.built(&["arg=V=1", "arg=W=1"], text);
    assert_eq!(host.built(&["arg=V=1", "arg=W=1"], text).counts(), (0, 4));
    assert_eq!(host.built(&["arg=V=1", "arg=W=2"], text).counts(), (1, 3));
    // Everything can be forgotten, and then nothing is found.
    let nobody = |_: &insula_image::Digest| Vec::new();
    Store::new(&host.store())
        .prune(PruneScope::Unused, &nobody)
        .unwrap();
    assert_eq!(host.entries("images/builds/sha256"), 0);
    assert_eq!(host.entries("images/layers/sha256"), 0);
}

#[test]
fn a_step_that_fails_is_named_and_leaves_nothing() {
    let Some(host) = host() else { return };
    let said = host.build(
        &["name=x"],
        "FROM busybox\nRUN echo done >/a\n\nRUN echo told; exit 3\n",
    );
    assert!(!said.output.status.success());
    let expected = "Containerfile:4: `RUN echo told; exit 3`: the command ended with code 3";
    assert!(said.stderr().contains(expected), "{}", said.stderr());
    assert_eq!(said.stdout(), "told\n");
    let said = host.built(&[], "FROM busybox\nRUN echo done >/a\n");
    assert_eq!(
        said.counts(),
        (0, 1),
        "what was done before is in the cache"
    );
    host.write("over/deep", "a file where the image has a directory");
    for (text, part) in [
        ("FROM nothing-here", "Containerfile:1: `FROM nothing-here`"),
        ("FROM busybox\nRUN [\"/no/such\"]", "Containerfile:2:"),
        (
            "FROM busybox\nCOPY absent /",
            "`absent` is not in the context",
        ),
        (
            "FROM busybox\nCOPY ../../etc/passwd /",
            "nothing outside of the context",
        ),
        (
            "FROM busybox
COPY over /opt/old",
            "is a directory and cannot",
        ),
        (
            "FROM busybox\nCOPY --chown=nobody-here Containerfile /x",
            "nobody-here",
        ),
        (
            "FROM busybox\nCOPY --chmod=u+x Containerfile /x",
            "not a mode",
        ),
        ("FROM busybox\nUSER nobody-here\nRUN true", "nobody-here"),
        (
            "FROM busybox\nRUN --mount=type=secret,id=k,required true",
            "the secret `k`",
        ),
    ] {
        let said = host.build(&[], text);
        assert!(!said.output.status.success(), "{text}");
        assert!(said.stderr().contains(part), "{text}: {}", said.stderr());
    }
}

#[test]
fn mounts_of_a_step_are_there_and_do_not_stay() {
    let Some(host) = host() else { return };
    host.write("src/main", "source");
    host.write("key", "top secret");
    let key = format!("secret=key:{}", host.context().join("key").display());
    let text = "FROM busybox AS build\nRUN echo made >/made && rm /opt/old/file\n\
        FROM busybox\n\
        RUN --mount=type=secret,id=key,mode=0440 cat /run/secrets/key | grep -q 'top secret' && \
          test $(stat -c %a /run/secrets/key) = 440\n\
        RUN --mount=type=bind,source=src,target=/ctx cat /ctx/main && ! touch /ctx/x 2>/dev/null\n\
        RUN --mount=from=build,target=/b test $(cat /b/made) = made && test ! -e /b/opt/old/file\n\
        RUN --mount=type=tmpfs,target=/t,size=1m echo x >/t/x && test ! -e /t/y\n\
        RUN --mount=type=cache,target=/cache,id=c date >>/cache/log && wc -l </cache/log >/count\n\
        RUN --network=none test $(ls /sys/class/net) = lo\n";
    host.built(&[&key, "name=m", "host-network"], text);
    let list = host
        .built(&[], &format!("FROM m\nRUN {LIST}; cat /count"))
        .stdout();
    for path in ["/ctx", "/b\n", "/t\n", "/cache", "/run/secrets", "/made"] {
        assert!(!list.contains(path), "{path}: {list}");
    }
    assert!(list.ends_with("\n1\n"), "{list}");
    let text = text.replace("date >>", "date  >>");
    host.built(&[&key, "name=m"], &text);
    let said = host.built(&[], "FROM m\nRUN cat /count");
    assert_eq!(said.stdout(), "2\n", "a cache stays between builds");
}

#[test]
fn archives_ignored_files_and_contexts_on_standard_input() {
    let Some(host) = host() else { return };
    for (name, content) in [
        ("keep/a", "a"),
        ("keep/b.o", "b"),
        ("keep/important.o", "c"),
        ("skip/d", "d"),
        (".dockerignore", "**/*.o\n!**/important.o\nskip\n"),
    ] {
        host.write(name, content);
    }
    let tar = host.context().join("files.tar.gz");
    let rootfs = host.directory.path().join("rootfs");
    let status = Command::new("tar")
        .arg("-C")
        .arg(rootfs)
        .arg("-czf")
        .arg(&tar)
        .arg("opt")
        .status();
    assert!(status.unwrap().success());
    let text = "FROM scratch\nCOPY . /all/\nADD files.tar.gz /unpacked\nCOPY files.tar.gz /\n\
        COPY --from=busybox /bin /bin\nCOPY k*p/* /wild/\nENV PATH=/bin\nRUN find / -xdev | sort\n";
    let list = host.built(&[], text).stdout();
    for path in [
        "/all/keep/a\n",
        "/all/keep/important.o\n",
        "/unpacked/opt/old/file\n",
        "/files.tar.gz\n",
        "/wild/a\n",
    ] {
        assert!(list.contains(path), "{path}: {list}");
    }
    for path in ["/all/skip", "b.o", "/wild/keep"] {
        assert!(!list.contains(path), "{path}: {list}");
    }
    let said = host.build(&[], "FROM scratch\nCOPY skip /\n");
    assert!(
        said.stderr().contains("the ignore file leaves it out"),
        "{}",
        said.stderr()
    );

    let feed = |bytes: &[u8]| {
        let mut command = Command::new(program());
        command.arg(host.store()).arg("-").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        host.assert_clean();
        Said { output }
    };
    let said = feed(b"FROM busybox\nRUN echo from stdin\n");
    assert_eq!(said.stdout(), "from stdin\n", "{}", said.stderr());
    assert!(
        feed(b"FROM busybox\nCOPY a /\n")
            .stderr()
            .contains("there is no context")
    );
    host.write(
        "Containerfile",
        "FROM busybox\nCOPY keep /k\nRUN cat /k/a\n",
    );
    let tar = Command::new("tar")
        .arg("-C")
        .arg(host.context())
        .args(["-c", "."])
        .output();
    let said = feed(&tar.unwrap().stdout);
    assert_eq!(said.stdout(), "a", "{}", said.stderr());
}

#[test]
fn copies_leave_out_what_is_excluded_and_keep_parents() {
    let Some(host) = host() else { return };
    for name in [
        "a/top.txt",
        "a/b/deep.txt",
        "a/b/deep.md",
        "a/target/x.txt",
        "c/other.txt",
        "home.txt",
        "home.md",
    ] {
        host.write(name, name);
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o710);
    std::fs::set_permissions(host.context().join("a/b"), mode).unwrap();
    let text = "FROM busybox AS files\nCOPY a /from/a\n\
        FROM busybox\nARG KIND=md\nWORKDIR /r\n\
        COPY --exclude=*.$KIND hom* one/\n\
        COPY --exclude=**/*.txt --exclude=!b/deep.txt a two/\n\
        COPY --exclude=target a three/\n\
        COPY --parents a/b/deep.txt c/*.txt four\n\
        COPY --parents ./a/./b/*.md five\n\
        COPY --parents --exclude=a/target **/*.txt six/\n\
        COPY --parents a/b seven\n\
        COPY --from=files --parents --exclude=**/*.md /from/./a eight\n\
        ADD --exclude=target a nine/\n\
        RUN find . -type f | sort; stat -c %a four/a/b six/a/b\n";
    let list = host.built(&[], text).stdout();
    let files = "./eight/a/b/deep.txt\n./eight/a/target/x.txt\n./eight/a/top.txt\n\
        ./five/b/deep.md\n\
        ./four/a/b/deep.txt\n./four/c/other.txt\n\
        ./nine/b/deep.md\n./nine/b/deep.txt\n./nine/top.txt\n\
        ./one/home.txt\n\
        ./seven/a/b/deep.md\n./seven/a/b/deep.txt\n\
        ./six/a/b/deep.txt\n./six/a/top.txt\n./six/c/other.txt\n./six/home.txt\n\
        ./three/b/deep.md\n./three/b/deep.txt\n./three/top.txt\n\
        ./two/b/deep.md\n./two/b/deep.txt\n\
        710\n710\n";
    assert_eq!(list, files);
    let said = host.build(&[], "FROM scratch\nCOPY --parents no/such /\n");
    assert!(
        said.stderr().contains("`no/such` is not in"),
        "{}",
        said.stderr()
    );
    let said = host.build(&[], "FROM scratch\nCOPY --exclude=[ a /\n");
    assert!(
        said.stderr().contains("the pattern `[`"),
        "{}",
        said.stderr()
    );
}

#[test]
fn a_time_makes_builds_the_same_everywhere() {
    let text = "FROM busybox\nCOPY . /src\nRUN mkdir /made && echo x >/made/x && rm -r /opt/old\n\
        WORKDIR /w\nCMD [\"true\"]\n";
    let mut ids = Vec::new();
    for _ in 0..2 {
        let Some(host) = host() else { return };
        host.write("file", "content");
        // The base image is the same only without its own times.
        let root = "FROM scratch\nCOPY --from=busybox / /\nENV PATH=/bin\n";
        host.built(&["timestamp=1000", "name=busybox"], root);
        ids.push(host.built(&["timestamp=1000", "no-cache"], text).id());
        let config = host.config(&ids[0]);
        assert_eq!(config.created.as_deref(), Some("1970-01-01T00:16:40Z"));
    }
    assert_eq!(ids[0], ids[1]);
}

/// A build that runs until it is ended, as soon as its step says so.
fn sleeping(host: &Host) -> Child {
    let mut command = host.command(
        &[],
        "FROM busybox\nRUN touch /a\nRUN echo up; exec sleep 1000\n",
    );
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    child
}

fn end(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn an_interrupt_ends_the_step_and_leaves_nothing() {
    let Some(host) = host() else { return };
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = sleeping(&host);
        end(&child, signal);
        // A step that is not interrupted ends well.
        assert_eq!(child.wait().unwrap().code(), Some(1));
        host.assert_clean();
    }
}

#[test]
fn what_a_kill_leaves_is_pruned() {
    let Some(host) = host() else { return };
    let mut child = sleeping(&host);
    let [id] = std::fs::read_dir(host.store().join("containers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    end(&child, Signal::KILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let place = Place::new(host.store());
    let pruned = prune(&place, PruneScope::Leftovers).unwrap();
    assert_eq!(pruned.guests, [id]);
    host.assert_clean();
    let said = host.built(&[], "FROM busybox\nRUN touch /a\n");
    assert!(said.output.status.success());
}

#[test]
fn the_image_is_the_one_that_buildah_builds() {
    let (Some(host), Some(buildah)) = (host(), Buildah::new()) else {
        println!("skipped: needs buildah");
        return;
    };
    host.write("a.txt", "a");
    host.write("dir/b.txt", "b");
    host.write("dir/sub/c", "c");
    symlink("b.txt", host.context().join("dir/link")).unwrap();
    let text = "FROM busybox\nARG V=1\nRUN echo $V >/v && chmod 4755 /v && mkdir -m 1777 /sticky\n\
        COPY a.txt dir/b.txt /app/\nCOPY dir /tree\nCOPY dir/ /opt/old/\nCOPY a.txt /opt/link/from-link\n\
        COPY --chown=1000:1001 dir /owned\nCOPY --chown=user a.txt /by-name\nCOPY d*r/s*b /wild/\n\
        RUN rm -r /opt/old/deep && mv /app/a.txt /moved && ln -s /moved /soft && mkfifo /pipe\n\
        WORKDIR /srv/dir\nENV A=1 B=\"x y\" C=${A:-none}\nLABEL one=1 \"two words\"=2\nEXPOSE 80 53/udp\n\
        VOLUME /data\nUSER user\nSTOPSIGNAL SIGINT\nENTRYPOINT [\"/bin/echo\"]\nCMD [\"hi\"]\n";
    host.built(&["name=ours"], text);
    let ours = host.config("ours").config;
    let our_list = host
        .built(&[], &format!("FROM ours\nUSER root\nRUN {LIST}"))
        .stdout();
    buildah.build(&host, text, "theirs");
    let theirs = buildah.config("theirs");
    let their_list = buildah.build(
        &host,
        &format!("FROM theirs\nUSER root\nRUN {LIST}"),
        "list",
    );
    // buildah tells its steps on the same stream, and its identifiers.
    // It also makes the directories of VOLUME.
    let is_talk = |line: &&str| {
        let is_id = line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id
            || line.ends_with(" /data")
            || ["STEP ", "COMMIT ", "--> ", "Successfully "]
                .iter()
                .any(|it| line.starts_with(it))
    };
    let lines = |text: &str| {
        let lines = text.lines().filter(|line| !is_talk(line));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (ours_only, theirs_only) = (lines(&our_list), lines(&their_list));
    let missing: Vec<_> = theirs_only
        .iter()
        .filter(|line| !ours_only.contains(line))
        .collect();
    let added: Vec<_> = ours_only
        .iter()
        .filter(|line| !theirs_only.contains(line))
        .collect();
    assert!(
        missing.is_empty() && added.is_empty(),
        "missing {missing:#?}\nadded {added:#?}"
    );
    assert_eq!(serde_json::to_value(&ours).unwrap(), theirs);
}

/// A buildah with a store of its own.
struct Buildah {
    directory: tempfile::TempDir,
}

impl Buildah {
    fn new() -> Option<Self> {
        Command::new("buildah").arg("--version").output().ok()?;
        let directory = tempfile::tempdir().unwrap();
        Some(Self { directory })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        for (option, name) in [("--root", "root"), ("--runroot", "run")] {
            command.arg(option).arg(self.directory.path().join(name));
        }
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    }

    /// Builds the same text on the same root file system; its output.
    #[track_caller]
    fn build(&self, host: &Host, text: &str, name: &str) -> String {
        let mut text = text.to_owned();
        if text.starts_with("FROM busybox\n") {
            let rootfs = self.directory.path().join("rootfs.tar");
            let root = host.directory.path().join("rootfs");
            let made = Command::new("tar")
                .arg("-C")
                .arg(root)
                .arg("-cf")
                .arg(&rootfs)
                .arg(".")
                .status();
            assert!(made.unwrap().success());
            std::fs::copy(&rootfs, host.context().join("rootfs.tar")).unwrap();
            let base = "FROM scratch\nADD rootfs.tar /\nENV PATH=/bin\nCMD [\"old\"]\n";
            text = text.replacen("FROM busybox\n", base, 1);
        }
        host.write("Containerfile", &text);
        let mut command = self.command(&["bud", "--isolation", "chroot", "--tag", name]);
        let output = command.arg(host.context()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn config(&self, name: &str) -> serde_json::Value {
        let mut command = self.command(&["inspect", "--type", "image", name]);
        let output = command.output().unwrap();
        let image: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut config = image["OCIv1"]["config"].clone();
        // Its own mark.
        if let Some(labels) = config["Labels"].as_object_mut() {
            labels.remove("io.buildah.version");
        }
        config
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--all"]).output();
    }
}

#[test]
fn attributes_and_devices_survive() {
    let Some(host) = host() else { return };
    let text = "FROM busybox\nRUN mknod /null c 1 3 && chmod 7 /null && chown 70000:80000 /null\n\
        FROM scratch\nCOPY --from=0 /null /opt/ /there/\nCOPY --from=0 /bin /bin\nENV PATH=/bin\n\
        RUN stat -c '%F %a %u:%g %t:%T' /there/null && cat /there/old/file\n";
    let said = host.built(&[], text);
    assert_eq!(
        said.stdout(),
        "character special file 7 70000:80000 1:3\nold"
    );
}
