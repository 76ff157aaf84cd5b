# Limits on pure cgroup v2, and what the container and its control group look like there.

# Starts a container with the given resources and leaves its control group in `group`.
limited() {
    resources=$1
    bundle limited
    start limited
    group=$(cgroup_of limited)
}

test_is_pure_v2() {
    is cgroup2fs "$(stat -f -c %T /sys/fs/cgroup)"
    for controller in cpu cpuset io memory pids hugetlb; do
        has "$(cat /sys/fs/cgroup/cgroup.controllers)" "\\b$controller\\b"
    done
}

test_memory() {
    limited '"memory": {"limit": 67108864, "reservation": 33554432, "swap": 67108864}'
    is 67108864 "$(cat "$group/memory.max")"
    is 33554432 "$(cat "$group/memory.low")"
    # The specification's swap is memory and swap together; v2's is swap alone.
    is 0 "$(cat "$group/memory.swap.max")"
}

test_cpu() {
    limited '"cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "1", "mems": "0"}'
    is "50000 100000" "$(cat "$group/cpu.max")"
    is "$(weight_of_512)" "$(cat "$group/cpu.weight")"
    is 1 "$(cat "$group/cpuset.cpus")"
    is 0 "$(cat "$group/cpuset.mems.effective")"
}

test_pids() {
    limited '"pids": {"limit": 3}'
    is 3 "$(cat "$group/pids.max")"
    # The sleeping first process, this shell and one child are three.
    if oci exec outer-limited sh -c 'sleep 5 & sleep 5 & wait'; then return 1; fi
    has "$(cat "$group/pids.events")" 'max [1-9]'
}

test_pids_one() {
    args='"cat", "/proc/self/status"'
    resources='"pids": {"limit": 1}'
    bundle alone
    has "$(run alone)" 'Pid:.*1'
}

test_io() {
    device=$(stat -c '%Hr:%Lr' /dev/nvme0n2)
    major=${device%:*} minor=${device#*:}
    limited '"blockIO": {"throttleReadBpsDevice": [{"major": '"$major"', "minor": '"$minor"', "rate": 1048576}],
        "throttleWriteIOPSDevice": [{"major": '"$major"', "minor": '"$minor"', "rate": 100}]}'
    has "$(cat "$group/io.max")" "^$device rbps=1048576 wbps=max riops=max wiops=100"
}

test_hugetlb() {
    limited '"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]'
    is 4194304 "$(cat "$group/hugetlb.2MB.max")"
}

test_unified() {
    limited '"unified": {"memory.high": "50331648", "pids.max": "17"}'
    is 50331648 "$(cat "$group/memory.high")"
    is 17 "$(cat "$group/pids.max")"
}

test_unified_unknown_file_fails() {
    resources='"unified": {"memory.nosuchfile": "1"}'
    bundle unknown
    if start unknown >error 2>&1; then return 1; fi
    has "$(cat error)" memory.nosuchfile
}

test_devices() {
    args='"sh", "-c", "for d in null:1:3 kmsg:1:11 mem:1:1; do n=${d%%:*}; r=${d#*:}; mknod /tmp/$n c ${r%:*} ${r#*:} && head -c 0 /tmp/$n && (: </tmp/$n) && echo $n open; done 2>&1; (: >/dev/zero) && echo zero open; true"'
    resources='"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"}]'
    bundle devices
    output=$(run devices 2>&1)
    has "$output" 'null open'
    has "$output" 'zero open'
    if echo "$output" | grep -E '(kmsg|mem) open'; then return 1; fi
}

# Opening a node that the program denies fails with EPERM, not because it is absent.
test_devices_denied_with_eperm() {
    args='"sh", "-c", "mknod /tmp/fuse c 10 229; : </tmp/fuse"'
    resources='"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "access": "m"}]'
    bundle denied
    has "$(run denied 2>&1 || true)" 'Operation not permitted'
}

test_pause_and_resume() {
    args='"sh", "-c", "while :; do :; done"'
    limited ''
    oci pause outer-limited
    is paused "$(status_of limited)"
    is 1 "$(cat "$group/cgroup.freeze")"
    has "$(cat "$group/cgroup.events")" 'frozen 1'
    oci resume outer-limited
    is running "$(status_of limited)"
    has "$(cat "$group/cgroup.events")" 'frozen 0'
}

test_update() {
    limited '"memory": {"limit": 67108864}, "pids": {"limit": 20}'
    oci update --memory 33554432 --pids-limit 9 --cpu-quota 20000 --cpu-period 50000 outer-limited
    is 33554432 "$(cat "$group/memory.max")"
    is 9 "$(cat "$group/pids.max")"
    is "20000 50000" "$(cat "$group/cpu.max")"
    echo '{"memory": {"limit": 50331648}, "cpu": {"shares": 2048}}' | oci update --resources - outer-limited
    is 50331648 "$(cat "$group/memory.max")"
    has "$(cat "$group/cpu.weight")" '^(79|174)$'
}

test_oom_kill() {
    args='"dd", "if=/dev/zero", "of=/dev/null", "bs=100000000", "count=1"'
    resources='"memory": {"limit": 16777216, "swap": 16777216}'
    bundle hungry
    status=0
    run hungry || status=$?
    is 137 $status
}

test_oom_is_counted() {
    args='"sh", "-c", "dd if=/dev/zero of=/dev/null bs=100000000 count=1; sleep 1000"'
    limited '"memory": {"limit": 16777216, "swap": 16777216}'
    eventually grep -q 'oom_kill [1-9]' "$group/memory.events"
    is running "$(status_of limited)"
}

test_events_stats() {
    limited '"memory": {"limit": 67108864}, "pids": {"limit": 20}'
    case $RUNTIME in *crun*) skip "crun has no events" ;; esac
    output=$(oci events --stats outer-limited)
    has "$output" '"type": *"stats"'
    has "$output" '67108864'
    has "$output" '"pids": *\{[^}]*"limit": *20'
}

test_delete_removes_the_group() {
    limited '"pids": {"limit": 20}'
    [ -d "$group" ]
    delete limited
    [ ! -e "$group" ]
    if oci state outer-limited; then return 1; fi
}

# What the container leaves running below its group goes with it.
test_delete_removes_subgroups() {
    limited ''
    mkdir "$group/below" "$group/below/deeper"
    delete limited
    [ ! -e "$group" ]
}

test_kill_all() {
    args='"sh", "-c", "sleep 1000 & sleep 1000 & wait"'
    limited ''
    oci kill outer-limited KILL
    eventually is_stopped limited
    is '' "$(cat "$group/cgroup.procs" 2>/dev/null)"
}

test_exec_joins_the_group() {
    limited '"pids": {"limit": 20}'
    output=$(oci exec outer-limited cat /proc/self/cgroup)
    # In its own cgroup namespace the container's group is the root.
    is '0::/' "$output"
}

test_cgroup_mount_is_the_own_group() {
    args='"cat", "/sys/fs/cgroup/pids.max", "/proc/self/cgroup"'
    resources='"pids": {"limit": 23}'
    bundle mounted
    is "23 0::/" "$(run mounted | tr '\n' ' ' | sed 's/ $//')"
}

# Written on the same machine by the runtimes that engines know.
test_same_as_runc() {
    resources='"memory": {"limit": 67108864, "reservation": 33554432, "swap": 134217728},
        "cpu": {"quota": 30000, "period": 60000, "cpus": "0"}, "pids": {"limit": 77}'
    bundle limited
    start limited
    group=$(cgroup_of limited)
    for file in memory.max memory.low memory.swap.max cpu.max cpuset.cpus pids.max; do
        echo "$file $(cat "$group/$file")"
    done >ours
    delete limited
    (
        RUNTIME=runc
        start limited
        group=$(cgroup_of limited)
        for file in memory.max memory.low memory.swap.max cpu.max cpuset.cpus pids.max; do
            echo "$file $(cat "$group/$file")"
        done >runcs
        delete limited
    )
    is "$(cat runcs)" "$(cat ours)"
}
