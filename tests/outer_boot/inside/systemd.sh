# --systemd-cgroup: systemd makes the control group, as a transient scope on its bus.

flags=--systemd-cgroup

property() { systemctl show --value --property "$2" "$1"; }

test_scope_exists() {
    bundle scoped
    start scoped
    is active "$(property outer-scoped.scope ActiveState)"
    is system.slice "$(property outer-scoped.scope Slice)"
    is /system.slice/outer-scoped.scope "$(property outer-scoped.scope ControlGroup)"
    # The runtime writes in it, so systemd must not.
    is yes "$(property outer-scoped.scope Delegate)"
    has "$(cat "/proc/$(cat scoped/pid)/cgroup")" '^0::/system.slice/outer-scoped.scope'
}

test_scope_is_removed_on_delete() {
    bundle scoped
    start scoped
    delete scoped
    [ ! -e /sys/fs/cgroup/system.slice/outer-scoped.scope ]
    has "$(property outer-scoped.scope ActiveState)" inactive
    if systemctl --failed --no-legend | grep outer-scoped; then return 1; fi
}

# A scope that ends by itself must not stay as a failed unit, which would block the name.
test_scope_can_be_made_again() {
    args='"sh", "-c", "echo ran; exit 3"'
    bundle again
    for _ in 1 2; do
        status=0
        run again >output || status=$?
        is "3 ran" "$status $(cat output)"
    done
    is inactive "$(property outer-again.scope ActiveState)"
}

test_properties() {
    resources='"memory": {"limit": 67108864, "reservation": 33554432}, "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"}, "pids": {"limit": 40}'
    bundle limited
    start limited
    group=$(cgroup_of limited)
    is 67108864 "$(property outer-limited.scope MemoryMax)"
    is 33554432 "$(property outer-limited.scope MemoryLow)"
    is 40 "$(property outer-limited.scope TasksMax)"
    is "$(weight_of_512)" "$(property outer-limited.scope CPUWeight)"
    is 500ms "$(property outer-limited.scope CPUQuotaPerSecUSec)"
    is 100ms "$(property outer-limited.scope CPUQuotaPeriodUSec)"
    is 0 "$(property outer-limited.scope AllowedCPUs)"
    is 67108864 "$(cat "$group/memory.max")"
    is "50000 100000" "$(cat "$group/cpu.max")"
    is 40 "$(cat "$group/pids.max")"
    is 0 "$(cat "$group/cpuset.cpus")"
}

# systemd writes its own values again on a reload; the limits must be known to it.
test_limits_survive_a_reload() {
    resources='"memory": {"limit": 67108864}, "pids": {"limit": 40}'
    bundle limited
    start limited
    group=$(cgroup_of limited)
    systemctl daemon-reload
    is 67108864 "$(cat "$group/memory.max")"
    is 40 "$(cat "$group/pids.max")"
}

test_update_changes_the_unit() {
    resources='"memory": {"limit": 67108864}, "pids": {"limit": 40}'
    bundle limited
    start limited
    group=$(cgroup_of limited)
    oci update --memory 33554432 --pids-limit 11 --cpu-quota 20000 --cpu-period 50000 outer-limited
    is 33554432 "$(property outer-limited.scope MemoryMax)"
    is 11 "$(property outer-limited.scope TasksMax)"
    is 400ms "$(property outer-limited.scope CPUQuotaPerSecUSec)"
    is 33554432 "$(cat "$group/memory.max")"
    is "20000 50000" "$(cat "$group/cpu.max")"
    systemctl daemon-reload
    is 33554432 "$(cat "$group/memory.max")"
}

test_slices_nest() {
    cgroups_path=outer-below.slice:outer:nested
    bundle nested
    start nested
    is /outer.slice/outer-below.slice/outer-nested.scope "$(property outer-nested.scope ControlGroup)"
    is "/sys/fs/cgroup/outer.slice/outer-below.slice/outer-nested.scope" "$(cgroup_of nested)"
}

test_unified_goes_to_the_unit() {
    resources='"unified": {"memory.high": "50331648", "pids.max": "17"}'
    bundle unified
    start unified
    group=$(cgroup_of unified)
    is 50331648 "$(cat "$group/memory.high")"
    is 17 "$(cat "$group/pids.max")"
    is 50331648 "$(property outer-unified.scope MemoryHigh)"
}

test_devices_hold_under_systemd() {
    args='"sh", "-c", "mknod /tmp/kmsg c 1 11; (: </tmp/kmsg) && echo kmsg open; (: </dev/null) && echo null open"'
    resources='"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "access": "m"}]'
    bundle devices
    output=$(run devices 2>&1)
    has "$output" 'null open'
    if echo "$output" | grep 'kmsg open'; then return 1; fi
}

# The devices stay as they are when systemd sets the unit's properties again.
test_devices_hold_after_a_reload() {
    args='"sleep", "1000"'
    resources='"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "access": "m"}]'
    bundle devices
    start devices
    systemctl daemon-reload
    if oci exec outer-devices sh -c 'mknod /tmp/kmsg c 1 11; : </tmp/kmsg'; then return 1; fi
    oci exec outer-devices sh -c ': </dev/null'
}

test_pause_and_resume() {
    bundle paused
    start paused
    oci pause outer-paused
    is paused "$(status_of paused)"
    oci resume outer-paused
    is running "$(status_of paused)"
}

test_annotations_become_properties() {
    bundle annotated
    sed -i 's/^{"ociVersion"/{"annotations": {"org.systemd.property.TimeoutStopUSec": "uint64 7000000", "org.systemd.property.CollectMode": "'"'inactive-or-failed'"'"}, "ociVersion"/' annotated/config.json
    start annotated
    is 7s "$(property outer-annotated.scope TimeoutStopUSec)"
    is inactive-or-failed "$(property outer-annotated.scope CollectMode)"
}

test_exec_joins_the_scope() {
    bundle joined
    start joined
    oci exec --detach --pid-file "$PWD/exec.pid" outer-joined sleep 1000
    has "$(cat "/proc/$(cat exec.pid)/cgroup")" '^0::/system.slice/outer-joined.scope'
}

test_path_of_the_other_form_fails() {
    cgroups_path=/not/for/systemd
    bundle wrong
    if start wrong >error 2>&1; then return 1; fi
    has "$(cat error)" 'slice:|cgroupsPath|expected'
}

# Without the flag, a group of our own below systemd's delegated one.
test_without_the_flag() {
    flags=
    resources='"pids": {"limit": 12}'
    bundle plain
    start plain
    is /sys/fs/cgroup/outer/plain "$(cgroup_of plain)"
    systemctl daemon-reload
    is 12 "$(cat "$(cgroup_of plain)/pids.max")"
}
