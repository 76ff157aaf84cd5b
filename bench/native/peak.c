/*
 * The peak resident memory of one program, without the memory of whoever measures.
 *
 *     peak PROGRAM [ARGUMENT...]        prints two figures in KiB, exits as the program did
 *
 * ru_maxrss of a program starts at what the process that forked it had resident, because execve
 * keeps it; so the process that forks has to be smaller than what it measures. The second figure
 * is what a fork alone counts: a measured value at or below it is only known to be that small.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(char **command, struct rusage *usage) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (command != NULL)
            execv(command[0], command);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, usage) != pid)
        _exit(125);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    struct rusage alone, program;
    if (argc < 2)
        return 2;
    run(NULL, &alone);
    int code = run(argv + 1, &program);
    dprintf(2, "peak-kib %ld %ld\n", program.ru_maxrss, alone.ru_maxrss);
    return code;
}
