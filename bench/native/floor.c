/*
 * The floor: the least that any OCI runtime has to ask of the kernel for the default `runc spec`.
 *
 *     floor ROOTFS [PROGRAM [ARGUMENT...]]
 *
 * One clone with the five default namespaces, every mount of the default spec (with the cgroup
 * mount this host's hierarchies ask for), the device nodes, the masked and read-only paths, a
 * read-only root, pivot_root, execve, wait. What a runtime does besides is missing on purpose:
 * no config.json, no cgroup of its own, no capabilities, no seccomp, no state, no checks of paths
 * inside the rootfs. The child borrows the parent's memory until execve, so nothing is copied.
 * It is C, static, so that the yardstick owes nothing to the language of what it measures.
 *
 * Start reading at child().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCKED (MS_NOSUID | MS_NOEXEC | MS_NODEV)

static const char *const MASKED[] = {
    "proc/acpi",        "proc/asound",      "proc/kcore",      "proc/keys",    "proc/latency_stats",
    "proc/timer_list",  "proc/timer_stats", "proc/sched_debug", "sys/firmware", "proc/scsi",
};
static const char *const READONLY[] = {
    "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger",
};
static const struct { const char *path; unsigned minor_number, major_number; } NODES[] = {
    {"dev/null", 3, 1}, {"dev/zero", 5, 1},   {"dev/full", 7, 1},
    {"dev/tty", 0, 5},  {"dev/random", 8, 1}, {"dev/urandom", 9, 1},
};
static const char *const LINKS[][2] = {
    {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
    {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
    {"/proc/kcore", "dev/core"},       {"pts/ptmx", "dev/ptmx"},
};
/* The version 1 hierarchies a runtime shows inside; absent ones are skipped. */
static const char *const HIERARCHIES[] = {
    "cpu",     "cpuacct", "cpuset",   "memory",     "devices", "freezer", "blkio",
    "pids",    "systemd", "net_cls",  "perf_event", "net_prio", "hugetlb", "rdma", "misc",
};

static char *const *program;
static const char *rootfs;
static const char *hierarchies[sizeof HIERARCHIES / sizeof *HIERARCHIES];
static size_t hierarchy_count;
static int version_two;

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void check(long result, const char *step) {
    if (result < 0) {
        dprintf(2, "floor: %s: %s\n", step, strerror(errno));
        _exit(125);
    }
}

static void mount_cgroup(void) {
    const char *base = "sys/fs/cgroup";
    char source[96], target[96];
    if (version_two) {
        check(mount("cgroup", base, "cgroup2", LOCKED | MS_RELATIME | MS_RDONLY, NULL), "cgroup2");
        return;
    }
    check(mount("tmpfs", base, "tmpfs", LOCKED, "mode=755"), "mount tmpfs on /sys/fs/cgroup");
    for (size_t i = 0; i < hierarchy_count; i++) {
        snprintf(source, sizeof source, "/sys/fs/cgroup/%s", hierarchies[i]);
        snprintf(target, sizeof target, "%s/%s", base, hierarchies[i]);
        check(mkdir(target, 0755), target);
        check(mount(source, target, NULL, MS_BIND, NULL), target);
        check(mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | LOCKED, NULL), target);
    }
}

static void make_devices(void) {
    for (size_t i = 0; i < COUNT(NODES); i++) {
        dev_t device = makedev(NODES[i].major_number, NODES[i].minor_number);
        check(mknod(NODES[i].path, S_IFCHR | 0666, device), NODES[i].path);
    }
    for (size_t i = 0; i < COUNT(LINKS); i++)
        check(symlink(LINKS[i][0], LINKS[i][1]), LINKS[i][1]);
}

static void mount_all(void) {
    check(mount("proc", "proc", "proc", 0, NULL), "mount proc");
    check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
    check(mkdir("dev/pts", 0755), "mkdir dev/pts");
    check(mkdir("dev/shm", 0755), "mkdir dev/shm");
    check(mkdir("dev/mqueue", 0755), "mkdir dev/mqueue");
    check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                "newinstance,ptmxmode=0666,mode=0620,gid=5"), "mount devpts");
    check(mount("shm", "dev/shm", "tmpfs", LOCKED, "mode=1777,size=65536k"), "mount shm");
    check(mount("mqueue", "dev/mqueue", "mqueue", LOCKED, NULL), "mount mqueue");
    check(mount("sysfs", "sys", "sysfs", LOCKED | MS_RDONLY, NULL), "mount sysfs");
    mount_cgroup();
}

static void cover_paths(void) {
    const char *empty = NULL; /* the first masked directory lends its empty tmpfs to the others */
    for (size_t i = 0; i < COUNT(MASKED); i++) {
        if (mount("dev/null", MASKED[i], NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
            continue;
        if (empty != NULL) {
            check(mount(empty, MASKED[i], NULL, MS_BIND, NULL), MASKED[i]);
            continue;
        }
        check(mount("tmpfs", MASKED[i], "tmpfs", MS_RDONLY, NULL), MASKED[i]);
        empty = MASKED[i];
    }
    for (size_t i = 0; i < COUNT(READONLY); i++) {
        if (mount(READONLY[i], READONLY[i], NULL, MS_BIND, NULL) != 0 && errno == ENOENT)
            continue;
        check(mount(NULL, READONLY[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), READONLY[i]);
    }
}

static int child(void *unused) {
    (void)unused;
    umask(0);
    check(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "make the mounts slaves");
    check(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "bind the rootfs");
    check(chdir(rootfs), "enter the rootfs");
    mount_all();
    make_devices();
    cover_paths();
    check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", MNT_DETACH), "detach the old root");
    check(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "make the root read-only");
    check(chdir("/"), "chdir");
    check(sethostname("floor", 5), "sethostname");
    umask(022);
    execve(program[0], program, (char *const[]){"PATH=/bin", NULL});
    check(-1, "execve");
    return 125;
}

/* Looked up before the clone: the child must not ask for what the parent can know. */
static void find_hierarchies(void) {
    char path[96];
    version_two = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
    for (size_t i = 0; !version_two && i < COUNT(HIERARCHIES); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", HIERARCHIES[i]);
        if (access(path, F_OK) == 0)
            hierarchies[hierarchy_count++] = HIERARCHIES[i];
    }
}

int main(int argc, char **argv) {
    static char stack[64 * 1024] __attribute__((aligned(16)));
    static char *const standard[] = {"/bin/true", NULL};
    int status, flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
    if (argc < 2) {
        dprintf(2, "usage: floor ROOTFS [PROGRAM [ARGUMENT...]]\n");
        return 2;
    }
    rootfs = argv[1];
    program = argc > 2 ? argv + 2 : standard;
    find_hierarchies();
    /* CLONE_VM with CLONE_VFORK: the parent sleeps until execve, no page table is copied. */
    pid_t pid = clone(child, stack + sizeof stack, flags | CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    check(pid, "clone");
    check(waitpid(pid, &status, 0), "wait");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
