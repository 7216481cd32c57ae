/*
 * tests/unit/shm/permit_child.h - child processes over the shared region, for the tests of what a death leaves behind.
 * They die with the test.
 */
#ifndef WEIR_TESTS_UNIT_SHM_PERMIT_CHILD_H
#define WEIR_TESTS_UNIT_SHM_PERMIT_CHILD_H

#include "tests/unit/shm/permit_help.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { CHILD_LIMIT_S = 90 };

/* Runs the function in a child process, which ends when it returns. */
static inline pid_t child_start(void (*run)(void *with), void *with)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid < 0 ? (abort(), -1) : pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(CHILD_LIMIT_S);
    if (getppid() == parent)
        run(with);
    _exit(0);
}

/* Waits for a child's end. Returns its status. */
static inline int child_wait(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static inline bool child_ended_well(pid_t pid)
{
    int status = child_wait(pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Stops it; it has stopped, or ended, when this returns. */
static inline void child_stop(pid_t pid)
{
    siginfo_t info;
    kill(pid, SIGSTOP);
    waitid(P_PID, (id_t)pid, &info, WSTOPPED | WEXITED | WNOWAIT);
}

/* Kills it, and leaves it unburied: it is a zombie when this returns. */
static inline void child_kill(pid_t pid)
{
    siginfo_t info;
    kill(pid, SIGKILL);
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

static inline void *shared_memory(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        abort();
    return at;
}

#endif
