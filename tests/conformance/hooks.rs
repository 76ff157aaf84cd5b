//! config.md, "POSIX-platform Hooks": when each kind runs, where, with what, and what its failure
//! means.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::bundle::{Bundle, Container, eventually};

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A hook of the host: a script, so that the host's shell runs it. The hooks of the container's
/// namespaces before pivot_root still see the host's files.
fn host_hook(bundle: &Bundle, name: &str, script: &str) -> Value {
    let path = bundle.beside(&format!("hook-{name}.sh"));
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    json!({"path": path, "args": ["hook", "argument"], "env": ["HOOK=own"]})
}

/// `startContainer` alone runs below the container's root.
fn container_hook(bundle: &Bundle, script: &str) -> Value {
    let path = bundle.rootfs().join("bin/hook");
    fs::write(&path, format!("#!/bin/sh\nPATH=/bin\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    json!({"path": "/bin/hook", "args": ["hook", "argument"], "env": ["HOOK=own"]})
}

/// A hook of each kind that appends its name, argument, environment and state to a file.
fn with_all_hooks(mut bundle: Bundle) -> Bundle {
    let log = bundle.beside("log");
    for kind in KINDS {
        let log = if kind == "startContainer" {
            "/log".to_owned()
        } else {
            log.clone()
        };
        let script = format!(
            "state=$(cat)\necho \"{kind} $# $1 ${{HOOK-none}} ${{HOME-none}} $state\" >> {log}"
        );
        let hook = match kind {
            "startContainer" => container_hook(&bundle, &script),
            _ => host_hook(&bundle, kind, &script),
        };
        bundle = bundle.set(&format!("/hooks/{kind}"), json!([hook]));
    }
    bundle
}

fn read(bundle: &Bundle) -> Vec<(String, String, Value)> {
    let text = fs::read_to_string(bundle.beside("log")).unwrap_or_default();
    let inside = fs::read_to_string(bundle.rootfs().join("log")).unwrap_or_default();
    let mut seen = Vec::new();
    for line in text.lines().chain(inside.lines()) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (words, state) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        let state = serde_json::from_str(state).unwrap_or(Value::Null);
        seen.push((kind.to_owned(), words.trim().to_owned(), state));
    }
    seen
}

fn kinds(bundle: &Bundle) -> Vec<String> {
    read(bundle).into_iter().map(|(kind, ..)| kind).collect()
}

/// "Lifecycle", steps 3 to 5, 7, 9 and 13.
#[test]
fn hooks_run_at_their_step() {
    let container = with_all_hooks(Bundle::sh("echo program >> /log")).create();
    assert_eq!(
        kinds(&container.bundle),
        ["prestart", "createRuntime", "createContainer"]
    );
    container.start();
    container.wait();
    assert!(eventually(
        || kinds(&container.bundle).contains(&"poststart".to_owned())
    ));
    let inside = fs::read_to_string(container.bundle.rootfs().join("log")).unwrap();
    let first: Vec<_> = inside
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(first, ["startContainer", "program"]);
    assert!(!kinds(&container.bundle).contains(&"poststop".to_owned()));
    assert_eq!(
        kinds(&container.bundle)[..4],
        ["prestart", "createRuntime", "createContainer", "poststart"]
    );
    container.delete();
    assert!(kinds(&container.bundle).contains(&"poststop".to_owned()));
}

/// `run` runs them all, poststop at its end.
#[test]
fn run_runs_all_hooks() {
    let bundle = with_all_hooks(Bundle::sh("true"));
    assert_eq!(bundle.run().code, 0);
    let seen = kinds(&bundle);
    let order = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    assert_eq!(seen[..5], order);
    assert_eq!(seen[5], "startContainer");
}

/// "The state of the container MUST be passed to hooks over stdin".
#[test]
fn hooks_read_the_state_from_stdin() {
    let bundle = with_all_hooks(Bundle::sh("true")).set("/annotations", json!({"k": "v"}));
    let container = bundle.create();
    let pid = container.pid();
    container.finish();
    let seen = read(&container.bundle);
    assert_eq!(seen.len(), 6, "{seen:?}");
    for (kind, _, state) in seen {
        assert_eq!(state["id"], container.bundle.id.as_str(), "{kind}: {state}");
        assert!(state["ociVersion"].is_string(), "{kind}: {state}");
        assert_eq!(
            state["bundle"],
            container.bundle.path().to_str().unwrap(),
            "{kind}"
        );
        assert_eq!(state["annotations"]["k"], "v", "{kind}: {state}");
        let status = state["status"].as_str().unwrap_or_default();
        let wanted: &[&str] = match kind.as_str() {
            "poststart" => &["running"],
            "poststop" => &["stopped"],
            "startContainer" => &["created"],
            _ => &["creating", "created"],
        };
        assert!(wanted.contains(&status), "{kind}: {status}");
        if !["poststop", "startContainer"].contains(&kind.as_str()) {
            assert_eq!(state["pid"], pid, "{kind}: {state}");
        }
    }
}

/// "args", "env": as given; nothing of the caller's environment.
#[test]
fn hooks_get_their_arguments_and_environment() {
    let bundle = with_all_hooks(Bundle::sh("true"));
    bundle.write();
    let path = bundle.path().to_str().unwrap().to_owned();
    let mut run = bundle.command(&["run", "--bundle", &path, &bundle.id]);
    assert!(
        run.env("HOME", "/nowhere")
            .output()
            .unwrap()
            .status
            .success()
    );
    for (kind, words, _) in read(&bundle) {
        assert_eq!(words, "1 argument own none", "{kind}");
    }
}

/// "createRuntime … in the runtime namespace", "createContainer … in the container namespace".
#[test]
fn hooks_run_in_their_namespace() {
    let mut bundle = Bundle::sh("true");
    let own = fs::read_link("/proc/self/ns/uts").unwrap();
    let own = own.to_str().unwrap();
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ] {
        let script = format!("readlink /proc/self/ns/uts > {}", bundle.beside(kind));
        let hook = host_hook(&bundle, kind, &script);
        bundle = bundle.set(&format!("/hooks/{kind}"), json!([hook]));
    }
    let hook = container_hook(&bundle, "hostname > /name");
    let bundle = bundle.set("/hooks/startContainer", json!([hook]));
    assert_eq!(bundle.run().code, 0);
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        assert_eq!(
            fs::read_to_string(bundle.beside(kind)).unwrap().trim(),
            own,
            "{kind}"
        );
    }
    assert_ne!(
        fs::read_to_string(bundle.beside("createContainer"))
            .unwrap()
            .trim(),
        own
    );
    assert_eq!(
        fs::read_to_string(bundle.rootfs().join("name")).unwrap(),
        "conformance\n"
    );
}

/// "createContainer": before pivot_root, with the mounts made.
#[test]
fn create_container_hook_sees_the_mounts() {
    let bundle = Bundle::sh("true").mount("/tmp", "tmpfs", "marked", &["size=12k"]);
    let out = bundle.beside("mounts");
    let hook = host_hook(
        &bundle,
        "createContainer",
        &format!("cat /proc/self/mountinfo > {out}"),
    );
    let bundle = bundle.set("/hooks/createContainer", json!([hook]));
    assert_eq!(bundle.run().code, 0);
    let mounts = fs::read_to_string(out).unwrap();
    let place = bundle.rootfs().join("tmp");
    assert!(
        mounts.contains(place.to_str().unwrap()) && mounts.contains("marked"),
        "{mounts}"
    );
}

/// "hooks MUST be called in the listed order".
#[test]
fn hooks_of_a_kind_run_in_order() {
    let bundle = Bundle::sh("true");
    let log = bundle.beside("log");
    let hooks: Vec<_> = (0..3)
        .map(|i| host_hook(&bundle, &i.to_string(), &format!("echo {i} >> {log}")))
        .collect();
    let bundle = bundle.set("/hooks/createRuntime", json!(hooks));
    assert_eq!(bundle.run().code, 0);
    assert_eq!(fs::read_to_string(log).unwrap(), "0\n1\n2\n");
}

/// "Lifecycle": a failing hook of these kinds is an error, and the container is destroyed.
#[test]
fn a_failing_hook_before_start_destroys_the_container() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let bundle = Bundle::sh("echo ran > /ran");
        let (stopped, hook) = (
            bundle.beside("stopped"),
            host_hook(&bundle, "bad", "echo why >&2; exit 9"),
        );
        let after = host_hook(&bundle, "after", &format!("echo x > {stopped}"));
        let bundle = bundle.set(&format!("/hooks/{kind}"), json!([hook]));
        let bundle = bundle.set("/hooks/poststop", json!([after]));
        let finished = bundle.try_create(&[]);
        finished.fails();
        assert!(
            finished.stderr.contains("hook"),
            "{kind}: {}",
            finished.stderr
        );
        bundle.assert_gone();
        bundle.call(&["state", &bundle.id]).fails();
        assert!(
            !bundle.rootfs().join("ran").exists(),
            "{kind}: the program ran"
        );
        assert!(
            fs::exists(stopped).unwrap(),
            "{kind}: step 13, poststop, was left out"
        );
    }
}

#[test]
fn a_failing_start_container_hook_keeps_the_program_from_running() {
    let bundle = Bundle::sh("echo ran > /ran");
    let hook = container_hook(&bundle, "exit 9");
    let container = bundle.set("/hooks/startContainer", json!([hook])).create();
    container.call("start", &[]).fails();
    assert!(!container.bundle.rootfs().join("ran").exists());
    assert!(container.call("state", &[]).code != 0 || container.status() == "stopped");
}

/// "If any poststart hook fails, the runtime MUST generate an error, stop the container, …".
#[test]
fn a_failing_poststart_hook_stops_the_container() {
    let bundle = Bundle::sh("sleep 100");
    let hook = host_hook(&bundle, "poststart", "exit 9");
    let container = bundle.set("/hooks/poststart", json!([hook])).create();
    container.call("start", &[]).fails();
    let gone = || container.call("state", &[]).code != 0 || container.status() == "stopped";
    assert!(eventually(gone), "the container still runs");
}

/// "If any poststop hook fails, the runtime MUST log a warning, but the remaining hooks …
/// continue".
#[test]
fn a_failing_poststop_hook_is_only_a_warning() {
    let bundle = Bundle::sh("true");
    let log = bundle.beside("log");
    let bad = host_hook(&bundle, "bad", "exit 9");
    let good = host_hook(&bundle, "good", &format!("echo ran > {log}"));
    let container = bundle.set("/hooks/poststop", json!([bad, good])).create();
    container.start();
    container.wait();
    let deleted = container.call("delete", &[]);
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(fs::read_to_string(log).unwrap(), "ran\n");
    container.bundle.assert_gone();
}

/// "timeout … is the number of seconds before aborting the hook."
#[test]
fn a_hook_that_takes_too_long_is_aborted() {
    let bundle = Bundle::sh("true");
    let mut hook = host_hook(&bundle, "slow", "exec sleep 100");
    hook["timeout"] = json!(1);
    let bundle = bundle.set("/hooks/createRuntime", json!([hook]));
    let refused = bundle.try_create(&[]);
    let text = refused.fails();
    assert!(text.contains("not done within its timeout"), "{text}");
    bundle.assert_gone();
}

/// A hook that does not read its standard input is no failure.
#[test]
fn a_hook_may_ignore_its_input() {
    let bundle = Bundle::sh("echo ok");
    let hook = host_hook(&bundle, "deaf", "exec 0<&-; exit 0");
    let bundle = bundle.set("/hooks/createRuntime", json!([hook]));
    assert_eq!(bundle.run().text(), "ok");
}

/// "path (string, REQUIRED) … MUST be an absolute path."
#[test]
fn a_hook_that_does_not_exist_is_an_error() {
    let bundle = Bundle::sh("true").set(
        "/hooks/createRuntime",
        json!([{"path": "/nonexistent/hook"}]),
    );
    let finished = bundle.try_create(&[]);
    assert!(
        finished.fails().contains("/nonexistent/hook"),
        "{finished:?}"
    );
    bundle.assert_gone();
}

/// Hooks have not the descriptors of the runtime.
#[test]
fn hooks_inherit_no_descriptors() {
    let bundle = Bundle::sh("true");
    let out = bundle.beside("fds");
    let hook = host_hook(&bundle, "fds", &format!("exec ls -l /proc/self/fd > {out}"));
    let container: Container = bundle.set("/hooks/createRuntime", json!([hook])).create();
    let seen = fs::read_to_string(out).unwrap();
    for line in seen.lines().filter(|line| line.contains("->")) {
        // ls has the directory open; a shell keeps its script open.
        let own = line.ends_with("/fd") || line.ends_with("hook-fds.sh");
        let number = line
            .split(" -> ")
            .next()
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap();
        assert!(own || ["0", "1", "2"].contains(&number), "{seen}");
    }
    container.finish();
}

/// Inside the container a hook that says nothing of its environment has that of the program.
#[test]
fn start_container_hooks_without_env_have_that_of_the_program() {
    let bundle = Bundle::sh("true");
    let mut hook = container_hook(&bundle, "echo $ONE $HOME > /log");
    hook.as_object_mut().unwrap().remove("env");
    let bundle = bundle
        .push("/process/env", json!("ONE=two"))
        .set("/hooks/startContainer", json!([hook]));
    bundle.write();
    let path = bundle.path().display().to_string();
    let mut run = bundle.command(&["run", "--bundle", &path, &bundle.id]);
    let finished = run.env("ONE", "caller").output().unwrap();
    assert!(finished.status.success(), "{finished:?}");
    let seen = fs::read_to_string(bundle.rootfs().join("log")).unwrap();
    assert_eq!(seen, "two /root\n");
}
