# User namespaces, id-mapped mounts, and the runtime started by an ordinary user.

mapped=', "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]'

test_user_namespace() {
    args='"cat", "/proc/self/uid_map", "/proc/self/gid_map"'
    namespaces=', {"type": "user"}'
    linux=$mapped
    bundle own
    chown -R 100000:100000 own/rootfs
    output=$(run own | tr -s ' ')
    is ' 0 100000 65536
 0 100000 65536' "$output"
}

# The files stay root's on disk; the mount shows them as the container's own.
test_id_mapped_mount() {
    mkdir shared
    echo content >shared/file
    chown 7:8 shared/file
    args='"stat", "-c", "%u:%g", "/shared/file"'
    namespaces=', {"type": "user"}'
    linux=$mapped
    # tmpfs takes part in id-mapped mounts from Linux 6.3, so a file system that does in 6.1.
    mkdir -p /idmapped && cp -a shared /idmapped/
    mounts=', {"destination": "/shared", "type": "bind", "source": "/idmapped/shared", "options": ["bind", "ro"],
        "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}'
    bundle own
    chown -R 100000:100000 own/rootfs
    is 7:8 "$(run own)"
    is 7:8 "$(stat -c %u:%g /idmapped/shared/file)"
}

test_id_mapped_root_of_an_other_user_is_nobody_without() {
    args='"stat", "-c", "%u", "/shared/file"'
    mkdir shared
    touch shared/file
    namespaces=', {"type": "user"}'
    linux=$mapped
    mounts=', {"destination": "/shared", "type": "bind", "source": "'$PWD'/shared", "options": ["bind"]}'
    bundle own
    chown -R 100000:100000 own/rootfs
    is 65534 "$(run own)"
}

# Limits hold with a user namespace too, and the devices are bound from the host.
test_user_namespace_with_limits() {
    args='"sh", "-c", "(: >/dev/null) && head -c 4 /dev/zero | grep -c . ; cat /sys/fs/cgroup/pids.max"'
    resources='"pids": {"limit": 31}, "devices": [{"allow": false, "access": "rwm"}]'
    namespaces=', {"type": "user"}'
    linux=$mapped
    bundle own
    chown -R 100000:100000 own/rootfs
    has "$(run own)" '^31$'
}

# As an ordinary user: own user namespace with one id, and no control group to write.
rootless() {
    namespaces=', {"type": "user"}'
    linux=', "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]'
    bundle "$1"
    # No cgroupsPath: nothing asks for a group that this user cannot make.
    sed -i 's/"linux": {"cgroupsPath": "[^"]*",/"linux": {/' "$1/config.json"
    chmod 755 /tmp .
    chown -R 1000:1000 "$1"
    mkdir -p /run/user/1000 && chown 1000:1000 /run/user/1000
}

as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/ordinary "$@"; }

test_rootless_run() {
    args='"sh", "-c", "id -u; cat /proc/self/uid_map"'
    rootless mine
    # shellcheck disable=SC2086
    output=$(as_user $RUNTIME --root /run/user/1000/outer run --bundle "$PWD/mine" outer-mine)
    has "$output" '^0$'
    has "$output" '^ +0 +1000 +1$'
}

test_rootless_lifecycle() {
    rootless mine
    command="$RUNTIME --root /run/user/1000/outer"
    as_user $command create --bundle "$PWD/mine" outer-mine >output 2>&1 || { cat output; return 1; }
    as_user $command start outer-mine
    has "$(as_user $command state outer-mine)" '"status": *"running"'
    is 0 "$(as_user $command exec outer-mine id -u)"
    as_user $command kill outer-mine KILL
    as_user $command delete --force outer-mine
    if as_user $command state outer-mine; then return 1; fi
}
