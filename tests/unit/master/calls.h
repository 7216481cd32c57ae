/*
 * tests/unit/master/calls.h - what the master asks of the system, answered by the test: no process starts, none is
 * signalled, and time stands still until the test moves it on. Each call can be made to fail.
 *
 * The linker puts the functions called __wrap_NAME in the place of NAME (see GNUmakefile), and __real_NAME is the system's own.
 */
#ifndef WEIR_TESTS_UNIT_MASTER_CALLS_H
#define WEIR_TESTS_UNIT_MASTER_CALLS_H

#include "base/fd.h"
#include "base/log.h"
#include "master/internal.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum call { CALL_FORK, CALL_PIPE2, CALL_RENAME, CALL_SHUTDOWN, CALL_SOCKETPAIR, CALLS };

/* From FIRST_PID on there are pids that the system does not have. */
enum { FIRST_PID = 100000000, PIDS = 256, SENT_MAX = 512 };

/* A worker's own ends, as a process would have had them. */
struct ends {
    int channel, reports;
};

static struct {
    uint64_t now_ms;
    int fails[CALLS]; /* errno of a failing call; 0: it works */
    int forks;
    struct ends ends[PIDS]; /* by fork */
    int pair[2], pipe[2];   /* opened last */
    struct {
        pid_t pid;
        int signal;
    } sent[SENT_MAX];
    int sent_count;
    struct {
        pid_t pid;
        int status;
    } ended[PIDS];
    int ended_count;
    int log; /* where lines go, to be read by the test */
} calls;

uint64_t __wrap_clock_mono_ms(void);
pid_t __wrap_fork(void);
int __wrap_kill(pid_t pid, int signal);
int __real_kill(pid_t pid, int signal);
int __wrap_pipe2(int ends[2], int flags);
int __real_pipe2(int ends[2], int flags);
int __wrap_rename(const char *from, const char *to);
int __real_rename(const char *from, const char *to);
int __wrap_shutdown(int fd, int how);
int __real_shutdown(int fd, int how);
int __wrap_socketpair(int domain, int type, int protocol, int ends[2]);
int __real_socketpair(int domain, int type, int protocol, int ends[2]);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

static bool call_fails(enum call call)
{
    errno = calls.fails[call];
    return calls.fails[call] != 0;
}

uint64_t __wrap_clock_mono_ms(void)
{
    return calls.now_ms;
}

/* Always as the parent: the child is the test. */
pid_t __wrap_fork(void)
{
    if (call_fails(CALL_FORK))
        return -1;
    if (calls.forks == PIDS)
        abort();
    calls.ends[calls.forks] = (struct ends){dup(calls.pair[1]), dup(calls.pipe[1])};
    return FIRST_PID + calls.forks++;
}

int __wrap_kill(pid_t pid, int signal)
{
    if (signal == 0) /* a question: nothing is sent */
        return __real_kill(pid, 0);
    if (calls.sent_count == SENT_MAX)
        abort();
    calls.sent[calls.sent_count].pid = pid;
    calls.sent[calls.sent_count++].signal = signal;
    return 0;
}

int __wrap_pipe2(int ends[2], int flags)
{
    int rc = call_fails(CALL_PIPE2) ? -1 : __real_pipe2(ends, flags);
    if (rc == 0)
        memcpy(calls.pipe, ends, sizeof calls.pipe);
    return rc;
}

int __wrap_rename(const char *from, const char *to)
{
    return call_fails(CALL_RENAME) ? -1 : __real_rename(from, to);
}

int __wrap_shutdown(int fd, int how)
{
    return call_fails(CALL_SHUTDOWN) ? -1 : __real_shutdown(fd, how);
}

int __wrap_socketpair(int domain, int type, int protocol, int ends[2])
{
    int rc = call_fails(CALL_SOCKETPAIR) ? -1 : __real_socketpair(domain, type, protocol, ends);
    if (rc == 0)
        memcpy(calls.pair, ends, sizeof calls.pair);
    return rc;
}

/* Those that the test has let end, in that order. */
pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    CU_ASSERT(pid == -1 && options == WNOHANG);
    if (calls.ended_count == 0) {
        errno = ECHILD;
        return -1;
    }
    pid_t first = calls.ended[0].pid;
    *status = calls.ended[0].status;
    memmove(&calls.ended[0], &calls.ended[1], (size_t)--calls.ended_count * sizeof calls.ended[0]);
    return first;
}

/* As waitpid(2) has it. */
static inline int status_of_exit(int code)
{
    return code << 8;
}

static inline int status_of_signal(int signal)
{
    return signal;
}

static inline void calls_end(pid_t pid, int status)
{
    calls.ended[calls.ended_count].pid = pid;
    calls.ended[calls.ended_count++].status = status;
}

/* Descriptors that this process has, by trying: a call that fails must not leave one open. */
static inline int calls_count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Begins a test: nothing fails, nothing has been asked, the log is empty. */
static inline void calls_begin(void)
{
    static int log = -1;
    for (int i = 0; i < calls.forks; i++) {
        close(calls.ends[i].channel);
        close(calls.ends[i].reports);
    }
    if (log >= 0)
        close(log);
    log = memfd_create("log", MFD_CLOEXEC);
    memset(&calls, 0, sizeof calls);
    calls.now_ms = 1000000;
    calls.log = log;
    log_set_sinks(&(struct log_sink){.fd = log, .level = LOG_LEVEL_NOTICE}, 1);
    log_also_stderr(false);
}

/* Whether the log has this text. */
static inline bool calls_logged(const char *text)
{
    char lines[65536];
    ssize_t n = pread(calls.log, lines, sizeof lines, 0);
    return n > 0 && memmem(lines, (size_t)n, text, strlen(text)) != NULL;
}

/* The log from here on. */
static inline void calls_forget_log(void)
{
    CU_ASSERT(ftruncate(calls.log, 0) == 0 && lseek(calls.log, 0, SEEK_SET) == 0);
}

/* Whether the last signal went to this process; then it is forgotten. */
static inline bool calls_sent(pid_t pid, int signal)
{
    if (calls.sent_count == 0)
        return false;
    calls.sent_count--;
    return calls.sent[calls.sent_count].pid == pid && calls.sent[calls.sent_count].signal == signal;
}

#endif
