# What machines need of this boot: nested AMD virtualization that the stock kernel's KVM accepts.

test_modules_load() {
    modprobe kvm-amd
    eventually test -c /dev/kvm
    has "$(cat /proc/cpuinfo)" '\bsvm\b'
    is 1 "$(cat /sys/module/kvm_amd/parameters/npt | tr Y 1)"
}

# A container that was given /dev/kvm may open it, another may not.
test_device_in_a_container() {
    modprobe kvm-amd
    minor=$(stat -c %Lr /dev/kvm)
    linux=', "devices": [{"path": "/dev/kvm", "type": "c", "major": 10, "minor": '$minor', "fileMode": 438, "uid": 0, "gid": 0}]'
    args='"sh", "-c", ": <>/dev/kvm && echo open"'
    resources='"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": '$minor', "access": "rwm"}]'
    bundle given
    is open "$(run given)"
    resources='"devices": [{"allow": false, "access": "rwm"}]'
    configure given
    has "$(run given 2>&1 || true)" 'not permitted'
}
