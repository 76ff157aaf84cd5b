//! podman, with conmon between it and the runtime.

use crate::engine::{Podman, eventually, run};

#[test]
fn runs_a_command() {
    assert_eq!(Podman::new().script(&[], "echo hello"), "hello");
}

#[test]
fn passes_the_exit_code_on() {
    assert_eq!(Podman::new().run_script(&[], "exit 42").code, Some(42));
}

#[test]
fn death_by_signal_is_128_and_the_signal() {
    assert_eq!(
        Podman::new()
            .run_script(&["--init=false"], "kill -KILL $$; sleep 9")
            .code,
        Some(0)
    );
    let podman = Podman::new();
    podman.start("killed", &[], "sleep 1000");
    podman.succeed(["kill", "--signal", "KILL", "killed"]);
    assert_eq!(podman.succeed(["wait", "killed"]), "137");
}

#[test]
fn unknown_command_is_127_and_a_directory_126() {
    let podman = Podman::new();
    let group = podman.group();
    let words = [
        "run",
        "--rm",
        "--network=none",
        "--cgroup-parent",
        &group,
        "localhost/small:1",
    ];
    let said = run(&mut podman.command(words.into_iter().chain(["/bin/nosuchcommand"])));
    assert_eq!(said.code, Some(127), "{}", said.stderr);
    let said = run(&mut podman.command(words.into_iter().chain(["/etc"])));
    assert_eq!(said.code, Some(126), "{}", said.stderr);
}

#[test]
fn environment_user_and_directory() {
    let podman = Podman::new();
    let options = [
        "--env",
        "COLOUR=blue",
        "--user",
        "guest",
        "--workdir",
        "/etc",
    ];
    assert_eq!(
        podman.script(&options, "echo $COLOUR $(id -u) $(id -g) $(pwd)"),
        "blue 5 6 /etc"
    );
}

#[test]
fn hostname_and_read_only_root() {
    let podman = Podman::new();
    let options = [
        "--hostname",
        "island",
        "--read-only",
        "--read-only-tmpfs=false",
    ];
    assert_eq!(
        podman.script(
            &options,
            "hostname; touch /file 2>/dev/null || echo refused"
        ),
        "island\nrefused"
    );
}

#[test]
fn volumes_and_tmpfs() {
    let podman = Podman::new();
    let shared = podman.directory.path().join("shared");
    std::fs::create_dir(&shared).expect("make a directory");
    std::fs::write(shared.join("file"), "content").expect("write a file");
    let volume = format!("{}:/shared", shared.display());
    let options = ["--volume", &volume, "--tmpfs", "/scratch:size=1m"];
    let script = "cat /shared/file; echo new >/shared/made; grep -c ' /scratch tmpfs' /proc/mounts";
    assert_eq!(podman.script(&options, script), "content1");
    assert_eq!(
        std::fs::read_to_string(shared.join("made")).expect("read"),
        "new\n"
    );
}

#[test]
fn read_only_volume() {
    let podman = Podman::new();
    let volume = format!("{}:/shared:ro", podman.directory.path().display());
    let said = podman.run_script(&["--volume", &volume], "touch /shared/made");
    assert_eq!(said.code, Some(1));
    assert!(
        said.stderr.contains("Read-only file system"),
        "{}",
        said.stderr
    );
}

#[test]
fn default_confinement() {
    let podman = Podman::new();
    let script = "grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status";
    let status = podman.script(
        &["--cap-drop", "all", "--security-opt", "no-new-privileges"],
        script,
    );
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
}

#[test]
fn memory_and_process_limits() {
    let podman = Podman::new();
    let script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; \
                  cat pids/pids.max pids.max 2>/dev/null";
    let options = ["--memory", "64m", "--pids-limit", "50"];
    let limits = podman.run_script(&options, script).stdout;
    assert_eq!(limits, "67108864\n50");
}

#[test]
fn exec_into_a_running_container() {
    let podman = Podman::new();
    podman.start("long", &[], "sleep 1000");
    assert_eq!(
        podman.succeed([
            "exec",
            "--env",
            "A=b",
            "--workdir",
            "/tmp",
            "long",
            "sh",
            "-c",
            "echo $A; pwd"
        ]),
        "b\n/tmp"
    );
    let said = run(&mut podman.command(["exec", "long", "sh", "-c", "exit 9"]));
    assert_eq!(said.code, Some(9), "{}", said.stderr);
    let said = run(&mut podman.command(["exec", "long", "/bin/nosuchcommand"]));
    assert_eq!(said.code, Some(127), "{}", said.stderr);
}

#[test]
fn pause_and_unpause() {
    let podman = Podman::new();
    podman.start("long", &[], "sleep 1000");
    podman.succeed(["pause", "long"]);
    assert_eq!(
        podman.succeed(["inspect", "--format", "{{.State.Status}}", "long"]),
        "paused"
    );
    podman.succeed(["unpause", "long"]);
    assert_eq!(
        podman.succeed(["inspect", "--format", "{{.State.Status}}", "long"]),
        "running"
    );
}

#[test]
fn stop_gives_time_for_a_last_word() {
    let podman = Podman::new();
    podman.start(
        "polite",
        &[],
        "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.1; done",
    );
    eventually("the container", || {
        podman.succeed(["logs", "polite"]) == "ready"
    });
    podman.succeed(["stop", "--time", "60", "polite"]);
    assert_eq!(podman.succeed(["logs", "polite"]), "ready\nbye");
    assert_eq!(
        podman.succeed(["inspect", "--format", "{{.State.ExitCode}}", "polite"]),
        "5"
    );
}

#[test]
fn restarts_a_stopped_container() {
    let podman = Podman::new();
    podman.start("again", &[], "echo once");
    assert_eq!(podman.succeed(["wait", "again"]), "0");
    podman.succeed(["start", "again"]);
    assert_eq!(podman.succeed(["wait", "again"]), "0");
    assert_eq!(podman.succeed(["logs", "again"]), "once\nonce");
}

#[test]
fn top_lists_the_processes() {
    let podman = Podman::new();
    podman.start("long", &[], "sleep 1000");
    let processes = podman.succeed(["top", "long", "pid", "args"]);
    assert!(processes.contains("sleep 1000"), "{processes}");
}

#[test]
fn terminal() {
    let podman = Podman::new();
    assert_eq!(
        podman.script(&["--tty"], "test -t 0 && test -t 1 && tty"),
        "/dev/pts/0"
    );
    podman.start("long", &[], "sleep 1000");
    assert_eq!(
        podman.succeed([
            "exec",
            "--tty",
            "long",
            "sh",
            "-c",
            "test -t 1 && echo terminal"
        ]),
        "terminal"
    );
}

#[test]
fn user_namespace() {
    let podman = Podman::new();
    let options = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    let words = podman.script(&options, "cat /proc/self/uid_map; id -u");
    let words: Vec<&str> = words.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "65536", "0"]);
}

#[test]
fn shares_namespaces_with_another_container() {
    let podman = Podman::new();
    podman.start("first", &["--hostname", "shared"], "sleep 1000");
    let options = [
        "--pid=container:first",
        "--uts=container:first",
        "--ipc=container:first",
    ];
    assert_eq!(
        podman.script(&options, "hostname; cat /proc/1/cmdline"),
        "shared\nsleep\x001000\x00"
    );
}

#[test]
fn privileged() {
    let podman = Podman::new();
    let script = "mkdir /tmp/m && mount -t tmpfs tmpfs /tmp/m && grep -c ' /tmp/m ' /proc/mounts";
    assert_eq!(podman.script(&["--privileged"], script), "1");
}

#[test]
fn update_of_a_running_container() {
    let podman = Podman::new();
    podman.start("long", &["--memory", "64m"], "sleep 1000");
    podman.succeed(["update", "--memory", "32m", "long"]);
    let script =
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null || true";
    assert_eq!(
        podman.succeed(["exec", "long", "sh", "-c", script]),
        "33554432"
    );
}

#[test]
fn leaves_no_control_group_behind() {
    let podman = Podman::new();
    podman.start("long", &[], "sleep 1000");
    let id = podman.succeed(["inspect", "--format", "{{.Id}}", "long"]);
    let pid = podman.succeed(["inspect", "--format", "{{.State.Pid}}", "long"]);
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read the groups");
    assert!(groups.contains(&id), "{groups}");
    podman.succeed(["rm", "--force", "--time", "0", "long"]);
    let left = run(std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-name"])
        .arg(format!("libpod-{id}*")));
    assert_eq!(left.stdout, "");
}
