//! The commands of the runtime and the options each takes: the union of runc, crun and youki.
//!
//! One table per command, so that parsing, help and the check of names say the same. What a command
//! does stands in the file of its name.

use super::options::{Opt, Stop, Takes, flag, value};

/// A command as it is written on the command line.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// What follows the options, as the help shows it.
    pub(crate) usage: &'static str,
    pub(crate) options: &'static [Opt],
    /// Fewest and most arguments; words after [`Command::stop`] are not counted.
    pub(crate) arguments: (usize, usize),
    pub(crate) stop: Stop,
}

/// Options that every command takes, in front of it or behind.
pub(crate) const GLOBAL: &[Opt] = &[
    value(
        "root",
        b'r',
        "DIR",
        "where the state of containers is kept (should be on tmpfs)",
    ),
    value(
        "log",
        b'l',
        "FILE",
        "write log lines to this file instead of standard error",
    ),
    value("log-format", 0, "FORMAT", "text (default) or json"),
    value(
        "log-level",
        0,
        "LEVEL",
        "error, warning (default), info or debug",
    ),
    flag("debug", 0, "the same as --log-level=debug"),
    flag(
        "systemd-cgroup",
        b's',
        "let systemd manage cgroups (cgroupsPath is slice:prefix:name)",
    ),
    value(
        "cgroup-manager",
        0,
        "NAME",
        "cgroupfs (default), systemd or disabled",
    ),
    value(
        "rootless",
        0,
        "BOOL",
        "ignore cgroup permission errors: auto (default), true or false",
    ),
    value("criu", 0, "PATH", "accepted and ignored"),
    flag("systemd-log", 0, "accepted and ignored"),
];

/// The same behind the command, where short names belong to the command.
pub(crate) const GLOBAL_BEHIND: &[Opt] = &{
    let mut table = [GLOBAL[0]; GLOBAL.len()];
    let mut index = 0;
    while index < table.len() {
        table[index] = GLOBAL[index];
        table[index].short = 0;
        index += 1;
    }
    table
};

/// Options that replace the command.
pub(crate) const INSTEAD: &[Opt] = &[
    flag("help", b'h', "show this help"),
    flag("version", b'v', "show the version"),
    flag("usage", b'?', "show this help"),
];

/// `-V`, which only stands in front of a command.
pub(crate) const CAPITAL_VERSION: &[Opt] = &[flag("version", b'V', "show the version")];

/// `-h` and `--help` behind a command.
pub(crate) const HELP: &[Opt] = &[flag("help", b'h', "show this help")];

const BUNDLE: Opt = value(
    "bundle",
    b'b',
    "DIR",
    "the bundle (default: the current directory)",
);
const CONFIG: Opt = value(
    "config",
    b'f',
    "FILE",
    "use this file instead of config.json",
);
const PIDFD_SOCKET: Opt = value(
    "pidfd-socket",
    0,
    "SOCKET",
    "send a pidfd of the process there",
);
const NO_PIVOT: Opt = flag(
    "no-pivot",
    0,
    "do not use pivot_root (for a root on a ramdisk)",
);
const NO_KEYRING: Opt = flag("no-new-keyring", 0, "keep the caller's session keyring");
const NO_SUBREAPER: Opt = flag(
    "no-subreaper",
    0,
    "do not adopt orphans (accepted, no effect)",
);
const PRESERVE: Opt = value(
    "preserve-fds",
    0,
    "N",
    "pass N descriptors after the standard ones",
);
const NOTIFY: Opt = value(
    "notify-socket",
    0,
    "SOCKET",
    "accepted; NOTIFY_SOCKET is what counts",
);
const DETACH: Opt = flag("detach", b'd', "do not wait for the process");
const CONSOLE_HELP: &str = "send the terminal's master to this socket";
const PID_FILE_HELP: &str = "write the process id to this file";

const CREATE: &[Opt] = &[
    BUNDLE,
    CONFIG,
    value("console-socket", b'c', "SOCKET", CONSOLE_HELP),
    PIDFD_SOCKET,
    value("pid-file", b'p', "FILE", PID_FILE_HELP),
    NO_PIVOT,
    NO_KEYRING,
    NO_SUBREAPER,
    PRESERVE,
    NOTIFY,
];

const RUN: &[Opt] = &[
    BUNDLE,
    CONFIG,
    DETACH,
    value("console-socket", b'c', "SOCKET", CONSOLE_HELP),
    PIDFD_SOCKET,
    value("pid-file", b'p', "FILE", PID_FILE_HELP),
    flag("keep", 0, "keep the container after its process has ended"),
    NO_PIVOT,
    NO_KEYRING,
    NO_SUBREAPER,
    PRESERVE,
    NOTIFY,
];

const EXEC: &[Opt] = &[
    value(
        "process",
        b'p',
        "FILE",
        "the process as JSON instead of a command",
    ),
    DETACH,
    Opt {
        long: "tty",
        short: b't',
        takes: Takes::JoinedValue("BOOL"),
        help: "give the process a terminal",
    },
    value("console-socket", 0, "SOCKET", CONSOLE_HELP),
    PIDFD_SOCKET,
    value("pid-file", 0, "FILE", PID_FILE_HELP),
    value("cwd", 0, "DIR", "working directory in the container"),
    value(
        "env",
        b'e',
        "NAME=VALUE",
        "set an environment variable (repeatable)",
    ),
    value("user", b'u', "UID[:GID]", "run as this user"),
    value("additional-gids", b'g', "GID", "add a group (repeatable)"),
    value("cap", b'c', "CAP", "add a capability (repeatable)"),
    flag("no-new-privs", 0, "set no_new_privs"),
    value("process-label", 0, "LABEL", "SELinux label of the process"),
    value("apparmor", 0, "PROFILE", "AppArmor profile of the process"),
    value(
        "cgroup",
        0,
        "[CONTROLLERS:]PATH",
        "existing cgroup below the container's (repeatable)",
    ),
    value(
        "cpu-affinity",
        0,
        "CPUS",
        "processors for the process before it joins the cgroup",
    ),
    flag("ignore-paused", 0, "do not refuse a paused container"),
    PRESERVE,
    NOTIFY,
];

const KILL: &[Opt] = &[
    flag("all", b'a', "signal every process of the container"),
    flag(
        "regex",
        b'r',
        "the id is a regular expression; signal all that match",
    ),
];

const DELETE: &[Opt] = &[
    flag("force", b'f', "kill the container first if it still runs"),
    flag(
        "regex",
        b'r',
        "the id is a regular expression; delete all that match",
    ),
];

const FORMAT: Opt = value("format", b'f', "FORMAT", "table (default) or json");

const LIST: &[Opt] = &[FORMAT, flag("quiet", b'q', "only ids")];

const EVENTS: &[Opt] = &[
    flag("stats", 0, "print the figures once and end"),
    value(
        "interval",
        0,
        "TIME",
        "time between figures, such as 5s or 500ms (default 5s)",
    ),
];

const UPDATE: &[Opt] = &[
    value(
        "resources",
        b'r',
        "FILE",
        "resources as JSON; `-` is standard input",
    ),
    value("blkio-weight", 0, "N", "weight for block I/O, 10 to 1000"),
    value(
        "cpu-period",
        0,
        "N",
        "period of the CPU limit in microseconds",
    ),
    value(
        "cpu-quota",
        0,
        "N",
        "CPU time in a period in microseconds; -1 is no limit",
    ),
    value(
        "cpu-burst",
        0,
        "N",
        "CPU time above the quota in microseconds",
    ),
    value("cpu-share", 0, "N", "relative weight of CPU time"),
    value("cpu-shares", 0, "N", "the same as --cpu-share"),
    value(
        "cpu-rt-period",
        0,
        "N",
        "period of the real-time limit in microseconds",
    ),
    value(
        "cpu-rt-runtime",
        0,
        "N",
        "real-time CPU time in a period in microseconds",
    ),
    value(
        "cpu-idle",
        0,
        "0|1",
        "1 runs the container only on idle processors",
    ),
    value("cpuset-cpus", 0, "CPUS", "processors, such as 0-3,7"),
    value("cpuset-mems", 0, "NODES", "memory nodes, such as 0,1"),
    value(
        "memory",
        0,
        "BYTES",
        "memory limit, such as 512M; -1 is no limit",
    ),
    value("memory-reservation", 0, "BYTES", "soft memory limit"),
    value(
        "memory-swap",
        0,
        "BYTES",
        "limit of memory and swap together; -1 is no limit",
    ),
    value(
        "kernel-memory",
        0,
        "BYTES",
        "obsolete: the kernel has dropped this limit",
    ),
    value(
        "kernel-memory-tcp",
        0,
        "BYTES",
        "memory limit of TCP buffers (cgroup v1)",
    ),
    value("pids-limit", 0, "N", "most processes; -1 is no limit"),
    value("l3-cache-schema", 0, "SCHEMA", "Intel RDT L3 cache schema"),
    value(
        "mem-bw-schema",
        0,
        "SCHEMA",
        "Intel RDT memory bandwidth schema",
    ),
];

const SPEC: &[Opt] = &[
    value("bundle", b'b', "DIR", "write into this directory"),
    value(
        "file",
        b'f',
        "FILE",
        "name of the file (default config.json)",
    ),
    flag("rootless", 0, "for a user without privileges"),
];

const fn one_id(name: &'static str, summary: &'static str, options: &'static [Opt]) -> Command {
    Command {
        name,
        summary,
        usage: "CONTAINER",
        options,
        arguments: (1, 1),
        stop: Stop::Never,
    }
}

const fn alone(name: &'static str, summary: &'static str, options: &'static [Opt]) -> Command {
    Command {
        name,
        summary,
        usage: "",
        options,
        arguments: (0, 0),
        stop: Stop::Never,
    }
}

/// Every command, in the order of the help.
pub(crate) static COMMANDS: [Command; 17] = [
    one_id("create", "make a container, ready to start", CREATE),
    one_id("start", "start the program of a created container", &[]),
    one_id("run", "create, start, wait and delete in one", RUN),
    Command {
        usage: "CONTAINER [SIGNAL]",
        arguments: (1, 2),
        ..one_id(
            "kill",
            "signal a container's first process (default SIGTERM)",
            KILL,
        )
    },
    one_id("delete", "remove a stopped container", DELETE),
    one_id("state", "print the state of a container as JSON", &[]),
    alone("list", "list containers", LIST),
    Command {
        usage: "CONTAINER [COMMAND [ARGUMENT...]]",
        arguments: (1, 2),
        stop: Stop::At(1),
        ..one_id("exec", "run another process in a container", EXEC)
    },
    Command {
        usage: "CONTAINER [PS-OPTION...]",
        stop: Stop::At(0),
        ..one_id("ps", "list the processes of a container", &[FORMAT])
    },
    one_id("pause", "freeze all processes of a container", &[]),
    one_id("resume", "thaw a paused container", &[]),
    one_id("update", "change the limits of a container", UPDATE),
    one_id(
        "events",
        "print figures and out-of-memory events as JSON lines",
        EVENTS,
    ),
    alone("spec", "write a config.json to start from", SPEC),
    alone("features", "print what the runtime knows as JSON", &[]),
    alone("version", "print the version", &[]),
    Command {
        usage: "[COMMAND]",
        arguments: (0, 1),
        ..alone("help", "explain a command", &[])
    },
];

pub(crate) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
