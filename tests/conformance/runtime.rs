//! runtime.md: state, lifecycle, operations.

use std::fs;

use serde_json::json;

use crate::bundle::{Bundle, eventually};

const LOOP: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

/// "State": the members and their types.
#[test]
fn state_has_all_required_members() {
    let container = Bundle::sh("sleep 100")
        .set("/annotations", json!({"one": "1"}))
        .create();
    let state = container.state();
    assert!(state["ociVersion"].is_string(), "{state}");
    assert_eq!(state["id"], container.bundle.id.as_str());
    assert_eq!(state["status"], "created");
    assert!(state["pid"].as_i64().is_some_and(|pid| pid > 1), "{state}");
    assert_eq!(state["bundle"], container.bundle.path().to_str().unwrap());
    assert_eq!(state["annotations"], json!({"one": "1"}));
}

/// "State": `bundle` is absolute, also when the bundle was given by a relative path.
#[test]
fn state_bundle_is_absolute() {
    let bundle = Bundle::sh("true");
    bundle.write();
    let mut create = bundle.command(&["create", &bundle.id]);
    create.current_dir(bundle.path());
    let log = fs::File::create(bundle.path().join("log")).unwrap();
    assert!(
        create
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap()
            .success()
    );
    let container = crate::bundle::Container { bundle };
    let path = container.state()["bundle"].as_str().unwrap().to_owned();
    assert_eq!(path, container.bundle.path().to_str().unwrap());
}

/// "State": created, running, stopped in turn.
#[test]
fn status_follows_the_lifecycle() {
    let container = Bundle::sh(LOOP).create();
    assert_eq!(container.status(), "created");
    container.start();
    assert_eq!(container.status(), "running");
    assert_eq!(container.call("kill", &["TERM"]).code, 0);
    container.wait();
    assert_eq!(container.status(), "stopped");
    container.delete();
    container.call("state", &[]).fails();
}

/// "Query State": an error without an id, and for a container that does not exist.
#[test]
fn state_of_an_unknown_container_is_an_error() {
    let bundle = Bundle::sh("true");
    bundle.call(&["state"]).fails();
    bundle.call(&["state", "nobody"]).fails();
}

/// "Create": the user's program must not run before `start`.
#[test]
fn create_does_not_run_the_program() {
    let container = Bundle::sh("echo ran > /ran").create();
    crate::bundle::pause(std::time::Duration::from_millis(200));
    assert!(!container.bundle.rootfs().join("ran").exists());
    container.finish();
    assert!(container.bundle.rootfs().join("ran").exists());
}

/// "Create": an error without an id or a bundle.
#[test]
fn create_needs_an_id_and_a_bundle() {
    let bundle = Bundle::sh("true");
    bundle.write();
    bundle.call(&["create"]).fails();
    bundle
        .call(&["create", "--bundle", "/nonexistent", &bundle.id])
        .fails();
    bundle.assert_gone();
}

/// "Create": an id that is not unique makes no new container, and the first is not hurt.
#[test]
fn create_of_a_used_id_is_an_error() {
    let container = Bundle::sh("sleep 100").create();
    let pid = container.pid();
    container.bundle.try_create(&[]).fails();
    assert_eq!(container.pid(), pid);
    assert_eq!(container.status(), "created");
    container.start();
    container.kill_and_delete();
}

/// "Create": ids that are not valid.
#[test]
fn create_of_an_invalid_id_is_an_error() {
    let bundle = Bundle::sh("true");
    bundle.write();
    let path = bundle.path().to_str().unwrap();
    for id in ["", ".", "..", "a/b", "../x", "a b"] {
        let finished = bundle.call(&["create", "--bundle", path, id]);
        assert_ne!(finished.code, 0, "the id {id:?} is taken");
    }
    bundle.assert_gone();
}

/// "Create": an id may be used again after delete.
#[test]
fn a_deleted_id_may_be_used_again() {
    let bundle = Bundle::sh("echo again");
    for _ in 0..3 {
        assert_eq!(bundle.run().text(), "again");
    }
}

/// "Create": changes of config.json after it have no effect.
#[test]
fn later_changes_of_the_config_have_no_effect() {
    let mut container = Bundle::sh("echo first").create();
    container.bundle.config["process"]["args"] = json!(["sh", "-c", "echo second"]);
    container.bundle.write();
    assert_eq!(container.finish(), "first");
}

/// "Create": the config may even be gone.
#[test]
fn start_needs_no_config_file() {
    let container = Bundle::sh("echo here").create();
    fs::remove_file(container.bundle.path().join("config.json")).unwrap();
    assert_eq!(container.finish(), "here");
}

/// "Create": what cannot be applied makes no container.
#[test]
fn a_failed_create_leaves_nothing() {
    let bundle = Bundle::sh("true").mount("/x", "nonexistentfs", "none", &[]);
    bundle.try_create(&[]).fails();
    bundle.assert_gone();
    bundle.call(&["state", &bundle.id]).fails();
}

/// "Start": an error without an id, for an unknown container, and when it was started already.
#[test]
fn start_of_a_container_not_created_is_an_error() {
    let container = Bundle::sh("sleep 100").create();
    container.bundle.call(&["start"]).fails();
    container.bundle.call(&["start", "nobody"]).fails();
    container.start();
    container.call("start", &[]).fails();
    assert_eq!(container.status(), "running");
    container.kill_and_delete();
}

/// "Start": a stopped container is not started again.
#[test]
fn start_of_a_stopped_container_is_an_error() {
    let container = Bundle::sh("echo once").create();
    container.start();
    container.wait();
    container.call("start", &[]).fails();
    assert_eq!(container.stdout(), "once");
}

/// "Start": an error if `process` was not set; `create` takes such a bundle.
#[test]
fn start_without_process_is_an_error() {
    let bundle = Bundle::sh("true").remove("/process");
    let created = bundle.try_create(&[]);
    if created.code == 0 {
        let container = crate::bundle::Container { bundle };
        container.call("start", &[]).fails();
    } else {
        assert!(created.stderr.contains("process"), "{created:?}");
    }
}

/// "Kill": the signal arrives, by name, by name with SIG, by number.
#[test]
fn kill_sends_the_signal() {
    for signal in ["TERM", "SIGTERM", "15", "term"] {
        let container =
            Bundle::sh("trap 'echo caught; exit' TERM; echo ready; while :; do sleep 0.02; done");
        let container = container.start();
        assert!(eventually(|| container.stdout() == "ready"));
        assert_eq!(container.call("kill", &[signal]).code, 0, "signal {signal}");
        container.wait();
        assert_eq!(container.stdout(), "ready\ncaught");
        container.delete();
    }
}

/// "Kill": to a created container too.
#[test]
fn kill_of_a_created_container() {
    let container = Bundle::sh("sleep 100").create();
    assert_eq!(container.call("kill", &["KILL"]).code, 0);
    container.wait();
    container.delete();
}

/// What would end a program ends a container that waits for its start, also as the first process
/// of a pid namespace; what would not does not.
#[test]
fn a_created_container_takes_signals() {
    let container = Bundle::sh("sleep 100").create();
    assert_eq!(container.call("kill", &["WINCH"]).code, 0);
    assert_eq!(container.status(), "created");
    assert_eq!(container.call("kill", &["TERM"]).code, 0);
    container.wait();
    container.delete();
}

/// "Kill": an error for a stopped or unknown container, without an id, and for no signal.
#[test]
fn kill_of_a_stopped_container_is_an_error() {
    let container = Bundle::sh("true").create();
    container.call("kill", &["NOSIGNAL"]).fails();
    container.call("kill", &["65"]).fails();
    container.start();
    container.wait();
    container.call("kill", &["KILL"]).fails();
    container.bundle.call(&["kill"]).fails();
    container.bundle.call(&["kill", "nobody", "KILL"]).fails();
    assert_eq!(container.status(), "stopped");
}

/// "Delete": only of a stopped container; it has no effect on others.
#[test]
fn delete_of_a_running_container_is_an_error() {
    let container = Bundle::sh("sleep 100").start();
    container.call("delete", &[]).fails();
    assert_eq!(container.status(), "running");
    container.bundle.call(&["delete"]).fails();
    container.bundle.call(&["delete", "nobody"]).fails();
    container.kill_and_delete();
}

/// "Delete": `--force` kills first, and does not mind a container that is not there.
#[test]
fn delete_by_force_kills() {
    let container = Bundle::sh("sleep 100").start();
    assert_eq!(container.call("delete", &["--force"]).code, 0);
    container.bundle.assert_gone();
    assert_eq!(
        container.bundle.call(&["delete", "--force", "nobody"]).code,
        0
    );
}

/// "Delete": what the container did not create is left alone.
#[test]
fn delete_leaves_what_it_did_not_create() {
    let bundle = Bundle::sh("true");
    let own = bundle.beside("own");
    fs::create_dir(&own).unwrap();
    fs::write(format!("{own}/file"), "kept").unwrap();
    let container = bundle.mount("/mnt", "bind", &own, &["rbind"]).create();
    container.finish();
    assert_eq!(fs::read_to_string(format!("{own}/file")).unwrap(), "kept");
}

/// The process's own end is the exit code of `run`, 128 and the signal's number for a signal.
#[test]
fn run_exits_as_the_process_does() {
    assert_eq!(Bundle::sh("exit 37").run().code, 37);
    assert_eq!(
        Bundle::sh("kill -KILL $$")
            .without_namespace("pid")
            .run()
            .code,
        137
    );
}

/// All processes of the container go with its first one, also without a pid namespace of its own.
#[test]
fn no_process_outlives_the_container() {
    let bundle = Bundle::sh("sleep 4711 & setsid sleep 4711 & exit 0").without_namespace("pid");
    assert_eq!(bundle.run_with(&[]).code, 0);
    assert!(
        eventually(|| bundle.cgroups().is_empty()),
        "{:?}",
        bundle.cgroups()
    );
}

/// `exec` runs beside the first process, with its exit code, and not in a stopped container.
#[test]
fn exec_runs_in_the_container() {
    let container = Bundle::sh("echo own > /mark; sleep 100").start();
    assert!(eventually(
        || container.exec(&["cat", "/mark"]).stdout == "own\n"
    ));
    assert_eq!(container.exec(&["sh", "-c", "exit 7"]).code, 7);
    let pid = container.exec(&["sh", "-c", "echo $$"]);
    assert_ne!(pid.text(), "1");
    for kind in ["pid", "mnt", "net", "ipc", "uts"] {
        let script = format!(
            "(readlink /proc/1/ns/{kind}; readlink /proc/self/ns/{kind}) | sort -u | wc -l"
        );
        // Another process's links need CAP_SYS_PTRACE or equal sets; both are root here.
        assert_eq!(container.exec(&["sh", "-c", &script]).text(), "1", "{kind}");
    }
    container.kill_and_delete();
}

#[test]
fn exec_options_are_applied() {
    let container = Bundle::sh("sleep 100").start();
    let options = ["--cwd", "/tmp", "--env", "A=b", "--user", "1000:1001"];
    let seen = container.exec_with(&options, &["sh", "-c", "pwd; echo $A; id -u; id -g"]);
    assert_eq!(seen.text(), "/tmp\nb\n1000\n1001");
    container.kill_and_delete();
}

#[test]
fn exec_in_a_stopped_container_is_an_error() {
    let container = Bundle::sh("true").start();
    container.wait();
    container.exec(&["true"]).fails();
}

#[test]
fn exec_takes_a_process_document() {
    let container = Bundle::sh("sleep 100").start();
    let document = container.bundle.beside("process.json");
    let process = json!({"args": ["sh", "-c", "echo $X; pwd; id -u"], "env": ["PATH=/bin", "X=y"],
                         "cwd": "/tmp", "user": {"uid": 5, "gid": 6}});
    fs::write(&document, process.to_string()).unwrap();
    let seen = container.exec_with(&["--process", &document], &[]);
    assert_eq!(seen.text(), "y\n/tmp\n5");
    container.kill_and_delete();
}

/// A frozen container holds still and goes on.
#[test]
fn pause_and_resume() {
    let container = Bundle::sh("while :; do echo x; sleep 0.01; done").start();
    assert!(eventually(|| !container.stdout().is_empty()));
    assert_eq!(container.call("pause", &[]).code, 0);
    assert_eq!(container.status(), "paused");
    let length = container.stdout().len();
    crate::bundle::pause(std::time::Duration::from_millis(200));
    assert_eq!(container.stdout().len(), length);
    assert_eq!(container.call("resume", &[]).code, 0);
    assert_eq!(container.status(), "running");
    assert!(eventually(|| container.stdout().len() > length));
    container.kill_and_delete();
}

#[test]
fn list_and_ps_show_the_container() {
    let container = Bundle::sh("sleep 100").start();
    let list = container.bundle.call(&["list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(list.text()).unwrap();
    assert_eq!(list[0]["id"], container.bundle.id.as_str(), "{list}");
    assert_eq!(list[0]["status"], "running");
    let pids = container.call("ps", &["--format", "json"]);
    let processes = container
        .bundle
        .call(&["ps", "--format", "json", &container.bundle.id]);
    let text = if pids.code == 0 {
        pids.stdout
    } else {
        processes.text().to_owned()
    };
    assert!(text.contains(&container.pid().to_string()), "{text}");
    container.kill_and_delete();
}

#[test]
fn list_of_a_directory_that_is_not_there_is_an_error() {
    let bundle = Bundle::sh("true");
    assert!(bundle.call(&["list"]).fails().contains("state"));
}

/// `--debug` tells the runtime's steps, with `--log` in the file and nowhere else.
#[test]
fn debug_lines_go_to_the_log() {
    let bundle = Bundle::sh("echo out");
    let (path, log) = (bundle.path().display().to_string(), bundle.beside("log"));
    bundle.write();
    let run = ["--debug", "run", "--bundle", &path, &bundle.id];
    let finished = bundle.call(&run);
    assert_eq!(finished.text(), "out");
    assert!(finished.stderr.contains("level=debug"), "{finished:?}");
    let finished = bundle.call(&[&["--log", &log, "--log-format", "json"], &run[..]].concat());
    assert_eq!((finished.text(), finished.stderr.as_str()), ("out", ""));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("\"level\":\"debug\""), "{text}");
}

#[test]
fn the_pid_file_holds_the_pid() {
    let bundle = Bundle::sh("sleep 100");
    let file = bundle.beside("pid");
    assert_eq!(bundle.try_create(&["--pid-file", &file]).code, 0);
    let container = crate::bundle::Container { bundle };
    assert_eq!(
        fs::read_to_string(file).unwrap(),
        container.pid().to_string()
    );
}

/// features.md.
#[test]
fn features_lists_what_is_there() {
    let bundle = Bundle::sh("true");
    let text = bundle.call(&["features"]);
    let features: serde_json::Value = serde_json::from_str(text.text()).unwrap();
    assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string());
    let has = |pointer: &str, value: &str| {
        let list = features
            .pointer(pointer)
            .and_then(serde_json::Value::as_array);
        assert!(
            list.is_some_and(|list| list.iter().any(|item| item == value)),
            "{pointer} {value}"
        );
    };
    for hook in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        has("/hooks", hook);
    }
    for option in ["bind", "ro", "rro", "idmap", "nosymfollow", "tmpcopyup"] {
        has("/mountOptions", option);
    }
    for kind in [
        "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
    ] {
        has("/linux/namespaces", kind);
    }
    has("/linux/capabilities", "CAP_CHOWN");
    has("/linux/seccomp/actions", "SCMP_ACT_NOTIFY");
    assert_eq!(features["linux"]["cgroup"]["v1"], true);
}
