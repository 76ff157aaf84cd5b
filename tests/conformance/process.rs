//! config.md, "Process": observed from inside.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::bundle::{Bundle, eventually, runtime};

fn proc_status(bundle: &Bundle, name: &str) -> String {
    let finished = bundle.run();
    let prefix = format!("{name}:");
    let line = finished
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(prefix.as_str()));
    line.unwrap_or_else(|| panic!("no {name} in {finished:?}"))
        .trim()
        .to_owned()
}

fn of_status() -> Bundle {
    Bundle::of(&["cat", "/proc/self/status"])
}

#[test]
fn args_are_given_as_they_are() {
    let bundle = Bundle::of(&["printf", "[%s]", "a b", "", "$HOME", "ü"]);
    assert_eq!(bundle.run().text(), "[a b][][$HOME][ü]");
}

/// "used with the same semantics as execvp's file": by PATH, or as a path.
#[test]
fn the_program_is_found_by_path() {
    assert_eq!(Bundle::of(&["echo", "x"]).run().text(), "x");
    assert_eq!(Bundle::of(&["/bin/echo", "x"]).run().text(), "x");
    assert_eq!(Bundle::of(&["bin/echo", "x"]).run().text(), "x");
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let bundle = Bundle::of(&["nonesuch"]);
    let finished = bundle.run();
    assert!(finished.fails().contains("nonesuch"), "{finished:?}");
}

#[test]
fn a_program_that_is_not_executable_is_an_error() {
    let bundle = Bundle::of(&["/etc/passwd"]);
    let finished = bundle.run();
    assert!(finished.fails().contains("/etc/passwd"), "{finished:?}");
}

#[test]
fn the_environment_is_exactly_env() {
    let bundle = Bundle::of(&["/bin/env"]).set(
        "/process/env",
        json!(["PATH=/bin", "A=1", "B=x=y", "EMPTY="]),
    );
    let finished = bundle.run();
    let mut seen: Vec<_> = finished
        .text()
        .lines()
        .filter(|line| !line.starts_with("HOME="))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, ["A=1", "B=x=y", "EMPTY=", "PATH=/bin"]);
}

#[test]
fn cwd_is_the_working_directory() {
    assert_eq!(
        Bundle::sh("pwd")
            .set("/process/cwd", json!("/tmp"))
            .run()
            .text(),
        "/tmp"
    );
}

#[test]
fn cwd_outside_of_the_root_is_not_reachable() {
    for cwd in ["/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/9"] {
        let finished = Bundle::sh("cat ../../../../../etc/hostname")
            .set("/process/cwd", json!(cwd))
            .run();
        assert_ne!(finished.code, 0, "{cwd}: {finished:?}");
    }
}

#[test]
fn user_and_groups() {
    let bundle = Bundle::sh("id -u; id -g; grep Groups /proc/self/status | cut -f2").set(
        "/process/user",
        json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 7]}),
    );
    assert_eq!(bundle.run().text().trim(), "1000\n1001\n5 7");
}

#[test]
fn no_groups_of_the_caller() {
    assert_eq!(proc_status(&of_status(), "Groups"), "");
}

/// An engine may ask to leave the caller's groups to the program.
#[test]
fn groups_of_the_caller_by_annotation() {
    let script = "grep ^Groups: /proc/self/status | cut -f2";
    let bundle =
        Bundle::sh(script).set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    bundle.write();
    let path = bundle.path().display().to_string();
    let runtime = bundle.command(&["run", "--bundle", &path, &bundle.id]);
    let program = runtime.get_program().to_owned();
    let finished = Command::new("setpriv")
        .args(["--groups", "7,8"])
        .arg(program)
        .args(runtime.get_args())
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert_eq!(seen.trim(), "7 8", "{finished:?}");
}

#[test]
fn umask_is_set() {
    let bundle = Bundle::sh("umask").set("/process/user/umask", json!(0o027));
    assert_eq!(bundle.run().text(), "0027");
}

#[test]
fn rlimits_soft_and_hard() {
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    let bundle = Bundle::sh("grep -E 'open files|core file' /proc/self/limits | tr -s ' '")
        .set("/process/rlimits", limits);
    let finished = bundle.run();
    assert!(
        finished.text().contains("Max open files 100 200"),
        "{finished:?}"
    );
    assert!(
        finished.text().contains("Max core file size 0 0"),
        "{finished:?}"
    );
}

#[test]
fn rlimits_with_an_unknown_or_double_type_are_errors() {
    let unknown = json!([{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]);
    let finished = Bundle::sh("true").set("/process/rlimits", unknown).run();
    assert!(finished.fails().contains("RLIMIT_NONE"), "{finished:?}");
    let core = json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 0});
    Bundle::sh("true")
        .set("/process/rlimits", json!([core, core]))
        .run()
        .fails();
}

/// A limit that no privilege gives is an error of `create`, not only of `start`.
#[test]
fn a_limit_above_all_limits_is_an_error_of_create() {
    let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": u64::MAX}]);
    let bundle = Bundle::sh("true").set("/process/rlimits", limit);
    let finished = bundle.try_create(&[]);
    assert!(finished.fails().contains("RLIMIT_NOFILE"), "{finished:?}");
    bundle.assert_gone();
}

fn mask(names: &[&str]) -> String {
    const NUMBERS: [(&str, u32); 6] = [
        ("CAP_CHOWN", 0),
        ("CAP_KILL", 5),
        ("CAP_NET_BIND_SERVICE", 10),
        ("CAP_NET_RAW", 13),
        ("CAP_AUDIT_WRITE", 29),
        ("CAP_MKNOD", 27),
    ];
    let bits = names
        .iter()
        .map(|name| NUMBERS.iter().find(|(known, _)| known == name).unwrap().1);
    format!("{:016x}", bits.fold(0_u64, |mask, bit| mask | 1 << bit))
}

/// "capabilities": five sets, each its own.
#[test]
fn the_five_capability_sets() {
    let sets = json!({"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]});
    // Not root, for whom execve fills the sets.
    let bundle = of_status()
        .set("/process/capabilities", sets)
        .set("/process/user", json!({"uid": 1, "gid": 1}));
    let finished = bundle.run();
    let field = |name: &str| {
        let line = finished
            .text()
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        line.split_once('\t').unwrap().1.to_owned()
    };
    assert_eq!(
        field("CapBnd"),
        mask(&["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"])
    );
    assert_eq!(field("CapInh"), mask(&["CAP_KILL"]));
    assert_eq!(field("CapAmb"), mask(&["CAP_KILL"]));
    // By capabilities(7): what a user's execve keeps is the ambient set.
    assert_eq!(field("CapPrm"), mask(&["CAP_KILL"]));
    assert_eq!(field("CapEff"), mask(&["CAP_KILL"]));
}

#[test]
fn without_capabilities_there_are_none() {
    for name in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        let bundle = of_status().set("/process/capabilities", json!({}));
        assert_eq!(proc_status(&bundle, name), mask(&[]), "{name}");
    }
}

/// "Any value which cannot be mapped …, or cannot be granted otherwise, MUST be logged as a
/// warning"; "Runtimes SHOULD NOT fail if the … configuration requests capabilities that cannot be
/// granted."
#[test]
fn capabilities_that_cannot_be_granted_are_only_a_warning() {
    let wanted = json!(["CAP_KILL", "CAP_SYS_RESOURCE", "CAP_OF_TOMORROW"]);
    let sets = json!({"bounding": wanted, "permitted": wanted, "effective": wanted});
    let bundle = Bundle::sh("echo runs").set("/process/capabilities", sets);
    let finished = bundle.run();
    assert_eq!(finished.text(), "runs");
    assert!(finished.stderr.contains("CAP_OF_TOMORROW"), "{finished:?}");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    let own = u64::from_str_radix(own.unwrap().trim(), 16).unwrap();
    let has_all = own & 1 << 24 != 0;
    let is_told = finished.stderr.contains("CAP_SYS_RESOURCE");
    assert_ne!(is_told, has_all, "{finished:?}");
}

#[test]
fn an_ambient_capability_that_is_not_inheritable_is_only_a_warning() {
    let bundle = of_status()
        .set("/process/capabilities/inheritable", json!(["CAP_KILL"]))
        .set(
            "/process/capabilities/ambient",
            json!(["CAP_KILL", "CAP_CHOWN"]),
        );
    assert_eq!(proc_status(&bundle, "CapAmb"), mask(&["CAP_KILL"]));
    let log = bundle.path().join("log");
    let mut command = runtime();
    command.arg("--log").arg(&log).args(["run", "--bundle"]);
    let status = command.arg(bundle.path()).arg(&bundle.id).status().unwrap();
    assert!(status.success());
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("CAP_CHOWN") && !log.contains("CAP_KILL"),
        "{log}"
    );
}

#[test]
fn no_new_privileges() {
    let set = |value| of_status().set("/process/noNewPrivileges", json!(value));
    assert_eq!(proc_status(&set(true), "NoNewPrivs"), "1");
    assert_eq!(proc_status(&set(false), "NoNewPrivs"), "0");
}

#[test]
fn oom_score_adj_is_set_or_left() {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let read = || Bundle::of(&["cat", "/proc/self/oom_score_adj"]);
    assert_eq!(read().run().text(), own.trim());
    assert_eq!(
        read().set("/process/oomScoreAdj", json!(777)).run().text(),
        "777"
    );
}

#[test]
fn scheduler_policy_and_nice() {
    let batch = json!({"policy": "SCHED_BATCH", "nice": 5});
    let bundle = Bundle::sh("cut -d' ' -f19,41 /proc/self/stat").set("/process/scheduler", batch);
    let finished = bundle.run();
    // By sched(7), SCHED_BATCH is 3.
    assert_eq!(finished.text(), "5 3", "{finished:?}");
}

#[test]
fn io_priority_is_set() {
    let idle = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
    let finished = Bundle::sh("ionice -p $$")
        .set("/process/ioPriority", idle)
        .run();
    assert!(finished.text().contains("prio 6"), "{finished:?}");
}

/// "execCPUAffinity … is not applicable to the container's init process."
#[test]
fn exec_cpu_affinity() {
    let bundle = Bundle::sh("sleep 100").set(
        "/process/execCPUAffinity",
        json!({"initial": "0", "final": "1"}),
    );
    let container = bundle.start();
    let seen = |who: &str| {
        let file = format!("/proc/{who}/status");
        let finished = container.exec(&["grep", "Cpus_allowed_list", &file]);
        finished
            .text()
            .split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(seen("self"), "1");
    assert_ne!(seen("1"), "1");
    container.kill_and_delete();
}

/// No descriptor of the runtime is open in the container.
#[test]
fn only_the_standard_streams_are_open() {
    let finished = Bundle::sh("exec ls /proc/self/fd").run();
    assert_eq!(
        finished.text().lines().count(),
        4,
        "0 to 2 and the directory: {finished:?}"
    );
}

/// `--preserve-fds N`: 3 and the next ones, no others.
#[test]
fn preserved_descriptors() {
    let bundle = Bundle::sh("cat <&3");
    bundle.write();
    let file = bundle.beside("three");
    fs::write(&file, "three").unwrap();
    let command = bundle.command(&[
        "run",
        "--preserve-fds",
        "1",
        "--bundle",
        bundle.path().to_str().unwrap(),
        &bundle.id,
    ]);
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    let line = words
        .iter()
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect::<Vec<_>>()
        .join(" ");
    let output = Command::new("sh")
        .args(["-c", &format!("exec {line} 3<{file}")])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "three",
        "{output:?}"
    );
}

/// "/proc/self/exe" of the host's binary is not reachable by the container (CVE-2019-5736).
#[test]
fn the_runtime_cannot_be_opened_by_the_container() {
    let container = Bundle::sh("sleep 100").start();
    let link = container.exec(&["readlink", "/proc/1/exe"]);
    assert_eq!(link.text(), "/bin/busybox");
    // The program is a script whose interpreter is the runtime, if it could be reached.
    let script = container.bundle.rootfs().join("bin/trap");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(
        &mut fs::metadata(&script).unwrap().permissions(),
        0o755,
    );
    let finished = container.exec(&["/bin/trap"]);
    assert_ne!(finished.code, 0, "{finished:?}");
    assert!(eventually(|| container.status() == "running"));
    container.kill_and_delete();
}
