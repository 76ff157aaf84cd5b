# `insula run` on an imported image, here where cgroup v2 is alone.

insula() { /payload/insula --store "$PWD/store" "$@"; }

import() {
    is_ours || skip "another runtime has no images"
    insula image import --quiet --tag small:1 /payload/rootfs
}

test_runs_a_command() {
    import
    is hello "$(insula run --rm small:1 echo hello)"
    is '' "$(find /sys/fs/cgroup -path '*insula*' -name '*small*')"
}

test_exit_codes() {
    import
    status=0
    insula run --rm small:1 sh -c 'exit 42' || status=$?
    is 42 $status
    status=0
    insula run --rm small:1 /bin/nosuchcommand || status=$?
    is 127 $status
    status=0
    insula run --rm small:1 /bin || status=$?
    is 126 $status
}

test_limits() {
    import
    output=$(insula run --rm -m 64m --cpus 0.5 small:1 sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max')
    is "67108864
50000 100000" "$output"
}

test_killed_by_the_memory_limit() {
    import
    status=0
    insula run --rm -m 16m small:1 dd if=/dev/zero of=/dev/null bs=100000000 count=1 || status=$?
    is 137 $status
}

test_writable_layer_is_separate() {
    import
    is made "$(insula run --rm small:1 sh -c 'echo made >/file; cat /file')"
    if insula run --rm small:1 cat /file; then return 1; fi
    [ ! -e /payload/rootfs/file ]
}

test_confinement() {
    import
    output=$(insula run --rm small:1 cat /proc/self/status)
    has "$output" 'Seccomp:.*2'
    has "$output" 'NoNewPrivs:'
    has "$(insula run --rm small:1 sh -c 'echo 1 >/proc/sys/kernel/panic' 2>&1 || true)" 'Read-only|denied'
}

test_nothing_is_left() {
    import
    before=$(grep -c . /proc/mounts)
    insula run --rm small:1 true
    is "$before" "$(grep -c . /proc/mounts)"
}
