# AppArmor: process.apparmorProfile, at create and at exec.

# Loads a profile that lets all pass but writing below /tmp/denied.
load_profile() {
    apparmor_parser --replace --skip-cache <<END
profile outer-test flags=(attach_disconnected,mediate_deleted) {
  capability, network, mount, signal, ptrace, dbus, unix, file,
  deny /tmp/denied/** w,
  deny /tmp/denied w,
}
END
}

test_is_enabled() {
    is Y "$(cat /sys/module/apparmor/parameters/enabled)"
}

test_profile_is_applied() {
    load_profile
    args='"sh", "-c", "cat /proc/self/attr/current; touch /tmp/allowed && echo allowed; touch /tmp/denied"'
    process=', "apparmorProfile": "outer-test"'
    bundle confined
    output=$(run confined 2>&1 || true)
    has "$output" 'outer-test \(enforce\)'
    has "$output" '^allowed'
    has "$output" 'denied: Permission denied'
}

test_exec_is_confined_too() {
    load_profile
    process=', "apparmorProfile": "outer-test"'
    bundle confined
    start confined
    has "$(oci exec outer-confined cat /proc/self/attr/current)" 'outer-test \(enforce\)'
}

test_no_profile_is_unconfined() {
    args='"cat", "/proc/self/attr/current"'
    bundle free
    has "$(run free)" unconfined
}

test_unknown_profile_fails() {
    args='"true"'
    process=', "apparmorProfile": "outer-no-such-profile"'
    bundle lost
    if run lost >output 2>&1; then return 1; fi
    has "$(cat output)" 'outer-no-such-profile|apparmor'
    if is_ours; then has "$(cat output)" 'outer-no-such-profile'; fi
}
