# What the tests share: bundles with a busybox root file system, and the runtime's commands.
#
#     bundle NAME                     makes ./NAME/{config.json,rootfs}; what goes into it:
#         args='"sh", "-c", "…"'      the process's arguments, as JSON members (default: sleep)
#         resources='"pids": {…}'     members of linux.resources
#         linux=', "devices": […]'    further members of linux, each with its comma before it
#         process=', "apparmor…": …'  further members of process
#         mounts=', {…}'              further mounts
#         namespaces=', {…}'          further namespaces
#         cgroups_path='/name'
#     start NAME                      creates and starts it in the background, detached
#     oci ARGUMENTS…                  the runtime under test
#     is EXPECTED ACTUAL              fails with both when they differ
#     eventually COMMAND…             waits until the command succeeds
#
# Containers have the name of the bundle with the test's own prefix; clean_up deletes them.

args='"sleep", "1000"'
resources=
linux=
process=
mounts=
namespaces=
cgroups_path=
bundles=
# systemd's slices and the runtime's own directory, when `flags=--systemd-cgroup`.
flags=

oci() {
    # shellcheck disable=SC2086 # both are words
    $RUNTIME $flags "$@"
}

id_of() { echo "outer-$1"; }

bundle() {
    { set +x; } 2>/dev/null
    mkdir -p "$1"
    cp -a /payload/rootfs "$1/rootfs"
    bundles="$bundles $1"
    configure "$1"
    set -x
}

# Writes the config.json of a bundle again, from the variables above.
configure() {
    cat >"$1/config.json" <<END
{"ociVersion": "1.0.2", "hostname": "inside",
 "root": {"path": "rootfs", "readonly": false},
 "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": [$args],
  "env": ["PATH=/bin"], "noNewPrivileges": true,
  "capabilities": {"bounding": ["CAP_KILL", "CAP_MKNOD", "CAP_CHOWN"], "effective": ["CAP_KILL", "CAP_MKNOD", "CAP_CHOWN"],
   "permitted": ["CAP_KILL", "CAP_MKNOD", "CAP_CHOWN"]}$process},
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
  {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}$mounts],
 "linux": {"cgroupsPath": "${cgroups_path:-$(default_cgroup "$1")}",
  "resources": {${resources:-}},
  "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}, {"type": "network"}$namespaces]$linux}}
END
}

default_cgroup() {
    case $flags in
        *systemd*) echo "system.slice:outer:$1" ;;
        *) echo "/outer/$1" ;;
    esac
}

start() {
    oci create --bundle "$PWD/$1" --pid-file "$PWD/$1/pid" "$(id_of "$1")" >"$1/output" 2>&1 || {
        cat "$1/output"
        return 1
    }
    oci start "$(id_of "$1")"
}

# Runs a bundle to its end and prints what it wrote.
run() { oci run --bundle "$PWD/$1" "$(id_of "$1")"; }

# The directory of a bundle's control group.
cgroup_of() { echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(cat "$1/pid")/cgroup")"; }

is() {
    [ "$1" = "$2" ] || {
        echo "expected: $1"
        echo "found:    $2"
        return 1
    }
}

# has TEXT PATTERN: the text contains what the pattern (grep -E) describes.
has() {
    echo "$1" | grep -Eq -- "$2" || {
        echo "no '$2' in: $1"
        return 1
    }
}

eventually() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || return 1
        sleep 0.2
    done
}

status_of() { oci state "$(id_of "$1")" | sed -n 's/.*"status": *"\([a-z]*\)".*/\1/p'; }

is_stopped() { [ "$(status_of "$1")" = stopped ]; }

delete() { oci delete --force "$(id_of "$1")"; }

# Ends a test that this kernel or runtime cannot serve.
skip() {
    echo "skipped: $*"
    exit 77
}

is_ours() { case $RUNTIME in *insula*) true ;; *) false ;; esac }

# Shares of 1024 are meant to be the default weight of 100, which the first conversion (1 + (shares -
# 2) * 9999 / 262142) missed; today's is a curve through it. The peers here are older than that.
weight_of_512() { if is_ours; then echo 59; else echo 20; fi; }

clean_up() {
    set +ex
    for one in $bundles; do
        oci delete --force "$(id_of "$one")" >/dev/null 2>&1
    done
}
